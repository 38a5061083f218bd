"""The interpreter of the IR: one packet, or one conversation, through every layer, with the rule that decided.

It follows the data plane's two passes (docs/architecture.md): source check, security group and network ACL out, route,
internet gateway, network ACL and security group in, destination check. Every decision is a `Hop`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from ringfence.model.net import IPV6_POOL, PORTED, UNROUTABLE, Address, Network, Protocol
from ringfence.policy.flows import Flows
from ringfence.policy.ir import (
    Acl,
    Allow,
    Edge,
    Endpoint,
    Group,
    GroupMembers,
    Interface,
    Ir,
    Machine,
    Match,
    Peering,
    Route,
    RouteTable,
    Subnet,
    Via,
    Vpc,
    associated_key,
)
from ringfence.policy.packet import Hop, Layer, Packet, RuleRef, Verdict

F = TypeVar("F")

#: the internet as an endpoint; every other endpoint is an ENI id
INTERNET = "internet"
#: where a packet for the resolver, the metadata service or the service behind a gateway endpoint ends
SERVICE = "service"
MAX_APPLIANCES = 8
SERVICE_PORT, ECHO = 443, 8  # of what answers behind a gateway endpoint

#: where no router forwards to (NET-13, RFC 4291)
UNROUTED = (
    IPv4Network("224.0.0.0/4"), IPv4Network("255.255.255.255/32"), IPv4Network("127.0.0.0/8"), IPv4Network("0.0.0.0/8"),
    IPv6Network("ff00::/8"), IPv6Network("fe80::/10"), IPv6Network("::/127"),
)  # fmt: skip
RESOLVERS: frozenset[Address] = frozenset({IPv4Address("169.254.169.253"), IPv6Address("fd00:ec2::253")})
TIME: frozenset[Address] = frozenset({IPv4Address("169.254.169.123"), IPv6Address("fd00:ec2::123")})
EVERYONE = IPv4Address("255.255.255.255")
METADATA: frozenset[Address] = frozenset({IPv4Address("169.254.169.254"), IPv6Address("fd00:ec2::254")})


class CannotSend(ValueError):
    """The source sends nothing: there is no such interface, or its instance does not run."""


class Index:
    """An IR by what the evaluator asks for. Make one for many packets; functions here take either."""

    def __init__(self, ir: Ir) -> None:
        self.ir = ir

    @staticmethod
    def of(ir: Ir | Index) -> Index:
        return ir if isinstance(ir, Index) else Index(ir)

    def find(self, kind: type[F], id: str) -> F | None:
        """The fragment of that kind and id, or None."""
        found = self.ir.fragments.get((kind.__name__, id))
        return found if isinstance(found, kind) else None

    def get(self, kind: type[F], id: str) -> F:
        """The fragment. KeyError when there is none."""
        found = self.find(kind, id)
        if found is None:
            raise KeyError(f"{kind.__name__} {id}")
        return found

    def all(self, kind: type[F]) -> list[F]:
        return [fragment for fragment in self.ir.fragments.values() if isinstance(fragment, kind)]

    @cached_property
    def _owners(self) -> dict[tuple[str, Address], Interface]:
        found: dict[tuple[str, Address], Interface] = {}
        for eni in self.all(Interface):
            addresses: tuple[Address, ...] = (*eni.ipv4, *eni.ipv6)
            found.update(((eni.vpc_id, address), eni) for address in addresses)
        return found

    def owner(self, vpc_id: str, address: Address) -> Interface | None:
        """The interface of a VPC that has an address and can receive."""
        found = self._owners.get((vpc_id, address))
        return found if found is not None and self.running(found) else None

    def has_address(self, vpc_id: str, address: Address) -> bool:
        """Is it an address of some interface of the VPC?"""
        return (vpc_id, address) in self._owners

    @cached_property
    def _members(self) -> dict[tuple[str, str], frozenset[Address]]:
        return {(g.group_id, g.vpc_id): frozenset((*g.ipv4, *g.ipv6)) for g in self.all(GroupMembers)}

    def members(self, group_id: str, vpc_id: str) -> Collection[Address]:
        """The private addresses of a VPC's interfaces that carry a group (SG-67); none if the group is gone (SG-87)."""
        return self._members.get((group_id, vpc_id), frozenset())

    def group(self, group_id: str, vpc_id: str) -> Group:
        """A group as a VPC uses it: its own, or one associated with the VPC (SG-70). KeyError when it does not."""
        own = self.find(Group, group_id)
        return own if own is not None and own.vpc_id == vpc_id else self.get(Group, associated_key(group_id, vpc_id))

    @cached_property
    def edges(self) -> dict[str, Edge]:
        """Attached internet gateways by VPC (one each: IGW-01)."""
        return {edge.vpc_id: edge for edge in self.all(Edge)}

    @cached_property
    def ipv6(self) -> tuple[Network, ...]:
        """The IPv6 blocks of all VPCs, which nobody else has."""
        return tuple(block for vpc in self.all(Vpc) for block in vpc.ipv6)

    @cached_property
    def _joined(self) -> dict[tuple[str, str], Peering]:
        return {(way.vpc_id, way.far_vpc_id): way for way in self.all(Peering) if way.same_region}

    def joined(self, vpc_id: str, far_vpc_id: str) -> Peering | None:
        """The way from a VPC to another of its Region, over which groups may be named (SG-54, PCX-09)."""
        return self._joined.get((vpc_id, far_vpc_id))

    @cached_property
    def _routers(self) -> frozenset[tuple[str, Address]]:
        subnets = ((s.vpc_id, s.ipv4.network_address + n) for s in self.all(Subnet) if s.ipv4 for n in (1, 2))
        vpcs = ((vpc.vpc_id, block.network_address + 2) for vpc in self.all(Vpc) for block in vpc.ipv4)
        return frozenset((*subnets, *vpcs))

    def is_router(self, vpc_id: str, address: Address) -> bool:
        """Is it one of the VPC router's own addresses (NET-11, UF-01, UF-03, UF-07)?"""
        return address in RESOLVERS | METADATA | TIME or (vpc_id, address) in self._routers

    @cached_property
    def _firsts(self) -> frozenset[tuple[str, Address]]:
        return frozenset((s.vpc_id, s.ipv4.network_address + 1) for s in self.all(Subnet) if s.ipv4)

    def is_first(self, vpc_id: str, address: Address) -> bool:
        """Is it the router of a subnet, and so its DHCP server (UF-02)?"""
        return (vpc_id, address) in self._firsts

    def running(self, interface: Interface) -> bool:
        """The interfaces of an instance work while it runs; an unattached one is a bare host on the network."""
        return interface.instance_id is None or self.find(Machine, interface.instance_id) is not None


def own(interface: Interface, address: Address) -> bool:
    """Is it one of the interface's addresses?"""
    return address in (interface.ipv4 if address.version == 4 else interface.ipv6)


# ---------------------------------------------------------------------- matching
def within(address: Address, blocks: Iterable[Network | None]) -> bool:
    """Does any block hold the address? Never across families (SG-75, ACL-33)."""
    return any(block is not None and block.version == address.version and address in block for block in blocks)


def in_subnet(subnet: Subnet, address: Address) -> bool:
    """Is it an address of the subnet's blocks?"""
    return within(address, (subnet.ipv4, *subnet.ipv6))


def matches(match: Match, packet: Packet, remote: Address, members: Collection[Address] | None) -> bool:
    """Does a packet satisfy a condition? `members`: addresses of the group it names; None = it may not match."""
    if match.family not in (None, packet.family) or match.protocol not in (None, packet.protocol):
        return False
    if match.remote is not None and not within(remote, (match.remote,)):
        return False
    if match.group is not None and (members is None or remote not in members):
        return False
    if match.ports is not None and packet.dport not in match.ports:  # destination ports only: SG-73, ACL-34
        return False
    return match.icmp_type in (None, packet.icmp_type) and match.icmp_code in (None, packet.icmp_code)


@dataclass(frozen=True, slots=True)
class Gate:
    """A security group decision: by which rule, tracked or not, and the mark to leave (None: as it is)."""

    allowed: bool
    by: RuleRef
    tracked: bool | None = None
    mark: int | None = None


def by_state(eni: Interface, packet: Packet, *, egress: bool, flows: Flows, now: float) -> Gate | None:
    """What the connection table admits: more of a tracked flow, its answers, and errors about it (CT-01, CT-02, CT-12)."""
    mine, theirs = (1, 2) if egress else (2, 1)
    found = flows.find(eni.eni_id, packet, now)
    if (found.mark, found.opening) in ((mine, True), (theirs, False)):
        return Gate(True, RuleRef(component=eni.eni_id, rule="tracked"), tracked=True)
    if flows.related(eni.eni_id, packet, now):
        return Gate(True, RuleRef(component=eni.eni_id, rule="related"), tracked=True)
    return None


def security_groups(
    index: Index, eni: Interface, packet: Packet, *, egress: bool, flows: Flows, direct: bool, now: float,
    over: str | None = None,
) -> Gate:  # fmt: skip
    """All rules of all groups (SG-63..SG-80); untracked when one of the matching rules says so (CT-03..CT-09).

    `direct`: the packet comes straight from the interface that has its source (SG-68, SG-78, D-05), `over` the peering
    connection with this VPC.
    """
    admitted = by_state(eni, packet, egress=egress, flows=flows, now=now)
    if admitted is not None:
        return admitted
    groups = [index.group(id, eni.vpc_id) for id in eni.groups]
    fitting = [
        (rule, RuleRef(component=group.group_id, rule=rule.rule_id))
        for group in groups
        for rule in (group.egress if egress else group.ingress)
        if _admits(index, eni, rule, packet, egress=egress, direct=direct, over=over)
    ]
    found = flows.find(eni.eni_id, packet, now)
    for rule, by in fitting:
        if _untracked(rule, packet, groups, egress=egress):
            return Gate(True, by, tracked=False, mark=0 if found.mark is None else None)
    if fitting:
        mine = 1 if egress else 2
        return Gate(True, fitting[0][1], tracked=True, mark=mine if found.opening else None)
    return Gate(False, RuleRef(component=eni.groups[0] if eni.groups else eni.eni_id))


def _admits(
    index: Index, eni: Interface, rule: Allow, packet: Packet, *, egress: bool, direct: bool, over: str | None
) -> bool:
    members = None
    if rule.match.group is not None and (egress or direct):
        members = named_members(index, eni.vpc_id, rule.match, egress=egress, over=over)
    return matches(rule.match, packet, packet.dst if egress else packet.src, members)


def named_members(index: Index, vpc_id: str, match: Match, *, egress: bool, over: str | None) -> Collection[Address]:
    """Who a condition on a group means in a VPC: interfaces of that VPC, another one may have the same addresses (SG-70);
    and those of the peer VPC whose group it is. Inbound, packets that come over a connection are from the peer."""
    assert match.group is not None
    own: Collection[Address] = index.members(match.group, vpc_id) if egress or over is None else ()
    way = index.joined(vpc_id, match.peer) if match.peer is not None else None
    if match.peer is None or way is None or not (egress or over == way.peering_id):
        return own
    theirs = index.members(match.group, match.peer)
    return frozenset(own).union(theirs) if own else theirs


def _untracked(rule: Allow, packet: Packet, groups: Iterable[Group], *, egress: bool) -> bool:
    """CT-03: everyone may, and everyone may answer. ICMP and other protocols are always tracked (CT-08, CT-09)."""
    if not rule.wide or packet.protocol not in PORTED:
        return False
    pair = (packet.family, packet.protocol)
    return any(pair in (group.opens_ingress if egress else group.opens_egress).pairs for group in groups)


def network_acl(index: Index, acl_id: str, packet: Packet, *, egress: bool) -> tuple[bool, RuleRef]:
    """The first entry that matches decides; without one, the final deny (ACL-29..ACL-31)."""
    acl = index.get(Acl, acl_id)
    remote = packet.dst if egress else packet.src
    for entry in acl.egress if egress else acl.ingress:
        if matches(entry.match, packet, remote, None):
            return entry.allow, RuleRef(component=acl_id, rule=str(entry.number))
    return False, RuleRef(component=acl_id, rule="*")


def longest(routes: Iterable[Route], address: Address) -> Route | None:
    """Longest prefix wins (RT-05)."""
    fitting = (route for route in routes if within(address, (route.destination,)))
    return max(fitting, key=lambda route: route.destination.prefixlen, default=None)


# ---------------------------------------------------------------------- one packet
@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a packet ended and how it looked there. `at`: an ENI id, INTERNET, SERVICE, or None when dropped.

    `through`: the appliances that passed it on. `flows`: the connection tables after it. `endpoint`: the one by which it
    reached a service, that answers from there.
    """

    at: str | None
    packet: Packet
    hops: tuple[Hop, ...]
    flows: Flows
    through: tuple[str, ...] = ()
    endpoint: str | None = None

    @property
    def verdict(self) -> Verdict:
        return Verdict(allowed=self.at is not None, hops=self.hops)


class _Journey:
    """One packet on its way. `dropped` and `_pass` write the hops; a step gives None once the packet is dropped."""

    def __init__(self, index: Index, flows: Flows, now: float, *, reply: bool, forward: bool) -> None:
        self.index, self.flows, self.now, self.reply, self.forward = index, flows, now, reply, forward
        self.hops: list[Hop] = []
        self.through: list[str] = []
        self.endpoint: str | None = None

    def _hop(
        self, layer: Layer, allowed: bool, by: RuleRef, eni: str | None = None, tracked: bool | None = None
    ) -> bool:
        self.hops.append(Hop(layer=layer, allowed=allowed, by=by, interface=eni, reply=self.reply, tracked=tracked))
        return allowed

    def _end(self, at: str | None, packet: Packet) -> Arrival:
        return Arrival(at, packet, tuple(self.hops), self.flows, tuple(self.through), self.endpoint)

    # ------------------------------------------------------------------ from an interface
    def from_interface(self, sender: Interface, packet: Packet) -> Arrival:
        """A packet an interface sends, or an appliance passes on."""
        direct = own(sender, packet.src)
        passes = direct or not sender.source_dest_check
        if not self._hop(Layer.SOURCE_CHECK, passes, RuleRef(component=sender.eni_id), sender.eni_id):
            return self._end(None, packet)
        if self.index.is_router(sender.vpc_id, packet.dst) or _asks_dhcp(packet):
            return self._to_router(sender, packet)
        subnet = self.index.get(Subnet, sender.subnet_id)
        # one subnet: no network ACL, and the routes of the subnet are not asked (ACL-32, RT-16)
        inside = in_subnet(subnet, packet.dst)
        if not self._leaves(sender, subnet, packet, inside=inside):
            return self._end(None, packet)
        table = self.index.get(RouteTable, subnet.table_id)
        target = self._local(sender.vpc_id, table.table_id, packet) if inside else self._route(table, packet)
        if isinstance(target, Edge):
            return self._to_internet(target, packet)
        if isinstance(target, Peering):
            return self._to_peer(target, packet, direct=direct)
        if isinstance(target, Endpoint):
            return self._to_endpoint(target, packet)
        return self._arrive(target, packet, direct=direct, inside=inside)

    def _to_router(self, sender: Interface, packet: Packet) -> Arrival:
        """The router's services take what is theirs, unfiltered; the router drops the rest (UF-01..UF-07)."""
        vpc = self.index.get(Vpc, sender.vpc_id)
        resolvers = (*RESOLVERS, *(block.network_address + 2 for block in vpc.ipv4)) if vpc.dns_support else ()
        dns = packet.dst in resolvers and packet.protocol in PORTED and packet.dport == 53
        imds = packet.dst in METADATA and packet.protocol == Protocol.TCP and packet.dport == 80
        time = packet.dst in TIME and packet.protocol == Protocol.UDP and packet.dport == 123
        dhcp = packet.protocol == Protocol.UDP and packet.dport == 67
        dhcp = dhcp and (packet.dst == EVERYONE or self.index.is_first(sender.vpc_id, packet.dst))
        if dns or imds or time or dhcp:
            return self._end(SERVICE, packet)
        self._hop(Layer.NO_ROUTE, False, RuleRef(component=sender.vpc_id, rule="router"))
        return self._end(None, packet)

    def _leaves(self, sender: Interface, subnet: Subnet, packet: Packet, *, inside: bool) -> bool:
        gate = security_groups(
            self.index, sender, packet, egress=True, flows=self.flows, direct=True, now=self.now
        )  # fmt: skip
        if not self._hop(Layer.SG_EGRESS, gate.allowed, gate.by, sender.eni_id, gate.tracked):
            return False
        if not inside:
            allowed, by = network_acl(self.index, subnet.acl_id, packet, egress=True)
            if not self._hop(Layer.NACL_OUT, allowed, by, sender.eni_id):
                return False
        self.flows = self.flows.admit(sender.eni_id, packet, gate.mark, sender.timeouts, self.now)
        return True

    # ------------------------------------------------------------------ routes
    def _local(self, vpc_id: str, table_id: str, packet: Packet, rule: str = "local") -> Interface | None:
        """To the interface that has the address."""
        owner = self.index.owner(vpc_id, packet.dst)
        self._hop(Layer.NO_ROUTE, owner is not None, RuleRef(component=table_id, rule=rule))
        return owner

    def _route(self, table: RouteTable, packet: Packet) -> Interface | Edge | Peering | Endpoint | None:
        """Where a table leads; None when the packet is dropped."""
        route = None if within(packet.dst, UNROUTED) else longest(table.routes, packet.dst)
        rule = None if route is None else str(route.destination)
        if route is not None and route.via is Via.LOCAL:
            return self._local(table.vpc_id, table.table_id, packet, str(route.destination))
        target: Interface | Edge | Peering | Endpoint | None = None
        if route is not None and route.via is Via.PEERING and route.target is not None:
            target = self.index.find(Peering, associated_key(route.target, table.vpc_id))
        if route is not None and route.via is Via.GATEWAY:
            target = self.index.edges.get(table.vpc_id)
        if route is not None and route.via is Via.ENDPOINT and route.target is not None:
            target = self.index.find(Endpoint, route.target)
        if route is not None and route.via is Via.INTERFACE and route.target is not None:
            appliance = self.index.find(Interface, route.target)
            target = appliance if appliance is not None and self.index.running(appliance) else None
        self._hop(Layer.NO_ROUTE, target is not None, RuleRef(component=table.table_id, rule=rule))
        return target

    # ------------------------------------------------------------------ to an interface
    def _arrive(
        self, target: Interface | None, packet: Packet, *, direct: bool, inside: bool, over: str | None = None
    ) -> Arrival:
        """Into an interface; one that is not the destination is an appliance and passes the packet on unchanged."""
        if target is None or not self._enters(target, packet, direct=direct, inside=inside, over=over):
            return self._end(None, packet)
        if own(target, packet.dst) or not self.forward:
            return self._end(target.eni_id, packet)
        if len(self.through) >= MAX_APPLIANCES:
            self._hop(Layer.NO_ROUTE, False, RuleRef(component=target.eni_id, rule="loop"))
            return self._end(None, packet)
        self.through.append(target.eni_id)
        return self.from_interface(target, packet)

    def _enters(self, target: Interface, packet: Packet, *, direct: bool, inside: bool, over: str | None) -> bool:
        if not inside:
            subnet = self.index.get(Subnet, target.subnet_id)
            allowed, by = network_acl(self.index, subnet.acl_id, packet, egress=False)
            if not self._hop(Layer.NACL_IN, allowed, by, target.eni_id):
                return False
        gate = security_groups(
            self.index, target, packet, egress=False, flows=self.flows, direct=direct, now=self.now, over=over
        )  # fmt: skip
        if not self._hop(Layer.SG_INGRESS, gate.allowed, gate.by, target.eni_id, gate.tracked):
            return False
        if target.source_dest_check and not own(target, packet.dst):
            return self._hop(Layer.DEST_CHECK, False, RuleRef(component=target.eni_id), target.eni_id)
        self.flows = self.flows.admit(target.eni_id, packet, gate.mark, target.timeouts, self.now)
        return True

    # ------------------------------------------------------------------ a peering connection
    def _to_peer(self, way: Peering, packet: Packet, *, direct: bool) -> Arrival:
        """Between the blocks of the two VPCs, to the interface that has the address and nowhere else (PCX-05..PCX-07)."""
        near = self.index.get(Vpc, way.vpc_id)
        theirs, foreign = within(packet.dst, (*way.ipv4, *way.ipv6)), not within(packet.src, (*near.ipv4, *near.ipv6))
        if foreign or not theirs:
            why = "source outside the VPC" if foreign else "destination outside the peer VPC"
            self._hop(Layer.NO_ROUTE, False, RuleRef(component=way.peering_id, rule=why))
            return self._end(None, packet)
        owner = self._local(way.far_vpc_id, way.peering_id, packet, way.far_vpc_id)
        return self._arrive(owner, packet, direct=direct, inside=False, over=way.peering_id)

    def from_peer(self, way: Peering, packet: Packet) -> Arrival:
        """What comes into the near VPC, straight from whoever has its source in the far one."""
        owner = self._local(way.vpc_id, way.peering_id, packet, way.vpc_id)
        return self._arrive(owner, packet, direct=True, inside=False, over=way.peering_id)

    # ------------------------------------------------------------------ gateway endpoints
    def _to_endpoint(self, endpoint: Endpoint, packet: Packet) -> Arrival:
        """The service hears the VPC's own interfaces, on its port and by ping (VPE-04, VPE-06)."""
        ours = self.index.has_address(endpoint.vpc_id, packet.src)
        served = within(packet.dst, endpoint.blocks) and asks_service(packet)
        why = "to the service" if ours and served else "not served" if ours else "foreign source"
        if not self._hop(Layer.ENDPOINT, ours and served, RuleRef(component=endpoint.endpoint_id, rule=why)):
            return self._end(None, packet)
        self.endpoint = endpoint.endpoint_id
        return self._end(SERVICE, packet)

    def from_endpoint(self, endpoint: Endpoint, packet: Packet) -> Arrival:
        """What the service answers, to the private address that asked: judged as any packet that enters (VPE-05)."""
        owner = self._local(endpoint.vpc_id, endpoint.vpc_id, packet)
        return self._arrive(owner, packet, direct=False, inside=False)

    # ------------------------------------------------------------------ the internet gateway
    def _gateway(self, allowed: bool, edge: Edge, why: str) -> bool:
        return self._hop(Layer.GATEWAY, allowed, RuleRef(component=edge.gateway_id, rule=why))

    def _to_internet(self, edge: Edge, packet: Packet) -> Arrival:
        """Out: the source becomes its public address; IPv6 stays as it is (IGW-03..IGW-08)."""
        outside: dict[Address, Address] = {inside: address for address, inside in edge.nat}
        public = outside.get(packet.src)
        known = public is not None if packet.family == 4 else within(packet.src, edge.ipv6)
        if not known:
            self._gateway(False, edge, "no public address")
            return self._end(None, packet)
        if not _public(packet.dst):
            self._gateway(False, edge, "private destination")
            return self._end(None, packet)
        self._gateway(True, edge, "routed" if public is None else f"{packet.src} to {public}")
        return self._on_internet(_exchanged(packet, lambda a: outside.get(a, a), source=True))

    def _on_internet(self, packet: Packet, *, outside: bool = False) -> Arrival:
        """To the VPC that has the address, else to the outside host itself. Nothing leads to a VPC without a gateway (IGW-07)."""
        for edge in self.index.edges.values():
            if within(packet.dst, edge.ipv6) or any(public == packet.dst for public, _ in edge.nat):
                return self._from_gateway(edge, packet, outside=outside)
        if within(packet.dst, self.index.ipv6):
            self._hop(Layer.NO_ROUTE, False, RuleRef(component=INTERNET))
            return self._end(None, packet)
        return self._end(INTERNET, packet)

    def from_internet(self, packet: Packet) -> Arrival:
        """A packet an outside host sends."""
        arrival = self._on_internet(packet, outside=True)
        if arrival.at == INTERNET:
            self._hop(Layer.NO_ROUTE, False, RuleRef(component=INTERNET))
            return self._end(None, packet)
        return arrival

    def _from_gateway(self, edge: Edge, packet: Packet, *, outside: bool) -> Arrival:
        """In: the public destination becomes the private one; then the gateway's own route table, if any (RT-13).

        `outside`: from an outside host, which cannot have one of the gateway's own public addresses (IGW-08).
        """
        inner: tuple[Network, ...] = (*edge.ipv6, *self.index.get(Vpc, edge.vpc_id).ipv4)
        mine = outside and any(packet.src == public for public, _ in edge.nat)
        if mine or not _public(packet.src) or within(packet.src, inner):
            self._gateway(False, edge, "spoofed source")
            return self._end(None, packet)
        inside: dict[Address, Address] = dict(edge.nat)
        packet = _exchanged(packet, lambda a: inside.get(a, a), source=False)
        self._gateway(True, edge, f"to {packet.dst}")
        if edge.table_id is None:
            return self._arrive(self._local(edge.vpc_id, edge.vpc_id, packet), packet, direct=False, inside=False)
        target = self._route(self.index.get(RouteTable, edge.table_id), packet)
        if isinstance(target, Edge | Peering | Endpoint):  # the API refuses such routes (RT-13, PCX-07, PL-12)
            self._hop(Layer.NO_ROUTE, False, RuleRef(component=edge.table_id, rule="back to a gateway"))
            target = None
        return self._arrive(target, packet, direct=False, inside=False)


def _asks_dhcp(packet: Packet) -> bool:
    """A DHCP client asks everyone; only the VPC's server hears it (UF-02)."""
    return packet.dst == EVERYONE and packet.protocol == Protocol.UDP and packet.dport == 67


def asks_service(packet: Packet) -> bool:
    """What the service behind a gateway endpoint answers (VPE-06)."""
    if packet.protocol == Protocol.ICMP:
        return packet.icmp_type == ECHO
    return packet.protocol == Protocol.TCP and packet.dport == SERVICE_PORT


def _public(address: Address) -> bool:
    """May it appear on the internet (IGW-08)?"""
    return within(address, (IPV6_POOL,)) or not within(address, UNROUTABLE)


def _exchanged(packet: Packet, exchange: Callable[[Address], Address], *, source: bool) -> Packet:
    """The packet with its source (or destination) exchanged; what an ICMP error quotes travelled the other way."""
    cause = packet.cause
    if cause is not None:
        cause = replace(cause, dst=exchange(cause.dst)) if source else replace(cause, src=exchange(cause.src))
    if source:
        return replace(packet, src=exchange(packet.src), cause=cause)
    return replace(packet, dst=exchange(packet.dst), cause=cause)


# ---------------------------------------------------------------------- public functions
def sender_of(ir: Ir | Index, source: str) -> Interface:
    """The interface a packet is sent from. CannotSend when there is none, or its instance does not run."""
    index = Index.of(ir)
    interface = index.find(Interface, source)
    if interface is None:
        raise CannotSend(f"there is no network interface {source}")
    if not index.running(interface):
        raise CannotSend(f"{interface.instance_id} is not running: it sends nothing")
    return interface


def judge(
    ir: Ir | Index, flows: Flows, packet: Packet, source: str, *, now: float = 0.0, reply: bool = False,
    forward: bool = True,
) -> Arrival:  # fmt: skip
    """One packet sent by an interface, by the INTERNET, or by the service behind an endpoint, at a time. CannotSend: see `sender_of`.
    Or one that comes into a VPC by a connection (`associated_key`), from whoever has its source beyond.

    `forward`: appliances pass packets on unchanged; without it the packet's journey ends at the first one.
    """
    journey = _Journey(Index.of(ir), flows, now, reply=reply, forward=forward)
    if source == INTERNET:
        return journey.from_internet(packet)
    endpoint = journey.index.find(Endpoint, source)
    if endpoint is not None:
        return journey.from_endpoint(endpoint, packet)
    way = journey.index.find(Peering, source)
    if way is not None:
        return journey.from_peer(way, packet)
    return journey.from_interface(sender_of(ir, source), packet)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A packet and its answer. `back` is None when there was nothing to answer."""

    verdict: Verdict
    there: Arrival
    back: Arrival | None

    @property
    def flows(self) -> Flows:
        """The connection tables after both."""
        return (self.back or self.there).flows


def exchange(ir: Ir | Index, packet: Packet, source: str, flows: Flows | None = None, *, now: float = 0.0) -> Exchange:
    """A packet and its answer, sent at once; allowed when both arrive. Hops of both ways, in order."""
    index = Index.of(ir)
    there = judge(index, flows or Flows(), packet, source, now=now)
    if there.at is None or (there.at == SERVICE and there.endpoint is None):
        return Exchange(there.verdict, there, None)
    back = judge(index, there.flows, there.packet.reply(), there.endpoint or there.at, now=now, reply=True)
    home = back.at == source and back.packet.dst == packet.src and back.packet.src == packet.dst
    hops = (*there.hops, *back.hops)
    if not home and back.at is not None:
        elsewhere = RuleRef(component=back.at, rule="answer goes elsewhere")
        hops = (*hops, Hop(layer=Layer.NO_ROUTE, allowed=False, by=elsewhere, reply=True))
    return Exchange(Verdict(allowed=home, hops=hops), there, back)


def converse(ir: Ir | Index, packet: Packet, source: str, flows: Flows | None = None) -> tuple[Verdict, Arrival]:
    """`exchange`, as (verdict, where the packet arrived)."""
    done = exchange(ir, packet, source, flows)
    return done.verdict, done.there


def trace(ir: Ir | Index, source: str, packet: Packet) -> Verdict:
    """Can this packet go there, and its answer come back?"""
    return exchange(ir, packet, source).verdict
