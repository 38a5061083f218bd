"""A set of conversations between two addresses, exactly: what a packet and its answer may be for both to arrive.

Rules ask for destination ports only, so the packet is judged by its destination port and the answer by the packet's source
port: for TCP and UDP the set is a union of products, one unless replies meet rules of several kinds. For all else the
answer follows from the packet, and the set is plain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.insight.reach.atoms import BASES, OTHER, Interval, Services, point, source_point
from ringfence.model.net import Address, Protocol, protocol_name
from ringfence.policy.packet import Packet

#: the source port of a witness, where it may be chosen
_USUAL = (40000, 50000, 1024, 65535)


@dataclass(frozen=True, slots=True)
class Space:
    """`ports`: (services, source ports) of TCP and UDP, services disjoint; `plain`: services of what has no ports."""

    services: Services
    ports: tuple[tuple[int, int], ...] = ()
    plain: int = 0

    @staticmethod
    def of(services: Services, parts: list[tuple[int, int]], plain: int) -> Space:
        """Parts that are empty are left out, parts with the same source ports are one: equal sets become equal values."""
        merged: dict[int, int] = {}
        for wanted, sources in parts:
            for protocol in (services.tcp, services.udp):
                if wanted & protocol and sources & protocol:
                    merged[sources & protocol] = merged.get(sources & protocol, 0) | wanted & protocol
        return Space(services, tuple(sorted((wanted, sources) for sources, wanted in merged.items())), plain)

    def __bool__(self) -> bool:
        return bool(self.plain or self.ports)

    def __contains__(self, packet: Packet) -> bool:
        bit, sources = self.services.bit(point(packet)), source_point(packet)
        if sources is None:
            return bool(self.plain >> bit & 1)
        at = self.services.bit(sources)
        return any(wanted >> bit & 1 and ports >> at & 1 for wanted, ports in self.ports)

    @property
    def reachable(self) -> int:
        """The services open from some source port."""
        out = self.plain
        for wanted, _ in self.ports:
            out |= wanted
        return out

    def minus(self, other: Space) -> Space:
        """The conversations in this set and not in another. Both must stand on the same atoms."""
        if self.services is not other.services:
            raise ValueError("sets on different atoms do not compare")
        parts = list(self.ports)
        for wanted, sources in other.ports:
            kept: list[tuple[int, int]] = []
            for mine, from_ in parts:
                for protocol in (self.services.tcp, self.services.udp):
                    kept += _less(mine & protocol, from_ & protocol, wanted & protocol, sources & protocol)
            parts = kept
        return Space.of(self.services, parts, self.plain & ~other.plain)

    def ranges(self) -> Iterator[tuple[Interval, list[Interval] | None]]:
        """(interval of services, intervals of source points or None where there are no ports)."""
        for wanted, sources in self.ports:
            for first, last in self.services.intervals(wanted):
                yield (first, last), self.services.intervals(sources)
        for first, last in self.services.intervals(self.plain):
            yield (first, last), None

    def witness(self, src: Address, dst: Address) -> Packet | None:
        """One packet of the set, or None if it is empty."""
        for (first, _), sources in self.ranges():
            return packet_at(src, dst, first, None if sources is None else _chosen(sources))
        return None


def _less(mine: int, from_: int, wanted: int, sources: int) -> Iterator[tuple[int, int]]:
    """One product minus another."""
    yield mine & ~wanted, from_
    yield mine & wanted, from_ & ~sources


def _chosen(sources: list[Interval]) -> int:
    base = sources[0][0] & ~0xFFFF
    for port in _USUAL:
        if any(first <= base + port <= last for first, last in sources):
            return base + port
    return sources[0][0]


def packet_at(src: Address, dst: Address, service: int, source: int | None) -> Packet:
    """The packet at a point of the line; `source`: the point of its source port."""
    if service >= OTHER:
        return Packet(src=src, dst=dst, protocol=service - OTHER)
    protocol = next(number for number, base in BASES.items() if base == service & ~0xFFFF)
    value = service & 0xFFFF
    if source is not None:
        return Packet(src=src, dst=dst, protocol=protocol, sport=source & 0xFFFF, dport=value)
    return Packet(src=src, dst=dst, protocol=protocol, icmp_type=value >> 8, icmp_code=value & 255)


# ---------------------------------------------------------------------- for people
def readable(space: Space) -> list[dict[str, object]]:
    """A set as JSON: protocol, ports and source ports as `a-b`, ICMP types and codes."""
    out: list[dict[str, object]] = []
    for (first, last), sources in space.ranges():
        if first >= OTHER:
            out.append({"protocol": _span(first - OTHER, last - OTHER)})
            continue
        protocol = next(number for number, base in BASES.items() if base == first & ~0xFFFF)
        row: dict[str, object] = {"protocol": protocol_name(protocol)}
        if protocol in (Protocol.TCP, Protocol.UDP):
            row["ports"] = _span(first & 0xFFFF, last & 0xFFFF)
            row["source_ports"] = [_span(a & 0xFFFF, b & 0xFFFF) for a, b in sources or ()]
        else:
            row["icmp"] = f"{_icmp(first)} - {_icmp(last)}" if first != last else _icmp(first)
        out.append(row)
    return out


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _icmp(at: int) -> str:
    return f"type {at >> 8 & 255} code {at & 255}"
