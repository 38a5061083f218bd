"""Route tables and their associations (Amazon VPC User Guide: "Configure route tables"; spec RT-01..RT-13, RT-17)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.ec2.addressing import next_number
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import (
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    ROUTE_TABLE,
    SUBNET,
    VPC,
    VPC_ENDPOINT,
)
from ringfence.model.nouns.instance import RUNNABLE
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.nouns.routing import ListRoute, Route, RouteTable, RouteTableAssociation, RouteTarget
from ringfence.model.world import World, delete, put


# ---------------------------------------------------------------------- view
def all_routes(world: World, table: RouteTable) -> list[Route]:
    """The stored routes and the local ones, which follow the VPC's blocks (RT-02, NET-07)."""
    vpc = world.get(VPC, table.vpc_id)
    own = {route.destination for route in table.routes}
    local = [
        Route(destination=a.block, target=RouteTarget.LOCAL, origin="CreateRouteTable")
        for a in (*vpc.ipv4, *vpc.ipv6)
        if a.block not in own
    ]
    return [*local, *table.routes]


def route_state(world: World, table: RouteTable, route: Route | ListRoute) -> str:
    """`blackhole` when the target is gone, detached, not modelled, or its instance does not run (RT-12)."""
    if route.target is RouteTarget.INTERNET_GATEWAY:
        gateway = world.find(INTERNET_GATEWAY, route.target_id)
        return "active" if gateway is not None and gateway.vpc_id == table.vpc_id else "blackhole"
    if route.target is RouteTarget.NETWORK_INTERFACE:
        eni = world.find(NETWORK_INTERFACE, route.target_id)
        instance = world.find(INSTANCE, eni.attachment.instance_id) if eni is not None and eni.attachment else None
        return "active" if instance is not None and instance.state in RUNNABLE else "blackhole"
    if route.target is RouteTarget.PEERING_CONNECTION:
        connection = world.find(PEERING_CONNECTION, route.target_id)
        return "active" if connection is not None and connection.status is PeeringStatus.ACTIVE else "blackhole"
    if route.target is RouteTarget.GATEWAY_ENDPOINT:
        return "active" if world.find(VPC_ENDPOINT, route.target_id) is not None else "blackhole"
    return "blackhole" if route.target is RouteTarget.UNMODELLED else "active"


#: where a route shows a target that is not modelled (imported networks), by the prefix of its id
_UNMODELLED = {
    "nat": "NatGatewayId", "tgw": "TransitGatewayId", "pcx": "VpcPeeringConnectionId", "cagw": "CarrierGatewayId",
    "eigw": "EgressOnlyInternetGatewayId", "lgw": "LocalGatewayId",
}  # fmt: skip


def _destination_view(route: Route | ListRoute) -> dict[str, Any]:
    if isinstance(route, ListRoute):
        return {"DestinationPrefixListId": route.prefix_list_id}
    name = "DestinationCidrBlock" if route.destination.version == 4 else "DestinationIpv6CidrBlock"
    return {name: str(route.destination)}


def _route_view(world: World, table: RouteTable, route: Route | ListRoute) -> dict[str, Any]:
    out: dict[str, Any] = {**_destination_view(route), "Origin": route.origin}
    if route.target is RouteTarget.LOCAL:
        out["GatewayId"] = "local"
    elif route.target in (RouteTarget.INTERNET_GATEWAY, RouteTarget.GATEWAY_ENDPOINT):
        out["GatewayId"] = route.target_id
    elif route.target is RouteTarget.PEERING_CONNECTION:
        out["VpcPeeringConnectionId"] = route.target_id
    elif route.target is RouteTarget.UNMODELLED:
        out[_UNMODELLED.get((route.target_id or "").split("-")[0], "GatewayId")] = route.target_id
    else:
        out["NetworkInterfaceId"] = route.target_id
        eni = world.find(NETWORK_INTERFACE, route.target_id)
        if eni is not None and eni.attachment is not None:
            out |= {"InstanceId": eni.attachment.instance_id, "InstanceOwnerId": eni.owner_id}
    return out | {"State": route_state(world, table, route)}


def _association_view(table: RouteTable, association: RouteTableAssociation) -> dict[str, Any]:
    out: dict[str, Any] = {
        "RouteTableAssociationId": association.id,
        "RouteTableId": table.id,
        "Main": association.main,
        "AssociationState": {"State": "associated"},
    }
    if association.subnet_id:
        out["SubnetId"] = association.subnet_id
    if association.gateway_id:
        out["GatewayId"] = association.gateway_id
    return out


def _view(world: World, table: RouteTable) -> Params:
    return {
        "RouteTableId": table.id,
        "VpcId": table.vpc_id,
        "OwnerId": table.owner_id,
        "Routes": list(_routes_shown(world, table)),
        "Associations": [_association_view(table, association) for association in table.associations],
        "PropagatingVgws": [],
        "Tags": tag_list(table.tags),
    }


def _routes_shown(world: World, table: RouteTable) -> Iterator[dict[str, Any]]:
    every: list[Route | ListRoute] = [*all_routes(world, table), *table.listed]
    return (_route_view(world, table, route) for route in every)


def _of_routes(member: str) -> Any:
    return lambda world, table: (view.get(member) for view in _routes_shown(world, table))


describe(
    "ec2:DescribeRouteTables",
    ROUTE_TABLE,
    ids="RouteTableIds",
    result="RouteTables",
    view=_view,
    indexed={"vpc-id": "vpc"},
    filters={
        "route-table-id": lambda _, table: (table.id,),
        "vpc-id": lambda _, table: (table.vpc_id,),
        "owner-id": lambda _, table: (table.owner_id,),
        "association.main": lambda _, table: (any(a.main for a in table.associations),),
        "association.route-table-association-id": lambda _, table: (a.id for a in table.associations),
        "association.route-table-id": lambda _, table: (table.id for _a in table.associations),
        "association.subnet-id": lambda _, table: (a.subnet_id for a in table.associations),
        "association.gateway-id": lambda _, table: (a.gateway_id for a in table.associations),
        "route.destination-cidr-block": _of_routes("DestinationCidrBlock"),
        "route.destination-ipv6-cidr-block": _of_routes("DestinationIpv6CidrBlock"),
        "route.gateway-id": _of_routes("GatewayId"),
        "route.instance-id": _of_routes("InstanceId"),
        "route.network-interface-id": _of_routes("NetworkInterfaceId"),
        "route.origin": _of_routes("Origin"),
        "route.state": _of_routes("State"),
        "route.destination-prefix-list-id": lambda _, table: (route.prefix_list_id for route in table.listed),
        "route.nat-gateway-id": lambda _, table: (),
        "route.transit-gateway-id": lambda _, table: (),
        "route.vpc-peering-connection-id": _of_routes("VpcPeeringConnectionId"),
        "route.egress-only-internet-gateway-id": lambda _, table: (),
    },
)


# ---------------------------------------------------------------------- tables
@operation("ec2:CreateRouteTable")
def create_route_table(call: Call, world: World, params: Params) -> Outcome:
    """RT-02, Q-17."""
    vpc = call.get(world, VPC, params["VpcId"])
    call.check_quota("route-tables-per-vpc", world.count(ROUTE_TABLE, "vpc", vpc.id) + 1)
    table = RouteTable(
        id=call.ids.new("rtb-"),
        **call.owned(),
        tags=tags_on_create(call, params, ROUTE_TABLE),
        vpc_id=vpc.id,
        number=next_number(world, ROUTE_TABLE, vpc.id),
    )
    change = put(ROUTE_TABLE, table)
    reply: dict[str, Any] = {"RouteTable": _view(world.apply(change), table)}
    if params.get("ClientToken"):
        reply["ClientToken"] = params["ClientToken"]
    return Outcome(reply, change)


@operation("ec2:DeleteRouteTable")
def delete_route_table(call: Call, world: World, params: Params) -> Outcome:
    """RT-03. A gateway endpoint's table goes after the endpoint has left it."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    if table.associations or world.count(VPC_ENDPOINT, "route_table", table.id):
        raise fault(
            "DependencyViolation",
            message=f"The routeTable '{table.id}' has dependencies and cannot be deleted.",
        )
    return Outcome({}, delete(ROUTE_TABLE, table.id))


# ---------------------------------------------------------------------- associations
@operation("ec2:AssociateRouteTable")
def associate_route_table(call: Call, world: World, params: Params) -> Outcome:
    """A subnet's explicit table (RT-01), or a gateway's (RT-13). The same again gives the same association."""
    table = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    if bool(params.get("SubnetId")) == bool(params.get("GatewayId")):
        raise fault(
            "InvalidParameterCombination" if params.get("SubnetId") else "MissingParameter",
            message="Exactly one of SubnetId and GatewayId must be given.",
        )
    if params.get("GatewayId"):
        return _associate_gateway(call, world, table, params["GatewayId"])
    subnet = call.get(world, SUBNET, params["SubnetId"])
    if subnet.vpc_id != table.vpc_id:
        raise fault(
            "InvalidParameterValue",
            message=f"Route table {table.id} and network {subnet.vpc_id} belong to different networks",
        )
    for held in world.by(ROUTE_TABLE, "subnet", subnet.id):
        existing = next(a for a in held.associations if a.subnet_id == subnet.id)
        if held.id == table.id:
            return _associated(existing.id)
        raise fault(
            "Resource.AlreadyAssociated",
            message=f"the specified association for route table {table.id} conflicts with an existing association",
        )
    return _with_association(call, table, subnet_id=subnet.id)


def _associated(id: str) -> Outcome:
    return Outcome({"AssociationId": id, "AssociationState": {"State": "associated"}})


def _with_association(call: Call, table: RouteTable, **target: Any) -> Outcome:
    made = RouteTableAssociation(id=call.ids.new("rtbassoc-"), **target)
    changed = replace(table, associations=(*table.associations, made))
    return Outcome(_associated(made.id).reply, put(ROUTE_TABLE, changed))


def _associate_gateway(call: Call, world: World, table: RouteTable, id: str) -> Outcome:
    if id.startswith("vgw-"):
        raise fault("UnsupportedOperation", message="Virtual private gateways are not supported by this installation")
    gateway = call.get(world, INTERNET_GATEWAY, id)
    if gateway.vpc_id != table.vpc_id:
        raise fault("InvalidParameterValue", message=f"Gateway {id} is not attached to VPC {table.vpc_id}")
    outward = (RouteTarget.INTERNET_GATEWAY, RouteTarget.PEERING_CONNECTION)
    if table.listed or any(route.target in outward for route in table.routes):
        raise fault("InvalidParameterValue", message="A gateway route table may only have local and interface targets")
    if table.listed:  # PL-12
        raise fault("InvalidParameterValue", message="A gateway route table cannot have routes to prefix lists")
    for held in world.by(ROUTE_TABLE, "gateway", id):
        if held.id != table.id:
            raise fault("Resource.AlreadyAssociated", message=f"{id} is already associated with {held.id}")
        return _associated(next(a.id for a in held.associations if a.gateway_id == id))
    return _with_association(call, table, gateway_id=id)


def _find(call: Call, world: World, id: str) -> tuple[RouteTable, RouteTableAssociation]:
    for table in world.by(ROUTE_TABLE, "association", id):
        if table.owner_id == call.account_id and table.region == call.region:
            return table, next(a for a in table.associations if a.id == id)
    raise fault("InvalidAssociationID.NotFound", id=id)


def _without(associations: Iterable[RouteTableAssociation], id: str) -> tuple[RouteTableAssociation, ...]:
    return tuple(a for a in associations if a.id != id)


@operation("ec2:DisassociateRouteTable")
def disassociate_route_table(call: Call, world: World, params: Params) -> Outcome:
    """The main association can only be replaced."""
    table, association = _find(call, world, params["AssociationId"])
    if association.main:
        raise fault(
            "InvalidParameterValue", message=f"cannot disassociate the main route table association {association.id}"
        )
    return Outcome({}, put(ROUTE_TABLE, replace(table, associations=_without(table.associations, association.id))))


@operation("ec2:ReplaceRouteTableAssociation")
def replace_route_table_association(call: Call, world: World, params: Params) -> Outcome:
    """Moves an association to another table of the VPC; replacing the main one changes the main table (RT-04)."""
    old, association = _find(call, world, params["AssociationId"])
    new = call.get(world, ROUTE_TABLE, params["RouteTableId"])
    if new.vpc_id != old.vpc_id:
        raise fault(
            "InvalidParameterValue",
            message=f"Route table {new.id} and network {old.vpc_id} belong to different networks",
        )
    if new.id == old.id:
        return Outcome({"NewAssociationId": association.id, "AssociationState": {"State": "associated"}})
    moved = replace(association, id=call.ids.new("rtbassoc-"))
    change = put(
        ROUTE_TABLE,
        replace(old, associations=_without(old.associations, association.id)),
        replace(new, associations=(*new.associations, moved)),
    )
    if association.main:
        vpc = world.get(VPC, old.vpc_id)
        change += put(VPC, replace(vpc, main_route_table_id=new.id))
    return Outcome({"NewAssociationId": moved.id, "AssociationState": {"State": "associated"}}, change)
