"""Sessions of users: GetSessionToken and GetFederationToken (AWS STS API Reference; IAM User Guide: "Compare AWS STS
credentials"; IAM-08, IAM-10, POL-28).

What these sessions may not call at all is `identity/sessions.py`, check_call.
"""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.sts import mfa
from ringfence.api.ops.sts.issue import issue, limits, seconds_of
from ringfence.api.ops.sts.serve import sts
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.model.errors import fault
from ringfence.model.world import World

_DEFAULT_SECONDS, _ROOT_SECONDS = 43200, 3600


def _seconds(call: Call, params: Params) -> int:
    """AWS: half a day unless asked otherwise; the root user's sessions last an hour at most."""
    wanted = int(params.get("DurationSeconds") or (_ROOT_SECONDS if call.principal.is_root else _DEFAULT_SECONDS))
    return min(wanted, _ROOT_SECONDS) if call.principal.is_root else wanted


def _only_long_term(call: Call, action: str) -> None:
    if call.principal.session is not None:
        raise fault("AccessDenied", message=f"Cannot call {action} with session credentials")


@sts("GetSessionToken", mutating=True)
def get_session_token(call: Call, world: World, params: Params) -> Outcome:
    """The caller's own permissions for a while, with a second factor if one was shown. ApiError AccessDenied."""
    _only_long_term(call, "GetSessionToken")
    with_mfa, used = mfa.shown(call, world, params)
    now = seconds_of(call)
    session = Session(
        name=call.principal.name, issued_at=now, expires_at=now + _seconds(call, params), mfa_at=now if with_mfa else None,
        issuer_arn=call.principal.arn, issuer_id=call.principal.user_id,
    )  # fmt: skip
    issued = issue(call, replace(call.principal, session=session, tags=()), params)
    return Outcome(issued.view(), used)


@sts("GetFederationToken")
def get_federation_token(call: Call, world: World, params: Params) -> Outcome:
    """A federated user with what both the caller's and the session's policies allow: without the latter, nothing.

    ApiError AccessDenied, and those of session policies and tags.
    """
    _only_long_term(call, "GetFederationToken")
    who, name, now = call.principal, str(params["Name"]), seconds_of(call)
    given = limits(call, world, params, who.account_id)
    session = Session(
        name=name, issued_at=now, expires_at=now + _seconds(call, params), policies=given.policies,
        policy_arns=given.policy_arns, tags=given.tags, issuer_arn=who.arn, issuer_id=who.user_id,
    )  # fmt: skip
    principal = Principal(
        account_id=who.account_id, arn=f"arn:aws:sts::{who.account_id}:federated-user/{name}",
        user_id=f"{who.account_id}:{name}", kind=PrincipalKind.FEDERATED, name=name, session=session,
    )  # fmt: skip
    issued = issue(call, principal, params)
    federated = {"FederatedUserId": principal.user_id, "Arn": principal.arn}
    return Outcome({**issued.view(given), "FederatedUser": federated})
