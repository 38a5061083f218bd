"""VPC peering connections as either side sees them: state by the clock, visibility, tags, Describe (spec PCX-01, PCX-02, PCX-12;
VPC Peering Guide: "VPC peering connection lifecycle").

A connection is one row for both sides, so that it is found here, and not through `Call.get`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list
from ringfence.model.errors import fault
from ringfence.model.ids import well_formed
from ringfence.model.kinds import PEERING_CONNECTION, VPC
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.peering import PeeringConnection, PeeringSide, PeeringStatus
from ringfence.model.row import Tags
from ringfence.model.world import NOTHING, Change, World, delete, put

HOURS = 3600.0
#: AWS: an unanswered request lasts a week; those that ended are seen for two hours or two days
VALID, SHORT, LONG = 168 * HOURS, 2 * HOURS, 48 * HOURS
EXPIRED = "VPC peering connection request has expired"


@dataclass(frozen=True, slots=True)
class Seen:
    """A connection as an account of a Region sees it at a time."""

    row: PeeringConnection
    tags: Tags

    @property
    def id(self) -> str:
        return self.row.id

    def tag(self, key: str) -> str | None:
        return next((value for name, value in self.tags if name == key), None)


# ---------------------------------------------------------------------- state and visibility
def at(row: PeeringConnection, now: float) -> PeeringConnection:
    """The row as it is at a time: a request that nobody accepted has expired (PCX-02)."""
    if row.status is not PeeringStatus.PENDING_ACCEPTANCE or now < row.expires:
        return row
    return replace(row, status=PeeringStatus.EXPIRED, message=EXPIRED, ended=row.expires)


def _shown_for(row: PeeringConnection, owner: str) -> float:
    """Seconds that one that ended is seen by one of its accounts (PCX-12)."""
    one_account = row.requester.owner_id == row.accepter.owner_id
    if row.status is PeeringStatus.EXPIRED:
        return LONG
    if row.status is PeeringStatus.FAILED:
        return SHORT if owner == row.requester.owner_id else 0.0
    if row.status is PeeringStatus.REJECTED:
        return LONG if owner == row.requester.owner_id and not one_account else SHORT
    return SHORT if one_account or owner == row.ended_by else LONG


def visible(row: PeeringConnection, owner: str, now: float) -> bool:
    """Does an account still see it? `row`: as it is now."""
    return row.ended is None or now < row.ended + _shown_for(row, owner)


def sides_of(call: Call, row: PeeringConnection) -> list[PeeringSide]:
    """The sides that are the caller's, in this Region."""
    return [s for s in (row.requester, row.accepter) if (s.owner_id, s.region) == (call.account_id, call.region)]


def is_requester(call: Call, row: PeeringConnection) -> bool:
    return row.requester in sides_of(call, row)


def tags_of(call: Call, row: PeeringConnection) -> Tags:
    """Each side has tags of its own, that the other does not see."""
    return row.tags if is_requester(call, row) else row.accepter_tags


def with_tags(call: Call, row: PeeringConnection, tags: Tags) -> PeeringConnection:
    return replace(row, tags=tags) if is_requester(call, row) else replace(row, accepter_tags=tags)


def all_of(call: Call, world: World) -> list[Seen]:
    """The connections that the caller sees in this Region, as they are now."""
    now = call.now.timestamp()
    rows = (at(row, now) for row in world.by(PEERING_CONNECTION, "side", f"{call.account_id}/{call.region}"))
    return [Seen(row, tags_of(call, row)) for row in rows if visible(row, call.account_id, now)]


def find(call: Call, world: World, id: str) -> PeeringConnection:
    """The connection, as it is now, if a side of it is the caller's. ApiError with its kind's code otherwise."""
    row = world.find(PEERING_CONNECTION, id)
    now = call.now.timestamp()
    if row is not None and sides_of(call, row) and visible(at(row, now), call.account_id, now):
        return at(row, now)
    kind = PEERING_CONNECTION
    raise fault(kind.not_found if well_formed(kind.prefix, id) else kind.malformed, id=id)


def forgotten(world: World, now: datetime) -> Change:
    """Requests that have expired say so; what nobody sees any more goes (PCX-02, PCX-12)."""
    change, seconds = NOTHING, now.timestamp()
    for row in world.all(PEERING_CONNECTION):
        held = at(row, seconds)
        if not any(visible(held, side.owner_id, seconds) for side in (held.requester, held.accepter)):
            change += delete(PEERING_CONNECTION, row.id)
        elif held is not row:
            change += put(PEERING_CONNECTION, held)
    return change


# ---------------------------------------------------------------------- view
def _side_view(world: World, side: PeeringSide, *, blocks: bool, options: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"OwnerId": side.owner_id, "VpcId": side.vpc_id, "Region": side.region}
    vpc = _vpc(world, side)
    if blocks and vpc is not None:
        out["CidrBlock"] = str(vpc.cidr)
        out["CidrBlockSet"] = [{"CidrBlock": str(a.block)} for a in vpc.ipv4]
        out["Ipv6CidrBlockSet"] = [{"Ipv6CidrBlock": str(a.block)} for a in vpc.ipv6]
    if options:
        out["PeeringOptions"] = {
            "AllowDnsResolutionFromRemoteVpc": side.resolve_names,
            "AllowEgressFromLocalClassicLinkToRemoteVpc": False,
            "AllowEgressFromLocalVpcToRemoteClassicLink": False,
        }
    return out


def _vpc(world: World, side: PeeringSide) -> Vpc | None:
    vpc = world.find(VPC, side.vpc_id)
    return vpc if vpc is not None and (vpc.owner_id, vpc.region) == (side.owner_id, side.region) else None


def view(world: World, seen: Seen) -> dict[str, Any]:
    """A connection as DescribeVpcPeeringConnections shows it: the accepter's blocks once it is active."""
    row, active = seen.row, seen.row.status is PeeringStatus.ACTIVE
    out: dict[str, Any] = {
        "VpcPeeringConnectionId": row.id,
        "Status": {"Code": row.status.value, "Message": row.message},
        "RequesterVpcInfo": _side_view(world, row.requester, blocks=True, options=active),
        "AccepterVpcInfo": _side_view(world, row.accepter, blocks=active, options=active),
        "Tags": tag_list(seen.tags),
    }
    if row.status is PeeringStatus.PENDING_ACCEPTANCE:
        out["ExpirationTime"] = datetime.fromtimestamp(row.expires, UTC)
    return out


def _blocks(world: World, side: PeeringSide) -> Iterable[str]:
    vpc = _vpc(world, side)
    return (str(a.block) for a in vpc.ipv4) if vpc is not None else ()


_FILTERS: dict[str, Values] = {
    "vpc-peering-connection-id": lambda _, seen: (seen.id,),
    "status-code": lambda _, seen: (seen.row.status.value,),
    "status-message": lambda _, seen: (seen.row.message,),
    "expiration-time": lambda _, seen: (
        datetime.fromtimestamp(seen.row.expires, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
    ),
    "requester-vpc-info.vpc-id": lambda _, seen: (seen.row.requester.vpc_id,),
    "requester-vpc-info.owner-id": lambda _, seen: (seen.row.requester.owner_id,),
    "requester-vpc-info.cidr-block": lambda world, seen: _blocks(world, seen.row.requester),
    "accepter-vpc-info.vpc-id": lambda _, seen: (seen.row.accepter.vpc_id,),
    "accepter-vpc-info.owner-id": lambda _, seen: (seen.row.accepter.owner_id,),
    "accepter-vpc-info.cidr-block": lambda world, seen: (
        _blocks(world, seen.row.accepter) if seen.row.status is PeeringStatus.ACTIVE else ()
    ),
}


@operation("ec2:DescribeVpcPeeringConnections")
def describe_vpc_peering_connections(call: Call, world: World, params: Params) -> Outcome:
    """Both sides see it, each with tags of its own (PCX-12)."""
    ids = params.get("VpcPeeringConnectionIds")
    if ids and params.get("MaxResults") is not None:
        raise fault("InvalidParameterCombination", message="The parameter MaxResults cannot be used with a list of ids")
    if ids:
        found = [find(call, world, id) for id in dict.fromkeys(ids)]
        items = [Seen(row, tags_of(call, row)) for row in found]
    else:
        items = all_of(call, world)
    kept = apply_filters(world, items, params.get("Filters") or (), _FILTERS)
    shown, token = page(kept, params)
    reply: dict[str, Any] = {"VpcPeeringConnections": [view(world, seen) for seen in shown]}
    return Outcome(reply | ({"NextToken": token} if token else {}))
