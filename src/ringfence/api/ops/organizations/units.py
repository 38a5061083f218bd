"""Organizational units and the tree they make (AWS Organizations User Guide: "Managing organizational units")."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.organizations.nodes import id_of, node, parent, parse_tags, put_node, show_unit, unit
from ringfence.api.ops.organizations.serve import letters, organizations, own_organization, page, violation
from ringfence.identity.organization import DEFAULTS, path
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCOUNT, UNIT, Kind
from ringfence.model.nouns.organization import Account, Organization, OrganizationalUnit
from ringfence.model.quotas import ORGANIZATION_DEPTH
from ringfence.model.world import World, delete


def _check_name(world: World, above: str, name: str, *, by: str = "") -> None:
    """ApiError DuplicateOrganizationalUnitException: names are unique under one parent."""
    if any(sibling.name == name and sibling.id != by for sibling in world.by(UNIT, "parent", above)):
        raise fault("DuplicateOrganizationalUnitException")


@organizations("CreateOrganizationalUnit")
def create_unit(call: Call, world: World, params: Params) -> Outcome:
    """ApiError ParentNotFound, DuplicateOrganizationalUnit and ConstraintViolationException (depth, number)."""
    organization, above = own_organization(call, world), parent(call, world, params["ParentId"])
    if len(list(path(world, above))) > ORGANIZATION_DEPTH:
        raise violation("OU_DEPTH_LIMIT_EXCEEDED", "You have exceeded the number of levels of organizational units.")
    if world.count(UNIT, "organization", organization.id) + 1 > call.limits["organizations-units"]:
        raise violation("OU_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of organizational units.")
    _check_name(world, params["ParentId"], params["Name"])
    made = OrganizationalUnit(
        id=f"ou-{organization.root[2:]}-{letters(call.ids, 8)}", **call.owned(), organization=organization.id,
        parent=params["ParentId"], name=params["Name"], tags=parse_tags(call, params.get("Tags")),
        policies=tuple(DEFAULTS[type].id for type in organization.enabled),
    )  # fmt: skip
    return Outcome({"OrganizationalUnit": show_unit(organization, made)}, put_node(made))


@organizations("UpdateOrganizationalUnit")
def update_unit(call: Call, world: World, params: Params) -> Outcome:
    found = unit(call, world, params["OrganizationalUnitId"])
    changed = replace(found, name=params.get("Name") or found.name)
    _check_name(world, found.parent, changed.name, by=found.id)
    shown = show_unit(own_organization(call, world), changed)
    return Outcome({"OrganizationalUnit": shown}, put_node(changed))


@organizations("DeleteOrganizationalUnit")
def delete_unit(call: Call, world: World, params: Params) -> Outcome:
    """ApiError OrganizationalUnitNotEmptyException."""
    found = unit(call, world, params["OrganizationalUnitId"])
    if world.count(UNIT, "parent", found.id) or world.count(ACCOUNT, "parent", found.id):
        raise fault("OrganizationalUnitNotEmptyException")
    return Outcome({}, delete(UNIT, found.id))


@organizations("DescribeOrganizationalUnit")
def describe_unit(call: Call, world: World, params: Params) -> Outcome:
    found = unit(call, world, params["OrganizationalUnitId"])
    return Outcome({"OrganizationalUnit": show_unit(own_organization(call, world), found)})


@organizations("ListOrganizationalUnitsForParent")
def list_units(call: Call, world: World, params: Params) -> Outcome:
    organization = own_organization(call, world)
    parent(call, world, params["ParentId"])
    found, more = page(world.by(UNIT, "parent", params["ParentId"]), params)
    return Outcome({"OrganizationalUnits": [show_unit(organization, one) for one in found], **more})


@organizations("ListChildren")
def list_children(call: Call, world: World, params: Params) -> Outcome:
    """ApiError ParentNotFoundException."""
    above = id_of(parent(call, world, params["ParentId"]))
    kind: Kind[Any] = UNIT if params["ChildType"] == "ORGANIZATIONAL_UNIT" else ACCOUNT
    found, more = page([row.id for row in world.by(kind, "parent", above)], params)
    return Outcome({"Children": [{"Id": id, "Type": params["ChildType"]} for id in found], **more})


@organizations("ListParents")
def list_parents(call: Call, world: World, params: Params) -> Outcome:
    """One: the root or a unit. ApiError ChildNotFoundException."""
    found = node(call, world, params["ChildId"], "ChildNotFoundException")
    if isinstance(found, Organization):
        raise fault("ChildNotFoundException")
    assert isinstance(found, (Account, OrganizationalUnit))
    above = str(found.parent)
    kind = "ROOT" if above.startswith("r-") else "ORGANIZATIONAL_UNIT"
    shown, more = page([{"Id": above, "Type": kind}], params)
    return Outcome({"Parents": shown, **more})
