"""Alarms (CloudWatch API Reference: PutMetricAlarm, DescribeAlarms, DescribeAlarmsForMetric, DeleteAlarms …); those over
others: `composite.py`.

Log alarms, anomaly detection, PromQL, and alarms on other accounts' metrics are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ringfence.api.ops.cloudwatch import composite, history
from ringfence.api.ops.cloudwatch.lines import read_queries
from ringfence.api.ops.cloudwatch.reading import valid_period
from ringfence.api.ops.cloudwatch.serve import (
    bad_combination,
    bad_value,
    cloudwatch,
    dimensions_of,
    invalid,
    metric_of,
    moment,
    not_served,
    page,
    shown_dimensions,
    with_status,
)
from ringfence.api.ops.cloudwatch.tags import checked_tags, pairs, stored
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.insight.metrics.alarms import COMPARISONS, Missing
from ringfence.insight.metrics.statistics import extended
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import COMPOSITE_ALARM, METRIC_ALARM
from ringfence.model.nouns.alarm import Alarm, CompositeAlarm, MetricAlarm, MetricQuery, MetricStat
from ringfence.model.world import NOTHING, World, delete, put
from ringfence.store.metrics import DAY

A = TypeVar("A", bound=Alarm)
PAGE, MAX_NAMES = 50, 100
#: parameters of alarms on one metric; with `Metrics` they say nothing and are refused
_SINGLE = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit")
_NOT_HERE = (
    "ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria", "EvaluationInterval",
    "ActionConfiguration",
)  # fmt: skip
#: what an alarm may call, by its ARN. Nothing of it exists here: each call is recorded as failed (`states.py`)
_ACTION = re.compile(
    r"arn:aws:(automate:[a-z0-9-]+:ec2:(stop|terminate|reboot|recover)|swf:[a-z0-9-]+:\d{12}:action/actions/.+"
    r"|sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?|autoscaling:[a-z0-9-]+:\d{12}:scalingPolicy:.+"
    r"|lambda:[a-z0-9-]+:\d{12}:function:.+|ssm:[a-z0-9-]+:\d{12}:opsitem:.+|ssm-incidents::\d{12}:.+"
    r"|aiops:[a-z0-9-]+:\d{12}:.+)"
)


def alarm_arn(call: Call, name: str) -> str:
    return f"arn:aws:cloudwatch:{call.region}:{call.account_id}:alarm:{name}"


def find_alarm(call: Call, world: World, name: str) -> Alarm | None:
    return composite.find(world, alarm_arn(call, name))


def check_number(call: Call, world: World) -> None:
    """ApiError LimitExceeded: one more alarm than an account may have."""
    held = sum(world.count_owned(kind, call.account_id, call.region) for kind in (METRIC_ALARM, COMPOSITE_ALARM))
    try:
        call.check_quota("metric-alarms", held + 1)
    except ApiError as error:
        raise with_status(error, 400) from None


# ---------------------------------------------------------------------- putting
@cloudwatch("PutMetricAlarm")
def put_metric_alarm(call: Call, world: World, params: Params) -> Outcome:
    """New, or in place of the one of that name, whose state stays. LimitExceeded, ValidationError, InvalidParameter…"""
    for name in _NOT_HERE:
        if params.get(name):
            raise not_served(name)
    before = find_alarm(call, world, params["AlarmName"])
    if isinstance(before, CompositeAlarm):
        raise invalid("An alarm of another type has this name.")
    if before is None:
        check_number(call, world)
    made = _alarm(call, params, before)
    if before is None:
        text, data = f'Alarm "{made.name}" created', {"type": "Create", "createdAlarm": plain(made)}
    else:
        text, data = f'Alarm "{made.name}" updated', {"type": "Update", "updatedAlarm": plain(made)}
    change = put(METRIC_ALARM, made) + history.entry(call.ids, made, made.updated, "ConfigurationUpdate", text, data)
    return Outcome({}, change)


def _alarm(call: Call, params: Params, before: Alarm | None) -> MetricAlarm:
    now = call.now.timestamp()
    periods, to_alarm = _periods(params)
    made = MetricAlarm(
        id=alarm_arn(call, params["AlarmName"]), **call.owned(), name=params["AlarmName"], periods=periods,
        to_alarm=to_alarm, threshold=_threshold(params), comparison=_comparison(params), updated=now, state_updated=now,
        missing=_one_of(params, "TreatMissingData", [item.value for item in Missing]),
        low_samples=_one_of(params, "EvaluateLowSampleCountPercentile", ["evaluate", "ignore"]),
        description=params.get("AlarmDescription"), actions_enabled=params.get("ActionsEnabled", True),
        ok_actions=actions(params, "OKActions"), alarm_actions=actions(params, "AlarmActions"),
        insufficient_actions=actions(params, "InsufficientDataActions"), **_watched(call, params),
        tags=checked_tags((), pairs(params.get("Tags") or ())) if before is None else before.tags,
    )  # fmt: skip
    if made.low_samples is not None and (made.stat is None or not made.stat.stat.startswith("p")):
        raise bad_combination("EvaluateLowSampleCountPercentile is for alarms on percentiles.")
    _check_span(made)
    return kept_state(made, before)


def kept_state(made: A, before: Alarm | None) -> A:
    """An alarm in place of another has its state."""
    if before is None:
        return made
    return replace(
        made, state=before.state, reason=before.reason, reason_data=before.reason_data,
        state_updated=before.state_updated, transitioned=before.transitioned,
    )  # fmt: skip


def _threshold(params: Params) -> float:
    threshold = params.get("Threshold")
    if threshold is None:
        raise fault("MissingParameter", name="Threshold")
    if not math.isfinite(threshold):
        raise bad_value(f"The value {threshold} for parameter Threshold is invalid.")
    return float(threshold)


def _comparison(params: Params) -> str:
    comparison = params.get("ComparisonOperator")
    if comparison is None:
        raise fault("MissingParameter", name="ComparisonOperator")
    if comparison not in COMPARISONS:
        raise not_served(f"ComparisonOperator {comparison} (anomaly detection)")
    return str(comparison)


def _one_of(params: Params, name: str, allowed: Sequence[str]) -> str | None:
    value = params.get(name)
    if value is not None and value not in allowed:
        known = f"{', '.join(allowed[:-1])} and {allowed[-1]}"
        raise invalid(
            f"Option {str(value)[:100]} is not supported. Supported options for parameter {name} are {known}."
        )
    return value


def _periods(params: Params) -> tuple[int, int | None]:
    periods, to_alarm = params.get("EvaluationPeriods"), params.get("DatapointsToAlarm")
    if periods is None:
        raise fault("MissingParameter", name="EvaluationPeriods")
    if to_alarm is not None and to_alarm > periods:
        raise invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods.")
    return periods, to_alarm


def actions(params: Params, name: str) -> tuple[str, ...]:
    given = tuple(params.get(name) or ())
    for arn in given:
        if not _ACTION.fullmatch(arn):
            raise invalid(f"Invalid arn syntax: {arn[:200]}")
    return given


def _watched(call: Call, params: Params) -> dict[str, Any]:
    """`stat` or `queries`. ApiError."""
    given = params.get("Metrics")
    if not given:
        return {"stat": _single(params)}
    both = next((name for name in _SINGLE if params.get(name) is not None), None)
    if both is not None:
        raise invalid(f"Parameters Metrics and {both} are mutually exclusive.")
    queries = read_queries(given, call.account_id, where="Metrics")
    if sum(query.returned for query in queries) != 1:
        raise invalid("Exactly one element of the metrics list should return data.")
    periods = {query.stat.period for query in queries if query.stat is not None}
    if len(periods) != 1:
        raise invalid("Metrics of an alarm must have one and the same period.")
    return {"queries": queries}


def _single(params: Params) -> MetricStat:
    for name in ("MetricName", "Namespace", "Period"):
        if params.get(name) is None:
            raise fault("MissingParameter", name=name)
    plain, more = params.get("Statistic"), params.get("ExtendedStatistic")
    if (plain is None) == (more is None):
        raise bad_combination("Exactly one of the parameters Statistic and ExtendedStatistic must be specified.")
    if more is not None and not extended(more):
        raise bad_value(f"The value {more[:50]} for parameter ExtendedStatistic is not supported.")
    return MetricStat(
        namespace=params["Namespace"], name=params["MetricName"], period=params["Period"], stat=str(plain or more),
        dimensions=dimensions_of(params.get("Dimensions")), unit=params.get("Unit"),
    )  # fmt: skip


def _check_span(alarm: MetricAlarm) -> None:
    """ApiError ValidationError: an alarm looks at a day at most, or a week with periods of an hour or more."""
    period = alarm.period
    if not valid_period(period) or period == 1 or period == 5:
        raise invalid("Period must be 10, 20, 30 or a multiple of 60.")
    longest = 7 * DAY if period >= 3600 else DAY
    if period * alarm.periods > longest:
        text = f"Metrics cannot be checked across more than {longest // DAY} days (EvaluationPeriods * Period must be <= {longest})."
        raise invalid(text)


# ---------------------------------------------------------------------- describing
@cloudwatch("DescribeAlarms")
def describe_alarms(call: Call, world: World, params: Params) -> Outcome:
    """By name; composite ones only when they are asked for, log alarms are never there. InvalidNextToken, ValidationError."""
    names, prefix = params.get("AlarmNames"), params.get("AlarmNamePrefix")
    if names and prefix:
        raise bad_combination("The parameters AlarmNames and AlarmNamePrefix are mutually exclusive.")
    alarms, fields = _related(call, world, params)
    shown, token = page(sorted(alarms, key=_name), _name, params, params.get("MaxRecords") or PAGE)
    views = {
        kind: [view(alarm) for alarm in shown if isinstance(alarm, kind)] for kind in (MetricAlarm, CompositeAlarm)
    }
    if fields:
        views = {kind: [{name: each[name] for name in fields} for each in some] for kind, some in views.items()}
    return Outcome({"MetricAlarms": views[MetricAlarm], "CompositeAlarms": views[CompositeAlarm], **token})


#: what is told of an alarm's relatives, by the parameter that asks for them
_OF_RELATIVES = {
    "ChildrenOfAlarmName": ("AlarmName", "AlarmArn", "StateValue", "StateUpdatedTimestamp"),
    "ParentsOfAlarmName": ("AlarmName", "AlarmArn"),
}


def _related(call: Call, world: World, params: Params) -> tuple[list[Alarm], tuple[str, ...]]:
    """The alarms that are asked for, and what is told of them; everything when that is empty. ValidationError."""
    asked = next((name for name in _OF_RELATIVES if params.get(name)), None)
    if asked is None:
        kinds = params.get("AlarmTypes") or ["MetricAlarm"]
        metric = call.mine(world, METRIC_ALARM) if "MetricAlarm" in kinds else ()
        over = call.mine(world, COMPOSITE_ALARM) if "CompositeAlarm" in kinds else ()
        return [alarm for alarm in (*metric, *over) if _wanted(alarm, params)], ()
    other = next((name for name in params if params[name] and name not in (asked, "MaxRecords", "NextToken")), None)
    if other is not None:
        raise invalid(f"{asked} cannot be given together with {other}.")
    arn = alarm_arn(call, params[asked])
    if asked == "ParentsOfAlarmName":
        return list(composite.parents(world, arn)), _OF_RELATIVES[asked]
    parent = world.find(COMPOSITE_ALARM, arn)
    named = composite.children(parent).values() if parent is not None else ()
    return [alarm for each in dict.fromkeys(named) if (alarm := composite.find(world, each))], _OF_RELATIVES[asked]


def _name(alarm: Alarm) -> str:
    return alarm.name


def _wanted(alarm: Alarm, params: Params) -> bool:
    names, prefix, actions = params.get("AlarmNames"), params.get("AlarmNamePrefix"), params.get("ActionPrefix")
    listed = (*alarm.ok_actions, *alarm.alarm_actions, *alarm.insufficient_actions)
    return (
        (not names or alarm.name in names)
        and (not prefix or alarm.name.startswith(prefix))
        and params.get("StateValue") in (None, alarm.state)
        and (not actions or any(arn.startswith(actions) for arn in listed))
    )


@cloudwatch("DescribeAlarmsForMetric")
def describe_alarms_for_metric(call: Call, world: World, params: Params) -> Outcome:
    """Alarms on one metric, not those on expressions of it."""
    metric = metric_of(params)
    asked = params.get("Statistic") or params.get("ExtendedStatistic")
    shown = [
        view(alarm)
        for alarm in call.mine(world, METRIC_ALARM)
        if alarm.stat is not None
        and (alarm.stat.namespace, alarm.stat.name, alarm.stat.dimensions) == tuple(metric)
        and asked in (None, alarm.stat.stat)
        and params.get("Period") in (None, alarm.stat.period)
        and params.get("Unit") in (None, alarm.stat.unit)
    ]
    return Outcome({"MetricAlarms": shown})


def view(alarm: Alarm) -> dict[str, Any]:
    """`MetricAlarm` or `CompositeAlarm` of the API."""
    shown: dict[str, Any] = {
        "AlarmName": alarm.name, "AlarmArn": alarm.id, "AlarmDescription": alarm.description,
        "AlarmConfigurationUpdatedTimestamp": moment(alarm.updated), "ActionsEnabled": alarm.actions_enabled,
        "OKActions": list(alarm.ok_actions), "AlarmActions": list(alarm.alarm_actions),
        "InsufficientDataActions": list(alarm.insufficient_actions), "StateValue": alarm.state,
        "StateReason": alarm.reason, "StateReasonData": alarm.reason_data,
        "StateUpdatedTimestamp": moment(alarm.state_updated),
        "StateTransitionedTimestamp": moment(alarm.transitioned) if alarm.transitioned is not None else None,
    }  # fmt: skip
    if isinstance(alarm, CompositeAlarm):
        return shown | composite.view(alarm)
    assert isinstance(alarm, MetricAlarm)
    shown |= {
        "EvaluationPeriods": alarm.periods, "DatapointsToAlarm": alarm.to_alarm, "Threshold": alarm.threshold,
        "ComparisonOperator": alarm.comparison, "TreatMissingData": alarm.missing,
        "EvaluateLowSampleCountPercentile": alarm.low_samples,
    }  # fmt: skip
    stat = alarm.stat
    if stat is None:
        shown["Metrics"] = [_query(query) for query in alarm.queries]
        return shown
    kind = "ExtendedStatistic" if extended(stat.stat) else "Statistic"
    return shown | {
        "MetricName": stat.name, "Namespace": stat.namespace, kind: stat.stat, "Period": stat.period, "Unit": stat.unit,
        "Dimensions": shown_dimensions(stat.dimensions),
    }  # fmt: skip


def _query(query: MetricQuery) -> dict[str, Any]:
    stat = query.stat
    metric = stat and {
        "Metric": {
            "Namespace": stat.namespace, "MetricName": stat.name, "Dimensions": shown_dimensions(stat.dimensions)
        },
        "Period": stat.period, "Stat": stat.stat, "Unit": stat.unit,
    }  # fmt: skip
    return {
        "Id": query.id, "MetricStat": metric, "Expression": query.expression, "Label": query.label,
        "ReturnData": query.returned, "Period": query.period,
    }  # fmt: skip


def plain(alarm: Alarm) -> dict[str, Any]:
    """The alarm as its history shows it: names as in the API, letters as AWS writes them there."""
    return {name[0].lower() + name[1:]: value for name, value in view(alarm).items() if value is not None}


# ---------------------------------------------------------------------- deleting, switching actions
@cloudwatch("DeleteAlarms")
def delete_alarms(call: Call, world: World, params: Params) -> Outcome:
    """All of them or none. ResourceNotFound; ValidationError where a composite alarm rests on one of them."""
    names = list(dict.fromkeys(params["AlarmNames"]))
    alarms = [find_alarm(call, world, name) for name in names]
    composite.check_not_needed(world, [alarm for alarm in alarms if alarm is not None])
    change = NOTHING
    for name, alarm in zip(names, alarms, strict=True):
        if alarm is None:
            raise fault("ResourceNotFound", message=f"Resource not found: {name}")
        data = {"type": "Delete", "deletedAlarm": plain(alarm)}
        text = f'Alarm "{name}" deleted'
        now = call.now.timestamp()
        change += delete(COMPOSITE_ALARM if isinstance(alarm, CompositeAlarm) else METRIC_ALARM, alarm.id)
        change += history.entry(call.ids, alarm, now, "ConfigurationUpdate", text, data)
    return Outcome({}, change)


@cloudwatch("EnableAlarmActions")
def enable_alarm_actions(call: Call, world: World, params: Params) -> Outcome:
    """Names without an alarm say nothing, as on AWS."""
    return _switched(call, world, params, enabled=True)


@cloudwatch("DisableAlarmActions")
def disable_alarm_actions(call: Call, world: World, params: Params) -> Outcome:
    """Names without an alarm say nothing, as on AWS."""
    return _switched(call, world, params, enabled=False)


def _switched(call: Call, world: World, params: Params, *, enabled: bool) -> Outcome:
    change = NOTHING
    for name in dict.fromkeys(params["AlarmNames"]):
        alarm = find_alarm(call, world, name)
        if alarm is not None and alarm.actions_enabled != enabled:
            made = replace(alarm, actions_enabled=enabled, updated=call.now.timestamp())
            text, data = f'Alarm "{name}" updated', {"type": "Update", "updatedAlarm": plain(made)}
            change += stored(made)
            change += history.entry(call.ids, made, made.updated, "ConfigurationUpdate", text, data)
    return Outcome({}, change)
