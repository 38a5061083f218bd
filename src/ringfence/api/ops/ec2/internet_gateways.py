"""Internet gateways (Amazon VPC User Guide: "Internet gateways"; spec IGW-01, IGW-10)."""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import ELASTIC_IP, INTERNET_GATEWAY, NETWORK_INTERFACE, ROUTE_TABLE, VPC
from ringfence.model.nouns.network import InternetGateway
from ringfence.model.world import Change, World, delete, put


def _view(world: World, gateway: InternetGateway) -> Params:
    attached = [{"VpcId": gateway.vpc_id, "State": "available"}] if gateway.vpc_id else []
    return {
        "InternetGatewayId": gateway.id,
        "OwnerId": gateway.owner_id,
        "Attachments": attached,
        "Tags": tag_list(gateway.tags),
    }


describe(
    "ec2:DescribeInternetGateways",
    INTERNET_GATEWAY,
    ids="InternetGatewayIds",
    result="InternetGateways",
    view=_view,
    pure=True,
    filters={
        "internet-gateway-id": lambda _, gateway: (gateway.id,),
        "owner-id": lambda _, gateway: (gateway.owner_id,),
        "attachment.vpc-id": lambda _, gateway: (gateway.vpc_id,),
        "attachment.state": lambda _, gateway: ("available",) if gateway.vpc_id else (),
    },
)


@operation("ec2:CreateInternetGateway")
def create_internet_gateway(call: Call, world: World, params: Params) -> Outcome:
    """Q-05."""
    call.check_quota("internet-gateways", world.count_owned(INTERNET_GATEWAY, call.account_id, call.region) + 1)
    tags = tags_on_create(call, params, INTERNET_GATEWAY)
    gateway = InternetGateway(id=call.ids.new("igw-"), **call.owned(), tags=tags)
    return Outcome({"InternetGateway": _view(world, gateway)}, put(INTERNET_GATEWAY, gateway))


@operation("ec2:AttachInternetGateway")
def attach_internet_gateway(call: Call, world: World, params: Params) -> Outcome:
    """IGW-01."""
    gateway = call.get(world, INTERNET_GATEWAY, params["InternetGatewayId"])
    vpc = call.get(world, VPC, params["VpcId"])
    if gateway.vpc_id:
        raise fault(
            "Resource.AlreadyAssociated",
            message=f"resource {gateway.id} is already attached to network {gateway.vpc_id}",
        )
    if world.count(INTERNET_GATEWAY, "vpc", vpc.id):
        raise fault(
            "InvalidParameterValue",
            message=f"Network {vpc.id} already has an internet gateway attached",
        )
    return Outcome({}, put(INTERNET_GATEWAY, replace(gateway, vpc_id=vpc.id)))


@operation("ec2:DetachInternetGateway")
def detach_internet_gateway(call: Call, world: World, params: Params) -> Outcome:
    """IGW-10: refused while public addresses are mapped. An edge route table loses its association."""
    gateway = call.get(world, INTERNET_GATEWAY, params["InternetGatewayId"])
    if gateway.vpc_id != params["VpcId"]:  # also for a VPC that does not exist
        raise fault(
            "Gateway.NotAttached", message=f"resource {gateway.id} is not attached to network {params['VpcId']}"
        )
    vpc = call.get(world, VPC, params["VpcId"])
    for eni in world.by(NETWORK_INTERFACE, "vpc", vpc.id):
        if eni.auto_public_ip or world.count(ELASTIC_IP, "interface", eni.id):
            raise fault(
                "DependencyViolation",
                message=f"Network {vpc.id} has some mapped public address(es). "
                "Please unmap those public address(es) before detaching the gateway.",
            )
    change = Change()
    for table in world.by(ROUTE_TABLE, "gateway", gateway.id):
        rest = tuple(a for a in table.associations if a.gateway_id != gateway.id)
        change += put(ROUTE_TABLE, replace(table, associations=rest))
    return Outcome({}, change + put(INTERNET_GATEWAY, replace(gateway, vpc_id=None)))


@operation("ec2:DeleteInternetGateway")
def delete_internet_gateway(call: Call, world: World, params: Params) -> Outcome:
    """IGW-10."""
    gateway = call.get(world, INTERNET_GATEWAY, params["InternetGatewayId"])
    if gateway.vpc_id:
        raise fault(
            "DependencyViolation",
            message=f"The internetGateway '{gateway.id}' has dependencies and cannot be deleted.",
        )
    return Outcome({}, delete(INTERNET_GATEWAY, gateway.id))
