"""States of alarms: found by evaluation, or set (CloudWatch User Guide: "Alarm evaluation"; API Reference: SetAlarmState; MON-04…06).

Nothing that an alarm could call exists here (topics, scaling policies, functions): each call that is due is recorded in the
alarm's history as one that failed, and logged.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ringfence.api.ops.cloudwatch import composite, history, suppressing
from ringfence.api.ops.cloudwatch.alarms import find_alarm
from ringfence.api.ops.cloudwatch.lines import Reader
from ringfence.api.ops.cloudwatch.serve import cloudwatch, moment
from ringfence.api.ops.cloudwatch.tags import stored
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.outside import Metrics
from ringfence.insight.metrics.alarms import COMPARISONS, EXTRA, Missing, State, Verdict, verdict
from ringfence.insight.metrics.expressions import ExpressionError
from ringfence.insight.metrics.math import Line
from ringfence.model.errors import fault
from ringfence.model.ids import IdSource
from ringfence.model.nouns.alarm import Alarm, CompositeAlarm, MetricAlarm
from ringfence.model.world import Change, World
from ringfence.store.metrics import DAY

log = logging.getLogger("ringfence.alarms")
_HIGH, _USUAL, _LONG = 10, 60, 3600
_PERCENTILE = re.compile(r"p([0-9.]+)")
_WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to", "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than", "LessThanOrEqualToThreshold": "less than or equal to",
}  # fmt: skip
_TREATED = {Missing.BREACHING: "Breaching", Missing.NOT_BREACHING: "NonBreaching"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A state, and why."""

    state: str
    reason: str
    data: str | None


def step(alarm: MetricAlarm) -> int:
    """How often it is evaluated, in seconds: each 10 s, each minute, or each hour where it looks at more than a day."""
    if alarm.period < _USUAL:
        return _HIGH
    return _LONG if alarm.period * alarm.periods > DAY else _USUAL


def evaluate(alarm: MetricAlarm, metrics: Metrics, now: datetime) -> Finding | None:
    """What its datapoints say; None: the state stays. The newest period is the last that is over at the step of now."""
    end = int(now.timestamp()) // step(alarm) * step(alarm)
    count = alarm.periods + EXTRA
    start = end - count * alarm.period
    reader = Reader(metrics, alarm.owner_id, alarm.region, start, end, now)
    try:
        line = _watched(alarm, reader)
    except ExpressionError as problem:
        return Finding(State.INSUFFICIENT_DATA.value, f"Evaluation error: {problem}", None)
    times = [end - (age + 1) * alarm.period for age in range(count)]
    values = [line.points.get(at) for at in times]
    compare = COMPARISONS[alarm.comparison]
    slots = [None if value is None else compare(value, alarm.threshold) for value in values]
    missing = _missing(alarm)
    found = verdict(slots, alarm.periods, alarm.to_alarm or alarm.periods, missing)
    if found.state is None:
        return None
    used = [(times[age], values[age]) for age in found.used]
    if alarm.low_samples == "ignore" and _too_few(alarm, reader, [at for at, _ in used]):
        return None
    return Finding(found.state.value, _reason(alarm, found, used, missing), _data(alarm, used, now, start))


def _too_few(alarm: MetricAlarm, reader: Reader, times: Sequence[int]) -> bool:
    """Has a period too few samples for its percentile to say anything (CloudWatch User Guide: "Percentile-based alarms and low data
    samples")? Fewer than 10 / (1 - percentile) past the middle, 10 / percentile below it."""
    found = _PERCENTILE.fullmatch(alarm.stat.stat) if alarm.stat is not None else None
    if alarm.stat is None or found is None:
        return False
    part = float(found[1]) / 100
    tail = min(part, 1 - part)
    least = 10 / tail if tail > 0 else math.inf
    counts = reader.line(replace(alarm.stat, stat="SampleCount")).points
    return any(counts.get(at, 0.0) < least - 1e-9 for at in times)


def _missing(alarm: MetricAlarm) -> Missing:
    """AWS: alarms on metrics of DynamoDB ignore what is missing unless told otherwise."""
    if alarm.missing is None and alarm.stat is not None and alarm.stat.namespace == "AWS/DynamoDB":
        return Missing.IGNORE
    return Missing(alarm.missing or "missing")


def _watched(alarm: MetricAlarm, reader: Reader) -> Line:
    if alarm.stat is not None:
        return reader.line(alarm.stat)
    wanted = next(query for query in alarm.queries if query.returned)
    value = reader.lines(alarm.queries)[wanted.id]
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Line):
        raise ExpressionError("the expression does not give one time series")
    return value


def _reason(
    alarm: MetricAlarm, found: Verdict, used: Sequence[tuple[int, float | None]], missing: Missing
) -> str:  # fmt: skip
    """A sentence as AWS writes it."""
    if found.state is State.INSUFFICIENT_DATA:
        return f"Insufficient Data: {_counted(alarm.periods)} {'was' if alarm.periods == 1 else 'were'} unknown."
    treated = _TREATED.get(missing)
    if not used:
        return (
            f"Threshold Crossed: no datapoints were received for {alarm.periods} period{_s(alarm.periods)} and "
            f"{found.filled} missing datapoint{_s(found.filled)} {_were(found.filled)} treated as [{treated}]."
        )
    crossing = found.state is State.ALARM
    told = [(at, value) for at, value in used if value is not None]
    shown = ", ".join(f"{value} ({moment(at):%d/%m/%y %H:%M:%S})" for at, value in told[:5])
    words = f"{'' if crossing else 'not '}{_WORDS[alarm.comparison]} the threshold ({alarm.threshold})"
    text = f"Threshold Crossed: {_counted(len(told))} [{shown}] {_were(len(told))} {words}"
    if alarm.to_alarm is not None and alarm.to_alarm != alarm.periods:
        number = found.breaching if crossing else len(told)
        text = (
            f"Threshold Crossed: {number} out of the last {alarm.periods} datapoints [{shown}] {_were(number)} {words} "
            f"(minimum {_counted(alarm.to_alarm)} for OK -> ALARM transition)"
        )
    if found.filled and treated:
        text += f" and {found.filled} missing datapoint{_s(found.filled)} {_were(found.filled)} treated as [{treated}]"
    return f"{text}."


def _counted(number: int) -> str:
    return f"{number} datapoint{_s(number)}"


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _data(alarm: MetricAlarm, used: Sequence[tuple[int, float | None]], now: datetime, start: int) -> str:
    """`StateReasonData`."""
    stat = alarm.stat
    return json.dumps({
        "version": "1.0", "queryDate": _time(now.timestamp()), "startDate": _time(used[-1][0] if used else start),
        **({"statistic": stat.stat} if stat else {}), "period": alarm.period,
        "recentDatapoints": [value for _, value in reversed(used)], "threshold": alarm.threshold,
        "evaluatedDatapoints": [{"timestamp": _time(at), "value": value} for at, value in used[:10]],
    })  # fmt: skip


def _time(seconds: float) -> str:
    return moment(seconds).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(seconds * 1000) % 1000:03d}+0000"


# ---------------------------------------------------------------------- changing states
def moved(
    ids: IdSource, world: World, alarm: Alarm, to: Finding, now: float, states: Mapping[str, str] | None = None
) -> Change:
    """The alarm in that state, and what is told of it. The same state again only has a new reason. `states`: of alarms that change
    with it."""
    same = to.state == alarm.state
    after = replace(
        alarm, state=to.state, reason=to.reason, reason_data=to.data, state_updated=now,
        transitioned=alarm.transitioned if same else now,
    )  # fmt: skip
    if same:
        return stored(after)
    held = suppressing.at_change(world, after, now, states or {})
    after = suppressing.with_held(after, held)
    change = stored(after)
    summary = f"Alarm updated from {alarm.state} to {to.state}"
    data = {"oldState": _state(alarm), "newState": _state(after)}
    change += history.entry(ids, alarm, now, "StateUpdate", summary, data)
    return change + (suppressing.told(ids, after, now) if held is not None else called(ids, after, now))


def _state(alarm: Alarm) -> dict[str, Any]:
    data = json.loads(alarm.reason_data) if alarm.reason_data and alarm.reason_data.startswith("{") else None
    shown = {"stateValue": alarm.state, "stateReason": alarm.reason, "stateReasonData": data}
    if isinstance(alarm, CompositeAlarm) and alarm.held_by is not None:
        shown |= {"actionsSuppressedBy": alarm.held_by, "actionsSuppressedReason": composite.held_reason(alarm)}
    return shown


def called(ids: IdSource, alarm: Alarm, now: float) -> Change:
    """The actions that are due. INVARIANT: none of them is passed over in silence."""
    due = {"OK": alarm.ok_actions, "ALARM": alarm.alarm_actions, "INSUFFICIENT_DATA": alarm.insufficient_actions}
    change = Change()
    for arn in due[alarm.state] if alarm.actions_enabled else ():
        log.warning("alarm %s is in state %s: its action %s cannot be called here", alarm.name, alarm.state, arn)
        data = {
            "actionState": "Failed", "notificationResource": arn, "stateUpdateTimestamp": int(now * 1000),
            "error": "This installation does not serve what the action names",
        }  # fmt: skip
        change += history.entry(ids, alarm, now, "Action", f"Failed to execute action {arn}", data)
    return change


@cloudwatch("SetAlarmState")
def set_alarm_state(call: Call, world: World, params: Params) -> Outcome:
    """Until the next evaluation finds another. ResourceNotFound, InvalidFormat."""
    alarm = find_alarm(call, world, params["AlarmName"])
    if alarm is None:
        raise fault("ResourceNotFound", message=f"Resource not found: {params['AlarmName']}")
    data = params.get("StateReasonData")
    if data:
        try:
            json.loads(data)
        except (ValueError, RecursionError):
            raise fault("InvalidFormat", message="StateReasonData is not valid JSON.") from None
    finding = Finding(params["StateValue"], params["StateReason"], data)
    return Outcome({}, moved(call.ids, world, alarm, finding, call.now.timestamp()))
