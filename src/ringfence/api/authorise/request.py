"""The condition keys of every request (IAM User Guide: "AWS global condition context keys"; IAM-29). Names in lower case.

Keys that have no value in a request are absent, as on AWS: aws:username of a role session, aws:MultiFactorAuthPresent of a
long-term key, aws:SourceVpc outside an endpoint, aws:SourceIp inside one (VPE-09).
"""

from __future__ import annotations

from datetime import UTC, datetime

from ringfence.api.authorise.ask import Values, tag_keys, truth
from ringfence.api.ops.context import Call
from ringfence.identity.organization import Organization
from ringfence.identity.principal import Principal, PrincipalKind

_TYPES = {
    PrincipalKind.ROOT: "Account",
    PrincipalKind.USER: "User",
    PrincipalKind.ROLE: "AssumedRole",
    PrincipalKind.FEDERATED: "FederatedUser",
    PrincipalKind.ANONYMOUS: "Anonymous",
}
#: services without Regions answer in this one
_GLOBAL = frozenset({"iam", "organizations"})
GLOBAL_REGION = "us-east-1"


def request_context(call: Call, organization: Organization | None = None) -> Values:
    """Every global key that the request has."""
    seconds = int(call.now.timestamp())
    region = GLOBAL_REGION if call.service in _GLOBAL else call.region
    held: Values = {
        "aws:currenttime": call.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(seconds),
        "aws:requestedregion": region,
        "aws:securetransport": truth(call.secure),
        "aws:viaawsservice": "false",
        **_whence(call),
    }
    if call.user_agent:
        held["aws:useragent"] = call.user_agent
    if call.service == "ec2":
        held["ec2:region"] = region
    return held | principal_context(call.principal, seconds, organization)


def _whence(call: Call) -> Values:
    """Where the request comes from: a public address, or a VPC and the endpoint it has (VPE-09)."""
    if call.vpc_endpoint is None:
        return {"aws:sourceip": call.source_ip}
    held: Values = {"aws:sourcevpce": call.vpc_endpoint, "aws:vpcsourceip": call.source_ip}
    return held | ({"aws:sourcevpc": call.source_vpc} if call.source_vpc is not None else {})


def principal_context(principal: Principal, seconds: int, organization: Organization | None = None) -> Values:
    """The keys that say who calls; `seconds`: now, since 1970."""
    session = principal.session
    role = principal.kind is PrincipalKind.ROLE and session is not None and session.issuer_arn is not None
    held: Values = {
        "aws:principalaccount": principal.account_id,
        "aws:principalarn": (session.issuer_arn or "") if role and session else principal.arn,
        "aws:principalisawsservice": truth(principal.kind is PrincipalKind.SERVICE),
        "aws:userid": principal.user_id,
        **tag_keys(("aws:principaltag",), principal.tags),
    }
    if principal.kind in _TYPES:
        held["aws:principaltype"] = _TYPES[principal.kind]
    if principal.kind is PrincipalKind.USER:
        held["aws:username"] = principal.name
    if principal.kind is PrincipalKind.SERVICE:
        held["aws:principalservicename"] = principal.name
    if organization is not None and organization.id is not None:
        held["aws:principalorgid"] = organization.id
        held["aws:principalorgpaths"] = (organization.path,)
    if session is None:
        return held
    held |= dict(session.keys)
    held["aws:tokenissuetime"] = _time(session.issued_at)
    held["aws:multifactorauthpresent"] = truth(session.mfa_at is not None)
    if session.mfa_at is not None:
        held["aws:multifactorauthage"] = str(max(seconds - session.mfa_at, 0))
    if session.source_identity is not None:
        held["aws:sourceidentity"] = session.source_identity
    if session.provider is not None:
        held["aws:federatedprovider"] = session.provider
    return held


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
