"""Which policies apply to a principal (IAM-16, IAM-17, IAM-19; IAM User Guide: "Identity-based policies", "Session policies").

INVARIANT: a policy that is attached but cannot be found is an empty text, which denies everything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ringfence.identity.managed import managed_text
from ringfence.identity.organization import organization_levels
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.question import Attached, Policies
from ringfence.model.kinds import GROUP, IAM_ACCOUNT, ROLE, USER, VPC_ENDPOINT
from ringfence.model.nouns.identity import Group, Role, User
from ringfence.model.world import World

#: begins the names of policies that stand at nobody
ACCOUNT_WIDE = "account/"


def policies_of(
    world: World, principal: Principal, resource_account: str, vpc_endpoint: str | None = None
) -> Policies:  # fmt: skip
    """Every policy that bears on what a principal does to resources of an account, through a VPC endpoint if one is named."""
    entity = _entity(world, principal)
    identity = (*_identity(world, entity), *_account_wide(world, entity)) if entity is not None else ()
    return Policies(
        identity=identity,
        boundary=_managed(world, entity.boundary) if entity is not None and entity.boundary else None,
        session=_session(world, principal),
        service_control=organization_levels(world, principal.account_id).service_control,
        resource_control=organization_levels(world, resource_account).resource_control,
        endpoint=_endpoint(world, vpc_endpoint) if vpc_endpoint is not None else None,
    )


def _endpoint(world: World, id: str) -> Attached | None:
    """The endpoint's own policy; None for full access (VPE-07). An endpoint that is gone lets nothing through."""
    held = world.find(VPC_ENDPOINT, id)
    if held is None:
        return Attached(id, "")
    return Attached(id, held.policy) if held.policy is not None else None


def _entity(world: World, principal: Principal) -> User | Role | None:
    """The user or role whose permissions the principal has; None for root, services, and those deleted meanwhile."""
    session = principal.session
    if principal.kind is PrincipalKind.USER:
        return world.find(USER, principal.user_id)
    if principal.kind is PrincipalKind.ROLE:
        return world.find(ROLE, session.issuer_id if session else None)
    if principal.kind is PrincipalKind.FEDERATED:
        return world.find(USER, session.issuer_id if session else None)
    return None


def _identity(world: World, entity: User | Role) -> Iterator[Attached]:
    """Inline and managed policies add up, and a user has those of its groups (IAM-16)."""
    yield from _own(world, entity)
    if isinstance(entity, User):
        for group in (world.find(GROUP, id) for id in entity.groups):
            if group is not None:
                yield from _own(world, group)


def _account_wide(world: World, entity: User | Role) -> Iterator[Attached]:
    """IAM User Guide, "Set an account password policy for IAM users": a policy that lets users change their own password gives
    them the permission, without a policy being attached to anyone."""
    account = world.find(IAM_ACCOUNT, entity.owner_id) if isinstance(entity, User) else None
    if account is not None and ("AllowUsersToChangePassword", "true") in account.password_policy:
        yield Attached(f"{ACCOUNT_WIDE}AllowUsersToChangePassword", _own_password(USER.arn(entity)))


@lru_cache(maxsize=1024)
def _own_password(arn: str) -> str:
    allow = [("iam:ChangePassword", arn), ("iam:GetAccountPasswordPolicy", "*")]
    statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allow]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _own(world: World, entity: User | Role | Group) -> Iterator[Attached]:
    for policy in entity.inline:
        yield Attached(f"{entity.name}/{policy.name}", policy.text)
    yield from (_managed(world, arn) for arn in entity.managed)


def _managed(world: World, arn: str) -> Attached:
    return Attached(arn, managed_text(world, arn) or "")


def _session(world: World, principal: Principal) -> tuple[Attached, ...] | None:
    """AWS, GetFederationToken: without session policies a federated user has no permissions."""
    session = principal.session
    if session is None:
        return None
    held: Iterable[Attached] = (
        *(Attached(f"session/{n}", text) for n, text in enumerate(session.policies)),
        *(_managed(world, arn) for arn in session.policy_arns),
    )
    policies = tuple(held)
    return policies if policies or principal.kind is PrincipalKind.FEDERATED else None
