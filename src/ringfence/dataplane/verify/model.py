"""What the model admits, gate by gate, as sets of packets: straight from the fragments of the IR.

It shares nothing with the compiler of rules (`nftables.render`, `flatten`, `boxes`, `base`): a fault there must show as a
difference. Semantics: SG-63..81, CT-01..24, ACL-29..45, RT-05..16, IGW-03..08, UF-01..07, NET-13, NET-22.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeVar

from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.roads import ITSELF, NOWHERE, partition
from ringfence.dataplane.verify.rtnetlink import Route as KernelRoute
from ringfence.model.net import Address, Network
from ringfence.policy.ir import (
    Acl,
    Allow,
    Edge,
    Endpoint,
    Fragment,
    Group,
    GroupMembers,
    Interface,
    Match,
    Peering,
    PeerMembers,
    Route,
    RouteTable,
    Subnet,
    Via,
    Vpc,
)

F = TypeVar("F")
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
#: where no router forwards to (NET-13, RFC 4291)
UNROUTED: tuple[Network, ...] = (
    IPv4Network("224.0.0.0/4"), IPv4Network("255.255.255.255/32"), IPv4Network("127.0.0.0/8"), IPv4Network("0.0.0.0/8"),
    IPv6Network("ff00::/8"), IPv6Network("fe80::/10"), IPv6Network("::/127"),
)  # fmt: skip
RESOLVERS = (IPv4Address("169.254.169.253"), IPv6Address("fd00:ec2::253"))
METADATA = (IPv4Address("169.254.169.254"), IPv6Address("fd00:ec2::254"))
TIME = (IPv4Address("169.254.169.123"), IPv6Address("fd00:ec2::123"))
DHCP6_SERVERS, ON_LINK = IPv6Address("ff02::1:2"), IPv6Network("fe80::/10")  # RFC 8415
EVERYONE, NOBODY = IPv4Address("255.255.255.255"), IPv4Address("0.0.0.0")  # noqa: S104  in packets
ANYWHERE = "*"  # no matter over which connection
RELATED, NEW, ESTABLISHED = 4, 8, 2
BEGUN_OUT, BEGUN_IN = 1, 2

FLOWING = p.union(p.box({p.PROTOCOL: (number, number)}) for number in (TCP, UDP))
TRACKED_STATE = p.union(p.box({p.STATE: (each, each)}) for each in (ESTABLISHED, RELATED, NEW))
IS_RELATED = p.box({p.STATE: (RELATED, RELATED)})
DISCOVERY = p.box({
    p.FAMILY: p.family(6), p.PROTOCOL: (ICMPV6, ICMPV6), p.HOPS: (255, 255), p.WORD: (133 << 8, (136 << 8) + 255),
})  # fmt: skip
ASKS_FOR_ADDRESS = p.box({
    p.FAMILY: p.family(4), p.PROTOCOL: (UDP, UDP), p.PORT: (67, 67), p.SOURCE: p.address(NOBODY),
    p.DESTINATION: p.address(EVERYONE),
})  # fmt: skip

#: what clients on a link ask of DHCPv6 servers, and what these tell them
ASKS_DHCP6 = p.box({
    p.FAMILY: p.family(6), p.PROTOCOL: (UDP, UDP), p.PORT: (547, 547), p.SOURCE: p.block(ON_LINK),
    p.DESTINATION: p.address(DHCP6_SERVERS),
})  # fmt: skip
TELLS_DHCP6 = p.box({
    p.FAMILY: p.family(6), p.PROTOCOL: (UDP, UDP), p.WORD: (547, 547), p.SOURCE: p.block(ON_LINK),
    p.DESTINATION: p.block(ON_LINK),
})  # fmt: skip


def of_blocks(field: int, blocks: Iterable[Network]) -> int:
    return p.boxes([{p.FAMILY: p.family(each.version), field: p.block(each)} for each in blocks])


def of_addresses(field: int, addresses: Iterable[Address]) -> int:
    return p.boxes([{p.FAMILY: p.family(each.version), field: p.address(each)} for each in addresses])


NOT_ROUTED = of_blocks(p.DESTINATION, UNROUTED)


@dataclass(frozen=True, slots=True)
class Admission:
    """What the groups of an interface let through one way: everything, and what of it is not tracked if it begins a flow."""

    allowed: int
    untracked: int


class Model:
    """One VPC. `plugged`: the interfaces that have a link; the others are there, and get and send nothing. `joined`: the same of
    peering connections."""

    def __init__(self, fragments: Iterable[Fragment], plugged: Iterable[str], joined: Iterable[str] = ()) -> None:
        self.joined = frozenset(joined)
        self._by: dict[type, list[Fragment]] = {}
        for fragment in fragments:
            self._by.setdefault(type(fragment), []).append(fragment)
        self.plugged = frozenset(plugged)
        self._acls: dict[tuple[str, bool], int] = {}
        self._admissions: dict[tuple[tuple[str, ...], bool, bool, str | None], Admission] = {}
        self._roads: dict[str | None, Mapping[str, int]] = {}

    def all(self, kind: type[F]) -> list[F]:
        return [each for each in self._by.get(kind, ()) if isinstance(each, kind)]

    @cached_property
    def vpc(self) -> Vpc:
        return self.all(Vpc)[0]

    @cached_property
    def edge(self) -> Edge | None:
        return next(iter(self.all(Edge)), None)

    @cached_property
    def peerings(self) -> list[Peering]:
        return self.all(Peering)

    @cached_property
    def endpoints(self) -> frozenset[str]:
        return frozenset(each.endpoint_id for each in self.all(Endpoint))

    @cached_property
    def interfaces(self) -> list[Interface]:
        return self.all(Interface)

    @cached_property
    def subnets(self) -> dict[str, Subnet]:
        return {each.subnet_id: each for each in self.all(Subnet)}

    @cached_property
    def route_tables(self) -> dict[str, RouteTable]:
        return {each.table_id: each for each in self.all(RouteTable)}

    @cached_property
    def _groups(self) -> dict[str, Group]:
        return {each.group_id: each for each in self.all(Group)}

    @cached_property
    def _members(self) -> dict[str, GroupMembers]:
        return {each.group_id: each for each in self.all(GroupMembers)}

    # ------------------------------------------------------------------ addresses
    def inside(self, subnet: Subnet) -> int:
        """Packets to an address of the subnet."""
        return of_blocks(p.DESTINATION, [*([subnet.ipv4] if subnet.ipv4 else []), *subnet.ipv6])

    def own(self, eni: Interface, field: int) -> int:
        return of_addresses(field, (*eni.ipv4, *eni.ipv6))

    def from_itself(self, eni: Interface) -> int:
        """Its own addresses, and the link-local one of its MAC (RFC 4291), which it asks its router with."""
        octets = bytes.fromhex(eni.mac.replace(":", ""))
        local = b"\xfe\x80" + bytes(6) + bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
        return p.either(self.own(eni, p.SOURCE), of_addresses(p.SOURCE, [IPv6Address(local)]))

    def by_mac(self, eni: Interface) -> int:
        number = int(eni.mac.replace(":", ""), 16)
        return p.box({p.MAC: (number, number)})

    @cached_property
    def routers(self) -> int:
        """Packets to the router's own addresses (NET-11, UF-01, UF-03)."""
        blocks = [each.ipv4 for each in self.subnets.values() if each.ipv4]
        own: list[Address] = [block.network_address + n for block in blocks for n in (1, 2)]
        own += [block.network_address + 2 for block in self.vpc.ipv4]
        return of_addresses(p.DESTINATION, (*RESOLVERS, *METADATA, *TIME, *own))

    @cached_property
    def unjudged(self) -> int:
        """Packets to addresses that are the router's services': no group or network ACL is asked (UF-01..UF-07)."""
        blocks = [each.ipv4 for each in self.subnets.values() if each.ipv4]
        own: list[Address] = [
            *METADATA,
            *TIME,
            EVERYONE,
            DHCP6_SERVERS,
            *(block.network_address + 1 for block in blocks),
        ]
        if self.vpc.dns_support:
            own += [*RESOLVERS, *(block.network_address + 2 for block in self.vpc.ipv4)]
        return of_addresses(p.DESTINATION, own)

    def services(self, field: int, port: int) -> int:
        """Packets to (or, with the other fields, from) the services of the router."""
        asked: list[tuple[Address, int, int]] = []
        asked += [(each, TCP, 80) for each in METADATA]
        asked += [(each, UDP, 123) for each in TIME] + [(EVERYONE, UDP, 67)]
        if self.vpc.dns_support:
            servers: tuple[Address, ...] = (*RESOLVERS, *(block.network_address + 2 for block in self.vpc.ipv4))
            asked += [(each, protocol, 53) for each in servers for protocol in (TCP, UDP)]
        asked += [(each.ipv4.network_address + 1, UDP, 67) for each in self.subnets.values() if each.ipv4]
        return p.boxes([
            {p.FAMILY: p.family(address.version), field: p.address(address), p.PROTOCOL: (protocol, protocol),
             port: (number, number)}
            for address, protocol, number in asked
        ])  # fmt: skip

    # ------------------------------------------------------------------ network ACLs
    def acl(self, acl_id: str, *, egress: bool) -> int:
        """What a network ACL lets through: the first entry that matches decides, none means no (ACL-29, ACL-30)."""
        found = self._acls.get((acl_id, egress))
        if found is None:
            acl = next((each for each in self.all(Acl) if each.acl_id == acl_id), None)
            found = p.NONE
            for entry in reversed((acl.egress if egress else acl.ingress) if acl else ()):
                some = p.union(_matching(entry.match, p.DESTINATION if egress else p.SOURCE, None))
                found = p.either(some, found) if entry.allow else p.without(found, some)
            self._acls[acl_id, egress] = found
        return found

    # ------------------------------------------------------------------ security groups
    def groups(self, eni: Interface, *, egress: bool, direct: bool, over: str | None = None) -> Admission:
        """All rules of all groups. `direct`: the packet comes straight from who has its source (SG-68, SG-78, D-05), in this
        VPC; `over`: straight from who has it in the peer VPC of this connection."""
        key = (eni.groups, egress, egress or direct, over)
        found = self._admissions.get(key)
        if found is None:
            found = self._work_out(eni.groups, egress=egress, direct=egress or direct, over=over)
            self._admissions[key] = found
        return found

    def _work_out(self, ids: Iterable[str], *, egress: bool, direct: bool, over: str | None) -> Admission:
        groups = [group for id in ids if (group := self._groups.get(id))]
        field = p.DESTINATION if egress else p.SOURCE
        rules = [rule for group in groups for rule in (group.egress if egress else group.ingress)]
        allowed = p.union(
            some for rule in rules for some in self._admitted(rule, field, direct, ANYWHERE if egress else over)
        )
        wide = p.union(
            some
            for rule in rules
            if rule.wide
            for some in self._admitted(rule, field, direct, ANYWHERE if egress else over)
        )
        pairs = {
            pair for group in groups for pair in (group.opens_ingress if egress else group.opens_egress).pairs
        }  # fmt: skip
        opened = p.boxes([{p.FAMILY: p.family(version), p.PROTOCOL: (number, number)} for version, number in pairs])
        return Admission(allowed, p.both(wide, p.both(opened, FLOWING)))

    def _admitted(self, rule: Allow, field: int, direct: bool, over: str | None) -> list[int]:
        named, peer = rule.match.group, rule.match.peer
        if named is None:
            return _matching(rule.match, field, None)
        members = [self._members[named]] if direct and named in self._members else []
        way = next((each for each in self.peerings if each.far_vpc_id == peer and each.same_region), None)
        if way is not None and over in (way.peering_id, ANYWHERE):
            far = (each for each in self.all(PeerMembers) if each.peering_id == way.peering_id)
            members += [group for each in far for group in each.groups if group.group_id == named]
        addresses: list[Address] = []
        for each in members:
            addresses += [*each.ipv4, *each.ipv6]
        return _matching(rule.match, field, tuple(addresses)) if addresses else []

    # ------------------------------------------------------------------ routes
    def road(self, table_id: str | None) -> Mapping[str, int]:
        """Interface id, endpoint id, "gateway" or one of the other places → packets led there; None: by the VPC's own addresses only."""
        found = self._roads.get(table_id)
        if found is None:
            found = self._roads[table_id] = self._lead(table_id)
        return found

    @cached_property
    def owned(self) -> dict[str, int]:
        """Interface → packets to its addresses, if it is plugged in."""
        return {eni.eni_id: self.own(eni, p.DESTINATION) for eni in self.interfaces if eni.eni_id in self.plugged}

    def _lead(self, table_id: str | None) -> Mapping[str, int]:
        ways: dict[str, int] = {}
        everywhere = p.either(*(p.box({p.FAMILY: p.family(version)}) for version in (4, 6)))
        if table_id is None:
            ways["local"] = everywhere
        else:
            for route, some in self._longest(self.route_tables[table_id]):
                ways[route] = p.either(ways.get(route, p.NONE), some)
        local = ways.pop("local", p.NONE)
        out: dict[str, int] = {}
        for place, some in [*ways.items(), *((id, p.both(some, local)) for id, some in self.owned.items())]:
            out[place] = p.either(out.get(place, p.NONE), some)
        out[ITSELF] = self.routers
        for place in out.keys() - {ITSELF}:
            out[place] = p.without(out[place], self.routers)
        out[NOWHERE] = p.without(everywhere, p.union(some for place, some in out.items() if place != NOWHERE))
        return out

    def _longest(self, table: RouteTable) -> Iterable[tuple[str, int]]:
        """(where a route leads, packets)."""
        by_key = {id(route): route for route in table.routes}
        for version in (4, 6):
            asked = {
                KernelRoute(version, n, "unicast", route.destination, 0, None, ""): route
                for n, route in enumerate(by_key.values())
                if route.destination.version == version
            }
            for first, last, kernel in partition(version, asked):
                route = asked[kernel] if kernel is not None else None
                target = NOWHERE
                if route is not None and route.via is Via.LOCAL:
                    target = "local"
                elif route is not None and route.via is Via.GATEWAY and self.edge is not None:
                    target = "gateway"
                elif route is not None and route.via is Via.PEERING and route.target in self.joined:
                    target = f"peer {route.target}"
                elif route is not None and (self._served(route, version) or self._passed_on(route, version)):
                    target = str(route.target)
                yield target, p.box({p.FAMILY: p.family(version), p.DESTINATION: (first, last)})

    def _served(self, route: Route, version: int) -> bool:
        return route.via is Via.ENDPOINT and route.target in self.endpoints and version == 4

    def _passed_on(self, route: Route, version: int) -> bool:
        return route.via is Via.INTERFACE and self._appliance(route.target, version)

    def _appliance(self, eni_id: str | None, version: int) -> bool:
        eni = next((each for each in self.interfaces if each.eni_id == eni_id), None)
        return eni is not None and eni.eni_id in self.plugged and bool(eni.ipv4 if version == 4 else eni.ipv6)


# ---------------------------------------------------------------------- conditions
def _matching(match: Match, field: int, members: tuple[Address, ...] | None) -> list[int]:
    """The packets a condition covers, in each family; `field`: where the remote's address stands."""
    conditions: dict[int, p.Interval] = {}
    if match.protocol is not None:
        conditions[p.PROTOCOL] = (match.protocol, match.protocol)
    if match.ports is not None:  # destination ports only (SG-73, ACL-34)
        conditions[p.PORT] = (match.ports.first, match.ports.last)
    if match.icmp_type is not None:
        first = match.icmp_type << 8
        conditions[p.WORD] = (first, first + 255) if match.icmp_code is None else (first + match.icmp_code,) * 2
    out = []
    for version in (4, 6):
        if match.family not in (None, version) or (match.remote is not None and match.remote.version != version):
            continue
        part = {**conditions, p.FAMILY: p.family(version)}
        if match.remote is not None:
            part[field] = p.block(match.remote)
        if members is None:
            out.append(p.box(part))
        else:
            own = (each for each in members if each.version == version)
            out.append(p.boxes([{**part, field: p.address(each)} for each in own]))
    return out


def by_state(*, egress: bool) -> int:
    """What the connection's own table admits: more of a tracked flow, its answers, errors about it (CT-01, CT-02, CT-12)."""
    mine, theirs = (BEGUN_OUT, BEGUN_IN) if egress else (BEGUN_IN, BEGUN_OUT)
    forth = p.box({p.DIRECTION: (0, 0), p.BEGUN: (mine, mine)})
    back = p.box({p.DIRECTION: (1, 1), p.BEGUN: (theirs, theirs)})
    about = p.both(IS_RELATED, p.box({p.BEGUN: (1, 3)}))
    return p.both(TRACKED_STATE, p.union((forth, back, about)))
