"""Network address usage of VPCs (Amazon VPC User Guide: "Network Address Usage for your VPC"; MON-09). Pure.

Weights: each private and public IPv4 and each IPv6 address of an interface of an instance 1, each of its interfaces beyond the first
1. An interface that no instance has weighs nothing: AWS counts when it is attached. What else the guide weighs (prefixes, load
balancers, interface endpoints, NAT gateways, attachments of transit gateways) does not exist here. Peered: with all VPCs of
the Region that an active peering connection leads to.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.model.kinds import ELASTIC_IP, NETWORK_INTERFACE, PEERING_CONNECTION
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.world import World


def weight(world: World, eni: NetworkInterface) -> int:
    """The units of an interface."""
    if eni.attachment is None:
        return 0
    public = sum(1 for _ in world.by(ELASTIC_IP, "interface", eni.id)) + (eni.auto_public_ip is not None)
    return len(eni.addresses) + len(eni.ipv6) + public + (eni.attachment.device_index > 0)


def usage(world: World, vpc_id: str) -> int:
    """The units of a VPC alone."""
    return sum(weight(world, eni) for eni in world.by(NETWORK_INTERFACE, "vpc", vpc_id))


def peers(world: World, vpc_id: str) -> Iterator[str]:
    """The VPCs that count as one with it for the second quota, itself not among them."""
    for peering in world.by(PEERING_CONNECTION, "vpc", vpc_id):
        if peering.status is PeeringStatus.ACTIVE and peering.same_region:
            yield peering.far_side(vpc_id).vpc_id


def peered_usage(world: World, vpc_id: str) -> int:
    """The units of a VPC and its peers, each once."""
    return sum(usage(world, each) for each in {vpc_id, *peers(world, vpc_id)})
