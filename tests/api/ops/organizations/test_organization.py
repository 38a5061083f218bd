"""Organizations' operations over the wire, as boto3 sees them (AWS Organizations API Reference)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ringfence.model.kinds import ACCOUNT as ACCOUNT_KIND
from ringfence.model.kinds import HANDSHAKE
from tests.api.front import Front
from tests.api.ops.organizations.estate import (
    ACCOUNT,
    OTHER_ACCOUNT,
    Estate,
    code,
    deny,
    fault_of,
    policy,
)

ALLOW = policy({"Effect": "Allow", "Action": "*", "Resource": "*"})


@pytest.fixture
def estate() -> Estate:
    return Estate()


def test_before_there_is_one() -> None:
    org = Front().client("organizations")
    for call in (org.describe_organization, org.list_roots, org.list_accounts, org.leave_organization):
        assert code(call) == "AWSOrganizationsNotInUseException"


def test_an_organization_and_its_end(estate: Estate) -> None:
    shown = estate.org.describe_organization()["Organization"]
    assert (shown["MasterAccountId"], shown["FeatureSet"]) == (ACCOUNT, "ALL")
    assert shown["Arn"] == f"arn:aws:organizations::{ACCOUNT}:organization/{estate.id}"
    root = estate.org.list_roots()["Roots"][0]
    assert root["PolicyTypes"] == [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}]
    assert code(estate.org.create_organization) == "AlreadyInOrganizationException"
    unit = estate.unit("one")
    assert code(estate.org.delete_organization) == "OrganizationNotEmptyException"
    estate.org.delete_organizational_unit(OrganizationalUnitId=unit)
    estate.policy(ALLOW)
    estate.org.delete_organization()
    assert code(estate.org.describe_organization) == "AWSOrganizationsNotInUseException"
    assert estate.org.create_organization()["Organization"]["Id"] != estate.id


def test_created_accounts_have_the_access_role(estate: Estate) -> None:
    status = estate.org.create_account(Email="dev@example.com", AccountName="dev", Tags=[{"Key": "a", "Value": "b"}])
    made = status["CreateAccountStatus"]
    assert made["State"] == "SUCCEEDED"
    assert estate.org.describe_create_account_status(CreateAccountRequestId=made["Id"])["CreateAccountStatus"] == made
    shown = estate.org.describe_account(AccountId=made["AccountId"])["Account"]
    assert (shown["Name"], shown["Email"], shown["Status"], shown["JoinedMethod"]) == (
        "dev", "dev@example.com", "ACTIVE", "CREATED",
    )  # fmt: skip
    assert shown["Paths"] == [f"{estate.id}/{estate.root}/{made['AccountId']}/"]
    assert [one["Id"] for one in estate.org.list_accounts()["Accounts"]] == [ACCOUNT, made["AccountId"]]
    assert estate.org.list_tags_for_resource(ResourceId=made["AccountId"])["Tags"] == [{"Key": "a", "Value": "b"}]
    iam = estate.front.client("iam", **estate.root_of(made["AccountId"]))
    role = iam.get_role(RoleName="OrganizationAccountAccessRole")["Role"]
    assert role["Arn"] == f"arn:aws:iam::{made['AccountId']}:role/OrganizationAccountAccessRole"
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    attached = iam.list_attached_role_policies(RoleName="OrganizationAccountAccessRole")["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["AdministratorAccess"]
    again = estate.org.create_account(Email="DEV@example.com", AccountName="other")["CreateAccountStatus"]
    assert (again["State"], again["FailureReason"]) == ("FAILED", "EMAIL_ALREADY_EXISTS")
    failed = estate.org.list_create_account_status(States=["FAILED"])["CreateAccountStatuses"]
    assert [one["Id"] for one in failed] == [again["Id"]]


def test_the_tree(estate: Estate) -> None:
    account, first = estate.account(), estate.unit("first")
    second = estate.unit("second", first)
    assert first.startswith(f"ou-{estate.root[2:]}-")
    estate.org.move_account(AccountId=account, SourceParentId=estate.root, DestinationParentId=second)
    assert estate.org.list_parents(ChildId=account)["Parents"] == [{"Id": second, "Type": "ORGANIZATIONAL_UNIT"}]
    assert estate.org.list_parents(ChildId=first)["Parents"] == [{"Id": estate.root, "Type": "ROOT"}]
    assert estate.org.list_children(ParentId=second, ChildType="ACCOUNT")["Children"] == [
        {"Id": account, "Type": "ACCOUNT"}
    ]
    assert estate.org.describe_account(AccountId=account)["Account"]["Paths"] == [
        f"{estate.id}/{estate.root}/{first}/{second}/{account}/"
    ]
    assert [one["Id"] for one in estate.org.list_accounts_for_parent(ParentId=second)["Accounts"]] == [account]
    renamed = estate.org.update_organizational_unit(OrganizationalUnitId=second, Name="2")["OrganizationalUnit"]
    assert renamed["Name"] == "2"
    listed = estate.org.list_organizational_units_for_parent(ParentId=first)["OrganizationalUnits"]
    assert (
        listed
        == [renamed]
        == [estate.org.describe_organizational_unit(OrganizationalUnitId=second)["OrganizationalUnit"]]
    )


def test_pages(estate: Estate) -> None:
    for number in range(25):
        estate.unit(f"unit {number}")
    pages = estate.org.get_paginator("list_organizational_units_for_parent").paginate(ParentId=estate.root)
    assert [len(page["OrganizationalUnits"]) for page in pages] == [20, 5]


def test_depth_and_numbers(estate: Estate) -> None:
    above = estate.root
    for level in range(5):
        above = estate.unit(f"level {level}", above)
    assert fault_of(estate, estate.org.create_organizational_unit, ParentId=above, Name="6") == (
        "ConstraintViolationException", "OU_DEPTH_LIMIT_EXCEEDED",
    )  # fmt: skip
    for number in range(9):
        estate.account(f"n{number}")
    assert fault_of(estate, estate.org.create_account, Email="x@example.com", AccountName="x") == (
        "ConstraintViolationException", "ACCOUNT_NUMBER_LIMIT_EXCEEDED",
    )  # fmt: skip


def test_invitations(estate: Estate) -> None:
    handshake = estate.invite()
    target = {"Target": {"Id": OTHER_ACCOUNT, "Type": "ACCOUNT"}}
    assert fault_of(estate, estate.org.invite_account_to_organization, **target)[0] == "DuplicateHandshakeException"
    assert fault_of(estate, estate.org.accept_handshake, HandshakeId=handshake)[0] == "AccessDeniedException"
    seen = estate.other.list_handshakes_for_account()["Handshakes"]
    assert [(one["Id"], one["State"]) for one in seen] == [(handshake, "OPEN")]
    assert estate.other.accept_handshake(HandshakeId=handshake)["Handshake"]["State"] == "ACCEPTED"
    assert (
        fault_of(estate, estate.other.accept_handshake, HandshakeId=handshake)[0] == "HandshakeAlreadyInStateException"
    )
    assert fault_of(estate, estate.other.decline_handshake, HandshakeId=handshake)[0] == (
        "InvalidHandshakeTransitionException"
    )
    shown = estate.org.describe_account(AccountId=OTHER_ACCOUNT)["Account"]
    assert shown["JoinedMethod"] == "INVITED"
    assert fault_of(estate, estate.org.invite_account_to_organization, **target) == (
        "HandshakeConstraintViolationException", "ALREADY_IN_AN_ORGANIZATION",
    )  # fmt: skip
    assert estate.other.describe_organization()["Organization"]["Id"] == estate.id
    estate.other.leave_organization()
    assert code(estate.other.describe_organization) == "AWSOrganizationsNotInUseException"


def test_invitations_end(estate: Estate) -> None:
    handshake = estate.invite()
    assert estate.org.cancel_handshake(HandshakeId=handshake)["Handshake"]["State"] == "CANCELED"
    handshake = estate.invite()
    assert estate.other.decline_handshake(HandshakeId=handshake)["Handshake"]["State"] == "DECLINED"
    handshake = estate.invite()
    estate.alter(HANDSHAKE, handshake, expires=0.0)
    refused = fault_of(estate, estate.other.accept_handshake, HandshakeId=handshake)
    assert refused[0] == "InvalidHandshakeTransitionException"
    estate.alter(HANDSHAKE, handshake, expires=estate.front.clock.now().timestamp() - 2)
    assert estate.other.describe_handshake(HandshakeId=handshake)["Handshake"]["State"] == "EXPIRED"
    estate.invite()


def test_a_created_account_leaves_after_four_days(estate: Estate) -> None:
    account = estate.account()
    estate.alter(ACCOUNT_KIND, account, created=estate.front.clock.now().timestamp() - 4 * 86_400 - 1)
    estate.org.remove_account_from_organization(AccountId=account)
    assert [one["Id"] for one in estate.org.list_accounts()["Accounts"]] == [ACCOUNT]


def test_members_leave_and_close(estate: Estate) -> None:
    account = estate.account()
    member = estate.front.client("organizations", **estate.root_of(account))
    assert fault_of(estate, member.leave_organization) == ("ConstraintViolationException", "WAIT_PERIOD_ACTIVE")
    assert fault_of(estate, estate.org.remove_account_from_organization, AccountId=account) == (
        "ConstraintViolationException", "WAIT_PERIOD_ACTIVE",
    )  # fmt: skip
    assert fault_of(estate, estate.org.leave_organization)[0] == "MasterCannotLeaveOrganizationException"
    assert fault_of(estate, estate.org.close_account, AccountId=ACCOUNT) == (
        "ConstraintViolationException", "CANNOT_CLOSE_MANAGEMENT_ACCOUNT",
    )  # fmt: skip
    estate.org.close_account(AccountId=account)
    assert fault_of(estate, estate.org.close_account, AccountId=account)[0] == "AccountAlreadyClosedException"
    assert estate.org.describe_account(AccountId=account)["Account"]["Status"] == "SUSPENDED"


def test_credentials_of_a_closed_account_open_nothing(estate: Estate) -> None:
    account = estate.account()
    who = estate.root_of(account)
    user = estate.user_of(who)
    for caller in (who, user):
        assert code(estate.ec2(caller).describe_vpcs) == "ok"
    estate.org.close_account(AccountId=account)
    for caller in (who, user):
        assert code(estate.ec2(caller).describe_vpcs) == "AuthFailure"
        assert code(estate.front.client("sts", **caller).get_caller_identity) == "InvalidClientTokenId"


def test_tags(estate: Estate) -> None:
    unit, held = estate.unit("one"), estate.policy(ALLOW)
    for id in (estate.root, unit, held, ACCOUNT):
        estate.org.tag_resource(ResourceId=id, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        estate.org.untag_resource(ResourceId=id, TagKeys=["a"])
        assert estate.org.list_tags_for_resource(ResourceId=id)["Tags"] == [{"Key": "b", "Value": "2"}]
    many = [{"Key": str(n), "Value": ""} for n in range(50)]
    wrong: list[tuple[str, list[dict[str, str]], str, str]] = [
        (unit, [{"Key": "aws:x", "Value": ""}], "InvalidInputException", "INVALID_SYSTEM_TAGS_PARAMETER"),
        (unit, [{"Key": "x", "Value": ""}] * 2, "InvalidInputException", "DUPLICATE_TAG_KEY"),
        (unit, many, "ConstraintViolationException", "MAX_TAG_LIMIT_EXCEEDED"),
        ("p-FullAWSAccess", many[:1], "InvalidInputException", "TARGET_NOT_SUPPORTED"),
        ("ou-abcd-12345678", many[:1], "TargetNotFoundException", ""),
    ]
    for id, tags, name, reason in wrong:
        assert fault_of(estate, estate.org.tag_resource, ResourceId=id, Tags=tags) == (name, reason)


def test_services(estate: Estate) -> None:
    estate.org.enable_aws_service_access(ServicePrincipal="ram.amazonaws.com")
    estate.org.enable_aws_service_access(ServicePrincipal="ram.amazonaws.com")
    listed = estate.org.list_aws_service_access_for_organization()["EnabledServicePrincipals"]
    assert [one["ServicePrincipal"] for one in listed] == ["ram.amazonaws.com"]
    estate.org.disable_aws_service_access(ServicePrincipal="ram.amazonaws.com")
    assert estate.org.list_aws_service_access_for_organization()["EnabledServicePrincipals"] == []
    assert fault_of(estate, estate.org.enable_aws_service_access, ServicePrincipal="ram") == (
        "InvalidInputException", "UNRECOGNIZED_SERVICE_PRINCIPAL",
    )  # fmt: skip
    assert estate.org.list_delegated_administrators()["DelegatedAdministrators"] == []


def test_policies_and_their_types(estate: Estate) -> None:
    shown = estate.org.list_policies(Filter="SERVICE_CONTROL_POLICY")["Policies"]
    assert [(one["Name"], one["AwsManaged"]) for one in shown] == [("FullAWSAccess", True)]
    held = estate.policy(ALLOW)
    again = {"Content": ALLOW, "Description": "", "Name": "limits", "Type": "SERVICE_CONTROL_POLICY"}
    assert fault_of(estate, estate.org.create_policy, **again)[0] == "DuplicatePolicyException"
    estate.org.attach_policy(PolicyId=held, TargetId=estate.root)
    targets = estate.org.list_targets_for_policy(PolicyId=held)["Targets"]
    assert [(one["TargetId"], one["Type"]) for one in targets] == [(estate.root, "ROOT")]
    assert fault_of(estate, estate.org.delete_policy, PolicyId=held)[0] == "PolicyInUseException"
    estate.org.enable_policy_type(RootId=estate.root, PolicyType="RESOURCE_CONTROL_POLICY")
    on = {kind: [one["Id"] for one in estate.org.list_policies_for_target(TargetId=ACCOUNT, Filter=kind)["Policies"]]
          for kind in ("SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY")}  # fmt: skip
    assert on == {"SERVICE_CONTROL_POLICY": ["p-FullAWSAccess"], "RESOURCE_CONTROL_POLICY": ["p-RCPFullAWSAccess"]}
    estate.org.disable_policy_type(RootId=estate.root, PolicyType="SERVICE_CONTROL_POLICY")
    assert estate.org.list_targets_for_policy(PolicyId=held)["Targets"] == []
    assert fault_of(estate, estate.org.attach_policy, PolicyId=held, TargetId=estate.root)[0] == (
        "PolicyTypeNotEnabledException"
    )
    estate.org.update_policy(PolicyId=held, Name="renamed", Content=deny("s3:*"))
    assert estate.org.describe_policy(PolicyId=held)["Policy"]["Content"] == deny("s3:*")
    estate.org.delete_policy(PolicyId=held)
    assert code(estate.org.describe_policy, PolicyId=held) == "PolicyNotFoundException"


def test_new_members_get_the_policies_that_allow_everything(estate: Estate) -> None:
    estate.org.enable_policy_type(RootId=estate.root, PolicyType="RESOURCE_CONTROL_POLICY")
    for target in (estate.account(), estate.unit("one")):
        for kind, id in (
            ("SERVICE_CONTROL_POLICY", "p-FullAWSAccess"),
            ("RESOURCE_CONTROL_POLICY", "p-RCPFullAWSAccess"),
        ):
            shown = estate.org.list_policies_for_target(TargetId=target, Filter=kind)["Policies"]
            assert [one["Id"] for one in shown] == [id]


def test_attachments_are_counted(estate: Estate) -> None:
    unit = estate.unit("one")
    for number in range(4):
        estate.attach(ALLOW, unit, f"policy {number}")
    last = estate.policy(ALLOW, "last")
    limit = ("ConstraintViolationException", "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED")
    assert fault_of(estate, estate.org.attach_policy, PolicyId=last, TargetId=unit) == limit
    assert fault_of(estate, estate.org.detach_policy, PolicyId=last, TargetId=unit)[0] == "PolicyNotAttachedException"
    assert fault_of(estate, estate.org.attach_policy, PolicyId="p-FullAWSAccess", TargetId=unit)[0] == (
        "DuplicatePolicyAttachmentException"
    )
    assert fault_of(estate, estate.org.detach_policy, PolicyId="p-FullAWSAccess", TargetId=estate.root) == (
        "ConstraintViolationException", "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED",
    )  # fmt: skip


_Wrong = tuple[Callable[[Estate], Any], dict[str, Any], str, str]
_SCP = {"Description": "", "Name": "x", "Type": "SERVICE_CONTROL_POLICY"}
WRONG: list[_Wrong] = [
    (lambda e: e.org.create_policy, {**_SCP, "Content": "{"}, "MalformedPolicyDocumentException", ""),
    (lambda e: e.org.create_policy, {**_SCP, "Content": policy({"Effect": "Deny", "Action": "*", "Resource": "*",
     "Principal": "*"})}, "MalformedPolicyDocumentException", ""),
    (lambda e: e.org.create_policy, {**_SCP, "Content": deny("x" * 5120)}, "ConstraintViolationException",
     "POLICY_CONTENT_LIMIT_EXCEEDED"),
    (lambda e: e.org.create_policy, {**_SCP, "Content": ALLOW, "Type": "TAG_POLICY"},
     "PolicyTypeNotAvailableForOrganizationException", ""),
    (lambda e: e.org.create_policy, {**_SCP, "Content": ALLOW, "Type": "NO_POLICY"}, "ValidationException", ""),
    (lambda e: e.org.update_policy, {"PolicyId": "p-FullAWSAccess", "Name": "mine"}, "InvalidInputException",
     "IMMUTABLE_POLICY"),
    (lambda e: e.org.delete_policy, {"PolicyId": "p-12345678"}, "PolicyNotFoundException", ""),
    (lambda e: e.org.attach_policy, {"PolicyId": "p-FullAWSAccess", "TargetId": OTHER_ACCOUNT},
     "TargetNotFoundException", ""),
    (lambda e: e.org.enable_policy_type, {"RootId": "r-abcd", "PolicyType": "SERVICE_CONTROL_POLICY"},
     "RootNotFoundException", ""),
    (lambda e: e.org.enable_policy_type, {"RootId": "root", "PolicyType": "SERVICE_CONTROL_POLICY"},
     "PolicyTypeAlreadyEnabledException", ""),
    (lambda e: e.org.describe_account, {"AccountId": OTHER_ACCOUNT}, "AccountNotFoundException", ""),
    (lambda e: e.org.describe_account, {"AccountId": "12"}, "InvalidInputException", "INVALID_PATTERN"),
    (lambda e: e.org.list_children, {"ParentId": "ou-abcd-12345678", "ChildType": "ACCOUNT"},
     "ParentNotFoundException", ""),
    (lambda e: e.org.list_parents, {"ChildId": OTHER_ACCOUNT}, "ChildNotFoundException", ""),
    (lambda e: e.org.list_accounts, {"NextToken": "next"}, "InvalidInputException", "INVALID_NEXT_TOKEN"),
    (lambda e: e.org.describe_handshake, {"HandshakeId": "h-12345678"}, "HandshakeNotFoundException", ""),
    (lambda e: e.org.invite_account_to_organization, {"Target": {"Id": "12", "Type": "ACCOUNT"}},
     "InvalidInputException", "INVALID_PATTERN_TARGET_ID"),
    (lambda e: e.org.create_account, {"Email": "nobody", "AccountName": "x"}, "InvalidInputException", "INVALID_PATTERN"),
    (lambda e: e.org.describe_create_account_status, {"CreateAccountRequestId": "car-12345678"},
     "CreateAccountStatusNotFoundException", ""),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_what_is_refused(estate: Estate, case: int) -> None:
    call, params, name, reason = WRONG[case]
    if params.get("RootId") == "root":
        params = {**params, "RootId": estate.root}
    assert fault_of(estate, call(estate), **params) == (name, reason)


def test_members_may_not_manage(estate: Estate) -> None:
    account = estate.account()
    member = estate.front.client("organizations", **estate.root_of(account))
    for call, params in (
        (member.list_accounts, {}),
        (member.create_account, {"Email": "a@example.com", "AccountName": "a"}),
        (member.detach_policy, {"PolicyId": "p-FullAWSAccess", "TargetId": account}),
        (member.close_account, {"AccountId": account}),
    ):
        assert fault_of(estate, call, **params)[0] == "AccessDeniedException"
