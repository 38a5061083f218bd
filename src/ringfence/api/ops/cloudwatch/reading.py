"""Samples as datapoints of any period (CloudWatch API Reference: GetMetricStatistics, "StartTime" and "Period").

Datapoints begin at the start of the request, rounded down to what is kept of that time, and not at the whole period.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from ringfence.api.outside import Metrics
from ringfence.insight.metrics.statistics import Bucket
from ringfence.store.metrics import RETENTION, Metric, Series

SHORT_PERIODS = frozenset({1, 5, 10, 20, 30})
_MINUTE = 60


def valid_period(period: int) -> bool:
    return period in SHORT_PERIODS or (period > 0 and period % _MINUTE == 0)


def rounded_start(start: int, period: int, now: int) -> int:
    """Where the first datapoint begins: within what is kept of that time."""
    step = period if period < _MINUTE else _finest(now - start)
    return start // step * step


def _finest(age: int) -> int:
    """The length of the shortest datapoints, of a minute or more, that are kept so long."""
    return next((tier for tier, kept in RETENTION.items() if tier >= _MINUTE and age <= kept), max(RETENTION))


def _tier(start: int, period: int, now: int) -> tuple[int, int]:
    """The resolution to read, and the time before which nothing of it is kept.

    A period that is no multiple of what is kept of a time gives nothing of that time.
    """
    if period < _MINUTE:
        return 1, now - RETENTION[1]
    whole = [tier for tier in RETENTION if tier >= _MINUTE and period % tier == 0]
    fitting = [tier for tier in whole if start >= now - RETENTION[tier] - tier]
    tier = fitting[0] if fitting else whole[-1]
    return tier, now - RETENTION[tier] - tier


def buckets(
    metrics: Metrics, series: Series, period: int, start: int, end: int, now: datetime, *, values: bool = False
) -> dict[int, Bucket]:
    """Begin of a datapoint → its samples; only those that have any. `start` is rounded already. `values`: with each value."""
    tier, kept = _tier(start, period, int(now.timestamp()))
    first = max(start, kept)
    found: dict[int, Bucket] = {}
    for point in metrics.points(series.id, tier, first, end):
        at = start + (point.at - start) // period * period
        found.setdefault(at, Bucket()).add(point.seen, point.total, point.least, point.most)
    if values:
        for when, value, count in metrics.values(series.id, tier, first, end):
            bucket = found.get(start + (when - start) // period * period)
            if bucket is not None:
                bucket.values[value] = bucket.values.get(value, 0.0) + count
    return found


def merged(parts: Iterable[dict[int, Bucket]]) -> dict[int, Bucket]:
    """Datapoints of several series (a metric in several units) as one, by time."""
    whole: dict[int, Bucket] = {}
    for part in parts:
        for at, bucket in part.items():
            into = whole.setdefault(at, Bucket())
            into.add(bucket.count, bucket.total, bucket.least, bucket.most)
            for value, count in bucket.values.items():
                into.values[value] = into.values.get(value, 0.0) + count
    return dict(sorted(whole.items()))


def series_of(metrics: Metrics, account: str, region: str, metric: Metric, unit: str | None) -> Iterator[Series]:
    """The series of a metric, in one unit or in all."""
    for series in metrics.series(account, region, metric):
        if unit is None or series.unit == unit:
            yield series
