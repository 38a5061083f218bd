"""Which of the two directions of a conversation opened it, from what was recorded of both.

Rules of security groups are asked about the first packet alone; answers pass by state. TCP: the side that sent a SYN without an ACK
(known where some flow log has `tcp-flags`). Otherwise the side that went from a port of the dynamic range to one below it; the
side that was seen first; where that does not tell, both, so that no rule is taken for unneeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ringfence.insight.flowlogs.records import ACK, SYN, Direction, Observation
from ringfence.model.net import Address

#: where systems take the ports of their own side of a conversation from (Linux: ip_local_port_range)
DYNAMIC = 32_768


@dataclass(slots=True)
class Opening:
    """One direction of a conversation at an interface, over all windows."""

    interface_id: str
    direction: Direction
    source: Address
    destination: Address
    protocol: int
    source_port: int
    destination_port: int
    first: float
    flags: int = 0
    packets: int = 0
    octets: int = 0

    @property
    def peer(self) -> Address:
        return self.source if self.direction is Direction.INGRESS else self.destination


_Key = tuple[str, int, frozenset[tuple[Address, int]]]


def openings(observations: Iterable[Observation]) -> Iterator[Opening]:
    """Of accepted packets; each conversation once, or twice where its opener is not known."""
    held: dict[_Key, dict[Direction, Opening]] = {}
    for seen in observations:
        if seen.accepted:
            _add(held, seen)
    for both in held.values():
        yield from _openers(list(both.values()))


def _add(held: dict[_Key, dict[Direction, Opening]], seen: Observation) -> None:
    source_port, port = seen.ports
    key = (seen.interface_id, seen.protocol, frozenset({(seen.source, source_port), (seen.destination, port)}))
    sides = held.setdefault(key, {})
    side = sides.get(seen.direction)
    if side is None:
        side = sides[seen.direction] = Opening(
            seen.interface_id, seen.direction, seen.source, seen.destination, seen.protocol, source_port, port, seen.first
        )  # fmt: skip
    side.first = min(side.first, seen.first)
    side.flags |= seen.tcp_flags or 0
    side.packets += seen.packets
    side.octets += seen.octets


def _openers(sides: list[Opening]) -> list[Opening]:
    if len(sides) == 1:
        return sides
    opened = [side for side in sides if side.flags & SYN and not side.flags & ACK]
    if len(opened) == 1:
        return opened
    called = [side for side in sides if side.destination_port < DYNAMIC <= side.source_port]
    if len(called) == 1:
        return called
    one, other = sorted(sides, key=lambda side: side.first)
    return [one] if one.first < other.first else sides
