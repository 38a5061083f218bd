"""GetSessionToken, GetFederationToken, GetAccessKeyInfo, GetCallerIdentity over the wire (IAM-05, IAM-08, IAM-10, POL-28)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ringfence.identity.sessions import open_token
from tests.api.front import ACCOUNT, KEY
from tests.api.ops.sts.lab import Lab, code_of, document, message_of, statement, trusting


@pytest.fixture
def lab() -> Lab:
    return Lab()


def _seconds(credentials: dict[str, datetime]) -> float:
    return round((credentials["Expiration"] - datetime.now(UTC)).total_seconds(), -2)


# ---------------------------------------------------------------------- GetSessionToken
def test_a_users_session_is_the_user(lab: Lab) -> None:
    ann = lab.user()
    made = ann.get_session_token()["Credentials"]
    assert made["AccessKeyId"].startswith("ASIA")
    assert _seconds(made) == 43200
    assert lab.sts(made).get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"
    assert _seconds(ann.get_session_token(DurationSeconds=900)["Credentials"]) == 900
    for seconds in (899, 129601):
        assert code_of(ann.get_session_token, DurationSeconds=seconds) == "ValidationError"


def test_the_root_users_session_lasts_an_hour(lab: Lab) -> None:
    root = lab.front.client("sts")
    made = root.get_session_token(DurationSeconds=43200)["Credentials"]
    assert _seconds(made) == 3600
    assert lab.sts(made).get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert lab.front.with_session("ec2", made).describe_vpcs()["Vpcs"]


def test_sessions_of_users_make_no_sessions_and_without_a_second_factor_do_not_touch_iam(lab: Lab) -> None:
    ann = lab.user(policy=document(statement("*", Resource="*")))
    made = ann.get_session_token()["Credentials"]
    assert code_of(lab.sts(made).get_session_token) == "AccessDenied"
    assert code_of(lab.sts(made).get_federation_token, Name="bob") == "AccessDenied"
    assert code_of(lab.front.with_session("iam", made).list_users) == "InvalidClientTokenId"


def test_a_second_factor_shows_in_the_session_and_a_code_works_once(lab: Lab) -> None:
    """POL-28: a policy can ask for aws:MultiFactorAuthPresent; the key's owner without it has a long-term key only."""
    ann, serial = lab.user(), None
    serial = lab.device()
    shown = {"SerialNumber": serial, "TokenCode": lab.code()}
    made = ann.get_session_token(**shown)["Credentials"]
    arn = lab.role(trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"},
                            Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"},
                                       "NumericLessThan": {"aws:MultiFactorAuthAge": "300"}}))  # fmt: skip
    assert lab.session(lab.sts(made), arn)
    assert code_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1") == "AccessDenied"
    assert code_of(ann.get_session_token, **shown) == "AccessDenied"
    assert code_of(ann.get_session_token, SerialNumber=serial, TokenCode="000000") == "AccessDenied"
    assert code_of(ann.get_session_token, SerialNumber=serial) == "AccessDenied"
    without = ann.get_session_token()["Credentials"]
    assert code_of(lab.sts(without).assume_role, RoleArn=arn, RoleSessionName="s1") == "AccessDenied"


def test_a_deleted_user_takes_the_session_along(lab: Lab) -> None:
    made = lab.user().get_session_token()["Credentials"]
    lab.iam[ACCOUNT].delete_access_key(UserName="ann", AccessKeyId=lab.key["AccessKeyId"])
    assert lab.sts(made).get_caller_identity()
    lab.iam[ACCOUNT].delete_user(UserName="ann")
    assert code_of(lab.sts(made).get_caller_identity) == "InvalidClientTokenId"
    lab.iam[ACCOUNT].create_user(UserName="ann")
    assert code_of(lab.sts(made).get_caller_identity) == "InvalidClientTokenId"


# ---------------------------------------------------------------------- GetFederationToken
def test_a_federated_user(lab: Lab) -> None:
    root = lab.front.client("sts")
    policy = document(statement("ec2:*", Resource="*"))
    reply = root.get_federation_token(Name="bob", Policy=policy, Tags=[{"Key": "team", "Value": "a"}])
    assert reply["FederatedUser"] == {
        "FederatedUserId": f"{ACCOUNT}:bob",
        "Arn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
    }
    assert 0 < reply["PackedPolicySize"] <= 100
    made = reply["Credentials"]
    assert lab.sts(made).get_caller_identity() | {"ResponseMetadata": 0} == {
        "UserId": f"{ACCOUNT}:bob", "Account": ACCOUNT, "Arn": f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
        "ResponseMetadata": 0,
    }  # fmt: skip
    who = open_token(lab.front.sealer, made["SessionToken"]).principal
    assert who.session is not None
    assert (who.session.policies, who.session.tags) == ((policy,), (("team", "a"),))
    assert code_of(lab.front.with_session("iam", made).list_users) == "InvalidClientTokenId"
    assert code_of(lab.sts(made).assume_role, RoleArn="arn:aws:iam::1:role/x", RoleSessionName="s1") == "AccessDenied"
    assert code_of(lab.sts(made).get_access_key_info, AccessKeyId=KEY * 3) == "AccessDenied"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"Name": "x"}, "ValidationError"),
        ({"Name": "bob bob"}, "ValidationError"),
        ({"Name": "bob", "Policy": "x" * 2049}, "ValidationError"),
        ({"Name": "bob", "Policy": "[]"}, "MalformedPolicyDocument"),
        ({"Name": "bob", "DurationSeconds": 899}, "ValidationError"),
        ({}, "ValidationError"),
    ],
)
def test_bad_input(lab: Lab, how: dict[str, object], code: str) -> None:
    assert code_of(lab.front.client("sts").get_federation_token, **how) == code


def test_a_user_needs_permission_for_federation(lab: Lab) -> None:
    assert code_of(lab.user().get_federation_token, Name="bob") == "AccessDenied"


# ---------------------------------------------------------------------- keys and what is not served
def test_a_key_tells_its_account(lab: Lab) -> None:
    root = lab.front.client("sts")
    made = root.get_session_token()["Credentials"]
    lab.user()
    for key in (made["AccessKeyId"], lab.key["AccessKeyId"]):
        assert root.get_access_key_info(AccessKeyId=key)["Account"] == ACCOUNT
    assert message_of(root.get_access_key_info, AccessKeyId="AKID0000000000000000")
    assert code_of(root.get_access_key_info, AccessKeyId="x") == "ValidationError"


def test_what_is_not_served(lab: Lab) -> None:
    root = lab.front.client("sts")
    assert code_of(root.get_web_identity_token, Audience=["x"], SigningAlgorithm="RS256") == "UnsupportedOperation"
