"""What is in a share and whom it is with (AWS RAM User Guide: "Sharing your AWS resources"; API Reference; spec PL-10, PL-13).

Prefix lists of the caller's own can be shared. Subnets, security groups and everything else are refused, as RAM refuses types
that cannot be shared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ram.serve import invalid, now, own_share, principal_view, ram, refused, resource_view, trusted
from ringfence.model.accounts import account_of
from ringfence.model.errors import fault
from ringfence.model.kinds import PREFIX_LIST, RESOURCE_SHARE, SHARE_INVITATION, UNIT
from ringfence.model.nouns.resource_share import ResourceShare, SharedResource, ShareInvitation, SharePrincipal
from ringfence.model.world import NOTHING, Change, World, delete, put

_RESOURCE = re.compile(r"arn:aws:([a-z0-9-]+):([a-z0-9-]*):([a-z0-9]*):([a-z-]+)/(.+)")
_ORGANIZATION = re.compile(r"arn:aws:organizations::([0-9]{12}):(organization|ou)/(o-[a-z0-9]+)(?:/(ou-[a-z0-9-]+))?")
#: AWS: of the principals of a share, and of its resources
MOST = 5000


def resource(call: Call, world: World, arn: str) -> SharedResource:
    """A resource of the caller's that can be shared. ApiError MalformedArnException, UnknownResourceException,
    OperationNotPermittedException."""
    found = _RESOURCE.fullmatch(arn)
    if found is None:
        raise fault("MalformedArnException", arn=arn[:200])
    service, region, owner, noun, id = found.groups()
    if (service, noun) != ("ec2", PREFIX_LIST.noun):
        raise refused("You cannot share the selected resource type.")
    row = world.find(PREFIX_LIST, id)
    if owner == "aws" or region != call.region:  # PL-10
        raise refused(f"The resource {arn} cannot be shared by this account in this Region.")
    if row is None or row.owner_id != call.account_id or PREFIX_LIST.arn(row) != arn:
        raise fault("UnknownResourceException", message=f"Resource {arn} could not be found.")
    return SharedResource(arn=arn, key=f"{noun}/{id}", added=now(call))


def principal(call: Call, world: World, share: ResourceShare, given: str) -> SharePrincipal:
    """Whom a text names. ApiError InvalidParameterException, UnknownResourceException, OperationNotPermittedException."""
    if re.fullmatch(r"[0-9]{12}", given):
        return _account(call, world, share, given)
    found = _ORGANIZATION.fullmatch(given)
    if found is None or (found[2] == "ou") != (found[4] is not None):
        raise invalid(f"Principal ID {given[:200]} is malformed. Verify the ID and try again.")
    organization = trusted(world, call.account_id)
    if organization is None or organization.id != found[3] or organization.owner_id != found[1]:
        text = f"Organization {found[3]} could not be found, or sharing with it is not enabled."
        raise fault("UnknownResourceException", message=text)
    unit = world.find(UNIT, found[4])
    if found[4] is not None and (unit is None or unit.organization != organization.id):
        raise fault("UnknownResourceException", message=f"OrganizationalUnit {found[4]} could not be found.")
    return SharePrincipal(id=given, key=found[4] or organization.id, added=now(call), organization=organization.id)


def _account(call: Call, world: World, share: ResourceShare, id: str) -> SharePrincipal:
    if id == call.account_id:
        raise invalid(f"The resource share owner {id} cannot be a principal of it.")
    home = account_of(world, call.account_id).organization
    inside = home is not None and account_of(world, id).organization == home
    if inside and trusted(world, call.account_id) is not None:
        return SharePrincipal(id=id, key=id, added=now(call), organization=home)
    if not inside and not share.external:
        text = f"Principal ID {id} is not in your AWS organization. "
        raise refused(text + "You do not have permission to add external AWS accounts to a resource share.")
    return SharePrincipal(id=id, key=id, added=now(call), accepted=False)


def _invitations(call: Call, share: ResourceShare, invited: Iterable[SharePrincipal]) -> Change:
    rows = [
        ShareInvitation(
            id=call.ids.uuid(), owner_id=share.owner_id, region=share.region, share_id=share.id, share_name=share.name,
            receiver=each.key, sent=each.added,
        )
        for each in invited
    ]  # fmt: skip
    return put(SHARE_INVITATION, *rows) if rows else NOTHING


def _plain(params: Params) -> None:
    """What RAM has besides, and this installation has not."""
    for name in ("sources", "permissionTemplateParameters"):
        if params.get(name):
            raise refused(f"The parameter {name} is not supported by this installation.")


def with_added(
    call: Call, world: World, share: ResourceShare, params: Params
) -> tuple[ResourceShare, list[SharedResource], list[SharePrincipal], Change]:
    """The share with the resources and principals of a request, those that are new, and the invitations they get."""
    _plain(params)
    arns, ids = {held.arn for held in share.resources}, {held.id for held in share.principals}
    came = [resource(call, world, arn) for arn in dict.fromkeys(params.get("resourceArns") or ()) if arn not in arns]
    who = [principal(call, world, share, id) for id in dict.fromkeys(params.get("principals") or ()) if id not in ids]
    if max(len(share.resources) + len(came), len(share.principals) + len(who)) > MOST:
        raise fault("ResourceShareLimitExceededException", message=f"A resource share has at most {MOST} of each.")
    changed = replace(
        share, resources=(*share.resources, *came), principals=(*share.principals, *who), updated=now(call)
    )  # fmt: skip
    return changed, came, who, _invitations(call, share, [each for each in who if not each.accepted])


@ram("AssociateResourceShare")
def associate_resource_share(call: Call, world: World, params: Params) -> Outcome:
    """ApiError as `resource` and `principal` have them."""
    share = own_share(call, world, params["resourceShareArn"])
    changed, came, who, invitations = with_added(call, world, share, params)
    shown = [resource_view(changed, held) for held in came]
    shown += [principal_view(world, changed, held) for held in who]
    return Outcome({"resourceShareAssociations": shown}, put(RESOURCE_SHARE, changed) + invitations)


@ram("DisassociateResourceShare")
def disassociate_resource_share(call: Call, world: World, params: Params) -> Outcome:
    """PL-13: what was referenced goes on. What is not there is passed over."""
    share = own_share(call, world, params["resourceShareArn"])
    _plain(params)
    arns, ids = set(params.get("resourceArns") or ()), set(params.get("principals") or ())
    gone = [held for held in share.resources if held.arn in arns]
    left = [held for held in share.principals if held.id in ids]
    changed = replace(
        share, resources=tuple(held for held in share.resources if held not in gone),
        principals=tuple(held for held in share.principals if held not in left), updated=now(call),
    )  # fmt: skip
    shown = [resource_view(share, held, "DISASSOCIATED") for held in gone]
    shown += [principal_view(world, share, held, "DISASSOCIATED") for held in left]
    ended = _ended(world, share, {held.key for held in left})
    return Outcome({"resourceShareAssociations": shown}, put(RESOURCE_SHARE, changed) + ended)


def _ended(world: World, share: ResourceShare, accounts: set[str]) -> Change:
    """Invitations that are open end with what they invite to."""
    rows = world.by(SHARE_INVITATION, "share", share.id)
    return delete(SHARE_INVITATION, *(row.id for row in rows if row.status == "PENDING" and row.receiver in accounts))
