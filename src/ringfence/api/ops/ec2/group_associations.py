"""Security groups used in further VPCs of their Region (Amazon VPC User Guide: "Associate security groups with multiple
VPCs"; EC2 API Reference: AssociateSecurityGroupVpc; spec SG-12, SG-17, SG-70, SG-71)."""

from __future__ import annotations

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.kinds import GROUP_ASSOCIATION, NETWORK_INTERFACE, SECURITY_GROUP, VPC
from ringfence.model.nouns.security_group import GroupAssociation
from ringfence.model.world import World, delete, put


@operation("ec2:AssociateSecurityGroupVpc")
def associate_security_group_vpc(call: Call, world: World, params: Params) -> Outcome:
    """SG-70. In force at once; the reply shows the state AWS starts with."""
    group = call.get(world, SECURITY_GROUP, params["GroupId"])
    vpc = call.get(world, VPC, params["VpcId"])
    if group.is_default:
        raise fault("InvalidParameterValue", message=f"The default security group {group.id} cannot be associated")
    if vpc.is_default:
        raise fault("InvalidParameterValue", message=f"A security group cannot be associated with default VPC {vpc.id}")
    if group.vpc_id == vpc.id:
        raise fault("InvalidParameterValue", message=f"The security group {group.id} belongs to VPC {vpc.id}")
    id = GroupAssociation.id_of(group.id, vpc.id)
    if world.find(GROUP_ASSOCIATION, id) is not None:
        raise fault("Resource.AlreadyAssociated", message=f"{group.id} is already associated with {vpc.id}")
    row = GroupAssociation(id=id, **call.owned(), group_id=group.id, vpc_id=vpc.id)
    return Outcome({"State": "associating"}, put(GROUP_ASSOCIATION, row))


@operation("ec2:DisassociateSecurityGroupVpc")
def disassociate_security_group_vpc(call: Call, world: World, params: Params) -> Outcome:
    """SG-71. Groups that name this one keep their rules, which no longer match in that VPC."""
    group = call.get(world, SECURITY_GROUP, params["GroupId"])
    id = GroupAssociation.id_of(group.id, params["VpcId"])
    if world.find(GROUP_ASSOCIATION, id) is None:
        vpc = call.get(world, VPC, params["VpcId"])
        raise fault("InvalidAssociationID.NotFound", message=f"{group.id} is not associated with {vpc.id}")
    if any(eni.vpc_id == params["VpcId"] for eni in world.by(NETWORK_INTERFACE, "group", group.id)):
        raise fault("DependencyViolation", message=f"Interfaces of {params['VpcId']} use security group {group.id}")
    return Outcome({"State": "disassociating"}, delete(GROUP_ASSOCIATION, id))


def _view(world: World, row: GroupAssociation) -> Params:
    return {
        "GroupId": row.group_id,
        "VpcId": row.vpc_id,
        "VpcOwnerId": world.get(VPC, row.vpc_id).owner_id,
        "GroupOwnerId": row.owner_id,
        "State": row.state,
    }


describe(
    "ec2:DescribeSecurityGroupVpcAssociations",
    GROUP_ASSOCIATION,
    result="SecurityGroupVpcAssociations",
    view=_view,
    filters={
        "group-id": lambda _, row: (row.group_id,),
        "group-owner-id": lambda _, row: (row.owner_id,),
        "vpc-id": lambda _, row: (row.vpc_id,),
        "vpc-owner-id": lambda world, row: (world.get(VPC, row.vpc_id).owner_id,),
        "state": lambda _, row: (row.state,),
    },
)
