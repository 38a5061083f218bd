"""What the World knows of an interface and of the ways from it; which flow logs cover it; what is not recorded at all.

Sources: Amazon VPC User Guide, "Flow log records" and "Flow log limitations" (FL-14 … FL-16, FL-29 … FL-37, FL-60 … FL-67).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from ringfence.insight.flowlogs.records import Address, Direction, Facts, NextHop, Observation
from ringfence.model.kinds import FLOW_LOG, INSTANCE, NETWORK_INTERFACE, PEERING_CONNECTION, ROUTE_TABLE, SUBNET, VPC
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.world import World
from ringfence.policy.compile.routing import route_table
from ringfence.policy.ir import Route, Via

#: traffic-path (FL-37)
SAME_VPC, INTRA_REGION, INTER_REGION, GATEWAY_ENDPOINT, INTERNET_GATEWAY = 1, 4, 5, 7, 8

_RESOLVER = frozenset({ip_address("169.254.169.253"), ip_address("fd00:ec2::253")})
_SERVICES = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254", "fd00:ec2::254",  # instance metadata (FL-62)
        "169.254.169.123", "fd00:ec2::123",  # time (FL-63)
        "169.254.169.250", "169.254.169.251", "fd00:ec2::250",  # Windows licence activation (FL-61)
        "169.254.170.2",  # task metadata (UF-04, UF-12)
    )
)  # fmt: skip
_DHCP = frozenset({(67, 68), (68, 67), (67, 67), (68, 68), (546, 547), (547, 546)})
_ROUTER_6 = ip_address("fe80:ec2::1")
_BALANCER, _ENDPOINTS = "network_load_balancer", frozenset({"vpc_endpoint", "gateway_load_balancer_endpoint"})


def facts_of(world: World, interface_id: str) -> Facts | None:
    """None when the interface is gone."""
    eni = world.find(NETWORK_INTERFACE, interface_id)
    if eni is None:
        return None
    subnet = world.find(SUBNET, eni.subnet_id)
    # AWS: an interface of a service has no instance of the customer's behind it (FL-29)
    attached = eni.attachment.instance_id if eni.attachment and not eni.requester_managed else None
    instance = world.find(INSTANCE, attached)
    return Facts(
        interface_id=eni.id, account_id=eni.owner_id, region=eni.region, vpc_id=eni.vpc_id, subnet_id=eni.subnet_id,
        interface_type=eni.interface_type, az_id=subnet.availability_zone_id if subnet else None, instance_id=attached,
        addresses=eni.addresses, ipv6=eni.ipv6, tags=eni.tags, instance_tags=instance.tags if instance else (),
    )  # fmt: skip


# ---------------------------------------------------------------------- covering
def covering(world: World, facts: Facts) -> Iterator[FlowLog]:
    """Every flow log that records an interface, whenever either was made (FL-14, FL-15)."""
    for id in (facts.interface_id, facts.subnet_id, facts.vpc_id):
        yield from world.by(FLOW_LOG, "resource", id)


def covered(world: World, log: FlowLog) -> list[str]:
    """The interfaces that a flow log records now."""
    if log.resource_type == "NetworkInterface":
        return [log.resource_id] if world.find(NETWORK_INTERFACE, log.resource_id) else []
    index = {"VPC": "vpc", "Subnet": "subnet"}[log.resource_type]
    return [eni.id for eni in world.by(NETWORK_INTERFACE, index, log.resource_id)]


def wants(log: FlowLog, seen: Observation) -> bool:
    """Does the log's traffic type have it (FL-87)?"""
    return log.traffic_type in ("ALL", "ACCEPT" if seen.accepted else "REJECT")


# ---------------------------------------------------------------------- what is not recorded
def recorded(world: World, facts: Facts, seen: Observation) -> bool:
    """False for the traffic that flow logs leave out (FL-60 … FL-67)."""
    if seen.mirrored:
        return False
    peer = seen.source if seen.direction is Direction.INGRESS else seen.destination
    if peer in _SERVICES or (seen.protocol == 17 and seen.ports in _DHCP):
        return False
    if peer in _RESOLVER or peer in _resolvers(world, facts):
        return 53 not in seen.ports or seen.protocol not in (6, 17)
    return peer not in _routers(world, facts) and not _within_private_link(world, facts, peer)


def _resolvers(world: World, facts: Facts) -> Iterator[Address]:
    """Base + 2 of the VPC's primary block."""
    vpc = world.find(VPC, facts.vpc_id)
    if vpc is not None:
        yield vpc.cidr[2]


def _routers(world: World, facts: Facts) -> Iterator[Address]:
    """The default router's reserved address: base + 1 of the subnet."""
    yield _ROUTER_6
    subnet = world.find(SUBNET, facts.subnet_id)
    if subnet is not None:
        yield subnet.cidr[1]


def _within_private_link(world: World, facts: Facts, peer: Address) -> bool:
    """An endpoint's interface and a Network Load Balancer's talking to each other (FL-67)."""
    if facts.interface_type != _BALANCER and facts.interface_type not in _ENDPOINTS:
        return False
    others = world.by(NETWORK_INTERFACE, "address", f"{facts.vpc_id}/{peer}")
    opposite = _ENDPOINTS if facts.interface_type == _BALANCER else frozenset({_BALANCER})
    return any(other.interface_type in opposite for other in others)


# ---------------------------------------------------------------------- ways
def way(world: World, facts: Facts, seen: Observation) -> tuple[int | None, NextHop | None]:
    """traffic-path and next hop of what leaves an interface; neither for what arrives."""
    if seen.direction is not Direction.EGRESS:
        return None, None
    route = _route(world, facts, seen.destination)
    if route is None or route.via is Via.BLACKHOLE:
        return None, None
    if route.via is Via.GATEWAY:
        return INTERNET_GATEWAY, None
    if route.via is Via.ENDPOINT:
        return GATEWAY_ENDPOINT, None
    if route.via is Via.PEERING:
        connection = world.find(PEERING_CONNECTION, route.target)
        return (INTRA_REGION if connection is not None and connection.same_region else INTER_REGION), None
    if route.via is Via.INTERFACE:
        return SAME_VPC, _hop(world, world.find(NETWORK_INTERFACE, route.target))
    at = world.by(NETWORK_INTERFACE, "address", f"{facts.vpc_id}/{seen.destination}")
    return SAME_VPC, _hop(world, at[0] if at else None)


def _hop(world: World, eni: NetworkInterface | None) -> NextHop | None:
    subnet = world.find(SUBNET, eni.subnet_id) if eni else None
    if eni is None or subnet is None:
        return None
    return NextHop(
        interface_id=eni.id, subnet_id=subnet.id, vpc_id=eni.vpc_id, az_id=subnet.availability_zone_id,
        interface_type=eni.interface_type,
    )  # fmt: skip


def _route(world: World, facts: Facts, destination: Address) -> Route | None:
    """The longest prefix in the subnet's table (RT-05)."""
    own = world.by(ROUTE_TABLE, "subnet", facts.subnet_id)
    vpc = world.find(VPC, facts.vpc_id)
    table = own[0] if own else world.find(ROUTE_TABLE, vpc.main_route_table_id if vpc else None)
    if table is None:
        return None
    routes = route_table(world, table).routes
    fitting = [r for r in routes if r.destination.version == destination.version and destination in r.destination]
    return max(fitting, key=lambda route: route.destination.prefixlen, default=None)
