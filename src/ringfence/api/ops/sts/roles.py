"""AssumeRole (AWS STS API Reference; IAM User Guide: "Pass session tags in AWS STS", "Monitor and control actions taken
with assumed roles", "Role chaining"; IAM-09, IAM-10, IAM-19)."""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.sts import mfa
from ringfence.api.ops.sts.asking import ask
from ringfence.api.ops.sts.issue import Issued, Limits, issue, limits, seconds_of
from ringfence.api.ops.sts.serve import sts
from ringfence.identity.principal import Principal
from ringfence.identity.question import Context
from ringfence.identity.roles import NotAllowed, Wanted, role_of, session_of
from ringfence.model.errors import ApiError, fault
from ringfence.model.nouns.identity import Role
from ringfence.model.row import Tags
from ringfence.model.world import World

DEFAULT_SECONDS = CHAINED_SECONDS = 3600


@sts("AssumeRole", mutating=True)
def assume_role(call: Call, world: World, params: Params) -> Outcome:
    """A session of a role that trusts the caller. ApiError AccessDenied; those of policies, tags and duration."""
    who, arn = call.principal, str(params["RoleArn"])
    if params.get("ProvidedContexts"):
        raise fault("UnsupportedOperation", message="ProvidedContexts is not supported by this installation.")
    if who.is_root:
        raise fault("AccessDenied", message="Roles may not be assumed by root accounts.")
    role = role_of(world, arn)
    if role is None:  # no telling apart from one that does not trust the caller
        raise _denied(who, "sts:AssumeRole", arn)
    with_mfa, used = mfa.shown(call, world, params)
    inherited = _inherited(who)
    given = limits(call, world, params, role.owner_id, inherited)
    source = _source_identity(who, params)
    mfa_at = seconds_of(call) if with_mfa else None
    actions = [
        "sts:AssumeRole",
        *(["sts:TagSession"] if given.tags else []),
        *(["sts:SetSourceIdentity"] if source else []),
    ]
    try:
        ask(call, world, who, role, actions, _context(params, given, source, mfa_at))
    except NotAllowed as refused:
        raise _denied(who, refused.action, arn) from None
    wanted = Wanted(
        name=params["RoleSessionName"], now=seconds_of(call), seconds=_duration(who, role, params),
        policies=given.policies, policy_arns=given.policy_arns, tags=given.tags, transitive_tags=given.transitive,
        source_identity=source, mfa_at=mfa_at,
    )  # fmt: skip
    issued = issue(call, session_of(role, wanted), params)
    return Outcome(assumed_view(issued, given), used)


def _denied(who: Principal, action: str, arn: str) -> ApiError:
    return fault("AccessDenied", message=f"User: {who.arn} is not authorized to perform: {action} on resource: {arn}")


def assumed_view(issued: Issued, given: Limits) -> dict[str, Any]:
    """The members that the replies of the three AssumeRole calls share."""
    who = issued.credential.principal
    out = {**issued.view(given), "AssumedRoleUser": {"AssumedRoleId": who.user_id, "Arn": who.arn}}
    return out | ({"SourceIdentity": issued.session.source_identity} if issued.session.source_identity else {})


def _inherited(who: Principal) -> Tags:
    """The transitive tags of the session that assumes another role."""
    session = who.session
    if session is None:
        return ()
    transitive = {key.lower() for key in session.transitive_tags}
    return tuple(tag for tag in session.tags if tag[0].lower() in transitive)


def _source_identity(who: Principal, params: Params) -> str | None:
    """It cannot be changed once it is set, and goes along the chain. ApiError AccessDenied."""
    held, asked = who.session.source_identity if who.session else None, params.get("SourceIdentity")
    if held is not None and asked not in (None, held):
        raise fault("AccessDenied", message="The source identity of a session cannot be changed.")
    return held or asked


def _duration(who: Principal, role: Role, params: Params) -> int:
    """Up to the role's maximum; up to an hour where temporary credentials assume a role."""
    wanted = int(params.get("DurationSeconds") or min(DEFAULT_SECONDS, role.max_session_seconds))
    check_duration(role, wanted)
    if who.session is not None and wanted > CHAINED_SECONDS:
        text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
        raise fault("ValidationError", message=text)
    return wanted


def check_duration(role: Role, seconds: int) -> None:
    """ApiError ValidationError when the role does not allow sessions that long."""
    if seconds > role.max_session_seconds:
        text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise fault("ValidationError", message=text)


def _context(params: Params, given: Limits, source: str | None, mfa_at: int | None) -> Context:
    """The condition keys of the request (Service Authorization Reference: "AWS Security Token Service")."""
    out = session_keys(given, str(params["RoleSessionName"]), source)
    if params.get("ExternalId"):
        out["sts:externalid"] = params["ExternalId"]
    if mfa_at is not None:
        out |= {"aws:multifactorauthpresent": "true", "aws:multifactorauthage": "0"}
    return out


def session_keys(given: Limits, name: str, source: str | None) -> dict[str, str | tuple[str, ...]]:
    """The condition keys of what a session is to be."""
    out: dict[str, str | tuple[str, ...]] = {"sts:rolesessionname": name}
    out |= {f"aws:requesttag/{key.lower()}": value for key, value in given.tags}
    if given.tags:
        out["aws:tagkeys"] = tuple(key for key, _ in given.tags)
    if given.transitive:
        out["sts:transitivetagkeys"] = given.transitive
    if source is not None:
        out["sts:sourceidentity"] = source
    return out
