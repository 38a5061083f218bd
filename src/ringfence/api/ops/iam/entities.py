"""What users, groups and roles have in common: how they are found by name, and how they are shown.

AWS: names are unique without regard to case ("IAM and AWS STS quotas"). Here a name finds its entity only as it is
written, so that the ARN which a policy was asked about is the ARN that is acted upon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.iam import tagging
from ringfence.api.ops.iam.pages import instant
from ringfence.identity.principal import PrincipalKind
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import GROUP, INSTANCE_PROFILE, ROLE, USER, Kind
from ringfence.model.nouns.identity import Group, IamEntity, InstanceProfile, Role, User
from ringfence.model.world import Change, World, put

E = TypeVar("E", bound=IamEntity)
Identity = User | Group | Role


@dataclass(frozen=True, slots=True)
class Sort:
    """One of the three things that policies are attached to. `noun` is the word in the names of operations."""

    noun: str
    kind: Kind[Any]
    find: Callable[[Call, World, str], Any]

    @property
    def parameter(self) -> str:
        return f"{self.noun}Name"

    def named(self, call: Call, world: World, params: Params) -> Any:
        """The entity that a call's parameters name. ApiError NoSuchEntity."""
        return self.find(call, world, params[self.parameter])


def named(world: World, kind: Kind[E], account_id: str, name: str) -> E | None:
    """The entity of that name, written exactly so."""
    return next((e for e in world.by(kind, "name", f"{account_id}/{name.lower()}") if e.name == name), None)


def taken(world: World, kind: Kind[E], account_id: str, name: str, *, by: str = "") -> bool:
    """Is a name in use, in whatever case, by another entity than the one with the id `by`?"""
    return any(e.id != by for e in world.by(kind, "name", f"{account_id}/{name.lower()}"))


def taken_arn(call: Call, world: World, kind: Kind[Any], arn: str) -> bool:
    """Is there a row of that ARN in the account, in whatever case?"""
    return any(row.id.lower() == arn.lower() for row in call.mine(world, kind))


def user(call: Call, world: World, name: str) -> User:
    found = named(world, USER, call.account_id, name)
    if found is None:
        raise missing("user", name)
    return found


def group(call: Call, world: World, name: str) -> Group:
    found = named(world, GROUP, call.account_id, name)
    if found is None:
        raise missing("group", name)
    return found


def role(call: Call, world: World, name: str) -> Role:
    found = named(world, ROLE, call.account_id, name)
    if found is None:
        raise missing("role", name)
    return found


def instance_profile(call: Call, world: World, name: str) -> InstanceProfile:
    found = named(world, INSTANCE_PROFILE, call.account_id, name)
    if found is None:
        raise fault("NoSuchEntity", message=f"Instance Profile {name} cannot be found.")
    return found


def missing(noun: str, name: str) -> ApiError:
    """The fault for a name nobody has."""
    return fault("NoSuchEntity", message=f"The {noun} with name {name} cannot be found.")


def exists(noun: str, name: str) -> ApiError:
    """The fault for a name somebody has."""
    return fault("EntityAlreadyExists", message=f"{noun} with name {name} already exists.")


def conflict(what: str) -> ApiError:
    """The fault for deleting what still has something."""
    return fault("DeleteConflict", message=f"Cannot delete entity, must {what} first.")


def editable_role(call: Call, world: World, name: str) -> Role:
    """A role that may be changed. ApiError UnmodifiableEntity for a service-linked role."""
    found = role(call, world, name)
    if found.service_linked is not None:
        raise fault(
            "UnmodifiableEntity",
            message=f"Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS",
        )
    return found


def renamed(call: Call, world: World, sort: Sort, params: Params) -> Change:
    """Another name or path, as UpdateUser and UpdateGroup give it; what belongs to the entity knows it by its id, and stays.

    ApiError NoSuchEntity, EntityAlreadyExists.
    """
    found = sort.named(call, world, params)
    name = params.get(f"New{sort.parameter}") or found.name
    if taken(world, sort.kind, call.account_id, name, by=found.id):
        raise exists(sort.noun, name)
    return put(sort.kind, replace(found, name=name, path=params.get("NewPath") or found.path))


def check_bare(entity: Identity) -> None:
    """ApiError DeleteConflict while the entity has policies."""
    if entity.managed:
        raise conflict("detach all policies")
    if entity.inline:
        raise conflict("delete policies")


SORTS = (Sort("User", USER, user), Sort("Group", GROUP, group), Sort("Role", ROLE, editable_role))
USERS, GROUPS, ROLES = SORTS


def caller_or(call: Call, world: World, params: Params) -> User | None:
    """The user that `UserName` names, or else the one who calls; None for the account's root. ApiError NoSuchEntity.

    AWS: roles and federated users have no user of their own to fall back on.
    """
    if params.get("UserName"):
        return user(call, world, params["UserName"])
    if call.principal.is_root:
        return None
    if call.principal.kind is PrincipalKind.USER:
        found = world.find(USER, call.principal.user_id)
        if found is not None:
            return found
    raise fault("ValidationError", message="Must specify userName when calling with non-User credentials")


# ---------------------------------------------------------------------- as the API shows them
def stem(kind: Kind[Any], noun: str, entity: IamEntity) -> dict[str, Any]:
    """The members that every entity has."""
    return {
        "Path": entity.path,
        f"{noun}Name": entity.name,
        f"{noun}Id": entity.id,
        "Arn": kind.arn(entity),
        "CreateDate": instant(entity.created),
    }


def boundary_member(arn: str | None) -> dict[str, Any]:
    if arn is None:
        return {}
    return {
        "PermissionsBoundary": {
            "PermissionsBoundaryType": "PermissionsBoundaryPolicy",
            "PermissionsBoundaryArn": arn,
        }
    }


def show_user(user: User, *, whole: bool = True) -> dict[str, Any]:
    """AWS: lists leave out the boundary and the tags."""
    return stem(USER, "User", user) | (boundary_member(user.boundary) | tagging.member(user.tags) if whole else {})


def show_group(group: Group) -> dict[str, Any]:
    return stem(GROUP, "Group", group)
