"""Assuming roles: who may, and what the session is (IAM User Guide: "Methods to assume a role", "Policy evaluation
logic"; IAM-05, IAM-09, IAM-12, IAM-42, POL-16).

A role's trust policy is its resource policy: it must allow the caller, and so must the caller's own policies unless it
names the caller in the role's account. Services and holders of a provider's token have nothing but the trust policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.identity.evaluate import decide
from ringfence.identity.principal import Principal, PrincipalKind, Session
from ringfence.identity.question import Attached, Context, Decision, Policies, Question, Target
from ringfence.identity.sessions import overlaid
from ringfence.model.accounts import closed
from ringfence.model.kinds import ROLE
from ringfence.model.nouns.identity import Role
from ringfence.model.row import Tags
from ringfence.model.world import World

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role(/(?:[!-~]+/)?)([\w+=,.@-]{1,64})")


class NotAllowed(Exception):
    """The role may not be assumed; `action` is the first permission that is missing, `decision` why, if it came to one."""

    def __init__(self, action: str, decision: Decision | None = None) -> None:
        super().__init__(action)
        self.action, self.decision = action, decision


def role_of(world: World, arn: str) -> Role | None:
    """The role of that ARN; None also when its account has been closed."""
    found = _ROLE_ARN.fullmatch(arn)
    if found is None:
        return None
    account, path, name = found.groups()
    if closed(world, account):
        return None
    named = world.by(ROLE, "name", f"{account}/{name.lower()}")
    return next((role for role in named if role.path == path and role.name == name), None)


def check(
    world: World, principal: Principal, role: Role, actions: Sequence[str], context: Context, policies: Policies
) -> None:
    """NotAllowed unless the principal may do every action (`sts:AssumeRole` …) to the role."""
    trust = Attached(f"{ROLE.arn(role)}/trust", role.trust)
    target = Target(arn=ROLE.arn(role), account_id=role.owner_id, context=_of_role(role), policy=trust)
    for action in actions:
        question = Question(principal=principal, action=action, targets=(target,), context=context)
        decision = decide(question, policies)
        if not decision.allowed:
            raise NotAllowed(action, decision)


def _of_role(role: Role) -> Context:
    return {f"aws:resourcetag/{key.lower()}": value for key, value in role.tags} | {
        f"iam:resourcetag/{key.lower()}": value for key, value in role.tags
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a role session. Times are seconds since 1970."""

    name: str
    now: int
    seconds: int
    policies: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()
    tags: Tags = ()
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None
    mfa_at: int | None = None
    provider: str | None = None
    keys: Tags = ()


def session_of(role: Role, wanted: Wanted) -> Principal:
    """The session of a role. Its ARN leaves out the role's path."""
    session = Session(
        name=wanted.name, issued_at=wanted.now, expires_at=wanted.now + wanted.seconds, mfa_at=wanted.mfa_at,
        source_identity=wanted.source_identity, policies=wanted.policies, policy_arns=wanted.policy_arns,
        tags=wanted.tags, transitive_tags=wanted.transitive_tags, issuer_arn=ROLE.arn(role), issuer_id=role.id,
        provider=wanted.provider, keys=wanted.keys,
    )  # fmt: skip
    return Principal(
        account_id=role.owner_id, arn=f"arn:aws:sts::{role.owner_id}:assumed-role/{role.name}/{wanted.name}",
        user_id=f"{role.id}:{wanted.name}", kind=PrincipalKind.ROLE, name=role.name,
        tags=overlaid(role.tags, wanted.tags), session=session,
    )  # fmt: skip


# ---------------------------------------------------------------------- services
def service_principal(service: str) -> Principal:
    """A part of this installation that acts as an AWS service: `ec2.amazonaws.com`, `vpc-flow-logs.amazonaws.com` …"""
    return Principal(account_id="", arn=service, user_id=service, kind=PrincipalKind.SERVICE, name=service)


def assume_as_service(world: World, service: str, role_arn: str, context: Context, wanted: Wanted) -> Principal:
    """The session of a service in a role that trusts it. NotAllowed.

    `context` names for whom the service acts: `aws:sourceaccount` and `aws:sourcearn`, so that a trust policy can tell
    its own flow log (or instance) from another account's (IAM-42, POL-16).
    """
    role = role_of(world, role_arn)
    if role is None:
        raise NotAllowed("sts:AssumeRole")
    asked: Context = {
        "aws:principalisawsservice": "true", "aws:principalservicename": service, "sts:rolesessionname": wanted.name,
        **context,
    }  # fmt: skip
    check(world, service_principal(service), role, ("sts:AssumeRole",), asked, Policies())
    return session_of(role, wanted)
