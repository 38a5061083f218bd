"""Analyses of Network Access Scopes (Amazon EC2 API Reference: StartNetworkInsightsAccessScopeAnalysis,
DescribeNetworkInsightsAccessScopeAnalyses, GetNetworkInsightsAccessScopeAnalysisFindings,
DeleteNetworkInsightsAccessScopeAnalysis; Network Access Analyzer guide; spec MON-19).

As with paths, an analysis is done when it is started. Its findings are complete up to AWS's limit of 10,000, and exact.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import apply_filters, page
from ringfence.api.ops.ec2.analyses import of_subject, started_within
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.insight.analyzer.findings import MOST, findings
from ringfence.insight.analyzer.scope import Scope
from ringfence.insight.analyzer.statements import content_of
from ringfence.model.kinds import ACCESS_SCOPE, ACCESS_SCOPE_ANALYSIS
from ringfence.model.nouns.network_insights import AccessScope, AccessScopeAnalysis
from ringfence.model.row import Tags
from ringfence.model.world import World, delete, put


@operation("ec2:StartNetworkInsightsAccessScopeAnalysis", aside=True)
def start_access_scope_analysis(call: Call, world: World, params: Params) -> Outcome:
    """InvalidNetworkInsightsAccessScopeId.NotFound, .Malformed, NetworkInsightsAccessScopeAnalysis.LimitExceeded."""
    scope = call.get(world, ACCESS_SCOPE, params["NetworkInsightsAccessScopeId"])
    call.check_quota("access-scope-analyses", len(call.mine(world, ACCESS_SCOPE_ANALYSIS)) + 1)
    row = _analysed(call, world, scope, tags_on_create(call, params, ACCESS_SCOPE_ANALYSIS))
    return Outcome({"NetworkInsightsAccessScopeAnalysis": _view(row)}, put(ACCESS_SCOPE_ANALYSIS, row))


def _analysed(call: Call, world: World, scope: AccessScope, tags: Tags) -> AccessScopeAnalysis:
    looked, found, more = call.engines.once(world, scope.id, lambda: _looked(call, world, scope))
    warnings = [f"Only the first {MOST} findings are kept."] if more else []
    if looked.unknown is not None:
        warnings.append(f"{looked.unknown.component} cannot be analysed: {looked.unknown.why}")
    unknown = looked.unknown is not None and not found
    moment = call.now.timestamp()
    return AccessScopeAnalysis(
        id=call.ids.new(ACCESS_SCOPE_ANALYSIS.prefix), **call.owned(), scope_id=scope.id, started=moment, ended=moment,
        status="succeeded", found="unknown" if unknown else "true" if found else "false", count=len(found),
        interfaces=looked.analysed, findings=zlib.compress(json.dumps(found, separators=(",", ":")).encode()),
        warning=" ".join(warnings) or None, tags=tags,
    )  # fmt: skip


def _looked(call: Call, world: World, scope: AccessScope) -> tuple[Scope, list[Any], bool]:
    """What takes long: the scope over this World, its findings, and whether there are more."""
    content = content_of(json.loads(scope.content), world)
    looked = Scope(world, call.engines.of(world), content, call.account_id, call.region)
    return looked, *findings(looked)


# ---------------------------------------------------------------------- reading
def _view(row: AccessScopeAnalysis) -> dict[str, Any]:
    out: dict[str, Any] = {
        "NetworkInsightsAccessScopeAnalysisId": row.id,
        "NetworkInsightsAccessScopeAnalysisArn": ACCESS_SCOPE_ANALYSIS.arn(row),
        "NetworkInsightsAccessScopeId": row.scope_id, "Status": row.status, "FindingsFound": row.found,
        "StartDate": datetime.fromtimestamp(row.started, UTC), "EndDate": datetime.fromtimestamp(row.ended, UTC),
        "AnalyzedEniCount": row.interfaces, "Tags": tag_list(row.tags),
    }  # fmt: skip
    return out | ({"WarningMessage": row.warning} if row.warning else {})


@operation("ec2:DescribeNetworkInsightsAccessScopeAnalyses")
def describe_access_scope_analyses(call: Call, world: World, params: Params) -> Outcome:
    """Those named, of a scope, or all; started within the times given. The kinds' NotFound, InvalidParameterValue."""
    named, scope_id = params.get("NetworkInsightsAccessScopeAnalysisIds"), params.get("NetworkInsightsAccessScopeId")
    rows = of_subject(call, world, ACCESS_SCOPE_ANALYSIS, named, ACCESS_SCOPE, scope_id, lambda row: row.scope_id)
    rows = started_within(rows, params, "AnalysisStartTimeBegin", "AnalysisStartTimeEnd")
    shown, token = page(apply_filters(world, rows, params.get("Filters") or (), {}), params, low=1, high=100)
    reply = {"NetworkInsightsAccessScopeAnalyses": [_view(row) for row in shown]}
    return Outcome(reply | ({"NextToken": token} if token else {}))


@dataclass(frozen=True, slots=True)
class _Finding:
    """One finding, as pages need it."""

    id: str
    components: list[Any]
    tags: Tags = ()

    def tag(self, key: str) -> str | None:
        return None


@operation("ec2:GetNetworkInsightsAccessScopeAnalysisFindings")
def get_access_scope_analysis_findings(call: Call, world: World, params: Params) -> Outcome:
    """InvalidNetworkInsightsAccessScopeAnalysisId.NotFound, .Malformed."""
    row = call.get(world, ACCESS_SCOPE_ANALYSIS, params["NetworkInsightsAccessScopeAnalysisId"])
    held = json.loads(zlib.decompress(row.findings))
    rows = [_Finding(f"AnalysisFinding-{n}", components) for n, components in enumerate(held, 1)]
    shown, token = page(rows, params, low=1, high=1000)
    reply: dict[str, Any] = {
        "NetworkInsightsAccessScopeAnalysisId": row.id, "AnalysisStatus": row.status,
        "AnalysisFindings": [
            {
                "NetworkInsightsAccessScopeAnalysisId": row.id, "NetworkInsightsAccessScopeId": row.scope_id,
                "FindingId": finding.id, "FindingComponents": finding.components,
            }
            for finding in shown
        ],
    }  # fmt: skip
    return Outcome(reply | ({"NextToken": token} if token else {}))


@operation("ec2:DeleteNetworkInsightsAccessScopeAnalysis")
def delete_access_scope_analysis(call: Call, world: World, params: Params) -> Outcome:
    """InvalidNetworkInsightsAccessScopeAnalysisId.NotFound, .Malformed."""
    row = call.get(world, ACCESS_SCOPE_ANALYSIS, params["NetworkInsightsAccessScopeAnalysisId"])
    reply = {"NetworkInsightsAccessScopeAnalysisId": row.id}
    return Outcome(reply, delete(ACCESS_SCOPE_ANALYSIS, row.id))
