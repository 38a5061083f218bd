"""Routes, policy rules, neighbours, addresses and links of a network namespace, as the kernel lists them over rtnetlink.

Sources: linux/rtnetlink.h, linux/fib_rules.h, linux/neighbour.h, linux/if_link.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network

from ringfence.dataplane.nftables import wire
from ringfence.model.net import Address, Network

GETLINK, GETADDR, GETROUTE, GETNEIGH, GETRULE = 18, 22, 26, 30, 34
FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}
KINDS = {
    1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable",
    8: "prohibit", 9: "throw",
}  # fmt: skip
PROTOCOL_KERNEL, PERMANENT, PROXY = 2, 0x80, 0x08
_RECEIVE = 1 << 18
REMEMBERED = 16_384  # addresses, and blocks: a look every few seconds meets the same ones


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One route of a table. `via`: the next hop; `link`: the name of the link it leaves by. `own`: the kernel made it itself."""

    version: int
    table: int
    kind: str
    destination: Network
    metric: int
    via: Address | None
    link: str
    own: bool = field(compare=False, default=False)
    strange: bool = False  # it asks for more than a destination: a source, a service class, several hops


@dataclass(frozen=True, slots=True, order=True)
class PolicyRule:
    """Which table is asked for which packet marks. `strange`: it asks for something else too, or does something else."""

    version: int
    priority: int
    mark: int
    mask: int
    table: int
    strange: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Neighbour:
    """A fixed link-layer address."""

    address: Address
    link: str
    mac: str
    proxy: bool = False


@dataclass(slots=True)
class Paths:
    """What one namespace knows about where packets go."""

    routes: list[Route] = field(default_factory=list)
    rules: list[PolicyRule] = field(default_factory=list)
    neighbours: list[Neighbour] = field(default_factory=list)
    addresses: set[tuple[str, str]] = field(default_factory=set)  # link, address with prefix length
    links: dict[str, bool] = field(default_factory=dict)  # name → is it up?
    groups: dict[str, int] = field(default_factory=dict)  # of links


def read() -> Paths:
    """Everything about the current thread's network namespace."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock:
        sock.bind((0, 0))
        sock.settimeout(30)
        out = Paths()
        names: dict[int, str] = {0: ""}
        for head, attributes in _dump(sock, GETLINK, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0)):
            index, flags = struct.unpack_from("=iI", head, 4)
            names[index] = wire.string(attributes[3])
            out.links[names[index]] = bool(flags & 1)
            out.groups[names[index]] = _word(attributes, 27)
        for family in FAMILIES:
            out.routes += (
                route
                for head, attributes in _dump(sock, GETROUTE, struct.pack("=BBBBBBBBI", family, *(0,) * 8))
                if (route := _route(head, attributes, names)) is not None
            )
            out.rules += (
                _rule(head, attributes)
                for head, attributes in _dump(sock, GETRULE, struct.pack("=BBBBBBBBI", family, *(0,) * 8))
            )
            for head, attributes in _dump(sock, GETADDR, struct.pack("=BBBBi", family, 0, 0, 0, 0)):
                held = _address(attributes.get(2) or attributes[1])
                out.addresses.add((names[struct.unpack_from("=i", head, 4)[0]], f"{held}/{head[1]}"))
        for flags in (0, PROXY):
            for head, attributes in _dump(sock, GETNEIGH, struct.pack("=BBHiHBB", 0, 0, 0, 0, 0, flags, 0)):
                if (neighbour := _neighbour(head, attributes, names)) is not None:
                    out.neighbours.append(neighbour)
    return out


_HEADS = {GETLINK: 16, GETADDR: 8, GETROUTE: 12, GETRULE: 12, GETNEIGH: 12}


def _dump(sock: socket.socket, kind: int, head: bytes) -> Iterator[tuple[bytes, dict[int, bytes]]]:
    """(fixed part, attributes) of everything listed."""
    size = _HEADS[kind]
    sock.send(struct.pack("=IHHII", 16 + len(head), kind, wire.REQUEST | wire.DUMP, kind, 0) + head)
    while True:
        for reply in wire.replies(sock.recv(_RECEIVE)):
            if reply.sequence != kind:
                continue
            if reply.kind == wire.DONE:
                return
            if reply.kind == wire.ERROR:
                raise OSError(reply.errno, f"the kernel does not list what message {kind} asks for")
            yield reply.payload[:size], dict(wire.attributes(reply.payload[size:]))


def _word(attributes: dict[int, bytes], kind: int, default: int = 0) -> int:
    return int(struct.unpack("=I", attributes[kind])[0]) if kind in attributes else default


@lru_cache(maxsize=REMEMBERED)
def _network(packed: bytes, width: int) -> Network:
    return ip_network((packed, width))


@lru_cache(maxsize=REMEMBERED)
def _address(packed: bytes) -> Address:
    return ip_address(packed)


def _route(head: bytes, attributes: dict[int, bytes], names: dict[int, str]) -> Route | None:
    family, width, source, service, table, protocol, _, kind = struct.unpack_from("=8B", head)
    flags = struct.unpack_from("=I", head, 8)[0]
    if family not in FAMILIES or flags & 0x200:  # cached
        return None
    size = 4 if family == socket.AF_INET else 16
    destination = _network(attributes.get(1, b"\0" * size), width)
    via = _address(attributes[5]) if 5 in attributes else None
    link = names.get(_word(attributes, 4), "?")
    strange = bool(source or service or 9 in attributes or 18 in attributes or 22 in attributes)
    metric = _word(attributes, 6)
    return Route(
        FAMILIES[family], _word(attributes, 15, table), KINDS.get(kind, str(kind)), destination, metric, via, link,
        own=protocol == PROTOCOL_KERNEL, strange=strange,
    )  # fmt: skip


def _rule(head: bytes, attributes: dict[int, bytes]) -> PolicyRule:
    family, to, source, service, table, _, _, action = struct.unpack_from("=8B", head)
    flags = struct.unpack_from("=I", head, 8)[0]
    mark = _word(attributes, 10)
    known = {6, 10, 15, 16, 14, 21, 19}  # priority, mark, table, mask, suppressed prefix length, protocol, padding
    strange = bool(to or source or service or action != 1 or flags & 0x2 or not attributes.keys() <= known)
    strange = strange or _word(attributes, 14, 0xFFFFFFFF) != 0xFFFFFFFF
    return PolicyRule(
        FAMILIES.get(family, 0), _word(attributes, 6), mark, _word(attributes, 16, 0xFFFFFFFF if mark else 0),
        _word(attributes, 15, table), strange,
    )  # fmt: skip


def _neighbour(head: bytes, attributes: dict[int, bytes], names: dict[int, str]) -> Neighbour | None:
    family, index, state, flags = struct.unpack_from("=BxxxiHB", head)
    proxy = bool(flags & PROXY)
    if family not in FAMILIES or not (state & PERMANENT or proxy) or 1 not in attributes:
        return None
    mac = attributes.get(2, b"").hex(":")
    return Neighbour(_address(attributes[1]), names.get(index, "?"), mac, proxy)
