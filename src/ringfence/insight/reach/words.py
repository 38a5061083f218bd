"""A set of conversations in a few words, for tables, pictures and messages: `tcp 80, 443; ping`."""

from __future__ import annotations

from ringfence.insight.reach.atoms import BASES, END, OTHER
from ringfence.insight.reach.space import Space
from ringfence.model.net import Protocol, protocol_name
from ringfence.policy.packet import Packet

_ECHO = {Protocol.ICMP: 8 << 8, Protocol.ICMPV6: 128 << 8}
_WHOLE = 0xFFFF


def brief(space: Space) -> str:
    """All of it, shortened: source ports are told only where some are refused."""
    services = space.services
    reachable = space.reachable
    if not reachable:
        return "nothing"
    narrow = any(sources != services.tcp and sources != services.udp for _, sources in space.ports)
    end = " (from some source ports)" if narrow else ""
    if reachable & services.opening == services.opening:
        return "everything" + end
    parts: dict[str, list[str]] = {}
    for first, last in services.intervals(reachable):
        name, what = _named(first, last)
        parts.setdefault(name, []).append(what)
    return "; ".join(_joined(name, _merged(found)) for name, found in parts.items()) + end


def _named(first: int, last: int) -> tuple[str, str]:
    if first >= OTHER:
        span = f"{first - OTHER}" if first == last else f"{first - OTHER}-{last - OTHER}"
        return "protocol", "all others" if (first, last) == (OTHER, END - 1) else span
    protocol = next(number for number, base in BASES.items() if base == first & ~_WHOLE)
    low, high = first & _WHOLE, last & _WHOLE
    if (low, high) == (0, _WHOLE):
        return protocol_name(protocol), ""
    if protocol in _ECHO:
        return protocol_name(protocol), _icmp(protocol, low, high)
    return protocol_name(protocol), str(low) if low == high else f"{low}-{high}"


def _icmp(protocol: int, low: int, high: int) -> str:
    echo = _ECHO[Protocol(protocol)]
    if low <= echo <= high and low >> 8 == high >> 8:
        return "echo"
    first, last = low >> 8, high >> 8
    return f"type {first}" if first == last else f"types {first}-{last}"


def _merged(found: list[str]) -> list[str]:
    return list(dict.fromkeys(found))


def _joined(name: str, what: list[str]) -> str:
    if what == [""]:
        return name
    if name in ("icmp", "icmpv6") and "echo" in what and len(what) == 1:
        return "ping" if name == "icmp" else "ping6"
    many = len(what) > 6
    return f"{name} {', '.join(what[:5] if many else what)}{f' and {len(what) - 5} more' if many else ''}"


def packet_line(sender: str, packet: Packet) -> str:
    """`eni-1 sends 10.0.0.5 -> 10.0.1.9 tcp port 22 from port 40000`."""
    name, end = protocol_name(packet.protocol), ""
    if packet.protocol in (Protocol.TCP, Protocol.UDP):
        end = f" port {packet.dport} from port {packet.sport}"
    elif packet.protocol in (Protocol.ICMP, Protocol.ICMPV6):
        end = f" type {packet.icmp_type} code {packet.icmp_code}"
    else:
        name = f"protocol {name}"
    return f"{sender} sends {packet.src} -> {packet.dst} {name}{end}"
