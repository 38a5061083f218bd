"""Amazon S3 through the server: bodies over the wire, with and without TLS, as boto3 sends them."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import botocore.auth
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from ringfence.api.connection import Connection
from ringfence.model.quotas import Limits
from ringfence.store.buckets import BucketFiles
from tests.api.front import KEY, SECRET, URL, Answer, Front, http_request, signed
from tests.api.live import Live, answer, eventually, live, raw
from tests.api.test_server import certificate  # noqa: F401  a fixture


def _client(server: Live) -> Any:
    config = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
    return boto3.session.Session().client(
        "s3", region_name="us-east-1", endpoint_url=server.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET, config=config,
        verify=str(server.tls[0]) if server.tls else None,
    )  # fmt: skip


@pytest.fixture(params=["http", "https"])
def server(request: Any, tmp_path: Path) -> Iterator[Live]:
    tls = request.getfixturevalue("certificate") if request.param == "https" else None
    front = Front(objects=BucketFiles(tmp_path / "buckets"))
    front.pipeline.limits = Limits({"s3-object-bytes": 24 << 20})
    running = Live(front, tls=tls, protocol=Connection)
    try:
        _client(running).create_bucket(Bucket="logs")
        yield running
    finally:
        running.stop()


@pytest.mark.parametrize("size", [0, 1, 100_000, (1 << 20) + 1, 9 << 20])
def test_bodies_of_all_sizes(server: Live, size: int) -> None:
    """Over TLS botocore sends an unsigned body in chunks with its checksum behind; over HTTP it signs the whole body."""
    s3, body = _client(server), os.urandom(size)
    kinds: list[str] = []
    s3.meta.events.register(
        "before-send.s3.PutObject", lambda request, **_: kinds.append(str(request.headers["X-Amz-Content-SHA256"]))
    )
    for algorithm in ("CRC32", "CRC64NVME"):
        s3.put_object(Bucket="logs", Key="k", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket="logs", Key="k", ChecksumMode="ENABLED")
        assert got["Body"].read() == body
        assert got[f"Checksum{algorithm}"]
    streamed = ["STREAMING-UNSIGNED-PAYLOAD-TRAILER" in str(kind) for kind in kinds]
    assert streamed == [bool(server.tls)] * 2
    assert s3.head_object(Bucket="logs", Key="k")["ContentLength"] == size


def test_twenty_megabytes_in_parts(server: Live) -> None:
    s3, body = _client(server), os.urandom(20 << 20)
    s3.upload_fileobj(io.BytesIO(body), "logs", "big", Config=TransferConfig(multipart_threshold=8 << 20))
    assert s3.head_object(Bucket="logs", Key="big")["ETag"].endswith('-3"')
    back = io.BytesIO()
    s3.download_fileobj("logs", "big", back)
    assert back.getvalue() == body
    assert server.front.pipeline.internal_errors == 0


def test_too_much_is_refused_and_the_server_lives(server: Live) -> None:
    s3 = _client(server)
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="logs", Key="k", Body=b"x" * ((24 << 20) + 1))
    assert refused.value.response["Error"]["Code"] == "EntityTooLarge"
    with pytest.raises(ClientError) as refused:
        s3.put_bucket_policy(Bucket="logs", Policy=" " * ((1 << 20) + 1))
    assert refused.value.response["Error"]["Code"] == "RequestEntityTooLarge"
    assert s3.list_objects_v2(Bucket="logs")["KeyCount"] == 0


def test_what_is_not_signed_whole_is_not_taken_in_the_clear(tmp_path: Path) -> None:
    """UNSIGNED-PAYLOAD and unsigned chunks count over TLS only (IAM-02)."""
    front = Front(objects=BucketFiles(tmp_path / "buckets"))
    front.client("s3").create_bucket(Bucket="logs")
    body, url = b"3\r\nabc\r\n0\r\n\r\n", f"{URL}/logs/k"
    for kind in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):

        class Claiming(botocore.auth.S3SigV4Auth):
            def payload(self, request: Any, kind: str = kind) -> str:
                return kind

        request = AWSRequest(method="PUT", url=url, data=body)
        Claiming(Credentials(KEY, SECRET), "s3", "us-east-1").add_auth(request)
        plain = http_request("PUT", url, request.headers.items(), body)
        assert Answer(front.pipeline.handle(plain)).code == "SignatureDoesNotMatch"
        expected = 403 if kind.startswith("STREAMING-AWS4") else 200
        assert front.pipeline.handle(replace(plain, secure=True)).status == expected
        front.client("s3").delete_object(Bucket="logs", Key="k")
    assert list(front.objects.keys("logs")) == []  # type: ignore[union-attr]


def announced(path: str, size: int, *, key: str = KEY, secret: str = SECRET) -> bytes:
    """The head of a PUT, signed; of the body it states a hash."""
    request = AWSRequest(method="PUT", url=f"{URL}{path}")
    stated = hashlib.sha256(b"x" * size).hexdigest()

    class Stating(botocore.auth.S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return stated

    Stating(Credentials(key, secret), "s3", "us-east-1").add_auth(request)
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    host = "" if "host" in request.headers else "host: 127.0.0.1:4566\r\n"
    return f"PUT {path} HTTP/1.1\r\n{host}{lines}expect: 100-continue\r\ncontent-length: {size}\r\n\r\n".encode()


def test_an_announced_body_is_asked_for_and_no_more(tmp_path: Path) -> None:
    """100-continue: a body that is too long, or of a head that is not signed, is refused before it is sent."""
    front = Front(objects=BucketFiles(tmp_path / "buckets"))
    with live(front, protocol=Connection) as running:
        for asked, said in (
            (announced("/logs/k", 65 << 20), (400, b"EntityTooLarge")),
            (announced("/logs?policy", 2 << 20), (413, b"RequestEntityTooLarge")),
            (announced("/logs/k", 2 << 20, secret="another"), (403, b"SignatureDoesNotMatch")),
            (announced("/logs/k", 2 << 20, key="AKIDNOBODY"), (403, b"InvalidAccessKeyId")),
            (announced("/logs/k", 2 << 20).replace(b"/logs/k", b"/logs/l"), (403, b"SignatureDoesNotMatch")),
        ):
            with running.connection() as connection:
                connection.sendall(asked)
                status, _, body = answer(connection)
                assert (status, said[1] in body) == (said[0], True), body
        with running.connection() as connection:
            connection.sendall(announced("/logs/k", 2 << 20))
            assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"y" * (2 << 20))  # not what the head said
            assert b"SignatureDoesNotMatch" in answer(connection)[2]


def test_vouched_bodies_have_a_budget_together(tmp_path: Path) -> None:
    """SlowDown, while others hold it: at once for an announced body, and for one that is sent all the same."""
    front = Front(objects=BucketFiles(tmp_path / "buckets"))
    front.client("s3").create_bucket(Bucket="logs")
    with live(front, protocol=Connection) as running:
        budget = running.application.budget(2 << 20)
        budget.limit = 3 << 20
        head, body = announced("/logs/k", 2 << 20), b"x" * (2 << 20)
        with running.connection() as slow, running.connection() as other:
            slow.sendall(head)
            assert slow.recv(4096).startswith(b"HTTP/1.1 100 ")
            slow.sendall(body[:-1])
            eventually(lambda: budget.held > 1 << 20)
            other.sendall(head)
            status, _, text = answer(other)
            assert (status, b"<Code>SlowDown</Code>" in text) == (503, True)
            with running.connection() as impatient:
                impatient.sendall(head.replace(b"expect: 100-continue\r\n", b"") + body)
                assert b"<Code>SlowDown</Code>" in answer(impatient)[2]
            slow.sendall(body[-1:])
            assert answer(slow)[0] == 200
        eventually(lambda: budget.held == 0)
        with running.connection() as after:
            after.sendall(head)
            assert after.recv(4096).startswith(b"HTTP/1.1 100 ")
            after.sendall(body)
            assert answer(after)[0] == 200
        eventually(lambda: budget.held == 0)
    assert [event["errorCode"] for event in front.audit() if "errorCode" in event] == ["SlowDown"] * 2


def test_a_batch_of_log_events_is_no_way_around(tmp_path: Path) -> None:
    """PutLogEvents by a key that there is has more room, of the same budget; by another it has none."""
    target = {"X-Amz-Target": "Logs_20140328.PutLogEvents", "Content-Type": "application/x-amz-json-1.1"}
    body = b" " * (3 << 20)
    with live(Front(), protocol=Connection) as running:
        for key, limit, said in (
            (KEY, 256 << 20, b"ValidationException"),
            (KEY, 1 << 20, b"ServiceUnavailableException"),
            ("AKIDNOBODY", 256 << 20, b"UnrecognizedClientException"),
        ):
            running.application.budget(4 << 20).limit = limit
            with running.connection() as connection:
                connection.sendall(raw(signed(body, service="logs", key=key, headers=target)))
                assert said in answer(connection)[2], said
        assert running.application.budget(4 << 20).held == 0
