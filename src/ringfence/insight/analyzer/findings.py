"""Findings: the paths that match a scope, each with the rules that let it through (API Reference: `AccessScopeAnalysisFinding`).

One finding is one source, one destination, one protocol and one sequence of rules; its header has all ports, and all outside
addresses, that these rules let through. The findings of a scope together are exactly the packets that match it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import collapse_addresses
from typing import Any

from ringfence.insight.analyzer import views, ways
from ringfence.insight.analyzer.deciding import Deciding, bounds
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
Sources = list[Interval] | None


@dataclass(slots=True)
class _Group:
    """What will be one finding."""

    path: Path
    hops: tuple[Hop, ...]
    ranges: tuple[Interval, ...]
    sources: tuple[Interval, ...]
    atoms: list[int]


def findings(scope: Scope, most: int = MOST) -> tuple[list[list[View]], bool]:
    """The components of each finding, and whether there are more than `most`."""
    groups: dict[Key, _Group] = {}
    telling = _Telling(scope)
    for path in scope.paths():
        for key, group in telling.told(path):
            held = groups.setdefault(key, group)
            if path.atom is not None:
                held.atoms.append(path.atom)
        if len(groups) > most:
            break
    blocks = _Blocks(scope)
    return [_components(scope, group, blocks) for group in [*groups.values()][:most]], len(groups) > most


class _Blocks:
    """Outside addresses as blocks; the same atoms stand in many findings."""

    def __init__(self, scope: Scope) -> None:
        self._engine = scope.engine
        self._ours = {gate.gateway_id: {1 << 32 | a for a in gate.inward} for gate in scope.engine.places.gateways}
        self._memo: dict[tuple[str, int, tuple[int, ...]], tuple[Network, ...]] = {}

    def of(self, group: _Group) -> tuple[Network, ...]:
        """Those of a finding; from outside, a gateway's own public addresses are nobody's."""
        path = group.path
        gateway = path.source if path.family == 4 and path.source in self._ours else ""
        key = (gateway, path.family, tuple(group.atoms))
        found = self._memo.get(key)
        if found is None:
            out: list[Network] = []
            for atom in group.atoms:
                out += ways.own_blocks(self._engine, path.family, atom, self._ours.get(gateway, set()))
            found = self._memo[key] = tuple(collapse_addresses(out))  # type: ignore[type-var]
        return found


# ---------------------------------------------------------------------- by rules
#: one finding's part of a path: protocol, ranges, source ports, hops
Part = tuple[int, tuple[Interval, ...], tuple[Interval, ...], tuple[Hop, ...]]


class _Telling:
    """Paths by the rules that let their packets through; what is alike is worked out once."""

    def __init__(self, scope: Scope) -> None:
        self.scope, self._deciding = scope, Deciding(scope)
        self._memo: dict[Key, list[Part]] = {}
        self._walked: list[object] = []  # so that an id in a key stays the walk's

    def told(self, path: Path) -> Iterator[tuple[Key, _Group]]:
        """Each group of packets of a path, with what tells its finding from others."""
        ends = (path.source, path.end, path.family)
        outside = path.source not in self.scope.engine.places.ports
        fixed = (path.dst if outside else path.src, *((path.src, path.dst) if path.atom is None else ()))
        for protocol, ranges, sources, hops in self._parts(path):
            rules = tuple((hop.layer, hop.by) for hop in hops)
            yield (*ends, *fixed, protocol, ranges, sources, rules), _Group(path, hops, ranges, sources, [])

    def _parts(self, path: Path) -> list[Part]:
        gates = self._deciding.gates(path)
        if gates is None:
            return self._followed(path)
        key = (path.space.ports, path.space.plain, gates)
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = _grouped(
                path, bounds(gates), lambda at, _: tuple(gate.at(at) for gate in gates)
            )  # fmt: skip
        return found

    def _followed(self, path: Path) -> list[Part]:
        """By the evaluator. What one class of a far VPC sends in by a connection meets the same elements from there on."""
        key: Key = (id(path.way.steps), path.source, path.end, path.dst, path.space.ports, path.space.plain)
        found = self._memo.get(key) if path.source == path.way.crossed else None
        if found is None:
            cuts = sorted(ways.cuts(self.scope.engine, path.way.steps))
            found = _grouped(path, cuts, partial(judged, self.scope, path))
            if path.source == path.way.crossed:
                self._walked.append(path.way.steps)
                self._memo[key] = found
        return found


def _grouped(path: Path, cuts: list[int], hops_at: Callable[[int, Sources], tuple[Hop, ...]]) -> list[Part]:
    """The pieces of a path's set by protocol, source ports and rules."""
    found: dict[Key, tuple[tuple[Hop, ...], list[Interval]]] = {}
    for whole, sources in path.space.ranges():
        for piece in pieces(whole, cuts):
            hops = hops_at(piece[0], sources)
            rules = tuple((hop.layer, hop.by) for hop in hops)
            key = (_family_of(piece[0]), tuple(sources or ()), rules)
            found.setdefault(key, (hops, []))[1].append(piece)
    return [
        (protocol, tuple(_joined(ranges)), sources, hops) for (protocol, sources, _), (hops, ranges) in found.items()
    ]  # fmt: skip


def _family_of(at: int) -> int:
    """The protocol of a point, -1 for those that have nothing but a number."""
    return next((number for number, base in BASES.items() if base == at & ~0xFFFF), -1) if at < OTHER else -1


def pieces(whole: Interval, cuts: list[int]) -> Iterator[Interval]:
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


def judged(scope: Scope, path: Path, at: int, sources: Sources) -> tuple[Hop, ...]:
    """The elements that one packet meets, as far as the path's end."""
    make = partial(number_to_address, path.family)
    packet: Packet = packet_at(make(path.src), make(path.dst), at, None if sources is None else sources[0][0])
    sender = _sender(scope, path)
    arrival = judge(scope.engine.index, Flows(), packet, sender)
    hops = arrival.hops
    if path.way.crossed in (path.source, path.end):
        at_peer = next(n for n, hop in enumerate(hops) if hop.by.component == path.way.crossed)
        if path.end == path.way.crossed:  # whoever has the address there, if anybody
            return *hops[:at_peer], replace(hops[at_peer], allowed=True)
        assert arrival.at == path.end, "the walk and the evaluator disagree"
        return hops[at_peer:]
    if path.end in scope.engine.places.endpoints:
        assert arrival.endpoint == path.end, "the walk and the evaluator disagree"
        return hops
    if sender != INTERNET and path.end not in scope.engine.places.ports:
        gateway = next(n for n, hop in enumerate(hops) if hop.layer is Layer.GATEWAY)
        hops = hops[: gateway + 1]
        assert hops[-1].allowed, "the walk and the evaluator disagree"
    else:
        assert arrival.at == path.end, "the walk and the evaluator disagree"
    return hops


def _sender(scope: Scope, path: Path) -> str:
    """The interface that sends, in the far VPC when the path begins at a connection; or INTERNET."""
    places = scope.engine.places
    if path.source in places.ports:
        return path.source
    if path.source != path.way.crossed:
        return INTERNET
    crossing = places.vpcs[places.ports[path.end].vpc_id].crossings[path.source]
    return places.vpcs[crossing.far_vpc_id].owners[path.family][path.src].eni_id


# ---------------------------------------------------------------------- as components
def _components(scope: Scope, group: _Group, known: _Blocks) -> list[View]:
    path = group.path
    outside = path.source not in scope.engine.places.ports
    sources: tuple[Network, ...] = (views.host(number_to_address(path.family, path.src)),)
    destinations: tuple[Network, ...] = (views.host(number_to_address(path.family, path.dst)),)
    if path.atom is not None:
        blocks = known.of(group)
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
