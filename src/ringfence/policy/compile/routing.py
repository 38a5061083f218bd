"""VPCs, subnets and route tables → where packets go (RT-01..RT-14, NET-07)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from ringfence.model.aws_prefix_lists import Finder, find_list
from ringfence.model.kinds import (
    DHCP_OPTIONS,
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    ROUTE_TABLE,
    VPC,
    VPC_ENDPOINT,
)
from ringfence.model.net import Network, contains
from ringfence.model.nouns.instance import RUNNABLE
from ringfence.model.nouns.network import Subnet as SubnetRow
from ringfence.model.nouns.network import Vpc as VpcRow
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.nouns.routing import BY_ENDPOINT, ListRoute, RouteTarget
from ringfence.model.nouns.routing import Route as RouteRow
from ringfence.model.nouns.routing import RouteTable as RouteTableRow
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
    static = (*local, *(_route(rows, row, route) for route in row.routes), *never)
    listed, unread = _listed(rows, row, {route.destination for route in static})
    return RouteTable(
        table_id=row.id, vpc_id=row.vpc_id, number=row.number, routes=(*static, *listed), unread=(*row.unread, *unread)
    )  # fmt: skip


def _route(rows: Rows, table: RouteTableRow, route: RouteRow) -> Route:
    via, target = _leads(rows, table, route)
    return Route(destination=route.destination, via=via, target=target)


def _listed(rows: Rows, table: RouteTableRow, taken: set[Network]) -> tuple[list[Route], list[str]]:
    """A route to each entry of each prefix list (PL-08), and the lists whose entries are not known. A destination that is
    taken stays with what has it: the table's own routes win over those of lists (RT-07), earlier lists over later ones
    (AWS takes either, and keeps to it)."""
    found: dict[Network, Route] = {}
    unread: list[str] = []
    for route in table.listed:
        held = find_list(rows, route.prefix_list_id)
        if held is None:
            by_endpoint = route.target_id.startswith("vpce-")
            unread.append(route.prefix_list_id + (BY_ENDPOINT if by_endpoint else ""))
            continue
        via, target = _leads(rows, table, route)
        for entry in held.entries:
            kept_back = any(contains(block, entry.cidr) for block in RESERVED)
            if entry.cidr not in taken and not kept_back:
                made = Route(destination=entry.cidr, via=via, target=target, list_id=held.id)
                found.setdefault(entry.cidr, made)
    return list(found.values()), unread


def named_by(rows: Finder, table: RouteTableRow, destination: Network) -> RouteRow | ListRoute | None:
    """The route that gives a compiled table its route to the destination: the table's own, or the one to a list with such an
    entry (PL-08). None when neither does: a local route, or one that every table has."""
    own = next((route for route in table.routes if route.destination == destination), None)
    if own is not None:
        return own
    for route in table.listed:
        held = find_list(rows, route.prefix_list_id)
        if held is not None and any(entry.cidr == destination for entry in held.entries):
            return route
    return None


def _leads(rows: Rows, table: RouteTableRow, route: RouteRow | ListRoute) -> tuple[Via, str | None]:
    """Where a route leads; a blackhole when its target is gone, detached or does not run (RT-12)."""
    if route.target is RouteTarget.LOCAL:
        return Via.LOCAL, None
    if route.target is RouteTarget.INTERNET_GATEWAY and _attached(rows, table, route.target_id):
        return Via.GATEWAY, route.target_id
    if route.target is RouteTarget.NETWORK_INTERFACE and _forwards(rows, table, route.target_id):
        return Via.INTERFACE, route.target_id
    if route.target is RouteTarget.PEERING_CONNECTION and _joins(rows, table, route.target_id):
        return Via.PEERING, route.target_id
    if route.target is RouteTarget.GATEWAY_ENDPOINT and _serves(rows, table, route.target_id):
        return Via.ENDPOINT, route.target_id
    if route.target is RouteTarget.UNMODELLED:
        return Via.UNMODELLED, route.target_id
    return Via.BLACKHOLE, None


def _attached(rows: Rows, table: RouteTableRow, gateway_id: str | None) -> bool:
    gateway = rows.find(INTERNET_GATEWAY, gateway_id)
    return gateway is not None and gateway.vpc_id == table.vpc_id


def _joins(rows: Rows, table: RouteTableRow, connection_id: str | None) -> bool:
    found = rows.find(PEERING_CONNECTION, connection_id)
    if found is None or found.status is not PeeringStatus.ACTIVE:
        return False
    return table.vpc_id in (found.requester.vpc_id, found.accepter.vpc_id)


def _serves(rows: Rows, table: RouteTableRow, endpoint_id: str | None) -> bool:
    endpoint = rows.find(VPC_ENDPOINT, endpoint_id)
    return endpoint is not None and endpoint.vpc_id == table.vpc_id


def _forwards(rows: Rows, table: RouteTableRow, eni_id: str | None) -> bool:
    eni = rows.find(NETWORK_INTERFACE, eni_id)
    if eni is None or eni.vpc_id != table.vpc_id or eni.attachment is None:
        return False
    instance = rows.find(INSTANCE, eni.attachment.instance_id)
    return instance is not None and instance.state in RUNNABLE
