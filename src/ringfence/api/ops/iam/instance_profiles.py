"""Instance profiles (IAM User Guide: "Use instance profiles"; IAM-11): what hands a role to an instance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.iam import tagging
from ringfence.api.ops.iam.entities import conflict, instance_profile, role, stem, taken
from ringfence.api.ops.iam.pages import by_name, now, page
from ringfence.api.ops.iam.roles import show_role
from ringfence.api.ops.iam.serve import iam
from ringfence.identity.identifiers import unique_id
from ringfence.model.errors import fault
from ringfence.model.kinds import INSTANCE_PROFILE, ROLE
from ringfence.model.nouns.identity import InstanceProfile
from ringfence.model.world import World, delete, put


def show_profile(world: World, row: InstanceProfile, *, whole: bool = True) -> dict[str, Any]:
    """AWS: a profile shows its role as lists of roles do; lists of profiles leave out the tags."""
    held = world.find(ROLE, row.role)
    roles = [show_role(held, whole=False)] if held is not None else []
    tags = tagging.member(row.tags) if whole else {}
    return stem(INSTANCE_PROFILE, "InstanceProfile", row) | {"Roles": roles} | tags


@iam("CreateInstanceProfile")
def create_instance_profile(call: Call, world: World, params: Params) -> Outcome:
    """EntityAlreadyExists, LimitExceeded."""
    name = params["InstanceProfileName"]
    if taken(world, INSTANCE_PROFILE, call.account_id, name):
        raise fault("EntityAlreadyExists", message=f"Instance Profile {name} already exists.")
    call.check_quota("iam-instance-profiles", world.count_owned(INSTANCE_PROFILE, call.account_id, call.region) + 1)
    made = InstanceProfile(
        id=unique_id(call.ids, "AIPA"), **call.owned(), name=name, path=params.get("Path") or "/", created=now(call),
        tags=tagging.parse(call, params.get("Tags") or ()),
    )  # fmt: skip
    return Outcome({"InstanceProfile": show_profile(world, made)}, put(INSTANCE_PROFILE, made))


@iam("GetInstanceProfile")
def get_instance_profile(call: Call, world: World, params: Params) -> Outcome:
    """AWS: with a list of tags even where it is empty."""
    found = instance_profile(call, world, params["InstanceProfileName"])
    return Outcome({"InstanceProfile": show_profile(world, found) | {"Tags": tagging.shown(found.tags)}})


def _listed(call: Call, world: World, rows: list[InstanceProfile], params: Params) -> Outcome:
    profiles, more = page(by_name(rows, params), params, key=lambda found: found.id)
    return Outcome({"InstanceProfiles": [show_profile(world, row, whole=False) for row in profiles], **more})


@iam("ListInstanceProfiles")
def list_instance_profiles(call: Call, world: World, params: Params) -> Outcome:
    return _listed(call, world, call.mine(world, INSTANCE_PROFILE), params)


@iam("ListInstanceProfilesForRole")
def list_instance_profiles_for_role(call: Call, world: World, params: Params) -> Outcome:
    found = role(call, world, params["RoleName"])
    return _listed(call, world, world.by(INSTANCE_PROFILE, "role", found.id), params)


@iam("AddRoleToInstanceProfile")
def add_role_to_instance_profile(call: Call, world: World, params: Params) -> Outcome:
    """LimitExceeded for a second role. AWS: the caller needs iam:PassRole on the role."""
    profile = instance_profile(call, world, params["InstanceProfileName"])
    added = role(call, world, params["RoleName"])
    if profile.role is not None:
        raise fault("LimitExceeded", quota="InstanceSessionsPerInstanceProfile", limit=1)
    if added.service_linked is not None:
        raise fault("UnmodifiableEntity", message=f"The service-linked role {added.name} cannot be in a profile.")
    return Outcome({}, put(INSTANCE_PROFILE, replace(profile, role=added.id)))


@iam("RemoveRoleFromInstanceProfile")
def remove_role_from_instance_profile(call: Call, world: World, params: Params) -> Outcome:
    """Credentials that instances have from the role live on until they expire."""
    profile = instance_profile(call, world, params["InstanceProfileName"])
    gone = role(call, world, params["RoleName"])
    if profile.role != gone.id:
        raise fault("NoSuchEntity", message=f"The role {gone.name} is not in the instance profile {profile.name}.")
    return Outcome({}, put(INSTANCE_PROFILE, replace(profile, role=None)))


@iam("DeleteInstanceProfile")
def delete_instance_profile(call: Call, world: World, params: Params) -> Outcome:
    """DeleteConflict while it holds a role."""
    found = instance_profile(call, world, params["InstanceProfileName"])
    if found.role is not None:
        raise conflict("remove roles from instance profile")
    return Outcome({}, delete(INSTANCE_PROFILE, found.id))


def _named(call: Call, world: World, params: Params) -> InstanceProfile:
    return instance_profile(call, world, params["InstanceProfileName"])


tagging.tag_operations("InstanceProfile", INSTANCE_PROFILE, _named)
