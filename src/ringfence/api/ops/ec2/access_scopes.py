"""Network Access Scopes (Amazon EC2 API Reference: CreateNetworkInsightsAccessScope, DescribeNetworkInsightsAccessScopes,
GetNetworkInsightsAccessScopeContent, DeleteNetworkInsightsAccessScope; Network Access Analyzer guide; spec MON-19, MON-20).

An account has Amazon's own scopes in a Region from its first call about scopes there.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.insight.analyzer.statements import problem
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCESS_SCOPE, ACCESS_SCOPE_ANALYSIS, PREFIX_LIST, REGION
from ringfence.model.nouns.network import RegionState
from ringfence.model.nouns.network_insights import AccessScope
from ringfence.model.world import Change, World, delete, put

_INTO = ("AWS::EC2::InternetGateway", "AWS::EC2::VPCPeeringConnection", "AWS::EC2::VPCEndpointService",
         "AWS::EC2::TransitGatewayAttachment", "AWS::EC2::VPNGateway")  # fmt: skip
_OUT_OF = (*_INTO, "AWS::EC2::VPCEndpoint")


def _types(side: str, *types: str) -> dict[str, Any]:
    return {"MatchPaths": [{side: {"ResourceStatement": {"ResourceTypes": list(types)}}}]}


#: Network Access Analyzer guide, "Getting started": the scopes that Amazon creates
AMAZON: dict[str, dict[str, Any]] = {
    "All-IGW-Ingress (Amazon created)": _types("Source", "AWS::EC2::InternetGateway"),
    "AWS-IGW-Egress (Amazon created)": _types("Destination", "AWS::EC2::InternetGateway"),
    "AWS-VPC-Ingress (Amazon created)": _types("Source", *_INTO),
    "AWS-VPC-Egress (Amazon created)": _types("Destination", *_OUT_OF),
}


def initialise(call: Call, world: World) -> Change | None:
    """Amazon's scopes, before an account's first call about scopes in a Region; they may be deleted afterwards."""
    marker = f"{call.account_id}/{call.region}/access-scopes"
    if "NetworkInsightsAccessScope" not in call.action or world.find(REGION, marker) is not None:
        return None
    rows = [
        AccessScope(
            id=call.ids.new(ACCESS_SCOPE.prefix), **call.owned(), created=call.now.timestamp(),
            content=json.dumps(content), tags=(("Name", name),),
        )
        for name, content in AMAZON.items()
    ]  # fmt: skip
    return put(REGION, RegionState(id=marker, **call.owned())) + put(ACCESS_SCOPE, *rows)


@operation("ec2:CreateNetworkInsightsAccessScope")
def create_access_scope(call: Call, world: World, params: Params) -> Outcome:
    """InvalidParameterValue, InvalidPrefixListID.NotFound, NetworkInsightsAccessScope.LimitExceeded."""
    given = {name: params[name] for name in ("MatchPaths", "ExcludePaths") if params.get(name)}
    wrong = problem(given)
    if wrong is not None:
        raise fault("InvalidParameterValue", message=wrong)
    _check_lists(call, world, given)
    call.check_quota("access-scopes", len(call.mine(world, ACCESS_SCOPE)) + 1)
    scope = AccessScope(
        id=call.ids.new(ACCESS_SCOPE.prefix), **call.owned(), created=call.now.timestamp(), content=json.dumps(given),
        tags=tags_on_create(call, params, ACCESS_SCOPE),
    )  # fmt: skip
    shown = {"NetworkInsightsAccessScope": _view(world, scope), "NetworkInsightsAccessScopeContent": _content(scope)}
    return Outcome(shown, put(ACCESS_SCOPE, scope))


def _check_lists(call: Call, world: World, given: dict[str, Any]) -> None:
    """Prefix lists must exist."""
    for paths in given.values():
        for path in paths:
            for side in ("Source", "Destination"):
                header = (path.get(side) or {}).get("PacketHeaderStatement") or {}
                for id in (*(header.get("SourcePrefixLists") or ()), *(header.get("DestinationPrefixLists") or ())):
                    call.get(world, PREFIX_LIST, id.rpartition("/")[2])


# ---------------------------------------------------------------------- reading
def _view(_: Any, scope: AccessScope) -> dict[str, Any]:
    created = datetime.fromtimestamp(scope.created, UTC)
    return {
        "NetworkInsightsAccessScopeId": scope.id, "NetworkInsightsAccessScopeArn": ACCESS_SCOPE.arn(scope),
        "CreatedDate": created, "UpdatedDate": created, "Tags": tag_list(scope.tags),
    }  # fmt: skip


def _content(scope: AccessScope) -> dict[str, Any]:
    return {"NetworkInsightsAccessScopeId": scope.id, **json.loads(scope.content)}


describe(
    "ec2:DescribeNetworkInsightsAccessScopes", ACCESS_SCOPE, ids="NetworkInsightsAccessScopeIds",
    result="NetworkInsightsAccessScopes", view=_view, pure=True, page_sizes=(1, 100),
)  # fmt: skip


@operation("ec2:GetNetworkInsightsAccessScopeContent")
def get_access_scope_content(call: Call, world: World, params: Params) -> Outcome:
    """InvalidNetworkInsightsAccessScopeId.NotFound, .Malformed."""
    scope = call.get(world, ACCESS_SCOPE, params["NetworkInsightsAccessScopeId"])
    return Outcome({"NetworkInsightsAccessScopeContent": _content(scope)})


@operation("ec2:DeleteNetworkInsightsAccessScope")
def delete_access_scope(call: Call, world: World, params: Params) -> Outcome:
    """Its analyses go with it. InvalidNetworkInsightsAccessScopeId.NotFound, .Malformed."""
    scope = call.get(world, ACCESS_SCOPE, params["NetworkInsightsAccessScopeId"])
    analyses = (row.id for row in world.by(ACCESS_SCOPE_ANALYSIS, "scope", scope.id))
    change = delete(ACCESS_SCOPE_ANALYSIS, *analyses) + delete(ACCESS_SCOPE, scope.id)
    return Outcome({"NetworkInsightsAccessScopeId": scope.id}, change)
