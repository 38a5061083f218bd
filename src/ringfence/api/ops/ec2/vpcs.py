"""VPCs: create, describe, attributes, address blocks, delete (Amazon VPC User Guide; spec NET-01..NET-09, NET-17)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.ec2 import flow_logs, peering
from ringfence.api.ops.ec2.addressing import new_ipv6_block
from ringfence.api.ops.ec2.vpc_graph import ipv6_added, new_vpc
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import (
    GROUP_ASSOCIATION,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
    VPC_ENDPOINT,
    Kind,
)
from ringfence.model.net import Network, overlap, parse_ipv4_network
from ringfence.model.nouns.network import CidrAssociation, Vpc
from ringfence.model.world import World, delete, put

_RFC1918 = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_FORBIDDEN = tuple(
    IPv4Network(text) for text in ("169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "0.0.0.0/8", "240.0.0.0/4")
)


def parse_vpc_cidr(text: str) -> IPv4Network:
    """A canonical IPv4 block of /16 to /28 outside the reserved ranges; ApiError otherwise (NET-01, NET-06)."""
    try:
        cidr = parse_ipv4_network(text)
    except ValueError:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block.",
        ) from None
    if not 16 <= cidr.prefixlen <= 28 or any(overlap(cidr, block) for block in _FORBIDDEN):
        raise fault("InvalidVpc.Range", cidr=cidr)
    return cidr


# ---------------------------------------------------------------------- view
def _association(association: CidrAssociation, **extra: Any) -> dict[str, Any]:
    return {"AssociationId": association.id, **extra}


def _ipv4_view(association: CidrAssociation) -> dict[str, Any]:
    return _association(association, CidrBlock=str(association.block), CidrBlockState={"State": association.state})


def _ipv6_view(association: CidrAssociation, region: str) -> dict[str, Any]:
    return _association(
        association,
        Ipv6CidrBlock=str(association.block),
        Ipv6CidrBlockState={"State": association.state},
        NetworkBorderGroup=region,
        Ipv6Pool="Amazon",
        Ipv6AddressAttribute="public",
        IpSource="amazon",
    )


def vpc_view(world: World, vpc: Vpc) -> Params:
    """A VPC as DescribeVpcs shows it."""
    return {
        "VpcId": vpc.id,
        "OwnerId": vpc.owner_id,
        "State": "available",
        "CidrBlock": str(vpc.cidr),
        "DhcpOptionsId": vpc.dhcp_options_id,
        "InstanceTenancy": vpc.tenancy,
        "IsDefault": vpc.is_default,
        "CidrBlockAssociationSet": [_ipv4_view(association) for association in vpc.ipv4],
        "Ipv6CidrBlockAssociationSet": [_ipv6_view(association, vpc.region) for association in vpc.ipv6],
        "Tags": tag_list(vpc.tags),
    }


describe(
    "ec2:DescribeVpcs",
    VPC,
    ids="VpcIds",
    result="Vpcs",
    view=vpc_view,
    pure=True,
    filters={
        "vpc-id": lambda _, vpc: (vpc.id,),
        "owner-id": lambda _, vpc: (vpc.owner_id,),
        "state": lambda _, vpc: ("available",),
        "cidr": lambda _, vpc: (str(vpc.cidr),),
        "cidr-block": lambda _, vpc: (str(vpc.cidr),),
        "cidrBlock": lambda _, vpc: (str(vpc.cidr),),
        "cidr-block-association.association-id": lambda _, vpc: (a.id for a in vpc.ipv4),
        "cidr-block-association.cidr-block": lambda _, vpc: (str(a.block) for a in vpc.ipv4),
        "cidr-block-association.state": lambda _, vpc: (a.state for a in vpc.ipv4),
        "ipv6-cidr-block-association.association-id": lambda _, vpc: (a.id for a in vpc.ipv6),
        "ipv6-cidr-block-association.ipv6-cidr-block": lambda _, vpc: (str(a.block) for a in vpc.ipv6),
        "ipv6-cidr-block-association.ipv6-pool": lambda _, vpc: ("Amazon" for _a in vpc.ipv6),
        "ipv6-cidr-block-association.state": lambda _, vpc: (a.state for a in vpc.ipv6),
        "dhcp-options-id": lambda _, vpc: (vpc.dhcp_options_id,),
        "isDefault": lambda _, vpc: (vpc.is_default,),
        "is-default": lambda _, vpc: (vpc.is_default,),
        "instance-tenancy": lambda _, vpc: (vpc.tenancy,),
    },
)


# ---------------------------------------------------------------------- create and delete
_UNSUPPORTED_ON_CREATE = ("Ipv4IpamPoolId", "Ipv6IpamPoolId", "Ipv6Pool", "Ipv6CidrBlock", "VpcEncryptionControl")


def refuse(params: Params, *names: str) -> None:
    """UnsupportedOperation for parameters this installation cannot honour."""
    for name in names:
        if params.get(name) not in (None, False, [], ""):
            raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")


@operation("ec2:CreateVpc")
def create_vpc(call: Call, world: World, params: Params) -> Outcome:
    """NET-01, NET-02, Q-01."""
    refuse(params, *_UNSUPPORTED_ON_CREATE)
    if not params.get("CidrBlock"):
        raise fault("MissingParameter", message="Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.")
    cidr = parse_vpc_cidr(params["CidrBlock"])
    tenancy = params.get("InstanceTenancy") or "default"
    if tenancy == "host":
        raise fault("InvalidParameterValue", message="The tenancy value host is not supported.")
    call.check_quota("vpcs", world.count_owned(VPC, call.account_id, call.region) + 1)
    block = new_ipv6_block(call, world) if params.get("AmazonProvidedIpv6CidrBlock") else None
    tags = tags_on_create(call, params, VPC)
    graph, change = new_vpc(call, world, cidr, ipv6=block, tenancy=tenancy, tags=tags)
    reply = dict(vpc_view(world, graph.vpc))
    return Outcome({"Vpc": reply | {"State": "pending"}}, change)


@operation("ec2:DeleteVpc")
def delete_vpc(call: Call, world: World, params: Params) -> Outcome:
    """NET-17, SG-31: the default group, main table and default ACL go with the VPC, and its peering connections."""
    vpc = call.get(world, VPC, params["VpcId"])
    own = {vpc.default_security_group_id, vpc.default_network_acl_id, vpc.main_route_table_id}
    kinds: tuple[Kind[Any], ...] = (
        SUBNET, NETWORK_INTERFACE, INTERNET_GATEWAY, SECURITY_GROUP, GROUP_ASSOCIATION, NETWORK_ACL, ROUTE_TABLE,
        VPC_ENDPOINT,
    )  # fmt: skip
    if any(row.id not in own for kind in kinds for row in world.by(kind, "vpc", vpc.id)):
        raise fault("DependencyViolation", message=f"The vpc '{vpc.id}' has dependencies and cannot be deleted.")
    change = delete(SECURITY_GROUP, vpc.default_security_group_id) + delete(NETWORK_ACL, vpc.default_network_acl_id)
    return Outcome(
        {},
        change
        + delete(ROUTE_TABLE, vpc.main_route_table_id)
        + flow_logs.gone_with(world, vpc.id)
        + peering.gone_with(call, world, vpc)
        + delete(VPC, vpc.id),
    )


# ---------------------------------------------------------------------- attributes
_ATTRIBUTES = {
    "enableDnsSupport": ("EnableDnsSupport", "dns_support"),
    "enableDnsHostnames": ("EnableDnsHostnames", "dns_hostnames"),
    "enableNetworkAddressUsageMetrics": ("EnableNetworkAddressUsageMetrics", "network_address_usage_metrics"),
}


@operation("ec2:DescribeVpcAttribute")
def describe_vpc_attribute(call: Call, world: World, params: Params) -> Outcome:
    """DNS-01, DNS-02."""
    vpc = call.get(world, VPC, params["VpcId"])
    member, field = _ATTRIBUTES[params["Attribute"]]
    return Outcome({"VpcId": vpc.id, member: {"Value": getattr(vpc, field)}})


@operation("ec2:ModifyVpcAttribute")
def modify_vpc_attribute(call: Call, world: World, params: Params) -> Outcome:
    """One attribute per call, as AWS wants it."""
    vpc = call.get(world, VPC, params["VpcId"])
    given = [(field, params[member]) for member, field in _ATTRIBUTES.values() if params.get(member) is not None]
    if len(given) != 1:
        raise fault(
            "InvalidParameterCombination" if given else "MissingParameter",
            message="Exactly one VPC attribute must be given.",
        )
    field, value = given[0]
    changed: dict[str, Any] = {field: bool(value.get("Value"))}
    return Outcome({}, put(VPC, replace(vpc, **changed)))


@operation("ec2:ModifyVpcTenancy")
def modify_vpc_tenancy(call: Call, world: World, params: Params) -> Outcome:
    """Only from dedicated to default."""
    vpc = call.get(world, VPC, params["VpcId"])
    return Outcome({"ReturnValue": True}, put(VPC, replace(vpc, tenancy=params["InstanceTenancy"])))


# ---------------------------------------------------------------------- address blocks
@operation("ec2:AssociateVpcCidrBlock")
def associate_vpc_cidr_block(call: Call, world: World, params: Params) -> Outcome:
    """NET-04..NET-09, PCX-13, Q-03, Q-04."""
    refuse(params, "Ipv4IpamPoolId", "Ipv6IpamPoolId", "Ipv6Pool", "Ipv6CidrBlock")
    vpc = call.get(world, VPC, params["VpcId"])
    wants_ipv6 = bool(params.get("AmazonProvidedIpv6CidrBlock"))
    if wants_ipv6 == bool(params.get("CidrBlock")):
        raise fault(
            "InvalidParameterCombination" if wants_ipv6 else "MissingParameter",
            message="Exactly one of CidrBlock and AmazonProvidedIpv6CidrBlock must be given.",
        )
    if wants_ipv6:
        return _associate_ipv6(call, world, vpc)
    cidr = parse_vpc_cidr(params["CidrBlock"])
    _check_secondary(world, vpc, cidr)
    call.check_quota("ipv4-cidrs-per-vpc", len(vpc.ipv4) + 1, vpc=vpc.id)
    added = CidrAssociation(id=call.ids.new("vpc-cidr-assoc-"), block=cidr)
    shown = _ipv4_view(replace(added, state="associating"))
    change = put(VPC, replace(vpc, ipv4=(*vpc.ipv4, added))) + peering.block_added(call, world, vpc, cidr)
    return Outcome({"VpcId": vpc.id, "CidrBlockAssociation": shown}, change)


def _associate_ipv6(call: Call, world: World, vpc: Vpc) -> Outcome:
    call.check_quota("ipv6-cidrs-per-vpc", len(vpc.ipv6) + 1, vpc=vpc.id)
    added = CidrAssociation(id=call.ids.new("vpc-cidr-assoc-"), block=new_ipv6_block(call, world))
    change = put(VPC, replace(vpc, ipv6=(*vpc.ipv6, added))) + peering.block_added(call, world, vpc, added.block)
    if not vpc.ipv6:
        change += ipv6_added(call, world, vpc)
    shown = _ipv6_view(replace(added, state="associating"), vpc.region)
    return Outcome({"VpcId": vpc.id, "Ipv6CidrBlockAssociation": shown}, change)


def _check_secondary(world: World, vpc: Vpc, cidr: IPv4Network) -> None:
    """NET-04 (overlap), NET-05 (routes), NET-06 (RFC 1918 families)."""
    for association in vpc.ipv4:
        if isinstance(association.block, IPv4Network) and cidr.overlaps(association.block):
            raise fault("InvalidVpc.Range", message=f"The CIDR '{cidr}' conflicts with another CIDR of the VPC.")
    for table in world.by(ROUTE_TABLE, "vpc", vpc.id):
        for route in table.routes:
            if isinstance(route.destination, IPv4Network) and route.destination.subnet_of(cidr):
                raise fault(
                    "InvalidVpc.Range",
                    message=f"The CIDR '{cidr}' is equal to or larger than the route {route.destination} of {table.id}.",
                )
    if _restricted(vpc.cidr, cidr):
        raise fault("InvalidVpc.Range", message=f"The CIDR '{cidr}' is restricted for a VPC of {vpc.cidr}.")


def _restricted(primary: IPv4Network, cidr: IPv4Network) -> bool:
    if cidr.overlaps(IPv4Network("198.19.0.0/16")):
        return True
    own = next((block for block in _RFC1918 if primary.subnet_of(block)), None)
    other = next((block for block in _RFC1918 if cidr.subnet_of(block)), None)
    return own is not None and other is not None and own != other


@operation("ec2:DisassociateVpcCidrBlock")
def disassociate_vpc_cidr_block(call: Call, world: World, params: Params) -> Outcome:
    """NET-04, NET-20: rules, ACL entries and routes stay."""
    wanted = params["AssociationId"]
    for vpc in call.mine(world, VPC):
        for family in ("ipv4", "ipv6"):
            for association in getattr(vpc, family):
                if association.id == wanted:
                    return _disassociate(world, vpc, family, association)
    raise fault("InvalidVpcCidrBlockAssociationID.NotFound", id=wanted)


def _disassociate(world: World, vpc: Vpc, family: str, association: CidrAssociation) -> Outcome:
    if association is vpc.ipv4[0]:
        raise fault(
            "OperationNotPermitted",
            message=f"The vpc CIDR block with association ID {association.id} may not be disassociated. "
            "It is the primary IPv4 CIDR block of the VPC",
        )
    if _in_use(world, vpc, association.block):
        raise fault(
            "InvalidCidr.InUse",
            message=f"The vpc currently has a subnet within CIDR block {association.block}",
        )
    rest: dict[str, Any] = {family: tuple(a for a in getattr(vpc, family) if a is not association)}
    gone = replace(association, state="disassociating")
    shown = {"CidrBlockAssociation": _ipv4_view(gone)} if family == "ipv4" else {
        "Ipv6CidrBlockAssociation": _ipv6_view(gone, vpc.region)}  # fmt: skip
    return Outcome({"VpcId": vpc.id, **shown}, put(VPC, replace(vpc, **rest)))


def _in_use(world: World, vpc: Vpc, block: Network) -> bool:
    for subnet in world.by(SUBNET, "vpc", vpc.id):
        blocks = [subnet.cidr, *(association.block for association in subnet.ipv6)]
        if any(own.version == block.version and own.overlaps(block) for own in blocks):
            return True
    return False
