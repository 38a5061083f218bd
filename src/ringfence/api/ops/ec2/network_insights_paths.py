"""Paths of Reachability Analyzer (Amazon EC2 API Reference: CreateNetworkInsightsPath, DescribeNetworkInsightsPaths,
DeleteNetworkInsightsPath; Reachability Analyzer guide; spec MON-14, MON-16).

More than AWS takes: IPv6 addresses, and every protocol by name or number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import describe
from ringfence.api.ops.ec2.peering_views import at, visible
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.insight.analyzer.views import kind_of, kind_of_arn
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import (
    ACCOUNT,
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_INSIGHTS_ANALYSIS,
    NETWORK_INSIGHTS_PATH,
    NETWORK_INTERFACE,
    ORGANIZATION,
    PEERING_CONNECTION,
    VPC_ENDPOINT,
)
from ringfence.model.net import PORTED, Address, PortRange, parse_address, parse_protocol, protocol_name
from ringfence.model.nouns.network_insights import NetworkInsightsPath, PathFilter
from ringfence.model.nouns.organization import Organization
from ringfence.model.nouns.peering import PeeringConnection
from ringfence.model.row import Row
from ringfence.model.world import World, delete, put

#: what a path may begin or end at here; AWS's other kinds are not served by this installation, so that none exists
ENDS = (INSTANCE, NETWORK_INTERFACE, INTERNET_GATEWAY, PEERING_CONNECTION, VPC_ENDPOINT)
_ENDS = "an instance, a network interface, an internet gateway, a VPC peering connection or a gateway VPC endpoint"
#: AWS: the service that reads the accounts of an organization for an analysis
TRUSTED = "reachabilityanalyzer.networkinsights.amazonaws.com"


def _bad(text: str) -> ApiError:
    return fault("InvalidParameterValue", message=text)


# ---------------------------------------------------------------------- other accounts
def organization_of(call: Call, world: World) -> Organization | None:
    """The organization that the caller's account manages, if it lets Reachability Analyzer into its accounts."""
    for organization in world.all(ORGANIZATION):
        trusted = any(access.principal == TRUSTED for access in organization.services)
        if organization.owner_id == call.account_id and trusted:
            return organization
    return None


def check_account(call: Call, world: World, account_id: str) -> None:
    """ApiError NetworkInsights.AccessDenied unless the caller may analyse what that account has."""
    organization, account = organization_of(call, world), world.find(ACCOUNT, account_id)
    if organization is None or account is None or account.organization != organization.id:
        text = f"The account {account_id} is not one whose resources {call.account_id} may analyze."
        raise fault("NetworkInsights.AccessDenied", message=text)


def _end(call: Call, world: World, given: str, missing: str) -> str:
    """The ARN of what an id or ARN names. ApiError InvalidParameterValue, `missing`, NetworkInsights.AccessDenied."""
    named = kind_of_arn(given) if given.startswith("arn:") else (kind_of(given), given)
    kind, id = named if named is not None else (None, given)
    if kind not in ENDS or kind is None:
        raise _bad(f"{given[:200]} is not the ID or ARN of {_ENDS}.")
    row: Row | None = world.find(kind, id)
    arns = _arns(call, kind, row) if row is not None else {}
    if arns and call.account_id not in arns and given.startswith("arn:"):
        check_account(call, world, next(iter(arns)))
    elif call.account_id not in arns:
        arns = {}
    own = [arns[call.account_id]] if call.account_id in arns else [*arns.values()]
    here = [arn for arn in own if arn.split(":")[3] == call.region]
    if not here or (given.startswith("arn:") and given not in arns.values()):
        raise fault(missing, id=given)
    return given if given in here else here[0]


def _arns(call: Call, kind: Any, row: Row) -> dict[str, str]:
    """Account -> the ARN by which it knows a resource. A peering connection is of both sides, while they see it."""
    if not isinstance(row, PeeringConnection):
        return {row.owner_id: kind.arn(row)}
    now = call.now.timestamp()
    held = at(row, now)
    return {
        side.owner_id: kind.arn(replace(row, owner_id=side.owner_id, region=side.region))
        for side in sorted((row.requester, row.accepter), key=lambda side: side.region == call.region)
        if visible(held, side.owner_id, now)
    }


# ---------------------------------------------------------------------- creating
@operation("ec2:CreateNetworkInsightsPath")
def create_network_insights_path(call: Call, world: World, params: Params) -> Outcome:
    """InvalidParameterValue, InvalidParameterCombination, NetworkInsightsSource.NotFound,
    NetworkInsightsDestination.NotFound, NetworkInsights.AccessDenied, NetworkInsightsPath.LimitExceeded."""
    source = _end(call, world, params["Source"], "NetworkInsightsSource.NotFound")
    destination = params.get("Destination")
    there = _end(call, world, destination, "NetworkInsightsDestination.NotFound") if destination else None
    protocol = _protocol(params["Protocol"])
    at_source, at_destination = _filters(params, protocol)
    if there is None and not (at_source.destination_address or at_destination.destination_address):
        raise fault("MissingParameter", message="The request must contain the parameter Destination or DestinationIp")
    if there is not None and there.rpartition("/")[2] == source.rpartition("/")[2]:
        raise _bad("The source and the destination of a path must not be the same resource.")
    call.check_quota("network-insights-paths", len(call.mine(world, NETWORK_INSIGHTS_PATH)) + 1)
    path = NetworkInsightsPath(
        id=call.ids.new(NETWORK_INSIGHTS_PATH.prefix), **call.owned(), created=call.now.timestamp(),
        source=params["Source"], destination=destination or None, source_arn=source,
        destination_arn=there, protocol=protocol,
        at_source=at_source, at_destination=at_destination, filtered_at_source=bool(params.get("FilterAtSource")),
        filtered_at_destination=bool(params.get("FilterAtDestination")),
        tags=tags_on_create(call, params, NETWORK_INSIGHTS_PATH),
    )  # fmt: skip
    return Outcome({"NetworkInsightsPath": _view(world, path)}, put(NETWORK_INSIGHTS_PATH, path))


def _protocol(text: str) -> int:
    try:
        number = parse_protocol(text)
    except ValueError:
        number = -1
    if number < 0:
        raise _bad(f"Value ({text[:50]}) for parameter protocol is invalid.")
    return number


def _filters(params: Params, protocol: int) -> tuple[PathFilter, PathFilter]:
    """FilterAtSource instead of SourceIp and DestinationPort, FilterAtDestination instead of DestinationIp."""
    at_source, at_destination = params.get("FilterAtSource"), params.get("FilterAtDestination")
    port = params.get("DestinationPort")
    if at_source and (params.get("SourceIp") or port is not None):
        raise _combined("FilterAtSource", "SourceIp or DestinationPort")
    if at_destination and params.get("DestinationIp"):
        raise _combined("FilterAtDestination", "DestinationIp")
    source = _filter(at_source) if at_source else PathFilter(
        source_address=_address(params.get("SourceIp")), destination_ports=None if port is None else PortRange(port, port)
    )  # fmt: skip
    there = (
        _filter(at_destination)
        if at_destination
        else PathFilter(destination_address=_address(params.get("DestinationIp")))
    )
    ports = (source.source_ports, source.destination_ports, there.source_ports, there.destination_ports)
    if protocol not in PORTED and any(range is not None for range in ports):
        raise fault("InvalidParameterCombination", message=f"The protocol {protocol_name(protocol)} has no ports.")
    given = {a.version for f in (source, there) for a in (f.source_address, f.destination_address) if a is not None}
    if len(given) > 1:
        raise fault("InvalidParameterCombination", message="The addresses of a path must be of one IP version.")
    return source, there


def _combined(one: str, other: str) -> ApiError:
    return fault("InvalidParameterCombination", message=f"You can't specify {one} together with {other}.")


def _filter(given: Params) -> PathFilter:
    return PathFilter(
        source_address=_address(given.get("SourceAddress")), source_ports=_ports(given.get("SourcePortRange")),
        destination_address=_address(given.get("DestinationAddress")),
        destination_ports=_ports(given.get("DestinationPortRange")),
    )  # fmt: skip


def _address(text: str | None) -> Address | None:
    if not text:
        return None
    try:
        if "%" in text:  # the zone of an IPv6 address means nothing here
            raise ValueError(text)
        return parse_address(text)
    except ValueError:
        raise _bad(f"Invalid IP address: {text[:100]}") from None


def _ports(given: Params | None) -> PortRange | None:
    if not given:
        return None
    first, last = given.get("FromPort"), given.get("ToPort")
    first = last if first is None else first
    try:
        return None if first is None else PortRange(first, first if last is None else last)
    except ValueError:
        raise _bad(f"Invalid port range: {first} - {last}") from None


# ---------------------------------------------------------------------- reading
def _view(_: Any, path: NetworkInsightsPath) -> dict[str, Any]:
    """`NetworkInsightsPath` of the API."""
    out: dict[str, Any] = {
        "NetworkInsightsPathId": path.id, "NetworkInsightsPathArn": NETWORK_INSIGHTS_PATH.arn(path),
        "CreatedDate": datetime.fromtimestamp(path.created, UTC), "Source": path.source_arn.rpartition("/")[2],
        "SourceArn": path.source_arn, "Protocol": protocol_name(path.protocol), "Tags": tag_list(path.tags),
    }  # fmt: skip
    if path.destination_arn is not None:
        out |= {"Destination": path.destination_arn.rpartition("/")[2], "DestinationArn": path.destination_arn}
    at_source, there = path.at_source, path.at_destination
    if path.filtered_at_source:
        out["FilterAtSource"] = _filter_view(at_source)
    elif at_source.source_address is not None:
        out["SourceIp"] = str(at_source.source_address)
    if not path.filtered_at_source and at_source.destination_ports is not None:
        out["DestinationPort"] = at_source.destination_ports.first
    if path.filtered_at_destination:
        out["FilterAtDestination"] = _filter_view(there)
    elif there.destination_address is not None:
        out["DestinationIp"] = str(there.destination_address)
    return out


def _filter_view(given: PathFilter) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in (("SourceAddress", given.source_address), ("DestinationAddress", given.destination_address)):
        if value is not None:
            out[name] = str(value)
    for name, ports in (("SourcePortRange", given.source_ports), ("DestinationPortRange", given.destination_ports)):
        if ports is not None:
            out[name] = {"FromPort": ports.first, "ToPort": ports.last}
    return out


def _shown(end: str, field: str) -> Callable[[World, NetworkInsightsPath], tuple[str | None, ...]]:
    """The value of a filter by what is given at one end; port ranges as `first-last`, one port also as itself."""

    def values(_: World, path: NetworkInsightsPath) -> tuple[str | None, ...]:
        value = getattr(getattr(path, end), field)
        if isinstance(value, PortRange):
            span = f"{value.first}-{value.last}"
            return (span, str(value.first)) if value.first == value.last else (span,)
        return (None if value is None else str(value),)

    return values


describe(
    "ec2:DescribeNetworkInsightsPaths",
    NETWORK_INSIGHTS_PATH,
    ids="NetworkInsightsPathIds",
    result="NetworkInsightsPaths",
    view=_view,
    pure=True,
    filters={
        "source": lambda _, path: (path.source_arn.rpartition("/")[2],),
        "destination": lambda _, path: ((path.destination_arn or "").rpartition("/")[2] or None,),
        "protocol": lambda _, path: (protocol_name(path.protocol),),
        **{
            f"filter-at-{end.removeprefix('at_')}.{name}": _shown(end, field)
            for end in ("at_source", "at_destination")
            for name, field in (
                ("source-address", "source_address"), ("source-port-range", "source_ports"),
                ("destination-address", "destination_address"), ("destination-port-range", "destination_ports"),
            )
        },
    },
    page_sizes=(1, 100),
)  # fmt: skip


# ---------------------------------------------------------------------- ending
@operation("ec2:DeleteNetworkInsightsPath")
def delete_network_insights_path(call: Call, world: World, params: Params) -> Outcome:
    """AnalysisExistsForNetworkInsightsPath while it has analyses; InvalidNetworkInsightsPathId.NotFound, .Malformed."""
    path = call.get(world, NETWORK_INSIGHTS_PATH, params["NetworkInsightsPathId"])
    if world.count(NETWORK_INSIGHTS_ANALYSIS, "path", path.id):
        text = f"The network insights path {path.id} has analyses; delete them first."
        raise fault("AnalysisExistsForNetworkInsightsPath", message=text)
    return Outcome({"NetworkInsightsPathId": path.id}, delete(NETWORK_INSIGHTS_PATH, path.id))
