"""What a rule can look at: value types and packet fields, each with its nft spelling and its netlink form.

Datatype numbers are those of nft itself; the kernel only stores them, so that `nft list ruleset` can print the sets.
Sources: linux/netfilter/nf_tables.h; nft(8).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ringfence.dataplane.nftables import wire
from ringfence.dataplane.plan import link_group

Value = int | str | IPv4Address | IPv6Address

FIRST_REGISTER = 8  # NFT_REG32_00: sixteen registers of four bytes


@dataclass(frozen=True, slots=True)
class Type:
    """A value type of sets and fields. `size` in bytes; `pack` gives what the kernel compares."""

    name: str
    number: int
    size: int
    pack: Callable[[Any], bytes]
    show: Callable[[Any], str]
    native: bool = False  # in the machine's byte order, not the network's

    @property
    def words(self) -> int:
        """Registers it fills."""
        return (self.size + 3) // 4


def _native32(value: int) -> bytes:
    return struct.pack("=I", value)


def _group(name: str) -> int:
    group = link_group(name)
    if not group:
        raise ValueError(f"rules do not know the link {name!r} by a group")
    return group


IFNAME = Type("ifname", 41, 16, lambda v: v.encode().ljust(16, b"\0"), lambda v: f'"{v}"', native=True)
LINK = Type("devgroup", 35, 4, lambda v: _native32(_group(v)), lambda v: str(_group(v)), native=True)
ETHER = Type("ether_addr", 9, 6, lambda v: bytes.fromhex(v.replace(":", "")), lambda v: str(v).lower())
IPV4 = Type("ipv4_addr", 7, 4, lambda v: v.packed, str)
IPV6 = Type("ipv6_addr", 8, 16, lambda v: v.packed, str)
PROTOCOL = Type("inet_proto", 12, 1, lambda v: bytes((v,)), str)
PORT = Type("inet_service", 13, 2, lambda v: struct.pack(">H", v), str)
MARK = Type("mark", 19, 4, _native32, lambda v: f"0x{v:08x}", native=True)
NFPROTO = Type("nf_proto", 2, 1, lambda v: bytes((v,)), lambda v: {2: "ipv4", 10: "ipv6"}[v])
DIRECTION = Type("ct_dir", 27, 1, lambda v: bytes((v,)), lambda v: ("original", "reply")[v])
ZONE = Type("integer", 4, 2, lambda v: struct.pack("=H", v), str, native=True)
# in a concatenation nft(8) cannot list what has no fixed size: there a zone says it is a mark, which fills a register too
ZONE_PART = Type("mark", 19, 4, lambda v: struct.pack("=H", v).ljust(4, b"\0"), str, native=True)
ETHERTYPE = Type("ether_type", 10, 2, lambda v: struct.pack(">H", v), lambda v: f"0x{v:04x}")
NUMBER8 = Type("integer", 4, 1, lambda v: bytes((v,)), str)
STATE = Type("ct_state", 26, 4, _native32, lambda v: {1: "invalid", 4: "related", 8: "new"}[v])

Load = Callable[[int], bytes]


def expression(name: str, *parts: bytes) -> bytes:
    """One expression of a rule, as a list element."""
    return wire.nest(1, wire.text(1, name), wire.nest(2, *parts))


def compare(register: int, value: bytes, *, differs: bool = False) -> bytes:
    operator = wire.be32(2, 1 if differs else 0)
    return expression("cmp", wire.be32(1, register), operator, wire.nest(3, wire.attr(1, value)))


def _meta(key: int) -> Load:
    return lambda register: expression("meta", wire.be32(2, key), wire.be32(1, register))


def _ct(key: int) -> Load:
    return lambda register: expression("ct", wire.be32(2, key), wire.be32(1, register))


def _payload(base: int, offset: int, size: int) -> Load:
    return lambda register: expression(
        "payload", wire.be32(1, register), wire.be32(2, base), wire.be32(3, offset), wire.be32(4, size)
    )


def _fib(flags: int) -> Load:
    return lambda register: expression("fib", wire.be32(1, register), wire.be32(2, 2), wire.be32(3, flags))


@dataclass(frozen=True, slots=True)
class Field:
    """A packet field. `guard`: expressions that must hold before it may be loaded (a rule writes each once)."""

    text: str
    type: Type
    load: Load
    guard: tuple[bytes, ...] = ()


LINK_LAYER, NETWORK, TRANSPORT = 0, 1, 2
_FREE = FIRST_REGISTER
_IS_ETHER = (_meta(8)(_FREE) + compare(_FREE, struct.pack("=H", 1)),)
_IS_IPV4 = (_meta(15)(_FREE) + compare(_FREE, b"\x02"),)
_IS_IPV6 = (_meta(15)(_FREE) + compare(_FREE, b"\x0a"),)

IIFNAME = Field("iifname", IFNAME, _meta(6))
OIFNAME = Field("oifname", IFNAME, _meta(7))
IIFGROUP = Field("iifgroup", LINK, _meta(21))
OIFGROUP = Field("oifgroup", LINK, _meta(22))
META_MARK = Field("meta mark", MARK, _meta(3))
META_PRIORITY = Field("meta priority", MARK, _meta(2))
META_NFPROTO = Field("meta nfproto", NFPROTO, _meta(15))
META_L4PROTO = Field("meta l4proto", PROTOCOL, _meta(16))
ETHER_SADDR = Field("ether saddr", ETHER, _payload(LINK_LAYER, 6, 6), _IS_ETHER)
IP_SADDR = Field("ip saddr", IPV4, _payload(NETWORK, 12, 4), _IS_IPV4)
IP_DADDR = Field("ip daddr", IPV4, _payload(NETWORK, 16, 4), _IS_IPV4)
IP6_SADDR = Field("ip6 saddr", IPV6, _payload(NETWORK, 8, 16), _IS_IPV6)
IP6_DADDR = Field("ip6 daddr", IPV6, _payload(NETWORK, 24, 16), _IS_IPV6)
IP6_HOPLIMIT = Field("ip6 hoplimit", NUMBER8, _payload(NETWORK, 7, 1), _IS_IPV6)
TH_SPORT = Field("th sport", PORT, _payload(TRANSPORT, 0, 2))  # for ICMP: type << 8 | code
TH_DPORT = Field("th dport", PORT, _payload(TRANSPORT, 2, 2))
CT_MARK = Field("ct mark", MARK, _ct(3))
CT_DIRECTION = Field("ct direction", DIRECTION, _ct(1))
CT_STATE = Field("ct state", STATE, _ct(0))
CT_ZONE = Field("ct zone", ZONE, _ct(17))
FIB_OIFNAME = Field("fib daddr . mark oifname", IFNAME, _fib(0x2 | 0x4))
ARP_SADDR_ETHER = Field("arp saddr ether", ETHER, _payload(NETWORK, 8, 6))
ARP_SADDR_IP = Field("arp saddr ip", IPV4, _payload(NETWORK, 14, 4))

SADDR = {4: IP_SADDR, 6: IP6_SADDR}
DADDR = {4: IP_DADDR, 6: IP6_DADDR}
NFPROTO_OF = {4: 2, 6: 10}


def load_all(fields: tuple[Field, ...]) -> list[bytes]:
    """Expressions that put the fields side by side, from the first register on; their guards are not included."""
    loads, register = [], FIRST_REGISTER
    for field in fields:
        loads.append(field.load(register))
        register += field.type.words
    return loads


def guards(fields: tuple[Field, ...]) -> tuple[bytes, ...]:
    """The guards of all fields, each once."""
    return tuple(dict.fromkeys(part for field in fields for part in field.guard))


def pack_key(types: tuple[Type, ...], values: tuple[Value, ...]) -> bytes:
    """A set key: one value after the other, each padded to whole registers (a lone one is not padded)."""
    if len(types) == 1:
        return types[0].pack(values[0])
    return b"".join(kind.pack(value).ljust(kind.words * 4, b"\0") for kind, value in zip(types, values, strict=True))
