"""GetMetricStatistics (CloudWatch API Reference)."""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.cloudwatch.reading import buckets, rounded_start, series_of, valid_period
from ringfence.api.ops.cloudwatch.serve import bad_combination, bad_value, cloudwatch, in_seconds, metric_of, moment
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.insight.metrics.statistics import Bucket, extended, statistic
from ringfence.model.world import World

MAX_DATAPOINTS = 1440


@cloudwatch("GetMetricStatistics", aside=True)
def get_metric_statistics(call: Call, world: World, params: Params) -> Outcome:
    """Datapoints of one metric, those of each unit by themselves. InvalidParameterValue, InvalidParameterCombination."""
    plain, more = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
    if bool(plain) == bool(more):
        raise bad_combination("Must specify either Statistics or ExtendedStatistics")
    for text in more:
        if not extended(text):
            raise bad_value(f"The value {text[:50]} for parameter ExtendedStatistics is not supported.")
    period, start, end = _span(call, params)
    metrics = call.outside.metrics
    shown = [
        _datapoint(at, bucket, series.unit, plain, more)
        for series in series_of(metrics, call.account_id, call.region, metric_of(params), params.get("Unit"))
        for at, bucket in buckets(metrics, series, period, start, end, call.now, values=bool(more)).items()
    ]
    return Outcome({"Label": params["MetricName"], "Datapoints": sorted(shown, key=lambda point: point["Timestamp"])})


def _span(call: Call, params: Params) -> tuple[int, int, int]:
    """Period, start and end in seconds. ApiError."""
    period, start, end = params["Period"], in_seconds(params["StartTime"]), in_seconds(params["EndTime"])
    if not valid_period(period):
        raise bad_value("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
    if start >= end:
        raise bad_value("The parameter StartTime must be less than the parameter EndTime.")
    wanted = -(-(end - start) // period)
    if wanted > MAX_DATAPOINTS:
        text = (
            f"You have requested up to {wanted:,} datapoints, which exceeds the limit of {MAX_DATAPOINTS:,}. You may reduce "
            "the datapoints requested by increasing Period, or decreasing the time range."
        )
        raise bad_combination(text)
    return period, rounded_start(start, period, int(call.now.timestamp())), end


def _datapoint(at: int, bucket: Bucket, unit: str, plain: list[str], more: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"Timestamp": moment(at), "Unit": unit}
    for name in plain:
        work = statistic(name)
        shown[name] = work(bucket) if work else None
    if more:
        values = {name: work(bucket) for name in more if (work := statistic(name)) is not None}
        shown["ExtendedStatistics"] = {name: value for name, value in values.items() if value is not None}
    return shown
