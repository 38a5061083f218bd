"""Analyses of Reachability Analyzer (Amazon EC2 API Reference: StartNetworkInsightsAnalysis,
DescribeNetworkInsightsAnalyses, DeleteNetworkInsightsAnalysis; Reachability Analyzer guide; spec MON-14, MON-15, MON-17).

AWS: an analysis runs for minutes and fails when the network changes meanwhile. Here it takes milliseconds, so that it is done
when it is started, and says what is true of the World it is committed with.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2.analyses import of_subject, started_within
from ringfence.api.ops.ec2.network_insights_paths import check_account, organization_of
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.insight.analyzer.analyse import Limits, analyse
from ringfence.insight.analyzer.views import kind_of_arn
from ringfence.model.errors import fault
from ringfence.model.kinds import NETWORK_INSIGHTS_ANALYSIS, NETWORK_INSIGHTS_PATH
from ringfence.model.nouns.network_insights import NetworkInsightsAnalysis
from ringfence.model.world import NOTHING, Change, World, delete, put

#: AWS deletes an analysis so long after it was started
KEPT = timedelta(days=120)
_ACCOUNT = re.compile(r"[0-9]{12}")


@operation("ec2:StartNetworkInsightsAnalysis", aside=True)
def start_network_insights_analysis(call: Call, world: World, params: Params) -> Outcome:
    """InvalidNetworkInsightsPathId.NotFound, InvalidParameterValue, NetworkInsights.AccessDenied,
    NetworkInsightsAnalysis.LimitExceeded."""
    path = call.get(world, NETWORK_INSIGHTS_PATH, params["NetworkInsightsPathId"])
    accounts = tuple(dict.fromkeys(params.get("AdditionalAccounts") or ()))
    for account in accounts:
        if not _ACCOUNT.fullmatch(account):
            raise fault("InvalidParameterValue", message=f"Invalid account ID: {account[:50]}")
        check_account(call, world, account)
    through, avoid = _arns(params, "FilterInArns"), _arns(params, "FilterOutArns")
    both = [arn for arn in through if arn in avoid]
    if both:
        raise fault("InvalidParameterValue", message=f"{both[0]} is in both FilterInArns and FilterOutArns.")
    call.check_quota("network-insights-analyses", len(call.mine(world, NETWORK_INSIGHTS_ANALYSIS)) + 1)
    organization = organization_of(call, world) is not None
    limits = Limits(frozenset((call.account_id, *accounts)), organization, through, avoid)
    result = call.engines.once(
        world, (path.id, limits), lambda: analyse(world, call.engines.of(world), path, limits)
    )  # fmt: skip
    row = NetworkInsightsAnalysis(
        id=call.ids.new(NETWORK_INSIGHTS_ANALYSIS.prefix), **call.owned(), path_id=path.id,
        started=call.now.timestamp(), status="failed" if result.found is None else "succeeded", found=result.found,
        message=result.message, result=json.dumps(result.reply, separators=(",", ":")), accounts=accounts,
        filter_in=through, filter_out=avoid, tags=tags_on_create(call, params, NETWORK_INSIGHTS_ANALYSIS),
    )  # fmt: skip
    return Outcome({"NetworkInsightsAnalysis": _view(row)}, put(NETWORK_INSIGHTS_ANALYSIS, row))


def _arns(params: Params, name: str) -> tuple[str, ...]:
    given = tuple(dict.fromkeys(params.get(name) or ()))
    for arn in given:
        if kind_of_arn(arn) is None:
            raise fault(
                "InvalidParameterValue", message=f"{name}: {arn[:200]} is not the ARN of a component of a path."
            )
    return given


# ---------------------------------------------------------------------- reading
def _view(row: NetworkInsightsAnalysis) -> dict[str, Any]:
    """`NetworkInsightsAnalysis` of the API."""
    out: dict[str, Any] = {
        "NetworkInsightsAnalysisId": row.id, "NetworkInsightsAnalysisArn": NETWORK_INSIGHTS_ANALYSIS.arn(row),
        "NetworkInsightsPathId": row.path_id, "StartDate": datetime.fromtimestamp(row.started, UTC),
        "Status": row.status, **json.loads(row.result), "Tags": tag_list(row.tags),
    }  # fmt: skip
    given = {"AdditionalAccounts": row.accounts, "FilterInArns": row.filter_in, "FilterOutArns": row.filter_out}
    out |= {name: list(values) for name, values in given.items() if values}
    if row.found is not None:
        out["NetworkPathFound"] = row.found
    return out | ({"StatusMessage": row.message} if row.message else {})


_FILTERS: dict[str, Values] = {
    "path-found": lambda _, row: (row.found,),
    "status": lambda _, row: (row.status,),
}


@operation("ec2:DescribeNetworkInsightsAnalyses")
def describe_network_insights_analyses(call: Call, world: World, params: Params) -> Outcome:
    """Those named, of a path, or all; started within the times given. The kinds' NotFound, InvalidParameterValue."""
    named, path_id = params.get("NetworkInsightsAnalysisIds"), params.get("NetworkInsightsPathId")
    rows = of_subject(
        call, world, NETWORK_INSIGHTS_ANALYSIS, named, NETWORK_INSIGHTS_PATH, path_id, lambda row: row.path_id
    )
    rows = started_within(rows, params, "AnalysisStartTime", "AnalysisEndTime")
    shown, token = page(apply_filters(world, rows, params.get("Filters") or (), _FILTERS), params, low=1, high=100)
    return Outcome(
        {"NetworkInsightsAnalyses": [_view(row) for row in shown], **({"NextToken": token} if token else {})}
    )


# ---------------------------------------------------------------------- ending
@operation("ec2:DeleteNetworkInsightsAnalysis")
def delete_network_insights_analysis(call: Call, world: World, params: Params) -> Outcome:
    """InvalidNetworkInsightsAnalysisId.NotFound, .Malformed."""
    row = call.get(world, NETWORK_INSIGHTS_ANALYSIS, params["NetworkInsightsAnalysisId"])
    return Outcome({"NetworkInsightsAnalysisId": row.id}, delete(NETWORK_INSIGHTS_ANALYSIS, row.id))


def forgotten(world: World, now: datetime) -> Change:
    """Analyses that are kept no longer."""
    gone = (now - KEPT).timestamp()
    ids = [row.id for row in world.all(NETWORK_INSIGHTS_ANALYSIS) if row.started < gone]
    return delete(NETWORK_INSIGHTS_ANALYSIS, *ids) if ids else NOTHING
