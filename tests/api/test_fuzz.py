"""Hostile input: whatever is sent, the answer is an AWS error or a success, never a 500, and never a hang (INF-13).

Two doors: bytes on a real socket, and signed forms for every served operation (what an authenticated caller may send).
"""

from __future__ import annotations

import json
import random
import socket
import string
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ringfence.app  # noqa: F401  fills the registry
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire import model
from tests.api.front import URL, Answer, Front, signed
from tests.api.live import Live, answer, everything, live, raw
from tests.api.wire.cases import Cases, sent
from tests.api.wire.test_documents import Texts
from tests.api.wire.test_documents import sent as document_request


@pytest.fixture(scope="module")
def running() -> Iterator[Live]:
    with live() as server:
        yield server


def _sound(got: bytes) -> bool:
    """Nothing, or responses none of which says that something broke here."""
    return not got or (got.startswith(b"HTTP/1.1 ") and b"HTTP/1.1 5" not in got and b"Internal" not in got)


@pytest.fixture(scope="module")
def front() -> Front:
    return Front()


# ---------------------------------------------------------------------- bytes on a socket
_LINES = st.lists(st.binary(max_size=40) | st.sampled_from([
    b"host: x", b"content-length: 5", b"content-length: 0", b"transfer-encoding: chunked", b"connection: keep-alive",
    b"connection: upgrade", b"upgrade: websocket", b"expect: 100-continue", b"authorization: AWS4-HMAC-SHA256 Credential=a/b/c/d/e",
    b"authorization: AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/ec2/aws4_request,SignedHeaders=host,Signature=" + b"0" * 64,
    b"x-amz-date: 20260101T000000Z", b"x-amz-target: a.b", b"content-type: application/json", b"smithy-protocol: rpc-v2-cbor",
]), max_size=6)  # fmt: skip
_REQUEST = st.builds(
    lambda method, target, version, lines, body: b"%s %s %s\r\n%s\r\n%s" % (
        method, target, version, b"".join(line + b"\r\n" for line in lines), body),
    st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"get", b"\x00"]),
    st.sampled_from([b"/", b"/?Action=DescribeVpcs", b"*", b"http://h/", b"//", b"/..", b"/%00", b"/\xff", b"?"]) | st.binary(max_size=20),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"HTTP/1.10", b""]),
    _LINES,
    st.binary(max_size=60),
)  # fmt: skip


def _exchange(running: Live, sent_bytes: bytes) -> bytes:
    with running.connection() as connection:
        begun = time.monotonic()
        try:
            connection.sendall(sent_bytes)
            connection.shutdown(socket.SHUT_WR)
            got = everything(connection)
        except (ConnectionResetError, BrokenPipeError, OSError):
            got = b""
        assert time.monotonic() - begun < 5
    return got


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=st.lists(_REQUEST, min_size=1, max_size=3))
def test_bytes_that_look_like_http(running: Live, requests: list[bytes]) -> None:
    assert _sound(_exchange(running, b"".join(requests)))
    assert running.front.pipeline.internal_errors == 0


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_signed_requests_with_bytes_changed(running: Live, data: st.DataObject) -> None:
    """A good request, damaged: refused or, where the damage does not count, answered."""
    whole = bytearray(
        raw(signed(b"Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=cidr&Filter.1.Value.1=10.0.0.0/16"))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(whole) - 1))
        whole[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    assert _sound(_exchange(running, bytes(whole)))
    assert running.front.pipeline.internal_errors == 0


def test_the_server_is_still_there(running: Live) -> None:
    with running.connection() as connection:
        connection.sendall(raw(signed(b"Action=DescribeVpcs")))
        assert answer(connection)[0] == 200


# ---------------------------------------------------------------------- signed forms
_TEXTS = ("", "0", "-1", "99999999999999999999", "true", "null", "a" * 3000, "\x00", "\x7f", "é日🚀", "'\"<&>", "%", "..", "/",
          "10.0.0.0/16", "10.0.0.0/33", "10.0.0.1", "::/0", "fd00::/8", "999.1.1.1/8", "0.0.0.0/0", "1e400", "NaN", "*", "?", "[",
          "\\", "vpc-0", "sg-0123456789abcdef0", "vpc-0123456789abcdef0", "default", "tcp", "-", "256", "65536", "١", "available",
          "2026-13-45", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "AAAA", "=", "us-east-1a", "\n", "arn:aws:")  # fmt: skip


#: part of a parameter's name -> what often suits it, so that calls get past the first check
_SUITABLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("VpcId", ("vpc-",)), ("SubnetId", ("subnet-",)), ("GroupId", ("sg-",)), ("SecurityGroup", ("sg-",)), ("RuleId", ("sgr-",)),
    ("RouteTableId", ("rtb-",)), ("GatewayId", ("igw-",)), ("NetworkAclId", ("acl-",)), ("InterfaceId", ("eni-",)),
    ("InstanceId", ("i-",)), ("ImageId", ("ami-",)), ("AllocationId", ("eipalloc-",)), ("DhcpOptionsId", ("dopt-",)),
    ("ResourceId", ("vpc-", "i-", "sg-")), ("Cidr", ("=10.0.0.0/16", "=172.31.0.0/20", "=10.0.1.0/24", "=0.0.0.0/0")),
    ("Ipv6", ("=::/0", "=fd00::/64", "=1")), ("Address", ("=172.31.0.9", "=10.0.0.7", "=1")), ("Port", ("=0", "=80", "=443", "=-1")),
    ("Protocol", ("=tcp", "=udp", "=icmp", "=-1", "=6", "=58")), ("RuleNumber", ("=1", "=100", "=32766")), ("Count", ("=1", "=2")),
    ("Index", ("=0", "=1")), ("Code", ("=-1", "=0")), ("MaxResults", ("=5", "=7")), ("InstanceType", ("=t3.micro",)),
    ("AvailabilityZone", ("=us-east-1a", "=us-east-1c")), ("Attribute", ("=userData", "=groupSet", "=enableDnsSupport", "=description")),
    ("ResourceType", ("=vpc", "=security-group", "=instance")), ("Filter", ("=vpc-id", "=tag:a", "=cidr", "=*")), ("Key", ("=a", "=b")),
)  # fmt: skip


def _suitable(source: random.Random, name: str, ids: list[str]) -> str | None:
    for part, choices in _SUITABLE:
        if part in name:
            choice = source.choice(choices)
            fitting = [choice[1:]] if choice[0] == "=" else [id for id in ids if id.startswith(choice)]
            return source.choice(fitting) if fitting else None
    return None


def _damaged(source: random.Random, pairs: list[tuple[str, str]], ids: list[str], harm: float) -> list[tuple[str, str]]:
    """The parameters with some left out, most values made suitable, and `harm` of values and names spoilt."""
    out, kept = [], source.choice((0.2, 0.5, 0.9))
    for name, value in pairs:
        if source.random() > kept + (0.5 if name.count(".") == 0 else 0):
            continue
        suited = _suitable(source, name, ids)
        if suited is not None and source.random() < 0.9:
            value = suited
        if source.random() < harm:
            value = source.choice(_TEXTS)
        if source.random() < harm / 8:
            position = source.randrange(len(name))
            name = name[:position] + source.choice(string.printable) + name[position + 1 :]
        out.append((name, value))
    return out


def _served() -> list[tuple[str, str]]:
    """Operations that are asked by forms."""
    return sorted(key for key in OPERATIONS if model.protocol(key[0]) in ("ec2", "query"))


@pytest.mark.parametrize("seed", range(6))
def test_signed_forms_for_every_served_operation(seed: int) -> None:
    """One World that the calls themselves fill; ids in it are used as values, so that calls get past the first check."""
    source, front = random.Random(seed), Front()
    front.ask("Action=DescribeVpcs")
    for service, action in source.sample(_served(), len(_served())):
        operation: Any = model.operation(service, action)
        for sparse in (True, True, False):
            params = (
                Cases(f"{seed}{action}{sparse}", sparse=sparse).value(operation.input_shape)
                if operation.input_shape
                else {}
            )
            if source.random() < 0.9:
                params.pop("DryRun", None)
            ids = [row.id for _, row in front.store.world]
            pairs = _damaged(source, sent(operation, params), ids, source.choice((0.0, 0.05, 0.4)))
            form = urlencode(pairs, quote_via=quote_plus)
            got = Answer(front.pipeline.handle(signed(f"Action={action}&{form}".encode(), service=service)))
            assert got.status < 500, (action, form[:3000], got.message)
    assert front.pipeline.internal_errors == 0


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    action=st.sampled_from(
        ["DescribeVpcs", "CreateSecurityGroup", "RunInstances", "AuthorizeSecurityGroupIngress", "X", ""]
    ),
    pairs=st.lists(
        st.tuples(st.text("IpPermissions.123FilterNameValue-%&=é\x00", max_size=30), st.text(max_size=10)), max_size=6
    ),
    junk=st.binary(max_size=30),
)
def test_signed_nonsense(front: Front, action: str, pairs: list[tuple[str, str]], junk: bytes) -> None:
    body = f"Action={action}&{urlencode(pairs)}&".encode() + junk
    got = Answer(front.pipeline.handle(signed(body)))
    assert got.status < 500
    assert front.pipeline.internal_errors == 0


def _documented() -> list[tuple[str, str]]:
    """Operations that are asked by JSON documents."""
    return sorted(key for key in OPERATIONS if model.protocol(key[0]) in ("json", "rest-json"))


def _twisted(source: random.Random, body: bytes, harm: float) -> bytes:
    """The document with values of other types in places, or with bytes of it changed."""
    if source.random() < harm / 3:
        cut = source.randrange(len(body) + 1)
        return body[:cut] + bytes(source.randrange(256) for _ in range(source.randrange(4))) + body[cut + 1 :]
    odd = (None, 0, -1, 1e308, True, "", "x" * 300, [], {}, [[]], {"a": 1}, "\ud800")

    def twist(value: Any) -> Any:
        if source.random() < harm / 6:
            return source.choice(odd)
        if isinstance(value, dict):
            return {key: twist(item) for key, item in value.items()}
        return [twist(item) for item in value] if isinstance(value, list) else value

    return json.dumps(twist(json.loads(body or b"{}"))).encode()


@pytest.mark.parametrize("seed", range(4))
def test_signed_documents_for_every_served_operation(seed: int) -> None:
    source, front = random.Random(seed), Front()
    assert len(_documented()) > 20
    for service, action in source.sample(_documented(), len(_documented())):
        operation: Any = model.operation(service, action)
        protocol = model.protocol(service)
        for sparse in (True, True, False):
            value = (
                Texts(f"{seed}{action}{sparse}", sparse=sparse).value(operation.input_shape)
                if operation.input_shape
                else {}
            )
            asked = document_request(protocol, operation, value)
            body = _twisted(source, asked.body, source.choice((0.0, 0.3, 1.0)))
            headers = {name: text for name, text in asked.headers if name.startswith(("x-amz-", "content-type"))}
            url = f"{URL}{asked.path}?{asked.query}" if asked.query else URL + asked.path
            got = front.pipeline.handle(signed(body, service=service, method=asked.method, url=url, headers=headers))
            assert got.status < 500, (action, body[:2000], got.body)
    assert front.pipeline.internal_errors == 0
