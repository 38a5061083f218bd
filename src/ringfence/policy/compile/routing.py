"""VPCs, subnets and route tables → where packets go (RT-01..RT-14, NET-07)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from ringfence.model.kinds import DHCP_OPTIONS, INSTANCE, INTERNET_GATEWAY, NETWORK_INTERFACE, ROUTE_TABLE, VPC
from ringfence.model.net import Network
from ringfence.model.nouns.instance import RUNNABLE
from ringfence.model.nouns.network import Subnet as SubnetRow
from ringfence.model.nouns.network import Vpc as VpcRow
from ringfence.model.nouns.routing import Route as RouteRow
from ringfence.model.nouns.routing import RouteTable as RouteTableRow
from ringfence.model.nouns.routing import RouteTarget
from ringfence.model.regions import private_domain
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Route, RouteTable, Subnet, Via, Vpc

#: never forwarded, even under a wider route: AWS keeps these for its own services (RT-09)
RESERVED: tuple[Network, ...] = (IPv4Network("169.254.168.0/22"), IPv6Network("fd00:ec2::/32"))


def vpc(rows: Rows, row: VpcRow) -> Vpc:
    """A VPC's blocks, resolver settings and DHCP options."""
    return Vpc(
        vpc_id=row.id,
        region=row.region,
        ipv4=tuple(a.block for a in row.ipv4 if isinstance(a.block, IPv4Network)),
        ipv6=tuple(a.block for a in row.ipv6 if isinstance(a.block, IPv6Network)),
        dns_support=row.dns_support,
        dns_hostnames=row.dns_hostnames,
        domain=private_domain(row.region),
        dhcp=_dhcp(rows, row),
    )


def _dhcp(rows: Rows, row: VpcRow) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The VPC's DHCP options, AmazonProvidedDNS as the resolver's addresses; none for "default" (DNS-04, DNS-07)."""
    found = rows.find(DHCP_OPTIONS, row.dhcp_options_id)
    provided = (str(row.cidr.network_address + 2), *(["fd00:ec2::253"] if row.ipv6 else []))
    return tuple(
        (key, tuple(each for value in values for each in (provided if value == "AmazonProvidedDNS" else (value,))))
        for key, values in (found.options if found else ())
    )


def subnet(rows: Rows, row: SubnetRow) -> Subnet:
    """A subnet's blocks, its ACL, and its explicit route table or else the VPC's main one (RT-01, RT-04)."""
    explicit = rows.by(ROUTE_TABLE, "subnet", row.id)
    return Subnet(
        subnet_id=row.id,
        vpc_id=row.vpc_id,
        ipv4=row.cidr,
        ipv6=tuple(a.block for a in row.ipv6 if isinstance(a.block, IPv6Network)),
        acl_id=row.network_acl_id,
        table_id=explicit[0].id if explicit else rows.get(VPC, row.vpc_id).main_route_table_id,
    )


def route_table(rows: Rows, row: RouteTableRow) -> RouteTable:
    """Local routes for every block of the VPC, the table's own routes, and what is never forwarded (NET-07, RT-09)."""
    owner = rows.get(VPC, row.vpc_id)
    own = {route.destination for route in row.routes}
    local = (
        Route(destination=association.block, via=Via.LOCAL)
        for association in (*owner.ipv4, *owner.ipv6)
        if association.block not in own  # the local route of a gateway table may be replaced (RT-17)
    )
    never = (Route(destination=block, via=Via.BLACKHOLE) for block in RESERVED)
    routes = (*local, *(_route(rows, row, route) for route in row.routes), *never)
    return RouteTable(table_id=row.id, vpc_id=row.vpc_id, number=row.number, routes=routes, unread=row.unread)


def _route(rows: Rows, table: RouteTableRow, route: RouteRow) -> Route:
    """One route; a blackhole when its target is gone, detached or does not run (RT-12)."""
    if route.target is RouteTarget.LOCAL:
        return Route(destination=route.destination, via=Via.LOCAL)
    if route.target is RouteTarget.INTERNET_GATEWAY and _attached(rows, table, route):
        return Route(destination=route.destination, via=Via.GATEWAY, target=route.target_id)
    if route.target is RouteTarget.NETWORK_INTERFACE and _forwards(rows, table, route):
        return Route(destination=route.destination, via=Via.INTERFACE, target=route.target_id)
    if route.target is RouteTarget.UNMODELLED:
        return Route(destination=route.destination, via=Via.UNMODELLED, target=route.target_id)
    return Route(destination=route.destination, via=Via.BLACKHOLE)


def _attached(rows: Rows, table: RouteTableRow, route: RouteRow) -> bool:
    gateway = rows.find(INTERNET_GATEWAY, route.target_id)
    return gateway is not None and gateway.vpc_id == table.vpc_id


def _forwards(rows: Rows, table: RouteTableRow, route: RouteRow) -> bool:
    eni = rows.find(NETWORK_INTERFACE, route.target_id)
    if eni is None or eni.vpc_id != table.vpc_id or eni.attachment is None:
        return False
    instance = rows.find(INSTANCE, eni.attachment.instance_id)
    return instance is not None and instance.state in RUNNABLE
