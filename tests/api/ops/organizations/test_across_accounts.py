"""Across accounts: roles (both sides must allow, IAM-09), resource control policies on them, group references (SG-52, SG-54),
and nothing of another account's is seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.model.accounts import SHAREABLE, shared_with
from ringfence.model.kinds import SUBNET
from tests.api.ops.organizations.estate import (
    ACCOUNT,
    EVERYTHING,
    OTHER_ACCOUNT,
    OTHER_KEY,
    Estate,
    code,
    deny,
    policy,
)

RCP = "RESOURCE_CONTROL_POLICY"
ASSUME = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}


@pytest.fixture
def estate() -> Estate:
    return Estate()


def _access_role(account: str) -> str:
    return f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole"


def _session(estate: Estate, who: dict[str, str], role: str) -> dict[str, str]:
    given = estate.front.client("sts", **who).assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    return {"key": given["AccessKeyId"], "secret": given["SecretAccessKey"], "token": given["SessionToken"]}


def _assumes(estate: Estate, who: dict[str, str], role: str) -> str:
    return code(estate.front.client("sts", **who).assume_role, RoleArn=role, RoleSessionName="session")


def test_the_management_account_works_in_a_member(estate: Estate) -> None:
    account = estate.account()
    boss = estate.user_of({"key": "AKIDROOT"}, "boss", [ASSUME])
    worker = _session(estate, boss, _access_role(account))
    assert estate.front.client("sts", **worker).get_caller_identity()["Account"] == account
    vpc = estate.ec2(worker).create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    assert vpc["OwnerId"] == account
    estate.attach(deny("ec2:*"), account)  # the session is a principal of the member
    assert code(estate.ec2(worker).describe_vpcs) == "UnauthorizedOperation"
    assert code(estate.ec2({"key": "AKIDROOT"}).describe_vpcs) == "ok"


@pytest.mark.parametrize(
    ("statements", "trusted", "expected"),
    [
        ([ASSUME], ACCOUNT, "ok"),
        ([{**ASSUME, "Action": "sts:TagSession"}], ACCOUNT, "AccessDenied"),  # the caller's account does not allow
        ([ASSUME], OTHER_ACCOUNT, "AccessDenied"),  # the role's account does not trust
    ],
)
def test_both_sides_must_allow(estate: Estate, statements: list[Any], trusted: str, expected: str) -> None:
    iam = estate.front.client("iam", key=OTHER_KEY)
    trust = {"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="app", AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    who = estate.user_of({"key": "AKIDROOT"}, "boss", statements)
    assert _assumes(estate, who, role) == expected


def test_resource_control_policies_bind_on_roles_of_members(estate: Estate) -> None:
    account = estate.account()
    boss, outsider = (estate.user_of({"key": key}, "boss", [EVERYTHING]) for key in ("AKIDROOT", OTHER_KEY))
    iam = estate.front.client("iam", **estate.root_of(account))
    trust = {"Effect": "Allow", "Principal": {"AWS": [ACCOUNT, OTHER_ACCOUNT]}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="app", AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    assert [_assumes(estate, who, role) for who in (boss, outsider)] == ["ok", "ok"]
    estate.org.enable_policy_type(RootId=estate.root, PolicyType=RCP)
    ours = {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": estate.id}}
    fence = deny("sts:AssumeRole", Principal="*", Condition=ours)
    held = estate.attach(fence, estate.root, "only us", RCP)
    assert [_assumes(estate, who, role) for who in (boss, outsider)] == ["ok", "AccessDenied"]
    estate.org.detach_policy(PolicyId=held, TargetId=estate.root)
    assert _assumes(estate, outsider, role) == "ok"


def test_resource_control_policies_bind_on_nothing_of_the_management_account(estate: Estate) -> None:
    outsider = estate.user_of({"key": OTHER_KEY}, "out", [EVERYTHING])
    iam = estate.front.client("iam")
    trust = {"Effect": "Allow", "Principal": {"AWS": OTHER_ACCOUNT}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="app", AssumeRolePolicyDocument=policy(trust))["Role"]["Arn"]
    estate.org.enable_policy_type(RootId=estate.root, PolicyType=RCP)
    estate.attach(deny("sts:AssumeRole", Principal="*"), estate.root, "nobody", RCP)
    assert _assumes(estate, outsider, role) == "ok"


def test_resource_control_policies_leave_other_services_alone(estate: Estate) -> None:
    """AWS Organizations User Guide, "Resource control policies": the services they support; EC2 is none."""
    account = estate.account()
    root = estate.root_of(account)
    estate.org.enable_policy_type(RootId=estate.root, PolicyType=RCP)
    estate.attach(deny("*", Principal="*"), account, "nothing", RCP)
    assert code(estate.ec2(root).describe_vpcs) == "ok"


def test_the_sessions_of_a_closed_account_end(estate: Estate) -> None:
    account = estate.account()
    boss = estate.user_of({"key": "AKIDROOT"}, "boss", [ASSUME])
    worker = _session(estate, boss, _access_role(account))
    estate.org.close_account(AccountId=account)
    assert code(estate.ec2(worker).describe_vpcs) == "AuthFailure"
    assert _assumes(estate, boss, _access_role(account)) == "AccessDenied"


def test_a_group_of_another_account_needs_a_peering(estate: Estate) -> None:
    mine, theirs = estate.ec2({"key": "AKIDROOT"}), estate.ec2({"key": OTHER_KEY})
    here = mine.create_security_group(GroupName="web", Description="d")["GroupId"]
    there = theirs.create_security_group(GroupName="web", Description="d")["GroupId"]
    pair: dict[str, Any] = {"UserId": OTHER_ACCOUNT, "GroupId": there}
    for extra, expected in (
        ({}, "InvalidGroup.NotFound"),
        ({"VpcPeeringConnectionId": "pcx-0123456789abcdef0"}, "InvalidVpcPeeringConnectionID.NotFound"),
    ):
        rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{**pair, **extra}]}
        assert code(mine.authorize_security_group_ingress, GroupId=here, IpPermissions=[rule]) == expected


def test_nothing_of_another_account_is_seen(estate: Estate) -> None:
    mine, theirs = estate.ec2({"key": "AKIDROOT"}), estate.ec2({"key": OTHER_KEY})
    subnet = theirs.describe_subnets()["Subnets"][0]["SubnetId"]
    with pytest.raises(ClientError, match=r"InvalidSubnetID\.NotFound"):
        mine.describe_subnets(SubnetIds=[subnet])
    with pytest.raises(ClientError, match=r"InvalidSubnetID\.NotFound"):
        mine.create_network_interface(SubnetId=subnet)
    world = estate.front.store.world
    row = world.find(SUBNET, subnet)
    assert row is not None
    assert SUBNET.noun not in SHAREABLE
    assert not shared_with(world, SUBNET, row, ACCOUNT)


def test_trust_of_the_access_role_names_the_management_account(estate: Estate) -> None:
    account = estate.account()
    iam = estate.front.client("iam", **estate.root_of(account))
    role = iam.get_role(RoleName="OrganizationAccountAccessRole")["Role"]
    assert json.dumps(role["AssumeRolePolicyDocument"]).count(ACCOUNT) == 1
    outsider = estate.user_of({"key": OTHER_KEY}, "out", [EVERYTHING])
    assert _assumes(estate, outsider, role["Arn"]) == "AccessDenied"
