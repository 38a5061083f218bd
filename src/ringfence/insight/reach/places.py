"""Where things are: interfaces, subnets, addresses and gateways of an IR, as the walk asks for them.

Addresses are plain numbers here, one family at a time; a set of blocks is a tuple of atom codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ringfence.insight.reach.atoms import code_of
from ringfence.model.net import IPV6_POOL, UNROUTABLE, Address, Network
from ringfence.policy.evaluate import EVERYONE, METADATA, RESOLVERS, TIME, UNROUTED
from ringfence.policy.ir import Edge, Endpoint, Interface, Ir, Machine, Peering, Subnet, Vpc

WIDTH = {4: 32, 6: 128}
FAMILIES = (4, 6)
Codes = dict[int, tuple[int, ...]]  # blocks of each family
#: the fragments that this module reads; when none of them changes, Places stay as they are
STRUCTURE: tuple[type, ...] = (Edge, Endpoint, Interface, Machine, Peering, Subnet, Vpc)


def codes(blocks: Iterable[Network | None]) -> Codes:
    """Blocks by family."""
    given = [block for block in blocks if block is not None]
    return {family: tuple(code_of(block) for block in given if block.version == family) for family in FAMILIES}


def inside(blocks: tuple[int, ...], width: int, address: int) -> bool:
    """Does any block hold the address?"""
    whole, length = 1 << width | address, width + 1
    for code in blocks:  # noqa: SIM110  no generator: every point query asks this several times
        if whole >> length - code.bit_length() == code:
            return True
    return False


UNROUTED_CODES, PRIVATE_CODES, POOL_CODES = codes(UNROUTED), codes(UNROUTABLE), codes((IPV6_POOL,))


def public(family: int, address: int) -> bool:
    """May it appear on the internet (IGW-08)?"""
    width = WIDTH[family]
    return inside(POOL_CODES[family], width, address) or not inside(PRIVATE_CODES[family], width, address)


@dataclass(slots=True, eq=False)
class Net:
    """A subnet."""

    subnet_id: str
    vpc_id: str
    blocks: Codes
    acl_id: str
    table_id: str


@dataclass(slots=True, eq=False)
class Port:
    """An interface. `running` False: it sends and receives nothing."""

    eni_id: str
    vpc_id: str
    net: Net
    groups: tuple[str, ...]
    check: bool
    running: bool
    addresses: dict[int, frozenset[int]]
    doubt: str | None = None


@dataclass(slots=True, eq=False)
class Gateway:
    """An attached internet gateway: the exchange of addresses both ways, and its VPC's blocks."""

    gateway_id: str
    vpc_id: str
    inward: dict[int, int]  # IPv4: public -> private
    outward: dict[int, int]
    ipv6: Codes
    inner: Codes  # IPv4 blocks of the VPC and IPv6 blocks of the gateway: never a source from outside
    table_id: str | None


@dataclass(slots=True, eq=False)
class ServiceGate:
    """A gateway endpoint, and the addresses at which its service answers."""

    endpoint_id: str
    vpc_id: str
    blocks: Codes


@dataclass(slots=True, eq=False)
class Crossing:
    """An active peering connection, as one of its VPCs sees it: the way to the far one's blocks."""

    peering_id: str
    vpc_id: str
    far_vpc_id: str
    blocks: Codes
    same_region: bool


@dataclass(slots=True, eq=False)
class Place:
    """A VPC: whose address is whose, and what its router keeps for itself."""

    vpc_id: str
    owners: dict[int, dict[int, Port]] = field(default_factory=lambda: {4: {}, 6: {}})
    routers: dict[int, set[int]] = field(default_factory=lambda: {4: set(), 6: set()})
    firsts: set[int] = field(default_factory=set)
    resolvers: dict[int, set[int]] = field(default_factory=lambda: {4: set(), 6: set()})
    gateway: Gateway | None = None
    blocks: Codes = field(default_factory=lambda: {4: (), 6: ()})
    crossings: dict[str, Crossing] = field(default_factory=dict)  # by connection


def numbers(addresses: Iterable[Address]) -> dict[int, frozenset[int]]:
    """Addresses by family."""
    given = list(addresses)
    return {family: frozenset(int(a) for a in given if a.version == family) for family in FAMILIES}


EVERYBODY = int(EVERYONE)
METADATA_AT, TIME_AT, RESOLVERS_AT = numbers(METADATA), numbers(TIME), numbers(RESOLVERS)


class Places:
    """All of them. KeyError when a fragment names one that is not there."""

    def __init__(self, ir: Ir) -> None:
        kinds: dict[type, list[Any]] = {kind: [] for kind in STRUCTURE}
        for fragment in ir.fragments.values():
            if type(fragment) in kinds:
                kinds[type(fragment)].append(fragment)
        self.vpcs = {vpc.vpc_id: _place(vpc) for vpc in kinds[Vpc]}
        self.nets = {subnet.subnet_id: self._net(subnet) for subnet in kinds[Subnet]}
        running = {machine.instance_id for machine in kinds[Machine]}
        self.ports: dict[str, Port] = {eni.eni_id: self._port(eni, running) for eni in kinds[Interface]}
        self.by_vpc: dict[str, list[Port]] = {}
        for port in self.ports.values():
            self.by_vpc.setdefault(port.vpc_id, []).append(port)
        for way in kinds[Peering]:
            far = codes((*way.ipv4, *way.ipv6))
            self.vpcs[way.vpc_id].crossings[way.peering_id] = Crossing(
                way.peering_id, way.vpc_id, way.far_vpc_id, far, way.same_region
            )
        self.gateways: list[Gateway] = []
        blocks = {vpc.vpc_id: vpc.ipv4 for vpc in kinds[Vpc]}
        for edge in kinds[Edge]:
            gateway = _gateway(edge, blocks[edge.vpc_id])
            self.vpcs[edge.vpc_id].gateway = gateway
            self.gateways.append(gateway)
        self.endpoints: dict[str, ServiceGate] = {
            each.endpoint_id: ServiceGate(each.endpoint_id, each.vpc_id, codes(each.blocks)) for each in kinds[Endpoint]
        }
        #: public IPv4 address -> its gateway
        self.published = {outside: gateway for gateway in self.gateways for outside in gateway.inward}

    def _net(self, subnet: Subnet) -> Net:
        place = self.vpcs[subnet.vpc_id]
        if subnet.ipv4 is not None:
            first = int(subnet.ipv4.network_address) + 1
            place.firsts.add(first)
            place.routers[4] |= {first, first + 1}
        return Net(subnet.subnet_id, subnet.vpc_id, codes((subnet.ipv4, *subnet.ipv6)), subnet.acl_id, subnet.table_id)

    def _port(self, eni: Interface, running: set[str]) -> Port:
        addresses = {4: frozenset(map(int, eni.ipv4)), 6: frozenset(map(int, eni.ipv6))}
        runs = eni.instance_id is None or eni.instance_id in running
        port = Port(
            eni.eni_id,
            eni.vpc_id,
            self.nets[eni.subnet_id],
            eni.groups,
            eni.source_dest_check,
            runs,
            addresses,
            eni.doubt,
        )
        owners = self.vpcs[eni.vpc_id].owners
        for family in FAMILIES:
            for address in addresses[family]:
                owners[family][address] = port
        return port

    def behind(self, family: int, address: int) -> Gateway | None:
        """The gateway that leads to an address of the internet; None: it is outside."""
        if family == 4:
            return self.published.get(address)
        return next((gateway for gateway in self.gateways if inside(gateway.ipv6[6], 128, address)), None)

    def closed(self, family: int, address: int) -> str | None:
        """The VPC that has an address and no gateway: nobody on the internet has it (IGW-07). IPv4's blocks are private anyway."""
        if family == 4:
            return None
        held = (place for place in self.vpcs.values() if inside(place.blocks[6], 128, address))
        return next((place.vpc_id for place in held if place.gateway is None), None)


def _place(vpc: Vpc) -> Place:
    place = Place(vpc.vpc_id, blocks=codes((*vpc.ipv4, *vpc.ipv6)))
    own = {int(block.network_address) + 2 for block in vpc.ipv4}
    place.routers[4] |= own
    for family in FAMILIES:
        place.routers[family] |= METADATA_AT[family] | TIME_AT[family] | RESOLVERS_AT[family]
        if vpc.dns_support:
            place.resolvers[family] |= RESOLVERS_AT[family] | (own if family == 4 else set())
    return place


def _gateway(edge: Edge, ipv4: Iterable[Network]) -> Gateway:
    inward = {int(outside): int(private) for outside, private in edge.nat}
    return Gateway(
        edge.gateway_id, edge.vpc_id, inward, {private: outside for outside, private in inward.items()},
        codes(edge.ipv6), codes((*edge.ipv6, *ipv4)), edge.table_id,
    )  # fmt: skip
