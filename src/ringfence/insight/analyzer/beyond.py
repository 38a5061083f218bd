"""Conversations that begin or end at a VPC peering connection, as Reachability Analyzer looks at it.

A connection as the destination is every address of the far VPC's blocks, whoever has it: the packet leaves by the connection, and
an answer that comes in by it gets home. As the source it is the interfaces of the far VPC with their own addresses: what these
really send arrives, in by the connection, and the answer gets back out by it. Nothing of the far VPC is part of the path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ringfence.insight.analyzer.oneway import BEYOND
from ringfence.insight.analyzer.question import Question
from ringfence.insight.reach.engine import Answer, Engine, Unknown
from ringfence.insight.reach.groups import far_name
from ringfence.insight.reach.journey import Back, There, Unmodelled
from ringfence.insight.reach.places import WIDTH, Crossing, Port
from ringfence.insight.reach.space import Space
from ringfence.insight.reach.walk import Walk
from ringfence.model.net import Address
from ringfence.policy.evaluate import Arrival, Exchange, exchange, judge
from ringfence.policy.flows import Flows
from ringfence.policy.ir import Ir, Peering, PeerMembers, associated_key
from ringfence.policy.packet import Packet, Verdict


@dataclass(frozen=True, slots=True)
class By:
    """The connection that packets of a pair come `into` a VPC by, or leave it by. `vpc_id`: the near one."""

    peering_id: str
    vpc_id: str
    into: bool


class _Crossing(Walk):
    """A walk that remembers the connection it took. `begin`: what is not known of the far VPC has no other name than the connection."""

    crossed: str | None = None

    def begin(self, port: Port, by: By) -> str | None:
        try:
            return self.from_interface(port)
        except Unmodelled:
            if (port.vpc_id == by.vpc_id) is (self.crossed is None):
                raise
            raise Unmodelled(by.peering_id, BEYOND) from None

    def _from_peer(self, way: Crossing, *, direct: bool) -> str | None:
        self.crossed = way.peering_id
        return super()._from_peer(way, direct=direct)


class _Leaving(Walk):
    """A walk that ends at the connection that it leaves by."""

    def _from_peer(self, way: Crossing, *, direct: bool) -> str | None:
        return way.peering_id


def aimed(engine: Engine, question: Question) -> Engine:
    """The engine as a question asks it.

    Whom rules name beyond a connection that is the destination are atoms of their own. A VPC that the analysis may not look into is
    not known: rules that name its groups let nothing through (UNKNOWN_PEERED_SGS).
    """
    blind = {
        key: replace(fragment, same_region=False) for key, fragment in engine.ir.fragments.items()
        if isinstance(fragment, Peering) and fragment.peering_id in question.unknown
    } if question.unknown else {}  # fmt: skip
    if blind:
        engine = engine.update(Ir(engine.ir.generation, {**engine.ir.fragments, **blind}))
    destination = question.destination
    if destination is None or destination.peering is None:
        return engine
    named: dict[int, set[int]] = {4: set(), 6: set()}
    for address in _whom(engine, question, destination.peering):
        named[address.version].add(1 << WIDTH[address.version] | int(address))
    return engine.on(engine.services, {family: engine.prefixes[family].with_codes(named[family]) for family in (4, 6)})


def _whom(engine: Engine, question: Question, peering_id: str) -> Iterator[Address]:
    """The addresses beyond that rules of the sources, and of what may pass their packets on, name by a group."""
    places = engine.places
    vpcs = {places.ports[eni].vpc_id for eni in question.source.interfaces}
    on_the_way = {*question.source.interfaces, *(eni for eni in engine.appliances if eni in places.ports)}
    for vpc_id in vpcs:
        way = places.vpcs[vpc_id].crossings.get(peering_id)
        members = engine.ir.fragments.get(("PeerMembers", associated_key(peering_id, vpc_id)))
        if way is None or not isinstance(members, PeerMembers):
            continue
        names: set[str] = set()
        for eni in on_the_way:
            if places.ports[eni].vpc_id == vpc_id:
                rules = engine.group_set(vpc_id, places.ports[eni].groups)
                names.update(
                    name for egress in (True, False) for family in (4, 6) for name in rules.names(egress, family)
                )
        for group in members.groups:
            if far_name(group.group_id, way.far_vpc_id) in names:
                yield from group.ipv4
                yield from group.ipv6


# ---------------------------------------------------------------------- all packets between two addresses
def converse(engine: Engine, source: str, src: Address, dst: Address, by: By | None) -> Answer:
    """`Engine.conversations`, of what goes by a connection when there is one. Arrives, leaving, at the connection."""
    if by is None:
        return engine.conversations(source, src, dst)
    there = There(engine.services, engine.services.full)
    try:
        return (_into if by.into else _out)(engine, there, source, src, dst, by)
    except Unmodelled as problem:
        unknown = Unknown(problem.component, problem.why) if there.alive else None
        return Answer(source, src, dst, Space(engine.services), steps=tuple(there.steps), unknown=unknown)


def _out(engine: Engine, there: There, source: str, src: Address, dst: Address, by: By) -> Answer:
    walk = _Leaving(engine, there, src.version, int(src), int(dst))
    end, nothing = walk.from_interface(engine.places.ports[source]), Space(engine.services)
    if end != by.peering_id:
        return Answer(source, src, dst, nothing, end, tuple(there.steps), tuple(walk.through))
    back = Back.of(there)
    crossing = engine.places.vpcs[by.vpc_id].crossings[by.peering_id]
    home = Walk(engine, back, src.version, walk.dst, walk.src)
    at = home._from_peer(engine.places.vpcs[crossing.far_vpc_id].crossings[by.peering_id], direct=True)
    space = Space.of(engine.services, back.ports, back.plain) if at == source else nothing
    return Answer(source, src, dst, space, end, tuple(there.steps), tuple(walk.through))


def _into(engine: Engine, there: There, source: str, src: Address, dst: Address, by: By) -> Answer:
    walk = _Crossing(engine, there, src.version, int(src), int(dst))
    end, nothing = walk.begin(engine.places.ports[source], by), Space(engine.services)
    steps, through = there.steps, tuple(walk.through)
    if end is None or walk.crossed != by.peering_id:
        return Answer(source, src, dst, nothing, None, tuple(steps), through)
    back = Back.of(there)
    home = _Crossing(engine, back, src.version, walk.dst, walk.src)
    at = home.begin(engine.places.ports[end], by)
    returned = (at, home.dst, home.src, home.crossed) == (source, int(src), int(dst), by.peering_id)
    space = Space.of(engine.services, back.ports, back.plain) if returned else nothing
    return Answer(source, src, dst, space, end, tuple(steps), through)


# ---------------------------------------------------------------------- one packet, with its rules
def follow(engine: Engine, source: str, packet: Packet, by: By | None) -> Exchange:
    """`evaluate.exchange`; of what goes by a connection, the near VPC's hops and the connection's."""
    if by is None:
        return exchange(engine.index, packet, source)
    if by.into:
        whole = exchange(engine.index, packet, source)
        there, back = _from(whole.there, by), _until(whole.back, by)
        allowed = whole.verdict.allowed
    else:
        sent = judge(engine.index, Flows(), packet, source)
        there, back = _until(sent, by), None
        if there is not None:
            near = associated_key(by.peering_id, by.vpc_id)
            back = judge(engine.index, sent.flows, sent.packet.reply(), near, reply=True)
        allowed = back is not None and back.at == source
    if there is None or back is None:
        refused = there or Arrival(None, packet, (), Flows())
        return Exchange(Verdict(allowed=False, hops=refused.hops), refused, None)
    return Exchange(Verdict(allowed=allowed, hops=(*there.hops, *back.hops)), there, back)


def _at(arrival: Arrival | None, by: By) -> int | None:
    """The hop at which a packet takes the connection, whether or not somebody beyond has its address."""
    for n, hop in enumerate(arrival.hops if arrival is not None else ()):
        if hop.by.component == by.peering_id and (hop.by.rule or "").startswith("vpc-"):
            return n
    return None


def _until(arrival: Arrival | None, by: By) -> Arrival | None:
    """As far as the connection, where it ends."""
    at = _at(arrival, by)
    if arrival is None or at is None:
        return None
    hops = (*arrival.hops[:at], replace(arrival.hops[at], allowed=True))
    return replace(arrival, at=by.peering_id, hops=hops)


def _from(arrival: Arrival, by: By) -> Arrival | None:
    """From the connection on."""
    at = _at(arrival, by)
    return None if at is None else replace(arrival, hops=arrival.hops[at:])
