"""Paths and access scopes that are analysed, and what analyses found (Amazon EC2 API Reference: `NetworkInsightsPath`,
`NetworkInsightsAnalysis`, `NetworkInsightsAccessScope`, `NetworkInsightsAccessScopeAnalysis`)."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.net import Address, PortRange
from ringfence.model.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFilter:
    """What a packet must look like at one end of a path; None = anything."""

    source_address: Address | None = None
    source_ports: PortRange | None = None
    destination_address: Address | None = None
    destination_ports: PortRange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkInsightsPath(Row):
    """A question of Reachability Analyzer. It never changes but for its tags.

    `source`, `destination`: as the request gave them, ids or ARNs. `at_source` holds SourceIp and DestinationPort as well,
    `at_destination` DestinationIp; `filtered_*` tell in which words they were given.
    """

    created: float  # seconds since 1970, UTC
    source: str
    destination: str | None
    source_arn: str
    destination_arn: str | None
    protocol: int
    at_source: PathFilter = PathFilter()
    at_destination: PathFilter = PathFilter()
    filtered_at_source: bool = False
    filtered_at_destination: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkInsightsAnalysis(Row):
    """An answer of Reachability Analyzer, about the World it was started in.

    `found`: None when there is no answer. `result`: the members of the API's `NetworkInsightsAnalysis` that tell it, as JSON.
    """

    path_id: str
    started: float  # seconds since 1970, UTC
    status: str  # running | succeeded | failed
    found: bool | None = None
    message: str | None = None
    result: str = "{}"
    accounts: tuple[str, ...] = ()
    filter_in: tuple[str, ...] = ()
    filter_out: tuple[str, ...] = ()


#: makes a scope preventive: calls that would open one of its paths are refused. Its value does not matter
GUARD_TAG = "ringfence:guard"
#: until when such calls are let through all the same: an ISO 8601 time
OVERRIDE_TAG = "ringfence:guard-override-until"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessScope(Row):
    """A Network Access Scope. `content`: its `MatchPaths` and `ExcludePaths` as the API has them, as JSON."""

    created: float  # seconds since 1970, UTC
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessScopeAnalysis(Row):
    """What Network Access Analyzer found, about the World it was started in.

    `findings`: the components of each finding, as JSON, deflated. `found`: true | false | unknown.
    """

    scope_id: str
    started: float  # seconds since 1970, UTC
    ended: float
    status: str  # running | succeeded | failed
    found: str
    count: int
    interfaces: int  # looked at
    findings: bytes
    warning: str | None = None
