"""What an access scope says: which paths match, and which of these are left out (Network Access Analyzer guide, "Network
Access Scopes").

A path matches an entry when its source, its destination and everything it must pass do. Parsed from the API's structures,
whose values `problem` has found in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.insight.analyzer.views import kind_of, kind_of_arn
from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.kinds import (
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
    VPC_ENDPOINT,
)
from ringfence.model.net import PORTED, Network, PortRange, parse_address, parse_network, parse_protocol
from ringfence.model.world import World

Given = Mapping[str, Any]
IGW, ENI, EC2 = "AWS::EC2::InternetGateway", "AWS::EC2::NetworkInterface", "AWS::EC2::Instance"
VPCE, PCX = "AWS::EC2::VPCEndpoint", "AWS::EC2::VPCPeeringConnection"
#: types that a path can have here
TYPES = frozenset({IGW, ENI, EC2, VPCE, PCX})
#: types of AWS's that nothing here is of: they match no path
ABSENT = frozenset({
    "AWS::EC2::NatGateway", "AWS::EC2::TransitGatewayAttachment", "AWS::EC2::VPCEndpointService",
    "AWS::EC2::VPNGateway", "AWS::ElasticLoadBalancing::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::NetworkFirewall::NetworkFirewall", "AWS::NetworkFirewall::Firewall",
})  # fmt: skip
#: kinds of resources that a statement may name
ENDS = (
    INSTANCE, INTERNET_GATEWAY, NETWORK_INTERFACE, PEERING_CONNECTION, SECURITY_GROUP, SUBNET, VPC, VPC_ENDPOINT,
)  # fmt: skip
THROUGH = (*ENDS, NETWORK_ACL, ROUTE_TABLE)
_HEADER = (
    "SourceAddresses", "DestinationAddresses", "SourcePorts", "DestinationPorts", "SourcePrefixLists",
    "DestinationPrefixLists", "Protocols",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """A packet header statement; None = anything."""

    sources: tuple[Network, ...] | None = None
    destinations: tuple[Network, ...] | None = None
    source_ports: tuple[PortRange, ...] | None = None
    destination_ports: tuple[PortRange, ...] | None = None
    protocols: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """What one end, or something in between, must be: one of these resources, or of one of these types; None = anything."""

    resources: frozenset[str] | None = None
    types: frozenset[str] | None = None
    header: Header = Header()


@dataclass(frozen=True, slots=True)
class Entry:
    """A match path or an exclude path."""

    source: Statement
    destination: Statement
    through: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """A whole scope."""

    match: tuple[Entry, ...]
    exclude: tuple[Entry, ...]

    def headers(self) -> Iterator[Header]:
        """Every header statement."""
        for entry in (*self.match, *self.exclude):
            yield entry.source.header
            yield entry.destination.header


def content_of(given: Given, world: World) -> Content:
    """The scope that `MatchPaths` and `ExcludePaths` say. Prefix lists mean what they hold in the World (PL-08).

    A list that is gone is taken for every address in a path that matches, for none in one that is excluded: nothing is
    overlooked because a list was deleted.
    """
    match, exclude = _Reading(world, None), _Reading(world, ())
    return Content(
        tuple(match.entry(path) for path in given.get("MatchPaths") or ()),
        tuple(exclude.entry(path) for path in given.get("ExcludePaths") or ()),
    )


Blocks = tuple[Network, ...] | None


@dataclass(frozen=True, slots=True)
class _Reading:
    """Paths of one kind. `missing`: what a list that is gone means."""

    world: World
    missing: Blocks

    def entry(self, path: Given) -> Entry:
        through = tuple(self._statement(each) for each in path.get("ThroughResources") or ())
        return Entry(self._statement(path.get("Source") or {}), self._statement(path.get("Destination") or {}), through)

    def _statement(self, given: Given) -> Statement:
        resource = given.get("ResourceStatement") or {}
        named, types = resource.get("Resources"), resource.get("ResourceTypes")
        return Statement(
            frozenset(id.rpartition("/")[2] for id in named) if named else None, frozenset(types) if types else None,
            self._header(given.get("PacketHeaderStatement") or {}),
        )  # fmt: skip

    def _header(self, given: Given) -> Header:
        protocols = given.get("Protocols")
        return Header(
            self._side(given, "Source"), self._side(given, "Destination"),
            _ports(given.get("SourcePorts")), _ports(given.get("DestinationPorts")),
            frozenset(parse_protocol(text) for text in protocols) if protocols else None,
        )  # fmt: skip

    def _side(self, given: Given, side: str) -> Blocks:
        lists = given.get(f"{side}PrefixLists")
        if not lists:
            return _blocks(given.get(f"{side}Addresses"))
        found: tuple[Network, ...] = ()
        for name in lists:
            held = find_list(self.world, name.rpartition("/")[2])
            blocks = self.missing if held is None else tuple(entry.cidr for entry in held.entries)
            if blocks is None:
                return None
            found += blocks
        return found


def _blocks(given: Any) -> tuple[Network, ...] | None:
    return tuple(block(text) for text in given) if given else None


def _ports(given: Any) -> tuple[PortRange, ...] | None:
    return tuple(ports(text) for text in given) if given else None


def block(text: str) -> Network:
    """An address or a block. ValueError."""
    return parse_network(text) if "/" in text else parse_network(f"{text}/{parse_address(text).max_prefixlen}")


def ports(text: str) -> PortRange:
    """`22` or `1024-65535`. ValueError."""
    first, dash, last = text.strip().partition("-")
    return PortRange(int(first), int(last) if dash else int(first))


# ---------------------------------------------------------------------- what is wrong with one
def problem(given: Given) -> str | None:
    """What is wrong with a scope as a request gives it; None when nothing is."""
    if not given.get("MatchPaths"):
        return "A Network Access Scope must have at least one match path."
    for name in ("MatchPaths", "ExcludePaths"):
        for path in given.get(name) or ():
            if not any(path.get(part) for part in ("Source", "Destination", "ThroughResources")):
                return f"An entry of {name} must have a source, a destination or through resources."
            parts: list[tuple[Any, Any]] = [(path.get("Source"), ENDS), (path.get("Destination"), ENDS)]
            parts += [(each, THROUGH) for each in path.get("ThroughResources") or ()]
            for part, kinds in parts:
                found = _wrong(part, kinds) if part else None
                if found is not None:
                    return found
    return None


def _wrong(part: Given, kinds: Any) -> str | None:
    resource, header = part.get("ResourceStatement"), part.get("PacketHeaderStatement")
    if not resource and not header:
        return "A statement must have resources or a packet header."
    if resource:
        named, types = resource.get("Resources") or (), resource.get("ResourceTypes") or ()
        if bool(named) == bool(types):
            return "A resource statement must have either Resources or ResourceTypes."
        for type in types:
            if type not in TYPES | ABSENT:
                return f"Invalid resource type: {type[:100]}"
        for id in named:
            if (_kind(id)) not in kinds:
                return f"{id[:200]} is not a resource that this statement can name."
    return _wrong_header(header) if header else None


def _kind(id: str) -> Any:
    if not id.startswith("arn:"):
        return kind_of(id)
    found = kind_of_arn(id)
    return None if found is None else found[0]


def _wrong_header(header: Given) -> str | None:
    if not any(header.get(name) for name in _HEADER):
        return "A packet header statement must have at least one field."
    for side in ("Source", "Destination"):
        if header.get(f"{side}Addresses") and header.get(f"{side}PrefixLists"):
            return f"{side}Addresses and {side}PrefixLists cannot be used together."
    for names, parse in (
        (("SourceAddresses", "DestinationAddresses"), block), (("SourcePorts", "DestinationPorts"), ports),
        (("Protocols",), _protocol),
    ):  # fmt: skip
        for name in names:
            for text in header.get(name) or ():
                try:
                    parse(text)
                except ValueError:
                    return f"Invalid value in {name}: {text[:100]}"
    with_ports = header.get("SourcePorts") or header.get("DestinationPorts")
    protocols = {parse_protocol(text) for text in header.get("Protocols") or ()}
    if with_ports and protocols and not protocols & PORTED:
        return "Ports can be given for tcp and udp only."
    return None


def _protocol(text: str) -> int:
    number = parse_protocol(text)
    if number < 0:
        raise ValueError("leave Protocols out for every protocol")
    return number
