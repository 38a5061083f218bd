"""ListMetrics (CloudWatch API Reference): metrics with samples in the past two weeks."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.api.ops.cloudwatch.serve import bad_value, cloudwatch, not_served, page, shown_dimensions
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.model.errors import ApiError
from ringfence.model.world import World
from ringfence.store.metrics import DAY, Metric

PAGE = 500
LISTED, RECENT = 14 * DAY, 3 * 3600


@cloudwatch("ListMetrics", aside=True)
def list_metrics(call: Call, world: World, params: Params) -> Outcome:
    """By namespace, name and dimensions. InvalidParameterValue, for a token that is none too."""
    if params.get("IncludeLinkedAccounts") or params.get("OwningAccount") not in (None, call.account_id):
        raise not_served("IncludeLinkedAccounts")
    since = int(call.now.timestamp()) - (RECENT if params.get("RecentlyActive") else LISTED)
    found = {series.metric for series in call.outside.metrics.series(call.account_id, call.region, since=since)}
    wanted = [metric for metric in found if _wanted(metric, params)]
    try:
        shown, token = page(sorted(wanted), _key, params, PAGE)
    except ApiError:
        raise bad_value("Request parameter NextToken is invalid") from None
    return Outcome({"Metrics": [shown_metric(metric) for metric in shown], **token})


def _key(metric: Metric) -> list[object]:
    return [metric.namespace, metric.name, [list(pair) for pair in metric.dimensions]]


def _wanted(metric: Metric, params: Params) -> bool:
    if params.get("Namespace") not in (None, metric.namespace) or params.get("MetricName") not in (None, metric.name):
        return False
    return _has(metric.dimensions, params.get("Dimensions") or ())


def _has(dimensions: tuple[tuple[str, str], ...], filters: Iterable[Params]) -> bool:
    held = dict(dimensions)
    return all(
        held.get(one["Name"]) == one["Value"] if one.get("Value") is not None else one["Name"] in held
        for one in filters
    )


def shown_metric(metric: Metric) -> dict[str, object]:
    """`Metric` of the API."""
    return {
        "Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": shown_dimensions(metric.dimensions)
    }  # fmt: skip
