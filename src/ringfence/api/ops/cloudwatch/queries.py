"""GetMetricData (CloudWatch API Reference): metrics and metric math, in pages."""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.cloudwatch.lines import Reader, labelled, read_queries
from ringfence.api.ops.cloudwatch.serve import cloudwatch, in_seconds, invalid, moment, page
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.insight.metrics.expressions import ExpressionError
from ringfence.insight.metrics.math import Line, Value
from ringfence.model.nouns.alarm import MetricQuery
from ringfence.model.world import World

MAX_DATAPOINTS = 100_800


@cloudwatch("GetMetricData", aside=True)
def get_metric_data(call: Call, world: World, params: Params) -> Outcome:
    """The newest datapoints first unless asked otherwise. ValidationError, InvalidNextToken."""
    start, end = in_seconds(params["StartTime"]), in_seconds(params["EndTime"])
    if start == end:
        raise invalid("The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        raise invalid("The parameter EndTime must be greater than StartTime.")
    most = params.get("MaxDatapoints") or MAX_DATAPOINTS
    if not 1 <= most <= MAX_DATAPOINTS:
        raise invalid(f"The parameter MaxDatapoints must be between 1 and {MAX_DATAPOINTS}.")
    queries = read_queries(params["MetricDataQueries"], call.account_id)
    shortest = min((query.stat.period for query in queries if query.stat), default=60)
    if (end - start) // shortest > 20 * MAX_DATAPOINTS:
        raise invalid("The time range holds too many datapoints of that period.")
    reader = Reader(call.outside.metrics, call.account_id, call.region, start, end, call.now)
    try:
        values = reader.lines(queries)
    except ExpressionError as problem:
        raise invalid(f"Error in expression: {problem}") from None
    return Outcome(_pages([entry for query in queries for entry in _entries(query, values[query.id])], params, most))


#: Id, number among the results of that Id, label, datapoints
_Entry = tuple[str, int, str, dict[int, float]]


def _entries(query: MetricQuery, value: Value) -> list[_Entry]:
    """The results of one line; none unless it is asked for. ApiError ValidationError for a mere number."""
    if not query.returned:
        return []
    if isinstance(value, float):
        text = f"Error in expression '{query.id}': the result is a number, and a time series is expected"
        raise invalid(text)
    lines: list[Line] = [value] if isinstance(value, Line) else value
    return [(query.id, n, labelled(query, line, n), dict(line.points)) for n, line in enumerate(lines)]


def _pages(entries: list[_Entry], params: Params, most: int) -> dict[str, Any]:
    """One page: at most so many datapoints, of every result in turn."""
    descending = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    flat = [
        (place, at if not descending else -at, value)
        for place, (_, _, _, points) in enumerate(entries)
        for at, value in points.items()
    ]
    flat.sort(key=lambda item: item[:2])
    given = {name: value for name, value in params.items() if name != "MaxDatapoints"}
    shown, token = page(flat, lambda item: list(item[:2]), given, most)
    first = not params.get("NextToken")
    results = []
    for place, (id, _, label, _) in enumerate(entries):
        mine = [(abs(at), value) for where, at, value in shown if where == place]
        if not mine and not first:
            continue
        more = bool(token) and (not shown or shown[-1][0] <= place) and len(mine) < len(entries[place][3])
        results.append({
            "Id": id, "Label": label, "Timestamps": [moment(at) for at, _ in mine], "Values": [v for _, v in mine],
            "StatusCode": "PartialData" if more else "Complete",
        })  # fmt: skip
    return {"MetricDataResults": results, "Messages": [], **token}
