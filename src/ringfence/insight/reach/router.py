"""The VPC's router: its own services, unfiltered, and its own addresses, which take nothing else (UF-01..UF-07)."""

from __future__ import annotations

from ringfence.insight.reach.atoms import BASES, DHCP, DNS, METADATA, TIME, Services
from ringfence.insight.reach.places import EVERYBODY, METADATA_AT, TIME_AT, Place
from ringfence.model.net import Protocol
from ringfence.policy.evaluate import ECHO, SERVICE_PORT


def keeps(place: Place, family: int, address: int) -> bool:
    """Is it one of the router's addresses, or everyone's, which only the DHCP server hears?"""
    return address in place.routers[family] or (family == 4 and address == EVERYBODY)


def served(services: Services, place: Place, family: int, address: int) -> int:
    """The services it answers at one of its addresses."""
    out = 0
    if address in place.resolvers[family]:
        out |= _at(services, Protocol.TCP, DNS) | _at(services, Protocol.UDP, DNS)
    if address in METADATA_AT[family]:
        out |= _at(services, Protocol.TCP, METADATA)
    if address in TIME_AT[family]:
        out |= _at(services, Protocol.UDP, TIME)
    if family == 4 and (address == EVERYBODY or address in place.firsts):
        out |= _at(services, Protocol.UDP, DHCP)
    return out


def behind_endpoint(services: Services) -> int:
    """What the service behind a gateway endpoint answers (VPE-06)."""
    pings = BASES[Protocol.ICMP] + (ECHO << 8)
    return _at(services, Protocol.TCP, SERVICE_PORT) | services.mask(pings, pings + 255)


def _at(services: Services, protocol: int, port: int) -> int:
    return services.mask(BASES[protocol] + port, BASES[protocol] + port)
