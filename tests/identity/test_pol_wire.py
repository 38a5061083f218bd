"""The policy cases of the specification against a running server: every cell of the allow and deny lists is one call
(POL-01 … POL-13, POL-18 … POL-22, POL-27, POL-30; IAM-14, IAM-16, IAM-25, IAM-32 … IAM-37)."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ringfence.api.authorise.denial import decoded
from ringfence.api.connection import Connection
from ringfence.model.kinds import IMAGE
from ringfence.model.quotas import LAB, Limits
from ringfence.model.world import put
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, Front
from tests.api.live import live
from tests.identity.wire import Lab, User, spec, statement, vpc_arn


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    front = Front()
    front.pipeline.limits = Limits(LAB)
    with live(front, protocol=Connection) as running:
        yield Lab(running)


PERMISSION = [{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
VPC_IN = "arn:aws:ec2:*:*:vpc/"
#: allows no ec2:DescribeSubnets
BOUNDARY = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"


def rule_calls(user: User, group: str) -> list[bool]:
    """Authorize and revoke, both ways."""
    return [
        user.may(f"{verb}_security_group_{side}", GroupId=group, IpPermissions=PERMISSION)
        for verb in ("authorize", "revoke")
        for side in ("ingress", "egress")
    ]


def tagged(name: str, value: str) -> dict[str, Any]:
    return {"StringEquals": {f"ec2:ResourceTag/{name}": value}}


# ---------------------------------------------------------------------- nothing, groups, the message
def test_a_new_user_can_do_nothing_but_ask_who_it_is(lab: Lab) -> None:
    """IAM-14, IAM-35."""
    user = lab.user()
    assert not user.may("describe_vpcs")
    assert not user.may("create_vpc", CidrBlock="10.0.0.0/16")
    assert not user.may_iam("list_users")
    caller = lab.client("sts", user.key, user.secret).get_caller_identity()
    assert caller["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/{user.name}"
    event = next(e for e in reversed(lab.live.front.audit()) if e["eventName"] == "CreateVpc")
    assert event["errorCode"] == "Client.UnauthorizedOperation"
    assert event["userIdentity"]["arn"] == caller["Arn"]
    assert event["requestParameters"]["CidrBlock"] == "10.0.0.0/16"  # MON-11


def test_group_and_managed_policies_add_up_and_end_at_once(lab: Lab) -> None:
    """IAM-16, IAM-17."""
    user = lab.user(statement(action="ec2:DescribeVpcs"))
    lab.iam.create_group(GroupName="readers")
    lab.iam.attach_group_policy(GroupName="readers", PolicyArn="arn:aws:iam::aws:policy/AmazonVPCReadOnlyAccess")
    assert not user.may("describe_subnets")
    lab.iam.add_user_to_group(GroupName="readers", UserName=user.name)
    assert user.may("describe_subnets")
    assert user.may("describe_security_group_rules")
    assert not user.may("create_vpc", CidrBlock="10.0.0.0/16")
    lab.iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=BOUNDARY)
    assert not user.may("describe_subnets")
    lab.iam.delete_user_permissions_boundary(UserName=user.name)
    assert user.may("describe_subnets")
    lab.iam.remove_user_from_group(GroupName="readers", UserName=user.name)
    assert not user.may("describe_subnets")


def test_the_refusal_names_who_what_and_why_and_the_rest_is_sealed(lab: Lab) -> None:
    """IAM-33."""
    user = lab.user(statement(), statement("Deny", "ec2:DeleteVpc", Sid="Never"))
    vpc = lab.vpc(Stack="test")
    with pytest.raises(ClientError) as caught:
        user.ec2.delete_vpc(VpcId=vpc)
    error = caught.value.response["Error"]
    who = f"arn:aws:iam::{ACCOUNT}:user/{user.name}"
    assert error["Code"] == "UnauthorizedOperation"
    text, _, blob = error["Message"].partition(" Encoded authorization failure message: ")
    assert text == (
        f"You are not authorized to perform this operation. User: {who} is not authorized to perform: ec2:DeleteVpc on "
        f"resource: {vpc_arn(vpc)} with an explicit deny in an identity-based policy."
    )
    assert vpc not in blob
    story = json.loads(decoded(blob, ACCOUNT, lab.live.front.sealer))
    assert (story["allowed"], story["explicitDeny"]) == (False, True)
    assert story["matchedStatements"]["items"][0]["statementId"] == "Never"
    assert story["context"]["resource"] == vpc_arn(vpc)
    keys = {item["key"]: item["values"]["items"][0]["value"] for item in story["context"]["conditions"]["items"]}
    assert keys["aws:username"] == user.name
    assert keys["aws:resourcetag/stack"] == "test"
    with pytest.raises(ClientError) as caught:
        lab.user(statement(action="ec2:Describe*")).ec2.delete_vpc(VpcId=vpc)
    assert (
        "because no identity-based policy allows the ec2:DeleteVpc action" in caught.value.response["Error"]["Message"]
    )
    with pytest.raises(ClientError) as caught:
        user.iam.list_users()
    assert caught.value.response["Error"] == {
        "Type": "Sender", "Code": "AccessDenied",
        "Message": f"User: {who} is not authorized to perform: iam:ListUsers because no identity-based policy allows the "
        "iam:ListUsers action",
    }  # fmt: skip


def test_who_may_not_see_learns_nothing_of_what_exists(lab: Lab) -> None:
    """IAM-37."""
    user = lab.user(statement(resource=f"{VPC_IN}vpc-0123456789abcdef0"))
    for vpc in (lab.vpc(), "vpc-0fffffffffffffff0", "nonsense"):
        assert not user.may("delete_vpc", VpcId=vpc)
    with pytest.raises(ClientError) as caught:
        user.ec2.delete_vpc(VpcId="vpc-0123456789abcdef0")
    assert caught.value.response["Error"]["Code"] == "InvalidVpcID.NotFound"


def test_the_action_decides_and_not_the_client(lab: Lab) -> None:
    """IAM-36: the same answer whatever program asks, and by whatever way its signature comes."""
    user = lab.user(statement(action="ec2:DescribeVpcs"))
    names = ("aws-cli/2.17 md/installer#exe", "Boto3/1.34", "Terraform/1.9", "console.amazonaws.com", "")
    for name in names:
        config = Config(user_agent=name, retries={"max_attempts": 0})
        client = boto3.client("ec2", region_name="us-east-1", endpoint_url=lab.live.url, aws_access_key_id=user.key,
                              aws_secret_access_key=user.secret, config=config)  # fmt: skip
        assert user.may("describe_vpcs", client)
        assert not user.may("describe_subnets", client)
    for method, status in (("describe_vpcs", 200), ("describe_subnets", 403)):
        assert _fetched(user.ec2.generate_presigned_url(method, HttpMethod="GET")) == status


def _fetched(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_a_default_vpc_has_its_gateway_even_for_those_who_may_not_make_one(lab: Lab) -> None:
    """IAM-38."""
    region = "eu-west-2"
    ec2 = lab.client("ec2", region=region)
    old = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        ec2.detach_internet_gateway(InternetGatewayId=gateway["InternetGatewayId"], VpcId=old)
    for subnet in ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [old]}])["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    ec2.delete_vpc(VpcId=old)
    user = lab.user(statement(action="ec2:CreateDefaultVpc"), statement("Deny", "ec2:CreateInternetGateway"))
    mine = user.at(region)
    assert not user.may("create_internet_gateway", mine)
    made = mine.create_default_vpc()["Vpc"]["VpcId"]
    gateways = ec2.describe_internet_gateways(Filters=[{"Name": "attachment.vpc-id", "Values": [made]}])[
        "InternetGateways"
    ]
    assert len(gateways) == 1


# ---------------------------------------------------------------------- the cases
def test_pol_01_read_only(lab: Lab) -> None:
    read = ["ec2:DescribeVpcs", "ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeFlowLogs",
            "ec2:DescribeStaleSecurityGroups", "ec2:GetManagedPrefixListEntries", "ec2:DescribeSubnets"]  # fmt: skip
    user, vpc = lab.user(statement(action=read)), lab.vpc()
    group = lab.group(vpc, "pol01")
    assert user.may("describe_vpcs")
    assert user.may("describe_security_groups")
    assert user.may("describe_security_group_rules")
    assert user.may("describe_stale_security_groups", VpcId=vpc)
    assert not user.may("create_vpc", CidrBlock="10.0.0.0/16")
    assert not any(rule_calls(user, group))
    assert not user.may("delete_subnet", SubnetId=lab.subnet(vpc))
    assert not user.may("create_tags", Resources=[vpc], Tags=[{"Key": "a", "Value": "b"}])
    assert not user.may("describe_instances")


def test_pol_02_own_user_only(lab: Lab) -> None:
    own = ["iam:GetUser", "iam:ListUserPolicies", "iam:ListGroupsForUser", "iam:ListAttachedUserPolicies"]
    statements = (
        statement(action=own, resource="arn:aws:iam::*:user/${aws:username}"),
        statement(action=["iam:ListUsers", "iam:ListGroups"]),
    )
    user, other = lab.user(*statements), lab.user()
    assert user.may_iam("get_user", UserName=user.name)
    assert user.may_iam("get_user")
    assert user.may_iam("list_users")
    assert not user.may_iam("get_user", UserName=other.name)
    assert not user.may_iam("get_user", UserName="nobody-at-all")
    assert not user.may_iam("put_user_policy", UserName=user.name, PolicyName="p", PolicyDocument="{}")


def test_pol_03_vpc_with_a_public_subnet(lab: Lab) -> None:
    nine = ["CreateVpc", "CreateSubnet", "CreateRouteTable", "CreateRoute", "CreateInternetGateway", "AttachInternetGateway",
            "AssociateRouteTable", "ModifyVpcAttribute", "DescribeAvailabilityZones"]  # fmt: skip
    user = lab.user(statement(action=[f"ec2:{name}" for name in nine]))
    vpc = user.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = user.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    table = user.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    gateway = user.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    user.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    user.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    user.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    user.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    user.ec2.describe_availability_zones()
    assert not user.may("delete_vpc", VpcId=vpc)
    assert not user.may("detach_internet_gateway", InternetGatewayId=gateway, VpcId=vpc)
    assert not user.may("delete_route", RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    assert not user.may("create_security_group", GroupName="x", Description="x", VpcId=vpc)
    assert not user.may("describe_vpcs")
    assert not user.may("create_vpc", CidrBlock="10.1.0.0/16", **spec("vpc", {"a": "b"}))  # IAM-32: no CreateTags


def test_pol_04_by_tag(lab: Lab) -> None:
    tag = tagged("Purpose", "Test")
    user = lab.user(
        statement(action="ec2:DeleteInternetGateway", resource="arn:aws:ec2:*:*:internet-gateway/*", Condition=tag),
        statement(action=["ec2:DeleteRouteTable", "ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DeleteRoute"],
                  resource="arn:aws:ec2:*:*:route-table/*", Condition=tag),
    )  # fmt: skip
    vpc, gateway = lab.vpc(), lab.gateway(Purpose="Test")
    lab.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = lab.route_table(vpc, Purpose="Test")
    route = {"RouteTableId": table, "DestinationCidrBlock": "198.51.100.0/24"}
    user.ec2.create_route(**route, GatewayId=gateway)
    assert user.may("replace_route", **route, GatewayId=gateway)
    assert user.may("delete_route", **route)
    assert user.may("delete_route_table", RouteTableId=lab.route_table(vpc, Purpose="Test"))
    assert user.may("delete_internet_gateway", InternetGatewayId=lab.gateway(Purpose="Test"))
    for tags in ({}, {"Purpose": "test"}, {"Purpose": "Prod"}):
        other = lab.route_table(vpc, **tags)
        assert not user.may("delete_route_table", RouteTableId=other)
        assert not user.may(
            "create_route", RouteTableId=other, DestinationCidrBlock="198.51.100.0/24", GatewayId=gateway
        )
        assert not user.may("delete_internet_gateway", InternetGatewayId=lab.gateway(**tags))
    assert not user.may("delete_internet_gateway", InternetGatewayId=table)
    assert not user.may("attach_internet_gateway", InternetGatewayId=gateway, VpcId=vpc)
    assert not user.may("create_route_table", VpcId=vpc)


def test_pol_05_rules_of_the_groups_of_one_vpc(lab: Lab) -> None:
    mine, other = lab.vpc(), lab.vpc()
    actions = [f"ec2:{verb}SecurityGroup{side}" for verb in ("Authorize", "Revoke") for side in ("Ingress", "Egress")]
    user = lab.user(
        statement(action=actions, resource=f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/*",
                  Condition={"ArnEquals": {"ec2:Vpc": vpc_arn(mine)}}),
        statement(action="ec2:DescribeSecurityGroups"),
    )  # fmt: skip
    good, bad = lab.group(mine, "pol05"), lab.group(other, "pol05")
    user.ec2.authorize_security_group_ingress(GroupId=good, IpPermissions=PERMISSION)
    user.ec2.revoke_security_group_ingress(GroupId=good, IpPermissions=PERMISSION)
    user.ec2.authorize_security_group_egress(GroupId=good, IpPermissions=PERMISSION)
    user.ec2.revoke_security_group_egress(GroupId=good, IpPermissions=PERMISSION)
    assert user.may("describe_security_groups")
    assert not any(rule_calls(user, bad))
    assert not user.may("create_security_group", GroupName="x", Description="x", VpcId=mine)
    assert not user.may("delete_security_group", GroupId=good)
    assert not user.may("update_security_group_rule_descriptions_ingress", GroupId=good, IpPermissions=PERMISSION)
    assert not user.may("describe_vpcs")


def test_pol_06_manage_the_groups_of_one_vpc(lab: Lab) -> None:
    mine, other = lab.vpc(), lab.vpc()
    changes = ["ec2:DeleteSecurityGroup", "ec2:AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupEgress",
               "ec2:RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress"]  # fmt: skip
    user = lab.user(
        statement(action=["ec2:DescribeVpcs", "ec2:DescribeSecurityGroups", "ec2:CreateSecurityGroup"]),
        statement(action=changes, resource="arn:aws:ec2:*:*:security-group/*",
                  Condition={"ArnLike": {"ec2:Vpc": f"{VPC_IN}{mine}"}}),
    )  # fmt: skip
    good, bad = lab.group(mine, "pol06"), lab.group(other, "pol06")
    assert user.may("describe_vpcs")
    assert user.may("create_security_group", GroupName="x", Description="x", VpcId=mine)
    assert user.may("create_security_group", GroupName="x", Description="x", VpcId=other)
    assert user.may("delete_security_group", GroupId=good)
    assert user.may("authorize_security_group_ingress", GroupId=good, IpPermissions=PERMISSION)
    assert not user.may("delete_security_group", GroupId=bad)
    interface = lab.ec2.create_network_interface(SubnetId=lab.subnet(mine))["NetworkInterface"]["NetworkInterfaceId"]
    assert not user.may("modify_network_interface_attribute", NetworkInterfaceId=interface, Groups=[good])
    assert not user.may("modify_instance_attribute", InstanceId="i-0123456789abcdef0", Groups=[good])


def test_pol_07_groups_by_tag(lab: Lab) -> None:
    manage = ["ec2:RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress",
              "ec2:AuthorizeSecurityGroupEgress", "ec2:ModifySecurityGroupRules", "ec2:DeleteSecurityGroup",
              "ec2:UpdateSecurityGroupRuleDescriptionsIngress"]  # fmt: skip
    groups = "arn:aws:ec2:*:*:security-group/*"
    user = lab.user(
        statement(action=manage, resource=groups, Condition=tagged("Stack", "test")),
        statement(action="ec2:ModifySecurityGroupRules", resource="arn:aws:ec2:*:*:security-group-rule/*"),
        statement(action="ec2:CreateSecurityGroup", resource=groups, Condition={
            "StringEquals": {"aws:RequestTag/Stack": "test"}, "ForAllValues:StringEquals": {"aws:TagKeys": "Stack"}}),
        statement(action="ec2:CreateTags", resource=groups, Condition={
            "StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}}),
        statement(action=["ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeTags"]),
        statement(action="ec2:CreateSecurityGroup", resource="arn:aws:ec2:*:*:vpc/*"),
    )  # fmt: skip
    vpc = lab.vpc()

    def create(name: str, tags: dict[str, str]) -> dict[str, Any]:
        return {"GroupName": name, "Description": "x", "VpcId": vpc, **spec("security-group", tags)}

    group = user.ec2.create_security_group(**create("a", {"Stack": "test"}))["GroupId"]
    user.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=PERMISSION)
    rules = user.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    rule = next(r["SecurityGroupRuleId"] for r in rules["SecurityGroupRules"] if not r["IsEgress"])
    change = {"SecurityGroupRuleId": rule, "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 81, "ToPort": 81,
                                                                  "CidrIpv4": "10.0.0.0/8"}}  # fmt: skip
    user.ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[change])
    user.ec2.delete_security_group(GroupId=group)
    assert not user.may("create_security_group", **create("b", {}))
    assert not user.may("create_security_group", **create("b", {"Stack": "Test"}))
    assert not user.may("create_security_group", **create("b", {"Stack": "test", "Owner": "me"}))
    prod = lab.group(vpc, "prod", Stack="prod")
    assert not user.may("create_tags", Resources=[prod], Tags=[{"Key": "Stack", "Value": "test"}])
    assert not any(rule_calls(user, prod))
    assert not user.may("delete_security_group", GroupId=prod)
    interface = lab.ec2.create_network_interface(SubnetId=lab.subnet(vpc))["NetworkInterface"]["NetworkInterfaceId"]
    assert not user.may("modify_network_interface_attribute", NetworkInterfaceId=interface, Groups=[prod])


def test_pol_08_rules_of_one_vpc_with_their_descriptions(lab: Lab) -> None:
    mine, other = lab.vpc(), lab.vpc()
    changes = [f"ec2:{verb}SecurityGroup{side}" for verb in ("Authorize", "Revoke", "UpdateSecurityGroupRuleDescriptions")
               for side in ("Ingress", "Egress")]  # fmt: skip
    changes = [name.replace("DescriptionsSecurityGroup", "Descriptions") for name in changes]
    user = lab.user(
        statement(action=[*changes, "ec2:ModifySecurityGroupRules"], resource="arn:aws:ec2:*:*:security-group/*",
                  Condition={"ArnEquals": {"ec2:Vpc": vpc_arn(mine)}}),
        statement(action="ec2:ModifySecurityGroupRules", resource="arn:aws:ec2:*:*:security-group-rule/*"),
        statement(action=["ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeTags"]),
    )  # fmt: skip
    good, bad = lab.group(mine, "pol08"), lab.group(other, "pol08")
    lab.ec2.authorize_security_group_ingress(GroupId=good, IpPermissions=PERMISSION)
    assert user.may("update_security_group_rule_descriptions_ingress", GroupId=good, IpPermissions=PERMISSION)
    assert user.may("authorize_security_group_egress", GroupId=good, IpPermissions=PERMISSION)
    assert user.may("describe_tags")
    assert not user.may("create_security_group", GroupName="x", Description="x", VpcId=mine)
    assert not user.may("delete_security_group", GroupId=good)
    assert not any(rule_calls(user, bad))


def _image(lab: Lab) -> str:
    return str(lab.ec2.describe_images()["Images"][0]["ImageId"])


def _own_image(lab: Lab) -> str:
    """The built-in image as one of the account's own, so that it can be tagged."""
    store = lab.live.front.store
    shown = store.world.find(IMAGE, _image(lab))
    assert shown is not None
    own = replace(shown, id="ami-0123456789abcdef0", owner_id=ACCOUNT, owner_alias=None)
    store.write(lambda _world: Commit(change=put(IMAGE, own)))
    return own.id


def launch(image: str, **params: Any) -> dict[str, Any]:
    return {"ImageId": image, "MinCount": 1, "MaxCount": 1, "InstanceType": "t3.micro", **params}


def test_pol_09_launch_into_one_subnet_with_one_group(lab: Lab) -> None:
    """IAM-25."""
    vpc, image = lab.vpc(), _image(lab)
    subnet, other_subnet = lab.subnet(vpc), lab.subnet(vpc, "10.0.2.0/24")
    group, other_group = lab.group(vpc, "pol09"), lab.group(vpc, "pol09b")
    here = f"arn:aws:ec2:us-east-1:{ACCOUNT}"
    fresh = ["network-interface/*", "instance/*", "volume/*", "key-pair/*"]
    held = [f"{here}:subnet/{subnet}", f"{here}:security-group/{group}", *(f"{here}:{name}" for name in fresh)]
    # a new interface only: an existing one is `network-interface/eni-…`
    user = lab.user(
        statement(action="ec2:RunInstances", resource=["arn:aws:ec2:us-east-1::image/*", *held]),
        statement("Deny", "ec2:RunInstances", f"{here}:network-interface/eni-*"),
    )
    lab.ec2.create_key_pair(KeyName="pol09")
    assert user.may("run_instances", **launch(image, SubnetId=subnet, SecurityGroupIds=[group], KeyName="pol09"))
    assert not user.may("run_instances", **launch(image, SubnetId=other_subnet, SecurityGroupIds=[group]))
    assert not user.may("run_instances", **launch(image, SubnetId=subnet, SecurityGroupIds=[other_group]))
    assert not user.may("run_instances", **launch(image, SubnetId=subnet, SecurityGroupIds=[group, other_group]))
    assert not user.may("run_instances", **launch(image, SubnetId=subnet))  # the default group is not covered
    assert not user.may("run_instances", **launch(image, NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": other_subnet,
                                                                             "Groups": [group]}]))  # fmt: skip
    groups = lab.ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    default = next(one["GroupId"] for one in groups if one["GroupName"] == "default")
    covered = [f"{here}:security-group/{default}", "arn:aws:ec2:us-east-1::image/*", *held]
    assert lab.user(statement(action="ec2:RunInstances", resource=covered)).may(
        "run_instances", **launch(image, SubnetId=subnet)
    )
    made = lab.ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]["NetworkInterfaceId"]
    existing = [{"DeviceIndex": 0, "NetworkInterfaceId": made}]
    assert not user.may("run_instances", **launch(image, NetworkInterfaces=existing))
    assert not user.may("stop_instances", InstanceIds=["i-0123456789abcdef0"])
    assert not user.may("run_instances", **launch(image, SubnetId=subnet, SecurityGroupIds=[group],
                                                  **spec("instance", {"a": "b"})))  # fmt: skip


def test_pol_10_launch_in_one_vpc_from_tagged_images(lab: Lab) -> None:
    mine, other, image = lab.vpc(), lab.vpc(), _own_image(lab)
    rest = ["instance", "volume", "network-interface", "key-pair", "security-group"]
    user = lab.user(
        statement(action="ec2:RunInstances", resource="arn:aws:ec2:*:*:subnet/*",
                  Condition={"ArnEquals": {"ec2:Vpc": vpc_arn(mine)}}),
        statement(action="ec2:RunInstances", resource="arn:aws:ec2:*::image/ami-*", Condition=tagged("department", "dev")),
        statement(action="ec2:RunInstances", resource=[f"arn:aws:ec2:*:*:{name}/*" for name in rest]),
    )  # fmt: skip

    def may(subnet: str) -> bool:
        return user.may("run_instances", **launch(image, SubnetId=subnet))

    one, two, far = lab.subnet(mine), lab.subnet(mine, "10.0.2.0/24"), lab.subnet(other)
    assert not may(one)
    for value, expected in (("Dev", False), ("dev", True)):
        lab.ec2.create_tags(Resources=[image], Tags=[{"Key": "department", "Value": value}])
        assert [may(one), may(two), may(far)] == [expected, expected, False]


def test_pol_11_one_prefix_list(lab: Lab) -> None:
    lists = [
        lab.ec2.create_managed_prefix_list(
            PrefixListName=name, MaxEntries=2, AddressFamily="IPv4", **spec("prefix-list", {"team": name})
        )["PrefixList"]
        for name in ("mine", "other")
    ]
    verbs = ("GetManagedPrefixListAssociations", "GetManagedPrefixListEntries", "ModifyManagedPrefixList",
             "RestoreManagedPrefixListVersion")  # fmt: skip
    user = lab.user(
        statement(action=[f"ec2:{verb}" for verb in verbs], resource=lists[0]["PrefixListArn"]),
        statement(action="ec2:DescribeManagedPrefixLists"),
    )
    by_tag = lab.user(
        statement(action=[f"ec2:{verb}" for verb in (*verbs, "DeleteManagedPrefixList")], resource="*", Condition=tagged("team", "mine"))
    )  # fmt: skip
    renaming = {"StringEquals": {"ec2:Attribute": "PrefixListName"}}
    by_attribute = lab.user(statement(action="ec2:ModifyManagedPrefixList", resource="*", Condition=renaming))
    versions = {"PreviousVersion": 1, "CurrentVersion": 1}
    for made, may in zip(lists, (True, False), strict=True):
        id = made["PrefixListId"]
        for who in (user, by_tag):
            assert who.may("get_managed_prefix_list_associations", PrefixListId=id) is may
            assert who.may("get_managed_prefix_list_entries", PrefixListId=id) is may
            assert who.may("modify_managed_prefix_list", PrefixListId=id, PrefixListName="x") is may
            assert who.may("restore_managed_prefix_list_version", PrefixListId=id, **versions) is may
        assert not user.may("delete_managed_prefix_list", PrefixListId=id)
        assert by_tag.may("delete_managed_prefix_list", PrefixListId=id) is may
        assert by_attribute.may("modify_managed_prefix_list", PrefixListId=id, PrefixListName="x")
        assert not by_attribute.may("modify_managed_prefix_list", PrefixListId=id, MaxEntries=3)
    assert not user.may("get_managed_prefix_list_entries", PrefixListId="pl-0fffffffffffffff0", absent=True)
    assert user.may("describe_managed_prefix_lists")
    assert not user.may("create_managed_prefix_list", PrefixListName="x", MaxEntries=1, AddressFamily="IPv4")


def test_pol_12_13_and_18_roles_of_flow_logs_are_passed_for_what_they_watch(lab: Lab) -> None:
    """iam:AssociatedResourceARN is each thing a flow log is for, iam:PassedToService who writes the records."""
    mine, other = lab.vpc(), lab.vpc()
    role, elsewhere = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("pol18", "pol18b"))
    create = statement(action=["ec2:CreateFlowLogs", "logs:CreateLogDelivery"])

    def may(condition: dict[str, Any], *vpcs: str, type: str = "kinesis-data-firehose", passed: str = role) -> bool:
        user = lab.user(create, statement(action="iam:PassRole", resource=role, **condition))
        to = (
            {"LogGroupName": "g"}
            if type == "cloud-watch-logs"
            else {"LogDestination": "arn:aws:firehose:us-east-1:1:x/y"}
        )
        return user.may("create_flow_logs", ResourceIds=list(vpcs), ResourceType="VPC", TrafficType="ALL", absent=True,
                        LogDestinationType=type, DeliverLogsPermissionArn=passed, **to)  # fmt: skip

    def when(service: str) -> dict[str, Any]:
        return {"Condition": {"StringEquals": {"iam:PassedToService": service},
                              "StringLike": {"iam:AssociatedResourceARN": [vpc_arn(mine)]}}}  # fmt: skip

    delivery, logs = when("delivery.logs.amazonaws.com"), when("vpc-flow-logs.amazonaws.com")
    assert may(delivery, mine)
    assert not may(delivery, other)
    assert not may(delivery, mine, other)
    assert not may(delivery, mine, passed=elsewhere)
    assert not may(logs, mine)
    assert may(logs, mine, type="cloud-watch-logs")
    assert not may(delivery, mine, type="cloud-watch-logs")
    assert may({}, mine, other)


def test_pol_13_and_18_a_role_is_passed_only_where_it_may_be(lab: Lab) -> None:
    """IAM-34, at the launch: the role of the instance profile."""
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})  # fmt: skip
    for name in ("pol13a", "pol13b"):
        lab.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        lab.iam.create_instance_profile(InstanceProfileName=name)
        lab.iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    to_ec2 = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    elsewhere = {"StringEquals": {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"}}
    role = f"arn:aws:iam::{ACCOUNT}:role/pol13a"
    image, subnet = _image(lab), lab.subnet(lab.vpc())

    def may(user: User, profile: str) -> bool:
        return user.may("run_instances", **launch(image, SubnetId=subnet, IamInstanceProfile={"Name": profile}))

    run = statement(action="ec2:RunInstances")
    assert may(lab.user(run, statement(action="iam:PassRole", resource=role, Condition=to_ec2)), "pol13a")
    assert not may(lab.user(run, statement(action="iam:PassRole", resource=role, Condition=to_ec2)), "pol13b")
    assert not may(lab.user(run, statement(action="iam:PassRole", resource=role, Condition=elsewhere)), "pol13a")
    assert not may(lab.user(run), "pol13a")
    assert not may(lab.user(run, statement(action="iam:PassRole", resource=role)), "no-such-profile")


def test_pol_19_endpoints(lab: Lab) -> None:
    user = lab.user(statement(action="ec2:*VpcEndpoint*"))
    vpc = lab.vpc()
    assert user.may("create_vpc_endpoint", VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3")
    made = user.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3")["VpcEndpoint"]
    assert [row["VpcEndpointId"] for row in user.ec2.describe_vpc_endpoints()["VpcEndpoints"]] == [
        made["VpcEndpointId"]
    ]
    assert user.may("describe_vpc_endpoint_services")
    user.ec2.modify_vpc_endpoint(VpcEndpointId=made["VpcEndpointId"], ResetPolicy=True)
    assert user.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])["Unsuccessful"] == []
    assert not user.may("create_vpc", CidrBlock="10.0.0.0/16")
    assert not user.may("create_nat_gateway", SubnetId=lab.subnet(vpc))


@pytest.mark.parametrize(
    ("key", "value", "good", "bad"),
    [("ec2:VpceServiceOwner", "amazon", "com.amazonaws.us-east-1.s3", "com.example.vpce.svc"),
     ("ec2:VpceServiceName", "com.amazonaws.us-east-1.s3", "com.amazonaws.us-east-1.s3",
      "com.amazonaws.us-east-1.dynamodb")],
)  # fmt: skip
def test_pol_20_and_21_endpoints_of_one_service(lab: Lab, key: str, value: str, good: str, bad: str) -> None:
    user = lab.user(
        statement(action="ec2:CreateVpcEndpoint", resource="arn:aws:ec2:*:*:vpc-endpoint/*",
                  Condition={"StringEquals": {key: value}}),
        statement(action="ec2:CreateVpcEndpoint", resource="arn:aws:ec2:*:*:vpc/*"),
    )  # fmt: skip
    vpc = lab.vpc()
    assert user.may("create_vpc_endpoint", VpcId=vpc, ServiceName=good)
    assert not user.may("create_vpc_endpoint", VpcId=vpc, ServiceName=bad)


def test_pol_22_endpoint_services_of_one_private_name(lab: Lab) -> None:
    user = lab.user(statement(action="ec2:CreateVpcEndpointServiceConfiguration",
                              Condition={"StringEquals": {"ec2:VpceServicePrivateDnsName": "example.com"}}))  # fmt: skip
    assert user.may("create_vpc_endpoint_service_configuration", PrivateDnsName="example.com")
    assert not user.may("create_vpc_endpoint_service_configuration", PrivateDnsName="example.org")


@pytest.mark.parametrize("key", ["aws:RequestedRegion", "ec2:Region"])
def test_pol_27_regions(lab: Lab, key: str) -> None:
    guard = {"StringNotEquals": {key: ["us-east-1", "eu-west-1"]}}
    user = lab.user(statement(action="*"), statement("Deny", "*", Condition=guard))
    assert user.may("describe_vpcs")
    assert user.may("describe_vpcs", user.at("eu-west-1"))
    assert not user.may("describe_vpcs", user.at("eu-west-2"))


def test_pol_28_without_a_second_factor(lab: Lab) -> None:
    """The cell of the long-term key; that of a session with MFA is asked of the evaluator in test_pol_evaluator.py."""
    guard = {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}
    user = lab.user(statement(action="ec2:*"), statement("Deny", "ec2:Delete*", Condition=guard))
    vpc = lab.vpc()
    assert user.may("describe_vpcs")
    assert not user.may("delete_vpc", VpcId=vpc)
    lab.ec2.delete_vpc(VpcId=vpc)


def test_pol_30_block_public_access_guard(lab: Lab) -> None:
    guard = statement("Deny", "ec2:ModifyVpcBlockPublicAccess*", Condition={
        "ArnNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:user/bpa-admin"}})  # fmt: skip
    full = statement(action="*")
    admin, other = lab.user(full, guard, name="bpa-admin"), lab.user(full, guard)
    assert admin.may("modify_vpc_block_public_access_options", InternetGatewayBlockMode="off")
    assert not other.may("modify_vpc_block_public_access_options", InternetGatewayBlockMode="off")
    assert other.may("describe_vpcs")
