"""AssumeRole over the wire (IAM-05, IAM-08, IAM-09, IAM-10, IAM-19)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ringfence.model.kinds import ROLE
from tests.api.front import ACCOUNT, KEY, OTHER_ACCOUNT, SECRET
from tests.api.ops.sts.lab import Lab, code_of, document, message_of, statement, trusting

ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
MAY_ASSUME = document(statement("sts:*", Resource="*"))
ROOT, OTHER_ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"}


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_the_credentials_sign_and_tell_who_they_are(lab: Lab) -> None:
    ann = lab.user()
    arn = lab.role(trusting({"AWS": ANN}), Path="/team/")
    assert arn == f"arn:aws:iam::{ACCOUNT}:role/team/app"
    reply = ann.assume_role(RoleArn=arn, RoleSessionName="s1")
    made = reply["Credentials"]
    assert reply["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/app/s1"
    assert made["AccessKeyId"].startswith("ASIA")
    assert len(made["AccessKeyId"]) == 20
    assert len(made["SecretAccessKey"]) == 40
    assert len(made["SessionToken"]) == reply["SessionTokenSize"] < 1024
    assert 3590 <= (made["Expiration"] - datetime.now(UTC)).total_seconds() <= 3601
    who = lab.sts(made).get_caller_identity()
    assert (who["Arn"], who["Account"]) == (reply["AssumedRoleUser"]["Arn"], ACCOUNT)
    assert who["UserId"] == reply["AssumedRoleUser"]["AssumedRoleId"]


# ---------------------------------------------------------------------- who may (IAM-09)
@pytest.mark.parametrize(
    ("trust", "policy", "allowed"),
    [
        (trusting({"AWS": ANN}), None, True),  # same account, named itself: the trust policy alone
        (trusting(ROOT), None, False),  # the account named: its policies decide
        (trusting(ROOT), MAY_ASSUME, True),
        (trusting(OTHER_ROOT), MAY_ASSUME, False),
        (trusting({"Service": "ec2.amazonaws.com"}), MAY_ASSUME, False),
        (trusting({"AWS": ANN}), document(statement("sts:AssumeRole", "Deny", Resource="*")), False),
        (document(statement("sts:AssumeRole", "Deny", Principal="*")), MAY_ASSUME, False),
        (trusting(ROOT), document(statement("sts:AssumeRole", Resource=f"arn:aws:iam::{ACCOUNT}:role/other")), False),
        (trusting(ROOT), document(statement("sts:AssumeRole", Resource=f"arn:aws:iam::{ACCOUNT}:role/app")), True),
        (trusting(ROOT, "sts:AssumeRoleWithSAML"), MAY_ASSUME, False),
    ],
)
def test_trust_and_permission_in_one_account(lab: Lab, trust: str, policy: str | None, allowed: bool) -> None:
    ann, arn = lab.user(policy=policy), lab.role(trust)
    if allowed:
        assert lab.session(ann, arn)
    else:
        text = message_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1")
        assert text == f"User: {ANN} is not authorized to perform: sts:AssumeRole on resource: {arn}"


@pytest.mark.parametrize(
    ("trust", "policy", "allowed"),
    [
        (trusting(ROOT), MAY_ASSUME, True),
        (trusting({"AWS": ANN}), MAY_ASSUME, True),
        (trusting({"AWS": ANN}), None, False),
        (trusting(OTHER_ROOT), MAY_ASSUME, False),
    ],
)
def test_both_sides_across_accounts(lab: Lab, trust: str, policy: str | None, allowed: bool) -> None:
    ann, arn = lab.user(policy=policy), lab.role(trust, account=OTHER_ACCOUNT)
    if allowed:
        assert lab.sts(lab.session(ann, arn)).get_caller_identity()["Account"] == OTHER_ACCOUNT
    else:
        assert code_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1") == "AccessDenied"


def test_a_role_that_is_not_there_looks_like_one_that_does_not_trust(lab: Lab) -> None:
    ann = lab.user(policy=MAY_ASSUME)
    arn = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    text = message_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1")
    assert text == f"User: {ANN} is not authorized to perform: sts:AssumeRole on resource: {arn}"
    lab.role(trusting(ROOT), Path="/team/")
    assert code_of(ann.assume_role, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/app", RoleSessionName="s1") == "AccessDenied"


def test_the_root_user_assumes_no_roles(lab: Lab) -> None:
    arn = lab.role(trusting(ROOT))
    text = message_of(lab.front.client("sts").assume_role, RoleArn=arn, RoleSessionName="s1")
    assert text == "Roles may not be assumed by root accounts."


def test_the_external_id(lab: Lab) -> None:
    ann = lab.user(policy=MAY_ASSUME)
    arn = lab.role(trusting(ROOT, Condition={"StringEquals": {"sts:ExternalId": "x-17"}}))
    assert lab.session(ann, arn, ExternalId="x-17")
    assert code_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1", ExternalId="x-18") == "AccessDenied"
    assert code_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1") == "AccessDenied"


# ---------------------------------------------------------------------- duration and chains
@pytest.mark.parametrize(
    ("maximum", "asked", "code"),
    [(3600, 900, None), (3600, 3600, None), (3600, 3601, "ValidationError"), (7200, 7200, None),
     (7200, 7201, "ValidationError"), (3600, 899, "ValidationError"), (43200, 43201, "ValidationError")],
)  # fmt: skip
def test_the_duration_is_up_to_the_roles_maximum(lab: Lab, maximum: int, asked: int, code: str | None) -> None:
    ann, arn = lab.user(policy=MAY_ASSUME), lab.role(trusting(ROOT), MaxSessionDuration=maximum)
    if code is None:
        made = lab.session(ann, arn, DurationSeconds=asked)
        assert abs((made["Expiration"] - datetime.now(UTC)).total_seconds() - asked) < 10
    else:
        assert code_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1", DurationSeconds=asked) == code


def test_a_chained_session_lasts_an_hour_at_most(lab: Lab) -> None:
    ann = lab.user(policy=MAY_ASSUME)
    first = lab.role(trusting(ROOT), policy=MAY_ASSUME)
    second = lab.role(trusting({"AWS": first}), name="second", MaxSessionDuration=7200)
    chained = lab.sts(lab.session(ann, first))
    text = message_of(chained.assume_role, RoleArn=second, RoleSessionName="s2", DurationSeconds=3601)
    assert text == "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    made = lab.session(chained, second, "s2")
    assert lab.sts(made).get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/second/s2"


# ---------------------------------------------------------------------- tags and source identity
def _tag(key: str, value: str) -> dict[str, str]:
    return {"Key": key, "Value": value}


def test_session_tags_need_their_permission_on_both_sides_and_go_along_when_transitive(lab: Lab) -> None:
    ann = lab.user(policy=MAY_ASSUME)
    plain = lab.role(trusting(ROOT))
    assert "sts:TagSession" in message_of(
        ann.assume_role, RoleArn=plain, RoleSessionName="s1", Tags=[_tag("team", "a")]
    )
    first = lab.role(
        trusting(ROOT, "sts:AssumeRole", "sts:TagSession", Condition={"StringEquals": {"aws:RequestTag/team": "a"}}),
        name="first", policy=MAY_ASSUME,
    )  # fmt: skip
    assert code_of(ann.assume_role, RoleArn=first, RoleSessionName="s1", Tags=[_tag("team", "b")]) == "AccessDenied"
    made = lab.session(ann, first, Tags=[_tag("team", "a"), _tag("x", "1")], TransitiveTagKeys=["team"])
    by_tag = {"StringEquals": {"aws:PrincipalTag/team": "a"}, "Null": {"aws:RequestTag/x": "true"}}
    second = lab.role(trusting({"AWS": first}, "sts:AssumeRole", "sts:TagSession", Condition=by_tag), name="second",
                      policy=MAY_ASSUME)  # fmt: skip
    onward = lab.session(lab.sts(made), second, "s2")
    third = lab.role(
        trusting({"AWS": second}, "sts:AssumeRole", "sts:TagSession", Condition={"StringEquals": {"aws:PrincipalTag/team": "a"}}),
        name="third",
    )  # fmt: skip
    assert lab.session(lab.sts(onward), third, "s3")
    clash = message_of(lab.sts(onward).assume_role, RoleArn=third, RoleSessionName="s3", Tags=[_tag("TEAM", "b")])
    assert "conflicts with a transitive tag key" in clash


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"Tags": [_tag("a", "1"), _tag("A", "2")]}, "InvalidParameterValue"),
        ({"Tags": [_tag("aws:x", "1")]}, "InvalidParameterValue"),
        ({"Tags": [_tag("a", "1")], "TransitiveTagKeys": ["b"]}, "InvalidParameterValue"),
        ({"Tags": [_tag(f"k{n}", "") for n in range(51)]}, "ValidationError"),
        ({"Tags": [_tag(f"T{n}", "a" * 250) for n in range(1, 10)]}, "PackedPolicyTooLarge"),
        ({"Tags": [_tag("a", "%%%")]}, "ValidationError"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
        ({"Policy": document(*[statement("ec2:*", Resource="*")] * 60)}, "ValidationError"),
        ({"PolicyArns": [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/nothing"}]}, "ValidationError"),
        ({"SerialNumber": "arn:aws:iam::1:mfa/x"}, "AccessDenied"),
        ({"SerialNumber": "arn:aws:iam::1:mfa/x", "TokenCode": "123456"}, "AccessDenied"),
        ({"TokenCode": "12345"}, "ValidationError"),
        ({"ExternalId": "a b"}, "ValidationError"),
        ({"ProvidedContexts": [{"ProviderArn": "arn:aws:iam::aws:contextProvider/IdentityCenter",
                                "ContextAssertion": "xxxx"}]}, "UnsupportedOperation"),
        ({"RoleSessionName": "s" * 65}, "ValidationError"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
    ],
)  # fmt: skip
def test_bad_input(lab: Lab, how: dict[str, Any], code: str) -> None:
    ann, arn = lab.user(policy=MAY_ASSUME), lab.role(trusting(ROOT, "sts:AssumeRole", "sts:TagSession"))
    before = lab.front.store.world
    assert code_of(ann.assume_role, **{"RoleArn": arn, "RoleSessionName": "s1", **how}) == code
    assert lab.front.store.world is before
    assert lab.front.audit()[-1]["errorCode"] == code


def test_the_percentage_is_that_of_aws_for_nine_long_tags(lab: Lab) -> None:
    """As users report it of AWS: nine tags of 252 characters are 498 % of the space."""
    ann, arn = lab.user(policy=MAY_ASSUME), lab.role(trusting(ROOT, "sts:AssumeRole", "sts:TagSession"))
    tags = [_tag(f"T{n}", "a" * 250) for n in range(1, 10)]
    text = message_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1", Tags=tags)
    assert text == "Packed size of session tags consumes 498% of allotted space."


def test_the_source_identity_stays(lab: Lab) -> None:
    ann = lab.user(policy=MAY_ASSUME)
    both = ("sts:AssumeRole", "sts:SetSourceIdentity")
    first = lab.role(trusting(ROOT, *both, Condition={"StringLike": {"sts:SourceIdentity": "ann*"}}), policy=MAY_ASSUME)
    assert code_of(ann.assume_role, RoleArn=first, RoleSessionName="s1", SourceIdentity="bob") == "AccessDenied"
    reply = ann.assume_role(RoleArn=first, RoleSessionName="s1", SourceIdentity="ann.lee")
    assert reply["SourceIdentity"] == "ann.lee"
    second = lab.role(
        trusting({"AWS": first}, *both, Condition={"StringEquals": {"aws:SourceIdentity": "ann.lee"}}), name="b"
    )
    chained = lab.sts(reply["Credentials"])
    assert code_of(chained.assume_role, RoleArn=second, RoleSessionName="s2", SourceIdentity="eve") == "AccessDenied"
    assert chained.assume_role(RoleArn=second, RoleSessionName="s2")["SourceIdentity"] == "ann.lee"
    plain = lab.role(trusting({"AWS": first}), name="plain")
    assert "sts:SetSourceIdentity" in message_of(chained.assume_role, RoleArn=plain, RoleSessionName="s2")


# ---------------------------------------------------------------------- session policies (IAM-19)
def test_a_session_policy_limits_what_the_session_can_assume(lab: Lab) -> None:
    ann = lab.user(policy=MAY_ASSUME)
    first = lab.role(trusting(ROOT), policy=MAY_ASSUME)
    second = lab.role(trusting(ROOT), name="second")
    only_describe = document(statement("ec2:Describe*", Resource="*"))
    limited = lab.sts(lab.session(ann, first, Policy=only_describe))
    assert code_of(limited.assume_role, RoleArn=second, RoleSessionName="s2") == "AccessDenied"
    managed = lab.iam[ACCOUNT].create_policy(PolicyName="p", PolicyDocument=MAY_ASSUME)["Policy"]["Arn"]
    reply = ann.assume_role(RoleArn=first, RoleSessionName="s1", Policy=only_describe, PolicyArns=[{"arn": managed}])
    assert 0 < reply["PackedPolicySize"] <= 100
    assert lab.session(lab.sts(reply["Credentials"]), second, "s2")


# ---------------------------------------------------------------------- MFA (IAM-10)
def test_a_second_factor_is_a_condition_of_the_call_and_of_the_session(lab: Lab) -> None:
    ann = lab.user(policy=MAY_ASSUME)
    arn = lab.role(trusting(ROOT, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}))
    serial = lab.device()
    assert code_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1") == "AccessDenied"
    shown = {"SerialNumber": serial, "TokenCode": lab.code()}
    assert lab.session(ann, arn, **shown)
    again = message_of(ann.assume_role, RoleArn=arn, RoleSessionName="s1", **shown)
    assert again == "MultiFactorAuthentication failed, invalid MFA one time pass code."
    bob = lab.user("bob", MAY_ASSUME)
    other = {"SerialNumber": serial, "TokenCode": lab.code(1)}
    assert "associated with this user" in message_of(bob.assume_role, RoleArn=arn, RoleSessionName="s1", **other)
    hidden = [event for event in lab.front.audit() if event["eventName"] == "AssumeRole" and event["requestParameters"]]
    assert {event["requestParameters"].get("TokenCode", "HIDDEN_DUE_TO_SECURITY_REASONS") for event in hidden} == {
        "HIDDEN_DUE_TO_SECURITY_REASONS"
    }


# ---------------------------------------------------------------------- the end of a session (IAM-08)
def test_sessions_end(lab: Lab) -> None:
    ann, arn = lab.user(), lab.role(trusting({"AWS": ANN}))
    made = lab.session(ann, arn)
    client, ec2 = lab.sts(made), lab.front.with_session("ec2", made)
    assert client.get_caller_identity()
    lab.front.clock.skew = timedelta(hours=1, seconds=2)
    late = Lab.__new__(Lab)
    late.front = lab.front
    assert late_code(lab, made, "sts") == "ExpiredToken"
    assert late_code(lab, made, "ec2") == "RequestExpired"
    lab.front.clock.skew = timedelta()
    world = lab.front.store.world
    role = next(row for row in world.all(ROLE) if row.name == "app")
    lab.put(ROLE, replace(role, revoked_before=datetime.now(UTC).timestamp() + 1))
    assert code_of(client.get_caller_identity) == "ExpiredToken"
    assert code_of(ec2.describe_vpcs) == "RequestExpired"
    lab.put(ROLE, replace(role, revoked_before=None))
    assert client.get_caller_identity()
    lab.iam[ACCOUNT].delete_role(RoleName="app")
    assert code_of(client.get_caller_identity) == "InvalidClientTokenId"
    assert code_of(ec2.describe_vpcs) == "AuthFailure"
    lab.role(trusting({"AWS": ANN}))
    assert code_of(client.get_caller_identity) == "InvalidClientTokenId"


def late_code(lab: Lab, made: Any, service: str) -> str:
    """The code of a call that is signed by the installation's clock."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    from tests.api.front import URL, Answer, http_request

    action = {"sts": b"Action=GetCallerIdentity", "ec2": b"Action=DescribeVpcs"}[service]
    signer = SigV4Auth(
        Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]), service, "us-east-1"
    )
    request = AWSRequest(
        method="POST", url=URL + "/", data=action, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    request.headers["X-Amz-Date"] = stamp = lab.front.clock.now().strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Security-Token"] = made["SessionToken"]
    request.context["timestamp"] = stamp
    text = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, text), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"
    )
    return Answer(lab.front.pipeline.handle(http_request("POST", URL + "/", request.headers.items(), action))).code


def test_the_issuing_key_may_go(lab: Lab) -> None:
    """AWS: deleting or deactivating the key that asked for a session does not end the session."""
    ann, arn = lab.user(), lab.role(trusting({"AWS": ANN}))
    made = lab.session(ann, arn)
    lab.iam[ACCOUNT].delete_access_key(UserName="ann", AccessKeyId=lab.key["AccessKeyId"])
    assert lab.sts(made).get_caller_identity()


@pytest.mark.parametrize("service", ["sts", "ec2"])
def test_a_token_missing_foreign_or_of_another_key_is_refused(lab: Lab, service: str) -> None:
    ann, arn = lab.user(), lab.role(trusting({"AWS": ANN}))
    one, two = lab.session(ann, arn), lab.session(ann, arn)
    foreign = lab_session(Lab())
    refused = {"sts": "InvalidClientTokenId", "ec2": "AuthFailure"}[service]
    for wrong in (one | {"SessionToken": None}, one | {"SessionToken": two["SessionToken"]},
                  one | {"SessionToken": "AAAA"}, one | {"SessionToken": foreign["SessionToken"]}, foreign):  # fmt: skip
        client = lab.front.with_session(service, wrong)
        call = client.get_caller_identity if service == "sts" else client.describe_vpcs
        assert code_of(call) == refused
    mine = lab.front.client(service, key=KEY, secret=SECRET, token=one["SessionToken"])
    assert code_of(mine.get_caller_identity if service == "sts" else mine.describe_vpcs) == refused
    wrong_secret = lab.front.with_session("sts", one | {"SecretAccessKey": two["SecretAccessKey"]})
    assert code_of(wrong_secret.get_caller_identity) == "SignatureDoesNotMatch"


def lab_session(other: Lab) -> Any:
    return other.session(other.user(), other.role(trusting({"AWS": ANN})))


def test_presigned_requests_carry_the_token_in_the_query(lab: Lab) -> None:
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    from tests.api.front import URL, Answer, http_request

    made = lab_session(lab)
    other = lab_session_again(lab)

    def ask(token: str | None) -> Any:
        request = AWSRequest(method="GET", url=URL + "/?Action=GetCallerIdentity&Version=2011-06-15")
        SigV4QueryAuth(Credentials(made["AccessKeyId"], made["SecretAccessKey"], token), "sts", "us-east-1").add_auth(
            request
        )
        prepared = request.prepare()
        return Answer(lab.front.pipeline.handle(http_request("GET", prepared.url, prepared.headers.items(), b"")))

    assert ask(made["SessionToken"]).status == 200
    assert ask(None).code == "InvalidClientTokenId"
    assert ask(other["SessionToken"]).code == "InvalidClientTokenId"


def lab_session_again(lab: Lab) -> Any:
    client = lab.front.client("sts", key=lab.key["AccessKeyId"], secret=lab.key["SecretAccessKey"])
    return lab.session(client, f"arn:aws:iam::{ACCOUNT}:role/app")


def test_a_padded_token(lab: Lab) -> None:
    ann, arn = lab.user(), lab.role(trusting({"AWS": ANN}))
    reply = ann.assume_role(RoleArn=arn, RoleSessionName="s1", MinimumSessionTokenSize=3000)
    assert 3000 <= reply["SessionTokenSize"] <= 3004
    assert reply["SessionTokenUtilization"] == 73
    assert lab.sts(reply["Credentials"]).get_caller_identity()


def test_the_consoles_way_to_revoke_sessions_works(lab: Lab) -> None:
    """IAM User Guide, "Revoke IAM role temporary security credentials": the inline policy AWSRevokeOlderSessions denies all to
    sessions older than its time (IAM-07)."""
    sts = lab.user(policy=document(statement("sts:AssumeRole", Resource="*")))
    arn = lab.role(trusting({"AWS": ANN}), policy=document(statement("ec2:DescribeVpcs", Resource="*")))
    old = lab.front.with_session("ec2", lab.session(sts, arn))
    assert old.describe_vpcs()
    moment = (lab.front.clock.now() + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    older = {"DateLessThan": {"aws:TokenIssueTime": moment}}
    deny = document(statement(["*"], "Deny", Resource=["*"], Condition=older))
    lab.iam[ACCOUNT].put_role_policy(RoleName="app", PolicyName="AWSRevokeOlderSessions", PolicyDocument=deny)
    assert code_of(old.describe_vpcs) == "UnauthorizedOperation"
    assert "explicit deny" in message_of(old.describe_vpcs)
    lab.front.clock.skew = timedelta(seconds=2)
    assert lab.front.with_session("ec2", lab.session(sts, arn)).describe_vpcs()
    assert code_of(old.describe_vpcs) == "UnauthorizedOperation"
