"""CloudWatch Logs over the wire, as boto3 drives it (spec section 8: MON-06, MON-07; FL-… deliveries read it back)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

import ringfence.api.ops.logs  # noqa: F401  fills the registry
from ringfence import deliveries, expiry
from ringfence.api.ops.logs import events as event_operations
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.pipeline import Begun, Lane
from ringfence.store import events as event_store
from ringfence.store.events import FIRST, LAST, EventStore
from ringfence.store.metrics import Metric, Point
from tests.api.front import ACCOUNT, OTHER_KEY, Front

HOUR, DAY = 3_600_000, 86_400_000
ARN = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
FLOW = "2 123456789010 eni-1235b8ca 10.0.2.15 172.31.16.21 20641 {port} 6 20 {bytes} 1418530010 1418530070 {action} OK"
FIELDS = "version, account, eni, source, destination, srcport, destport, protocol, packets, bytes, start, end, action, status"


class Lab:
    """A front with an event store."""

    def __init__(self, folder: Path) -> None:
        self.front = Front(strict_clients=False)
        self.events = EventStore(folder / "events.db", durable=False)
        deliverer: Any = None
        self.front.pipeline.outside = deliveries.FromHere(self.front.store, deliverer, logs=self.events)
        self.logs = self.front.client("logs")

    @property
    def now(self) -> int:
        return int(self.front.clock.now().timestamp() * 1000)

    def group(self, name: str = "flows", stream: str | None = "eni", **more: Any) -> None:
        self.logs.create_log_group(logGroupName=name, **more)
        if stream:
            self.logs.create_log_stream(logGroupName=name, logStreamName=stream)

    def put(self, *events: tuple[int, str], group: str = "flows", stream: str = "eni") -> Any:
        listed = [{"timestamp": at, "message": message} for at, message in events]
        return self.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=listed)

    def say(self, *messages: str, **where: Any) -> Any:
        return self.put(*((self.now, message) for message in messages), **where)

    def found(self, pattern: str = "", **more: Any) -> list[str]:
        pages = self.logs.get_paginator("filter_log_events").paginate(
            logGroupName="flows", filterPattern=pattern, **more
        )
        return [event["message"] for page in pages for event in page["events"]]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.events.close()
    assert made.front.pipeline.internal_errors == 0


def code(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


# ---------------------------------------------------------------------- groups and streams
def test_groups_are_made_described_by_prefix_and_pattern_and_deleted(lab: Lab) -> None:
    for name in ("vpc/b", "vpc/a", "other/VPC"):
        lab.group(name, None, tags={"team": name[0]})
    names = [g["logGroupName"] for g in lab.logs.describe_log_groups()["logGroups"]]
    assert names == ["other/VPC", "vpc/a", "vpc/b"]
    shown = lab.logs.describe_log_groups(logGroupNamePrefix="vpc/a")["logGroups"]
    assert shown == [
        {
            "logGroupName": "vpc/a",
            "arn": f"{ARN}vpc/a:*",
            "logGroupArn": f"{ARN}vpc/a",
            "metricFilterCount": 0,
            "storedBytes": 0,
            "logGroupClass": "STANDARD",
            "deletionProtectionEnabled": False,
            "creationTime": shown[0]["creationTime"],
        }
    ]
    assert len(lab.logs.describe_log_groups(logGroupNamePattern="vpc")["logGroups"]) == 3
    assert (
        lab.logs.describe_log_groups(logGroupIdentifiers=[f"{ARN}vpc/a", "vpc/b"])["logGroups"][1]["logGroupName"]
        == "vpc/b"
    )
    assert code(lab.logs.create_log_group, logGroupName="vpc/a") == "ResourceAlreadyExistsException"
    lab.logs.delete_log_group(logGroupName="vpc/a")
    assert code(lab.logs.delete_log_group, logGroupName="vpc/a") == "ResourceNotFoundException"


def test_pages_survive_deletions_between_them(lab: Lab) -> None:
    for n in range(7):
        lab.group(f"g{n}", None)
    seen = []
    for page in lab.logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 3}):
        for group in page["logGroups"]:
            seen.append(group["logGroupName"])
            lab.logs.delete_log_group(logGroupName=group["logGroupName"])
    assert seen == [f"g{n}" for n in range(7)]
    assert code(lab.logs.describe_log_groups, nextToken="x") == "InvalidParameterException"


@pytest.mark.parametrize(
    ("operation", "params", "expected"),
    [
        ("create_log_group", {"logGroupName": "a b"}, "InvalidParameterException"),
        ("create_log_group", {"logGroupName": "x" * 513}, "InvalidParameterException"),
        ("create_log_group", {"logGroupName": "aws/x"}, "InvalidParameterException"),
        (
            "create_log_group",
            {"logGroupName": "k", "kmsKeyId": "arn:aws:kms:us-east-1:1:key/x"},
            "UnsupportedOperation",
        ),
        ("create_log_group", {"logGroupName": "k", "tags": {"aws:x": "y"}}, "InvalidParameterException"),
        ("create_log_stream", {"logGroupName": "none", "logStreamName": "s"}, "ResourceNotFoundException"),
        ("create_log_stream", {"logGroupName": "flows", "logStreamName": "a:b"}, "InvalidParameterException"),
        ("create_log_stream", {"logGroupName": "flows", "logStreamName": "eni"}, "ResourceAlreadyExistsException"),
        ("delete_log_stream", {"logGroupName": "flows", "logStreamName": "none"}, "ResourceNotFoundException"),
        ("describe_log_groups", {"logGroupNamePrefix": "a", "logGroupNamePattern": "b"}, "InvalidParameterException"),
        ("describe_log_groups", {"limit": 51}, "InvalidParameterException"),
        (
            "describe_log_streams",
            {"logGroupName": "flows", "logStreamNamePrefix": "a", "orderBy": "LastEventTime"},
            "InvalidParameterException",
        ),
        ("describe_log_streams", {"logGroupName": "flows", "logGroupIdentifier": "flows"}, "InvalidParameterException"),
        ("describe_log_streams", {}, "InvalidParameterException"),
        ("describe_log_streams", {"logGroupIdentifier": "arn:aws:s3:::x"}, "InvalidParameterException"),
        (
            "describe_log_streams",
            {"logGroupIdentifier": "arn:aws:logs:us-east-1:210987654321:log-group:flows"},
            "ResourceNotFoundException",
        ),
        ("put_retention_policy", {"logGroupName": "flows", "retentionInDays": 2}, "InvalidParameterException"),
        ("put_retention_policy", {"logGroupName": "none", "retentionInDays": 3}, "ResourceNotFoundException"),
        ("list_tags_for_resource", {"resourceArn": f"{ARN}none"}, "ResourceNotFoundException"),
        ("list_tags_for_resource", {"resourceArn": "arn:aws:ec2:::x"}, "InvalidParameterException"),
        (
            "put_subscription_filter",
            {"logGroupName": "flows", "filterName": "f", "filterPattern": "", "destinationArn": "arn:x"},
            "UnsupportedOperation",
        ),
        ("describe_destinations", {}, "UnsupportedOperation"),
        ("describe_export_tasks", {}, "UnsupportedOperation"),
        ("start_query", {"startTime": 0, "endTime": 1, "queryString": "x"}, "UnsupportedOperation"),
        (
            "put_log_events",
            {"logGroupName": "flows", "logStreamName": "none", "logEvents": [{"timestamp": 1, "message": "x"}]},
            "ResourceNotFoundException",
        ),
        (
            "put_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "logEvents": []},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "nextToken": "x"},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "nextToken": f"f/{'9' * 56}/s"},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "limit": 10_001},
            "InvalidParameterException",
        ),
        (
            "get_log_events",
            {"logGroupName": "flows", "logStreamName": "eni", "startTime": 5, "endTime": 4},
            "InvalidParameterException",
        ),
        ("filter_log_events", {"logGroupName": "flows", "nextToken": "x"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": "flows", "filterPattern": "a-b"}, "InvalidParameterException"),
        ("filter_log_events", {"logGroupName": "flows", "logStreamNames": ["none"]}, "ResourceNotFoundException"),
        (
            "filter_log_events",
            {"logGroupName": "flows", "logStreamNames": ["eni"], "logStreamNamePrefix": "e"},
            "InvalidParameterException",
        ),
        ("put_resource_policy", {"policyName": "p", "policyDocument": "{"}, "InvalidParameterException"),
        ("delete_resource_policy", {"policyName": "none"}, "ResourceNotFoundException"),
        ("delete_metric_filter", {"logGroupName": "flows", "filterName": "none"}, "ResourceNotFoundException"),
        ("test_metric_filter", {"filterPattern": "[a", "logEventMessages": ["x"]}, "InvalidParameterException"),
        ("describe_metric_filters", {"metricName": "m"}, "InvalidParameterException"),
    ],
)
def test_what_aws_refuses(lab: Lab, operation: str, params: dict[str, Any], expected: str) -> None:
    lab.group()
    before = lab.front.store.world
    assert code(getattr(lab.logs, operation), **params) == expected
    assert lab.front.store.world is before


def test_identifiers_are_not_quoted_back(lab: Lab) -> None:
    """moto's test_arn_formats_log_group_and_stream was run against AWS."""
    with pytest.raises(ClientError) as caught:
        lab.logs.get_log_events(logGroupIdentifier=f"{ARN}flows:*", logStreamName="eni")
    assert caught.value.response["Error"]["Message"] == (
        "1 validation error detected: Value at 'logGroupIdentifier' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [\\w#+=/:,.@-]*"
    )


def test_streams_by_name_and_by_last_event(lab: Lab) -> None:
    lab.group(stream=None)
    for name in ("a", "b", "c"):
        lab.logs.create_log_stream(logGroupName="flows", logStreamName=name)
    now = lab.now
    lab.put((now - 5, "x"), (now - 2, "y"), stream="b")
    lab.put((now - 9, "x"), stream="c")
    lab.put((now - 1, "x"), stream="a")
    shown = lab.logs.describe_log_streams(logGroupName="flows")["logStreams"]
    assert [s["logStreamName"] for s in shown] == ["a", "b", "c"]
    assert (shown[1]["firstEventTimestamp"], shown[1]["lastEventTimestamp"], shown[1]["storedBytes"]) == (
        now - 5,
        now - 2,
        0,
    )
    assert shown[1]["arn"] == f"{ARN}flows:log-stream:b"
    for descending, expected in ((True, ["a", "b", "c"]), (False, ["c", "b", "a"])):
        pages = lab.logs.get_paginator("describe_log_streams").paginate(
            logGroupName="flows", orderBy="LastEventTime", descending=descending, PaginationConfig={"PageSize": 1}
        )
        assert [s["logStreamName"] for page in pages for s in page["logStreams"]] == expected
    assert lab.logs.describe_log_groups()["logGroups"][0]["storedBytes"] == 4 * 27


def test_tags_in_both_generations(lab: Lab) -> None:
    lab.group(tags={"a": "1"})
    lab.logs.tag_resource(resourceArn=f"{ARN}flows", tags={"b": "2"})
    lab.logs.tag_log_group(logGroupName="flows", tags={"c": "3"})
    assert lab.logs.list_tags_for_resource(resourceArn=f"{ARN}flows")["tags"] == {"a": "1", "b": "2", "c": "3"}
    lab.logs.untag_resource(resourceArn=f"{ARN}flows", tagKeys=["a"])
    lab.logs.untag_log_group(logGroupName="flows", tags=["b"])
    assert lab.logs.list_tags_log_group(logGroupName="flows")["tags"] == {"c": "3"}
    assert (
        code(lab.logs.tag_resource, resourceArn=f"{ARN}flows", tags={f"k{n}": "" for n in range(50)})
        == "TooManyTagsException"
    )


def test_deletion_protection(lab: Lab) -> None:
    lab.group(deletionProtectionEnabled=True)
    assert code(lab.logs.delete_log_group, logGroupName="flows") == "ValidationException"
    lab.logs.put_log_group_deletion_protection(logGroupIdentifier=f"{ARN}flows", deletionProtectionEnabled=False)
    lab.logs.delete_log_group(logGroupName="flows")


def test_resource_policies(lab: Lab) -> None:
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "delivery.logs.amazonaws.com"},
                    "Action": "logs:PutLogEvents",
                    "Resource": f"{ARN}*",
                }
            ],
        }
    )
    lab.logs.put_resource_policy(policyName="p", policyDocument=document)
    (shown,) = lab.logs.describe_resource_policies()["resourcePolicies"]
    assert (shown["policyName"], shown["policyDocument"]) == ("p", document)
    for n in range(9):
        lab.logs.put_resource_policy(policyName=f"p{n}", policyDocument=document)
    assert code(lab.logs.put_resource_policy, policyName="p10", policyDocument=document) == "LimitExceededException"
    lab.logs.put_resource_policy(policyName="p", policyDocument=document)
    lab.logs.delete_resource_policy(policyName="p")
    assert len(lab.logs.describe_resource_policies()["resourcePolicies"]) == 9


# ---------------------------------------------------------------------- events
def test_what_is_put_is_read_back_in_order(lab: Lab) -> None:
    lab.group()
    now = lab.now
    lab.put((now - 2, "b"), (now - 1, 'c ü\n"q"'))
    lab.put((now - 3, "a"))
    read = lab.logs.get_log_events(logGroupName="flows", logStreamName="eni")["events"]
    assert [(e["timestamp"], e["message"]) for e in read] == [(now - 3, "a"), (now - 2, "b"), (now - 1, 'c ü\n"q"')]
    assert lab.found() == ["a", "b", 'c ü\n"q"']
    found = lab.logs.filter_log_events(logGroupIdentifier=f"{ARN}flows")["events"]
    assert len({e["eventId"] for e in found}) == 3
    assert {e["logStreamName"] for e in found} == {"eni"}


@pytest.mark.parametrize(
    ("offsets", "taken", "rejected"),
    [
        ((0, 2 * HOUR - 5000, 2 * HOUR + 60_000, 3 * HOUR), 2, {"tooNewLogEventStartIndex": 2}),
        ((-15 * DAY, -14 * DAY - 60_000, -1, 0), 2, {"tooOldLogEventEndIndex": 2}),
        ((-15 * DAY, 0, 3 * HOUR), 1, {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}),
        ((-15 * DAY,), 0, {"tooOldLogEventEndIndex": 1}),
        ((-DAY + 60_000, 0), 2, None),
    ],
)
def test_events_too_old_and_too_new_are_left_out(lab: Lab, offsets: tuple[int, ...], taken: int, rejected: Any) -> None:
    lab.group()
    now = lab.now
    reply = lab.put(*((now + offset, f"{offset}") for offset in offsets))
    assert reply.get("rejectedLogEventsInfo") == rejected
    assert len(lab.found()) == taken


def test_events_past_the_retention_are_expired(lab: Lab) -> None:
    lab.group()
    lab.logs.put_retention_policy(logGroupName="flows", retentionInDays=3)
    now = lab.now
    reply = lab.put((now - 15 * DAY, "x"), (now - 4 * DAY, "x"), (now, "y"))
    assert reply["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2}
    assert lab.found() == ["y"]


def test_retention_hides_and_housekeeping_takes_off_the_disk(lab: Lab) -> None:
    lab.group()
    now = lab.now
    lab.put((now - 5 * DAY, "old"))
    lab.put((now, "new"))
    lab.logs.put_retention_policy(logGroupName="flows", retentionInDays=3)
    assert lab.found() == ["new"]
    (number,) = [row.number for row in lab.front.store.world.all(event_operations.LOG_STREAM)]
    assert len(lab.events.page(number, FIRST, LAST, 10)) == 2
    expiry.expire(lab.events, lambda: lab.front.store.world, lab.front.clock.now())
    assert [e.message for e in lab.events.page(number, FIRST, LAST, 10)] == ["new"]
    lab.logs.delete_retention_policy(logGroupName="flows")
    assert "retentionInDays" not in lab.logs.describe_log_groups()["logGroups"][0]


def test_a_stream_made_anew_is_empty(lab: Lab) -> None:
    lab.group()
    lab.say("before")
    (before,) = [row.number for row in lab.front.store.world.all(event_operations.LOG_STREAM)]
    lab.logs.delete_log_stream(logGroupName="flows", logStreamName="eni")
    lab.logs.create_log_stream(logGroupName="flows", logStreamName="eni")
    assert lab.found() == []
    expiry.expire(lab.events, lambda: lab.front.store.world, lab.front.clock.now())
    assert lab.events.page(before, FIRST, LAST, 1) == []
    lab.logs.delete_log_group(logGroupName="flows")
    lab.group()
    assert lab.found() == []


@pytest.mark.parametrize(
    "batch",
    [
        lambda now: [(now, "a"), (now - 1, "b")],
        lambda now: [(now - DAY - 60_000, "a"), (now, "b")],
        lambda now: [(now, "x" * (1 << 20))],
        lambda now: [(now, "ü" * (1 << 19))],
        lambda now: [(now, "x")] * 10_001,
        lambda now: [(now, "")],
        lambda now: [(-1, "x")],
    ],
    ids=["order", "span", "size", "size in UTF-8", "count", "empty message", "before 1970"],
)
def test_a_batch_that_breaks_a_rule_is_not_taken(lab: Lab, batch: Any) -> None:
    lab.group()
    assert code(lambda: lab.put(*batch(lab.now))) == "InvalidParameterException"
    assert lab.found() == []


def test_the_largest_batch_is_taken(lab: Lab) -> None:
    """1,048,576 bytes with 26 for each event; as JSON it is larger than what other requests may be."""
    lab.group()
    now, size = lab.now, (1 << 20) // 8192 - 26
    lab.put(*((now, "ü" * (size // 2)) for _ in range(8192)))
    assert len(lab.found()) == 8192
    assert lab.found(limit=100) == lab.found()


def test_sequence_tokens_are_given_and_not_looked_at(lab: Lab) -> None:
    lab.group()
    first = lab.say("a")["nextSequenceToken"]
    again = lab.logs.put_log_events(
        logGroupName="flows",
        logStreamName="eni",
        sequenceToken="wrong",
        logEvents=[{"timestamp": lab.now, "message": "b"}],
    )
    assert again["nextSequenceToken"] != first


def test_pages_of_a_stream_in_both_directions(lab: Lab) -> None:
    lab.group()
    now = lab.now
    lab.put(*((now - 10 + n, str(n)) for n in range(10)))

    def read(**more: Any) -> tuple[list[str], str, str]:
        page = lab.logs.get_log_events(logGroupName="flows", logStreamName="eni", limit=4, **more)
        return [e["message"] for e in page["events"]], page["nextForwardToken"], page["nextBackwardToken"]

    newest, forward, backward = read()
    assert newest == ["6", "7", "8", "9"]
    assert read(nextToken=forward)[:2] == ([], forward)
    assert read(nextToken=backward)[0] == ["2", "3", "4", "5"]
    assert read(nextToken=read(nextToken=backward)[2])[0] == ["0", "1"]
    oldest, forward, backward = read(startFromHead=True)
    assert oldest == ["0", "1", "2", "3"]
    assert read(nextToken=backward)[::2] == ([], backward)
    second, forward, back = read(nextToken=forward, startFromHead=True)
    assert second == ["4", "5", "6", "7"]
    assert read(nextToken=back)[0] == ["0", "1", "2", "3"]
    lab.put((now + 5, "late"))
    third, forward, _ = read(nextToken=forward)
    assert third == ["8", "9", "late"]
    assert read(nextToken=forward)[0] == []
    span = read(startFromHead=True, startTime=now - 8, endTime=now - 6)[0]
    assert span == ["2", "3"]  # the end is exclusive


def test_an_empty_stream_can_be_followed(lab: Lab) -> None:
    lab.group()
    token = lab.logs.get_log_events(logGroupName="flows", logStreamName="eni", startFromHead=True)["nextForwardToken"]
    lab.say("first")
    page = lab.logs.get_log_events(logGroupName="flows", logStreamName="eni", nextToken=token)
    assert [e["message"] for e in page["events"]] == ["first"]


def test_events_of_several_streams_by_time_prefix_and_span(lab: Lab) -> None:
    lab.group(stream=None)
    now = lab.now
    for name in ("eni-1", "eni-2", "other"):
        lab.logs.create_log_stream(logGroupName="flows", logStreamName=name)
        lab.put(*((now - 100 + 3 * n + len(name) % 3, f"{name} {n}") for n in range(20)), stream=name)
    everything = lab.found()
    assert len(everything) == 60
    assert lab.found(limit=7) == everything
    assert lab.found(limit=7, startFromHead=False) == everything[::-1]
    assert {m.split()[0] for m in lab.found(logStreamNamePrefix="eni")} == {"eni-1", "eni-2"}
    assert {m.split()[0] for m in lab.found(logStreamNames=["other"])} == {"other"}
    stamps = {e["message"]: e["timestamp"] for e in lab.logs.filter_log_events(logGroupName="flows")["events"]}
    times = sorted(stamps.values())
    start, end = times[10], times[30]  # both ends are inclusive
    assert sorted(lab.found(startTime=start, endTime=end)) == sorted(
        m for m, at in stamps.items() if start <= at <= end
    )


def test_a_long_search_answers_in_parts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """With words the store passes over what lacks them, without it is asked of each event; both end after so many events."""
    monkeypatch.setattr(event_operations, "SCANNED", 10)
    monkeypatch.setattr(event_operations, "SIEVED", 10)
    monkeypatch.setattr(event_store, "_SIEVED", 10)
    monkeypatch.setattr(event_store, "_SIEVED_LEAST", 5)
    lab.group()
    lab.put(*((lab.now - 100 + n, f"{n}") for n in range(35)))
    assert lab.logs.filter_log_events(logGroupName="flows", filterPattern="%[3][4]%")["events"] == []
    assert lab.found("%[3][4]%") == ["34"]
    first = lab.logs.filter_log_events(logGroupName="flows", filterPattern="34")
    assert first["events"] == []
    assert first["nextToken"]
    assert lab.found("34") == ["34"]
    assert lab.found("-99") == [str(n) for n in range(35)]
    other = {"logGroupName": "flows", "filterPattern": "33", "nextToken": first["nextToken"]}
    assert code(lab.logs.filter_log_events, **other) == "InvalidParameterException"


def test_patterns_over_the_wire(lab: Lab) -> None:
    """MON-07."""
    lab.group()
    lab.say(FLOW.format(port=22, bytes=4249, action="REJECT"), FLOW.format(port=3389, bytes=1, action="ACCEPT"))
    assert len(lab.found(f"[{FIELDS}]".replace("source,", "source=10.0.2.*,"))) == 2
    assert len(lab.found(f"[{FIELDS}]".replace("bytes,", "bytes>=4249,"))) == 1
    assert len(lab.found(f"[{FIELDS}]".replace("destport,", 'destport="22" || destport="3389",'))) == 2
    assert len(lab.found("REJECT")) == 1


# ---------------------------------------------------------------------- metric filters
REJECTED_SSH = (
    '[version, account, eni, source, destination, srcport, destport="22", protocol="6", packets, bytes, '
    'windowstart, windowend, action="REJECT", flowlogstatus]'
)


def _filter(lab: Lab, name: str = "ssh", pattern: str = REJECTED_SSH, **made: Any) -> None:
    transformation = {"metricName": "RejectedSSHCount", "metricNamespace": "LogMetrics", "metricValue": "1", **made}
    lab.logs.put_metric_filter(
        logGroupName="flows", filterName=name, filterPattern=pattern, metricTransformations=[transformation]
    )


def _points(lab: Lab) -> list[tuple[Metric, str, Point]]:
    """Every minute of every metric."""
    return [
        (series.metric, series.unit, point)
        for series in lab.events.metrics.series(ACCOUNT, "us-east-1")
        for point in lab.events.metrics.points(series.id, 60, 0, 1 << 40)
    ]


def _sums(lab: Lab) -> dict[tuple[str, str], tuple[float, float]]:
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for metric, _, p in _points(lab):
        key = metric.name, json.dumps(metric.dimensions)
        total, count = found.get(key, (0, 0))
        found[key] = (total + p.total, count + p.seen)
    return found


def test_rejected_ssh_is_counted(lab: Lab) -> None:
    """MON-06: Sum ≥ 10 in an hour is what the alarm fires on."""
    lab.group()
    _filter(lab)
    start = lab.now - 1800_000
    lines = [
        FLOW.format(port=port, bytes=40, action=action)
        for port, action in ((22, "REJECT"), (22, "ACCEPT"), (23, "REJECT"))
    ]
    lab.put(*sorted((start + n * 60_000, line) for n in range(11) for line in lines))
    points = [p for metric, _, p in _points(lab) if metric.namespace == "LogMetrics"]
    assert len(points) == 11
    assert sum(p.total for p in points) == 11
    assert all(p.at % 60 == 0 and p.total == 1 for p in points)


def test_values_defaults_and_dimensions_of_metrics(lab: Lab) -> None:
    lab.group()
    columns = f"[{FIELDS}]".replace("action", "action=REJECT")
    _filter(lab, "bytes", columns, metricName="Bytes", metricValue="$bytes", defaultValue=0.5, unit="Bytes")
    _filter(lab, "ports", columns, metricName="Ports", dimensions={"Port": "$destport"})
    _filter(lab, "json", "{ $.latency = * }", metricName="Latency", metricValue="$.latency")
    lab.say(
        FLOW.format(port=22, bytes=100, action="REJECT"),
        FLOW.format(port=23, bytes=11, action="REJECT"),
        FLOW.format(port=22, bytes="-", action="REJECT"),
        FLOW.format(port=22, bytes=9, action="ACCEPT"),
        '{"latency": 2.5}',
        '{"latency": "x"}',
    )
    assert _sums(lab) == {
        ("Bytes", "[]"): (111 + 3 * 0.5, 5),
        ("Ports", '[["Port", "22"]]'): (2, 2),
        ("Ports", '[["Port", "23"]]'): (1, 1),
        ("Latency", "[]"): (2.5, 1),
    }


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        ("ERROR", {"metricValue": "$x"}),
        ("[a, b]", {"metricValue": "$c"}),
        ("ERROR", {"metricValue": "one"}),
        ("[a", {}),
        ("[a, b]", {"dimensions": {"A": "$a"}, "defaultValue": 0.0}),
        ("[a, b]", {"dimensions": {"A": "$c"}}),
        ("[a,b,c,d]", {"dimensions": {"A": "$a", "B": "$b", "C": "$c", "D": "$d"}}),
        ("{ $.a = 1 }", {"metricValue": "$"}),
        ("x" * 1025, {}),
        ("ok", {"metricName": "a:b"}),
    ],
)
def test_metric_filters_that_are_refused(lab: Lab, pattern: str, made: dict[str, Any]) -> None:
    lab.group()
    assert code(lambda: _filter(lab, "f", pattern, **made)) == "InvalidParameterException"
    assert lab.logs.describe_metric_filters()["metricFilters"] == []


def test_metric_filters_are_described_replaced_and_deleted(lab: Lab) -> None:
    lab.group()
    _filter(lab)
    _filter(lab, "other", "%a%", metricName="Other")
    (shown,) = lab.logs.describe_metric_filters(logGroupName="flows", filterNamePrefix="s")["metricFilters"]
    made = {"metricName": "RejectedSSHCount", "metricNamespace": "LogMetrics", "metricValue": "1"}
    assert (shown["filterName"], shown["filterPattern"], shown["logGroupName"]) == ("ssh", REJECTED_SSH, "flows")
    assert shown["metricTransformations"] == [made]
    (one,) = lab.logs.describe_metric_filters(metricName="Other", metricNamespace="LogMetrics")["metricFilters"]
    assert one["filterName"] == "other"
    assert lab.logs.describe_log_groups()["logGroups"][0]["metricFilterCount"] == 2
    _filter(lab, "other", "b")
    lab.logs.delete_metric_filter(logGroupName="flows", filterName="ssh")
    (left,) = lab.logs.describe_metric_filters()["metricFilters"]
    assert left["filterPattern"] == "b"
    for n in range(5):
        _filter(lab, f"regex{n}", "%a%")
    assert code(lambda: _filter(lab, "regex5", "%a%")) == "LimitExceededException"
    _filter(lab, "regex4", "%b%")


def test_testing_a_metric_filter(lab: Lab) -> None:
    lines = [
        '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534',
        '127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /apache_pb.gif HTTP/1.0" 500 5324',
    ]
    pattern = "[ip, identity, user_id, timestamp, request, status_code = 5*, size]"
    assert lab.logs.test_metric_filter(filterPattern=pattern, logEventMessages=lines)["matches"] == [
        {
            "eventNumber": 2,
            "eventMessage": lines[1],
            "extractedValues": {
                "$ip": "127.0.0.1",
                "$identity": "-",
                "$user_id": "frank",
                "$timestamp": "10/Oct/2000:13:35:22 -0700",
                "$request": "GET /apache_pb.gif HTTP/1.0",
                "$status_code": "500",
                "$size": "5324",
            },
        }
    ]


# ---------------------------------------------------------------------- who may, and what is recorded
@pytest.mark.parametrize(
    ("resource", "allowed"),
    [(f"{ARN}flows:*", True), (f"{ARN}flows", False), (f"{ARN}other:*", False), (f"{ARN}flows:log-stream:eni", True)],
)
def test_putting_events_is_authorised_on_the_stream(lab: Lab, resource: str, allowed: bool) -> None:
    lab.group()
    logs = _as_user(lab, "logs:PutLogEvents", resource)
    batch = [{"timestamp": lab.now, "message": "x"}]
    if allowed:
        logs.put_log_events(logGroupName="flows", logStreamName="eni", logEvents=batch)
    else:
        denied = code(logs.put_log_events, logGroupName="flows", logStreamName="eni", logEvents=batch)
        assert denied == "AccessDeniedException"


def test_groups_and_tags_are_authorised_on_their_own_forms_of_the_arn(lab: Lab) -> None:
    lab.group()
    logs = _as_user(lab, ["logs:FilterLogEvents", "logs:ListTagsForResource"], f"{ARN}flows:*")
    assert logs.filter_log_events(logGroupName="flows")["events"] == []
    assert code(logs.list_tags_for_resource, resourceArn=f"{ARN}flows") == "AccessDeniedException"
    assert code(logs.describe_log_groups) == "AccessDeniedException"
    plain = _as_user(lab, ["logs:ListTagsForResource"], f"{ARN}flows")
    assert plain.list_tags_for_resource(resourceArn=f"{ARN}flows")["tags"] == {}


def _as_user(lab: Lab, actions: Any, resource: str) -> Any:
    iam = lab.front.client("iam")
    name = f"u{lab.front.store.world.generation}"
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resource}]}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lab.front.client("logs", key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def test_messages_are_not_repeated_in_the_audit_trail(lab: Lab) -> None:
    lab.group()
    lab.say("the password is hunter2")
    records = [json.loads(row.record) for row in lab.front.store.audit_records()]
    put = next(record for record in records if record["eventName"] == "PutLogEvents")
    assert put["readOnly"] is False
    assert put["requestParameters"]["logStreamName"] == "eni"
    assert all("hunter2" not in json.dumps(record) for record in records)


@pytest.mark.parametrize("action", ["PutLogEvents", "FilterLogEvents", "GetLogEvents", "DescribeLogStreams"])
def test_what_waits_for_the_event_store_is_off_the_event_loop(lab: Lab, action: str) -> None:
    operation = OPERATIONS["logs", action]
    call: Any = SimpleNamespace(account_id=ACCOUNT, region="us-east-1", service="logs", action=action)
    assert (
        lab.front.pipeline.lane(Begun(call, operation, None, {}, "json", dry_run=False, judged=lab.front.store.world))
        is Lane.READER
    )


def test_regions_and_accounts_do_not_see_each_other(lab: Lab) -> None:
    lab.group()
    assert lab.front.client("logs", region="eu-west-1").describe_log_groups()["logGroups"] == []
    assert lab.front.client("logs", key=OTHER_KEY).describe_log_groups()["logGroups"] == []
