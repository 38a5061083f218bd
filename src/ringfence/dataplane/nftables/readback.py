"""What the kernel's tables hold now: names, definitions and elements, in a form that compares with what we want."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.fields import Type, pack_key
from ringfence.dataplane.nftables.objects import FAMILY_NUMBERS, NAME, Chain, Element, Hook, Set
from ringfence.dataplane.nftables.terms import Verdict
from ringfence.dataplane.nftables.wire import Message, Reply, first, string

Held = tuple[bytes, bytes, bytes, bytes]  # key, end of range, data, comment


@dataclass(slots=True)
class Kernel:
    """One table as the kernel has it. Chains: name → (hook number, priority), None for a regular chain."""

    chains: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    sets: dict[str, tuple[int, ...]] = field(default_factory=dict)
    timeouts: set[str] = field(default_factory=set)


def read(netlink: nl.Netlink, family: str) -> Kernel:
    """The objects of our table; empty when there is none."""
    kernel = Kernel()
    for reply in _listed(netlink, nl.GETCHAIN, family):
        kernel.chains[_name(reply, 3)] = _hook(first(reply.body, 4))
    for reply in _listed(netlink, nl.GETSET, family):
        kernel.sets[_name(reply, 2)] = _definition(reply.body)
    if family == "inet":
        kernel.timeouts = {_name(reply, 2) for reply in _listed(netlink, nl.GETOBJ, family)}
    return kernel


def held(netlink: nl.Netlink, family: str, name: str) -> dict[bytes, Held]:
    """The elements of a set by key and end."""
    body = wire.text(1, NAME) + wire.text(2, name)
    result: dict[bytes, Held] = {}
    for reply in netlink.dump(Message(nl.SUBSYSTEM << 8 | nl.GETSETELEM, 0, FAMILY_NUMBERS[family], body)):
        listed = first(reply.body, 3)
        for _, payload in wire.attributes(listed or b""):
            element = _element(payload)
            result[element[0] + element[1]] = element
    return result


def wanted(kind: Set, element: Element) -> Held:
    """How the kernel will list the element."""
    end = pack_key(kind.key, element.end) if element.end is not None else b""
    comment = element.comment.encode() if element.comment else b""
    return pack_key(kind.key, element.key), end, _wanted_data(kind, element), comment


def _wanted_data(kind: Set, element: Element) -> bytes:
    if isinstance(element.data, Verdict):
        return element.data.text.encode()
    if element.data is not None and isinstance(kind.data, Type):
        return kind.data.pack(element.data)
    return b""


_VERDICTS = {-3: "jump", -4: "goto", -5: "return", 0: "drop", 1: "accept"}


def _element(payload: bytes) -> Held:
    key = end = data = comment = b""
    for kind, value in wire.attributes(payload):
        if kind == 1:
            key = first(value, 1) or b""
        elif kind == 10:
            end = first(value, 1) or b""
        elif kind == 2:
            data = _data(value)
        elif kind == 6:
            comment = value[2:].rstrip(b"\0")
    return key, end, data, comment


def _data(value: bytes) -> bytes:
    verdict = first(value, 2)
    if verdict is None:
        return first(value, 1) or b""
    (code,) = struct.unpack(">i", first(verdict, 1) or b"\0\0\0\0")
    chain = first(verdict, 2)
    return Verdict(_VERDICTS[code], string(chain) if chain else "").text.encode()


def _listed(netlink: nl.Netlink, kind: int, family: str) -> Iterator[Reply]:
    message = Message(nl.SUBSYSTEM << 8 | kind, 0, FAMILY_NUMBERS[family], wire.text(1, NAME))
    for reply in netlink.dump(message):
        if string(first(reply.body, 1) or b"") == NAME:
            yield reply


def _name(reply: Reply, kind: int) -> str:
    return string(first(reply.body, kind) or b"")


def _hook(payload: bytes | None) -> tuple[int, int] | None:
    if payload is None:
        return None
    number, priority = first(payload, 1) or b"\0" * 4, first(payload, 2) or b"\0" * 4
    return struct.unpack(">I", number)[0], struct.unpack(">i", priority)[0]


def hook_of(family: str, chain: Chain) -> tuple[int, int] | None:
    """The hook as `read` reports it."""
    hook: Hook | None = chain.hook
    if hook is None:
        return None
    return (nl.ARP_HOOKS if family == "arp" else nl.HOOKS)[hook.name], hook.priority


def _definition(body: bytes) -> tuple[int, ...]:
    """Flags, key size, data type, data size."""
    numbers = {3: 0, 5: 0, 6: 0, 7: 0}
    for kind, value in wire.attributes(body):
        if kind in numbers:
            numbers[kind] = struct.unpack(">I", value)[0]
    return tuple(numbers.values())


def definition_of(kind: Set) -> tuple[int, ...]:
    """The definition as `read` reports it."""
    flags = nl.SET_INTERVAL | nl.SET_CONCATENATION if kind.interval else 0
    if kind.room is not None:
        flags |= nl.SET_COUNTS if kind.counters else nl.SET_NOTES
    if isinstance(kind.data, Type):
        return flags | nl.SET_MAP, kind.key_size, kind.data.number, kind.data.size
    if kind.data is not None:
        return flags | nl.SET_MAP, kind.key_size, 0xFFFFFF00, 16
    return flags, kind.key_size, 0, 0
