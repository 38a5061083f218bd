"""Addresses, CIDR blocks, protocols and port ranges: the words every layer shares.

Strings become these types at the API boundary and never turn back until they are serialised.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

N = TypeVar("N", IPv4Network, IPv6Network)
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANY_IPV4 = IPv4Network("0.0.0.0/0")
ANY_IPV6 = IPv6Network("::/0")

#: public IPv4 addresses come from the benchmarking block (RFC 2544): never routed on the real internet
PUBLIC_POOL = IPv4Network("198.18.0.0/15")
#: /56 blocks of VPCs come from a unique local /32: never routed on the real internet, public within the installation
IPV6_POOL = IPv6Network("fd52:4946::/32")
#: never beyond an internet gateway, except IPV6_POOL (IGW-08): RFC 1918, RFC 6598, and what else RFC 6890 keeps off the internet
UNROUTABLE: tuple[Network, ...] = (
    *(IPv4Network(block) for block in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.168.0.0/16", "224.0.0.0/3",
    )),
    *(IPv6Network(block) for block in ("::/8", "fc00::/7", "fe80::/10", "ff00::/8")),
)  # fmt: skip


class Family(enum.Enum):
    """IP version; rules of one family never match packets of the other (SG-75, ACL-33)."""

    IPV4 = 4
    IPV6 = 6

    @property
    def anywhere(self) -> Network:
        return ANY_IPV4 if self is Family.IPV4 else ANY_IPV6


class Protocol(enum.IntEnum):
    """IANA protocol numbers AWS treats specially; every other number 0-255 is legal as a plain int."""

    ALL = -1  # every protocol
    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58


#: names the EC2 API uses for protocols (SG-39); anything else is a decimal number
PROTOCOL_NAMES: dict[int, str] = {-1: "-1", 1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}
PROTOCOL_NUMBERS: dict[str, int] = {name: number for number, name in PROTOCOL_NAMES.items()}

PORTED = frozenset({Protocol.TCP, Protocol.UDP})
ICMP_FAMILY = frozenset({Protocol.ICMP, Protocol.ICMPV6})


def parse_protocol(text: str) -> int:
    """`tcp`, `udp`, `icmp`, `icmpv6`, `-1` or `0`..`255` as a number; ValueError otherwise (SG-39)."""
    lowered = text.strip().lower()
    if lowered in PROTOCOL_NUMBERS:
        return PROTOCOL_NUMBERS[lowered]
    if not re.fullmatch(r"[0-9]{1,3}", lowered) or int(lowered) > 255:
        raise ValueError(f"unknown protocol {text!r}")
    return int(lowered)


def protocol_name(number: int) -> str:
    """How EC2 spells a protocol number in a security group rule."""
    return PROTOCOL_NAMES.get(number, str(number))


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Inclusive range of TCP/UDP ports, 0 <= first <= last <= 65535."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= 65535:
            raise ValueError(f"bad port range {self.first}-{self.last}")

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    @property
    def is_all(self) -> bool:
        return self.first == 0 and self.last == 65535


ALL_PORTS = PortRange(0, 65535)


@lru_cache(8192)  # the same few blocks stand in most rules
def parse_ipv4_network(text: str) -> IPv4Network:
    """An IPv4 CIDR block with an explicit prefix length, canonicalised (SG-36); ValueError otherwise."""
    return _parse_network(text, IPv4Network)


@lru_cache(8192)
def parse_ipv6_network(text: str) -> IPv6Network:
    """An IPv6 CIDR block with an explicit prefix length, canonicalised; ValueError otherwise."""
    return _parse_network(text, IPv6Network)


_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")


def _parse_network(text: str, family: type[N]) -> N:
    if not _CIDR.fullmatch(text):
        raise ValueError(f"{text!r} is not a CIDR block")
    return family(text, strict=False)


def parse_network(text: str) -> Network:
    """An IPv4 or IPv6 CIDR block; ValueError otherwise."""
    return parse_ipv6_network(text) if ":" in text else parse_ipv4_network(text)


def parse_address(text: str) -> Address:
    """A bare IPv4 or IPv6 address; ValueError otherwise."""
    return ip_address(text)


def family_of(value: Address | Network) -> Family:
    return Family.IPV4 if value.version == 4 else Family.IPV6


_texts: dict[int, tuple[Network, str]] = {}  # by identity; an entry holds its network, so its id() is no other's


def network_text(network: Network) -> str:
    """`str(network)`, remembered: a rule's block is written when it is stored, answered, audited and shown."""
    held = _texts.get(id(network))
    if held is None:
        if len(_texts) >= 16384:
            _texts.clear()
        held = _texts[id(network)] = (network, _network_text(network))
    return held[1]


def _network_text(network: Network) -> str:
    if network.version == 6:
        return str(network)
    ip = int(network.network_address)
    return f"{ip >> 24}.{ip >> 16 & 255}.{ip >> 8 & 255}.{ip & 255}/{network.prefixlen}"


def overlap(one: IPv4Network, other: IPv4Network) -> bool:
    """`one.overlaps(other)`, in half the time: they agree in the bits that both prefixes cover."""
    free = 32 - min(one.prefixlen, other.prefixlen)
    return int(one.network_address) >> free == int(other.network_address) >> free


def host_network(address: Address) -> Network:
    """The /32 or /128 that holds exactly one address."""
    return ip_network(address)


def contains(outer: Network, inner: Network) -> bool:
    """Is every address of `inner` in `outer`? False across families."""
    if isinstance(outer, IPv4Network) and isinstance(inner, IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(outer, IPv6Network) and isinstance(inner, IPv6Network):
        return inner.subnet_of(outer)
    return False
