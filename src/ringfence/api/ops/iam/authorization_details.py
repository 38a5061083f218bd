"""GetAccountAuthorizationDetails: every user, group, role and policy with everything that permits or limits them."""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import policies
from ringfence.api.ops.iam.attachments import show_attached
from ringfence.api.ops.iam.entities import Identity, show_group, show_user
from ringfence.api.ops.iam.instance_profiles import show_profile
from ringfence.api.ops.iam.pages import encoded, page
from ringfence.api.ops.iam.roles import last_used, show_role
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.aws_managed import aws_managed
from ringfence.model.kinds import GROUP, INSTANCE_PROFILE, MANAGED_POLICY, ROLE, USER
from ringfence.model.nouns.identity import Group, ManagedPolicy, Role, User
from ringfence.model.world import World


def _permissions(call: Call, world: World, entity: Identity, noun: str) -> dict[str, Any]:
    held = [policies.find(call, world, arn) for arn in entity.managed]
    inline = [{"PolicyName": policy.name, "PolicyDocument": encoded(policy.text)} for policy in entity.inline]
    return ({f"{noun}PolicyList": inline} if inline or noun != "User" else {}) | {
        "AttachedManagedPolicies": [show_attached(policy) for policy in held if policy is not None]
    }


def _user(call: Call, world: World, user: User) -> dict[str, Any]:
    groups = [world.get(GROUP, id).name for id in user.groups]
    return show_user(user) | {"GroupList": groups} | _permissions(call, world, user, "User")


def _group(call: Call, world: World, group: Group) -> dict[str, Any]:
    return show_group(group) | _permissions(call, world, group, "Group")


def _role(call: Call, world: World, role: Role) -> dict[str, Any]:
    shown = {
        name: value for name, value in show_role(role).items() if name not in ("MaxSessionDuration", "Description")
    }
    profiles = [show_profile(world, row, whole=False) for row in world.by(INSTANCE_PROFILE, "role", role.id)]
    return (
        shown
        | {"InstanceProfileList": profiles, "RoleLastUsed": last_used(call, role)}
        | _permissions(call, world, role, "Role")
    )


def _policy(call: Call, world: World, policy: ManagedPolicy) -> dict[str, Any]:
    shown = policies.show(call, world, policy) | policies.describe(policy)
    versions = [policies.show_version(policy, version, document=True) for version in policy.versions[::-1]]
    return shown | {"PolicyVersionList": versions}


def _of_aws(call: Call, world: World) -> list[ManagedPolicy]:
    """AWS's policies that are in use."""
    return [
        policy
        for arn, policy in aws_managed().items()
        if any(policies.attached_to(call, world, arn)) or any(policies.bounding(call, world, arn))
    ]


#: filter -> list in the reply, rows, how one is shown
_PARTS: dict[str, tuple[str, Any, Any]] = {
    "User": ("UserDetailList", lambda call, world: call.mine(world, USER), _user),
    "Group": ("GroupDetailList", lambda call, world: call.mine(world, GROUP), _group),
    "Role": ("RoleDetailList", lambda call, world: call.mine(world, ROLE), _role),
    "LocalManagedPolicy": ("Policies", lambda call, world: call.mine(world, MANAGED_POLICY), _policy),
    "AWSManagedPolicy": ("Policies", _of_aws, _policy),
}


@iam("GetAccountAuthorizationDetails")
def get_account_authorization_details(call: Call, world: World, params: Params) -> Outcome:
    """All lists are cut into pages as one."""
    wanted = params.get("Filter") or list(_PARTS)
    rows = [(part, row) for part, (_, rows_of, _) in _PARTS.items() if part in wanted for row in rows_of(call, world)]
    chosen, more = page(rows, params, key=lambda item: item[1].id)
    reply: dict[str, Any] = {name: [] for name, _, _ in _PARTS.values()}
    for part, row in chosen:
        name, _, show = _PARTS[part]
        reply[name].append(show(call, world, row))
    return Outcome({**reply, **more})
