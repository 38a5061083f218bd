"""Groups and their members (IAM User Guide: "IAM user groups")."""

from __future__ import annotations

from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam.entities import (
    GROUPS,
    check_bare,
    conflict,
    exists,
    group,
    renamed,
    show_group,
    show_user,
    taken,
    user,
)
from ringfence.api.ops.iam.pages import by_name, now, page
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.identifiers import unique_id
from ringfence.model.kinds import GROUP, USER
from ringfence.model.nouns.identity import Group
from ringfence.model.world import World, delete, put


@iam("CreateGroup")
def create_group(call: Call, world: World, params: Params) -> Outcome:
    name = params["GroupName"]
    if taken(world, GROUP, call.account_id, name):
        raise exists("Group", name)
    call.check_quota("iam-groups", world.count_owned(GROUP, call.account_id, call.region) + 1)
    made = Group(
        id=unique_id(call.ids, "AGPA"), **call.owned(), name=name, path=params.get("Path") or "/", created=now(call)
    )
    return Outcome({"Group": show_group(made)}, put(GROUP, made))


@iam("GetGroup")
def get_group(call: Call, world: World, params: Params) -> Outcome:
    """A group and its members."""
    found = group(call, world, params["GroupName"])
    members = sorted(world.by(USER, "group", found.id), key=lambda member: member.name.lower())
    users, more = page(members, params, key=lambda member: member.id)
    return Outcome({"Group": show_group(found), "Users": [show_user(member, whole=False) for member in users], **more})


@iam("ListGroups")
def list_groups(call: Call, world: World, params: Params) -> Outcome:
    groups, more = page(by_name(call.mine(world, GROUP), params), params, key=lambda found: found.id)
    return Outcome({"Groups": [show_group(found) for found in groups], **more})


@iam("ListGroupsForUser")
def list_groups_for_user(call: Call, world: World, params: Params) -> Outcome:
    held = [world.get(GROUP, id) for id in user(call, world, params["UserName"]).groups]
    groups, more = page(by_name(held, {}), params, key=lambda found: found.id)
    return Outcome({"Groups": [show_group(found) for found in groups], **more})


@iam("UpdateGroup")
def update_group(call: Call, world: World, params: Params) -> Outcome:
    """Another name or path; members and policies stay."""
    return Outcome({}, renamed(call, world, GROUPS, params))


@iam("DeleteGroup")
def delete_group(call: Call, world: World, params: Params) -> Outcome:
    """DeleteConflict while it has members or policies."""
    found = group(call, world, params["GroupName"])
    if world.count(USER, "group", found.id):
        raise conflict("remove users from group")
    check_bare(found)
    return Outcome({}, delete(GROUP, found.id))


@iam("AddUserToGroup")
def add_user_to_group(call: Call, world: World, params: Params) -> Outcome:
    """AWS: adding a member again changes nothing."""
    found, member = group(call, world, params["GroupName"]), user(call, world, params["UserName"])
    if found.id in member.groups:
        return Outcome({})
    call.check_quota("iam-groups-per-user", len(member.groups) + 1)
    return Outcome({}, put(USER, replace(member, groups=(*member.groups, found.id))))


@iam("RemoveUserFromGroup")
def remove_user_from_group(call: Call, world: World, params: Params) -> Outcome:
    """AWS: removing who is no member changes nothing."""
    found, member = group(call, world, params["GroupName"]), user(call, world, params["UserName"])
    if found.id not in member.groups:
        return Outcome({})
    return Outcome({}, put(USER, replace(member, groups=tuple(id for id in member.groups if id != found.id))))
