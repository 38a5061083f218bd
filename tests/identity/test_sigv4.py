"""Signature Version 4 with botocore's signer as the other side (IAM-01…IAM-04)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.identity.sigv4 import Reason, SignatureFault, Signed, read_signature, verify

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
BODY = b"Action=CreateSecurityGroup&Version=2016-11-15&GroupName=a+b%26c"


def _plain(request: AWSRequest, *, secure: bool = False) -> Signed:
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    headers = {
        name.lower(): value if isinstance(value, str) else value.decode() for name, value in prepared.headers.items()
    }
    headers.setdefault("host", parts.netloc)
    body = prepared.body or b""
    return Signed(
        prepared.method, parts.path, parts.query, headers, body if isinstance(body, bytes) else body.encode(), secure
    )


def by_header(
    *, method: str = "POST", url: str = "http://127.0.0.1:4566/", body: bytes = BODY, service: str = "ec2",
    region: str = "us-east-1", headers: dict[str, str] | None = None, token: str | None = None, secret: str = SECRET,
) -> Signed:  # fmt: skip
    request = AWSRequest(method=method, url=url, data=body, headers={"Content-Type": FORM, **(headers or {})})
    botocore.auth.SigV4Auth(Credentials(KEY, secret, token), service, region).add_auth(request)
    return _plain(request)


def presigned(*, url: str = "http://127.0.0.1:4566/?Action=DescribeVpcs&Version=2016-11-15", service: str = "ec2",
              expires: int = 60, secret: str = SECRET) -> Signed:  # fmt: skip
    request = AWSRequest(method="GET", url=url)
    botocore.auth.SigV4QueryAuth(Credentials(KEY, secret), service, "us-east-1", expires=expires).add_auth(request)
    return _plain(request)


def check(request: Signed, *, now: datetime | None = None) -> None:
    verify(request, read_signature(request), {KEY: SECRET}.get, now or datetime.now(UTC))


def refused(request: Signed, **how: Any) -> Reason:
    with pytest.raises(SignatureFault) as caught:
        check(request, **how)
    return caught.value.reason


# ---------------------------------------------------------------------- accepted
ACCEPTED: dict[str, Callable[[], Signed]] = {
    "form by header": by_header,
    "empty body": lambda: by_header(body=b""),
    "GET with a query": lambda: by_header(method="GET", url="http://h/?b=2&a=1&A=x%20y&a=%2F&empty=&bare", body=b""),
    "spaces and case in header values": lambda: by_header(headers={"X-Amz-Note": "  a   b  "}),
    "JSON with a target": lambda: by_header(service="logs", headers={"X-Amz-Target": "Logs_20140328.DescribeLogGroups"}),
    "a path with escapes": lambda: by_header(url="http://h/a%20b/c/../d/./e//f", service="lambda"),
    "S3 leaves its path alone": lambda: by_header(url="http://h/bucket/a%20b", service="execute-api"),
    "another Region": lambda: by_header(region="eu-central-1"),
    "presigned query": presigned,
    "presigned, awkward parameters": lambda: presigned(url="http://h/?Action=X&Filter.1.Name=tag%3Aa%2Fb&v=%E2%82%AC&~=-_.~"),
    "non-ASCII body": lambda: by_header(body="Action=X&Description=ü日本".encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_botocore_signs_is_accepted(name: str) -> None:
    """IAM-01."""
    check(ACCEPTED[name]())


@settings(max_examples=60, deadline=None)
@given(
    query=st.lists(st.tuples(st.text("abAB =&%/+~é", min_size=1), st.text("abAB =&%/+~é")), max_size=5),
    path=st.lists(st.sampled_from(["a", "B", "..", ".", "", "%20", "é", "a b", "~", "+", "*"]), max_size=5),
    body=st.binary(max_size=50),
)
def test_any_query_path_and_body_that_botocore_signs_is_accepted(
    query: list[tuple[str, str]], path: list[str], body: bytes
) -> None:
    # AWS: a space is %20, never "+"
    asked = urlencode(query, quote_via=quote, safe="-_.~")
    url = "http://h/" + quote("/".join(path), safe="/%~+*") + ("?" + asked if asked else "")
    check(by_header(url=url, body=body, service="lambda"))


# ---------------------------------------------------------------------- refused
def _with_header(request: Signed, name: str, value: str | None) -> Signed:
    headers = {key: old for key, old in request.headers.items() if key != name}
    return replace(request, headers=headers if value is None else {**headers, name: value})


def _authorization(request: Signed, old: str, new: str) -> Signed:
    text = request.headers["authorization"]
    assert old in text
    return _with_header(request, "authorization", text.replace(old, new, 1))


def _query(request: Signed, old: str, new: str) -> Signed:
    assert old in request.query
    return replace(request, query=request.query.replace(old, new, 1))


def _stamp(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y%m%dT%H%M%SZ")


JSON_CALL = {"headers": {"X-Amz-Target": "Logs_20140328.DescribeLogGroups"}, "service": "logs"}
TAMPERED: dict[str, tuple[Callable[[], Signed], Reason]] = {
    # IAM-01: no signature
    "no signature": (lambda: _with_header(by_header(), "authorization", None), Reason.MISSING),
    "no signature, query in place": (lambda: replace(by_header(), headers={"host": "h"}, query="Action=X"), Reason.MISSING),
    # IAM-02: wrong, unknown, malformed
    "another secret": (lambda: by_header(secret="other"), Reason.MISMATCH),
    "another secret, presigned": (lambda: presigned(secret="other"), Reason.MISMATCH),
    "unknown key": (lambda: _authorization(by_header(), KEY, "AKIDNOBODY"), Reason.UNKNOWN_KEY),
    "another algorithm": (lambda: _authorization(by_header(), "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), Reason.INCOMPLETE),
    "bearer": (lambda: _with_header(by_header(), "authorization", "Bearer abc"), Reason.INCOMPLETE),
    "empty": (lambda: _with_header(by_header(), "authorization", ""), Reason.INCOMPLETE),
    "no credential": (lambda: _authorization(by_header(), "Credential=", "Credentia="), Reason.INCOMPLETE),
    "short scope": (lambda: _authorization(by_header(), "/aws4_request", ""), Reason.INCOMPLETE),
    "other end of scope": (lambda: _authorization(by_header(), "/aws4_request", "/aws5_request"), Reason.INCOMPLETE),
    "no signed headers": (lambda: _authorization(by_header(), "SignedHeaders=", "Signed="), Reason.INCOMPLETE),
    "host not signed": (lambda: _authorization(by_header(), ";host", ""), Reason.INCOMPLETE),
    "signed headers out of order": (lambda: _authorization(by_header(), "content-type;host", "host;content-type"), Reason.INCOMPLETE),
    "signature of 65 digits": (lambda: _authorization(by_header(), "Signature=", "Signature=0"), Reason.INCOMPLETE),
    "signature not hexadecimal": (lambda: _authorization(by_header(), "Signature=", "Signature=zz"), Reason.INCOMPLETE),
    "a second credential": (
        lambda: _authorization(by_header(), "Signed", f"Credential={KEY}/1/r/iam/aws4_request, Signed"), Reason.INCOMPLETE),
    "no date": (lambda: _with_header(by_header(), "x-amz-date", None), Reason.INCOMPLETE),
    "a date of another form": (lambda: _with_header(by_header(), "x-amz-date", "Tue, 24 Nov 2026 10:00:00 GMT"), Reason.INCOMPLETE),
    "a signed header that is not sent": (lambda: _with_header(by_header(), "content-type", None), Reason.INCOMPLETE),
    "presigned without its date": (lambda: _query(presigned(), "X-Amz-Date", "X-Amz-Dat"), Reason.INCOMPLETE),
    "presigned for ever": (lambda: _query(presigned(), "X-Amz-Expires=60", "X-Amz-Expires=604801"), Reason.INCOMPLETE),
    "presigned for no time": (lambda: _query(presigned(), "X-Amz-Expires=60", "X-Amz-Expires=0"), Reason.INCOMPLETE),
    "presigned, parameter given twice": (
        lambda: _query(presigned(), "X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=90"), Reason.INCOMPLETE),
    # IAM-04: anything changed after signing
    "a byte of the body": (lambda: replace(by_header(), body=BODY.replace(b"a+b", b"a+c")), Reason.MISMATCH),
    "body added to none": (lambda: replace(by_header(body=b""), body=b"Action=X"), Reason.MISMATCH),
    "body taken away": (lambda: replace(by_header(), body=b""), Reason.MISMATCH),
    "a signed header": (lambda: _with_header(by_header(), "content-type", "text/plain"), Reason.MISMATCH),
    "the host": (lambda: _with_header(by_header(), "host", "elsewhere:4566"), Reason.MISMATCH),
    "the method": (lambda: replace(by_header(), method="PUT"), Reason.MISMATCH),
    "the path": (lambda: replace(by_header(), path="/x"), Reason.MISMATCH),
    "a query value": (lambda: _query(presigned(), "DescribeVpcs", "DeleteVpcs"), Reason.MISMATCH),
    "a query parameter more": (lambda: replace(presigned(), query=presigned().query + "&DryRun=true"), Reason.MISMATCH),
    "the expiry": (lambda: _query(presigned(), "X-Amz-Expires=60", "X-Amz-Expires=600"), Reason.MISMATCH),
    "a body for a presigned GET": (lambda: replace(presigned(), body=b"Action=DeleteVpc"), Reason.MISMATCH),
    "the Region of the scope": (lambda: _authorization(by_header(), "us-east-1", "us-east-2"), Reason.MISMATCH),
    "the service of the scope": (lambda: _authorization(by_header(), "/ec2/", "/iam/"), Reason.MISMATCH),
    "the date, within the window": (
        lambda: _with_header(by_header(), "x-amz-date", _stamp(-180)), Reason.MISMATCH),
    "a session token added": (lambda: _with_header(by_header(), "x-amz-security-token", "stolen"), Reason.MISMATCH),
    "a target added": (lambda: _with_header(by_header(), "x-amz-target", "X.DeleteLogGroup"), Reason.MISMATCH),
    "the target": (lambda: _with_header(by_header(**JSON_CALL), "x-amz-target", "Logs_20140328.DeleteLogGroup"), Reason.MISMATCH),
    "the target taken out of the signed headers": (lambda: _authorization(by_header(**JSON_CALL), ";x-amz-target", ""), Reason.MISMATCH),
    # the hash of the body is bound, whatever the client says of it
    "hash of another body": (lambda: _with_header(by_header(), "x-amz-content-sha256", hashlib.sha256(b"x").hexdigest()), Reason.MISMATCH),
    "unsigned payload": (lambda: _with_header(by_header(), "x-amz-content-sha256", "UNSIGNED-PAYLOAD"), Reason.MISMATCH),
    "streaming payload": (lambda: _with_header(by_header(), "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), Reason.MISMATCH),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_not_signed_so_is_refused(name: str) -> None:
    """IAM-01, IAM-02, IAM-04."""
    make, reason = TAMPERED[name]
    assert refused(make()) is reason


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_any_bit_of_the_body_counts(position: int, bit: int) -> None:
    """IAM-04."""
    body = bytearray(BODY)
    body[position] ^= 1 << bit
    assert refused(replace(by_header(), body=bytes(body))) is Reason.MISMATCH


@pytest.mark.parametrize("service", ["ec2", "sts", "iam", "logs", "lambda"])
def test_only_s3_over_tls_may_leave_the_payload_unsigned(service: str) -> None:
    """IAM-04: for other services a signed UNSIGNED-PAYLOAD header is refused too."""
    request = by_header(service=service, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert refused(request) is Reason.MISMATCH


def test_s3_may_leave_the_payload_unsigned_over_tls_only() -> None:
    request = AWSRequest(method="PUT", url="https://h/bucket/key", data=b"payload")
    request.context["client_config"] = Config(s3={"payload_signing_enabled": False})
    request.headers["Content-MD5"] = "any"
    botocore.auth.S3SigV4Auth(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(request)
    assert request.headers["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
    check(_plain(request, secure=True))
    assert refused(_plain(request, secure=False)) is Reason.MISMATCH


# ---------------------------------------------------------------------- the clock
WINDOW = [(-902, True), (-898, False), (0, False), (898, False), (902, True)]


@pytest.mark.parametrize(("skew", "late"), WINDOW)
def test_the_clock_window_is_fifteen_minutes_either_way(skew: int, late: bool) -> None:
    """IAM-03. botocore signs at the system's time, to the second: hence two seconds to either side."""
    request, now = by_header(), datetime.now(UTC) + timedelta(seconds=skew)
    if late:
        assert refused(request, now=now) is Reason.EXPIRED
    else:
        check(request, now=now)


@pytest.mark.parametrize(("after", "late"), [(-905, True), (-890, False), (50, False), (65, True), (890, True)])
def test_a_presigned_request_lasts_as_long_as_it_says(after: int, late: bool) -> None:
    """IAM-03: signed for 60 seconds; the window of 15 minutes does not prolong it."""
    request, now = presigned(expires=60), datetime.now(UTC) + timedelta(seconds=after)
    if late:
        assert refused(request, now=now) is Reason.EXPIRED
    else:
        check(request, now=now)


@pytest.mark.parametrize("stamp", ["20261332T000000Z", "20260101T250000Z", "00000101T000000Z"])
def test_a_date_that_is_none_is_malformed(stamp: str) -> None:
    request = _with_header(by_header(), "x-amz-date", stamp)
    request = _authorization(request, by_header().headers["x-amz-date"][:8], stamp[:8])
    assert refused(request) is Reason.INCOMPLETE


def test_a_scope_of_another_day_is_refused() -> None:
    request = _with_header(by_header(), "x-amz-date", "20200101T000000Z")
    assert refused(request) is Reason.MISMATCH


# ---------------------------------------------------------------------- nonsense
@settings(max_examples=200, deadline=None)
@given(
    authorization=st.text(st.characters(max_codepoint=255), max_size=200),
    query=st.text("X-AmzSignatureCredl=&%/", max_size=80),
)
def test_nonsense_is_refused_and_nothing_else(authorization: str, query: str) -> None:
    request = replace(by_header(), query=query)
    refused(_with_header(request, "authorization", "AWS4-HMAC-SHA256 " + authorization))
    refused(_with_header(request, "authorization", authorization))
    refused(_with_header(request, "authorization", None))
