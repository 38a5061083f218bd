"""The interpreter of the IR: one packet, or one conversation, through every layer, with the rule that decided.

Connection tables are per interface, as in the data plane: an entry remembers the direction that opened it and a mark:
0 untracked, 1 tracked and begun by the interface, 2 tracked and begun towards it (D-06, CT-01..CT-09, CT-24).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from ringfence.model.net import ICMP_FAMILY, PORTED, Address, Network, Protocol
from ringfence.policy import ir as nodes
from ringfence.policy.ir import Allow, Edge, Group, Interface, Ir, Match, Route, RouteTable, Subnet, Via, Vpc
from ringfence.policy.packet import Hop, Layer, Packet, RuleRef, Verdict

#: the internet as an endpoint; every other endpoint is an ENI id
INTERNET = "internet"
MAX_APPLIANCES = 8

#: destinations the internet gateway never forwards, and sources it never accepts (IGW-08)
PRIVATE = tuple(
    IPv4Network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
)
LINK_LOCAL = IPv4Network("169.254.0.0/16")
RESERVED_IPV6 = IPv6Network("fd00:ec2::/32")


# ---------------------------------------------------------------------- connection tables
Tuple = tuple[Address, Address, int, int, int]
_ECHO = {8: 0, 13: 14, 15: 16, 17: 18, 128: 129}  # ICMP queries and their answers
_QUERIES = {**_ECHO}
_ANSWERS = {answer: query for query, answer in _ECHO.items()}
_ERRORS = {Protocol.ICMP: {3, 4, 5, 11, 12}, Protocol.ICMPV6: {1, 2, 3, 4}}


@dataclass(frozen=True, slots=True)
class Flows:
    """Connection tables: (ENI, tuple of the opening direction) → mark. Values of this class do not change."""

    entries: dict[tuple[str, Tuple], int] = field(default_factory=dict)

    def find(self, eni_id: str, packet: Packet) -> tuple[int | None, bool]:
        """(mark, is this the opening direction?) of the packet's entry; mark None when there is none."""
        forward, backward = _tuple(packet), _reverse(packet)
        if forward is not None and (eni_id, forward) in self.entries:
            return self.entries[eni_id, forward], True
        if backward is not None and (eni_id, backward) in self.entries:
            return self.entries[eni_id, backward], False
        return None, True

    def seen(self, eni_id: str, packet: Packet, mark: int) -> Flows:
        """The tables after a packet of the opening direction was admitted with this mark."""
        key = _tuple(packet)
        if key is None:
            return self
        return Flows({**self.entries, (eni_id, key): mark})


def _tuple(packet: Packet) -> Tuple | None:
    """The tuple a packet would open; None for what opens nothing (an ICMP answer or error)."""
    if packet.protocol in PORTED:
        return (packet.src, packet.dst, packet.protocol, packet.sport, packet.dport)
    if packet.protocol in ICMP_FAMILY:
        if packet.icmp_type not in _QUERIES:
            return None
        return (packet.src, packet.dst, packet.protocol, packet.icmp_type, packet.icmp_code)
    return (packet.src, packet.dst, packet.protocol, 0, 0)


def _reverse(packet: Packet) -> Tuple | None:
    """The tuple whose answer this packet would be."""
    if packet.protocol in PORTED:
        return (packet.dst, packet.src, packet.protocol, packet.dport, packet.sport)
    if packet.protocol in ICMP_FAMILY:
        query = _ANSWERS.get(packet.icmp_type)
        return None if query is None else (packet.dst, packet.src, packet.protocol, query, packet.icmp_code)
    return (packet.dst, packet.src, packet.protocol, 0, 0)


# ---------------------------------------------------------------------- matching
def matches(match: Match, packet: Packet, remote: Address, members: Iterable[Address] | None) -> bool:
    """Does a packet satisfy a condition? `members`: addresses of the group it names; None = it may not match."""
    if match.family is not None and match.family != packet.family:
        return False
    if match.remote is not None and remote not in match.remote:
        return False
    if match.group is not None and (members is None or remote not in members):
        return False
    if match.protocol is not None and match.protocol != packet.protocol:
        return False
    if match.ports is not None and packet.dport not in match.ports:
        return False
    if match.icmp_type is not None and packet.icmp_type != match.icmp_type:
        return False
    return match.icmp_code is None or packet.icmp_code == match.icmp_code


@dataclass(frozen=True, slots=True)
class Index:
    """The IR of one VPC, by what the evaluator asks for."""

    ir: Ir

    def get(self, kind: type, id: str) -> object | None:
        return self.ir.fragments.get((kind.__name__, id))

    def interface(self, id: str) -> Interface:
        found = self.get(Interface, id)
        if not isinstance(found, Interface):
            raise KeyError(id)
        return found

    def subnet(self, id: str) -> Subnet:
        found = self.get(Subnet, id)
        assert isinstance(found, Subnet)
        return found

    def vpc(self, id: str) -> Vpc:
        found = self.get(Vpc, id)
        assert isinstance(found, Vpc)
        return found

    def table(self, id: str) -> RouteTable:
        found = self.get(RouteTable, id)
        assert isinstance(found, RouteTable)
        return found

    def edges(self) -> list[Edge]:
        return [fragment for fragment in self.ir.fragments.values() if isinstance(fragment, Edge)]

    def owner(self, vpc_id: str, address: Address) -> Interface | None:
        """The interface of the VPC that has an address."""
        for fragment in self.ir.fragments.values():
            if isinstance(fragment, Interface) and fragment.vpc_id == vpc_id:
                own = fragment.ipv4 if address.version == 4 else fragment.ipv6
                if address in own:
                    return fragment
        return None

    def running(self, interface: Interface) -> bool:
        """Attached interfaces answer while their instance runs; unattached ones are bare network hosts."""
        return interface.instance_id is None or self.get(nodes.Machine, interface.instance_id) is not None


# ---------------------------------------------------------------------- layers
@dataclass(frozen=True, slots=True)
class Gate:
    """A security group decision: allowed, by which rule, and the mark to leave (None: leave the entry alone)."""

    allowed: bool
    by: RuleRef
    tracked: bool | None = None
    mark: int | None = None


def security_groups(
    index: Index, interface: Interface, packet: Packet, *, egress: bool, flows: Flows, direct: bool
) -> Gate:
    """SG-63..SG-80 and CT-01..CT-09. `direct`: the packet comes straight from the interface that has its source."""
    mark, opening = flows.find(interface.eni_id, packet)
    mine, theirs = (1, 2) if egress else (2, 1)
    if mark is not None and (mark, opening) in ((mine, True), (theirs, False)):
        return Gate(True, RuleRef(component=interface.eni_id, rule="tracked"), tracked=True)
    groups = [index.get(Group, id) for id in interface.groups]
    remote = packet.dst if egress else packet.src
    tracked_by: RuleRef | None = None
    for group in groups:
        assert isinstance(group, Group)
        for rule in group.egress if egress else group.ingress:
            members = _members(index, rule, allowed=egress or direct)
            if not matches(rule.match, packet, remote, members):
                continue
            by = RuleRef(component=group.group_id, rule=rule.rule_id)
            if _untracked(rule, packet, groups, egress=egress):
                return Gate(True, by, tracked=False, mark=0 if mark is None and opening else None)
            tracked_by = tracked_by or by
    if tracked_by is not None:
        return Gate(True, tracked_by, tracked=True, mark=mine if opening else None)
    return Gate(False, RuleRef(component=",".join(interface.groups)))


def _members(index: Index, rule: Allow, *, allowed: bool) -> tuple[Address, ...] | None:
    if rule.match.group is None or not allowed:
        return None
    found = index.get(nodes.GroupMembers, rule.match.group)
    return (*found.ipv4, *found.ipv6) if isinstance(found, nodes.GroupMembers) else ()


def _untracked(rule: Allow, packet: Packet, groups: Iterable[object], *, egress: bool) -> bool:
    """CT-03: everyone may, and everyone may answer."""
    if not rule.wide or packet.protocol not in PORTED:
        return False
    pair = (packet.family, packet.protocol)
    return any(
        pair in (group.opens_ingress if egress else group.opens_egress).pairs
        for group in groups
        if isinstance(group, Group)
    )


def network_acl(index: Index, acl_id: str, packet: Packet, *, egress: bool) -> tuple[bool, RuleRef]:
    """First match decides; no match denies (ACL-29..ACL-31)."""
    acl = index.get(nodes.Acl, acl_id)
    assert isinstance(acl, nodes.Acl)
    remote = packet.dst if egress else packet.src
    for entry in acl.egress if egress else acl.ingress:
        if matches(entry.match, packet, remote, None):
            return entry.allow, RuleRef(component=acl_id, rule=str(entry.number))
    return False, RuleRef(component=acl_id, rule="*")


def longest(routes: Iterable[Route], address: Address) -> Route | None:
    """Longest prefix wins (RT-05)."""
    fitting = [r for r in routes if r.destination.version == address.version and address in r.destination]
    return max(fitting, key=lambda route: route.destination.prefixlen, default=None)


def in_subnet(subnet: Subnet, address: Address) -> bool:
    blocks: tuple[Network | None, ...] = (subnet.ipv4, *subnet.ipv6)
    return any(block is not None and block.version == address.version and address in block for block in blocks)


def is_service(vpc: Vpc, subnet: Subnet, address: Address) -> bool:
    """Addresses of the resolver, the metadata and time services, and the router (UF-01..UF-07)."""
    if address.version == 6:
        return address in RESERVED_IPV6
    if address in LINK_LOCAL:
        return True
    if any(address == block.network_address + 2 for block in vpc.ipv4):
        return True
    return subnet.ipv4 is not None and address in (subnet.ipv4.network_address + 1, subnet.ipv4.network_address + 2)


# ---------------------------------------------------------------------- one packet
@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a packet ended, as it looked there. `at`: an ENI id, `internet`, `service`, or None when dropped."""

    at: str | None
    packet: Packet
    hops: tuple[Hop, ...]
    flows: Flows


class Journey:
    """One packet on its way; collects hops."""

    def __init__(self, ir: Ir, flows: Flows, *, reply: bool = False) -> None:
        self.index, self.flows, self.reply = Index(ir), flows, reply
        self.hops: list[Hop] = []

    def _hop(
        self, layer: Layer, allowed: bool, by: RuleRef, eni: str | None = None, tracked: bool | None = None
    ) -> bool:
        self.hops.append(Hop(layer=layer, allowed=allowed, by=by, interface=eni, reply=self.reply, tracked=tracked))
        return allowed

    def _end(self, at: str | None, packet: Packet) -> Arrival:
        return Arrival(at, packet, tuple(self.hops), self.flows)

    # ------------------------------------------------------------------ from an interface
    def from_interface(self, eni_id: str, packet: Packet) -> Arrival:
        """A packet an interface sends, to wherever it is delivered or dropped; appliances pass it on unchanged."""
        for _ in range(MAX_APPLIANCES):
            sender = self.index.interface(eni_id)
            subnet = self.index.subnet(sender.subnet_id)
            own = packet.src in (sender.ipv4 if packet.family == 4 else sender.ipv6)
            if sender.source_dest_check and not own:
                self._hop(Layer.SOURCE_CHECK, False, RuleRef(component=eni_id), eni_id)
                return self._end(None, packet)
            self._hop(Layer.SOURCE_CHECK, True, RuleRef(component=eni_id), eni_id)
            if is_service(self.index.vpc(sender.vpc_id), subnet, packet.dst):
                return self._end("service", packet)
            intra = in_subnet(subnet, packet.dst)
            if not self._out(sender, subnet, packet, intra=intra):
                return self._end(None, packet)
            target = self._route(sender.vpc_id, self.index.table(subnet.table_id), packet, intra=intra)
            if target is None:
                return self._end(None, packet)
            if isinstance(target, str):
                return self._to_internet(sender, packet)
            if not self._in(target, packet, direct=own, intra=intra):
                return self._end(None, packet)
            if packet.dst in (target.ipv4 if packet.family == 4 else target.ipv6):
                return self._end(target.eni_id, packet)
            eni_id = target.eni_id  # an appliance: it sends the packet on
        self._hop(Layer.NO_ROUTE, False, RuleRef(component=eni_id, rule="loop"), eni_id)
        return self._end(None, packet)

    def _out(self, sender: Interface, subnet: Subnet, packet: Packet, *, intra: bool) -> bool:
        gate = security_groups(self.index, sender, packet, egress=True, flows=self.flows, direct=True)
        if not self._hop(Layer.SG_EGRESS, gate.allowed, gate.by, sender.eni_id, gate.tracked):
            return False
        if not intra:
            allowed, by = network_acl(self.index, subnet.acl_id, packet, egress=True)
            if not self._hop(Layer.NACL_OUT, allowed, by, sender.eni_id):
                return False
        if gate.mark is not None:
            self.flows = self.flows.seen(sender.eni_id, packet, gate.mark)
        return True

    def _route(self, vpc_id: str, table: RouteTable, packet: Packet, *, intra: bool) -> Interface | str | None:
        """The interface a packet goes to, `gateway`, or None when it is dropped."""
        route = None if intra else longest(table.routes, packet.dst)
        by = RuleRef(component=table.table_id, rule="local" if intra else str(route.destination) if route else None)
        if intra or (route is not None and route.via is Via.LOCAL):
            owner = self.index.owner(vpc_id, packet.dst)
            found = owner is not None and self.index.running(owner)
            self._hop(Layer.NO_ROUTE, found, by)
            return owner if found else None
        if route is None or route.via is Via.BLACKHOLE:
            self._hop(Layer.NO_ROUTE, False, by)
            return None
        self._hop(Layer.NO_ROUTE, True, by)
        if route.via is Via.GATEWAY:
            return "gateway"
        assert route.target is not None
        return self.index.interface(route.target)

    def _in(self, target: Interface, packet: Packet, *, direct: bool, intra: bool) -> bool:
        if not intra:
            allowed, by = network_acl(self.index, self.index.subnet(target.subnet_id).acl_id, packet, egress=False)
            if not self._hop(Layer.NACL_IN, allowed, by, target.eni_id):
                return False
        gate = security_groups(self.index, target, packet, egress=False, flows=self.flows, direct=direct)
        if not self._hop(Layer.SG_INGRESS, gate.allowed, gate.by, target.eni_id, gate.tracked):
            return False
        own = packet.dst in (target.ipv4 if packet.family == 4 else target.ipv6)
        if target.source_dest_check and not own:
            return self._hop(Layer.DEST_CHECK, False, RuleRef(component=target.eni_id), target.eni_id)
        if gate.mark is not None:
            self.flows = self.flows.seen(target.eni_id, packet, gate.mark)
        return True

    # ------------------------------------------------------------------ the internet gateway
    def _gateway(self, allowed: bool, edge: Edge, why: str) -> bool:
        return self._hop(Layer.GATEWAY, allowed, RuleRef(component=edge.gateway_id, rule=why))

    def _to_internet(self, sender: Interface, packet: Packet) -> Arrival:
        edge = next(edge for edge in self.index.edges() if edge.vpc_id == sender.vpc_id)
        if packet.family == 6:
            if not any(packet.src in block for block in edge.ipv6):
                self._gateway(False, edge, "no public address")
                return self._end(None, packet)
            self._gateway(True, edge, "routed")
            return self._internet(packet)
        public = next((outside for outside, inside in edge.nat if inside == packet.src), None)
        if public is None:
            self._gateway(False, edge, "no public address")
            return self._end(None, packet)
        if any(packet.dst in block for block in PRIVATE):
            self._gateway(False, edge, "private destination")
            return self._end(None, packet)
        self._gateway(True, edge, f"{packet.src} to {public}")
        return self._internet(_with(packet, src=public))

    def _internet(self, packet: Packet) -> Arrival:
        """On the internet: to a VPC that has the address, else to the outside host itself."""
        for edge in self.index.edges():
            inside = next((private for public, private in edge.nat if public == packet.dst), None)
            if inside is not None or (packet.family == 6 and any(packet.dst in block for block in edge.ipv6)):
                return self._enter(edge, packet, inside)
        return self._end(INTERNET, packet)

    def from_internet(self, packet: Packet) -> Arrival:
        """A packet an outside host sends."""
        arrival = self._internet(packet)
        if arrival.at == INTERNET:
            self._hop(Layer.NO_ROUTE, False, RuleRef(component="internet"))
            return self._end(None, packet)
        return arrival

    def _enter(self, edge: Edge, packet: Packet, inside: IPv4Address | None) -> Arrival:
        private = packet.family == 4 and any(packet.src in block for block in PRIVATE)
        own = packet.family == 6 and any(packet.src in block for block in edge.ipv6)
        if private or own:
            self._gateway(False, edge, "spoofed source")
            return self._end(None, packet)
        if inside is not None:
            packet = _with(packet, dst=inside)
        self._gateway(True, edge, f"to {packet.dst}")
        if edge.table_id is not None:
            target = self._route(edge.vpc_id, self.index.table(edge.table_id), packet, intra=False)
        else:
            owner = self.index.owner(edge.vpc_id, packet.dst)
            target = owner if owner is not None and self.index.running(owner) else None
            if target is None:
                self._hop(Layer.NO_ROUTE, False, RuleRef(component=edge.vpc_id, rule="local"))
        if target is None or isinstance(target, str):
            return self._end(None, packet)
        if not self._in(target, packet, direct=False, intra=False):
            return self._end(None, packet)
        if packet.dst in (target.ipv4 if packet.family == 4 else target.ipv6):
            return self._end(target.eni_id, packet)
        return self._onward(target.eni_id, packet)

    def _onward(self, eni_id: str, packet: Packet) -> Arrival:
        """An appliance behind the gateway passes the packet on."""
        return self.from_interface(eni_id, packet)


def _with(packet: Packet, *, src: Address | None = None, dst: Address | None = None) -> Packet:
    return Packet(
        src=src or packet.src, dst=dst or packet.dst, protocol=packet.protocol, sport=packet.sport, dport=packet.dport,
        icmp_type=packet.icmp_type, icmp_code=packet.icmp_code,
    )  # fmt: skip


# ---------------------------------------------------------------------- public functions
def judge(ir: Ir, flows: Flows, packet: Packet, source: str, *, reply: bool = False) -> Arrival:
    """One packet sent by an interface, or by the `internet`. KeyError for an unknown interface."""
    journey = Journey(ir, flows, reply=reply)
    return journey.from_internet(packet) if source == INTERNET else journey.from_interface(source, packet)


def converse(ir: Ir, packet: Packet, source: str, flows: Flows | None = None) -> tuple[Verdict, Arrival]:
    """A packet and its answer: allowed when both arrive. The verdict's hops are those of both ways, in order."""
    there = judge(ir, flows or Flows(), packet, source)
    if there.at is None:
        return Verdict(allowed=False, hops=there.hops), there
    if there.at == "service":
        return Verdict(allowed=True, hops=there.hops), there
    back = judge(ir, there.flows, there.packet.reply(), there.at, reply=True)
    home = back.at == source and back.packet.dst == packet.src and back.packet.src == packet.dst
    hops = (*there.hops, *back.hops)
    if not home and back.at is not None:
        stray = Hop(
            layer=Layer.NO_ROUTE, allowed=False, by=RuleRef(component=back.at, rule="answer goes elsewhere"), reply=True
        )
        hops = (*hops, stray)
    return Verdict(allowed=home, hops=hops), there
