"""VPCs, subnets and route tables → where packets go (RT-01..RT-14, NET-07)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from ringfence.model.kinds import INTERNET_GATEWAY, NETWORK_INTERFACE, ROUTE_TABLE, VPC
from ringfence.model.nouns.network import Subnet as SubnetRow
from ringfence.model.nouns.network import Vpc as VpcRow
from ringfence.model.nouns.routing import Route as RouteRow
from ringfence.model.nouns.routing import RouteTable as RouteTableRow
from ringfence.model.nouns.routing import RouteTarget
from ringfence.model.regions import REGIONS
from ringfence.model.world import World
from ringfence.policy.ir import Route, RouteTable, Subnet, Via, Vpc


def vpc(row: VpcRow) -> Vpc:
    """A VPC's blocks and resolver settings."""
    return Vpc(
        vpc_id=row.id,
        region=row.region,
        ipv4=tuple(a.block for a in row.ipv4 if isinstance(a.block, IPv4Network)),
        ipv6=tuple(a.block for a in row.ipv6 if isinstance(a.block, IPv6Network)),
        dns_support=row.dns_support,
        dns_hostnames=row.dns_hostnames,
        domain=REGIONS[row.region].private_domain,
    )


def table_of(world: World, row: SubnetRow) -> str:
    """The subnet's explicit route table, or the VPC's main one (RT-01)."""
    explicit = world.by(ROUTE_TABLE, "subnet", row.id)
    return explicit[0].id if explicit else world.get(VPC, row.vpc_id).main_route_table_id


def subnet(row: SubnetRow, table_id: str) -> Subnet:
    """A subnet's blocks, ACL and table."""
    return Subnet(
        subnet_id=row.id,
        vpc_id=row.vpc_id,
        ipv4=row.cidr,
        ipv6=tuple(a.block for a in row.ipv6 if isinstance(a.block, IPv6Network)),
        acl_id=row.network_acl_id,
        table_id=table_id,
    )


def table_inputs(world: World, row: RouteTableRow) -> tuple[Any, ...]:
    """The rows a table's routes depend on: its VPC and its targets."""
    return (world.get(VPC, row.vpc_id), *(_target_row(world, route) for route in row.routes))


def _target_row(world: World, route: RouteRow) -> Any:
    if route.target is RouteTarget.INTERNET_GATEWAY:
        return world.find(INTERNET_GATEWAY, route.target_id)
    if route.target is RouteTarget.NETWORK_INTERFACE:
        return world.find(NETWORK_INTERFACE, route.target_id)
    return None


def route_table(world: World, row: RouteTableRow) -> RouteTable:
    """Local routes for every block of the VPC, and the table's own (NET-07, RT-12)."""
    owner = world.get(VPC, row.vpc_id)
    own = {route.destination for route in row.routes}
    local = [
        Route(destination=association.block, via=Via.LOCAL)
        for association in (*owner.ipv4, *owner.ipv6)
        if association.block not in own
    ]
    routes = [*local, *(_route(world, row, route) for route in row.routes)]
    return RouteTable(table_id=row.id, vpc_id=row.vpc_id, number=row.number, routes=tuple(routes))


def _route(world: World, table: RouteTableRow, route: RouteRow) -> Route:
    target = _target_row(world, route)
    if route.target is RouteTarget.INTERNET_GATEWAY and target is not None and target.vpc_id == table.vpc_id:
        return Route(destination=route.destination, via=Via.GATEWAY, target=target.id)
    if route.target is RouteTarget.NETWORK_INTERFACE and target is not None and target.attachment is not None:
        return Route(destination=route.destination, via=Via.INTERFACE, target=target.id)
    return Route(destination=route.destination, via=Via.BLACKHOLE)
