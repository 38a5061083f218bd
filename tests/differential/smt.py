"""A second opinion on whole sets: an SMT solver proves that a set of the reachability engine is what the rows say.

Written from the rows and AWS's rules alone, as formulas; neither the compiler nor the engine is asked for anything but the set
under proof. A pair's formula is over protocol, ports, ICMP type and code, all of them free: "no difference" is a proof for every
packet between the two addresses. For the internet the outside address is free as well.

What is encoded: security groups with references (over peering too) and prefix lists, tracking and its exception for open
rules (CT-03), network ACLs in order, there and back; local routes and subnets, peering, gateway endpoints; route tables,
gateway and public addresses for the internet. Pairs that an appliance stands between are left to the specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import z3  # type: ignore[import-not-found,import-untyped,unused-ignore]

from ringfence.insight.reach.atoms import BASES, OTHER, Interval
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.exposure import exposure
from ringfence.insight.reach.space import Space
from ringfence.model.kinds import (
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
    VPC_ENDPOINT,
)
from ringfence.model.net import PUBLIC_POOL, Address
from ringfence.model.nouns.network import Subnet
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringConnection
from ringfence.model.nouns.routing import RouteTable, RouteTarget
from ringfence.model.world import World
from ringfence.policy.spec import verdict as spec

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
Term = Any  # of z3


@dataclass(frozen=True)
class Symbol:
    """A packet whose fields are free."""

    protocol: Term
    sport: Term
    dport: Term
    kind: Term
    code: Term

    def answer(self) -> Symbol:
        """What comes back."""
        kind = self.kind
        for asked, answered in spec.QUESTIONS.items():
            kind = z3.If(self.kind == asked, z3.BitVecVal(answered, 8), kind)
        return Symbol(self.protocol, self.dport, self.sport, kind, self.code)

    def real(self, version: int) -> Term:
        """Fields that a protocol does not have are zero; ICMP is that of the IP version."""
        ported = z3.Or(self.protocol == TCP, self.protocol == UDP)
        icmp = z3.Or(self.protocol == ICMP, self.protocol == ICMPV6)
        return z3.And(
            z3.Or(ported, z3.And(self.sport == 0, self.dport == 0)),
            z3.Or(icmp, z3.And(self.kind == 0, self.code == 0)),
            self.protocol != (ICMPV6 if version == 4 else ICMP),
        )


def symbol() -> Symbol:
    """The packet in question."""
    names = (("protocol", 8), ("sport", 16), ("dport", 16), ("kind", 8), ("code", 8))
    return Symbol(*(z3.BitVec(name, width) for name, width in names))


# ---------------------------------------------------------------------- rules
Where = Address | Term  # the far end: known, or a free 32-bit number


def within(where: Where, block: Any) -> Term:
    """Is the far end in a block?"""
    if isinstance(where, IPv4Address) or not z3.is_expr(where):
        return z3.BoolVal(where.version == block.version and where in block)
    if not isinstance(block, IPv4Network):
        return z3.BoolVal(False)
    if block.prefixlen == 0:
        return z3.BoolVal(True)
    return z3.Extract(31, 32 - block.prefixlen, where) == int(block.network_address) >> 32 - block.prefixlen


def covers(protocol: int, numbers: tuple[int, int] | None, packet: Symbol) -> Term:
    """Protocol, then destination ports, or ICMP type and code."""
    if protocol == -1:
        return z3.BoolVal(True)
    same = packet.protocol == protocol
    if numbers is None or protocol not in (TCP, UDP, ICMP, ICMPV6):
        return same
    first, last = numbers
    if protocol in (TCP, UDP):
        return z3.And(same, z3.UGE(packet.dport, first), z3.ULE(packet.dport, last))
    kind = z3.BoolVal(True) if first == -1 else packet.kind == first
    code = z3.BoolVal(True) if first == -1 or last == -1 else packet.code == last
    return z3.And(same, kind, code)


@dataclass(frozen=True)
class Side:
    """One interface and what is at the far end. `sends_to`, `hears`: the groups by which its rules may name the far end."""

    world: World
    eni: NetworkInterface
    far: Where
    version: int
    sends_to: frozenset[str] = frozenset()
    hears: frozenset[str] = frozenset()

    def _rules(self) -> list[Any]:
        return [rule for id in self.eni.groups for rule in self.world.get(SECURITY_GROUP, id).rules]

    def admits(self, packet: Symbol, *, egress: bool) -> Term:
        """Does any rule of any group match?"""
        out = []
        for rule in self._rules():
            if rule.egress is not egress:
                continue
            if rule.group is not None:
                there = z3.BoolVal(rule.group.group_id in (self.sends_to if egress else self.hears))
            else:
                there = z3.Or(
                    *(within(self.far, block) for block in spec.blocks_of(self.world, rule)), z3.BoolVal(False)
                )
            out.append(z3.And(there, covers(rule.protocol, (rule.from_port, rule.to_port), packet)))
        return z3.Or(*out, z3.BoolVal(False))

    def tracks(self, packet: Symbol, *, egress: bool) -> Term:
        """CT-03: not what an open rule admits while the other direction is open for the whole protocol."""
        everyone = [rule for rule in self._rules() if spec.is_everyone(self.world, rule, self.version)]
        here = [covers(r.protocol, (r.from_port, r.to_port), packet) for r in everyone if r.egress is egress]
        back = [
            z3.BoolVal(True) if r.protocol == -1 else packet.protocol == r.protocol
            for r in everyone
            if r.egress is not egress and (r.protocol == -1 or (r.from_port, r.to_port) == (0, 65535))
        ]
        ported = z3.Or(packet.protocol == TCP, packet.protocol == UDP)
        return z3.Not(z3.And(ported, z3.Or(*here, z3.BoolVal(False)), z3.Or(*back, z3.BoolVal(False))))

    def hears_answer(self, packet: Symbol, *, egress: bool) -> Term:
        """May the answer pass the groups of an interface that the packet passed in direction `egress`?"""
        icmp = z3.Or(packet.protocol == ICMP, packet.protocol == ICMPV6)
        question = z3.Or(*(packet.kind == kind for kind in spec.QUESTIONS))
        known = z3.And(z3.Or(z3.Not(icmp), question), self.tracks(packet, egress=egress))
        return z3.Or(known, self.admits(packet.answer(), egress=not egress))

    def passes_acl(self, packet: Symbol, *, egress: bool) -> Term:
        """The first entry that matches decides."""
        acl = self.world.get(NETWORK_ACL, self._subnet.network_acl_id)
        verdict: Term = z3.BoolVal(False)
        for entry in sorted((e for e in acl.entries if e.egress is egress), key=lambda e: -e.number):
            numbers = (entry.ports.first, entry.ports.last) if entry.ports else entry.icmp
            matches = z3.And(within(self.far, entry.cidr), covers(entry.protocol, numbers, packet))
            verdict = z3.If(matches, z3.BoolVal(entry.allow), verdict)
        return verdict

    @property
    def _subnet(self) -> Subnet:
        return self.world.get(SUBNET, self.eni.subnet_id)


# ---------------------------------------------------------------------- what is claimed
def in_space(space: Space, packet: Symbol) -> Term:
    """The engine's set as a formula over the line of services."""
    point = z3.ZeroExt(24, packet.protocol) + OTHER
    numbers = z3.Concat(packet.kind, packet.code)
    for protocol, base in BASES.items():
        value = packet.dport if protocol in (TCP, UDP) else numbers
        point = z3.If(packet.protocol == protocol, z3.ZeroExt(16, value) + base, point)
    source = z3.ZeroExt(16, packet.sport) + z3.If(packet.protocol == UDP, z3.BitVecVal(BASES[UDP], 32), 0)
    parts = [
        z3.And(_between(point, span), _any(source, sources) if sources is not None else z3.BoolVal(True))
        for span, sources in space.ranges()
    ]
    return z3.Or(*parts, z3.BoolVal(False))


def _between(value: Term, span: Interval) -> Term:
    return z3.And(z3.UGE(value, span[0]), z3.ULE(value, span[1]))


def _any(value: Term, spans: list[Interval]) -> Term:
    return z3.Or(*(_between(value, span) for span in spans), z3.BoolVal(False))


def differs(domain: list[Term], truth: Term, claim: Term) -> str | None:
    """A packet that one has and the other has not; None is a proof that there is none."""
    solver = z3.Solver()
    solver.add(*domain, truth != claim)
    result = solver.check()
    if result == z3.unsat:
        return None
    return str(solver.model()) if result == z3.sat else "the solver gave up"


# ---------------------------------------------------------------------- questions
def pairs(world: World) -> Iterator[tuple[NetworkInterface, Address, NetworkInterface, Address]]:
    """Addresses of two running interfaces that local routes or a peering connection join both ways."""
    enis = [eni for eni in world.all(NETWORK_INTERFACE) if spec.runs(world, eni)]
    for one in enis:
        for other in enis:
            if one.id == other.id:
                continue
            for src in (*one.addresses, *one.ipv6):
                for dst in (*other.addresses, *other.ipv6):
                    if (
                        src.version == dst.version
                        and _joined(world, one, dst, other)
                        and _joined(world, other, src, one)
                    ):
                        yield one, src, other, dst


def _joined(world: World, eni: NetworkInterface, to: Address, target: NetworkInterface) -> bool:
    subnet = world.get(SUBNET, eni.subnet_id)
    if spec.in_subnet(subnet, to):
        return True
    hop = _hop(world, spec.table_of(world, subnet), to)
    if isinstance(hop, PeeringConnection):
        return hop.far_side(eni.vpc_id).vpc_id == target.vpc_id and spec.has(target, to)
    return hop == target


def _hop(world: World, table: RouteTable, to: Address) -> spec.Hop | None:
    try:
        return spec.next_hop(world, table, to)
    except spec.Dropped:
        return None


def carried(world: World, vpc_id: str, eni: NetworkInterface) -> frozenset[str]:
    """The groups that name an interface to a VPC: all of its own VPC's; of a peer's those that are that VPC's own (SG-52)."""
    if eni.vpc_id == vpc_id:
        return frozenset(eni.groups)
    own = frozenset(id for id in eni.groups if world.get(SECURITY_GROUP, id).vpc_id == eni.vpc_id)
    return own if _one_region(world, vpc_id, eni.vpc_id) else frozenset()


def with_address(world: World, vpc_id: str, address: Address) -> frozenset[str]:
    """The groups by which a VPC may send to an address, whoever has it."""
    holders = [eni for eni in world.all(NETWORK_INTERFACE) if spec.has(eni, address)]
    return frozenset().union(*(carried(world, vpc_id, eni) for eni in holders))


def _one_region(world: World, here: str, there: str) -> bool:
    """Does an active connection within one Region join two VPCs (PCX-09)?"""
    sides = [(pcx.requester, pcx.accepter) for pcx in world.all(PEERING_CONNECTION) if pcx.status == "active"]
    return any({a.vpc_id, b.vpc_id} == {here, there} and a.region == b.region for a, b in sides)


def pair_formula(
    world: World, packet: Symbol, a: NetworkInterface, src: Address, b: NetworkInterface, dst: Address
) -> Term:
    """The packet passes there and its answer back."""
    here = Side(world, a, dst, src.version, with_address(world, a.vpc_id, dst), carried(world, a.vpc_id, b))
    there = Side(world, b, src, src.version, with_address(world, b.vpc_id, src), carried(world, b.vpc_id, a))
    parts = [
        here.admits(packet, egress=True), there.admits(packet, egress=False),
        there.hears_answer(packet, egress=False), here.hears_answer(packet, egress=True),
    ]  # fmt: skip
    if not spec.in_subnet(world.get(SUBNET, a.subnet_id), dst):
        back = packet.answer()
        parts += [here.passes_acl(packet, egress=True), there.passes_acl(packet, egress=False),
                  there.passes_acl(back, egress=True), here.passes_acl(back, egress=False)]  # fmt: skip
    return z3.And(*parts)


def services(world: World) -> Iterator[tuple[NetworkInterface, Address, Address]]:
    """Addresses of running interfaces and those at the edges of the blocks that their tables lead to through an endpoint."""
    for endpoint in world.all(VPC_ENDPOINT):
        for eni in world.by(NETWORK_INTERFACE, "vpc", endpoint.vpc_id):
            table = spec.table_of(world, world.get(SUBNET, eni.subnet_id))
            ways = [route for route in table.listed if route.target_id == endpoint.id]
            edges = [edge for way in ways for block in spec.blocks_of(world, way) for edge in (block[0], block[-1])]
            for dst in edges if spec.runs(world, eni) else ():
                if isinstance(dst, IPv4Address) and _hop(world, table, dst) == endpoint:
                    yield from ((eni, src, dst) for src in eni.addresses)


def service_formula(world: World, packet: Symbol, eni: NetworkInterface, dst: Address) -> Term:
    """VPE-06: the packet passes to the service behind an endpoint, which answers it."""
    here, back = Side(world, eni, dst, 4), packet.answer()
    https = z3.And(packet.protocol == TCP, packet.dport == 443)
    echo = z3.And(packet.protocol == ICMP, packet.kind == 8)
    return z3.And(
        z3.Or(https, echo), here.admits(packet, egress=True), here.passes_acl(packet, egress=True),
        here.hears_answer(packet, egress=True), here.passes_acl(back, egress=False),
    )  # fmt: skip


def inbound_formula(world: World, packet: Symbol, eni: NetworkInterface, who: Term) -> Term:
    """Whoever it is on the internet: the packet reaches the interface's public address, and the answer gets out again."""
    side = Side(world, eni, who, 4)
    return z3.And(
        side.passes_acl(packet, egress=False), side.admits(packet, egress=False), side.hears_answer(packet, egress=False),
        side.passes_acl(packet.answer(), egress=True), _homeward(world, eni, who),
    )  # fmt: skip


def _homeward(world: World, eni: NetworkInterface, who: Term) -> Term:
    """Does the longest route that fits lead to the VPC's gateway? Of equally long ones that to a block, then the elder list's."""
    table = spec.table_of(world, world.get(SUBNET, eni.subnet_id))
    routes: list[tuple[Any, Any]] = [(block, route) for route in table.listed for block in spec.blocks_of(world, route)]
    routes = [(route.destination, route) for route in table.routes] + routes
    routes.reverse()  # the last that fits decides
    verdict: Term = z3.BoolVal(False)
    for block, route in sorted(routes, key=lambda choice: choice[0].prefixlen):
        gateway = (
            world.find(INTERNET_GATEWAY, route.target_id) if route.target is RouteTarget.INTERNET_GATEWAY else None
        )
        leads = gateway is not None and gateway.vpc_id == eni.vpc_id
        verdict = z3.If(within(who, block), z3.BoolVal(leads), verdict)
    return verdict


def outside(world: World, who: Term) -> list[Term]:
    """IPv4 addresses of the internet that no gateway of the installation has."""
    blocks = [*spec.NOT_PUBLIC, *spec.NOT_FORWARDED, PUBLIC_POOL]
    blocks += [association.block for vpc in world.all(VPC) for association in vpc.ipv4]
    return [z3.Not(within(who, block)) for block in blocks]


def claimed(engine: Engine, packet: Symbol, who: Term, eni_id: str, address: Address) -> Term:
    """What the engine's exposure says of one address."""
    found = {}
    for row in exposure(engine, inbound=True):
        if row.eni_id == eni_id and row.address == address:
            assert row.unknown is None
            found |= dict.fromkeys(row.outside, in_space(row.space, packet))
    codes = sorted(engine.prefixes[4].codes, key=int.bit_length)
    verdict: Term = z3.BoolVal(False)
    for code in codes:  # the innermost block that holds an address decides
        block = IPv4Network(((code << 33 - code.bit_length()) - (1 << 32), code.bit_length() - 1))
        verdict = z3.If(within(who, block), found.get(block, z3.BoolVal(False)), verdict)
    return verdict


def check_pairs(world: World, engine: Engine) -> Iterator[tuple[str, str | None]]:
    """(pair, a packet that is judged differently or None) for every pair of `pairs`."""
    packet = symbol()
    for a, src, b, dst in pairs(world):
        answer = engine.conversations(a.id, src, dst)
        truth = pair_formula(world, packet, a, src, b, dst)
        yield (
            f"{a.id} {src} to {b.id} {dst}",
            differs([packet.real(src.version)], truth, in_space(answer.space, packet)),
        )


def check_services(world: World, engine: Engine) -> Iterator[tuple[str, str | None]]:
    """The same for what is behind endpoints."""
    packet = symbol()
    for eni, src, dst in services(world):
        truth, claim = service_formula(world, packet, eni, dst), engine.conversations(eni.id, src, dst)
        yield f"{eni.id} {src} to {dst}", differs([packet.real(4)], truth, in_space(claim.space, packet))


def check_inbound(world: World, engine: Engine) -> Iterator[tuple[str, str | None]]:
    """The same for the internet and every public address whose interface is behind a gateway without its own routes."""
    packet, who = symbol(), z3.BitVec("who", 32)
    for eni in world.all(NETWORK_INTERFACE):
        gateway = next((g for g in world.all(INTERNET_GATEWAY) if g.vpc_id == eni.vpc_id), None)
        if gateway is None or world.by(ROUTE_TABLE, "gateway", gateway.id) or not spec.runs(world, eni):
            continue
        appliances = {
            r.target_id
            for t in world.by(ROUTE_TABLE, "vpc", eni.vpc_id)
            for r in (*t.routes, *t.listed)
            if r.target is RouteTarget.NETWORK_INTERFACE
        }
        if appliances:
            continue
        for private in eni.addresses:
            if spec.public_of(world, eni, private) is None:
                continue
            truth, claim = inbound_formula(world, packet, eni, who), claimed(engine, packet, who, eni.id, private)
            yield f"internet to {eni.id} {private}", differs([packet.real(4), *outside(world, who)], truth, claim)
