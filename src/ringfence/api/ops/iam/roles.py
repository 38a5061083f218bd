"""Roles and their trust policies (IAM User Guide: "IAM roles"; IAM-09)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import documents, tagging
from ringfence.api.ops.iam.entities import (
    boundary_member,
    check_bare,
    conflict,
    editable_role,
    exists,
    role,
    stem,
    taken,
)
from ringfence.api.ops.iam.pages import by_name, encoded, instant, now, page
from ringfence.api.ops.iam.policies import attachable
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.identifiers import unique_id
from ringfence.model.errors import fault
from ringfence.model.kinds import INSTANCE_PROFILE, ROLE
from ringfence.model.nouns.identity import Role
from ringfence.model.world import World, delete, put


def show_role(row: Role, *, whole: bool = True) -> dict[str, Any]:
    """AWS: lists leave out the boundary and the tags, and all but GetRole the last use."""
    shown = stem(ROLE, "Role", row) | {
        "AssumeRolePolicyDocument": encoded(row.trust),
        "MaxSessionDuration": row.max_session_seconds,
    }
    if row.description is not None:
        shown["Description"] = row.description
    if whole:
        shown |= boundary_member(row.boundary) | tagging.member(row.tags)
    return shown


def last_used(call: Call, row: Role) -> dict[str, str]:
    """When a session of the role last signed a request; empty for a role never used."""
    use = call.uses.newest(row)
    return {} if use is None else {"LastUsedDate": instant(use.time), "Region": use.region}


@iam("CreateRole")
def create_role(call: Call, world: World, params: Params) -> Outcome:
    """A role that may do nothing yet. EntityAlreadyExists, MalformedPolicyDocument, LimitExceeded."""
    name, trust, boundary = params["RoleName"], params["AssumeRolePolicyDocument"], params.get("PermissionsBoundary")
    path = params.get("Path") or "/"
    if path.startswith("/aws-service-role/"):
        raise fault("InvalidInput", message=f"The path {path} is reserved for service-linked roles.")
    if taken(world, ROLE, call.account_id, name):
        raise exists("Role", name)
    documents.check_trust(trust)
    documents.check_size(call, "iam-trust-policy-size", trust)
    call.check_quota("iam-roles", world.count_owned(ROLE, call.account_id, call.region) + 1)
    if boundary is not None:
        attachable(call, world, boundary)
    made = Role(
        id=unique_id(call.ids, "AROA"), **call.owned(), name=name, path=path, created=now(call), trust=trust,
        description=params.get("Description"), max_session_seconds=params.get("MaxSessionDuration") or 3600,
        boundary=boundary, tags=tagging.parse(call, params.get("Tags") or ()),
    )  # fmt: skip
    return Outcome({"Role": show_role(made)}, put(ROLE, made))


@iam("GetRole")
def get_role(call: Call, world: World, params: Params) -> Outcome:
    found = role(call, world, params["RoleName"])
    return Outcome({"Role": show_role(found) | {"RoleLastUsed": last_used(call, found)}})


@iam("ListRoles")
def list_roles(call: Call, world: World, params: Params) -> Outcome:
    roles, more = page(by_name(call.mine(world, ROLE), params), params, key=lambda found: found.id)
    return Outcome({"Roles": [show_role(found, whole=False) for found in roles], **more})


@iam("UpdateRole")
def update_role(call: Call, world: World, params: Params) -> Outcome:
    """Description and longest session. AWS: what is not given stays."""
    found = editable_role(call, world, params["RoleName"])
    changed = replace(
        found, description=params.get("Description", found.description),
        max_session_seconds=params.get("MaxSessionDuration") or found.max_session_seconds,
    )  # fmt: skip
    return Outcome({}, put(ROLE, changed))


@iam("UpdateRoleDescription")
def update_role_description(call: Call, world: World, params: Params) -> Outcome:
    """AWS: the older form of UpdateRole; works on service-linked roles too."""
    changed = replace(role(call, world, params["RoleName"]), description=params["Description"])
    return Outcome({"Role": show_role(changed)}, put(ROLE, changed))


@iam("UpdateAssumeRolePolicy")
def update_assume_role_policy(call: Call, world: World, params: Params) -> Outcome:
    """Another trust policy, in force for the next AssumeRole. MalformedPolicyDocument, LimitExceeded."""
    found, trust = editable_role(call, world, params["RoleName"]), params["PolicyDocument"]
    documents.check_trust(trust)
    documents.check_size(call, "iam-trust-policy-size", trust)
    return Outcome({}, put(ROLE, replace(found, trust=trust)))


@iam("DeleteRole")
def delete_role(call: Call, world: World, params: Params) -> Outcome:
    """DeleteConflict while it has policies or stands in an instance profile."""
    found = editable_role(call, world, params["RoleName"])
    if world.count(INSTANCE_PROFILE, "role", found.id):
        raise conflict("remove roles from instance profile")
    check_bare(found)
    return Outcome({}, delete(ROLE, found.id))


def _for_tags(call: Call, world: World, params: Params) -> Role:
    """AWS: the tags of service-linked roles can be read, not changed."""
    find = role if call.action.startswith("List") else editable_role
    return find(call, world, params["RoleName"])


tagging.tag_operations("Role", ROLE, _for_tags)
