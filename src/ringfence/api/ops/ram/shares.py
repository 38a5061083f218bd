"""Resource shares: made, changed, deleted, tagged (AWS RAM API Reference)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.organizations.serve import now as organizations_now
from ringfence.api.ops.ram.associations import with_added
from ringfence.api.ops.ram.serve import invalid, now, own_share, parse_tags, ram, refused, share_view
from ringfence.model.accounts import account_of
from ringfence.model.errors import fault
from ringfence.model.kinds import ORGANIZATION, RESOURCE_SHARE, SHARE_INVITATION
from ringfence.model.nouns.organization import ServiceAccess
from ringfence.model.nouns.resource_share import SERVICE, ResourceShare
from ringfence.model.world import World, delete, put

#: the one permission of prefix lists: to see the entries, and to name the list
PERMISSION = "arn:aws:ram::aws:permission/AWSRAMDefaultPermissionPrefixList"


def _name(given: Any) -> str:
    text = str(given or "")
    if not 1 <= len(text) <= 255:
        raise invalid("The name of a resource share has 1 to 255 characters.")
    return text


@ram("CreateResourceShare")
def create_resource_share(call: Call, world: World, params: Params) -> Outcome:
    """ApiError as AssociateResourceShare has them; InvalidParameterException, TagLimitExceededException."""
    for arn in params.get("permissionArns") or ():
        if arn != PERMISSION:
            raise fault("UnknownResourceException", message=f"Permission {arn} could not be found.")
    if (params.get("resourceShareConfiguration") or {}).get("retainSharingOnAccountLeaveOrganization"):
        raise refused("Sharing that outlasts membership of the organization is not supported by this installation.")
    allowed = params.get("allowExternalPrincipals")
    empty = ResourceShare(
        id=call.ids.uuid(), **call.owned(), name=_name(params["name"]), tags=parse_tags(params.get("tags") or ()),
        external=True if allowed is None else allowed, created=now(call), updated=now(call),
    )  # fmt: skip
    share, _, _, invitations = with_added(call, world, empty, params)
    return Outcome({"resourceShare": share_view(share)}, put(RESOURCE_SHARE, share) + invitations)


@ram("UpdateResourceShare")
def update_resource_share(call: Call, world: World, params: Params) -> Outcome:
    """Principals that are there stay; external ones see nothing while the share does not allow them."""
    share = own_share(call, world, params["resourceShareArn"])
    name, external = params.get("name"), params.get("allowExternalPrincipals")
    changed = replace(
        share, name=share.name if name is None else _name(name),
        external=share.external if external is None else external, updated=now(call),
    )  # fmt: skip
    return Outcome({"resourceShare": share_view(changed)}, put(RESOURCE_SHARE, changed))


@ram("DeleteResourceShare")
def delete_resource_share(call: Call, world: World, params: Params) -> Outcome:
    """PL-13: what was referenced goes on."""
    share = own_share(call, world, params["resourceShareArn"])
    invitations = delete(SHARE_INVITATION, *(row.id for row in world.by(SHARE_INVITATION, "share", share.id)))
    return Outcome({"returnValue": True}, delete(RESOURCE_SHARE, share.id) + invitations)


def _tagged(call: Call, world: World, params: Params) -> ResourceShare:
    arn = params.get("resourceShareArn")
    if arn is None or params.get("resourceArn") is not None:
        raise invalid("Exactly the ARN of a resource share must be given.")
    return own_share(call, world, arn)


@ram("TagResource")
def tag_resource(call: Call, world: World, params: Params) -> Outcome:
    share = _tagged(call, world, params)
    return Outcome({}, put(RESOURCE_SHARE, replace(share, tags=parse_tags(params["tags"], share.tags))))


@ram("UntagResource")
def untag_resource(call: Call, world: World, params: Params) -> Outcome:
    share, gone = _tagged(call, world, params), set(params["tagKeys"])
    return Outcome({}, put(RESOURCE_SHARE, replace(share, tags=tuple(tag for tag in share.tags if tag[0] not in gone))))


@ram("EnableSharingWithAwsOrganization")
def enable_sharing_with_aws_organization(call: Call, world: World, params: Params) -> Outcome:
    """Only the management account of an organization with all features. ApiError OperationNotPermittedException."""
    organization = world.find(ORGANIZATION, account_of(world, call.account_id).organization)
    if organization is None or organization.owner_id != call.account_id or not organization.all_features:
        raise refused(
            "Unable to enable sharing with AWS Organizations: only its management account may, with all features."
        )
    if any(access.principal == SERVICE for access in organization.services):
        return Outcome({"returnValue": True})
    access = ServiceAccess(principal=SERVICE, enabled=organizations_now(call))
    changed = replace(organization, services=(*organization.services, access))
    return Outcome({"returnValue": True}, put(ORGANIZATION, changed))
