"""Subnets (Amazon VPC User Guide: "Subnets for your VPC"; spec NET-10..NET-16)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.ec2 import flow_logs
from ringfence.api.ops.ec2.addressing import available_count
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import NETWORK_INTERFACE, ROUTE_TABLE, SUBNET, SUBNET_CIDR_RESERVATION, VPC
from ringfence.model.net import overlap, parse_ipv4_network, parse_ipv6_network
from ringfence.model.nouns.network import CidrAssociation, Subnet, Vpc
from ringfence.model.regions import REGIONS, Zone
from ringfence.model.world import Change, World, delete, put


def new_subnet(call: Call, vpc: Vpc, cidr: IPv4Network, zone: Zone, *, default: bool = False) -> Subnet:
    """A subnet that uses the VPC's default ACL (ACL-20); default ones give public addresses (NET-15)."""
    return Subnet(
        id=call.ids.new("subnet-"),
        **call.owned(),
        vpc_id=vpc.id,
        cidr=cidr,
        availability_zone=zone.name,
        availability_zone_id=zone.id,
        network_acl_id=vpc.default_network_acl_id,
        network_acl_association_id=call.ids.new("aclassoc-"),
        default_for_az=default,
        map_public_ip_on_launch=default,
    )


# ---------------------------------------------------------------------- view
def _ipv6_view(association: CidrAssociation) -> dict[str, Any]:
    return {
        "AssociationId": association.id,
        "Ipv6CidrBlock": str(association.block),
        "Ipv6CidrBlockState": {"State": association.state},
        "Ipv6AddressAttribute": "public",
        "IpSource": "amazon",
    }


def subnet_view(world: World, subnet: Subnet) -> Params:
    """A subnet as DescribeSubnets shows it."""
    return {
        "SubnetId": subnet.id,
        "SubnetArn": SUBNET.arn(subnet),
        "OwnerId": subnet.owner_id,
        "VpcId": subnet.vpc_id,
        "State": "available",
        "CidrBlock": str(subnet.cidr),
        "AvailableIpAddressCount": available_count(world, subnet),
        "AvailabilityZone": subnet.availability_zone,
        "AvailabilityZoneId": subnet.availability_zone_id,
        "DefaultForAz": subnet.default_for_az,
        "MapPublicIpOnLaunch": subnet.map_public_ip_on_launch,
        "MapCustomerOwnedIpOnLaunch": False,
        "AssignIpv6AddressOnCreation": subnet.assign_ipv6_address_on_creation,
        "Ipv6CidrBlockAssociationSet": [_ipv6_view(association) for association in subnet.ipv6],
        "EnableDns64": subnet.enable_dns64,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": subnet.private_dns_hostname_type,
            "EnableResourceNameDnsARecord": subnet.resource_name_dns_a_record,
            "EnableResourceNameDnsAAAARecord": subnet.resource_name_dns_aaaa_record,
        },
        "Tags": tag_list(subnet.tags),
    }


describe(
    "ec2:DescribeSubnets",
    SUBNET,
    ids="SubnetIds",
    result="Subnets",
    view=subnet_view,
    indexed={"vpc-id": "vpc"},
    filters={
        "subnet-id": lambda _, subnet: (subnet.id,),
        "subnet-arn": lambda _, subnet: (SUBNET.arn(subnet),),
        "vpc-id": lambda _, subnet: (subnet.vpc_id,),
        "vpcId": lambda _, subnet: (subnet.vpc_id,),
        "owner-id": lambda _, subnet: (subnet.owner_id,),
        "state": lambda _, subnet: ("available",),
        "cidr": lambda _, subnet: (str(subnet.cidr),),
        "cidr-block": lambda _, subnet: (str(subnet.cidr),),
        "cidrBlock": lambda _, subnet: (str(subnet.cidr),),
        "availability-zone": lambda _, subnet: (subnet.availability_zone,),
        "availabilityZone": lambda _, subnet: (subnet.availability_zone,),
        "availability-zone-id": lambda _, subnet: (subnet.availability_zone_id,),
        "availabilityZoneId": lambda _, subnet: (subnet.availability_zone_id,),
        "available-ip-address-count": lambda world, subnet: (available_count(world, subnet),),
        "default-for-az": lambda _, subnet: (subnet.default_for_az,),
        "defaultForAz": lambda _, subnet: (subnet.default_for_az,),
        "map-public-ip-on-launch": lambda _, subnet: (subnet.map_public_ip_on_launch,),
        "ipv6-cidr-block-association.association-id": lambda _, subnet: (a.id for a in subnet.ipv6),
        "ipv6-cidr-block-association.ipv6-cidr-block": lambda _, subnet: (str(a.block) for a in subnet.ipv6),
        "ipv6-cidr-block-association.state": lambda _, subnet: (a.state for a in subnet.ipv6),
        "ipv6-native": lambda _, subnet: (False,),
        "enable-dns64": lambda _, subnet: (subnet.enable_dns64,),
        "private-dns-name-options-on-launch.hostname-type": lambda _, s: (s.private_dns_hostname_type,),
    },
)


# ---------------------------------------------------------------------- create and delete
@operation("ec2:CreateSubnet")
def create_subnet(call: Call, world: World, params: Params) -> Outcome:
    """NET-10, NET-14, Q-02."""
    _refuse_shape(params)
    vpc = call.get(world, VPC, params["VpcId"])
    if not params.get("CidrBlock"):
        raise fault("MissingParameter", message="Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    cidr = _subnet_cidr(world, vpc, params["CidrBlock"])
    zone = _zone(call, params)
    call.check_quota("subnets-per-vpc", world.count(SUBNET, "vpc", vpc.id) + 1)
    subnet = replace(new_subnet(call, vpc, cidr, zone), tags=tags_on_create(call, params, SUBNET))
    if params.get("Ipv6CidrBlock"):
        block = _ipv6_block(world, vpc, params["Ipv6CidrBlock"])
        association = CidrAssociation(id=call.ids.new("subnet-cidr-assoc-"), block=block)
        subnet = replace(subnet, ipv6=(association,))
    change = put(SUBNET, subnet)
    return Outcome({"Subnet": subnet_view(world.apply(change), subnet)}, change)


def _refuse_shape(params: Params) -> None:
    """Blocks that do not fit together, in AWS's order of checks, then what this installation does not offer."""
    if params.get("Ipv6Native"):
        if not params.get("Ipv6CidrBlock") and not params.get("Ipv6IpamPoolId"):
            raise fault("MissingParameter", message="Either 'ipv6CidrBlock' or 'ipv6IpamPoolId' should be provided.")
        if params.get("CidrBlock") or params.get("Ipv4IpamPoolId"):
            raise fault(
                "InvalidParameterCombination",
                message="When specifying ipv4 parameters, cidrBlock or ipv4IpamPoolId, "
                "you cannot set ipv6Native to true.",
            )
    for name in ("OutpostArn", "Ipv4IpamPoolId", "Ipv6IpamPoolId", "Ipv6Native"):
        if params.get(name):
            raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")


def _subnet_cidr(world: World, vpc: Vpc, text: str) -> IPv4Network:
    try:
        cidr = parse_ipv4_network(text)
    except ValueError:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ) from None
    inside = any(isinstance(a.block, IPv4Network) and cidr.subnet_of(a.block) for a in vpc.ipv4)
    if not inside or not 16 <= cidr.prefixlen <= 28:
        raise fault("InvalidSubnet.Range", cidr=text)
    if any(overlap(cidr, other.cidr) for other in world.by(SUBNET, "vpc", vpc.id)):
        raise fault("InvalidSubnet.Conflict", cidr=text)
    return cidr


def _ipv6_block(world: World, vpc: Vpc, text: str) -> IPv6Network:
    """A /64 of the VPC that no subnet has (NET-09)."""
    try:
        block = parse_ipv6_network(text)
    except ValueError:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({text}) for parameter ipv6CidrBlock is invalid. This is not a valid CIDR block.",
        ) from None
    inside = any(isinstance(a.block, IPv6Network) and block.subnet_of(a.block) for a in vpc.ipv6)
    if not inside or block.prefixlen != 64:
        raise fault("InvalidSubnet.Range", cidr=text)
    if any(a.block == block for other in world.by(SUBNET, "vpc", vpc.id) for a in other.ipv6):
        raise fault("InvalidSubnet.Conflict", cidr=text)
    return block


def _zone(call: Call, params: Params) -> Zone:
    zones = REGIONS[call.region]
    wanted = params.get("AvailabilityZone") or params.get("AvailabilityZoneId")
    if not wanted:
        return zones.zones[0]
    zone = zones.zone(wanted)
    if zone is None:
        names = ", ".join(z.name for z in zones.zones)
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({wanted}) for parameter availabilityZone is invalid. "
            f"Subnets can currently only be created in the following availability zones: {names}.",
        )
    return zone


@operation("ec2:DeleteSubnet")
def delete_subnet(call: Call, world: World, params: Params) -> Outcome:
    """NET-16."""
    subnet = call.get(world, SUBNET, params["SubnetId"])
    if world.count(NETWORK_INTERFACE, "subnet", subnet.id):
        raise fault("DependencyViolation", message=f"The subnet '{subnet.id}' has dependencies and cannot be deleted.")
    change = Change()
    for reservation in world.by(SUBNET_CIDR_RESERVATION, "subnet", subnet.id):
        change += delete(SUBNET_CIDR_RESERVATION, reservation.id)
    for table in world.by(ROUTE_TABLE, "subnet", subnet.id):
        rest = tuple(a for a in table.associations if a.subnet_id != subnet.id)
        change += put(ROUTE_TABLE, replace(table, associations=rest))
    return Outcome({}, change + flow_logs.gone_with(world, subnet.id) + delete(SUBNET, subnet.id))


# ---------------------------------------------------------------------- attributes
_ATTRIBUTES = {
    "MapPublicIpOnLaunch": "map_public_ip_on_launch",
    "AssignIpv6AddressOnCreation": "assign_ipv6_address_on_creation",
    "EnableDns64": "enable_dns64",
    "EnableResourceNameDnsARecordOnLaunch": "resource_name_dns_a_record",
    "EnableResourceNameDnsAAAARecordOnLaunch": "resource_name_dns_aaaa_record",
}


@operation("ec2:ModifySubnetAttribute")
def modify_subnet_attribute(call: Call, world: World, params: Params) -> Outcome:
    """One attribute per call (NET-15)."""
    subnet = call.get(world, SUBNET, params["SubnetId"])
    given = [name for name, value in params.items() if name != "SubnetId" and value is not None]
    if len(given) != 1:
        raise fault("InvalidParameterCombination" if given else "MissingParameter",
                    message="Exactly one subnet attribute must be given.")  # fmt: skip
    name = given[0]
    changed: dict[str, Any]
    if name in _ATTRIBUTES:
        value = bool(params[name].get("Value"))
        if name == "AssignIpv6AddressOnCreation" and value and not subnet.ipv6:
            raise fault(
                "InvalidParameterValue",
                message="Invalid value 'true' for assignIpv6AddressOnCreation. Subnet does not have an IPv6 CIDR block.",
            )
        changed = {_ATTRIBUTES[name]: value}
    elif name == "PrivateDnsHostnameTypeOnLaunch":
        changed = {"private_dns_hostname_type": params[name]}
    else:
        raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")
    return Outcome({}, put(SUBNET, replace(subnet, **changed)))


@operation("ec2:AssociateSubnetCidrBlock")
def associate_subnet_cidr_block(call: Call, world: World, params: Params) -> Outcome:
    """NET-09: one IPv6 block per subnet."""
    subnet = call.get(world, SUBNET, params["SubnetId"])
    if params.get("Ipv6IpamPoolId") or not params.get("Ipv6CidrBlock"):
        raise fault("UnsupportedOperation", message="Only Ipv6CidrBlock is supported")
    if subnet.ipv6:
        raise fault("InvalidParameterValue", message=f"The subnet '{subnet.id}' already has an IPv6 CIDR block")
    block = _ipv6_block(world, world.get(VPC, subnet.vpc_id), params["Ipv6CidrBlock"])
    association = CidrAssociation(id=call.ids.new("subnet-cidr-assoc-"), block=block)
    shown = _ipv6_view(replace(association, state="associating"))
    return Outcome(
        {"SubnetId": subnet.id, "Ipv6CidrBlockAssociation": shown},
        put(SUBNET, replace(subnet, ipv6=(association,))),
    )


@operation("ec2:DisassociateSubnetCidrBlock")
def disassociate_subnet_cidr_block(call: Call, world: World, params: Params) -> Outcome:
    """Refused while an interface has an address of the block."""
    wanted = params["AssociationId"]
    for subnet in call.mine(world, SUBNET):
        for association in subnet.ipv6:
            if association.id == wanted:
                return _without(world, subnet, association)
    raise fault("InvalidSubnetCidrBlockAssociationID.NotFound", id=wanted)


def _without(world: World, subnet: Subnet, association: CidrAssociation) -> Outcome:
    if any(eni.ipv6 for eni in world.by(NETWORK_INTERFACE, "subnet", subnet.id)):
        raise fault("InvalidCidr.InUse", message=f"The CIDR block {association.block} of {subnet.id} is in use")
    rest = tuple(a for a in subnet.ipv6 if a is not association)
    changed = replace(subnet, ipv6=rest, assign_ipv6_address_on_creation=False)
    shown = _ipv6_view(replace(association, state="disassociating"))
    change = put(SUBNET, changed)
    for reservation in world.by(SUBNET_CIDR_RESERVATION, "subnet", subnet.id):
        if reservation.block.version == association.block.version:
            change += delete(SUBNET_CIDR_RESERVATION, reservation.id)
    return Outcome({"SubnetId": subnet.id, "Ipv6CidrBlockAssociation": shown}, change)
