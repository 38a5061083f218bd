"""PutMetricData (CloudWatch API Reference). Samples are on disk before it answers, and are shown at once; AWS may take minutes."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from ringfence.api.ops.cloudwatch.serve import (
    bad_combination,
    bad_value,
    cloudwatch,
    dimensions_of,
    in_seconds,
    invalid,
    not_served,
)
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.model.errors import fault
from ringfence.model.world import World
from ringfence.store.metrics import DAY, Metric, Sample, of_values

MAX_DATA, MAX_VALUES, MAX_DIMENSIONS = 1000, 150, 30
LARGEST = 2.0**360
OLDEST, NEWEST = 14 * DAY, 2 * 3600
_VALUES = ("Value", "StatisticValues", "Values")


@cloudwatch("PutMetricData", samples=True)
def put_metric_data(call: Call, world: World, params: Params) -> Outcome:
    """All or nothing. InvalidParameterValue, InvalidParameterCombination, MissingParameter."""
    namespace, data = params["Namespace"], params.get("MetricData") or []
    if params.get("EntityMetricData"):
        raise not_served("EntityMetricData")
    if namespace.startswith("AWS/"):
        raise bad_value("The value AWS/ for parameter Namespace is invalid.")
    if not data:
        raise fault("MissingParameter", name="MetricData")
    if len(data) > MAX_DATA:
        raise bad_value(f"The collection MetricData must not have a size greater than {MAX_DATA}.")
    call.outside.metrics.put([_sample(call, namespace, datum, n) for n, datum in enumerate(data, 1)])
    return Outcome({})


def _sample(call: Call, namespace: str, datum: Params, n: int) -> Sample:
    where = f"MetricData.member.{n}"
    if not 1 <= len(datum["MetricName"]) <= 255:
        raise bad_value(f"The value for parameter {where}.MetricName is invalid.")
    if len(datum.get("Dimensions") or ()) > MAX_DIMENSIONS:
        raise bad_value(f"The collection {where}.Dimensions must not have a size greater than {MAX_DIMENSIONS}.")
    resolution = datum.get("StorageResolution", 60)
    if resolution not in (1, 60):
        raise bad_value(f"The value {resolution} for parameter {where}.StorageResolution is invalid.")
    made: dict[str, Any] = {
        "account": call.account_id, "region": call.region, "unit": datum.get("Unit", "None"), "high": resolution == 1,
        "metric": Metric(namespace, datum["MetricName"], dimensions_of(datum.get("Dimensions"), f"{where}.Dimensions")),
        "at": _time(call, datum, where),
    }  # fmt: skip
    given = [name for name in _VALUES if datum.get(name) not in (None, [])]
    if len(given) > 1:
        text = f"The parameters {where}.{given[0]} and {where}.{given[1]} are mutually exclusive and you have specified both."
        raise bad_value(text) if given == ["Value", "Values"] else bad_combination(text)
    if not given:
        raise fault("MissingParameter", name=f"{where}.Value")
    if given[0] == "StatisticValues":
        return _of_summary(datum["StatisticValues"], f"{where}.StatisticValues", made)
    values = datum["Values"] if given[0] == "Values" else [datum["Value"]]
    return of_values(_counted(values, datum.get("Counts"), where), **made)


def _time(call: Call, datum: Params, where: str) -> int:
    now = int(call.now.timestamp())
    at = in_seconds(datum["Timestamp"]) if datum.get("Timestamp") is not None else now
    if at < now - OLDEST:
        raise bad_value(f"The parameter {where}.Timestamp must specify a time within the past two weeks.")
    if at > now + NEWEST:
        raise bad_value(f"The parameter {where}.Timestamp must specify a time no more than two hours in the future.")
    return at


def _number(value: float, where: str) -> float:
    if not math.isfinite(value) or abs(value) > LARGEST:
        raise bad_value(f"The value {'NaN' if math.isnan(value) else value} for parameter {where} is invalid.")
    return value


def _counted(values: list[float], counts: list[float] | None, where: str) -> list[tuple[float, float]]:
    """Each value with how often it is given."""
    if len(values) > MAX_VALUES:
        raise bad_value(f"The collection {where}.Values must not have a size greater than {MAX_VALUES}.")
    if counts is not None and len(counts) != len(values):
        raise bad_value(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    found: Counter[float] = Counter()
    for value, count in zip(values, counts or [1.0] * len(values), strict=True):
        if _number(count, f"{where}.Counts") <= 0:
            raise bad_value(f"The value {count} for parameter {where}.Counts is invalid.")
        found[_number(value, f"{where}.Value")] += count  # type: ignore[assignment]
    return list(found.items())


def _of_summary(given: Params, where: str, made: dict[str, Any]) -> Sample:
    count, total, least, most = (
        _number(given[name], f"{where}.{name}") for name in ("SampleCount", "Sum", "Minimum", "Maximum")
    )
    if count <= 0:
        raise bad_value(f"The value {count} for parameter {where}.SampleCount is invalid.")
    if most < least:
        raise invalid(f"The parameter {where}.Maximum must be greater than {where}.Minimum.")
    values = ((least, count),) if least == most else ()  # percentiles are known of these alone, as on AWS
    return Sample(count=count, total=total, least=least, most=most, values=values, **made)
