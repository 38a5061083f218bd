"""Lines of a metric query, read from a request and worked out: statistics of metrics, and metric math over them.

Used by GetMetricData and by alarms (CloudWatch API Reference: `MetricDataQuery`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ringfence.api.ops.cloudwatch.reading import buckets, merged, rounded_start, series_of, valid_period
from ringfence.api.ops.cloudwatch.serve import dimensions_of, invalid, not_served
from ringfence.api.ops.context import Params
from ringfence.api.outside import Metrics
from ringfence.insight.metrics.expressions import ExpressionError
from ringfence.insight.metrics.math import Frame, Line, NotServed, Value, check, uses
from ringfence.insight.metrics.statistics import needs_values, statistic
from ringfence.model.nouns.alarm import MetricQuery, MetricStat
from ringfence.store.metrics import Metric

MAX_QUERIES = 500
_ID = re.compile("[a-z][A-Za-z0-9_]*")


# ---------------------------------------------------------------------- reading requests
def read_queries(given: Sequence[Params], account: str, *, where: str = "MetricDataQueries") -> tuple[MetricQuery, ...]:
    """The lines of a request, each sound by itself and in what it stands on. ApiError ValidationError, UnsupportedOperation."""
    if not 1 <= len(given) <= MAX_QUERIES:
        raise invalid(f"The collection {where} must have a size between 1 and {MAX_QUERIES}.")
    queries = tuple(_query(item, f"{where}.member.{n}", account) for n, item in enumerate(given, 1))
    ids = [query.id for query in queries]
    twice = next((id for n, id in enumerate(ids) if id in ids[:n]), None)
    if twice is not None:
        raise invalid(f"The values for parameter id in {where} are not unique: {twice}.")
    _check_order(queries)
    return queries


def _query(given: Params, where: str, account: str) -> MetricQuery:
    id, stat, expression = given["Id"], given.get("MetricStat"), given.get("Expression")
    if not _ID.fullmatch(id):
        raise invalid(
            f"The value {id[:100]} for parameter {where}.Id is not matching the expected pattern {_ID.pattern}."
        )
    if (stat is None) == (expression is None):
        raise invalid(f"Exactly one of the parameters {where}.MetricStat and {where}.Expression must be specified.")
    if given.get("AccountId") not in (None, account):
        raise not_served("AccountId of another account")
    period = given.get("Period")
    if period is not None and not valid_period(period):
        raise invalid(f"The value {period} for parameter {where}.Period is invalid.")
    if expression is not None:
        _checked(expression)
    return MetricQuery(
        id=id, stat=read_stat(stat, f"{where}.MetricStat") if stat is not None else None, expression=expression,
        label=given.get("Label"), returned=given.get("ReturnData", True), period=period,
    )  # fmt: skip


def read_stat(given: Params, where: str) -> MetricStat:
    """ApiError ValidationError."""
    metric, text, period = given["Metric"], given["Stat"], given["Period"]
    if metric.get("Namespace") is None or metric.get("MetricName") is None:
        raise invalid(f"The parameters {where}.Metric.Namespace and {where}.Metric.MetricName are required.")
    if statistic(text) is None:
        raise invalid(f"The value {text[:50]} for parameter {where}.Stat is not supported.")
    if not valid_period(period):
        raise invalid(f"The value {period} for parameter {where}.Period is invalid.")
    return MetricStat(
        namespace=metric["Namespace"], name=metric["MetricName"], period=period, stat=text, unit=given.get("Unit"),
        dimensions=dimensions_of(metric.get("Dimensions"), f"{where}.Metric.Dimensions"),
    )  # fmt: skip


def _checked(expression: str) -> None:
    try:
        check(expression)
    except NotServed as problem:
        raise not_served(f"The function {problem} of metric math") from None
    except ExpressionError as problem:
        raise invalid(f"Error in expression: {problem}") from None


def _order(queries: Iterable[MetricQuery]) -> list[MetricQuery]:
    """Lines in an order in which each comes after what it stands on. ExpressionError for unknown Ids and circles."""
    by_id = {query.id: query for query in queries}
    done: dict[str, None] = {}
    open_: set[str] = set()

    def visit(id: str, depth: int) -> None:
        if id in done:
            return
        if id not in by_id:
            raise ExpressionError(f"Undefined variable '{id[:50]}'")
        if id in open_ or depth > 10:
            raise ExpressionError(f"The expression '{id[:50]}' stands on itself, or on too many others")
        open_.add(id)
        expression = by_id[id].expression
        for other in sorted(uses(check(expression))) if expression is not None else ():
            visit(other, depth + 1)
        done[id] = None

    for id in by_id:
        visit(id, 0)
    return [by_id[id] for id in done]


def _check_order(queries: tuple[MetricQuery, ...]) -> None:
    try:
        _order(queries)
    except ExpressionError as problem:
        raise invalid(f"Error in expression: {problem}") from None


# ---------------------------------------------------------------------- working out
@dataclass(frozen=True, slots=True)
class Reader:
    """Whose metrics are read, and of which span."""

    metrics: Metrics
    account: str
    region: str
    start: int
    end: int
    now: datetime

    def line(self, stat: MetricStat) -> Line:
        """A statistic of a metric as a time series."""
        start = rounded_start(self.start, stat.period, int(self.now.timestamp()))
        metric = Metric(stat.namespace, stat.name, stat.dimensions)
        work, values = statistic(stat.stat), needs_values(stat.stat)
        assert work is not None, stat.stat
        found = merged(
            buckets(self.metrics, series, stat.period, start, self.end, self.now, values=values)
            for series in series_of(self.metrics, self.account, self.region, metric, stat.unit)
        )
        points = {at: value for at, bucket in found.items() if (value := work(bucket)) is not None}
        return Line(points, stat.period, stat.name)

    def lines(self, queries: Sequence[MetricQuery]) -> Mapping[str, Value]:
        """Every line by its Id. ExpressionError."""
        values: dict[str, Value] = {}
        metrics = {query.id: self.line(query.stat) for query in queries if query.stat is not None}
        values |= metrics
        pending = [query for query in _order(queries) if query.expression is not None]
        # METRICS() stands on every metric, whatever the order
        for query in pending:
            node = check(query.expression or "")
            alone = [line.period for line in metrics.values()] or [query.period or 60]
            period = query.period or max([metrics[id].period for id in uses(node) if id in metrics] or alone)
            start = rounded_start(self.start, period, int(self.now.timestamp()))
            frame = Frame(values, metrics, range(start, self.end, period), period)
            values[query.id] = frame.work_out(node)
        return values


def labelled(query: MetricQuery, value: Line, number: int) -> str:
    """The label of a result: its own, the metric's name, or the Id."""
    if query.label:
        return query.label if number == 0 else f"{query.label} {value.label}".strip()
    return value.label if query.stat is not None and value.label else query.id
