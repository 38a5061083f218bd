"""The account: alias, password policy, login profiles, MFA devices, providers, service-linked roles, reports."""

from __future__ import annotations

import base64
import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.api import audit
from ringfence.api.ops.iam.credential_report import COLUMNS
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire import model
from ringfence.identity import passwords, totp
from ringfence.model.ids import SeededIds
from ringfence.model.kinds import MFA_DEVICE, USER
from tests.api.ops.iam.lab import ACCOUNT, ALLOW, READ_ONLY, TRUST, Lab
from tests.identity import providers

GOOD, OTHER = "Correct-Horse-7", "Battery-Staple-9"


# ---------------------------------------------------------------------- the account
def test_alias(lab: Lab) -> None:
    lab.iam.create_account_alias(AccountAlias="first")
    lab.iam.create_account_alias(AccountAlias="second")
    assert lab.iam.list_account_aliases()["AccountAliases"] == ["second"]
    other = lab.front.client("iam", key="AKIDOTHER")
    with pytest.raises(ClientError, match="already exists"):
        other.create_account_alias(AccountAlias="second")
    assert lab.refused("delete_account_alias", AccountAlias="first")[:2] == ("NoSuchEntity", 404)
    assert lab.refused("create_account_alias", AccountAlias="No--Good")[0] == "ValidationError"
    lab.iam.delete_account_alias(AccountAlias="second")
    assert lab.iam.list_account_aliases()["AccountAliases"] == []


def test_password_policy(lab: Lab) -> None:
    missing = f"The Password Policy with domain name {ACCOUNT} cannot be found."
    assert lab.refused("get_account_password_policy") == ("NoSuchEntity", 404, missing)
    assert lab.refused("delete_account_password_policy")[0] == "NoSuchEntity"
    lab.iam.update_account_password_policy(RequireSymbols=True, MaxPasswordAge=90, HardExpiry=False)
    expected = {
        "MinimumPasswordLength": 6, "RequireSymbols": True, "RequireNumbers": False, "RequireUppercaseCharacters": False,
        "RequireLowercaseCharacters": False, "AllowUsersToChangePassword": False, "ExpirePasswords": True,
        "MaxPasswordAge": 90, "HardExpiry": False,
    }  # fmt: skip
    assert lab.iam.get_account_password_policy()["PasswordPolicy"] == expected
    lab.iam.update_account_password_policy(MinimumPasswordLength=14)
    after = lab.iam.get_account_password_policy()["PasswordPolicy"]
    assert (after["MinimumPasswordLength"], after["RequireSymbols"], after["ExpirePasswords"]) == (14, False, False)
    assert lab.refused("update_account_password_policy", MinimumPasswordLength=129)[0] == "ValidationError"


POLICIES: list[tuple[dict[str, Any], str, bool]] = [
    ({}, "Abcdef1!", True), ({}, "Abcdef1", False), ({}, "abcdefg1", False), ({}, "abcdefg1!", True),
    ({"MinimumPasswordLength": 10}, "aaaaaaaaaa", True), ({"MinimumPasswordLength": 10}, "aaaaaaaaa", False),
    ({"RequireNumbers": True}, "aaaaaaa", False), ({"RequireNumbers": True}, "aaaaaa1", True),
    ({"RequireSymbols": True}, "aaaaaa1", False), ({"RequireSymbols": True}, "aaaaa-1", True),
    ({"RequireUppercaseCharacters": True}, "aaaaaaa", False), ({"RequireUppercaseCharacters": True}, "aaaaaaA", True),
    ({"RequireLowercaseCharacters": True}, "AAAAAAA", False), ({"RequireLowercaseCharacters": True}, "AAAAAAa", True),
]  # fmt: skip


@pytest.mark.parametrize(("policy", "password", "good"), POLICIES)
def test_passwords_obey_the_policy(policy: dict[str, Any], password: str, good: bool) -> None:
    texts = {name: str(value).lower() for name, value in policy.items()}
    assert (passwords.violation(password, texts, ACCOUNT) is None) is good


def test_login_profiles(lab: Lab) -> None:
    """The password is kept as a salted scrypt hash alone, and is in no audit record (DATA-03, DATA-04)."""
    lab.user("ann")
    assert lab.refused("get_login_profile", UserName="ann")[2] == "Login Profile for User ann cannot be found."
    made = lab.iam.create_login_profile(UserName="ann", Password=GOOD, PasswordResetRequired=True)["LoginProfile"]
    assert lab.iam.get_login_profile(UserName="ann")["LoginProfile"] == made
    assert made["PasswordResetRequired"] is True
    again = lab.refused("create_login_profile", UserName="ann", Password=GOOD)
    assert again[:2] == ("EntityAlreadyExists", 409)
    weak = lab.refused("update_login_profile", UserName="ann", Password="weak")
    assert weak[:2] == ("PasswordPolicyViolation", 400)
    lab.iam.update_login_profile(UserName="ann", PasswordResetRequired=False)
    assert lab.iam.get_login_profile(UserName="ann")["LoginProfile"]["PasswordResetRequired"] is False
    (row,) = lab.front.store.world.all(USER)
    assert row.password_hash is not None
    assert row.password_hash.startswith("scrypt$")
    assert passwords.matches(GOOD, row.password_hash)
    assert not passwords.matches(OTHER, row.password_hash)
    assert GOOD not in repr(row) + json.dumps(lab.front.audit())
    assert lab.refused("delete_user", UserName="ann")[2] == "Cannot delete entity, must delete login profile first."
    lab.iam.delete_login_profile(UserName="ann")
    lab.iam.delete_user(UserName="ann")


def test_two_hashes_of_a_password_differ() -> None:
    ids = SeededIds()
    assert passwords.hashed(GOOD, ids) != passwords.hashed(GOOD, ids)


def test_passwords_do_not_come_back(lab: Lab) -> None:
    """PasswordReusePrevention counts the password in use."""
    lab.user("ann")
    lab.iam.update_account_password_policy(PasswordReusePrevention=2)
    lab.iam.create_login_profile(UserName="ann", Password=GOOD)
    lab.iam.update_login_profile(UserName="ann", Password=OTHER)
    for password in (GOOD, OTHER):
        assert lab.refused("update_login_profile", UserName="ann", Password=password)[0] == "PasswordPolicyViolation"
    lab.iam.update_login_profile(UserName="ann", Password="Third-Password-1")
    lab.iam.update_login_profile(UserName="ann", Password=GOOD)


def test_users_may_change_their_own_password_where_the_account_says_so(lab: Lab) -> None:
    """IAM User Guide, "Set an account password policy": permissions at the account's level, for a user's own password only,
    that a Deny or a boundary still takes away."""
    for name in ("ann", "bob"):
        lab.user(name, Path="/staff/")
        lab.iam.create_login_profile(UserName=name, Password=GOOD)
    key = lab.key()
    ann = lab.front.client("iam", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def code(method: str, **params: Any) -> str:
        try:
            getattr(ann, method)(**params)
        except ClientError as refused:
            return str(refused.response["Error"]["Code"])
        return "ok"

    change = {"OldPassword": GOOD, "NewPassword": GOOD}
    assert code("change_password", **change) == "AccessDenied"
    lab.iam.update_account_password_policy(AllowUsersToChangePassword=True)
    assert code("change_password", **change) == "ok"
    assert code("get_account_password_policy") == "ok"
    assert code("update_login_profile", UserName="bob", Password=OTHER) == "AccessDenied"
    assert code("update_login_profile", UserName="ann", Password=OTHER) == "AccessDenied"
    assert code("get_user") == "AccessDenied"
    simulated = lab.iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/staff/ann", ActionNames=["iam:ChangePassword"],
        ResourceArns=[f"arn:aws:iam::{ACCOUNT}:user/staff/ann"],
    )["EvaluationResults"][0]  # fmt: skip
    assert simulated["EvalDecision"] == "allowed"
    assert simulated["MatchedStatements"][0]["SourcePolicyType"] == "none"
    lab.iam.put_user_permissions_boundary(
        UserName="ann", PermissionsBoundary="arn:aws:iam::aws:policy/AmazonVPCReadOnlyAccess"
    )
    assert code("change_password", **change) == "AccessDenied"
    lab.iam.delete_user_permissions_boundary(UserName="ann")
    deny = {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iam:ChangePassword", "Resource": "*"}}
    lab.iam.put_user_policy(UserName="ann", PolicyName="no", PolicyDocument=json.dumps(deny))
    assert code("change_password", **change) == "AccessDenied"
    lab.iam.delete_user_policy(UserName="ann", PolicyName="no")
    lab.iam.update_account_password_policy(AllowUsersToChangePassword=False)
    assert code("change_password", **change) == "AccessDenied"


# ---------------------------------------------------------------------- MFA
def device(lab: Lab, name: str = "phone") -> tuple[str, bytes]:
    made = lab.iam.create_virtual_mfa_device(VirtualMFADeviceName=name, Path="/p/")["VirtualMFADevice"]
    assert made["QRCodePNG"].startswith(b"\x89PNG")
    return str(made["SerialNumber"]), base64.b32decode(made["Base32StringSeed"])


def codes(lab: Lab, seed: bytes, *, ahead: int = 0) -> dict[str, str]:
    """The codes of the present step and the next, by a clock that many steps ahead."""
    step = int(lab.front.clock.now().timestamp()) // totp.STEP_SECONDS + ahead
    return {"AuthenticationCode1": totp.code_at(seed, step), "AuthenticationCode2": totp.code_at(seed, step + 1)}


def test_a_device_is_enabled_by_two_codes_in_a_row(lab: Lab) -> None:
    """IAM-10."""
    lab.user("ann")
    serial, seed = device(lab)
    assert serial == f"arn:aws:iam::{ACCOUNT}:mfa/p/phone"
    taken = "MFADevice entity at the same path and name already exists."
    again = lab.refused("create_virtual_mfa_device", VirtualMFADeviceName="Phone", Path="/p/")
    assert again == ("EntityAlreadyExists", 409, taken)
    right = codes(lab, seed)
    swapped = {"AuthenticationCode1": right["AuthenticationCode2"], "AuthenticationCode2": right["AuthenticationCode1"]}
    far = codes(lab, seed, ahead=100)
    for wrong in (swapped, far, right | {"AuthenticationCode2": right["AuthenticationCode1"]}):
        refusal = lab.refused("enable_mfa_device", UserName="ann", SerialNumber=serial, **wrong)
        assert refusal[:2] == ("InvalidAuthenticationCode", 403)
    assert lab.iam.list_mfa_devices(UserName="ann")["MFADevices"] == []
    lab.iam.enable_mfa_device(UserName="ann", SerialNumber=serial, **right)
    (listed,) = lab.iam.list_mfa_devices(UserName="ann")["MFADevices"]
    assert (listed["UserName"], listed["SerialNumber"]) == ("ann", serial)
    row = lab.front.store.world.get(MFA_DEVICE, serial)
    assert base64.b32encode(seed).decode() not in repr(row) + json.dumps(lab.front.audit())
    assert right["AuthenticationCode1"] not in json.dumps([e["requestParameters"] for e in lab.front.audit()])
    assert lab.refused("delete_virtual_mfa_device", SerialNumber=serial)[0] == "DeleteConflict"
    assert lab.refused("delete_user", UserName="ann")[0] == "DeleteConflict"
    assigned = lab.iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert [held["User"]["UserName"] for held in assigned] == ["ann"]
    lab.iam.deactivate_mfa_device(UserName="ann", SerialNumber=serial)
    assert lab.iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"] == []
    used = lab.refused("enable_mfa_device", UserName="ann", SerialNumber=serial, **right)
    assert used[0] == "InvalidAuthenticationCode", "a code works once"
    lab.iam.delete_virtual_mfa_device(SerialNumber=serial)
    gone = f"VirtualMFADevice with serial number {serial} doesn't exist."
    assert lab.refused("delete_virtual_mfa_device", SerialNumber=serial) == ("NoSuchEntity", 404, gone)


def test_a_device_whose_clock_is_off_is_resynchronised(lab: Lab) -> None:
    lab.user("ann")
    serial, seed = device(lab)
    lab.iam.enable_mfa_device(UserName="ann", SerialNumber=serial, **codes(lab, seed))
    lab.iam.resync_mfa_device(UserName="ann", SerialNumber=serial, **codes(lab, seed, ahead=20))
    assert lab.front.store.world.get(MFA_DEVICE, serial).drift == 21
    lab.front.clock.skew = timedelta(minutes=30)
    lab.iam = lab.front.client("iam")
    wrong = {"AuthenticationCode1": "000000", "AuthenticationCode2": "000000"}
    assert lab.refused("resync_mfa_device", UserName="ann", SerialNumber=serial, **wrong)[0] in (
        "InvalidAuthenticationCode", "RequestExpired")  # fmt: skip


# ---------------------------------------------------------------------- providers
THUMBPRINT = "a" * 40


def test_oidc_providers(lab: Lab) -> None:
    """IAM-12."""
    made = lab.iam.create_open_id_connect_provider(
        Url="https://example.com/tenant",
        ClientIDList=["one"],
        ThumbprintList=[THUMBPRINT],
        Tags=[{"Key": "a", "Value": ""}],
    )
    arn = made["OpenIDConnectProviderArn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/example.com/tenant"
    for _ in range(2):
        lab.iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="two")
        lab.iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="one")
    lab.iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["b" * 40])
    shown = lab.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (shown["Url"], shown["ClientIDList"], shown["ThumbprintList"]) == ("example.com/tenant", ["two"], ["b" * 40])
    assert shown["Tags"] == [{"Key": "a", "Value": ""}]
    again = lab.refused("create_open_id_connect_provider", Url="https://example.com/tenant/")
    assert again[:2] == ("EntityAlreadyExists", 409)
    for url in ("http://example.com", "https://", "example.com", "https://user@example.com", "https://a.b?c"):
        assert lab.refused("create_open_id_connect_provider", Url=url)[0] == "ValidationError", url
    short = lab.refused("create_open_id_connect_provider", Url="https://x.org", ThumbprintList=["g" * 40])
    assert short[0] == "InvalidInput"
    for _ in range(2):
        lab.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert lab.refused("get_open_id_connect_provider", OpenIDConnectProviderArn=arn)[:2] == ("NoSuchEntity", 404)


@pytest.mark.parametrize(
    "metadata", ["x" * 1000, "<a/>" + " " * 1000, '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>' + " " * 1000]
)
def test_saml_metadata_that_is_none(lab: Lab, metadata: str) -> None:
    refusal = lab.refused("create_saml_provider", Name="idp", SAMLMetadataDocument=metadata)
    assert refusal[:2] == ("InvalidInput", 400)


def test_saml_providers(lab: Lab) -> None:
    document = providers.metadata(0)
    arn = lab.iam.create_saml_provider(Name="idp", SAMLMetadataDocument=document)["SAMLProviderArn"]
    assert arn == f"arn:aws:iam::{ACCOUNT}:saml-provider/idp"
    shown = lab.iam.get_saml_provider(SAMLProviderArn=arn)
    assert shown["SAMLMetadataDocument"] == document
    assert (shown["ValidUntil"] - shown["CreateDate"]).days > 36_000
    assert [listed["Arn"] for listed in lab.iam.list_saml_providers()["SAMLProviderList"]] == [arn]
    again = lab.refused("create_saml_provider", Name="IDP", SAMLMetadataDocument=document)
    assert again[:2] == ("EntityAlreadyExists", 409)
    until = document.replace("entityID=", 'validUntil="2031-02-03T04:05:06Z" entityID=', 1)
    lab.iam.update_saml_provider(SAMLProviderArn=arn, SAMLMetadataDocument=until)
    assert lab.iam.get_saml_provider(SAMLProviderArn=arn)["ValidUntil"].isoformat().startswith("2031-02-03T04:05:06")
    mode = lab.refused("update_saml_provider", SAMLProviderArn=arn, AssertionEncryptionMode="Required")
    assert mode[0] == "UnsupportedOperation"
    lab.iam.tag_saml_provider(SAMLProviderArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert lab.iam.list_saml_provider_tags(SAMLProviderArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    lab.iam.delete_saml_provider(SAMLProviderArn=arn)
    assert lab.refused("get_saml_provider", SAMLProviderArn=arn)[:2] == ("NoSuchEntity", 404)


# ---------------------------------------------------------------------- service-linked roles
def test_service_linked_roles(lab: Lab) -> None:
    made = lab.iam.create_service_linked_role(AWSServiceName="elasticloadbalancing.amazonaws.com")["Role"]
    assert made["RoleName"] == "AWSServiceRoleForElasticLoadBalancing"
    assert made["Path"] == "/aws-service-role/elasticloadbalancing.amazonaws.com/"
    name = made["RoleName"]
    for method, more in (
        ("delete_role", {}),
        ("attach_role_policy", {"PolicyArn": READ_ONLY}),
        ("put_role_policy", {"PolicyName": "p", "PolicyDocument": ALLOW}),
        ("update_assume_role_policy", {"PolicyDocument": TRUST}),
        ("tag_role", {"Tags": [{"Key": "a", "Value": "b"}]}),
    ):
        assert lab.refused(method, RoleName=name, **more)[:2] == ("UnmodifiableEntity", 400), method
    assert lab.iam.list_role_tags(RoleName=name)["Tags"] == []
    assert len(lab.iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]) == 1
    again = lab.refused("create_service_linked_role", AWSServiceName="elasticloadbalancing.amazonaws.com")
    assert again[:2] == ("InvalidInput", 400)
    assert "has been taken in this account" in again[2]
    unknown = lab.refused("create_service_linked_role", AWSServiceName="nothing.amazonaws.com")
    assert unknown[0] == "InvalidInput"
    task = lab.iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]
    assert lab.iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    assert lab.refused("get_role", RoleName=name)[0] == "NoSuchEntity"
    assert lab.refused("get_service_linked_role_deletion_status", DeletionTaskId=task + "x")[0] == "NoSuchEntity"
    assert lab.refused("delete_service_linked_role", RoleName=lab.role("mine"))[0] == "InvalidInput"


# ---------------------------------------------------------------------- reports
def test_the_credential_report(lab: Lab) -> None:
    """DATA-11: AWS's columns, and what is true of each user."""
    assert lab.refused("get_credential_report")[:2] == ("ReportNotPresent", 410)
    key = lab.key(lab.user("ann"))
    lab.user("bob")
    lab.caller(key)
    lab.iam.create_login_profile(UserName="bob", Password=GOOD)
    assert lab.iam.generate_credential_report()["State"] == "STARTED"
    assert lab.iam.generate_credential_report()["State"] == "COMPLETE"
    reply = lab.iam.get_credential_report()
    assert reply["ReportFormat"] == "text/csv"
    rows = list(csv.DictReader(io.StringIO(reply["Content"].decode())))
    assert tuple(rows[0]) == COLUMNS
    root, ann, bob = rows
    assert (root["user"], root["access_key_1_active"], root["mfa_active"]) == ("<root_account>", "true", "false")
    assert (ann["access_key_1_active"], ann["access_key_1_last_used_service"]) == ("true", "sts")
    assert (ann["password_enabled"], ann["access_key_2_active"]) == ("false", "false")
    assert (bob["password_enabled"], bob["access_key_1_active"]) == ("true", "false")
    assert bob["user_creation_time"].endswith("+00:00")


def test_the_summary_counts(lab: Lab) -> None:
    before = lab.iam.get_account_summary()["SummaryMap"]
    assert (before["Users"], before["AccountAccessKeysPresent"], before["AccountMFAEnabled"]) == (0, 1, 0)
    lab.user("ann")
    lab.role()
    lab.iam.create_policy_version(PolicyArn=lab.policy(), PolicyDocument=ALLOW)
    lab.iam.create_group(GroupName="g")
    after = lab.iam.get_account_summary()["SummaryMap"]
    names = ("Users", "Roles", "Policies", "Groups", "PolicyVersionsInUse", "UsersQuota")
    assert tuple(after[name] for name in names) == (1, 1, 1, 1, 2, 5000)


def test_authorization_details_show_everything(lab: Lab) -> None:
    lab.user("ann", Tags=[{"Key": "a", "Value": "b"}], PermissionsBoundary=READ_ONLY)
    lab.iam.create_group(GroupName="ops")
    lab.iam.add_user_to_group(GroupName="ops", UserName="ann")
    lab.iam.put_group_policy(GroupName="ops", PolicyName="in", PolicyDocument=ALLOW)
    arn = lab.policy()
    lab.iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    lab.role()
    lab.iam.create_instance_profile(InstanceProfileName="web")
    lab.iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="runner")
    details = lab.iam.get_account_authorization_details()
    (ann,), (ops,), (runner,) = (details[f"{noun}DetailList"] for noun in ("User", "Group", "Role"))
    assert (ann["GroupList"], ann["AttachedManagedPolicies"][0]["PolicyArn"]) == (["ops"], arn)
    assert ann["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY
    assert ops["GroupPolicyList"][0]["PolicyDocument"] == json.loads(ALLOW)
    assert runner["InstanceProfileList"][0]["InstanceProfileName"] == "web"
    assert runner["AssumeRolePolicyDocument"] == json.loads(TRUST)
    assert {policy["Arn"] for policy in details["Policies"]} == {arn, READ_ONLY}
    only = lab.iam.get_account_authorization_details(Filter=["Role"])
    assert [len(only[f"{noun}DetailList"]) for noun in ("User", "Group", "Role")] == [0, 0, 1]
    pages = list(lab.iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 2}))
    assert len(pages) == 3


def test_what_cannot_be_made_is_not_there(lab: Lab) -> None:
    lab.user("ann")
    assert lab.iam.list_ssh_public_keys(UserName="ann")["SSHPublicKeys"] == []
    assert lab.iam.list_server_certificates()["ServerCertificateMetadataList"] == []
    assert lab.iam.list_signing_certificates(UserName="ann")["Certificates"] == []
    assert lab.iam.list_service_specific_credentials(UserName="ann")["ServiceSpecificCredentials"] == []
    assert lab.refused("list_ssh_public_keys", UserName="bob")[0] == "NoSuchEntity"


SECRETS = ("Password", "OldPassword", "NewPassword", "AddPrivateKey", "AuthenticationCode")


def test_no_secret_parameter_is_audited() -> None:
    """DATA-03: every parameter of a served IAM operation that is a secret by its name is hidden."""
    seen = 0
    for service, action in OPERATIONS:
        shape = model.operation(service, action).input_shape if service == "iam" else None  # type: ignore[union-attr]
        for name in shape.members if shape is not None else ():
            if name.rstrip("12") in SECRETS:
                seen += 1
                assert audit._plan(service, action).get(name, "shown") is None, f"{action}.{name}"
    assert seen >= 10


@pytest.mark.parametrize("url", ["https://idp.example.com/tenant", "https://idp.example.com/tenant/"])
def test_a_provider_is_asked_about_by_the_arn_it_gets(lab: Lab, url: str) -> None:
    """A closing slash of the URL is in neither."""
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example.com/tenant"
    policy = {"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "iam:CreateOpenIDConnectProvider", "Resource": arn}}  # fmt: skip
    lab.user("ann")
    lab.iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = lab.key()
    ann = lab.front.client("iam", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    with pytest.raises(ClientError, match="AccessDenied"):
        ann.create_open_id_connect_provider(Url=url + "x")
    assert ann.create_open_id_connect_provider(Url=url)["OpenIDConnectProviderArn"] == arn
