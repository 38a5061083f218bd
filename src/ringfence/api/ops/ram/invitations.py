"""Invitations of accounts to shares (AWS RAM User Guide: "Accepting and rejecting resource share invitations")."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ram.serve import PREFIX_LIST_TYPE, id_of, moment, now, paged, ram, resource_view
from ringfence.model.errors import fault
from ringfence.model.kinds import RESOURCE_SHARE, SHARE_INVITATION
from ringfence.model.nouns.resource_share import ResourceShare, ShareInvitation
from ringfence.model.world import World, put

#: AWS: an invitation lasts a week
VALID_SECONDS = 7 * 86_400.0


def _status(call: Call, row: ShareInvitation) -> str:
    return "EXPIRED" if row.status == "PENDING" and row.sent + VALID_SECONDS <= now(call) else row.status


def _view(call: Call, row: ShareInvitation) -> dict[str, Any]:
    share_arn = f"arn:aws:ram:{row.region}:{row.owner_id}:resource-share/{row.share_id}"
    return {
        "resourceShareInvitationArn": SHARE_INVITATION.arn(row), "resourceShareName": row.share_name,
        "resourceShareArn": share_arn, "senderAccountId": row.owner_id, "receiverAccountId": row.receiver,
        "invitationTimestamp": moment(row.sent), "status": _status(call, row),
    }  # fmt: skip


def _received(call: Call, world: World, arn: Any) -> ShareInvitation:
    """An invitation of the caller's. ApiError MalformedArnException, ResourceShareInvitationArnNotFoundException."""
    row = world.find(SHARE_INVITATION, id_of(arn, "resource-share-invitation"))
    if row is None or row.receiver != call.account_id or row.region != call.region:
        raise fault("ResourceShareInvitationArnNotFoundException", arn=arn)
    return row


def _open(call: Call, world: World, arn: Any) -> tuple[ShareInvitation, ResourceShare]:
    """An invitation that can still be answered, and its share. ApiError for one that was answered or has expired."""
    row = _received(call, world, arn)
    status = _status(call, row)
    if status != "PENDING":
        ended = "Expired" if status == "EXPIRED" else f"Already{status.title()}"
        raise fault(f"ResourceShareInvitation{ended}Exception", arn=arn)
    share = world.find(RESOURCE_SHARE, row.share_id)
    if share is None:  # not possible: invitations go with their share
        raise fault("ResourceShareInvitationArnNotFoundException", arn=arn)
    return row, share


@ram("GetResourceShareInvitations")
def get_resource_share_invitations(call: Call, world: World, params: Params) -> Outcome:
    """Those the caller received. ApiError MalformedArnException, ResourceShareInvitationArnNotFoundException."""
    rows = [row for row in world.by(SHARE_INVITATION, "receiver", call.account_id) if row.region == call.region]
    named, shares = params.get("resourceShareInvitationArns"), params.get("resourceShareArns")
    if named:
        rows = [_received(call, world, arn) for arn in dict.fromkeys(named)]
    if shares:
        wanted = {id_of(arn, "resource-share") for arn in shares}
        rows = [row for row in rows if row.share_id in wanted]
    shown, more = paged(rows, params)
    return Outcome({"resourceShareInvitations": [_view(call, row) for row in shown], **more})


@ram("AcceptResourceShareInvitation")
def accept_resource_share_invitation(call: Call, world: World, params: Params) -> Outcome:
    """From then on the account sees what is shared (PL-13)."""
    row, share = _open(call, world, params["resourceShareInvitationArn"])
    principals = tuple(replace(held, accepted=True) if held.key == row.receiver else held for held in share.principals)
    answered = replace(row, status="ACCEPTED")
    change = put(SHARE_INVITATION, answered) + put(RESOURCE_SHARE, replace(share, principals=principals))
    return Outcome({"resourceShareInvitation": _view(call, answered)}, change)


@ram("RejectResourceShareInvitation")
def reject_resource_share_invitation(call: Call, world: World, params: Params) -> Outcome:
    """The account is no principal of the share any more."""
    row, share = _open(call, world, params["resourceShareInvitationArn"])
    left = tuple(held for held in share.principals if held.key != row.receiver or held.accepted)
    answered = replace(row, status="REJECTED")
    change = put(SHARE_INVITATION, answered) + put(RESOURCE_SHARE, replace(share, principals=left))
    return Outcome({"resourceShareInvitation": _view(call, answered)}, change)


@ram("ListPendingInvitationResources")
def list_pending_invitation_resources(call: Call, world: World, params: Params) -> Outcome:
    """What an invitation that is open would let see."""
    _, share = _open(call, world, params["resourceShareInvitationArn"])
    shown, more = paged([resource_view(share, held) for held in share.resources], params)
    resources = [
        {
            "arn": each["associatedEntity"], "type": PREFIX_LIST_TYPE, "resourceShareArn": each["resourceShareArn"],
            "status": "PENDING", "creationTime": each["creationTime"], "lastUpdatedTime": each["lastUpdatedTime"],
            "resourceRegionScope": "REGIONAL",
        }
        for each in shown
    ]  # fmt: skip
    return Outcome({"resources": resources, **more})
