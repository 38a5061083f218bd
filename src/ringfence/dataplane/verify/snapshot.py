"""Everything one network namespace holds that decides about packets: tables of whatever name, routes, neighbours, links.

Reading is in two parts, for the sake of who waits: what the kernel lists, as bytes (`dump`), and what these mean (`parsed`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.dataplane import linux
from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.netlink import Netlink
from ringfence.dataplane.nftables.wire import Message, first, string
from ringfence.dataplane.verify import rtnetlink
from ringfence.dataplane.verify.program import Program, program
from ringfence.dataplane.verify.rtnetlink import Paths

GETTABLE, GETFLOWTABLE, GETGEN = 1, 23, 16
ACCEPT_POLICY = 1
DYNAMIC, CONCATENATED_RANGES, INTERVAL, MAP = 0x20, 0x80, 0x4, 0x8
TableName = tuple[int, str]  # family number, name


@dataclass(frozen=True, slots=True)
class HookPoint:
    """Where the kernel calls a base chain, and what it does with what the chain leaves undecided."""

    number: int
    priority: int
    accepts: bool
    kind: str


@dataclass(slots=True)
class Rules:
    """A chain: its hook, if any, and its rules in order."""

    hook: HookPoint | None = None
    programs: list[Program] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """An element of a set: key, end of a range (empty: none), the value's bytes or the verdict, comment."""

    key: bytes
    end: bytes
    value: bytes
    comment: bytes = b""
    strange: bool = False  # it ends a range by itself, stands for every key, expires, or does more


@dataclass(slots=True)
class Elements:
    """A set or map. `parts`: sizes of a concatenated key's fields, where the kernel keeps ranges of them."""

    flags: int
    key_size: int
    value_kind: int
    value_size: int
    parts: tuple[int, ...] = ()
    entries: list[Entry] = field(default_factory=list)

    @property
    def dynamic(self) -> bool:
        """Do packets fill it?"""
        return bool(self.flags & DYNAMIC)


@dataclass(slots=True)
class TableContent:
    """One table. `asleep`: its hooks are not called."""

    asleep: bool = False
    chains: dict[str, Rules] = field(default_factory=dict)
    sets: dict[str, Elements] = field(default_factory=dict)
    objects: dict[tuple[int, str], bytes] = field(default_factory=dict)  # kind and name → content
    flowtables: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Snapshot:
    """One namespace. `generation`: how many transactions its tables have seen."""

    generation: int
    tables: dict[TableName, TableContent]
    paths: Paths
    settings: dict[str, str] = field(default_factory=dict)


def generation_of(netlink: Netlink) -> int:
    """How often the tables of the socket's namespace have been changed: the kernel counts transactions."""
    for reply in netlink.ask(Message(nl.SUBSYSTEM << 8 | GETGEN, 0, 0, b"")):
        found = first(reply.body, 1)
        if found is not None:
            return int(struct.unpack(">I", found)[0])
    raise OSError("the kernel does not tell the generation of its tables")


Listed = list[tuple[int, bytes]]  # family, attributes


@dataclass(slots=True)
class Dump:
    """What the kernel lists of one namespace, not understood yet. `objects`: by kind of message."""

    generation: int
    objects: dict[int, Listed]
    elements: dict[tuple[int, str, str], list[bytes]]  # family, table, set → as listed
    paths: Paths
    settings: dict[str, str]


def dump(netlink: Netlink, namespace: int, settings: tuple[str, ...] = ()) -> Dump | None:
    """What the namespace holds; None: its tables changed meanwhile. OSError."""
    before = generation_of(netlink)
    objects = {kind: _all(netlink, kind) for kind in _KINDS}
    elements = {}
    for family, body in objects[nl.GETSET]:
        table, name = string(first(body, 1) or b""), string(first(body, 2) or b"")
        if not _definition(body).dynamic:
            elements[family, table, name] = _elements(netlink, family, table, name)
    if generation_of(netlink) != before:
        return None
    with linux.inside(namespace):
        return Dump(before, objects, elements, rtnetlink.read(), {name: _setting(name) for name in settings})


def dump_whole(namespace: int, settings: tuple[str, ...] = ()) -> Dump:
    """`dump` by a socket of its own; tables that change meanwhile are read again. OSError if they never stay still."""
    with linux.inside(namespace):
        netlink = Netlink()
    try:
        return _still(netlink, namespace, settings)
    finally:
        netlink.close()


def read(netlink: Netlink, namespace: int, settings: tuple[str, ...] = ()) -> Snapshot:
    """What the namespace holds. Tables that change meanwhile are read again; OSError if they never stay still."""
    return parsed(_still(netlink, namespace, settings))


def _still(netlink: Netlink, namespace: int, settings: tuple[str, ...]) -> Dump:
    for _ in range(5):
        found = dump(netlink, namespace, settings)
        if found is not None:
            return found
    raise OSError("the tables change faster than they can be read")


def parsed(found: Dump) -> Snapshot:
    """What it means."""
    return Snapshot(found.generation, _tables(found), found.paths, found.settings)


def paths(namespace: int) -> Paths:
    """Routes, neighbours and links only."""
    with linux.inside(namespace):
        return rtnetlink.read()


def _setting(name: str) -> str:
    path = Path("/proc/sys") / name
    return path.read_text().strip() if path.exists() else ""


_KINDS = (GETTABLE, nl.GETCHAIN, nl.GETRULE, nl.GETSET, nl.GETOBJ, GETFLOWTABLE)


def _all(netlink: Netlink, kind: int) -> Listed:
    """All objects of a kind, in all families."""
    message = Message(nl.SUBSYSTEM << 8 | kind, 0, 0, b"")
    return [(reply.payload[0], reply.body) for reply in netlink.dump(message)]


def _elements(netlink: Netlink, family: int, table: str, name: str) -> list[bytes]:
    body = wire.text(1, table) + wire.text(2, name)
    return [reply.body for reply in netlink.dump(Message(nl.SUBSYSTEM << 8 | nl.GETSETELEM, 0, family, body))]


def _tables(found: Dump) -> dict[TableName, TableContent]:
    out: dict[TableName, TableContent] = {}
    objects = found.objects
    for family, body in objects[GETTABLE]:
        flags = first(body, 2) or b"\0" * 4
        out[family, string(first(body, 1) or b"")] = TableContent(bool(struct.unpack(">I", flags)[0] & 1))
    for family, body in objects[nl.GETCHAIN]:
        _table(out, family, body).chains.setdefault(string(first(body, 3) or b""), Rules()).hook = _hook(body)
    for family, body in objects[nl.GETRULE]:
        chain = _table(out, family, body).chains.setdefault(string(first(body, 2) or b""), Rules())
        chain.programs.append(program(first(body, 4) or b""))
    for family, body in objects[nl.GETSET]:
        _table(out, family, body).sets[string(first(body, 2) or b"")] = _definition(body)
    for family, body in objects[nl.GETOBJ]:
        kind = int(struct.unpack(">I", first(body, 3) or b"\0" * 4)[0])
        _table(out, family, body).objects[kind, string(first(body, 2) or b"")] = first(body, 4) or b""
    for family, body in objects[GETFLOWTABLE]:
        _table(out, family, body).flowtables.add(string(first(body, 2) or b""))
    for (family, table, name), bodies in found.elements.items():
        out[family, table].sets[name].entries = [
            _entry(payload) for body in bodies for _, payload in wire.attributes(first(body, 3) or b"")
        ]
    return out


def _table(tables: dict[TableName, TableContent], family: int, body: bytes) -> TableContent:
    return tables.setdefault((family, string(first(body, 1) or b"")), TableContent())


def _hook(body: bytes) -> HookPoint | None:
    parts = dict(wire.attributes(body))
    if 4 not in parts:
        return None
    hook = dict(wire.attributes(parts[4]))
    policy = struct.unpack(">I", parts[5])[0] if 5 in parts else ACCEPT_POLICY
    number, priority = struct.unpack(">I", hook[1])[0], struct.unpack(">i", hook[2])[0]
    return HookPoint(number, priority, policy == ACCEPT_POLICY, string(parts.get(7, b"")))


def _definition(body: bytes) -> Elements:
    parts = dict(wire.attributes(body))
    flags, key_size, kind, size = (int.from_bytes(parts.get(n, b""), "big") for n in (3, 5, 6, 7))
    description = dict(wire.attributes(parts.get(9, b"")))
    fields = tuple(
        int.from_bytes(first(payload, 1) or b"", "big") for _, payload in wire.attributes(description.get(2, b""))
    )
    return Elements(flags, key_size, kind, size, fields)


def _entry(payload: bytes) -> Entry:
    parts = dict(wire.attributes(payload))
    key = first(parts.get(1, b""), 1) or b""
    end = first(parts.get(10, b""), 1) or b""
    comment = parts[6][2:].rstrip(b"\0") if 6 in parts else b""
    strange = any(parts.get(kind, b"").strip(b"\0") for kind in (3, 4, 7, 9, 11))
    return Entry(key, end, parts.get(2, b""), comment, strange)
