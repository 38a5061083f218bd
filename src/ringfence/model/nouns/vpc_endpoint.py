"""VPC endpoints (AWS PrivateLink Guide: "Gateway endpoints")."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row

#: AWS attaches this one to an endpoint without a policy of its own (VPE-07)
FULL_ACCESS = (
    '{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}'
)  # fmt: skip

#: only imports have it: of an endpoint whose policy is not known
DENY_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcEndpoint(Row):
    """A gateway endpoint: the route tables in `route_table_ids` lead to a service's prefix list through it (VPE-01).

    `policy`: the endpoint policy as it was given, JSON; None is full access (VPE-07). `created`: seconds since 1970, UTC.
    """

    vpc_id: str
    service_name: str  # com.amazonaws.REGION.s3
    prefix_list_id: str
    route_table_ids: tuple[str, ...] = ()
    policy: str | None = None
    state: str = "available"
    created: float
