"""Interfaces and the internet gateway's address pairs (NET-21, IGW-03..IGW-07, IGW-13)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network

from ringfence.model.kinds import ELASTIC_IP, NETWORK_INTERFACE, ROUTE_TABLE, VPC
from ringfence.model.nouns.network import InternetGateway
from ringfence.model.nouns.network_interface import ConnectionTimeouts, NetworkInterface
from ringfence.model.world import World
from ringfence.policy.ir import Edge, Interface, Timeouts


def interface(row: NetworkInterface) -> Interface:
    """An ENI as the data plane needs it."""
    timeouts = row.timeouts or ConnectionTimeouts()
    return Interface(
        eni_id=row.id,
        vpc_id=row.vpc_id,
        subnet_id=row.subnet_id,
        number=row.number,
        mac=row.mac,
        ipv4=row.addresses,
        ipv6=row.ipv6,
        groups=tuple(sorted(row.groups)),
        source_dest_check=row.source_dest_check,
        timeouts=Timeouts(tcp_established=timeouts.tcp_established, udp_stream=timeouts.udp_stream, udp=timeouts.udp),
        instance_id=row.attachment.instance_id if row.attachment else None,
        device_index=row.attachment.device_index if row.attachment else None,
    )


def public_addresses(world: World, eni: NetworkInterface) -> tuple[tuple[IPv4Address, IPv4Address], ...]:
    """(public, private) pairs of an interface: its Elastic IPs, else the address lent to its primary (IGW-13)."""
    elastic = world.by(ELASTIC_IP, "interface", eni.id)
    if not elastic and eni.auto_public_ip is None:
        return ()
    pairs = [(row.public_ip, row.private_ip) for row in elastic if row.private_ip is not None]
    if eni.auto_public_ip is not None and all(private != eni.addresses[0] for _, private in pairs):
        pairs.append((eni.auto_public_ip, eni.addresses[0]))
    return tuple(pairs)


def edge(world: World, gateway: InternetGateway) -> Edge:
    """The attached internet gateway of a VPC."""
    assert gateway.vpc_id is not None
    pairs = [
        pair for eni in world.by(NETWORK_INTERFACE, "vpc", gateway.vpc_id) for pair in public_addresses(world, eni)
    ]
    blocks = [association.block for association in world.get(VPC, gateway.vpc_id).ipv6]
    tables = world.by(ROUTE_TABLE, "gateway", gateway.id)
    return Edge(
        gateway_id=gateway.id,
        vpc_id=gateway.vpc_id,
        nat=tuple(sorted(pairs)),
        ipv6=tuple(block for block in blocks if isinstance(block, IPv6Network)),
        table_id=tables[0].id if tables else None,
    )
