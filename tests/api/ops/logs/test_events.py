"""Log events put, read, searched and expired over the wire (MON-06, MON-07; deliveries of flow logs read them back)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence import expiry
from ringfence.api.ops.logs import events as event_operations
from ringfence.store import events as event_store
from ringfence.store.events import FIRST, LAST
from tests.api.ops.logs.lab import ARN, DAY, FIELDS, FLOW, HOUR, Lab, code


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
