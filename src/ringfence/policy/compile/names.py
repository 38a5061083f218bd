"""What the VPC resolver answers (Amazon VPC User Guide: "DNS attributes for your VPC"; DNS-01, DNS-02)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from ringfence.model.net import Address
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.regions import REGIONS
from ringfence.policy.ir import Names

Records = tuple[tuple[str, Address], ...]


def private_name(region: str, address: IPv4Address) -> str:
    """`ip-10-0-0-5.ec2.internal`."""
    return f"ip-{str(address).replace('.', '-')}.{REGIONS[region].private_domain}"


def public_name(region: str, address: IPv4Address) -> str:
    """`ec2-198-18-1-2.compute-1.amazonaws.com`."""
    place = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{str(address).replace('.', '-')}.{place}.amazonaws.com"


def records(vpc: Vpc, eni: NetworkInterface, public: Iterable[tuple[IPv4Address, IPv4Address]]) -> Records:
    """An interface's names. A public name resolves to the private address inside the VPC (DNS-02)."""
    if not vpc.dns_support:
        return ()
    out: list[tuple[str, Address]] = [(private_name(vpc.region, address), address) for address in eni.addresses]
    out += [(f"{eni.attachment.instance_id}.{REGIONS[vpc.region].private_domain}", eni.addresses[0])] if (
        eni.attachment and eni.attachment.device_index == 0) else []  # fmt: skip
    if vpc.dns_hostnames:
        out += [(public_name(vpc.region, outside), inside) for outside, inside in public]
    return tuple(out)


def zone(vpc: Vpc, parts: Iterable[Records]) -> Names:
    """All names of a VPC."""
    return Names(
        vpc_id=vpc.id, records=tuple(sorted((r for part in parts for r in part), key=lambda r: (r[0], str(r[1]))))
    )
