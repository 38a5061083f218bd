"""The proof: what the kernel's rules and routes of a VPC do with every packet is what the model says.

Gate by gate, each for all packets: a packet's way (docs/architecture.md) is cut where only its headers, its connection's state
and a few known numbers (links, mark, zone) go on. What the marks mean is asked of the gate that writes them and granted to the
gates that read them (`_meaning`), so the gates together are the whole way. What a flow remembers (docs/adr/0006) is an
induction: whatever is let through on the strength of a mark must carry the flag of its direction and the generation of
now; whatever writes such a flag must do it for packets that the rules of now let through. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from ringfence.dataplane.plan import (
    GATEWAY,
    LOOP_IN,
    LOOP_OUT,
    OWN_SOURCE,
    PASS_ONE,
    SAME_SUBNET,
    TABLE_BITS,
    endpoint_link,
    link,
    peer_links,
)
from ringfence.dataplane.topology import GATEWAY_LINK
from ringfence.dataplane.verify import model as m
from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.findings import Drift
from ringfence.dataplane.verify.model import Model
from ringfence.dataplane.verify.outcomes import (
    HAS_ENTRY,
    POSSIBLE,
    WORD,
    Effects,
    Gate,
    Outcome,
    Outcomes,
)
from ringfence.dataplane.verify.proofs import Proof, accepted_of, inventory
from ringfence.dataplane.verify.roads import ITSELF, UNCLEAR, Roads
from ringfence.dataplane.verify.snapshot import Snapshot, TableContent
from ringfence.dataplane.verify.symbolic import Machine
from ringfence.policy.ir import Fragment, Interface, Peering

INET, ARP = (1, "ringfence"), (3, "ringfence")
#: where no route of the model leads: what is never routed, and the ends of the link to the gateway, which lets no packet to them on
_NOT_LED = p.either(m.NOT_ROUTED, m.of_blocks(p.DESTINATION, [ip_network(f"{GATEWAY_LINK[0]}/30", strict=False)]))
_STRANGER = "e65534"  # a link that is no interface's
#: base chains: (hook, priority); NF_INET_* and NF_ARP_*
_HOOKS = {
    INET: {"guard": (0, -450), "forward": (2, 0), "input": (1, 0), "untrack": (3, -300), "output": (3, 0)},
    ARP: {"input": (0, 0)},
}
_FORTH, _BACK = (p.box({p.DIRECTION: (way, way)}) for way in (0, 1))


@dataclass(frozen=True, slots=True)
class Side:
    """A security group's side of an interface. `flags`: (direction, inside a subnet only) by bit of what a flow remembers."""

    name: str
    egress: bool
    begun: tuple[int, int]  # by direction of the packet: whose rules must have begun the flow


OUT = Side("egress", True, (m.BEGUN_OUT, m.BEGUN_IN))
IN = Side("ingress", False, (m.BEGUN_IN, m.BEGUN_OUT))


def prove(component: str, fragments: Iterable[Fragment], plugged: Iterable[str], found: Snapshot) -> Proof:
    """All gates of one VPC."""
    proof = Proof(component)
    inventory(proof, found, _HOOKS)
    content = found.tables.get(INET)
    if content is None:
        proof.note(Drift.ADMITS, "table", component, "inet", "there is none: everything passes")
        return proof
    _Vpc(proof, Model(fragments, plugged, _joined(fragments, found)), content, found).prove()
    return proof


def _joined(fragments: Iterable[Fragment], found: Snapshot) -> list[str]:
    """The connections that have links here: those that none leads over are as good as not there."""
    ways = (each.peering_id for each in fragments if isinstance(each, Peering))
    return [id for id in ways if set(peer_links(id)) <= set(found.paths.groups)]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a packet mark says (plan.py): the source is the sender's own; both addresses in one subnet; the route table."""

    direct: bool
    inside: bool
    table: int


def _meaning(mark: int) -> Meaning:
    inside = bool(mark & SAME_SUBNET)
    return Meaning(bool(mark & OWN_SOURCE), inside, 0 if inside else mark & TABLE_BITS)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a gate in front of, or behind, an interface must do. `before`: asked before the groups, `after`: after them;
    `judged`: packets that a flow's memory speaks for."""

    side: Side
    eni: Interface
    meaning: Meaning
    name: str
    before: int
    after: int
    judged: int
    over: str | None = None  # straight from an interface of the peer VPC of this connection


class _Vpc:
    """One VPC's proof under way."""

    def __init__(self, proof: Proof, model: Model, content: TableContent, found: Snapshot) -> None:
        self.proof, self.model, self.content, self.found = proof, model, content, found
        self.roads = Roads(found.paths)
        self.machine = Machine(content, routes=self.roads, groups=found.paths.groups)
        self.generation = self._generation()
        self.marks: dict[int, dict[str, int]] = {}  # mark → zones' interfaces that give it → packets by destination
        self.arriving: dict[tuple[str, int], None] = {}  # (link, mark) in front of an interface
        self.ways = {endpoint_link(id): id for id in sorted(model.endpoints)}  # link → gateway endpoint
        self.joins = [name for id in sorted(model.joined) for name in peer_links(id)]

    def _generation(self) -> int:
        held = self.content.sets.get("generation")
        entries = held.entries if held else []
        if len(entries) != 1:
            self.proof.note(Drift.UNKNOWN, "generation", self.proof.place, "generation", f"there are {len(entries)}")
            return 0
        return int(struct.unpack("=I", entries[0].key[:4])[0])

    def prove(self) -> None:
        for eni in self.model.interfaces:
            self._guard(eni)
        for eni in self.model.interfaces:
            for mark in [each for each, by in self.marks.items() if eni.eni_id in by]:
                self._out(eni, mark)
        for mark, by in list(self.marks.items()):
            self._to_second_pass(mark, p.union(by.values()))
            self._lead(LOOP_IN, mark, _meaning(mark), p.union(by.values()))
        if self.model.edge is not None:
            self._from_gateway()
        for name in self.joins:
            self._lead(name, 0, Meaning(False, False, 0), p.ALL)
        for way in self.ways:  # what a service answers: the VPC's addresses alone lead it
            self._lead(way, 0, Meaning(False, False, 0), p.ALL)
        for eni in self.model.interfaces:
            self._in(eni)
            p.forget()
        self._gateway_out()
        self._peers_out()
        self._itself()
        self._arp()

    def _sorted(self, outcomes: Outcomes, what: str, component: str, name: str) -> list[tuple[Effects, int]]:
        return accepted_of(self.proof, outcomes, what, component, name)

    # ------------------------------------------------------------------ source check, zone, mark
    def _guard(self, eni: Interface) -> None:
        """Which packets enter, with which meaning, into which connection table."""
        model, id = self.model, eni.eni_id
        subnet = model.subnets.get(eni.subnet_id)
        table = model.route_tables.get(subnet.table_id) if subnet else None
        outcomes = self.machine.base("guard", Gate(iif=link(eni.number)))
        got: dict[object, int] = {}
        for effects, some in self._sorted(outcomes, "source check", id, "guard"):
            mark = effects.mark[1]
            label: object = ("service", bool(mark & OWN_SOURCE))
            if mark & PASS_ONE:
                label = ("zone", effects.zone, _meaning(mark))
            elif not effects.untracked:
                label = ("untold", effects)
            if effects.connection != (WORD, 0) or (mark & PASS_ONE and effects.untracked):
                label = ("untold", effects)
            got[label] = p.either(got.get(label, p.NONE), some)
            if mark & PASS_ONE and subnet is not None:
                inside = model.inside(subnet)
                region = inside if _meaning(mark).inside else p.without(p.without(p.ALL, inside), model.unjudged)
                self.marks.setdefault(mark, {})[id] = region
        asked = self._enters(eni, table.number if table else -1)
        for label in got.keys() | asked.keys():
            what = label[0] if isinstance(label, tuple) else "source check"
            name = {"zone": "zone and mark", "service": "services", "untold": "mark"}.get(str(what), "source check")
            self.proof.equal(got.get(label, p.NONE), asked.get(label, p.NONE), name, id, "guard")

    def _enters(self, eni: Interface, table: int) -> dict[object, int]:
        model = self.model
        subnet = model.subnets.get(eni.subnet_id)
        if subnet is None or table < 0:
            return {("service", False): m.ASKS_FOR_ADDRESS}
        mine = p.both(model.by_mac(eni), model.from_itself(eni))
        asks = p.without(m.ASKS_FOR_ADDRESS, mine)
        free = p.NONE if eni.source_dest_check else p.without(p.without(model.by_mac(eni), mine), asks)
        out: dict[object, int] = {}
        inside = model.inside(subnet)
        for direct, some in ((True, mine), (False, free)):
            out["service", direct] = p.both(some, model.unjudged)
            judged = p.without(some, model.unjudged)
            out["zone", eni.number, Meaning(direct, True, 0)] = p.both(judged, inside)
            out["zone", eni.number, Meaning(direct, False, table)] = p.without(judged, inside)
        out["service", False] = p.either(out["service", False], asks)
        return {label: some for label, some in out.items() if some != p.NONE}

    # ------------------------------------------------------------------ groups and network ACL, out
    def _out(self, eni: Interface, mark: int) -> None:
        model, meaning, name = self.model, _meaning(mark), f"out, mark {mark:#x}"
        subnet = model.subnets[eni.subnet_id]
        acl = p.ALL if meaning.inside else model.acl(subnet.acl_id, egress=True)
        gate = Gate(link(eni.number), LOOP_OUT, mark, eni.number)
        ask = Asked(OUT, eni, meaning, name, before=p.ALL, after=acl, judged=self._judged(OUT, inside=False))
        self._state_and_rules(ask, self.machine.base("forward", gate))
        for way in (GATEWAY, *self.ways, *self.joins, _STRANGER):  # not into the loop: past the second pass
            straight = self._sorted(
                self.machine.base("forward", Gate(gate.iif, way, mark, eni.number)), "way", eni.eni_id, name
            )
            self.proof.none(p.union(some for _, some in straight), "way", eni.eni_id, name, f"it leaves by {way}")

    def _judged(self, side: Side, *, inside: bool) -> int:
        """Packets of flows that remember to have been let through, in this direction, under the rules of now."""
        if not self.generation:
            return p.NONE
        now = p.box({p.GENERATION: (self.generation, self.generation)})
        kinds = []
        for way, begun in enumerate(side.begun):
            bits = (1 << way) | (1 << way + 2 if inside else 0)
            flagged = p.union(p.box({p.JUDGED: (n, n)}) for n in range(16) if n & bits)
            kinds.append(p.both(flagged, p.box({p.DIRECTION: (way, way), p.BEGUN: (begun, begun)})))
        return p.both(p.both(now, p.union(kinds)), p.without(HAS_ENTRY, m.IS_RELATED))

    def _state_and_rules(self, ask: Asked, outcomes: Outcomes) -> None:
        """Admission is: `before`, and (state or rules), and `after`. And what a flow is told to remember is true."""
        side, id, name = ask.side, ask.eni.eni_id, ask.name
        accepted = self._sorted(outcomes, side.name, id, name)
        admission = self.model.groups(ask.eni, egress=side.egress, direct=ask.meaning.direct, over=ask.over)
        state = m.by_state(egress=side.egress)
        asked = p.both(p.both(ask.before, ask.after), p.either(state, admission.allowed))
        got = p.union(some for _, some in accepted)
        self.proof.equal(got, asked, side.name, id, name, within=p.without(POSSIBLE, ask.judged))
        self.proof.equal(p.both(got, ask.judged), ask.judged, f"{side.name} of judged flows", id, name)
        ruled = p.both(p.without(p.without(asked, state), ask.judged), p.both(HAS_ENTRY, _FORTH))
        begins = p.union(
            some for effects, some in accepted
            if not effects.connection[0] & 3 and effects.connection[1] & 3 == side.begun[0]
        )  # fmt: skip
        tracked = p.without(ruled, admission.untracked)
        self.proof.equal(begins, tracked, f"tracking of {side.name}", id, name, within=p.both(POSSIBLE, ruled))
        self.proof.gates += 1
        for outcome, some in outcomes.items():
            if outcome.effects.connection != (WORD, 0):
                self._remembered(ask, admission.allowed, outcome.effects.connection, some)

    def _remembered(self, ask: Asked, ruled: int, change: tuple[int, int], packets: int) -> None:
        """A connection's mark may change only so: begun by rules that admit its first direction; flagged as judged for what
        all rules of now let through, in its direction, under this generation."""
        keep, put = change
        side, id, name, none = ask.side, ask.eni.eni_id, ask.name, self.proof.none
        begun_here = p.box({p.BEGUN: (put & 3, put & 3)}) if keep & 3 == 0 else p.ALL
        begins = p.NONE
        if keep & 3 == 0 and put & 3 == side.begun[0]:
            begins = p.both(p.both(_FORTH, ruled), ask.before)
        if keep & 3 not in (0, 3) or (put & 3 and keep & 3):
            none(packets, "connection mark", id, name, f"its beginning changes in part ({keep:#x}, {put:#x})")
        none(p.without(packets, p.either(begins, begun_here)), "connection mark", id, name, f"it begins as {put & 3}")
        flags, kept_flags = put >> 2 & 15, keep >> 2 & 15
        now = p.box({p.GENERATION: (self.generation, self.generation)}) if self.generation else p.NONE
        if not flags:
            if (keep >> 6, kept_flags) != (WORD >> 6, 15) and (keep >> 6 or put >> 6 or kept_flags):
                none(packets, "connection mark", id, name, f"it forgets in part ({keep:#x}, {put:#x})")
            return
        if keep >> 6 != WORD >> 6 and (keep >> 6 or put >> 6 != self.generation or not self.generation):
            none(packets, "connection mark", id, name, f"another generation: {put >> 6}")
        if keep >> 6 == WORD >> 6 or kept_flags:
            none(p.without(packets, now), "connection mark", id, name, "flags of another generation are kept")
        passed = p.both(p.both(ask.before, ask.after), p.without(m.FLOWING, m.IS_RELATED))
        for bit in range(4):
            if not flags >> bit & 1:
                continue
            way, inside_only = bit & 1, bit >= 2
            after = p.box({p.BEGUN: (side.begun[way], side.begun[way])}) if keep & 3 else (
                p.ALL if put & 3 == side.begun[way] else p.NONE
            )  # fmt: skip
            holds = p.both(passed, p.both((_FORTH, _BACK)[way], after))
            if not side.egress and inside_only != ask.meaning.inside:
                holds = p.NONE
            none(p.without(packets, holds), "connection mark", id, name, f"flag {bit} says what was not asked")

    # ------------------------------------------------------------------ where to
    def _to_second_pass(self, mark: int, region: int) -> None:
        """What the first pass lets through has one way on: out of the loop, and in again."""
        region = p.without(p.both(region, POSSIBLE), p.either(_NOT_LED, self.model.routers))
        led = self.roads(mark).get(LOOP_OUT, p.NONE)
        self.proof.equal(led, p.ALL, "route", self.model.vpc.vpc_id, f"mark {mark:#x} to the loop", within=region)

    def _lead(self, iif: str, mark: int, meaning: Meaning, region: int) -> None:
        """The second pass: zone and mark, and the link that the kernel leads to."""
        model = self.model
        table = next((id for id, each in model.route_tables.items() if each.number == meaning.table), None)
        road = model.road(table)
        name = f"{iif}, mark {mark:#x}"
        region = p.without(p.both(region, POSSIBLE), _NOT_LED)
        own = {link(eni.number): eni for eni in model.interfaces}
        got: dict[str, int] = {}
        for effects, some in self._sorted(
            self.machine.base("guard", Gate(iif=iif, mark=mark)), "route", model.vpc.vpc_id, name
        ):
            after = mark & effects.mark[0] | effects.mark[1]
            said = _meaning(after)
            if (said.direct, said.inside) != (meaning.direct, meaning.inside) or after & PASS_ONE:
                self.proof.none(p.both(some, region), "mark", model.vpc.vpc_id, name, f"becomes {after:#x}")
            for place, led in self.roads(after).items():
                part = p.both(p.both(some, led), region)
                if part == p.NONE or place == "":
                    continue
                eni = own.get(place)
                if eni is not None and effects.zone == eni.number:
                    got[eni.eni_id] = p.either(got.get(eni.eni_id, p.NONE), part)
                    self.arriving[iif, after] = None
                elif eni is not None and effects.zone is None:
                    self.proof.none(part, "zone", eni.eni_id, name, "it arrives outside its connection table")
                elif place in self.ways:
                    served = self.ways[place]
                    got[served] = p.either(got.get(served, p.NONE), part)
                elif place == GATEWAY:
                    got["gateway"] = p.either(got.get("gateway", p.NONE), part)
                elif (id := self._peer_by(place)) is not None:
                    if (place == peer_links(id)[0]) is not meaning.direct:
                        self.proof.none(part, "route", model.vpc.vpc_id, name, f"it is led to {place}")
                    got[f"peer {id}"] = p.either(got.get(f"peer {id}", p.NONE), part)
                elif place == UNCLEAR:
                    self.proof.note(
                        Drift.UNKNOWN, "route", model.vpc.vpc_id, name, f"a route not known, for {p.shown(part)}"
                    )
                elif eni is None and place != ITSELF:
                    self.proof.none(part, "route", model.vpc.vpc_id, name, f"it is led to {place}")
        component = table or model.vpc.vpc_id
        for place in (got.keys() | road.keys()) - {"", ITSELF, "gateway"}:
            self.proof.equal(
                got.get(place, p.NONE), road.get(place, p.NONE), "route", component, f"{name} to {place}", within=region
            )
        self.proof.equal(
            got.get("gateway", p.NONE),
            road.get("gateway", p.NONE),
            "route",
            component,
            f"{name} to the gateway",
            within=region,
        )

    def _peer_by(self, name: str) -> str | None:
        """The connection that a link is of."""
        return next((id for id in self.model.joined if name in peer_links(id)), None)

    def _from_gateway(self) -> None:
        """What comes from the gateway has no sender here: its own table leads it, or the VPC's addresses alone."""
        edge = self.model.edge
        table = self.model.route_tables.get(edge.table_id) if edge and edge.table_id else None
        self._lead(GATEWAY, 0, Meaning(False, False, table.number if table else 0), p.ALL)

    # ------------------------------------------------------------------ network ACL and groups, in
    def _in(self, eni: Interface) -> None:
        model = self.model
        subnet = model.subnets.get(eni.subnet_id)
        if subnet is None:
            return
        target = p.ALL if not eni.source_dest_check else model.own(eni, p.DESTINATION)
        done: set[tuple[str, Meaning, frozenset[tuple[Outcome, int]]]] = set()
        for iif, mark in self.arriving:
            meaning = _meaning(mark)
            gate, name = Gate(iif, link(eni.number), mark, eni.number), f"in by {iif}, mark {mark:#x}"
            outcomes = self.machine.base("forward", gate)
            key = (iif, Meaning(meaning.direct, meaning.inside, 0), frozenset(outcomes.items()))
            if key in done:  # bits of the mark that nothing here asks about
                continue
            done.add(key)
            acl = p.ALL if meaning.inside else model.acl(subnet.acl_id, egress=False)
            judged = self._judged(IN, inside=meaning.inside)
            ask = Asked(IN, eni, meaning, name, before=acl, after=target, judged=judged, over=self._straight(iif))
            self._state_and_rules(ask, outcomes)
            elsewhere = self.machine.base("forward", Gate(iif, link(eni.number), mark, 0))
            wrong = p.both(p.union(some for _, some in self._sorted(elsewhere, "zone", eni.eni_id, name)), HAS_ENTRY)
            self.proof.none(wrong, "zone", eni.eni_id, name, "it arrives in another's connection table")

    def _straight(self, iif: str) -> str | None:
        return next((id for id in self.model.joined if iif == peer_links(id)[0]), None)

    def _gateway_out(self) -> None:
        """What leaves by the gateway, or by a gateway endpoint, has been judged in the first pass."""
        place, ways = self.proof.place, [*([GATEWAY] if self.model.edge is not None else []), *self.ways]
        for way in ways:
            accepted = self._sorted(self.machine.base("forward", Gate(LOOP_IN, way)), "gateway", place, "forward")
            self.proof.equal(p.union(some for _, some in accepted), p.ALL, "gateway", place, "forward")
            for other in (*ways, *self.joins):
                back = self._sorted(self.machine.base("forward", Gate(other, way)), "gateway", place, "forward")
                some = p.union(some for _, some in back)
                self.proof.none(some, "gateway", place, "forward", f"from {other} back by {way}")

    def _peers_out(self) -> None:
        """Between the blocks of two peer VPCs, straight over their connection (PCX-05..PCX-07): nothing that came by any other
        way leaves by it."""
        model, place, vpc = self.model, self.proof.place, self.model.vpc
        ours = m.of_blocks(p.SOURCE, [*vpc.ipv4, *vpc.ipv6])
        for way in model.peerings:
            if way.peering_id not in model.joined:
                continue
            asked = p.both(ours, m.of_blocks(p.DESTINATION, [*way.ipv4, *way.ipv6]))
            for name in peer_links(way.peering_id):
                for iif in (LOOP_IN, GATEWAY, *self.ways, *self.joins, _STRANGER):
                    wanted = asked if iif == LOOP_IN else p.NONE
                    passes = self._sorted(self.machine.base("forward", Gate(iif, name)), "peering", place, "forward")
                    some = p.union(each for _, each in passes)
                    self.proof.equal(some, wanted, "peering", way.peering_id, f"{iif} to {name}")

    # ------------------------------------------------------------------ the router itself
    def _itself(self) -> None:
        """What the router takes for itself and what it says."""
        model, place = self.model, self.proof.place
        for iif in (_STRANGER, LOOP_IN, GATEWAY, *self.ways, *self.joins):
            for mark in (0, OWN_SOURCE):
                asked = p.either(m.ASKS_FOR_ADDRESS, m.DISCOVERY if iif == GATEWAY or mark else p.NONE)
                if mark:
                    asked = p.either(asked, m.ASKS_DHCP6, model.services(p.DESTINATION, p.PORT))
                accepted = self._sorted(
                    self.machine.base("input", Gate(iif=iif, mark=mark)), "services", place, "input"
                )
                self.proof.equal(p.union(some for _, some in accepted), asked, "services", place, f"input by {iif}")
        says = p.union((
            m.DISCOVERY, m.TELLS_DHCP6, model.services(p.SOURCE, p.WORD),
            p.box({p.PROTOCOL: (m.ICMP, m.ICMP), p.WORD: (3 << 8 | 4,) * 2}),
            p.box({p.PROTOCOL: (m.ICMPV6, m.ICMPV6), p.WORD: (2 << 8,) * 2}),
        ))  # fmt: skip
        accepted = self._sorted(self.machine.base("output", Gate(oif=_STRANGER)), "services", place, "output")
        self.proof.equal(p.union(some for _, some in accepted), says, "services", place, "output")
        stray = self._sorted(self.machine.base("guard", Gate(iif=_STRANGER)), "source check", place, "guard")
        self.proof.equal(
            p.union(some for _, some in stray), m.ASKS_FOR_ADDRESS, "source check", place, "guard, no interface"
        )

    def _arp(self) -> None:
        """A guest speaks only for its own addresses, with its own MAC (NET-22)."""
        content = self.found.tables.get(ARP)
        if content is None:
            self.proof.note(Drift.ADMITS, "table", self.proof.place, "arp", "there is none")
            return
        machine = Machine(content, ARP[0])
        within = p.both(POSSIBLE, p.box({p.FAMILY: p.family(4)}))
        for eni in self.model.interfaces:
            accepted = self._sorted(machine.base("input", Gate(iif=link(eni.number))), "ARP", eni.eni_id, "input")
            asked = p.both(self.model.by_mac(eni), p.boxes([{p.SOURCE: p.address(each)} for each in eni.ipv4]))
            self.proof.equal(p.union(some for _, some in accepted), asked, "ARP", eni.eni_id, "input", within=within)
