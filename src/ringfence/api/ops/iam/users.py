"""Users (IAM User Guide: "IAM users"; IAM API Reference: CreateUser, GetUser, ListUsers, UpdateUser, DeleteUser)."""

from __future__ import annotations

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import tagging
from ringfence.api.ops.iam.entities import (
    USERS,
    caller_or,
    check_bare,
    conflict,
    exists,
    renamed,
    show_user,
    taken,
    user,
)
from ringfence.api.ops.iam.pages import by_name, now, page
from ringfence.api.ops.iam.policies import attachable
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.identifiers import unique_id
from ringfence.model.kinds import ACCESS_KEY, MFA_DEVICE, USER
from ringfence.model.nouns.identity import User
from ringfence.model.world import World, delete, put


@iam("CreateUser")
def create_user(call: Call, world: World, params: Params) -> Outcome:
    """A user that may do nothing yet (IAM-14). EntityAlreadyExists, LimitExceeded, NoSuchEntity for the boundary."""
    name, boundary = params["UserName"], params.get("PermissionsBoundary")
    if taken(world, USER, call.account_id, name):
        raise exists("User", name)
    call.check_quota("iam-users", world.count_owned(USER, call.account_id, call.region) + 1)
    if boundary is not None:
        attachable(call, world, boundary)
    made = User(
        id=unique_id(call.ids, "AIDA"), **call.owned(), name=name, path=params.get("Path") or "/", created=now(call),
        boundary=boundary, tags=tagging.parse(call, params.get("Tags") or ()),
    )  # fmt: skip
    return Outcome({"User": show_user(made)}, put(USER, made))


@iam("GetUser")
def get_user(call: Call, world: World, params: Params) -> Outcome:
    """One user; without a name, the caller. AWS: the account's root shows the account's id and no name."""
    found = caller_or(call, world, params)
    if found is None:
        return Outcome({"User": {"UserId": call.account_id, "Arn": call.principal.arn, "Path": "/"}})
    return Outcome({"User": show_user(found)})


@iam("ListUsers")
def list_users(call: Call, world: World, params: Params) -> Outcome:
    users, more = page(by_name(call.mine(world, USER), params), params, key=lambda found: found.id)
    return Outcome({"Users": [show_user(found, whole=False) for found in users], **more})


@iam("UpdateUser")
def update_user(call: Call, world: World, params: Params) -> Outcome:
    """Another name or path; the id stays, and with it groups, policies and keys."""
    return Outcome({}, renamed(call, world, USERS, params))


@iam("DeleteUser")
def delete_user(call: Call, world: World, params: Params) -> Outcome:
    """DeleteConflict while the user has anything that the API can take away from it."""
    found = user(call, world, params["UserName"])
    if found.groups:
        raise conflict("remove users from group")
    check_bare(found)
    if world.count(ACCESS_KEY, "user", found.id):
        raise conflict("delete access keys")
    if found.password_hash is not None:
        raise conflict("delete login profile")
    if world.count(MFA_DEVICE, "user", found.id):
        raise conflict("deactivate MFA device")
    return Outcome({}, delete(USER, found.id))


tagging.tag_operations("User", USER, USERS.named)
