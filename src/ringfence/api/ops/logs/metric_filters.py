"""Metric filters (CloudWatch Logs API Reference: PutMetricFilter, DescribeMetricFilters, TestMetricFilter …)."""

from __future__ import annotations

import math
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs.serve import find_group, invalid, logs, milliseconds, page
from ringfence.insight.patterns import Pattern, PatternError, compile_pattern, number_of
from ringfence.insight.patterns.columns import ColumnPattern
from ringfence.insight.patterns.documents import DocumentPattern, selector
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import METRIC_FILTER
from ringfence.model.nouns.log import MetricFilter, MetricTransformation
from ringfence.model.world import World, delete, put

MAX_DIMENSIONS = 3
MAX_DIMENSION = 255
REGEX_FILTERS_PER_GROUP = 5
_NOT_HERE = ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFieldDimensions")


@logs("PutMetricFilter")
def put_metric_filter(call: Call, world: World, params: Params) -> Outcome:
    """New, or in place of the one of that name. InvalidParameterException, LimitExceededException."""
    for name in _NOT_HERE:
        if params.get(name):
            raise fault("UnsupportedOperation", message=f"{name} is not supported by this installation.")
    group = find_group(call, world, params["logGroupName"])
    if group.log_class != "STANDARD":
        text = f"Metric filters are not supported by log groups of class {group.log_class}."
        raise fault("InvalidOperationException", message=text)
    pattern = _compiled(params["filterPattern"])
    made = _transformation(pattern, params["metricTransformations"][0])
    id = f"{group.id}:metric-filter:{params['filterName']}"
    others = [row for row in world.by(METRIC_FILTER, "group", group.id) if row.id != id]
    call.check_quota("metric-filters-per-log-group", len(others) + 1)
    if pattern.regexes and sum(1 for row in others if compile_pattern(row.pattern).regexes) >= REGEX_FILTERS_PER_GROUP:
        raise fault("LimitExceededException")
    row = MetricFilter(
        id=id, **call.owned(), group=group.id, name=params["filterName"], pattern=params["filterPattern"],
        created=milliseconds(call), transformation=made,
    )  # fmt: skip
    return Outcome({}, put(METRIC_FILTER, row))


def _compiled(text: str) -> Pattern:
    try:
        return compile_pattern(text)
    except PatternError as problem:
        raise invalid(f"Invalid metric filter pattern: {problem}") from None


def _transformation(pattern: Pattern, given: Params) -> MetricTransformation:
    """ApiError InvalidParameterException."""
    dimensions = tuple((given.get("dimensions") or {}).items())
    default = given.get("defaultValue")
    if dimensions and default is not None:
        raise _wrong("dimensions and default value are mutually exclusive properties.")
    if len(dimensions) > MAX_DIMENSIONS:
        raise _wrong(f"a metric filter can have at most {MAX_DIMENSIONS} dimensions.")
    if default is not None and not math.isfinite(default):
        raise _wrong("the default value must be a number.")
    value = given["metricValue"]
    if number_of(value) is None:
        _check_reference(pattern, value)
    for name, reference in dimensions:
        if not 1 <= len(name) <= MAX_DIMENSION or not 1 <= len(reference) <= MAX_DIMENSION:
            raise _wrong("dimensions have names and values of 1 to 255 characters.")
        _check_reference(pattern, reference)
    return MetricTransformation(
        namespace=given["metricNamespace"], name=given["metricName"], value=value, default=default,
        unit=given.get("unit"), dimensions=dimensions,
    )  # fmt: skip


def _check_reference(pattern: Pattern, reference: str) -> None:
    """A field that the pattern can give: `$name` of its columns, or a selector. ApiError InvalidParameterException."""
    if isinstance(pattern, ColumnPattern) and reference[:1] == "$" and reference[1:] in pattern.names:
        return
    if isinstance(pattern, DocumentPattern):
        try:
            selector(reference)
        except PatternError as problem:
            raise _wrong(f"{problem}.") from None
        return
    raise _wrong(f"'{reference[:100]}' is neither a number nor a field of the filter pattern.")


def _wrong(what: str) -> ApiError:
    return invalid(f"Invalid metric transformation: {what}")


@logs("DeleteMetricFilter")
def delete_metric_filter(call: Call, world: World, params: Params) -> Outcome:
    """ResourceNotFoundException."""
    group = find_group(call, world, params["logGroupName"])
    id = f"{group.id}:metric-filter:{params['filterName']}"
    if world.find(METRIC_FILTER, id) is None:
        raise fault("ResourceNotFoundException", message="The specified metric filter does not exist.")
    return Outcome({}, delete(METRIC_FILTER, id))


@logs("DescribeMetricFilters")
def describe_metric_filters(call: Call, world: World, params: Params) -> Outcome:
    """Of a group or of all, by group and name; of a metric, named whole."""
    if (params.get("metricName") is None) != (params.get("metricNamespace") is None):
        raise invalid("metricName and metricNamespace must be given together.")
    if params.get("logGroupName") is not None:
        rows = world.by(METRIC_FILTER, "group", find_group(call, world, params["logGroupName"]).id)
    else:
        rows = call.mine(world, METRIC_FILTER)
    rows = [row for row in rows if _wanted(row, params)]
    shown, token = page(sorted(rows, key=_key), _key, params)
    return Outcome({"metricFilters": [_view(row) for row in shown], **token})


def _key(row: MetricFilter) -> list[str]:
    return [row.name, row.group]


def _wanted(row: MetricFilter, params: Params) -> bool:
    made, metric = row.transformation, params.get("metricName")
    return row.name.startswith(params.get("filterNamePrefix") or "") and (
        metric is None or (made.name, made.namespace) == (metric, params["metricNamespace"])
    )


def _view(row: MetricFilter) -> dict[str, Any]:
    """`MetricFilter` of the API."""
    made = row.transformation
    shown: dict[str, Any] = {
        "metricName": made.name, "metricNamespace": made.namespace, "metricValue": made.value,
        "defaultValue": made.default, "unit": made.unit, "dimensions": dict(made.dimensions) or None,
    }  # fmt: skip
    return {
        "filterName": row.name, "filterPattern": row.pattern, "metricTransformations": [shown],
        "creationTime": row.created, "logGroupName": group_name(row.group), "applyOnTransformedLogs": False,
    }  # fmt: skip


def group_name(arn: str) -> str:
    return arn.split(":", 6)[6]


@logs("TestMetricFilter")
def test_metric_filter(call: Call, world: World, params: Params) -> Outcome:
    """Which of the messages match, counted from 1, and the fields of space-delimited ones."""
    pattern = _compiled(params["filterPattern"])
    matches = [
        {"eventNumber": n, "eventMessage": message, "extractedValues": values}
        for n, message in enumerate(params["logEventMessages"], 1)
        if (values := pattern.extract(message)) is not None
    ]
    return Outcome({"matches": matches})
