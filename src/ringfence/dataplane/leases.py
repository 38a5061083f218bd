"""What DHCP, DHCPv6 and router advertisements tell the interface behind a link of a VPC's router (UF-02)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringfence.dataplane import topology
from ringfence.dataplane.plan import link
from ringfence.dataplane.services.dhcp import Lease
from ringfence.dataplane.services.dhcp6 import Lease6
from ringfence.dataplane.topology import TopologyError
from ringfence.policy.ir import Interface, Subnet, Vpc

if TYPE_CHECKING:
    from ringfence.dataplane.router import Router


def _behind(router: Router, link_name: str) -> tuple[Interface, Subnet, Vpc] | None:
    """The interface at the other end of a link; None for one that is being plugged in."""
    part = router.slice
    eni = next((eni for eni, _ in list(router.plugged.values()) if link(eni.number) == link_name), None)
    subnet = next((each for each in part.subnets if eni and each.subnet_id == eni.subnet_id), None) if part else None
    if part is None or eni is None or subnet is None:
        return None
    return eni, subnet, part.vpc


def lease(router: Router, link_name: str) -> Lease | None:
    """What DHCP tells the interface at the other end of a link; None for one without IPv4."""
    found = _behind(router, link_name)
    if found is None or found[1].ipv4 is None or not found[0].ipv4:
        return None
    eni, subnet, vpc = found
    assert subnet.ipv4 is not None
    hostname = f"ip-{str(eni.ipv4[0]).replace('.', '-')}"
    return Lease(eni.mac, eni.ipv4[0], subnet.ipv4, hostname, topology.MTU, vpc.dhcp)


def listen6(router: Router, eni: Interface) -> None:
    """Hear DHCPv6 questions from an interface. TopologyError when its guest has taken the link away since it was made."""
    try:
        if router.dhcp6 is not None:
            router.dhcp6.join(link(eni.number))
    except OSError as problem:
        raise TopologyError(f"{eni.eni_id} was plugged in, and its link is gone: {problem}") from problem


def lease6(router: Router, link_name: str) -> Lease6 | None:
    """What DHCPv6 tells it; None in a subnet without IPv6."""
    found = _behind(router, link_name)
    return Lease6(found[0].ipv6, found[2].dhcp) if found is not None and found[1].ipv6 else None


def links6(router: Router) -> Iterator[str]:
    """The links to subnets with IPv6: there the router is advertised."""
    subnets = {subnet.subnet_id for subnet in router.slice.subnets if subnet.ipv6} if router.slice else set()
    return (link(eni.number) for eni, _ in list(router.plugged.values()) if eni.subnet_id in subnets)
