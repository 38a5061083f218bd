"""A packet's way and its answer's, hop by hop, as path components.

Which rule decided comes from the evaluator, for one packet; the header that each component shows is the widest range of ports
around that packet's, and of outside addresses, for which the same rules decide all the way there and back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import collapse_addresses
from typing import Any

from ringfence.insight.analyzer import views
from ringfence.insight.analyzer.beyond import follow
from ringfence.insight.analyzer.candidates import Candidate
from ringfence.insight.analyzer.question import End, Question
from ringfence.insight.analyzer.search import Found, Searched
from ringfence.insight.analyzer.views import View
from ringfence.insight.reach.atoms import BASES, Interval, interval
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.exposure import block_of
from ringfence.insight.reach.journey import Step
from ringfence.insight.reach.space import Space
from ringfence.model.kinds import INSTANCE, NETWORK_INTERFACE, PEERING_CONNECTION
from ringfence.model.net import PORTED, Network, PortRange
from ringfence.model.world import World
from ringfence.policy.evaluate import INTERNET, SERVICE, Exchange
from ringfence.policy.ir import Acl, Edge, Group, associated_key
from ringfence.policy.packet import Hop, Layer, Packet

_ACL = (Layer.NACL_IN, Layer.NACL_OUT)
_GROUPS = (Layer.SG_INGRESS, Layer.SG_EGRESS)


@dataclass(frozen=True, slots=True)
class Header:
    """What a packet looks like at one place of its way."""

    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    source_ports: tuple[PortRange, ...]
    destination_ports: tuple[PortRange, ...]
    protocol: str

    def answered(self) -> Header:
        """The answer's header."""
        return Header(self.destinations, self.sources, self.destination_ports, self.source_ports, self.protocol)

    @property
    def view(self) -> View:
        """`AnalysisPacketHeader`."""
        return views.header(
            self.protocol, self.sources, self.destinations, self.source_ports, self.destination_ports
        )  # fmt: skip


class Way:
    """The components of a path that was found. `exact`: headers of the one packet only, which is quicker."""

    def __init__(
        self, world: World, engine: Engine, question: Question, searched: Searched, found: Found, *, exact: bool = False
    ) -> None:
        self.world, self.engine, self.question, self.found = world, engine, question, found
        self.sent = _header_of(found.packet) if exact else _widest(engine, question, searched, found)

    # ------------------------------------------------------------------ both ways
    def there(self) -> list[View]:
        """`ForwardPathComponents`."""
        done = self.found.done
        outside = self.found.candidate.source == INTERNET
        walk = Walk(self.world, self.engine, self.sent, done.there.hops, outside=outside)
        return walk.components(done.there.at, self.question.source, self.question.destination)

    def back(self) -> list[View]:
        """`ReturnPathComponents`; none when the VPC's router itself answers. From an endpoint, the endpoint first."""
        done = self.found.done
        if done.back is None:
            return []
        outside = self.found.candidate.source == INTERNET
        arrived = Walk(self.world, self.engine, self.sent, done.there.hops, outside=outside).arriving()
        walk = Walk(self.world, self.engine, arrived.answered(), done.back.hops, outside=done.there.at == INTERNET)
        parts = walk.components(done.back.at, self.question.destination, self.question.source)
        if done.there.endpoint is None:
            return parts
        first = {
            "Component": views.component(self.world, done.there.endpoint),
            "OutboundHeader": arrived.answered().view,
        }
        return [{**part, "SequenceNumber": n} for n, part in enumerate((first, *parts), 1)]


class Walk:
    """One way. `outside`: it begins beyond the internet gateways."""

    def __init__(self, world: World, engine: Engine, header: Header, hops: Iterable[Hop], *, outside: bool) -> None:
        self.world, self.engine = world, engine
        self.header, self.hops, self.outside = header, tuple(hops), outside
        self.zone: str | None = None

    def components(self, at: str | None, start: End | None = None, end: End | None = None) -> list[View]:
        """All of them, numbered; instances at the ends when they were named."""
        out = self._named(start, "OutboundHeader")
        for hop in self.hops:
            shown = self._hop(hop)
            if shown is not None:
                out.append(shown)
        if at == SERVICE and self.hops[-1].layer is not Layer.ENDPOINT:  # of the router
            vpc = self.engine.places.ports[self.hops[0].interface or ""].vpc_id
            out.append({"Component": views.component(self.world, vpc), "InboundHeader": self.header.view})
        elif at in self.engine.places.ports:
            out += [self._interface(at, "InboundHeader"), *self._named(end, "InboundHeader")]
        return [{"SequenceNumber": n, **each} for n, each in enumerate(out, 1)]

    def arriving(self) -> Header:
        """The header at the end."""
        for hop in self.hops:
            if hop.layer is Layer.GATEWAY:
                self._cross(hop.by.component)
        return self.header

    def _named(self, end: End | None, side: str) -> list[View]:
        """The instance, when the question named one."""
        if end is None or self.world.find(INSTANCE, end.component) is None:
            return []
        return [{"Component": views.component(self.world, end.component), side: self.header.view}]

    # ------------------------------------------------------------------ elements
    def _hop(self, hop: Hop) -> View | None:
        if hop.layer is Layer.SOURCE_CHECK:
            return self._interface(hop.by.component, "OutboundHeader")
        if hop.layer is Layer.GATEWAY:
            return self._gateway(hop.by.component)
        if hop.layer is Layer.ENDPOINT:
            return {"Component": views.component(self.world, hop.by.component), "InboundHeader": self.header.view}
        if hop.layer in _GROUPS:
            rule = views.find_group_rule(self.world, hop.by.component, hop.by.rule)
            if rule is None:  # admitted by state: no rule was asked
                return None
            return {"Component": views.component(self.world, hop.by.component), "SecurityGroupRule": rule}
        if hop.layer in _ACL:
            family = self.header.destinations[0].version
            rule = views.acl_rule(
                self.world, hop.by.component, hop.by.rule, egress=hop.layer is Layer.NACL_OUT, family=family
            )
            return {"Component": views.component(self.world, hop.by.component), "AclRule": rule}
        # inside one subnet and behind a gateway without a table no route is asked
        if hop.layer is not Layer.NO_ROUTE or hop.by.rule in (None, "local"):
            return None
        if hop.by.component.startswith(PEERING_CONNECTION.prefix):
            shown = {"InboundHeader": self.header.view, "OutboundHeader": self.header.view}
            return {"Component": views.component(self.world, hop.by.component), **shown}
        route = views.find_route(self.world, hop.by.component, hop.by.rule or "")
        return {"Component": views.component(self.world, hop.by.component), "RouteTableRoute": route}

    def _interface(self, id: str, side: str) -> View:
        eni = self.world.get(NETWORK_INTERFACE, id)
        out = {"Component": views.component(self.world, id), side: self.header.view, **views.place(self.world, eni)}
        if self.zone not in (None, eni.availability_zone):
            out["AdditionalDetails"] = [{"AdditionalDetailType": "AVAILABILITY_ZONE_CROSSED"}]
        self.zone = eni.availability_zone
        return out

    def _gateway(self, id: str) -> View:
        out: View = {"Component": views.component(self.world, id), "InboundHeader": self.header.view}
        vpc = self._cross(id)
        return out | {"OutboundHeader": self.header.view, "Vpc": views.component(self.world, vpc)}

    def _cross(self, id: str) -> str:
        """Exchange addresses as the gateway does: out of its VPC, or in. Returns the VPC."""
        edge = self.engine.ir.fragments["Edge", id]
        assert isinstance(edge, Edge)
        if self.outside:
            self.header = replace(self.header, destinations=_exchanged(self.header.destinations, edge.nat, inward=True))
        else:
            self.header = replace(self.header, sources=_exchanged(self.header.sources, edge.nat, inward=False))
        self.outside = not self.outside
        return edge.vpc_id


def _exchanged(blocks: tuple[Network, ...], nat: Iterable[Any], *, inward: bool) -> tuple[Network, ...]:
    """A header has one address of ours; blocks of the outside stay as they are."""
    if len(blocks) != 1 or blocks[0].prefixlen != blocks[0].max_prefixlen:
        return blocks
    address = blocks[0].network_address
    found = (pair[1] if inward else pair[0] for pair in nat if pair[0 if inward else 1] == address)
    return (views.host(next(found, address)),)


# ---------------------------------------------------------------------- the widest header
def signature(done: Exchange) -> tuple[Any, ...]:
    """Which rules decided, and where it went."""
    return done.verdict.allowed, done.there.at, tuple((hop.layer, hop.by, hop.tracked) for hop in done.verdict.hops)


def _header_of(packet: Packet) -> Header:
    """Of one packet."""
    source_ports, destination_ports = (
        ((PortRange(packet.sport, packet.sport),), (PortRange(packet.dport, packet.dport),))
        if packet.protocol in PORTED
        else ((), ())
    )
    return Header(
        (views.host(packet.src),), (views.host(packet.dst),), source_ports, destination_ports, str(int(packet.protocol))
    )  # fmt: skip


def _widest(engine: Engine, question: Question, searched: Searched, found: Found) -> Header:
    packet = found.packet
    out = _header_of(packet)
    if packet.protocol in PORTED:
        spread = _Spread(engine, question, found)
        out = replace(out, destination_ports=(spread.ports("dport"),), source_ports=(spread.ports("sport"),))
    candidate = found.candidate
    if candidate.alike:
        return replace(out, sources=tuple(collapse_addresses(views.host(a) for a in candidate.alike)))  # type: ignore[type-var]
    if candidate.atom is None:
        return out
    blocks = tuple(_alike(engine, searched, found))
    return replace(out, **{"sources" if candidate.source == INTERNET else "destinations": blocks})  # type: ignore[arg-type]


class _Spread:
    """How far a packet's ports may move while the same rules decide."""

    def __init__(self, engine: Engine, question: Question, found: Found) -> None:
        self.engine, self.found, self.question = engine, found, question
        self.wanted = signature(found.done)
        # rules, and what routers, endpoints and state let through without one
        self.cuts = sorted(cuts(engine, found.answer.steps) | _edges(found.answer.space))

    def ports(self, field: str) -> PortRange:
        """The range of one field, the other one as the packet has it."""
        base = BASES[self.found.packet.protocol]
        limits = self.question.sources if field == "sport" else self.question.services[self.found.packet.family]
        assert limits is not None
        at, (low, high) = getattr(self.found.packet, field), (limits[0] - base, limits[1] - base)
        starts = sorted({low, *(cut - base for cut in self.cuts if low < cut - base <= high)})
        pieces = [(first, (*starts, high + 1)[n + 1] - 1) for n, first in enumerate(starts)]
        mine = next(n for n, (first, last) in enumerate(pieces) if first <= at <= last)
        down = up = mine
        while down > 0 and self._same(field, pieces[down - 1]):
            down -= 1
        while up + 1 < len(pieces) and self._same(field, pieces[up + 1]):
            up += 1
        return PortRange(pieces[down][0], pieces[up][1])

    def _same(self, field: str, piece: Interval) -> bool:
        moved: Any = {field: piece[0]}
        packet = replace(self.found.packet, **moved)
        return (
            signature(follow(self.engine, self.found.candidate.source, packet, self.found.candidate.by)) == self.wanted
        )


def _edges(space: Space) -> set[int]:
    """The boundaries of a set."""
    spans = [span for services, sources in space.ranges() for span in (services, *(sources or ()))]
    return {cut for first, last in spans for cut in (first, last + 1)}


def cuts(engine: Engine, steps: Iterable[Step]) -> set[int]:
    """The boundaries of services that rules on a way name."""
    out: set[int] = set()
    for step in steps:
        port = engine.places.ports.get(step.interface or "")
        for id in step.component:
            for fragment in _fragments(engine, id, port.vpc_id if port is not None else ""):
                for rule in (*fragment.ingress, *fragment.egress):
                    first, last = interval(rule.match)
                    out |= {first, last + 1}
    return out


def _fragments(engine: Engine, id: str, vpc_id: str) -> Iterable[Group | Acl]:
    for key in (("Acl", id), ("Group", id), ("Group", associated_key(id, vpc_id))):
        fragment = engine.ir.fragments.get(key)
        if isinstance(fragment, Group | Acl):
            yield fragment


def _alike(engine: Engine, searched: Searched, found: Found) -> list[Network]:
    """The addresses outside, or beyond a connection or an endpoint, for which the same rules decide, as blocks."""
    wanted, out, candidate = signature(found.done), list[Network](), found.candidate
    assert searched.candidates is not None
    atoms, without = searched.candidates.like(candidate)
    for atom, address in atoms:
        packet = _moved(candidate, found.packet, address)
        if signature(follow(engine, candidate.source, packet, candidate.by)) == wanted:
            out += own_blocks(engine, found.packet.family, atom, without)
    return list(collapse_addresses(out))  # type: ignore[type-var]


def _moved(candidate: Candidate, packet: Packet, address: int) -> Packet:
    """The packet with another outside address."""
    kind = type(packet.src)
    if candidate.source == INTERNET:
        return replace(packet, src=kind(address))
    return replace(packet, dst=kind(address))


def own_blocks(engine: Engine, family: int, atom: int, without: set[int]) -> list[Network]:
    """An atom's addresses as blocks: its block but for atoms inside it and for the blocks in `without`."""
    inner = [code for code in engine.prefixes[family].codes | without if _under(code, atom)]
    return [block_of(family, code) for code in _without(atom, inner)]


def _under(code: int, atom: int) -> bool:
    away = code.bit_length() - atom.bit_length()
    return away > 0 and code >> away == atom


def _without(code: int, inner: list[int]) -> list[int]:
    """A block without blocks inside it, as blocks."""
    if not inner:
        return [code]
    if code in inner:
        return []
    out: list[int] = []
    for half in (code << 1, code << 1 | 1):
        out += _without(half, [each for each in inner if each == half or _under(each, half)])
    return out
