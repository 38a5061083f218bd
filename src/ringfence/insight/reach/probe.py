"""What `ringfence probe` must send, and where to watch for it: targets as places and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.insight.reach.trace import TargetError, endpoints, packet_of
from ringfence.model.kinds import NETWORK_INTERFACE, PEERING_CONNECTION, ROUTE_TABLE, SUBNET
from ringfence.model.net import Address
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.world import World
from ringfence.policy.compile.edge import public_addresses
from ringfence.policy.compile.routing import route_table, subnet
from ringfence.policy.evaluate import INTERNET, longest


def place_of(world: World, target: str, found: NetworkInterface | Address) -> dict[str, str]:
    """A place of the data plane: an instance, an interface or an outside host. TargetError for a bare VPC address."""
    if isinstance(found, NetworkInterface):
        if target.startswith("i-"):
            return {"kind": "instance", "id": target}
        return {"kind": "interface", "id": found.id}
    if not target.startswith("internet:"):
        raise TargetError("commands run in i-…, eni-… or internet:ADDRESS")
    return {"kind": "host", "id": str(found)}


def probe_request(world: World, request: dict[str, Any]) -> dict[str, Any]:
    """The agent's request. TargetError, ValueError when it makes no sense."""
    source, sender, target, named = endpoints(world, request)
    packet = packet_of(request, sender, target)
    receiver, inner = _receiver(world, source, target, named, str(request["destination"]))
    return {
        "from": {"kind": "host", "id": str(sender)} if source == INTERNET else {"kind": "interface", "id": source},
        "to": receiver,
        "source": str(sender),
        "destination": str(target),
        "inner": str(inner),
        "protocol": packet.protocol,
        "port": packet.dport,
        "source_port": int(request.get("source_port") or 0),
        "icmp_type": packet.icmp_type,
        "icmp_code": packet.icmp_code,
        "count": max(1, min(1000, int(request.get("count") or 1))),
        "size": max(1, min(65000, int(request.get("size") or 32))),
        "timeout": max(0.05, min(60.0, float(request.get("timeout") or 2))),
    }


def _receiver(
    world: World, source: str, target: Address, named: str | None, given: str
) -> tuple[dict[str, str] | None, Address]:
    """Who has the address: an interface of the sender's VPC or of a peer, one with that public address, or an outside host."""
    for vpc_id in _near(world, source, target):
        for eni in world.by(NETWORK_INTERFACE, "address", f"{vpc_id}/{target}"):
            return {"kind": "interface", "id": eni.id}, target
    for eni in world.all(NETWORK_INTERFACE):
        for public, private in public_addresses(world, eni):
            if public == target:
                return {"kind": "interface", "id": eni.id}, private
        if target.version == 6 and target in eni.ipv6:
            return {"kind": "interface", "id": eni.id}, target
    if named is not None:  # an interface of another VPC: watched, though nothing may arrive
        return {"kind": "interface", "id": named}, target
    if given.startswith("internet:"):
        return {"kind": "host", "id": str(target)}, target
    return None, target


def _near(world: World, source: str, target: Address) -> Iterator[str]:
    """The VPCs where a private address of a packet may be: the sender's; the peer that its subnet's routes lead to; and, as an
    appliance may pass it on, every other peer (PCX-05)."""
    eni = world.find(NETWORK_INTERFACE, source)
    if eni is None:
        return
    yield eni.vpc_id
    table = route_table(world, world.get(ROUTE_TABLE, subnet(world, world.get(SUBNET, eni.subnet_id)).table_id))
    route = longest(table.routes, target)
    ways = [way for way in world.by(PEERING_CONNECTION, "vpc", eni.vpc_id) if way.status is PeeringStatus.ACTIVE]
    for way in sorted(ways, key=lambda way: route is None or way.id != route.target):
        yield way.far_side(eni.vpc_id).vpc_id
