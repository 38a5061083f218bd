"""What the VPC resolver answers (Amazon VPC User Guide: "DNS attributes for your VPC"; DNS-01, DNS-02)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from ringfence.model.kinds import NETWORK_INTERFACE, PEERING_CONNECTION, VPC
from ringfence.model.net import Address
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.regions import private_domain
from ringfence.policy.compile.edge import public_addresses
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Names


def _dashed(address: IPv4Address) -> str:
    return str(address).replace(".", "-")


def private_name(region: str, address: IPv4Address) -> str:
    """`ip-10-0-0-5.ec2.internal`."""
    return f"ip-{_dashed(address)}.{private_domain(region)}"


def public_name(region: str, address: IPv4Address) -> str:
    """`ec2-198-18-1-2.compute-1.amazonaws.com`."""
    place = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{_dashed(address)}.{place}.amazonaws.com"


def zone(rows: Rows, row: Vpc) -> Names:
    """All names of a VPC's interfaces; none while DNS support is off (DNS-01)."""
    found: list[tuple[str, Address]] = []
    if row.dns_support:
        for vpc in (row, *_telling(rows, row)):
            for eni in rows.by(NETWORK_INTERFACE, "vpc", vpc.id):
                found += _records(rows, vpc, eni)
    return Names(vpc_id=row.id, records=tuple(sorted(dict.fromkeys(found), key=_order)))


def _telling(rows: Rows, row: Vpc) -> Iterator[Vpc]:
    """Peers that let this VPC have their names, while both have DNS support and hostnames (PCX-08)."""
    for connection in rows.by(PEERING_CONNECTION, "vpc", row.id):
        side = connection.far_side(row.id)
        if connection.status is not PeeringStatus.ACTIVE or not side.resolve_names:
            continue
        far = rows.find(VPC, side.vpc_id)
        if far is not None and row.dns_hostnames and far.dns_support and far.dns_hostnames:
            yield far


def _order(record: tuple[str, Address]) -> tuple[str, int, int]:
    name, address = record
    return name, address.version, int(address)


def _records(rows: Rows, vpc: Vpc, eni: NetworkInterface) -> Iterator[tuple[str, Address]]:
    """An interface's names. A public name resolves to the private address inside the VPC (DNS-02)."""
    domain = private_domain(vpc.region)
    for address in eni.addresses:
        yield f"ip-{_dashed(address)}.{domain}", address
    if eni.attachment is not None and eni.attachment.device_index == 0:
        yield f"{eni.attachment.instance_id}.{domain}", eni.addresses[0]
    if vpc.dns_hostnames:
        for outside, inside in public_addresses(rows, eni):
            yield public_name(vpc.region, outside), inside
