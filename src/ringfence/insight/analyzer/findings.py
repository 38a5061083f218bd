"""Findings: the paths that match a scope, each with the rules that let it through (API Reference: `AccessScopeAnalysisFinding`).

One finding is one source, one destination, one protocol and one sequence of rules; its header has all ports, and all outside
addresses, that these rules let through. The findings of a scope together are exactly the packets that match it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import collapse_addresses
from typing import Any

from ringfence.insight.analyzer import views, ways
from ringfence.insight.analyzer.scope import Path, Scope
from ringfence.insight.analyzer.views import View
from ringfence.insight.reach.atoms import BASES, OTHER, Interval
from ringfence.insight.reach.engine import number_to_address
from ringfence.insight.reach.space import packet_at
from ringfence.model.net import Network, PortRange
from ringfence.policy.evaluate import INTERNET, judge
from ringfence.policy.flows import Flows
from ringfence.policy.packet import Hop, Layer, Packet

#: AWS: findings per scope analysis
MOST = 10_000
_UNPORTED = BASES[1]
Key = tuple[Any, ...]


@dataclass(slots=True)
class _Group:
    """What will be one finding."""

    path: Path
    hops: tuple[Hop, ...]
    ranges: tuple[Interval, ...]
    sources: tuple[Interval, ...]
    blocks: list[Network]


def findings(scope: Scope, most: int = MOST) -> tuple[list[list[View]], bool]:
    """The components of each finding, and whether there are more than `most`."""
    groups: dict[Key, _Group] = {}
    for path in scope.paths():
        blocks = _blocks(scope, path)
        for key, group in _told(scope, path):
            held = groups.setdefault(key, group)
            held.blocks += blocks
        if len(groups) > most:
            return [_components(scope, group) for group in [*groups.values()][:most]], True
    return [_components(scope, group) for group in groups.values()], False


def _blocks(scope: Scope, path: Path) -> list[Network]:
    """The outside addresses of a path."""
    if path.atom is None:
        return []
    without: set[int] = set()
    if path.source in {gate.gateway_id for gate in scope.engine.places.gateways} and path.family == 4:
        gate = next(gate for gate in scope.engine.places.gateways if gate.gateway_id == path.source)
        without = {1 << 32 | address for address in gate.inward}
    return ways.own_blocks(scope.engine, path.family, path.atom, without)


# ---------------------------------------------------------------------- by rules
def _told(scope: Scope, path: Path) -> Iterator[tuple[Key, _Group]]:
    """A path by the rules that let its packets through."""
    cuts = sorted(ways.cuts(scope.engine, path.way.steps))
    found: dict[Key, tuple[tuple[Hop, ...], list[Interval]]] = {}
    for whole, sources in path.space.ranges():
        for piece in _pieces(whole, cuts):
            hops = _hops(scope, path, piece[0], sources)
            rules = tuple((hop.layer, hop.by) for hop in hops)
            key = (_family_of(piece[0]), tuple(sources or ()), rules)
            found.setdefault(key, (hops, []))[1].append(piece)
    ends = (path.source, path.end, path.family)
    fixed = (None, None) if path.atom is not None else (path.src, path.dst)
    known = (path.way.src, path.way.dst) if path.atom is None else ()
    for (protocol, sources, rules), (hops, ranges) in found.items():
        joined = tuple(_joined(ranges))
        own = path.dst if path.source not in scope.ports else path.src
        key = (*ends, own, *fixed, *known, protocol, joined, sources, rules)
        yield key, _Group(path, hops, joined, tuple(sources), [])


def _family_of(at: int) -> int:
    """The protocol of a point, -1 for those that have nothing but a number."""
    return next((number for number, base in BASES.items() if base == at & ~0xFFFF), -1) if at < OTHER else -1


def _pieces(whole: Interval, cuts: list[int]) -> Iterator[Interval]:
    """An interval, cut where rules on the way begin or end."""
    starts = [whole[0], *(cut for cut in cuts if whole[0] < cut <= whole[1])]
    for n, first in enumerate(starts):
        yield first, (starts[n + 1] - 1 if n + 1 < len(starts) else whole[1])


def _joined(ranges: list[Interval]) -> Iterator[Interval]:
    """Ranges that touch as one."""
    at: Interval | None = None
    for first, last in sorted(ranges):
        if at is not None and first == at[1] + 1:
            at = (at[0], last)
            continue
        if at is not None:
            yield at
        at = (first, last)
    if at is not None:
        yield at


def _hops(scope: Scope, path: Path, at: int, sources: list[Interval] | None) -> tuple[Hop, ...]:
    """The elements that one packet meets, as far as the path's end."""
    make = partial(number_to_address, path.family)
    packet: Packet = packet_at(make(path.src), make(path.dst), at, None if sources is None else sources[0][0])
    sender = path.source if path.source in scope.engine.places.ports else INTERNET
    arrival = judge(scope.engine.index, Flows(), packet, sender)
    hops = arrival.hops
    if sender != INTERNET and path.end not in scope.engine.places.ports:
        gateway = next(n for n, hop in enumerate(hops) if hop.layer is Layer.GATEWAY)
        hops = hops[: gateway + 1]
        assert hops[-1].allowed, "the walk and the evaluator disagree"
    else:
        assert arrival.at == path.end, "the walk and the evaluator disagree"
    return hops


# ---------------------------------------------------------------------- as components
def _components(scope: Scope, group: _Group) -> list[View]:
    path = group.path
    outside = path.source not in scope.engine.places.ports
    sources: tuple[Network, ...] = (views.host(number_to_address(path.family, path.src)),)
    destinations: tuple[Network, ...] = (views.host(number_to_address(path.family, path.dst)),)
    if path.atom is not None:
        blocks = tuple(collapse_addresses(group.blocks))  # type: ignore[type-var]
        sources, destinations = (blocks, destinations) if outside else (sources, blocks)
    first = group.ranges[0][0]
    ported = first < _UNPORTED
    header = ways.Header(
        sources, destinations, tuple(_ports(each) for each in group.sources) if ported else (),
        tuple(_ports(each) for each in group.ranges) if ported else (), _protocol(group),
    )  # fmt: skip
    at = path.end if path.end in scope.engine.places.ports else INTERNET
    return ways.Walk(scope.world, scope.engine, header, group.hops, outside=outside).components(at)


def _ports(span: Interval) -> PortRange:
    return PortRange(span[0] & 0xFFFF, span[1] & 0xFFFF)


def _protocol(group: _Group) -> str:
    """A number; of protocols without anything but a number, all of them: `2-5,47`."""
    known = _family_of(group.ranges[0][0])
    if known >= 0:
        return str(known)
    spans = [(first - OTHER, last - OTHER) for first, last in group.ranges]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
