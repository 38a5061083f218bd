"""VPC peering connections: request, accept, reject, delete, options (VPC Peering Guide; spec PCX-01..PCX-04, PCX-08, PCX-11)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ec2.network_usage import within_address_usage
from ringfence.api.ops.ec2.peering_views import VALID, Seen, all_of, at, find, is_requester, sides_of, tags_of, view
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tags_on_create
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import well_formed
from ringfence.model.kinds import PEERING_CONNECTION, VPC
from ringfence.model.net import Network
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.peering import PeeringConnection, PeeringSide, PeeringStatus
from ringfence.model.regions import REGIONS
from ringfence.model.world import Change, World, put

_INCORRECT = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"
_ACCOUNT = re.compile(r"[0-9]{12}")
#: states in which a connection keeps others between its VPCs away
_LIVE = frozenset({PeeringStatus.PENDING_ACCEPTANCE, PeeringStatus.ACTIVE})


# ---------------------------------------------------------------------- request
@operation("ec2:CreateVpcPeeringConnection")
def create_vpc_peering_connection(call: Call, world: World, params: Params) -> Outcome:
    """PCX-01..PCX-04, PCX-11. What is wrong with another account's or Region's VPC is told by the status alone, as by AWS."""
    if any((params.get("RequesterPeeringConnectionOptions") or {}).values()):
        raise fault("UnsupportedOperation", message="Multipath resilience is not supported by this installation")
    near = call.get(world, VPC, params["VpcId"])
    side = _accepter(call, params)
    far = world.find(VPC, side.vpc_id)
    if far is not None and (far.owner_id, far.region) != (side.owner_id, side.region):
        far = None
    if far is None and (side.owner_id, side.region) == (call.account_id, call.region):
        raise fault("InvalidVpcID.NotFound", id=side.vpc_id)
    now = call.now.timestamp()
    _check_twice(world, near.id, side.vpc_id, now)
    pending = (s for s in all_of(call, world) if s.row.status is PeeringStatus.PENDING_ACCEPTANCE)
    call.check_quota("outstanding-peering-requests", sum(is_requester(call, seen.row) for seen in pending) + 1)
    failed = far is None or overlapping(near, far)
    row = PeeringConnection(
        id=call.ids.new("pcx-"),
        **call.owned(),
        tags=tags_on_create(call, params, PEERING_CONNECTION),
        requester=PeeringSide(vpc_id=near.id, owner_id=near.owner_id, region=near.region),
        accepter=side,
        status=PeeringStatus.FAILED if failed else PeeringStatus.PENDING_ACCEPTANCE,
        message=_INCORRECT if failed else f"Pending Acceptance by {side.owner_id}",
        created=now,
        expires=now + VALID,
        ended=now if failed else None,
    )
    told = replace(row, status=PeeringStatus.INITIATING_REQUEST, message=f"Initiating Request to {side.owner_id}")
    shown = view(world, Seen(replace(told, ended=None), row.tags))
    return Outcome({"VpcPeeringConnection": shown}, put(PEERING_CONNECTION, row))


def _accepter(call: Call, params: Params) -> PeeringSide:
    """The VPC that is asked. ApiError when it is not named as one."""
    id, owner = params.get("PeerVpcId"), params.get("PeerOwnerId") or call.account_id
    region = params.get("PeerRegion") or call.region
    if not id:
        raise fault("MissingParameter", name="peerVpcId")
    if not well_formed(VPC.prefix, id):
        raise fault("InvalidVpcID.Malformed", id=id)
    if not _ACCOUNT.fullmatch(owner):
        raise fault("InvalidParameterValue", message=f"Value ({owner}) for parameter peerOwnerId is invalid")
    if region not in REGIONS:
        raise fault("InvalidParameterValue", message=f"Value ({region}) for parameter peerRegion is invalid")
    return PeeringSide(vpc_id=id, owner_id=owner, region=region)


def _check_twice(world: World, near: str, far: str, now: float) -> None:
    """PCX-04: in either direction."""
    for row in world.by(PEERING_CONNECTION, "vpc", near):
        if row.far_side(near).vpc_id == far and at(row, now).status in _LIVE:
            raise fault("VpcPeeringConnectionAlreadyExists", vpc=near, peer=far, id=row.id)


def blocks_of(vpc: Vpc) -> list[Network]:
    return [association.block for association in (*vpc.ipv4, *vpc.ipv6)]


def overlapping(one: Vpc, other: Vpc) -> bool:
    """Any block of one with any of the other (PCX-03)."""
    return any(_share(a, b) for a in blocks_of(one) for b in blocks_of(other))


def _share(one: Network, other: Network) -> bool:
    return one.version == other.version and (one.network_address in other or other.network_address in one)


# ---------------------------------------------------------------------- accept, reject, delete
@operation("ec2:AcceptVpcPeeringConnection")
@within_address_usage
def accept_vpc_peering_connection(call: Call, world: World, params: Params) -> Outcome:
    """PCX-01, PCX-03, PCX-11: by the accepter's account, in its Region."""
    row = _of_accepter(call, world, params["VpcPeeringConnectionId"], "accept")
    if row.status is PeeringStatus.ACTIVE:  # AWS: the same again changes nothing
        return Outcome({"VpcPeeringConnection": view(world, Seen(row, tags_of(call, row)))})
    if row.status is not PeeringStatus.PENDING_ACCEPTANCE:
        raise _wrong_state(row, PeeringStatus.ACTIVE)
    near, far = (world.find(VPC, side.vpc_id) for side in (row.requester, row.accepter))
    if near is None or far is None or overlapping(near, far):
        raise fault("InvalidParameterValue", message=f"{row.id}: {_INCORRECT}")  # such a request has failed before
    for vpc in (near, far):
        held = sum(one.status is PeeringStatus.ACTIVE for one in world.by(PEERING_CONNECTION, "vpc", vpc.id))
        call.check_quota("active-peerings-per-vpc", held + 1, vpc=vpc.id)
    made = replace(row, status=PeeringStatus.ACTIVE, message="Active")
    told = replace(row, status=PeeringStatus.PROVISIONING, message="Provisioning")
    return Outcome({"VpcPeeringConnection": view(world, Seen(told, tags_of(call, row)))}, put(PEERING_CONNECTION, made))


def _of_accepter(call: Call, world: World, id: str, what: str) -> PeeringConnection:
    """A connection that the caller may answer. ApiError OperationNotPermitted for the other side, or in another Region."""
    row = find_anywhere(call, world, id)
    if row.accepter.owner_id != call.account_id:
        raise fault("OperationNotPermitted", message=f"User {call.account_id} cannot {what} peering {row.id}")
    if row.accepter not in sides_of(call, row):
        raise fault(
            "OperationNotPermitted",
            message=f"Incorrect region ({call.region}) specified for this request. VPC peering connection {row.id} must "
            f"be {what}ed in region {row.accepter.region}",
        )
    return row


def find_anywhere(call: Call, world: World, id: str) -> PeeringConnection:
    """`find`, also for a connection that has no side in this Region but one of the caller's account."""
    row = world.find(PEERING_CONNECTION, id)
    if row is not None and call.account_id in (row.requester.owner_id, row.accepter.owner_id):
        side = row.requester if row.requester.owner_id == call.account_id else row.accepter
        return find(replace(call, region=side.region), world, id)
    return find(call, world, id)


def _wrong_state(row: PeeringConnection, wanted: PeeringStatus) -> ApiError:
    text = f"Invalid state transition for {row.id}, attempted to transition from {row.status} to {wanted}"
    return fault("InvalidStateTransition", message=text)


def ended(row: PeeringConnection, status: PeeringStatus, by: str, now: float) -> PeeringConnection:
    """The connection, rejected or deleted by an account."""
    verb = status.value.capitalize()
    return replace(row, status=status, message=f"{verb} by {by}", ended=now, ended_by=by)


@operation("ec2:RejectVpcPeeringConnection")
def reject_vpc_peering_connection(call: Call, world: World, params: Params) -> Outcome:
    """PCX-01: a request that has not been answered, by the accepter."""
    row = _of_accepter(call, world, params["VpcPeeringConnectionId"], "reject")
    if row.status is not PeeringStatus.PENDING_ACCEPTANCE:
        raise _wrong_state(row, PeeringStatus.REJECTED)
    gone = ended(row, PeeringStatus.REJECTED, call.account_id, call.now.timestamp())
    return Outcome({"Return": True}, put(PEERING_CONNECTION, gone))


@operation("ec2:DeleteVpcPeeringConnection")
def delete_vpc_peering_connection(call: Call, world: World, params: Params) -> Outcome:
    """PCX-04, PCX-12: an active one by either side, a request by who made it. Routes and rules stay, and lead to nothing."""
    row = find(call, world, params["VpcPeeringConnectionId"])
    if row.status not in _LIVE:
        raise _wrong_state(row, PeeringStatus.DELETED)
    if row.status is PeeringStatus.PENDING_ACCEPTANCE and not is_requester(call, row):
        raise fault("OperationNotPermitted", message=f"User {call.account_id} cannot delete peering {row.id}")
    gone = ended(row, PeeringStatus.DELETED, call.account_id, call.now.timestamp())
    return Outcome({"Return": True}, put(PEERING_CONNECTION, gone))


# ---------------------------------------------------------------------- options
_CLASSIC = ("AllowEgressFromLocalClassicLinkToRemoteVpc", "AllowEgressFromLocalVpcToRemoteClassicLink")
_DNS = "AllowDnsResolutionFromRemoteVpc"


@operation("ec2:ModifyVpcPeeringConnectionOptions")
def modify_vpc_peering_connection_options(call: Call, world: World, params: Params) -> Outcome:
    """PCX-08: each side is its owner's to set, in its Region."""
    row = find(call, world, params["VpcPeeringConnectionId"])
    given = {name: params.get(f"{name.title()}PeeringConnectionOptions") or {} for name in ("requester", "accepter")}
    wanted = {name: options for name, options in given.items() if options}
    if not wanted:
        raise fault("MissingParameter", message="Options of the requester or of the accepter must be given")
    if row.status is not PeeringStatus.ACTIVE:
        text = f"Peering {row.id} is not active. Peering options can be added only to active peerings."
        raise fault("OperationNotPermitted", message=text)
    reply: dict[str, Any] = {}
    changed = row
    for name, options in wanted.items():
        side: PeeringSide = getattr(row, name)
        made = _with_options(call, world, row, side, name, options)
        sides: dict[str, Any] = {name: made}
        changed = replace(changed, **sides)
        reply[f"{name.title()}PeeringConnectionOptions"] = {_DNS: made.resolve_names, **dict.fromkeys(_CLASSIC, False)}
    return Outcome(reply, put(PEERING_CONNECTION, changed))


def _with_options(
    call: Call, world: World, row: PeeringConnection, side: PeeringSide, name: str, options: Params
) -> PeeringSide:
    if side.owner_id != call.account_id:
        text = f"User {call.account_id} cannot modify {name} peering options of {row.id}"
        raise fault("OperationNotPermitted", message=text)
    if side.region != call.region:
        text = f"{name.title()}'s VPC Peering connection options cannot be modified for a different region"
        raise fault("OperationNotPermitted", message=text)
    if any(options.get(classic) for classic in _CLASSIC) or options.get("AllowMultipathResilience"):
        raise fault("UnsupportedOperation", message="ClassicLink and multipath resilience are not supported here")
    wanted = options.get(_DNS)
    if wanted is None:
        return side
    vpcs = [world.find(VPC, each.vpc_id) for each in (row.requester, row.accepter)]
    if wanted and not all(vpc is not None and vpc.dns_support and vpc.dns_hostnames for vpc in vpcs):
        text = "To enable DNS hostname resolution for the VPC peering connection, DNS hostname support must be enabled"
        raise fault("InvalidVpcPeeringConnectionState.DnsHostnamesDisabled", message=f"{text} for the VPCs.")
    return replace(side, resolve_names=bool(wanted))


# ---------------------------------------------------------------------- what happens to a VPC
def gone_with(call: Call, world: World, vpc: Vpc) -> Change:
    """A VPC is deleted: its connections and its own requests with it. ApiError DependencyViolation while another account's
    request waits for an answer (VPC Peering Guide: "Delete a VPC peering connection")."""
    change, now = Change(), call.now.timestamp()
    for row in world.by(PEERING_CONNECTION, "vpc", vpc.id):
        held = at(row, now)
        if held.status not in _LIVE:
            continue
        asked = held.requester.vpc_id != vpc.id and held.requester.owner_id != vpc.owner_id
        if asked and held.status is PeeringStatus.PENDING_ACCEPTANCE:
            raise fault("DependencyViolation", message=f"The vpc '{vpc.id}' has dependencies and cannot be deleted.")
        change += put(PEERING_CONNECTION, ended(held, PeeringStatus.DELETED, vpc.owner_id, now))
    return change


def block_added(call: Call, world: World, vpc: Vpc, block: Network) -> Change:
    """A VPC gets another block. ApiError OperationNotPermitted while a request of it waits (PCX-13), InvalidVpc.Range when a
    peer has it; a request to it that now overlaps has failed."""
    change, now = Change(), call.now.timestamp()
    for row in world.by(PEERING_CONNECTION, "vpc", vpc.id):
        held = at(row, now)
        if held.status not in _LIVE:
            continue
        pending = held.status is PeeringStatus.PENDING_ACCEPTANCE
        if pending and held.requester.vpc_id == vpc.id:
            text = f"CIDR blocks cannot be added to {vpc.id} while its peering request {row.id} is pending acceptance."
            raise fault("OperationNotPermitted", message=text)
        far = world.find(VPC, held.far_side(vpc.id).vpc_id)
        if far is None or not any(_share(block, other) for other in blocks_of(far)):
            continue
        if not pending:
            raise fault(
                "InvalidVpc.Range", message=f"The CIDR '{block}' conflicts with a CIDR of a peer VPC ({row.id})."
            )
        failed = replace(held, status=PeeringStatus.FAILED, message=_INCORRECT, ended=now)
        change += put(PEERING_CONNECTION, failed)
    return change
