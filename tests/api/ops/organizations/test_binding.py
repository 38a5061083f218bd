"""Service and resource control policies bind over the wire, at EC2's and STS's doors (IAM-18; POL).

AWS Organizations User Guide: "SCP evaluation", "SCP effects on permissions".
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from ringfence.identity.organization import organization_levels
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

ONLY_READS = policy({"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"})
CREATE: dict[str, Any] = {"CidrBlock": "10.0.0.0/16"}


@pytest.fixture
def estate() -> Estate:
    return Estate()


def test_a_member_is_bound_root_and_users_alike(estate: Estate) -> None:
    account = estate.account()
    root = estate.root_of(account)
    user = estate.user_of(root)
    for who in (root, user):
        assert code(estate.ec2(who).create_vpc, **CREATE) == "ok"
    held = estate.attach(deny("ec2:CreateVpc"), account)
    for who in (root, user):
        assert code(estate.ec2(who).create_vpc, **CREATE) == "UnauthorizedOperation"
        assert code(estate.ec2(who).describe_vpcs) == "ok"
    estate.org.detach_policy(PolicyId=held, TargetId=account)
    for who in (root, user):  # effective at the next call
        assert code(estate.ec2(who).create_vpc, **CREATE) == "ok"


def test_the_refusal_names_the_kind_of_policy(estate: Estate) -> None:
    account = estate.account()
    root = estate.root_of(account)
    estate.attach(deny("ec2:CreateVpc"), account)
    with pytest.raises(Exception, match="with an explicit deny in a service control policy"):
        estate.ec2(root).create_vpc(**CREATE)
    estate.org.detach_policy(PolicyId=estate.attach(ONLY_READS, account, "reads"), TargetId=account)
    estate.attach(ONLY_READS, account, "reads again")
    estate.org.detach_policy(PolicyId="p-FullAWSAccess", TargetId=account)
    with pytest.raises(Exception, match="because no service control policy allows the ec2:CreateSubnet action"):
        estate.ec2(root).create_subnet(VpcId="vpc-12345678", CidrBlock="10.0.0.0/24")


def test_the_management_account_is_not_bound(estate: Estate) -> None:
    management = estate.user_of({"key": "AKIDROOT"})
    estate.attach(deny("*"), estate.root)
    estate.attach(deny("*"), ACCOUNT, "again")
    for who in ({"key": "AKIDROOT"}, management):
        assert code(estate.ec2(who).create_vpc, **CREATE) == "ok"


def test_service_control_policies_grant_nothing(estate: Estate) -> None:
    root = estate.root_of(estate.account())
    user = estate.user_of(root, statements=[{"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*"}])
    assert code(estate.ec2(user).describe_vpcs) == "ok"
    assert code(estate.ec2(user).create_vpc, **CREATE) == "UnauthorizedOperation"


def test_every_level_must_allow(estate: Estate) -> None:
    account = estate.account()
    root = estate.root_of(account)
    unit = estate.unit("one")
    estate.org.move_account(AccountId=account, SourceParentId=estate.root, DestinationParentId=unit)
    for target in (estate.root, unit, account):
        held = estate.attach(ONLY_READS, target, f"reads {target}")
        estate.org.detach_policy(PolicyId="p-FullAWSAccess", TargetId=target)
        assert code(estate.ec2(root).create_vpc, **CREATE) == "UnauthorizedOperation", target
        assert code(estate.ec2(root).describe_vpcs) == "ok", target
        estate.org.attach_policy(PolicyId="p-FullAWSAccess", TargetId=target)
        estate.org.detach_policy(PolicyId=held, TargetId=target)
        assert code(estate.ec2(root).create_vpc, **CREATE) == "ok", target


def test_what_hangs_on_a_unit_follows_the_account(estate: Estate) -> None:
    account = estate.account()
    root = estate.root_of(account)
    unit = estate.unit("quarantine")
    inner = estate.unit("inner", unit)
    estate.attach(deny("ec2:*"), unit)
    assert code(estate.ec2(root).describe_vpcs) == "ok"
    estate.org.move_account(AccountId=account, SourceParentId=estate.root, DestinationParentId=inner)
    assert code(estate.ec2(root).describe_vpcs) == "UnauthorizedOperation"
    estate.org.move_account(AccountId=account, SourceParentId=inner, DestinationParentId=estate.root)
    assert code(estate.ec2(root).describe_vpcs) == "ok"


def test_conditions_of_service_control_policies(estate: Estate) -> None:
    """The usual Region fence; aws:PrincipalOrgID is there for members."""
    account = estate.account()
    root = estate.root_of(account)
    fence = {"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}, "StringEquals": {"aws:PrincipalOrgID": estate.id}}
    estate.attach(deny("ec2:*", Condition=fence), estate.root)
    assert code(estate.ec2(root).describe_vpcs) == "ok"
    assert code(estate.front.client("ec2", region="eu-west-1", **root).describe_vpcs) == "UnauthorizedOperation"


def test_the_path_of_the_caller_is_a_condition_key(estate: Estate) -> None:
    """aws:PrincipalOrgPaths has several values, so that it is asked with a set operator."""
    account, unit = estate.account(), estate.unit("one")
    root = estate.root_of(account)
    inside = {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": f"{estate.id}/{estate.root}/{unit}/*"}}
    estate.attach(deny("ec2:*", Condition=inside), estate.root)
    assert code(estate.ec2(root).describe_vpcs) == "ok"
    estate.org.move_account(AccountId=account, SourceParentId=estate.root, DestinationParentId=unit)
    assert code(estate.ec2(root).describe_vpcs) == "UnauthorizedOperation"


def test_an_update_binds_at_once_and_a_disabled_type_binds_nobody(estate: Estate) -> None:
    account = estate.account()
    root = estate.root_of(account)
    held = estate.attach(deny("s3:*"), account)
    assert code(estate.ec2(root).describe_vpcs) == "ok"
    estate.org.update_policy(PolicyId=held, Content=deny("ec2:DescribeVpcs"))
    assert code(estate.ec2(root).describe_vpcs) == "UnauthorizedOperation"
    estate.org.disable_policy_type(RootId=estate.root, PolicyType="SERVICE_CONTROL_POLICY")
    assert code(estate.ec2(root).describe_vpcs) == "ok"


def test_invited_accounts_are_bound_and_free_again(estate: Estate) -> None:
    outside = estate.user_of({"key": OTHER_KEY})
    estate.attach(deny("ec2:CreateVpc"), estate.root)
    assert code(estate.ec2(outside).create_vpc, **CREATE) == "ok"
    estate.other.accept_handshake(HandshakeId=estate.invite())
    for who in (outside, {"key": OTHER_KEY}):
        assert code(estate.ec2(who).create_vpc, **CREATE) == "UnauthorizedOperation"
    estate.org.remove_account_from_organization(AccountId=OTHER_ACCOUNT)
    assert code(estate.ec2(outside).create_vpc, **CREATE) == "ok"


def test_dry_runs_tell_the_truth(estate: Estate) -> None:
    account = estate.account()
    root = estate.root_of(account)
    assert code(estate.ec2(root).create_vpc, DryRun=True, **CREATE) == "DryRunOperation"
    estate.attach(deny("ec2:CreateVpc"), account)
    assert code(estate.ec2(root).create_vpc, DryRun=True, **CREATE) == "UnauthorizedOperation"


def test_policies_that_cannot_be_found_deny(estate: Estate) -> None:
    account = estate.account()
    root = estate.root_of(account)
    held = estate.attach(ONLY_READS, account)
    estate.org.detach_policy(PolicyId="p-FullAWSAccess", TargetId=account)
    from ringfence.model.kinds import ORGANIZATION_POLICY
    from ringfence.model.world import delete
    from ringfence.store.store import Commit

    estate.front.store.write(lambda world: Commit(change=delete(ORGANIZATION_POLICY, held)))
    assert code(estate.ec2(root).describe_vpcs) == "UnauthorizedOperation"


def test_organizations_itself_asks_policies(estate: Estate) -> None:
    """A user of the management account needs permission, by resource and policy type."""
    only = {"Effect": "Allow", "Action": "organizations:*", "Resource": f"arn:aws:organizations::{ACCOUNT}:ou/*"}
    scp = {"Effect": "Allow", "Action": "organizations:CreatePolicy", "Resource": "*",
           "Condition": {"StringEquals": {"organizations:PolicyType": "SERVICE_CONTROL_POLICY"}}}  # fmt: skip
    org = estate.front.client("organizations", **estate.user_of({"key": "AKIDROOT"}, statements=[only, scp]))
    unit = estate.unit("one")
    assert code(org.create_organizational_unit, ParentId=unit, Name="two") == "ok"
    assert code(org.create_organizational_unit, ParentId=estate.root, Name="two") == "AccessDeniedException"
    assert code(org.describe_organization) == "AccessDeniedException"
    given = {"Description": "", "Name": "x", "Content": policy(EVERYTHING)}
    assert code(org.create_policy, Type="SERVICE_CONTROL_POLICY", **given) == "ok"
    assert code(org.create_policy, Type="RESOURCE_CONTROL_POLICY", **given) == "AccessDeniedException"


def test_levels_are_those_of_the_tree() -> None:
    """Random trees: the levels of an account are the policies of its path, from the root down."""
    chance = random.Random(18)
    estate = Estate()
    places = [estate.root]
    for number in range(8):
        above = chance.choice([one for one in places if len(_path(estate, one)) < 5])
        places.append(estate.unit(f"unit {number}", above))
    accounts = [estate.account(f"a{n}") for n in range(3)]
    texts = [estate.policy(deny(f"ec2:{n}"), f"policy {n}") for n in range(4)]
    for _ in range(30):
        account, target = chance.choice(accounts), chance.choice([*places, *accounts])
        code(estate.org.attach_policy, PolicyId=chance.choice(texts), TargetId=target)
        here = estate.org.list_parents(ChildId=account)["Parents"][0]["Id"]
        code(estate.org.move_account, AccountId=account, SourceParentId=here, DestinationParentId=chance.choice(places))
    for account in accounts:
        levels = organization_levels(estate.front.store.world, account).service_control
        expected = [_attached(estate, place) for place in _path(estate, account)]
        assert [[policy.name for policy in level] for level in levels] == expected


def _path(estate: Estate, id: str) -> list[str]:
    if id == estate.root:
        return [id]
    return [*_path(estate, estate.org.list_parents(ChildId=id)["Parents"][0]["Id"]), id]


def _attached(estate: Estate, id: str) -> list[str]:
    shown = estate.org.list_policies_for_target(TargetId=id, Filter="SERVICE_CONTROL_POLICY")["Policies"]
    return [one["Id"] for one in shown]
