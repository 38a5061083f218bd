"""Subnet CIDR reservations (Amazon VPC User Guide: "Subnet CIDR reservations", read 2026-11).

Addresses of a reservation are never given out unasked (`addressing`); one already in use stays where it is.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import SUBNET, SUBNET_CIDR_RESERVATION
from ringfence.model.net import Network, parse_ipv4_network, parse_ipv6_network
from ringfence.model.nouns.network import Subnet, SubnetCidrReservation
from ringfence.model.world import World, delete, put

_FILTERS: dict[str, Values] = {
    "reservationType": lambda _, row: (row.reservation_type,),
    "subnet-id": lambda _, row: (row.subnet_id,),
}


def _view(row: SubnetCidrReservation) -> dict[str, Any]:
    out = {
        "SubnetCidrReservationId": row.id,
        "SubnetId": row.subnet_id,
        "Cidr": str(row.block),
        "ReservationType": row.reservation_type,
        "OwnerId": row.owner_id,
        "Tags": tag_list(row.tags),
    }
    return out if row.description is None else out | {"Description": row.description}


@operation("ec2:CreateSubnetCidrReservation")
def create_subnet_cidr_reservation(call: Call, world: World, params: Params) -> Outcome:
    """Within a block of the subnet, apart from its other reservations. Addresses in use may lie in it."""
    subnet = call.get(world, SUBNET, params["SubnetId"])
    row = SubnetCidrReservation(
        id=call.ids.new("scr-"),
        **call.owned(),
        tags=tags_on_create(call, params, SUBNET_CIDR_RESERVATION),
        subnet_id=subnet.id,
        block=_block(world, subnet, params["Cidr"]),
        reservation_type=params["ReservationType"],
        description=params.get("Description"),
    )
    return Outcome({"SubnetCidrReservation": _view(row)}, put(SUBNET_CIDR_RESERVATION, row))


def _block(world: World, subnet: Subnet, text: str) -> Network:
    try:
        block: Network = parse_ipv6_network(text) if ":" in text else parse_ipv4_network(text)
    except ValueError:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ({text}) for parameter cidr is invalid. This is not a valid CIDR block.",
        ) from None
    own: list[Network] = [subnet.cidr] if isinstance(block, IPv4Network) else [a.block for a in subnet.ipv6]
    if not any(_within(block, candidate) for candidate in own):
        shown = ", ".join(str(candidate) for candidate in own)
        raise fault("InvalidParameterValue", message=f"Reservation CIDR should be within subnet CIDR block ({shown})")
    for other in world.by(SUBNET_CIDR_RESERVATION, "subnet", subnet.id):
        if _within(block, other.block) or _within(other.block, block):
            raise fault(
                "InvalidParameterValue",
                message=f"Reservation CIDR {block} has overlap with existing reserved CIDR block",
            )
    return block


def _within(inner: Network, outer: Network) -> bool:
    """Blocks overlap only when one holds the other."""
    first, last = inner.network_address, inner.broadcast_address
    return inner.version == outer.version and first in outer and last in outer


@operation("ec2:GetSubnetCidrReservations", mutating=False)
def get_subnet_cidr_reservations(call: Call, world: World, params: Params) -> Outcome:
    """Those of one subnet, the families apart."""
    subnet = call.get(world, SUBNET, params["SubnetId"])
    rows = world.by(SUBNET_CIDR_RESERVATION, "subnet", subnet.id)
    shown, token = page(apply_filters(world, rows, params.get("Filters") or (), _FILTERS), params)
    families = {4: "SubnetIpv4CidrReservations", 6: "SubnetIpv6CidrReservations"}
    reply: dict[str, Any] = {
        name: [_view(row) for row in shown if row.block.version == version] for version, name in families.items()
    }
    return Outcome(reply | ({"NextToken": token} if token else {}))


@operation("ec2:DeleteSubnetCidrReservation")
def delete_subnet_cidr_reservation(call: Call, world: World, params: Params) -> Outcome:
    """Its addresses may be given out again; those in use stay as they are."""
    row = call.get(world, SUBNET_CIDR_RESERVATION, params["SubnetCidrReservationId"])
    return Outcome({"DeletedSubnetCidrReservation": _view(row)}, delete(SUBNET_CIDR_RESERVATION, row.id))
