"""Which parameters of an EC2 request name resources of which type: by their names, with a table for the exceptions, and by
rows that lead to other rows.

Nothing here fails on an id that does not exist: the call is authorised first (IAM-37).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.ec2.security_group_rules import RULE_NOUN
from ringfence.api.ops.ec2.security_groups import default_vpc
from ringfence.model.kinds import (
    ELASTIC_IP,
    INSTANCE,
    KINDS,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from ringfence.model.world import World

#: a resource as a request names it: (type, id)
Named = tuple[str, str]

#: parameters whose name does not tell the type
PARAMETERS: Mapping[str, str] = {
    "GroupId": "security-group", "GroupIds": "security-group", "Groups": "security-group",
    "SecurityGroupIds": "security-group", "AllocationId": "elastic-ip", "AllocationIds": "elastic-ip",
    "SecondaryAllocationIds": "elastic-ip", "NatGatewayId": "natgateway", "NatGatewayIds": "natgateway",
    "FlowLogId": "vpc-flow-log", "FlowLogIds": "vpc-flow-log", "KeyPairId": "key-pair", "KeyName": "key-pair",
    "DhcpOptionsId": "dhcp-options", "ServiceIds": "vpc-endpoint-service", "ServiceId": "vpc-endpoint-service",
    "AddSubnetIds": "subnet", "RemoveSubnetIds": "subnet", "AddRouteTableIds": "route-table",
    "RemoveRouteTableIds": "route-table", "AddSecurityGroupIds": "security-group",
    "RemoveSecurityGroupIds": "security-group", "ConnectionNotificationIds": "vpc-endpoint-service",
}  # fmt: skip
#: parameters that take ids of several types: the id's prefix tells
OF_ANY_TYPE = frozenset({"Resources", "ResourceIds", "ResourceId", "GatewayId"})
#: action -> parameters whose members are looked at too; elsewhere nested ids only refer to resources (the peer of a rule)
NESTED: Mapping[str, frozenset[str]] = {
    "ModifySecurityGroupRules": frozenset({"SecurityGroupRules"}),
}
_PREFIXES: Mapping[str, str] = {
    **{kind.prefix: kind.noun for kind in KINDS.values() if kind.prefix and kind.service == "ec2"},
    "sgr-": RULE_NOUN, "vgw-": "vpn-gateway", "vol-": "volume", "snap-": "snapshot", "pcx-": "vpc-peering-connection",
    "pl-": "prefix-list", "nat-": "natgateway", "eigw-": "egress-only-internet-gateway", "vpce-": "vpc-endpoint",
    "fl-": "vpc-flow-log",
}  # fmt: skip


def type_of_id(id: str) -> str | None:
    """The type an id's prefix tells."""
    return _PREFIXES.get(id.rpartition("-")[0] + "-")


def type_of_parameter(name: str) -> str | None:
    """`VpcPeeringConnectionId` → vpc-peering-connection."""
    if name in PARAMETERS:
        return PARAMETERS[name]
    found = re.fullmatch(r"([A-Za-z0-9]+?)Ids?", name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", found[1]).lower() if found else None


def named(call: Call, world: World, params: Params) -> list[Named]:
    """Every resource that a request names, each once, in the order of the parameters."""
    direct = _direct(params, NESTED.get(call.action, frozenset()))
    derived = DERIVED[call.action](call, world, params) if call.action in DERIVED else ()
    return list(dict.fromkeys([*direct, *derived]))


def _direct(params: Params, nested: frozenset[str]) -> Iterator[Named]:
    for name, value in params.items():
        if name in OF_ANY_TYPE:
            for id in _texts(value):
                yield type_of_id(id) or "unknown", id
        elif (type := type_of_parameter(name)) is not None:
            for id in _texts(value):
                yield type, id
        elif name in nested:
            for member in value if isinstance(value, list) else (value,):
                if isinstance(member, Mapping):
                    yield from _direct(member, frozenset(member))


def _texts(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, str) and item:
            yield item


# ---------------------------------------------------------------------- found through others
Derive = Callable[[Call, World, Params], Iterable[Named]]


def _group_by_name(call: Call, world: World, params: Params) -> Iterator[Named]:
    """GroupName names a group of the default VPC."""
    name, vpc = params.get("GroupName"), default_vpc(call, world)
    if name and not params.get("GroupId") and vpc is not None:
        for group in world.by(SECURITY_GROUP, "name", f"{vpc.id}/{name.lower()}"):
            yield "security-group", group.id


def _new_group(call: Call, world: World, params: Params) -> Iterator[Named]:
    vpc = default_vpc(call, world)
    if not params.get("VpcId") and vpc is not None:
        yield "vpc", vpc.id


def _new_interface(call: Call, world: World, params: Params) -> Iterator[Named]:
    """Without groups the interface gets its VPC's default group."""
    subnet = world.find(SUBNET, params.get("SubnetId"))
    vpc = world.find(VPC, subnet.vpc_id) if subnet is not None else None
    if not params.get("Groups") and vpc is not None:
        yield "security-group", vpc.default_security_group_id


def _attachment(world: World, id: str | None) -> Iterator[Named]:
    for interface in world.by(NETWORK_INTERFACE, "attachment", id) if id else ():
        yield "network-interface", interface.id
        if interface.attachment is not None:
            yield "instance", interface.attachment.instance_id


def _detach(_call: Call, world: World, params: Params) -> Iterator[Named]:
    return _attachment(world, params.get("AttachmentId"))


def _modify_interface(_call: Call, world: World, params: Params) -> Iterator[Named]:
    return _attachment(world, (params.get("Attachment") or {}).get("AttachmentId"))


def _by_public_ip(call: Call, world: World, params: Params) -> Iterator[Named]:
    """An Elastic IP named by its address or association, and the interface it is on."""
    address, association = params.get("PublicIp"), params.get("AssociationId")
    found = [
        *(world.by(ELASTIC_IP, "public", address) if address else ()),
        *(world.by(ELASTIC_IP, "association", association) if association else ()),
    ]
    for row in found:
        yield "elastic-ip", row.id
        if row.network_interface_id is not None and call.action == "DisassociateAddress":
            yield "network-interface", row.network_interface_id


def _route_table_association(_call: Call, world: World, params: Params) -> Iterator[Named]:
    id = params.get("AssociationId")
    for table in world.by(ROUTE_TABLE, "association", id) if id else ():
        yield "route-table", table.id
        for association in table.associations:
            if association.id == id and association.subnet_id:
                yield "subnet", association.subnet_id
            if association.id == id and association.gateway_id:
                yield type_of_id(association.gateway_id) or "internet-gateway", association.gateway_id


def _acl_association(call: Call, world: World, params: Params) -> Iterator[Named]:
    """The subnet, and both ACLs: the one it leaves and the one it gets."""
    for subnet in call.mine(world, SUBNET):
        if subnet.network_acl_association_id == params.get("AssociationId"):
            yield "subnet", subnet.id
            yield "network-acl", subnet.network_acl_id


def _cidr_association(call: Call, world: World, params: Params) -> Iterator[Named]:
    id = params.get("AssociationId")
    for subnet in call.mine(world, SUBNET):
        if any(association.id == id for association in subnet.ipv6):
            yield "subnet", subnet.id
    for vpc in call.mine(world, VPC):
        if any(association.id == id for association in (*vpc.ipv4, *vpc.ipv6)):
            yield "vpc", vpc.id


def _profile_association(call: Call, world: World, params: Params) -> Iterator[Named]:
    """The instance whose instance profile is taken away or replaced."""
    for instance in call.mine(world, INSTANCE):
        if instance.iam_association_id is not None and instance.iam_association_id == params.get("AssociationId"):
            yield "instance", instance.id


def _path_ends(call: Call, _world: World, params: Params) -> Iterator[Named]:
    """The ends of a path, by id or ARN."""
    for name in ("Source", "Destination"):
        given = params.get(name)
        if isinstance(given, str) and given:
            id = given.rpartition("/")[2]
            yield type_of_id(id) or "unknown", id


def _asked_peer(call: Call, _world: World, params: Params) -> Iterator[Named]:
    """The accepter's VPC, if it is the caller's too; another account's is what `ec2:AccepterVpc` tells."""
    id, owner, region = params.get("PeerVpcId"), params.get("PeerOwnerId"), params.get("PeerRegion")
    if isinstance(id, str) and id and owner in (None, "", call.account_id) and region in (None, "", call.region):
        yield "vpc", id


def _accepting(call: Call, world: World, params: Params) -> Iterator[Named]:
    """The accepter's VPC."""
    row = world.find(PEERING_CONNECTION, params.get("VpcPeeringConnectionId"))
    if row is not None and row.accepter.owner_id == call.account_id:
        yield "vpc", row.accepter.vpc_id


_BY_GROUP_NAME = (
    "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "DeleteSecurityGroup",
    "UpdateSecurityGroupRuleDescriptionsIngress", "UpdateSecurityGroupRuleDescriptionsEgress",
)  # fmt: skip
DERIVED: Mapping[str, Derive] = {
    **dict.fromkeys(_BY_GROUP_NAME, _group_by_name),
    **dict.fromkeys(("AssociateAddress", "DisassociateAddress", "ReleaseAddress"), _by_public_ip),
    **dict.fromkeys(("DisassociateRouteTable", "ReplaceRouteTableAssociation"), _route_table_association),
    **dict.fromkeys(("DisassociateSubnetCidrBlock", "DisassociateVpcCidrBlock"), _cidr_association),
    **dict.fromkeys(("DisassociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation"), _profile_association),
    "AcceptVpcPeeringConnection": _accepting,
    "CreateVpcPeeringConnection": _asked_peer,
    "CreateNetworkInsightsPath": _path_ends,
    "CreateNetworkInterface": _new_interface,
    "CreateSecurityGroup": _new_group,
    "DetachNetworkInterface": _detach,
    "ModifyNetworkInterfaceAttribute": _modify_interface,
    "ReplaceNetworkAclAssociation": _acl_association,
}
