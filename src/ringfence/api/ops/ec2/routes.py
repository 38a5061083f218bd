"""Routes: create, replace, delete (Amazon VPC User Guide: "Route table concepts"; spec RT-05..RT-13, RT-17, PL-12).

A destination is a block or a prefix list. The route to a list is one of its own (`ListRoute`): it leads to whatever the list has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ec2 import peering_views
from ringfence.api.ops.ec2.prefix_list_references import check_route_references, route_count
from ringfence.api.ops.registry import operation
from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.errors import fault
from ringfence.model.kinds import (
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    PREFIX_LIST,
    ROUTE_TABLE,
    SUBNET,
    VPC,
)
from ringfence.model.net import Network, contains, parse_ipv4_network, parse_ipv6_network, parse_network
from ringfence.model.nouns.prefix_list import PrefixList
from ringfence.model.nouns.routing import ListRoute, Route, RouteTable, RouteTarget
from ringfence.model.world import World, put

R = TypeVar("R", Route, ListRoute)

#: destinations AWS keeps for itself (RT-09)
RESERVED = (parse_network("169.254.168.0/22"), parse_network("fd00:ec2::/32"))
#: targets that addresses of the VPC itself cannot be routed to
_NOT_INSIDE = frozenset({RouteTarget.INTERNET_GATEWAY, RouteTarget.PEERING_CONNECTION})
_DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
_TARGETS = (
    "GatewayId", "NetworkInterfaceId", "InstanceId", "NatGatewayId", "EgressOnlyInternetGatewayId", "VpcEndpointId",
    "TransitGatewayId", "LocalGatewayId", "CarrierGatewayId", "CoreNetworkArn", "OdbNetworkArn",
    "VpcPeeringConnectionId", "LocalTarget",
)  # fmt: skip


def _one(params: Params, names: Iterable[str], what: str) -> str:
    given = [name for name in names if params.get(name)]
    if len(given) != 1:
        code = "InvalidParameterCombination" if given else "MissingParameter"
        raise fault(code, message=f"Exactly one {what} must be given: one of {', '.join(names)}.")
    return given[0]


Destination = Network | PrefixList
AnyRoute = Route | ListRoute


def _destination(call: Call, world: World, params: Params) -> Destination:
    name = _one(params, _DESTINATIONS, "destination")
    text = params[name]
    if name == "DestinationPrefixListId":
        return call.get(world, PREFIX_LIST, text)
    try:
        return parse_ipv4_network(text) if name == "DestinationCidrBlock" else parse_ipv6_network(text)
    except ValueError:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({text}) for parameter {name[0].lower() + name[1:]} is invalid. This is not a valid CIDR block.",
        ) from None


def _route(destination: Destination, target: RouteTarget, id: str) -> AnyRoute:
    if isinstance(destination, PrefixList):
        return ListRoute(prefix_list_id=destination.id, target=target, target_id=id)
    return Route(destination=destination, target=target, target_id=id)


def _target(call: Call, world: World, table: RouteTable, params: Params, destination: Destination) -> AnyRoute:
    name = _one(params, _TARGETS, "target")
    value = params[name]
    if name == "LocalTarget" or (name == "GatewayId" and value == "local"):
        if isinstance(destination, PrefixList):
            raise fault("InvalidParameterValue", message="A route to a prefix list cannot be local")
        return Route(destination=destination, target=RouteTarget.LOCAL)
    if name == "GatewayId":
        if not value.startswith("igw-"):
            raise fault("UnsupportedOperation", message=f"The target {value} is not supported by this installation")
        gateway = call.get(world, INTERNET_GATEWAY, value)
        if gateway.vpc_id != table.vpc_id:
            raise fault(
                "InvalidParameterValue",
                message=f"route table {table.id} and network gateway {gateway.id} belong to different networks",
            )
        return _route(destination, RouteTarget.INTERNET_GATEWAY, gateway.id)
    if name == "NetworkInterfaceId":
        return _to_interface(call, world, table, destination, value)
    if name == "InstanceId":
        return _to_interface(call, world, table, destination, _only_interface(call, world, value))
    if name == "VpcPeeringConnectionId":
        return _to_peer(call, world, table, destination, value)
    raise fault("UnsupportedOperation", message=f"The target {name} is not supported by this installation")


def _to_peer(call: Call, world: World, table: RouteTable, destination: Destination, id: str) -> AnyRoute:
    """Also to a connection that is not accepted yet: the route leads to nothing until then (PCX-05)."""
    found = peering_views.find(call, world, id)
    if found.ended is not None:
        raise fault(PEERING_CONNECTION.not_found, id=id)
    if table.vpc_id not in (found.requester.vpc_id, found.accepter.vpc_id):
        raise fault(
            "InvalidParameterValue",
            message=f"route table {table.id} and vpc peering connection {id} belong to different networks",
        )
    return _route(destination, RouteTarget.PEERING_CONNECTION, id)


def _only_interface(call: Call, world: World, instance_id: str) -> str:
    instance = call.get(world, INSTANCE, instance_id)
    interfaces = world.by(NETWORK_INTERFACE, "instance", instance.id)
    if len(interfaces) != 1:
        raise fault(
            "InvalidInstanceID",
            message=f"There are multiple interfaces attached to instance '{instance_id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    return interfaces[0].id


def _to_interface(call: Call, world: World, table: RouteTable, destination: Destination, eni_id: str) -> AnyRoute:
    eni = call.get(world, NETWORK_INTERFACE, eni_id)
    if eni.vpc_id != table.vpc_id:
        raise fault(
            "InvalidParameterValue",
            message=f"route table {table.id} and interface {eni.id} belong to different networks",
        )
    return _route(destination, RouteTarget.NETWORK_INTERFACE, eni.id)


def check_placement(world: World, table: RouteTable, route: AnyRoute) -> None:
    """RT-08, RT-09, RT-13, PL-12: where a route of this destination may lead. Of a list, where its entries are now."""
    if isinstance(route, Route):
        _check_block(world, table, route)
        return
    if any(association.gateway_id for association in table.associations):
        raise fault("InvalidParameterValue", message="A gateway route table cannot have routes to prefix lists")
    held = find_list(world, route.prefix_list_id)
    for entry in held.entries if held is not None else ():
        if not _is_local(world, table, entry.cidr):  # the local route stays
            _check_block(world, table, Route(destination=entry.cidr, target=route.target, target_id=route.target_id))


def _check_block(world: World, table: RouteTable, route: Route) -> None:
    if any(contains(block, route.destination) for block in RESERVED):
        raise fault(
            "InvalidParameterValue",
            message=f"The destination CIDR block {route.destination} is reserved for AWS services",
        )
    vpc = world.get(VPC, table.vpc_id)
    blocks = [association.block for association in (*vpc.ipv4, *vpc.ipv6)]
    whole_vpc = route.destination in blocks
    inside = any(contains(block, route.destination) for block in blocks)
    whole_subnet = any(
        route.destination in (subnet.cidr, *(a.block for a in subnet.ipv6))
        for subnet in world.by(SUBNET, "vpc", vpc.id)
    )
    if any(a.gateway_id for a in table.associations):
        if route.target in _NOT_INSIDE or not (whole_vpc or whole_subnet):
            raise fault(
                "InvalidParameterValue",
                message="A gateway route table takes routes for the whole VPC or a whole subnet to an interface only",
            )
    elif inside and route.target is RouteTarget.PEERING_CONNECTION:
        raise fault("InvalidParameterValue", message=f"{route.destination} lies in the VPC: no peer has it")
    elif inside and not whole_vpc and (not whole_subnet or route.target in _NOT_INSIDE):
        raise fault(
            "InvalidParameterValue",
            message=f"The destination CIDR block {route.destination} is more specific than the local route; "
            "it must be the CIDR of a subnet and lead to an interface",
        )


def _is_local(world: World, table: RouteTable, destination: Network) -> bool:
    vpc = world.get(VPC, table.vpc_id)
    return any(association.block == destination for association in (*vpc.ipv4, *vpc.ipv6))


def _find(table: RouteTable, destination: Destination) -> AnyRoute | None:
    if isinstance(destination, PrefixList):
        return next((route for route in table.listed if route.prefix_list_id == destination.id), None)
    return next((route for route in table.routes if route.destination == destination), None)


def _local(world: World, table: RouteTable, destination: Destination) -> bool:
    return not isinstance(destination, PrefixList) and _is_local(world, table, destination)


def _name(destination: Destination) -> str:
    return destination.id if isinstance(destination, PrefixList) else str(destination)


def _check_editable(table: RouteTable, old: AnyRoute | None) -> None:
    """VPE-01: the route of a gateway endpoint goes with the endpoint's association and by nothing else."""
    if old is not None and old.target is RouteTarget.GATEWAY_ENDPOINT:
        text = f"cannot remove or replace the VPC endpoint route of {old.target_id} in route table {table.id}"
        raise fault("InvalidParameterValue", message=text)


def with_route(table: RouteTable, route: AnyRoute, old: AnyRoute | None = None) -> RouteTable:
    """The table with the route in place of the old one, or at the end."""
    if isinstance(route, ListRoute):
        return replace(table, listed=_placed(table.listed, route, old))
    return replace(table, routes=_placed(table.routes, route, old))


def _placed(held: tuple[R, ...], route: R, old: AnyRoute | None) -> tuple[R, ...]:
    if old is None:
        return held + (route,)  # noqa: RUF005  (mypy: constrained variables)
    return tuple(route if each is old else each for each in held)


def _without(table: RouteTable, old: AnyRoute) -> RouteTable:
    routes = tuple(route for route in table.routes if route is not old)
    return replace(table, routes=routes, listed=tuple(route for route in table.listed if route is not old))


@operation("ec2:CreateRoute")
def create_route(call: Call, world: World, params: Params) -> Outcome:
    """RT-08..RT-10, RT-13, Q-18, PL-12, PL-14: a list counts as its size."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    destination = _destination(call, world, params)
    route = _target(call, world, table, params, destination)
    if _find(table, destination) or _local(world, table, destination):
        raise fault("RouteAlreadyExists", destination=_name(destination))
    if route.target is RouteTarget.LOCAL:
        raise fault("InvalidParameterValue", message="A local route cannot be created")
    check_placement(world, table, route)
    changed = with_route(table, route)
    family = destination.family if isinstance(destination, PrefixList) else destination.version
    call.check_quota("routes-per-table", route_count(world, changed, family))
    if isinstance(destination, PrefixList):
        check_route_references(call, world, destination.id)
    return Outcome({"Return": True}, put(ROUTE_TABLE, changed))


@operation("ec2:ReplaceRoute")
def replace_route(call: Call, world: World, params: Params) -> Outcome:
    """RT-11, RT-17: the local route of a gateway table can be replaced and restored."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    destination = _destination(call, world, params)
    route = _target(call, world, table, params, destination)
    old = _find(table, destination)
    _check_editable(table, old)
    if old is None and not _local(world, table, destination):
        raise fault(
            "InvalidParameterValue",
            message=f"There is no route defined for '{_name(destination)}' in the route table. Use CreateRoute instead.",
        )
    if route.target is RouteTarget.LOCAL:
        if not _local(world, table, destination):
            raise fault("InvalidParameterValue", message=f"'{_name(destination)}' is not a block of the VPC")
        return Outcome({}, put(ROUTE_TABLE, table if old is None else _without(table, old)))
    check_placement(world, table, route)
    return Outcome({}, put(ROUTE_TABLE, with_route(table, route, old)))


@operation("ec2:DeleteRoute")
def delete_route(call: Call, world: World, params: Params) -> Outcome:
    """RT-10; the local route cannot be deleted. A list that is no longer shared can still be let go (PL-13)."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    named = next(
        (route for route in table.listed if route.prefix_list_id == params.get("DestinationPrefixListId")), None
    )
    if named is not None:
        _check_editable(table, named)
        _one(params, _DESTINATIONS, "destination")
        return Outcome({}, put(ROUTE_TABLE, _without(table, named)))
    destination = _destination(call, world, params)
    old = _find(table, destination)
    if old is None:
        if _local(world, table, destination):
            raise fault(
                "InvalidParameterValue", message=f"cannot remove local route {destination} in route table {table.id}"
            )
        raise fault("InvalidRoute.NotFound", destination=_name(destination), table=table.id)
    return Outcome({}, put(ROUTE_TABLE, _without(table, old)))
