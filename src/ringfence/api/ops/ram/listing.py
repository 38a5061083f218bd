"""What shares there are, what is in them and whom they are with (AWS RAM API Reference). Others' shares are seen as far as
they concern the caller: none of their other principals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ram.serve import (
    PREFIX_LIST_TYPE,
    SELF,
    external,
    id_of,
    invalid,
    moment,
    own_share,
    paged,
    principal_view,
    ram,
    resource_view,
    share_view,
    shares_of,
)
from ringfence.model.accounts import places_of
from ringfence.model.errors import fault
from ringfence.model.kinds import RESOURCE_SHARE
from ringfence.model.nouns.resource_share import ResourceShare, SharePrincipal
from ringfence.model.world import World


def _named(shares: list[ResourceShare], params: Params) -> list[ResourceShare]:
    """Those that resourceShareArns names, if it names any. ApiError MalformedArnException, UnknownResourceException."""
    arns = params.get("resourceShareArns")
    if not arns:
        return shares
    held = {RESOURCE_SHARE.arn(share): share for share in shares}
    for arn in arns:
        id_of(arn, "resource-share")
        if arn not in held:
            raise fault("UnknownResourceException", message=f"ResourceShare {arn} could not be found.")
    return [held[arn] for arn in dict.fromkeys(arns)]


@ram("GetResourceShares")
def get_resource_shares(call: Call, world: World, params: Params) -> Outcome:
    """ApiError InvalidParameterException, MalformedArnException, UnknownResourceException."""
    owner = params["resourceOwner"]
    shares = _named(shares_of(call, world, owner), params)
    if params.get("permissionArn") is not None or params.get("permissionVersion") is not None:
        raise invalid("Shares cannot be found by their permission in this installation.")
    name, status, filters = params.get("name"), params.get("resourceShareStatus"), params.get("tagFilters") or ()
    kept = [
        share for share in shares
        if name in (None, share.name) and status in (None, "ACTIVE") and all(_has(share, each) for each in filters)
    ]  # fmt: skip
    shown, more = paged(kept, params)
    return Outcome({"resourceShares": [share_view(share, own=owner == SELF) for share in shown], **more})


def _has(share: ResourceShare, wanted: Params) -> bool:
    value, values = share.tag(str(wanted.get("tagKey") or "")), wanted.get("tagValues") or ()
    return value is not None and (not values or value in values)


@ram("GetResourceShareAssociations")
def get_resource_share_associations(call: Call, world: World, params: Params) -> Outcome:
    """Of the caller's own shares. ApiError InvalidParameterException, MalformedArnException, UnknownResourceException."""
    type = params["associationType"]
    if type not in ("PRINCIPAL", "RESOURCE", "SOURCE"):
        raise invalid(f"{type} is not a valid association type.")
    if (type != "RESOURCE" and params.get("resourceArn")) or (type != "PRINCIPAL" and params.get("principal")):
        raise invalid("A resourceArn goes with the association type RESOURCE only, a principal with PRINCIPAL only.")
    arns = params.get("resourceShareArns")
    shares = [own_share(call, world, arn) for arn in arns] if arns else shares_of(call, world, SELF)
    found = [view for share in shares for view in _associations(world, share, type)]
    entity, status = params.get("resourceArn") or params.get("principal"), params.get("associationStatus")
    kept = [each for each in found if entity in (None, each["associatedEntity"]) and status in (None, each["status"])]
    shown, more = paged(kept, params)
    return Outcome({"resourceShareAssociations": shown, **more})


def _associations(world: World, share: ResourceShare, type: str) -> Iterator[dict[str, Any]]:
    if type == "RESOURCE":
        yield from (resource_view(share, held) for held in share.resources)
    elif type == "PRINCIPAL":
        yield from (principal_view(world, share, held) for held in share.principals)


@ram("ListResources")
def list_resources(call: Call, world: World, params: Params) -> Outcome:
    """ApiError InvalidResourceTypeException and those of GetResourceShares."""
    _check_type(params)
    principal, arns = params.get("principal"), params.get("resourceArns")
    shares = _named(shares_of(call, world, params["resourceOwner"]), params)
    found = [
        {
            "arn": held.arn, "type": PREFIX_LIST_TYPE, "resourceShareArn": RESOURCE_SHARE.arn(share), "status": "AVAILABLE",
            "creationTime": moment(held.added), "lastUpdatedTime": moment(held.added), "resourceRegionScope": "REGIONAL",
        }
        for share in shares
        if principal is None or principal == share.owner_id or principal in {each.id for each in share.principals}
        for held in share.resources
        if not arns or held.arn in arns
    ]  # fmt: skip
    shown, more = paged(found if params.get("resourceRegionScope") != "GLOBAL" else [], params)
    return Outcome({"resources": shown, **more})


def _check_type(params: Params) -> None:
    type = params.get("resourceType")
    if type is not None and type.lower() != PREFIX_LIST_TYPE.lower():
        raise fault("InvalidResourceTypeException", message=f"The specified resource type {type} is not valid.")


@ram("ListPrincipals")
def list_principals(call: Call, world: World, params: Params) -> Outcome:
    """Of one's own shares those they are with; of others' the accounts that own them."""
    _check_type(params)
    own, arn = params["resourceOwner"] == SELF, params.get("resourceArn")
    found: list[dict[str, Any]] = []
    for share in _named(shares_of(call, world, params["resourceOwner"]), params):
        if arn is not None and arn not in {held.arn for held in share.resources}:
            continue
        found += [_principal(world, share, held, own=own) for held in _concerning(call, world, share, own)]
    wanted = params.get("principals")
    kept = [each for each in found if not wanted or each["id"] in wanted]
    shown, more = paged(kept, params)
    return Outcome({"principals": shown, **more})


def _concerning(call: Call, world: World, share: ResourceShare, own: bool) -> list[SharePrincipal]:
    if own:
        return [held for held in share.principals if held.accepted]
    places = places_of(world, call.account_id)
    return [held for held in share.principals if held.accepted and held.key in places][:1]


def _principal(world: World, share: ResourceShare, held: SharePrincipal, *, own: bool) -> dict[str, Any]:
    return {
        "id": held.id if own else share.owner_id, "resourceShareArn": RESOURCE_SHARE.arn(share),
        "creationTime": moment(held.added), "lastUpdatedTime": moment(held.added),
        "external": external(world, share, held),
    }  # fmt: skip


@ram("ListResourceTypes")
def list_resource_types(call: Call, world: World, params: Params) -> Outcome:
    """What can be shared here."""
    types = [{"resourceType": PREFIX_LIST_TYPE, "serviceName": "ec2", "resourceRegionScope": "REGIONAL"}]
    shown, more = paged(types if params.get("resourceRegionScope") != "GLOBAL" else [], params)
    return Outcome({"resourceTypes": shown, **more})
