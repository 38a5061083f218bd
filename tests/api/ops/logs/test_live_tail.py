"""StartLiveTail over a real server, read by unmodified boto3 (CloudWatch Logs API Reference: StartLiveTail; issue: "tail")."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import EventStreamError

from ringfence.api import live_tails
from ringfence.api.connection import Connection
from ringfence.api.live_tails import LiveTails
from ringfence.insight.live_tail import Wanted
from ringfence.model.errors import ApiError
from tests.api.front import ACCOUNT, KEY, SECRET, signed
from tests.api.live import Live, eventually, live, raw
from tests.api.ops.logs.lab import ARN, Lab, code
from tests.api.ops.logs.test_encryption import GUIDE

GROUP = f"{ARN}flows"


class Tailed(Lab):
    """A lab whose front is served, and clients as people have them."""

    server: Live

    def client(self, key: str = KEY, secret: str = SECRET, endpoint: str = "", **config: Any) -> Any:
        return boto3.session.Session().client(
            "logs", region_name="us-east-1", endpoint_url=endpoint or self.server.url, aws_access_key_id=key,
            aws_secret_access_key=secret, config=Config(**{"inject_host_prefix": False, "read_timeout": 10, **config}),
        )  # fmt: skip

    @contextmanager
    def tail(self, client: Any = None, **params: Any) -> Iterator[Iterator[Any]]:
        asked = {"logGroupIdentifiers": [GROUP], **params}
        stream = (client or self.client()).start_live_tail(**asked)["responseStream"]
        try:
            yield iter(stream)
        finally:
            stream.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tailed]:
    made = Tailed(tmp_path_factory.mktemp("tail"))
    made.group()
    made.logs.create_log_stream(logGroupName="flows", logStreamName="app")
    made.group("other", "eni")
    with live(made.front, protocol=Connection) as made.server:
        yield made
    made.tails.close()
    made.events.close()
    assert made.front.pipeline.internal_errors == 0


@pytest.fixture(autouse=True)
def nobody_else(lab: Tailed) -> None:
    eventually(lambda: lab.tails.count == 0)


def until(connection: socket.socket, text: bytes) -> bytes:
    got = b""
    while text not in got:
        piece = connection.recv(4096)
        assert piece, got
        got += piece
    return got


def update(stream: Iterator[Any]) -> list[dict[str, Any]]:
    """The events of the next update that has any."""
    for event in stream:
        if event.get("sessionUpdate", {}).get("sessionResults"):
            return list(event["sessionUpdate"]["sessionResults"])
    raise AssertionError("the stream ended")


def messages(stream: Iterator[Any]) -> list[str]:
    return [each["message"] for each in update(stream)]


def ending(stream: Iterator[Any]) -> EventStreamError:
    with pytest.raises(EventStreamError) as caught:
        list(stream)
    return caught.value


def test_events_come_as_they_are_put(lab: Tailed) -> None:
    with lab.tail(logEventFilterPattern="") as stream:
        begun = next(stream)["sessionStart"]
        assert begun["logGroupIdentifiers"] == [GROUP]
        assert begun["sessionId"]
        assert begun["requestId"]
        assert next(stream)["sessionUpdate"] == {"sessionMetadata": {"sampled": False}, "sessionResults": []}
        now = lab.now
        lab.put((now - 5000, "older than it comes"), (now, "żółw"))
        found = update(stream)
        came = found[0]["ingestionTime"]
        assert abs(came - now) < 5000
        where = {"logStreamName": "eni", "logGroupIdentifier": GROUP, "ingestionTime": came}
        assert found == [
            {"timestamp": now - 5000, "message": "older than it comes", **where},
            {"timestamp": now, "message": "żółw", **where},
        ]
        lab.say("more", group="other")
        lab.say("again")
        assert messages(stream) == ["again"]
    eventually(lambda: lab.tails.count == 0)
    record = [r for r in lab.front.audit() if r["eventName"] == "StartLiveTail"][-1]
    assert record["readOnly"] is True
    assert record["requestParameters"]["logGroupIdentifiers"] == [GROUP]


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({}, ["eni: a", "eni: b", "app: a"]),
        ({"logStreamNames": ["app"]}, ["app: a"]),
        ({"logStreamNamePrefixes": ["en", "x"]}, ["eni: a", "eni: b"]),
        ({"logEventFilterPattern": "b"}, ["eni: b"]),
        ({"logEventFilterPattern": "-b", "logStreamNames": ["eni", "app"]}, ["eni: a", "app: a"]),
        ({"logGroupIdentifiers": [f"{ARN}other", GROUP, GROUP]}, ["eni: a", "eni: b", "app: a", "eni: other"]),
    ],
)
def test_what_was_asked_for_is_shown(lab: Tailed, params: dict[str, Any], shown: list[str]) -> None:
    with lab.tail(**params) as stream:
        next(stream)
        lab.say("a", "b")
        lab.say("a", stream="app")
        lab.say("other", group="other")
        found: list[str] = []
        while len(found) < len(shown):
            found += [f"{each['logStreamName']}: {each['message']}" for each in update(stream)]
        assert found == shown


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"logGroupIdentifiers": []}, "InvalidParameterException"),
        ({"logGroupIdentifiers": ["flows"]}, "InvalidParameterException"),
        ({"logGroupIdentifiers": [f"{GROUP}:*"]}, "InvalidParameterException"),
        ({"logGroupIdentifiers": [f"{ARN}g{n}" for n in range(11)]}, "InvalidParameterException"),
        ({"logGroupIdentifiers": [f"{ARN}nowhere"]}, "ResourceNotFoundException"),
        ({"logGroupIdentifiers": [GROUP.replace("us-east-1", "eu-west-1")]}, "ResourceNotFoundException"),
        ({"logGroupIdentifiers": [GROUP.replace(ACCOUNT, "999999999999")]}, "ResourceNotFoundException"),
        ({"logGroupIdentifiers": [f"{ARN}seldom"]}, "InvalidOperationException"),
        ({"logStreamNames": ["a"], "logStreamNamePrefixes": ["a"]}, "InvalidParameterException"),
        ({"logStreamNames": ["a"], "logGroupIdentifiers": [GROUP, f"{ARN}other"]}, "InvalidParameterException"),
        ({"logStreamNamePrefixes": ["a"], "logGroupIdentifiers": [GROUP, f"{ARN}other"]}, "InvalidParameterException"),
        ({"logStreamNames": ["a:b"]}, "InvalidParameterException"),
        ({"logEventFilterPattern": "[a, b"}, "InvalidParameterException"),
    ],
)
def test_bad_requests_are_refused_and_nothing_is_held(lab: Tailed, params: dict[str, Any], error: str) -> None:
    if "seldom" in str(params):
        lab.logs.create_log_group(logGroupName="seldom", logGroupClass="INFREQUENT_ACCESS")
    before = len(lab.front.audit())
    client = lab.client(parameter_validation=False)
    assert code(client.start_live_tail, **{"logGroupIdentifiers": [GROUP], **params}) == error
    assert lab.tails.count == 0
    assert [r["errorCode"] for r in lab.front.audit()[before:] if r["eventName"] == "StartLiveTail"] == [error]


def user(lab: Tailed, resource: str) -> tuple[Any, str]:
    iam = lab.front.client("iam")
    name = f"u{lab.front.store.world.generation}"
    iam.create_user(UserName=name)
    allow = {"Effect": "Allow", "Action": "logs:StartLiveTail", "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lab.client(key["AccessKeyId"], key["SecretAccessKey"]), name


def test_every_group_must_be_allowed(lab: Tailed) -> None:
    client, _ = user(lab, f"{GROUP}:*")
    with lab.tail(client) as stream:
        assert "sessionStart" in next(stream)
    both = {"logGroupIdentifiers": [GROUP, f"{ARN}other"]}
    assert code(client.start_live_tail, **both) == "AccessDeniedException"
    assert code(user(lab, GROUP)[0].start_live_tail, logGroupIdentifiers=[GROUP]) == "AccessDeniedException"


def test_a_permission_that_goes_ends_the_session(lab: Tailed) -> None:
    client, name = user(lab, f"{GROUP}:*")
    with lab.tail(client) as stream:
        next(stream)
        lab.say("seen")
        assert messages(stream) == ["seen"]
        lab.front.client("iam").delete_user_policy(UserName=name, PolicyName="p")
        lab.say("not seen")
        assert "not authorized to perform: logs:StartLiveTail" in str(ending(stream))
    refused = [r for r in lab.front.audit() if r["eventName"] == "StartLiveTail"][-1]
    assert refused["errorCode"] == "AccessDeniedException"
    eventually(lambda: lab.tails.count == 0)


def test_a_sealed_group_is_shown_as_long_as_its_key_opens(lab: Tailed) -> None:
    kms = lab.front.client("kms")
    key = kms.create_key(Policy=GUIDE)["KeyMetadata"]["Arn"]
    lab.group("sealed", "eni", kmsKeyId=key)
    with lab.tail(logGroupIdentifiers=[f"{ARN}sealed"]) as stream:
        next(stream)
        lab.say("a secret", group="sealed")
        assert messages(stream) == ["a secret"]
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
        # what is put now is refused; what was put before the key went is not shown after
        lab.tails.note(lab.front.store.world.find(*stream_row("sealed")).number, [(lab.now, "late")], lab.now)  # type: ignore[union-attr]
        assert "SessionStreamingException" in str(ending(stream))
    assert code(lab.client().start_live_tail, logGroupIdentifiers=[f"{ARN}sealed"]) == "InvalidParameterException"


def stream_row(group: str) -> tuple[Any, str]:
    from ringfence.model.kinds import LOG_STREAM

    return LOG_STREAM, f"{ARN}{group}:log-stream:eni"


def test_more_than_500_events_are_sampled(lab: Tailed) -> None:
    with lab.tail() as stream:
        next(stream)
        lab.say(*(str(n) for n in range(2000)))
        for event in stream:
            found = event["sessionUpdate"]
            if found["sessionResults"]:
                break
        assert found["sessionMetadata"] == {"sampled": True}
        assert [each["message"] for each in found["sessionResults"]] == [str(n) for n in range(0, 2000, 4)]
        assert next(stream)["sessionUpdate"]["sessionMetadata"] == {"sampled": False}


def test_a_slow_reader_loses_the_oldest_and_is_told(lab: Tailed) -> None:
    body = json.dumps({"logGroupIdentifiers": [GROUP]}).encode()
    head = {"X-Amz-Target": "Logs_20140328.StartLiveTail", "Content-Type": "application/x-amz-json-1.1"}
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", lab.server.port))
        slow.sendall(raw(signed(body, service="logs", headers=head)))
        eventually(lambda: lab.tails.count == 1)
        session = lab.tails._sessions[0]
        for _ in range(40):
            lab.say(*(f"{n:0100000}" for n in range(9)))
            lab.tails.tick()
            assert len(session._held) <= live_tails.HELD_UPDATES
            assert sum(map(len, session._held)) <= live_tails.HELD_BYTES
        assert session._dropped
        lab.tails.tick()
        assert b'"sampled":true' in session._held[-1]
        with lab.tail() as other:  # nobody else is held up
            next(other)
            lab.say("quick")
            assert "quick" in messages(other)
    eventually(lambda: lab.tails.count == 0)


def test_sessions_share_one_thread_and_are_counted(lab: Tailed) -> None:
    before = threading.active_count()
    with lab.tail() as first:
        next(first)
        one = threading.active_count()
        client = lab.client()
        more = [client.start_live_tail(logGroupIdentifiers=[GROUP])["responseStream"] for _ in range(14)]
        assert threading.active_count() == one <= before + 1
        assert code(client.start_live_tail, logGroupIdentifiers=[GROUP]) == "LimitExceededException"
        other = lab.front.client("logs", region="eu-west-1")
        other.create_log_group(logGroupName="flows")  # another Region has its own count
        start = {"logGroupIdentifiers": [GROUP.replace("us-east-1", "eu-west-1")]}
        abroad = boto3.session.Session().client(
            "logs", region_name="eu-west-1", endpoint_url=lab.server.url, aws_access_key_id=KEY,
            aws_secret_access_key=SECRET, config=Config(inject_host_prefix=False),
        )  # fmt: skip
        abroad.start_live_tail(**start)["responseStream"].close()
        lab.say("to all")
        for stream in more:
            assert messages(iter(stream)) == ["to all"]
            stream.close()
    eventually(lambda: lab.tails.count == 0)
    eventually(lambda: threading.active_count() <= before)


def test_old_clients_get_it_without_chunks_and_connections_go_on_after_it(lab: Tailed) -> None:
    body = json.dumps({"logGroupIdentifiers": [GROUP]}).encode()
    head = {"X-Amz-Target": "Logs_20140328.StartLiveTail", "Content-Type": "application/x-amz-json-1.1"}
    asked = raw(signed(body, service="logs", headers=head))
    with lab.server.connection() as old:
        old.sendall(asked.replace(b"HTTP/1.1", b"HTTP/1.0"))
        text, _, payload = until(old, b"sessionStart").partition(b"\r\n\r\n")
        assert b"chunked" not in text
        assert b"connection: close" in text
        assert payload.startswith(b"\0\0\0")
    eventually(lambda: lab.tails.count == 0)
    with lab.server.connection() as kept:
        kept.sendall(asked + raw(signed(b"Action=GetCallerIdentity&Version=2011-06-15", service="sts")))
        eventually(lambda: lab.tails.count == 1)
        lab.tails._sessions[0].stop()
        got = until(kept, b"GetCallerIdentityResult>")
        assert got.count(b"HTTP/1.1 200") == 2
        assert b"SessionStreamingException" in got
        assert b"\r\n0\r\n\r\nHTTP/1.1 200" in got


def test_no_large_body_waits_behind_a_session(lab: Tailed) -> None:
    body = json.dumps({"logGroupIdentifiers": [GROUP]}).encode()
    head = {"X-Amz-Target": "Logs_20140328.StartLiveTail", "Content-Type": "application/x-amz-json-1.1"}
    with lab.server.connection() as kept:
        kept.sendall(raw(signed(body, service="logs", headers=head)))
        until(kept, b"sessionStart")
        kept.sendall(raw(signed(b"Action=GetCallerIdentity&Version=2011-06-15&X=" + b"x" * 500_000, service="sts")))
        time.sleep(0.2)
        assert lab.server.application._strangers.held == 0
        lab.tails._sessions[0].stop()
        until(kept, b"ServiceUnavailable")


def test_clients_that_put_a_prefix_before_the_host_are_served(lab: Tailed, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def found(host: Any, *rest: Any, **more: Any) -> Any:
        assert host == "stream-laptop.example"
        return resolve("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    endpoint = f"http://laptop.example:{lab.server.port}"
    with lab.tail(lab.client(endpoint=endpoint, inject_host_prefix=True)) as stream:
        assert "sessionStart" in next(stream)


def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    lab = Tailed(tmp_path)
    lab.group()
    with live(lab.front, protocol=Connection) as lab.server:
        stream = lab.client().start_live_tail(logGroupIdentifiers=[GROUP])["responseStream"]
        begun = time.monotonic()
    assert time.monotonic() - begun < 4
    assert "being stopped" in str(ending(iter(stream)))
    lab.tails.close()
    lab.events.close()


def test_a_session_ends_after_three_hours(tmp_path: Path) -> None:
    lab, now = Tailed(tmp_path), [0.0]
    lab.group()
    tails = LiveTails(lambda: lab.front.store.world, lab.front.clock, timer=lambda: now[0])
    messages: Any = Said()
    session = tails.start((ACCOUNT, "r"), Wanted(groups=(GROUP,)), messages, lambda *_: None, (b"first",), 15)
    now[0] = timedelta(hours=3).total_seconds() - 1
    tails.tick()
    assert [session.take(), session.take(), session.take()] == [b"first", b"sessionUpdate", b""]
    now[0] += 1
    tails.tick()
    assert [session.take(), session.take(), session.take()] == [b"sessionUpdate", b"SessionTimeoutException", None]
    session.close()
    tails.close()
    with pytest.raises(ApiError):  # nothing begins after the end
        tails.start((ACCOUNT, "r"), Wanted(groups=()), messages, lambda *_: None, (), 15)
    lab.events.close()


class Said:
    def event(self, name: str, members: Any) -> bytes:
        return name.encode()

    def exception(self, name: str, text: str) -> bytes:
        return name.encode()
