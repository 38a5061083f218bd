"""Routes: create, replace, delete (Amazon VPC User Guide: "Route table concepts"; spec RT-05..RT-13, RT-17)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.kinds import INSTANCE, INTERNET_GATEWAY, NETWORK_INTERFACE, ROUTE_TABLE, SUBNET, VPC
from ringfence.model.net import Network, contains, parse_ipv4_network, parse_ipv6_network, parse_network
from ringfence.model.nouns.routing import Route, RouteTable, RouteTarget
from ringfence.model.world import World, put

#: destinations AWS keeps for itself (RT-09)
RESERVED = (parse_network("169.254.168.0/22"), parse_network("fd00:ec2::/32"))
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


def _destination(params: Params) -> Network:
    name = _one(params, _DESTINATIONS, "destination")
    text = params[name]
    if name == "DestinationPrefixListId":
        raise fault("InvalidPrefixListID.NotFound", id=text)
    try:
        return parse_ipv4_network(text) if name == "DestinationCidrBlock" else parse_ipv6_network(text)
    except ValueError:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({text}) for parameter {name[0].lower() + name[1:]} is invalid. This is not a valid CIDR block.",
        ) from None


def _target(call: Call, world: World, table: RouteTable, params: Params, destination: Network) -> Route:
    name = _one(params, _TARGETS, "target")
    value = params[name]
    if name == "LocalTarget" or (name == "GatewayId" and value == "local"):
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
        return Route(destination=destination, target=RouteTarget.INTERNET_GATEWAY, target_id=gateway.id)
    if name == "NetworkInterfaceId":
        return _to_interface(call, world, table, destination, value)
    if name == "InstanceId":
        return _to_interface(call, world, table, destination, _only_interface(call, world, value))
    raise fault("UnsupportedOperation", message=f"The target {name} is not supported by this installation")


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


def _to_interface(call: Call, world: World, table: RouteTable, destination: Network, eni_id: str) -> Route:
    eni = call.get(world, NETWORK_INTERFACE, eni_id)
    if eni.vpc_id != table.vpc_id:
        raise fault(
            "InvalidParameterValue",
            message=f"route table {table.id} and interface {eni.id} belong to different networks",
        )
    return Route(destination=destination, target=RouteTarget.NETWORK_INTERFACE, target_id=eni.id)


def _check_placement(world: World, table: RouteTable, route: Route) -> None:
    """RT-08, RT-09, RT-13: where a route of this destination may lead."""
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
        if route.target is RouteTarget.INTERNET_GATEWAY or not (whole_vpc or whole_subnet):
            raise fault(
                "InvalidParameterValue",
                message="A gateway route table takes routes for the whole VPC or a whole subnet to an interface only",
            )
    elif inside and not whole_vpc and (not whole_subnet or route.target is RouteTarget.INTERNET_GATEWAY):
        raise fault(
            "InvalidParameterValue",
            message=f"The destination CIDR block {route.destination} is more specific than the local route; "
            "it must be the CIDR of a subnet and lead to an interface",
        )


def _is_local(world: World, table: RouteTable, destination: Network) -> bool:
    vpc = world.get(VPC, table.vpc_id)
    return any(association.block == destination for association in (*vpc.ipv4, *vpc.ipv6))


def _find(table: RouteTable, destination: Network) -> Route | None:
    return next((route for route in table.routes if route.destination == destination), None)


@operation("ec2:CreateRoute")
def create_route(call: Call, world: World, params: Params) -> Outcome:
    """RT-08..RT-10, RT-13, Q-18."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    destination = _destination(params)
    route = _target(call, world, table, params, destination)
    if _find(table, destination) or _is_local(world, table, destination):
        raise fault("RouteAlreadyExists", destination=destination)
    if route.target is RouteTarget.LOCAL:
        raise fault("InvalidParameterValue", message="A local route cannot be created")
    _check_placement(world, table, route)
    same_family = sum(1 for held in table.routes if held.destination.version == destination.version)
    call.check_quota("routes-per-table", same_family + 1)
    return Outcome({"Return": True}, put(ROUTE_TABLE, replace(table, routes=(*table.routes, route))))


@operation("ec2:ReplaceRoute")
def replace_route(call: Call, world: World, params: Params) -> Outcome:
    """RT-11, RT-17: the local route of a gateway table can be replaced and restored."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    destination = _destination(params)
    route = _target(call, world, table, params, destination)
    old = _find(table, destination)
    if old is None and not _is_local(world, table, destination):
        raise fault(
            "InvalidParameterValue",
            message=f"There is no route defined for '{destination}' in the route table. Use CreateRoute instead.",
        )
    rest = tuple(held for held in table.routes if held is not old)
    if route.target is RouteTarget.LOCAL:
        if not _is_local(world, table, destination):
            raise fault("InvalidParameterValue", message=f"'{destination}' is not a block of the VPC")
        return Outcome({}, put(ROUTE_TABLE, replace(table, routes=rest)))
    _check_placement(world, table, route)
    changed = tuple(route if held is old else held for held in table.routes) if old else (*rest, route)
    return Outcome({}, put(ROUTE_TABLE, replace(table, routes=changed)))


@operation("ec2:DeleteRoute")
def delete_route(call: Call, world: World, params: Params) -> Outcome:
    """RT-10; the local route cannot be deleted."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    destination = _destination(params)
    old = _find(table, destination)
    if old is None:
        if _is_local(world, table, destination):
            raise fault(
                "InvalidParameterValue", message=f"cannot remove local route {destination} in route table {table.id}"
            )
        raise fault("InvalidRoute.NotFound", destination=destination, table=table.id)
    return Outcome({}, put(ROUTE_TABLE, replace(table, routes=tuple(r for r in table.routes if r is not old))))
