"""AssumeRoleWithWebIdentity and AssumeRoleWithSAML over the wire, without a signature (IAM-12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config

from ringfence.api.wire.http import HttpRequest
from ringfence.model.kinds import OIDC_PROVIDER, SAML_PROVIDER
from ringfence.model.nouns.identity import OidcProvider, SamlProvider
from tests.api.front import URL, Answer
from tests.api.ops.sts.lab import Lab, code_of, trusting
from tests.identity import providers
from tests.identity.providers import CLIENT, ISSUER, jwks

ACCOUNT = "123456789012"
HOST = ISSUER.removeprefix("https://")
OIDC_ARN, SAML_ARN = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{HOST}", f"arn:aws:iam::{ACCOUNT}:saml-provider/corp"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/app"
WEB, SAML = "sts:AssumeRoleWithWebIdentity", "sts:AssumeRoleWithSAML"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    row = OidcProvider(id=OIDC_ARN, owner_id=ACCOUNT, region="aws-global", url=HOST, client_ids=(CLIENT,), created=0,
                       keys=jwks(0))  # fmt: skip
    lab.put(OIDC_PROVIDER, row)
    metadata = providers.metadata()
    lab.put(SAML_PROVIDER, SamlProvider(id=SAML_ARN, owner_id=ACCOUNT, region="aws-global", name="corp", metadata=metadata,
                                        created=0))  # fmt: skip
    return lab


def anonymous(lab: Lab) -> Any:
    import boto3

    client = boto3.client("sts", region_name="us-east-1", endpoint_url=URL,
                          config=Config(signature_version=UNSIGNED, parameter_validation=False))  # fmt: skip
    client.meta.events.register("before-send", lab.front._send)
    return client


def web(**how: Any) -> dict[str, Any]:
    return {"RoleArn": ROLE, "RoleSessionName": "ci", "WebIdentityToken": providers.token(now=now(), **how)}


def test_a_token_becomes_a_role_session(lab: Lab) -> None:
    lab.role(trusting({"Federated": OIDC_ARN}, WEB, Condition={
        "StringEquals": {f"{HOST}:aud": CLIENT, "sts:RoleSessionName": "ci"},
        "StringLike": {f"{HOST}:sub": "repo:acme/*"}}), MaxSessionDuration=7200)  # fmt: skip
    reply = anonymous(lab).assume_role_with_web_identity(**web(), DurationSeconds=7200)
    assert (reply["SubjectFromWebIdentityToken"], reply["Audience"], reply["Provider"]) == (
        "repo:acme/site",
        CLIENT,
        OIDC_ARN,
    )
    who = lab.sts(reply["Credentials"]).get_caller_identity()
    assert who["Arn"] == reply["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/app/ci"
    event = next(e for e in lab.front.audit() if e["eventName"] == "AssumeRoleWithWebIdentity")
    assert event["requestParameters"]["WebIdentityToken"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert event["userIdentity"] == {
        "type": "WebIdentityUser", "principalId": f"{OIDC_ARN}:{CLIENT}:repo:acme/site", "userName": "repo:acme/site",
        "identityProvider": OIDC_ARN,
    }  # fmt: skip
    assert event["recipientAccountId"] == ACCOUNT
    given = event["responseElements"]["Credentials"]
    assert given["AccessKeyId"] == reply["Credentials"]["AccessKeyId"]
    assert reply["Credentials"]["SessionToken"] not in str(lab.front.audit())
    assert code_of(anonymous(lab).assume_role_with_web_identity, **web(sub="repo:evil/site")) == "AccessDenied"
    assert code_of(anonymous(lab).assume_role_with_web_identity, **web() | {"RoleSessionName": "xx"}) == "AccessDenied"
    refused = lab.front.audit()[-1]  # who it was is known, though the role does not trust them
    assert (refused["errorCode"], refused["recipientAccountId"]) == ("AccessDenied", ACCOUNT)
    assert refused["userIdentity"] == event["userIdentity"]
    assert code_of(anonymous(lab).assume_role_with_web_identity, **web(aud="other")) == "InvalidIdentityToken"
    assert lab.front.audit()[-1]["userIdentity"]["type"] == "Unknown"


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"aud": "x"}, "InvalidIdentityToken"),
        ({"iss": "https://other.example.com"}, "InvalidIdentityToken"),
        ({"iss": ISSUER.replace("https", "http")}, "InvalidIdentityToken"),
        ({"key": providers.rsa_key(7)}, "InvalidIdentityToken"),
        ({"exp": 10}, "ExpiredTokenException"),
    ],
)
def test_refused_tokens(lab: Lab, how: dict[str, Any], code: str) -> None:
    lab.role(trusting({"Federated": OIDC_ARN}, WEB))
    assert code_of(anonymous(lab).assume_role_with_web_identity, **web(**how)) == code


def test_only_the_provider_the_role_names_lets_in(lab: Lab) -> None:
    client = anonymous(lab)
    assert code_of(client.assume_role_with_web_identity, **web()) == "AccessDenied"  # no such role
    for n, trust in enumerate((trusting("*", WEB), trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, WEB),
                               trusting({"Federated": OIDC_ARN}, SAML), trusting({"Federated": SAML_ARN}, WEB))):  # fmt: skip
        arn = lab.role(trust, name=f"r{n}")
        wanted = None if n == 0 else "AccessDenied"
        if wanted:
            assert code_of(client.assume_role_with_web_identity, **web() | {"RoleArn": arn}) == wanted


def test_a_provider_without_keys_cannot_be_asked(lab: Lab) -> None:
    row = lab.front.store.world.get(OIDC_PROVIDER, OIDC_ARN)
    from dataclasses import replace

    lab.put(OIDC_PROVIDER, replace(row, keys=None))
    lab.role(trusting({"Federated": OIDC_ARN}, WEB))
    assert code_of(anonymous(lab).assume_role_with_web_identity, **web()) == "IDPCommunicationError"


def test_tags_in_a_token(lab: Lab) -> None:
    claim = {"principal_tags": {"team": ["net"], "x": "1"}, "transitive_tag_keys": ["team"]}
    how = web(**{"https://aws.amazon.com/tags": claim})
    plain = lab.role(trusting({"Federated": OIDC_ARN}, WEB), name="plain")
    assert code_of(anonymous(lab).assume_role_with_web_identity, **how | {"RoleArn": plain}) == "AccessDenied"
    lab.role(
        trusting(
            {"Federated": OIDC_ARN}, WEB, "sts:TagSession", Condition={"StringEquals": {"aws:RequestTag/team": "net"}}
        )
    )
    assert anonymous(lab).assume_role_with_web_identity(**how)["PackedPolicySize"] > 0
    bad = web(**{"https://aws.amazon.com/tags": {"principal_tags": {"team": ["a", "b"]}}})
    assert code_of(anonymous(lab).assume_role_with_web_identity, **bad) == "InvalidIdentityToken"


# ---------------------------------------------------------------------- SAML
def saml(**how: Any) -> dict[str, Any]:
    text = providers.good(now(), **{"roles": f"{ROLE},{SAML_ARN}", **how})
    return {"RoleArn": ROLE, "PrincipalArn": SAML_ARN, "SAMLAssertion": text}


def test_an_assertion_becomes_a_role_session(lab: Lab) -> None:
    condition = {"StringEquals": {"SAML:aud": providers.RECIPIENT, "SAML:sub": "ann@example.com", "SAML:sub_type": "persistent",
                                  "SAML:doc": f"{ACCOUNT}/corp"}}  # fmt: skip
    lab.role(trusting({"Federated": SAML_ARN}, SAML, Condition=condition))
    reply = anonymous(lab).assume_role_with_saml(**saml(attributes={"SessionDuration": "1800"}))
    assert (reply["Subject"], reply["SubjectType"], reply["Issuer"]) == (
        "ann@example.com",
        "persistent",
        providers.ENTITY,
    )
    assert reply["Audience"] == providers.RECIPIENT
    assert reply["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/app/ann"
    assert abs((reply["Credentials"]["Expiration"] - now()).total_seconds() - 1800) < 30
    assert lab.sts(reply["Credentials"]).get_caller_identity()["Arn"] == reply["AssumedRoleUser"]["Arn"]
    called, asked = lab.front.audit()[-1], lab.front.audit()[-2]
    assert asked["userIdentity"] == {
        "type": "SAMLUser", "principalId": f"{reply['NameQualifier']}:ann@example.com", "userName": "ann@example.com",
        "identityProvider": reply["NameQualifier"],
    }  # fmt: skip
    assert asked["responseElements"]["Subject"] == "ann@example.com"
    assert "webIdFederationData" not in called["userIdentity"]["sessionContext"]
    other = saml(roles=f"arn:aws:iam::{ACCOUNT}:role/other,{SAML_ARN}")
    assert code_of(anonymous(lab).assume_role_with_saml, **other) == "AccessDenied"
    assert lab.front.audit()[-1]["userIdentity"] == asked["userIdentity"]


@pytest.mark.parametrize(
    ("how", "given", "code"),
    [
        ({"roles": f"arn:aws:iam::{ACCOUNT}:role/other,{SAML_ARN}"}, {}, "AccessDenied"),
        ({"roles": f"{ROLE},arn:aws:iam::{ACCOUNT}:saml-provider/other"}, {}, "AccessDenied"),
        ({"number": 5}, {}, "InvalidIdentityToken"),
        ({"issuer": "https://x"}, {}, "InvalidIdentityToken"),
        ({}, {"PrincipalArn": f"arn:aws:iam::{ACCOUNT}:saml-provider/none"}, "InvalidIdentityToken"),
        ({}, {"DurationSeconds": 3601}, "ValidationError"),
        ({}, {"SAMLAssertion": "abcd"}, "InvalidIdentityToken"),
        ({"issued": datetime.now(UTC) - timedelta(minutes=10)}, {}, "ExpiredTokenException"),
    ],
)
def test_refused_assertions(lab: Lab, how: dict[str, Any], given: dict[str, Any], code: str) -> None:
    lab.role(trusting({"Federated": SAML_ARN}, SAML))
    assert code_of(anonymous(lab).assume_role_with_saml, **saml(**how) | given) == code


def test_the_provider_of_another_account_lets_nobody_in(lab: Lab) -> None:
    lab.role(trusting({"Federated": f"arn:aws:iam::{ACCOUNT}:saml-provider/other"}, SAML))
    assert code_of(anonymous(lab).assume_role_with_saml, **saml()) == "AccessDenied"


# ---------------------------------------------------------------------- what else is unsigned
def raw(form: str, *headers: tuple[str, str], query: str = "") -> HttpRequest:
    kind = ("content-type", "application/x-www-form-urlencoded")
    return HttpRequest("POST", "/", query, (("host", "127.0.0.1:4566"), kind, *headers), form.encode())


@pytest.mark.parametrize(
    "request_",
    [
        raw("Action=GetCallerIdentity&Version=2011-06-15"),
        raw("Action=AssumeRole&RoleArn=x"),
        raw("Action=DescribeVpcs"),
        raw("Action=AssumeRoleWithSAMLx"),
        raw("Action=DescribeVpcs&Action=AssumeRoleWithSAML"),
        raw("Action=AssumeRoleWithSAML&Action=DescribeVpcs"),
        raw("Action=DescribeVpcs", query="Action=AssumeRoleWithSAML"),
        raw("Action=AssumeRoleWithSAML", ("authorization", "AWS4-HMAC-SHA256 x")),
        raw("Action=AssumeRoleWithSAML", ("x-amz-security-token", "x")),
        raw("Action=AssumeRoleWithSAML", query="X-Amz-Signature=x"),
        raw("Action=AssumeRoleWithSAML", ("x-amz-target", "x.DescribeVpcs")),
        raw("Action=AssumeRoleWithSAML", ("x-amz-target", "x.AssumeRoleWithSAML")),
    ],
)
def test_nothing_else_gets_in_without_a_signature(lab: Lab, request_: HttpRequest) -> None:
    answer = Answer(lab.front.pipeline.handle(request_))
    assert answer.status in (400, 403, 404), answer.response.body
    assert not any(event.get("eventName") == "DescribeVpcs" and "errorCode" not in event for event in lab.front.audit())


def test_what_looks_signed_is_checked_as_signed(lab: Lab) -> None:
    for odd in (raw("Action=AssumeRoleWithSAML", ("authorization", "AWS4-HMAC-SHA256 x")),
                raw("Action=AssumeRoleWithSAML", query="X-Amz-Signature=x")):  # fmt: skip
        assert Answer(lab.front.pipeline.handle(odd)).code == "IncompleteSignature"
    token = raw("Action=AssumeRoleWithSAML", ("x-amz-security-token", "x"))
    assert Answer(lab.front.pipeline.handle(token)).code == "MissingAuthenticationToken"


def test_unsigned_calls_are_checked_and_audited(lab: Lab) -> None:
    answer = Answer(lab.front.pipeline.handle(raw("Action=AssumeRoleWithSAML&Version=2011-06-15")))
    assert answer.code in ("MissingParameter", "ValidationError")
    assert lab.front.audit()[-1]["eventName"] == "AssumeRoleWithSAML"
