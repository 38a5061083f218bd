"""Tokens and headers from anywhere: AWS's error or success, never a fault of ours (INF-13)."""

from __future__ import annotations

import base64
from urllib.parse import urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.front import ACCOUNT, URL, Answer, http_request, signed
from tests.api.ops.sts.lab import Lab, trusting

LAB = Lab()
MADE = LAB.session(LAB.user(), LAB.role(trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"})))
TOKEN = MADE["SessionToken"]
EXPECTED = {"InvalidClientTokenId", "SignatureDoesNotMatch", "IncompleteSignature", "AuthFailure", "ExpiredToken",
            "MissingAuthenticationToken", "RequestExpired"}  # fmt: skip


def _bend(token: str, at: int, text: str) -> str:
    at %= len(token)
    return token[:at] + text + token[at + len(text) :]


tokens = st.one_of(
    st.builds(_bend, st.just(TOKEN), st.integers(0, 5000), st.text("ABCabc019+/=\\x20-_", max_size=6)),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60),
    st.binary(min_size=1, max_size=200).map(lambda raw: base64.b64encode(raw).decode()),
    st.builds(lambda raw: base64.b64encode(LAB.front.sealer.seal(raw, "session")).decode(), st.just(b"")),
    st.just(TOKEN * 40),
    st.just(TOKEN),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    token=tokens,
    service=st.sampled_from(["sts", "ec2", "iam"]),
    key=st.sampled_from([MADE["AccessKeyId"], "AKIDROOT", "ASIA"]),
)
def test_any_token(token: str, service: str, key: str) -> None:
    action = {"sts": b"Action=GetCallerIdentity", "ec2": b"Action=DescribeVpcs", "iam": b"Action=ListUsers"}[service]
    request = signed(action, service=service, key=key, secret=MADE["SecretAccessKey"], token=token or None)
    answer = Answer(LAB.front.pipeline.handle(request))
    assert answer.status < 500
    mine = token == TOKEN and key == MADE["AccessKeyId"]
    assert answer.code in ({"", "AccessDenied", "UnauthorizedOperation"} if mine else EXPECTED)
    assert LAB.front.pipeline.internal_errors == 0


names = st.sampled_from(
    [
        "authorization",
        "x-amz-security-token",
        "x-amz-date",
        "x-amz-target",
        "content-type",
        "host",
        "x-amz-content-sha256",
    ]
)
values = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40)


@settings(max_examples=150, deadline=None)
@given(
    action=st.sampled_from(["AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRole", "GetCallerIdentity", "X"]),
    headers=st.lists(st.tuples(names, values), max_size=3),
    form=st.dictionaries(
        st.sampled_from(["RoleArn", "RoleSessionName", "SAMLAssertion", "PrincipalArn", "WebIdentityToken", "Policy",
                         "DurationSeconds", "PolicyArns.member.1.arn", "Tags.member.1.Key"]),
        st.text(max_size=30), max_size=6),
)  # fmt: skip
def test_any_unsigned_request(action: str, headers: list[tuple[str, str]], form: dict[str, str]) -> None:
    body = urlencode({"Action": action, "Version": "2011-06-15", **form}).encode("utf-8", "replace")
    given = {"content-type": "application/x-www-form-urlencoded", **dict(headers)}
    response = LAB.front.pipeline.handle(http_request("POST", URL + "/", given.items(), body))
    assert 400 <= response.status < 500
    assert LAB.front.pipeline.internal_errors == 0
