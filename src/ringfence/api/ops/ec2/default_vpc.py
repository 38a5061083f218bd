"""The default VPC of an account in a Region (Amazon VPC User Guide: "Default VPCs"; NET-18, NET-19, IAM-38)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ec2.images import builtin_images
from ringfence.api.ops.ec2.subnets import new_subnet, subnet_view
from ringfence.api.ops.ec2.vpc_graph import new_vpc
from ringfence.api.ops.ec2.vpcs import vpc_view
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import IMAGE, INTERNET_GATEWAY, REGION, ROUTE_TABLE, SUBNET, VPC
from ringfence.model.net import ANY_IPV4
from ringfence.model.nouns.network import InternetGateway, RegionState, Vpc
from ringfence.model.nouns.routing import Route, RouteTarget
from ringfence.model.regions import REGIONS
from ringfence.model.world import Change, World, put

CIDR = IPv4Network("172.31.0.0/16")


def initialise(call: Call, world: World) -> Change | None:
    """First touch of an (account, Region): the default VPC and the built-in images. None when done before."""
    marker = f"{call.account_id}/{call.region}"
    if world.find(REGION, marker) is not None:
        return None
    change = put(REGION, RegionState(id=marker, **call.owned()))
    change += put(IMAGE, *(image for image in builtin_images(call.region) if world.find(IMAGE, image.id) is None))
    return change + _default_vpc(call, world)[1]


def _default_vpc(call: Call, world: World) -> tuple[Vpc, Change]:
    """172.31.0.0/16, a /20 per zone, an internet gateway and the route to it."""
    graph, change = new_vpc(call, world, CIDR, default=True)
    gateway = InternetGateway(id=call.ids.new("igw-"), **call.owned(), vpc_id=graph.vpc.id)
    out = Route(destination=ANY_IPV4, target=RouteTarget.INTERNET_GATEWAY, target_id=gateway.id)
    change += put(INTERNET_GATEWAY, gateway)
    change += put(ROUTE_TABLE, replace(graph.table, routes=(out,)))
    for zone, block in zip(REGIONS[call.region].zones, CIDR.subnets(new_prefix=20), strict=False):
        change += put(SUBNET, new_subnet(call, graph.vpc, block, zone, default=True))
    return graph.vpc, change


@operation("ec2:CreateDefaultVpc")
def create_default_vpc(call: Call, world: World, params: Params) -> Outcome:
    """NET-18, NET-19."""
    if any(vpc.is_default for vpc in call.mine(world, VPC)):
        raise fault("DefaultVpcAlreadyExists")
    call.check_quota("vpcs", world.count_owned(VPC, call.account_id, call.region) + 1)
    vpc, change = _default_vpc(call, world)
    return Outcome({"Vpc": vpc_view(world.apply(change), vpc)}, change)


@operation("ec2:CreateDefaultSubnet")
def create_default_subnet(call: Call, world: World, params: Params) -> Outcome:
    """NET-19."""
    vpc = next((vpc for vpc in call.mine(world, VPC) if vpc.is_default), None)
    if vpc is None:
        raise fault("DefaultVpcDoesNotExist")
    name = params.get("AvailabilityZone") or params.get("AvailabilityZoneId") or ""
    zone = REGIONS[call.region].zone(name)
    if zone is None:
        raise fault("InvalidAvailabilityZone", zone=name)
    subnets = world.by(SUBNET, "vpc", vpc.id)
    for subnet in subnets:
        if subnet.default_for_az and subnet.availability_zone == zone.name:
            raise fault("DefaultSubnetAlreadyExistsInAvailabilityZone", subnet=subnet.id, zone=zone.name)
    for block in vpc.cidr.subnets(new_prefix=20):
        if not any(block.overlaps(subnet.cidr) for subnet in subnets):
            tags = tags_on_create(call, params, SUBNET)
            made = replace(new_subnet(call, vpc, block, zone, default=True), tags=tags)
            change = put(SUBNET, made)
            return Outcome({"Subnet": subnet_view(world.apply(change), made)}, change)
    raise fault("InsufficientFreeAddressesInSubnet", message=f"There is no room for a /20 in VPC '{vpc.id}'")
