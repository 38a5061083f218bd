"""What became of alarms (CloudWatch API Reference: DescribeAlarmHistory). Kept 30 days, and the newest 1,000 items of each alarm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ringfence.api.ops.cloudwatch.serve import bad_value, cloudwatch, in_seconds, moment, page
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.model.ids import IdSource
from ringfence.model.kinds import ALARM_EVENT
from ringfence.model.nouns.alarm import Alarm, AlarmEvent
from ringfence.model.world import Change, World, delete, put

PAGE, KEPT_DAYS, KEPT_ITEMS = 100, 30, 1000


def entry(
    ids: IdSource, alarm: Alarm, at: float, kind: str, summary: str, data: Mapping[str, Any]
) -> Change:  # fmt: skip
    """One more item of an alarm's history."""
    text = json.dumps({"version": "1.0", **data}, default=str)
    return put(ALARM_EVENT, AlarmEvent(
        id=ids.uuid(), owner_id=alarm.owner_id, region=alarm.region, alarm=alarm.id, name=alarm.name, at=at, kind=kind,
        type=type(alarm).__name__, summary=summary[:255], data=text if len(text) <= 4095 else json.dumps({"version": "1.0"}),
    ))  # fmt: skip


def forgotten(world: World, now: float) -> Change:
    """Items too old, or too many of one alarm."""
    gone: list[str] = []
    held: dict[str, int] = {}
    for event in reversed(world.all(ALARM_EVENT)):
        held[event.alarm] = held.get(event.alarm, 0) + 1
        if held[event.alarm] > KEPT_ITEMS or event.at < now - KEPT_DAYS * 86_400:
            gone.append(event.id)
    return delete(ALARM_EVENT, *gone)


@cloudwatch("DescribeAlarmHistory")
def describe_alarm_history(call: Call, world: World, params: Params) -> Outcome:
    """Of one alarm or of all, also of alarms that are deleted. The newest first unless asked otherwise."""
    if params.get("AlarmContributorId"):
        raise bad_value("Alarms with contributors are not served by this installation.")
    descending = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    events = [event for event in call.mine(world, ALARM_EVENT) if _wanted(event, params)]
    events.sort(key=_key, reverse=descending)
    size = params.get("MaxRecords") or PAGE
    shown, token = page(events, _key, params, size, descending=descending)
    return Outcome({"AlarmHistoryItems": [_view(event) for event in shown], **token})


def _key(event: AlarmEvent) -> list[Any]:
    return [event.at, event.id]


def _wanted(event: AlarmEvent, params: Params) -> bool:
    start, end = params.get("StartDate"), params.get("EndDate")
    types = params.get("AlarmTypes") or ["MetricAlarm"]
    return (
        params.get("AlarmName") in (None, event.name)
        and params.get("HistoryItemType") in (None, event.kind)
        and event.type in types
        and (start is None or event.at >= in_seconds(start))
        and (end is None or event.at < in_seconds(end))
    )


def _view(event: AlarmEvent) -> dict[str, Any]:
    return {
        "AlarmName": event.name, "AlarmType": event.type, "Timestamp": moment(event.at), "HistoryData": event.data,
        "HistoryItemType": event.kind, "HistorySummary": event.summary,
    }  # fmt: skip
