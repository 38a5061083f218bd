"""What AWS makes together with a VPC, and what an IPv6 block adds to it (NET-02, SG-25..SG-28, ACL-01..ACL-04)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network

from ringfence.api.ops.context import Call
from ringfence.api.ops.ec2.addressing import next_number
from ringfence.api.ops.ec2.permissions import open_egress
from ringfence.model.kinds import DHCP_OPTIONS, NETWORK_ACL, ROUTE_TABLE, SECURITY_GROUP, VPC
from ringfence.model.net import ANY_IPV4, ANY_IPV6, Network, Protocol
from ringfence.model.nouns.network import CidrAssociation, DhcpOptions, Vpc
from ringfence.model.nouns.network_acl import NetworkAcl, NetworkAclEntry
from ringfence.model.nouns.routing import RouteTable, RouteTableAssociation
from ringfence.model.nouns.security_group import GroupReference, SecurityGroup, SecurityGroupRule
from ringfence.model.regions import REGIONS
from ringfence.model.row import Tags
from ringfence.model.world import NOTHING, Change, World, put


@dataclass(frozen=True, slots=True)
class VpcGraph:
    """A new VPC with its main route table, default ACL and default group."""

    vpc: Vpc
    table: RouteTable
    acl: NetworkAcl
    group: SecurityGroup

    @property
    def change(self) -> Change:
        return (
            put(VPC, self.vpc)
            + put(ROUTE_TABLE, self.table)
            + put(NETWORK_ACL, self.acl)
            + put(SECURITY_GROUP, self.group)
        )


def new_vpc(
    call: Call, world: World, cidr: IPv4Network, *, ipv6: IPv6Network | None = None, default: bool = False,
    tenancy: str = "default", tags: Tags = (),
) -> tuple[VpcGraph, Change]:  # fmt: skip
    """The VPC and everything AWS makes with it; the change holds the Region's default DHCP options too if new."""
    options, extra = default_dhcp_options(call, world)
    vpc_id, table_id, acl_id, group_id = (call.ids.new(prefix) for prefix in ("vpc-", "rtb-", "acl-", "sg-"))
    blocks = (CidrAssociation(id=call.ids.new("vpc-cidr-assoc-"), block=ipv6),) if ipv6 else ()
    vpc = Vpc(
        id=vpc_id,
        **call.owned(),
        tags=tags,
        ipv4=(CidrAssociation(id=call.ids.new("vpc-cidr-assoc-"), block=cidr),),
        ipv6=blocks,
        is_default=default,
        tenancy=tenancy,
        dhcp_options_id=options.id,
        dns_hostnames=default,
        main_route_table_id=table_id,
        default_network_acl_id=acl_id,
        default_security_group_id=group_id,
    )
    main = RouteTableAssociation(id=call.ids.new("rtbassoc-"), main=True)
    graph = VpcGraph(
        vpc,
        RouteTable(
            id=table_id, **call.owned(), vpc_id=vpc_id, number=next_number(world, ROUTE_TABLE, vpc_id),
            associations=(main,),
        ),
        NetworkAcl(id=acl_id, **call.owned(), vpc_id=vpc_id, is_default=True, entries=open_entries(bool(ipv6))),
        _default_group(call, vpc, group_id),
    )  # fmt: skip
    return graph, extra + graph.change


def _default_group(call: Call, vpc: Vpc, group_id: str) -> SecurityGroup:
    itself = SecurityGroupRule(
        id=call.ids.new("sgr-"), egress=False, protocol=Protocol.ALL, from_port=-1, to_port=-1,
        group=GroupReference(group_id=group_id, owner_id=call.account_id),
    )  # fmt: skip
    return SecurityGroup(
        id=group_id, **call.owned(), vpc_id=vpc.id, name="default", description="default VPC security group",
        rules=(itself, *open_egress(call, vpc)),
    )  # fmt: skip


def open_entries(ipv6: bool) -> tuple[NetworkAclEntry, ...]:
    """Entries of a default ACL: 100 allows all IPv4, 101 all IPv6, both ways (ACL-02, ACL-03)."""
    return tuple(
        _open_entry(number, egress, cidr)
        for egress in (False, True)
        for number, cidr in ((100, ANY_IPV4), (101, ANY_IPV6))
        if ipv6 or cidr.version == 4
    )


def _open_entry(number: int, egress: bool, cidr: Network) -> NetworkAclEntry:
    return NetworkAclEntry(number=number, egress=egress, protocol=Protocol.ALL, allow=True, cidr=cidr)


def default_dhcp_options(call: Call, world: World) -> tuple[DhcpOptions, Change]:
    """The Region's AmazonProvidedDNS options (DNS-04); made the first time they are needed."""
    wanted = (
        ("domain-name", (REGIONS[call.region].private_domain,)),
        ("domain-name-servers", ("AmazonProvidedDNS",)),
    )
    for options in call.mine(world, DHCP_OPTIONS):
        if options.options == wanted and not options.tags:
            return options, NOTHING
    made = DhcpOptions(id=call.ids.new("dopt-"), **call.owned(), options=wanted)
    return made, put(DHCP_OPTIONS, made)


def ipv6_added(call: Call, world: World, vpc: Vpc) -> Change:
    """What the first IPv6 block of a VPC adds to groups and default ACL that are as created (SG-28, ACL-04, D-19)."""
    change = NOTHING
    group = world.get(SECURITY_GROUP, vpc.default_security_group_id)
    if group.egress_unmodified and not any(rule.cidr == ANY_IPV6 for rule in group.egress_rules):
        opened = SecurityGroupRule(
            id=call.ids.new("sgr-"), egress=True, protocol=Protocol.ALL, from_port=-1, to_port=-1, cidr=ANY_IPV6
        )
        change += put(SECURITY_GROUP, replace(group, rules=(*group.rules, opened)))
    acl = world.get(NETWORK_ACL, vpc.default_network_acl_id)
    added = [
        _open_entry(101, egress, ANY_IPV6)
        for egress, unmodified in ((False, acl.ingress_unmodified), (True, acl.egress_unmodified))
        if unmodified and not any(e.number == 101 and e.egress is egress for e in acl.entries)
    ]
    if added:
        change += put(NETWORK_ACL, replace(acl, entries=(*acl.entries, *added)))
    return change
