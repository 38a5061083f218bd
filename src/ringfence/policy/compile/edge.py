"""Internet gateways → the exchange of public and private addresses (IGW-03..IGW-07, IGW-13)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network

from ringfence.model.kinds import ELASTIC_IP, NETWORK_INTERFACE, ROUTE_TABLE, VPC
from ringfence.model.nouns.network import InternetGateway
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Edge

Pair = tuple[IPv4Address, IPv4Address]


def public_addresses(rows: Rows, eni: NetworkInterface) -> tuple[Pair, ...]:
    """(public, private) pairs of an interface: its Elastic IPs, else the address lent to its primary (IGW-13)."""
    elastic = rows.by(ELASTIC_IP, "interface", eni.id)
    pairs = [(row.public_ip, row.private_ip) for row in elastic if row.private_ip is not None]
    if eni.auto_public_ip is not None and all(private != eni.addresses[0] for _, private in pairs):
        pairs.append((eni.auto_public_ip, eni.addresses[0]))
    return tuple(pairs)


def edge(rows: Rows, row: InternetGateway) -> Edge | None:
    """The gateway of the VPC it is attached to; None while it is detached."""
    vpc = rows.find(VPC, row.vpc_id)
    if vpc is None:
        return None
    pairs = (pair for eni in rows.by(NETWORK_INTERFACE, "vpc", vpc.id) for pair in public_addresses(rows, eni))
    tables = rows.by(ROUTE_TABLE, "gateway", row.id)
    return Edge(
        gateway_id=row.id,
        vpc_id=vpc.id,
        nat=tuple(sorted(pairs)),
        ipv6=tuple(a.block for a in vpc.ipv6 if isinstance(a.block, IPv6Network)),
        table_id=tables[0].id if tables else None,
    )
