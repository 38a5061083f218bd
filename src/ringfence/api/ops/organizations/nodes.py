"""Roots, units and accounts by their ids, and how they are shown."""

from __future__ import annotations

from typing import Any

from ringfence.api.ops.context import Call
from ringfence.api.ops.organizations.serve import invalid_input, moment, own_organization, violation
from ringfence.identity.organization import path
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCOUNT, ORGANIZATION, UNIT, Kind
from ringfence.model.nouns.organization import Account, Node, Organization, OrganizationalUnit
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, put


def parse_tags(call: Call, given: Any, existing: Tags = ()) -> Tags:
    """`existing` overlaid with a list of {Key, Value}. ApiError InvalidInputException, ConstraintViolationException."""
    held = dict(existing)
    seen: set[str] = set()
    for tag in given or ():
        key = tag["Key"]
        if key.lower().startswith("aws:"):
            raise invalid_input("INVALID_SYSTEM_TAGS_PARAMETER", "Tag keys that begin with aws: are reserved.")
        if key in seen:
            raise invalid_input("DUPLICATE_TAG_KEY", "Tag keys must be unique among the tags attached to an entity.")
        seen.add(key)
        held[key] = tag["Value"]
    if len(held) > call.limits["organizations-tags"]:
        raise violation("MAX_TAG_LIMIT_EXCEEDED", "You have exceeded the number of tags allowed on this resource.")
    return tuple(held.items())


# ---------------------------------------------------------------------- finding
def find_node(world: World, organization: Organization, id: str) -> Node | None:
    """The root, unit or account of that id, if it is of this organization."""
    if id == organization.root:
        return organization
    found: Account | OrganizationalUnit | None = world.find(UNIT, id) or world.find(ACCOUNT, id)
    return found if found is not None and found.organization == organization.id else None


def node(call: Call, world: World, id: str, code: str) -> Node:
    """Likewise, in the caller's organization. ApiError `code`."""
    found = find_node(world, own_organization(call, world), id)
    if found is None:
        raise fault(code)
    return found


def parent(
    call: Call, world: World, id: str, code: str = "ParentNotFoundException"
) -> Organization | OrganizationalUnit:
    """The root or unit of that id. ApiError `code`."""
    found = node(call, world, id, code)
    if not isinstance(found, (Organization, OrganizationalUnit)):
        raise fault(code)
    return found


def account(call: Call, world: World, id: str) -> Account:
    """The member or management account of that number. ApiError AccountNotFoundException."""
    found = node(call, world, id, "AccountNotFoundException")
    if not isinstance(found, Account):
        raise fault("AccountNotFoundException")
    return found


def unit(call: Call, world: World, id: str) -> OrganizationalUnit:
    """ApiError OrganizationalUnitNotFoundException."""
    found = node(call, world, id, "OrganizationalUnitNotFoundException")
    if not isinstance(found, OrganizationalUnit):
        raise fault("OrganizationalUnitNotFoundException")
    return found


def id_of(found: Node) -> str:
    """The id that the API gives a node."""
    return found.root if isinstance(found, Organization) else found.id


def members(world: World, organization: Organization) -> list[Account]:
    """Every account of an organization, in the order in which they joined it."""
    found = world.by(ACCOUNT, "organization", organization.id)
    return sorted(found, key=lambda account: account.joined or 0.0)


def nodes(world: World, organization: Organization) -> list[Node]:
    """The root, all units, all accounts."""
    return [organization, *world.by(UNIT, "organization", organization.id), *members(world, organization)]


_KINDS: dict[type[Node], Kind[Any]] = {Account: ACCOUNT, Organization: ORGANIZATION, OrganizationalUnit: UNIT}


def put_node(found: Node) -> Change:
    return put(_KINDS[found.__class__], found)


# ---------------------------------------------------------------------- showing
def arn(organization: Organization, type: str, rest: str) -> str:
    """`arn:aws:organizations::MANAGEMENT:TYPE/o-…/REST`."""
    return f"arn:aws:organizations::{organization.owner_id}:{type}/{organization.id}{'/' if rest else ''}{rest}"


def node_arn(organization: Organization, found: Node) -> str:
    kind = {Account: "account", Organization: "root", OrganizationalUnit: "ou"}[found.__class__]
    return arn(organization, kind, id_of(found))


def node_type(found: Node) -> str:
    return {Account: "ACCOUNT", Organization: "ROOT", OrganizationalUnit: "ORGANIZATIONAL_UNIT"}[found.__class__]


def node_name(found: Node) -> str:
    return found.name if isinstance(found, (Account, OrganizationalUnit)) else "Root"


def show_account(world: World, organization: Organization, found: Account) -> dict[str, Any]:
    """`Account` of the API."""
    above = "/".join(id_of(step) for step in [*path(world, found)][::-1])
    return {
        "Id": found.id,
        "Arn": node_arn(organization, found),
        "Email": found.email,
        "Name": found.name,
        "Status": "ACTIVE" if found.closed is None else "SUSPENDED",
        "State": "ACTIVE" if found.closed is None else "SUSPENDED",
        "Paths": [f"{organization.id}/{above}/"],
        "JoinedMethod": "INVITED" if found.invited else "CREATED",
        "JoinedTimestamp": moment(found.joined),
    }


def show_unit(organization: Organization, found: OrganizationalUnit) -> dict[str, Any]:
    return {"Id": found.id, "Arn": node_arn(organization, found), "Name": found.name}


def show_root(organization: Organization) -> dict[str, Any]:
    return {
        "Id": organization.root, "Arn": node_arn(organization, organization), "Name": "Root",
        "PolicyTypes": [{"Type": type, "Status": "ENABLED"} for type in organization.enabled],
    }  # fmt: skip
