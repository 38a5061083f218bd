"""Network address usage of VPCs (Amazon VPC User Guide: "Network Address Usage for your VPC"; MON-09). Pure.

Weights: each private and public IPv4 and each IPv6 address of an interface of an instance 1, each of its interfaces beyond the first
1. An interface that no instance has weighs nothing: AWS counts when it is attached. What else the guide weighs (prefixes, load
balancers, interface endpoints, NAT gateways, attachments of transit gateways) does not exist here. Peered: with all VPCs of
the Region that an active peering connection leads to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ringfence.model.kinds import ELASTIC_IP, NETWORK_INTERFACE, PEERING_CONNECTION
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.world import Place, World


def weight(world: World, eni: NetworkInterface) -> int:
    """The units of an interface."""
    if eni.attachment is None:
        return 0
    public = sum(1 for _ in world.by(ELASTIC_IP, "interface", eni.id)) + (eni.auto_public_ip is not None)
    return len(eni.addresses) + len(eni.ipv6) + public + (eni.attachment.device_index > 0)


#: the World asked last, and the units of its VPCs that were asked for. Replaced whole, so several threads may look
_known: tuple[World, Mapping[str, int]] = (World(), {})


def usage(world: World, vpc_id: str) -> int:
    """The units of a VPC alone. Costs what has changed since it was asked last, and the whole VPC only if that is not known."""
    global _known
    sums = _followed(*_known, world)
    if vpc_id not in sums:
        sums = {**sums, vpc_id: sum(weight(world, eni) for eni in world.by(NETWORK_INTERFACE, "vpc", vpc_id))}
    _known = (world, sums)
    return sums[vpc_id]


def _followed(before: World, sums: Mapping[str, int], after: World) -> Mapping[str, int]:
    """The sums of one World, with what is different in another."""
    if before is after:
        return sums
    touched = after.touched_since(before)
    if touched is None:
        touched = before.touched_since(after)  # who asks may hold an older World
    if touched is None:
        return {}
    out = dict(sums)
    for eni_id in _concerned(touched):
        for world, sign in ((before, -1), (after, 1)):
            eni = world.find(NETWORK_INTERFACE, eni_id)
            if eni is not None and eni.vpc_id in out:
                out[eni.vpc_id] += sign * weight(world, eni)
    return out


def _concerned(touched: Iterable[Place]) -> set[str]:
    """The interfaces whose rows, or whose Elastic IP addresses, are others."""
    own = {place[1] for place in touched if len(place) == 2 and place[0] == NETWORK_INTERFACE.noun}
    return own | {place[2] for place in touched if len(place) == 3 and place[:2] == (ELASTIC_IP.noun, "interface")}


def peers(world: World, vpc_id: str) -> Iterator[str]:
    """The VPCs that count as one with it for the second quota, itself not among them."""
    for peering in world.by(PEERING_CONNECTION, "vpc", vpc_id):
        if peering.status is PeeringStatus.ACTIVE and peering.same_region:
            yield peering.far_side(vpc_id).vpc_id


def peered_usage(world: World, vpc_id: str) -> int:
    """The units of a VPC and its peers, each once."""
    return sum(usage(world, each) for each in {vpc_id, *peers(world, vpc_id)})
