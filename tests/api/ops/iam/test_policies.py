"""Managed policies, versions, attachments, inline policies, boundaries, roles and instance profiles."""

from __future__ import annotations

import json

import pytest

from ringfence.identity.aws_managed import aws_managed
from tests.api.ops.iam.lab import ACCOUNT, ALLOW, READ_ONLY, TRUST, Lab

#: text that must come back to the letter, whatever is in it
AWKWARD = ALLOW[:-1] + ', "Id": "ü + % & é / ~ \\u0041"}\n'


def test_awss_policies_are_there_and_read_only(lab: Lab) -> None:
    """IAM-39."""
    listed = lab.iam.get_paginator("list_policies").paginate(Scope="AWS")
    names = {policy["PolicyName"] for page in listed for policy in page["Policies"]}
    assert names == {policy.name for policy in aws_managed().values()}
    wanted = ["AmazonVPCFullAccess", "AmazonVPCReadOnlyAccess", "AmazonVPCCrossAccountNetworkInterfaceOperations"]
    assert names >= {*wanted, "AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "SecurityAudit", "AWSDenyAll"}
    actions: dict[str, set[str]] = {}
    for name in wanted:
        policy = lab.iam.get_policy(PolicyArn=f"arn:aws:iam::aws:policy/{name}")["Policy"]
        about = {"PolicyArn": policy["Arn"], "VersionId": policy["DefaultVersionId"]}
        document = lab.iam.get_policy_version(**about)["PolicyVersion"]["Document"]
        actions[name] = {action for s in document["Statement"] for action in s["Action"]}
    assert "ec2:ModifySecurityGroupRules" in actions["AmazonVPCFullAccess"]
    assert "ec2:DescribeSecurityGroupRules" in actions["AmazonVPCReadOnlyAccess"]
    arn = f"arn:aws:iam::aws:policy/{wanted[0]}"
    assert lab.refused("delete_policy", PolicyArn=arn)[:2] == ("AccessDenied", 403)
    assert lab.refused("create_policy_version", PolicyArn=arn, PolicyDocument=ALLOW)[0] == "AccessDenied"
    assert lab.refused("tag_policy", PolicyArn=arn, Tags=[{"Key": "a", "Value": "b"}])[0] == "AccessDenied"
    assert lab.iam.list_policy_tags(PolicyArn=arn)["Tags"] == []


def test_the_long_policies_are_whole() -> None:
    """ReadOnlyAccess and the like have AWS's published size, and every document is JSON of the known grammar."""
    sizes = {policy.name: len(policy.text) for policy in aws_managed().values()}
    assert sizes["ReadOnlyAccess"] > 50_000
    for policy in aws_managed().values():
        assert json.loads(policy.text)["Version"] == "2012-10-17", policy.name


def test_a_policy_reads_back_to_the_letter(lab: Lab) -> None:
    made = lab.iam.create_policy(
        PolicyName="look", Path="/p/", PolicyDocument=AWKWARD, Description="d é", Tags=[{"Key": "a", "Value": "b"}]
    )["Policy"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:policy/p/look"
    shown = lab.iam.get_policy(PolicyArn=made["Arn"])["Policy"]
    assert shown == made | {"Description": "d é"}
    assert (shown["Description"], shown["Tags"]) == ("d é", [{"Key": "a", "Value": "b"}])
    version = lab.iam.get_policy_version(PolicyArn=made["Arn"], VersionId="v1")["PolicyVersion"]
    assert version["Document"] == json.loads(AWKWARD)


def test_what_is_shown_where(lab: Lab) -> None:
    """As recorded from AWS: CreatePolicy never shows the description, GetPolicy always has Tags, lists have neither."""
    made = lab.iam.create_policy(PolicyName="look", PolicyDocument=ALLOW, Description="d")["Policy"]
    assert not {"Description", "Tags"} & made.keys()
    assert lab.iam.get_policy(PolicyArn=made["Arn"])["Policy"]["Tags"] == []
    assert not {"Description", "Tags"} & lab.iam.list_policies(Scope="Local")["Policies"][0].keys()


def test_documents_are_url_encoded_on_the_wire(lab: Lab) -> None:
    """What clients decode must be the text that was given, to the letter: Terraform compares it."""
    from urllib.parse import unquote

    from tests.api.front import Answer

    lab.user("ann")
    lab.iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=AWKWARD)
    answer: Answer = lab.front.ask({"Action": "GetUserPolicy", "UserName": "ann", "PolicyName": "p"}, service="iam")
    text = answer.response.body.decode().partition("<PolicyDocument>")[2].partition("</PolicyDocument>")[0]
    assert unquote(text) == AWKWARD
    assert "+" not in text
    assert " " not in text


def test_versions(lab: Lab) -> None:
    arn = lab.policy()
    for n in range(2, 6):
        made = lab.iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW, SetAsDefault=n == 3)
        assert made["PolicyVersion"]["VersionId"] == f"v{n}"
        assert made["PolicyVersion"]["IsDefaultVersion"] is (n == 3)
    assert lab.refused("create_policy_version", PolicyArn=arn, PolicyDocument=ALLOW)[:2] == ("LimitExceeded", 409)
    assert lab.refused("delete_policy_version", PolicyArn=arn, VersionId="v3")[:2] == ("DeleteConflict", 409)
    assert lab.refused("delete_policy", PolicyArn=arn)[0] == "DeleteConflict"
    lab.iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert lab.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    lab.iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    again = lab.iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW)["PolicyVersion"]
    assert again["VersionId"] == "v6"
    listed = [version["VersionId"] for version in lab.iam.list_policy_versions(PolicyArn=arn)["Versions"]]
    assert listed == ["v6", "v5", "v4", "v2", "v1"]
    assert lab.refused("get_policy_version", PolicyArn=arn, VersionId="v3")[:2] == ("NoSuchEntity", 404)
    assert lab.refused("set_default_policy_version", PolicyArn=arn, VersionId="latest")[0] == "ValidationError"


@pytest.mark.parametrize("noun", ["User", "Group", "Role"])
def test_attaching(lab: Lab, noun: str) -> None:
    """The same for every sort: idempotent, counted, listed both ways, detached once."""
    who = {f"{noun}Name": "it"}
    lower = noun.lower()
    lab.user("it")
    lab.iam.create_group(GroupName="it")
    lab.role("it")
    arn = lab.policy()
    for _ in range(2):
        getattr(lab.iam, f"attach_{lower}_policy")(**who, PolicyArn=arn)
    getattr(lab.iam, f"attach_{lower}_policy")(**who, PolicyArn=READ_ONLY)
    listed = getattr(lab.iam, f"list_attached_{lower}_policies")(**who)["AttachedPolicies"]
    assert [policy["PolicyArn"] for policy in listed] == [arn, READ_ONLY]
    assert lab.iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    entities = lab.iam.list_entities_for_policy(PolicyArn=arn)
    assert [entity[f"{noun}Name"] for entity in entities[f"Policy{noun}s"]] == ["it"]
    assert sum(len(entities[f"Policy{n}s"]) for n in ("User", "Group", "Role")) == 1
    assert lab.refused("delete_policy", PolicyArn=arn)[:2] == ("DeleteConflict", 409)
    gone = f"arn:aws:iam::{ACCOUNT}:policy/gone"
    missing = f"Policy {gone} does not exist or is not attachable."
    assert lab.refused(f"attach_{lower}_policy", **who, PolicyArn=gone) == ("NoSuchEntity", 404, missing)
    for n in range(8):
        getattr(lab.iam, f"attach_{lower}_policy")(**who, PolicyArn=lab.policy(f"p{n}"))
    code, _, message = lab.refused(f"attach_{lower}_policy", **who, PolicyArn=lab.policy("p8"))
    assert (code, message) == ("LimitExceeded", f"Cannot exceed quota for PoliciesPer{noun}: 10")
    getattr(lab.iam, f"detach_{lower}_policy")(**who, PolicyArn=arn)
    assert lab.refused(f"detach_{lower}_policy", **who, PolicyArn=arn)[0] == "NoSuchEntity"
    lab.iam.delete_policy(PolicyArn=arn)


@pytest.mark.parametrize("noun", ["User", "Group", "Role"])
def test_inline_policies(lab: Lab, noun: str) -> None:
    who, lower = {f"{noun}Name": "it"}, noun.lower()
    lab.user("it")
    lab.iam.create_group(GroupName="it")
    lab.role("it")
    put, get = getattr(lab.iam, f"put_{lower}_policy"), getattr(lab.iam, f"get_{lower}_policy")
    put(**who, PolicyName="b", PolicyDocument=ALLOW)
    put(**who, PolicyName="a", PolicyDocument=ALLOW)
    put(**who, PolicyName="b", PolicyDocument=AWKWARD)
    assert get(**who, PolicyName="b")["PolicyDocument"] == json.loads(AWKWARD)
    assert getattr(lab.iam, f"list_{lower}_policies")(**who)["PolicyNames"] == ["a", "b"]
    assert lab.refused(f"put_{lower}_policy", **who, PolicyName="c", PolicyDocument="{")[0] == "MalformedPolicyDocument"
    limit = {"user": 2048, "group": 5120, "role": 10240}[lower]
    sid = "s" * limit
    large = ALLOW.replace('"Effect"', f'"Sid": "{sid}", "Effect"')
    code, status, message = lab.refused(f"put_{lower}_policy", **who, PolicyName="c", PolicyDocument=large)
    assert (code, status) == ("LimitExceeded", 409)
    assert message == f"Maximum policy size of {limit} bytes exceeded for {lower} it"
    getattr(lab.iam, f"delete_{lower}_policy")(**who, PolicyName="a")
    missing = f"The {lower} policy with name a cannot be found."
    assert lab.refused(f"get_{lower}_policy", **who, PolicyName="a") == ("NoSuchEntity", 404, missing)
    assert lab.refused(f"delete_{lower}", **who)[0] == "DeleteConflict"


@pytest.mark.parametrize("noun", ["user", "role"])
def test_boundaries(lab: Lab, noun: str) -> None:
    """IAM-17: set, shown, counted, taken away."""
    who = {f"{noun.title()}Name": getattr(lab, noun)("it")}
    arn = lab.policy()
    getattr(lab.iam, f"put_{noun}_permissions_boundary")(**who, PermissionsBoundary=arn)
    shown = getattr(lab.iam, f"get_{noun}")(**who)[noun.title()]["PermissionsBoundary"]
    assert shown["PermissionsBoundaryArn"] == arn
    assert lab.iam.get_policy(PolicyArn=arn)["Policy"]["PermissionsBoundaryUsageCount"] == 1
    listed = lab.iam.list_policies(Scope="Local", PolicyUsageFilter="PermissionsBoundary")["Policies"]
    assert [policy["Arn"] for policy in listed] == [arn]
    assert lab.iam.list_policies(Scope="Local", PolicyUsageFilter="PermissionsPolicy")["Policies"] == []
    assert lab.refused("delete_policy", PolicyArn=arn)[0] == "DeleteConflict"
    getattr(lab.iam, f"delete_{noun}_permissions_boundary")(**who)
    assert lab.refused(f"delete_{noun}_permissions_boundary", **who)[0] == "NoSuchEntity"
    lab.iam.delete_policy(PolicyArn=arn)


def test_a_role_reads_back_as_written(lab: Lab) -> None:
    made = lab.iam.create_role(
        RoleName="runner", Path="/svc/", AssumeRolePolicyDocument=TRUST, Description="d", MaxSessionDuration=7200,
        Tags=[{"Key": "a", "Value": "b"}], PermissionsBoundary=READ_ONLY,
    )["Role"]  # fmt: skip
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/svc/runner"
    assert made["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert lab.iam.get_role(RoleName="runner")["Role"] == made | {"RoleLastUsed": {}}
    lab.iam.update_role(RoleName="runner", Description="", MaxSessionDuration=3600)
    after = lab.iam.get_role(RoleName="runner")["Role"]
    assert (after["Description"], after["MaxSessionDuration"]) == ("", 3600)
    lab.iam.update_role(RoleName="runner", MaxSessionDuration=4000)
    assert lab.iam.get_role(RoleName="runner")["Role"]["Description"] == ""
    other = TRUST.replace("ec2", "vpc-flow-logs")
    lab.iam.update_assume_role_policy(RoleName="runner", PolicyDocument=other)
    assert lab.iam.get_role(RoleName="runner")["Role"]["AssumeRolePolicyDocument"] == json.loads(other)
    assert lab.refused("update_role", RoleName="runner", MaxSessionDuration=43201)[0] == "ValidationError"
    large = TRUST.replace('"Effect"', f'"Sid": "{"s" * 2048}", "Effect"')
    code, _, message = lab.refused("update_assume_role_policy", RoleName="runner", PolicyDocument=large)
    assert (code, message) == ("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")


def test_instance_profiles(lab: Lab) -> None:
    """IAM-11: one role each."""
    lab.role("one")
    lab.role("two")
    made = lab.iam.create_instance_profile(InstanceProfileName="web", Path="/p/", Tags=[{"Key": "a", "Value": "b"}])
    assert made["InstanceProfile"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:instance-profile/p/web"
    assert made["InstanceProfile"]["Roles"] == []
    lab.iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="one")
    code, status, message = lab.refused("add_role_to_instance_profile", InstanceProfileName="web", RoleName="two")
    assert (code, status) == ("LimitExceeded", 409)
    assert message == "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"
    shown = lab.iam.get_instance_profile(InstanceProfileName="web")["InstanceProfile"]
    assert [role["RoleName"] for role in shown["Roles"]] == ["one"]
    assert shown["Tags"] == [{"Key": "a", "Value": "b"}]
    listed = lab.iam.list_instance_profiles_for_role(RoleName="one")["InstanceProfiles"]
    assert [profile["InstanceProfileName"] for profile in listed] == ["web"]
    for method, params in (
        ("delete_role", {"RoleName": "one"}),
        ("delete_instance_profile", {"InstanceProfileName": "web"}),
    ):
        assert (
            lab.refused(method, **params)[2] == "Cannot delete entity, must remove roles from instance profile first."
        )
    lab.iam.remove_role_from_instance_profile(InstanceProfileName="web", RoleName="one")
    lab.iam.delete_instance_profile(InstanceProfileName="web")
    lab.iam.delete_role(RoleName="one")
    missing = ("NoSuchEntity", 404, "Instance Profile web cannot be found.")
    assert lab.refused("get_instance_profile", InstanceProfileName="web") == missing
