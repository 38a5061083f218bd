"""What a picture shows: VPCs, zones, subnets, tiers of interfaces, and what the engine lets tiers and the internet say.

A tier is the interfaces of a VPC that carry the same groups: they are one node, however many they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from ringfence.insight.reach.engine import Engine, Unknown
from ringfence.insight.reach.exposure import exposure
from ringfence.insight.reach.matrix import all_pairs
from ringfence.insight.reach.peers import across
from ringfence.insight.reach.space import Space
from ringfence.insight.reach.words import brief
from ringfence.model.kinds import (
    INTERNET_GATEWAY,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from ringfence.model.nouns.network import Subnet, Vpc
from ringfence.model.nouns.routing import ListRoute, Route, RouteTable, RouteTarget
from ringfence.model.row import Row
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Edge as EdgeFragment

INTERNET = "internet"
TierKey = tuple[str, tuple[str, ...]]  # VPC, groups


@dataclass(slots=True)
class Tier:
    """Interfaces alike. `letter` names it in the picture; `inner`: what they may say among themselves."""

    key: TierKey
    letter: str
    name: str
    interfaces: list[str] = field(default_factory=list)
    inner: str = ""
    out: str = ""


@dataclass(slots=True)
class Place:
    """A subnet, and how many interfaces of which tier are in it."""

    id: str
    name: str
    cidr: str
    zone: str
    acl: str
    public: bool
    tiers: dict[str, int] = field(default_factory=dict)  # letter -> interfaces


@dataclass(slots=True)
class Site:
    """A VPC. `gateways`: internet gateways and what routes lead to besides."""

    id: str
    name: str
    cidrs: list[str]
    places: list[Place]
    gateways: list[str]


@dataclass(frozen=True, slots=True)
class Edge:
    """What one node may say to another; `both`: and the other way round, the same."""

    source: str  # a tier's letter, or INTERNET
    destination: str
    what: str
    unknown: bool = False
    both: bool = False


@dataclass(slots=True)
class Graph:
    """All of it."""

    sites: list[Site]
    tiers: list[Tier]
    edges: list[Edge]


def graph(world: World, vpc_id: str | None = None) -> Graph:
    """The picture of a World, or of one VPC of it."""
    engine = Engine(compile_world(world))
    tiers = _tiers(world, vpc_id)
    letters = {key: tier.letter for key, tier in tiers.items()}
    told = _Told(engine)
    for cell in chain(all_pairs(engine), across(engine)):
        ends = [letters.get((end.vpc_id, end.groups)) for end in (cell.source, cell.destination)]
        if None not in ends and cell.source.pairs(cell.destination):
            told.add((str(ends[0]), str(ends[1])), cell.conversations(engine.services), cell.unknown)
    _internet(engine, world, letters, told)
    edges = _edges(told, tiers.values())
    return Graph(_sites(world, vpc_id, letters), list(tiers.values()), edges)


# ---------------------------------------------------------------------- tiers
def _tiers(world: World, vpc_id: str | None) -> dict[TierKey, Tier]:
    found: dict[TierKey, Tier] = {}
    for eni in world.all(NETWORK_INTERFACE):
        key = eni.vpc_id, tuple(sorted(eni.groups))
        if vpc_id in (None, eni.vpc_id):
            if key not in found:
                found[key] = Tier(key, _letters(len(found)), _tier_name(world, key[1]))
            found[key].interfaces.append(eni.id)
    return found


def _letters(number: int) -> str:
    """A, B … Z, AA, AB …"""
    out = chr(65 + number % 26)
    return out if number < 26 else _letters(number // 26 - 1) + out


def _tier_name(world: World, groups: Iterable[str]) -> str:
    rows = [(id, world.find(SECURITY_GROUP, id)) for id in groups]
    return " + ".join(id if row is None else row.tag("Name") or row.name for id, row in rows) or "no security group"


# ---------------------------------------------------------------------- what is said
class _Told:
    """Services between nodes: those of every pair of addresses, and those of some."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.some: dict[tuple[str, str], int] = {}
        self.every: dict[tuple[str, str], int] = {}
        self.unknown: dict[tuple[str, str], Unknown] = {}

    def add(self, ends: tuple[str, str], space: Space, unknown: Unknown | None) -> None:
        """One class of pairs."""
        if unknown is not None:
            self.unknown.setdefault(ends, unknown)
            return
        mask = space.reachable
        self.every[ends] = self.every.get(ends, mask) & mask
        self.some[ends] = self.some.get(ends, 0) | mask

    def text(self, ends: tuple[str, str]) -> str:
        """In a few words."""
        services, mask = self.engine.services, self.some[ends]
        parts = [(mask & protocol, protocol) for protocol in (services.tcp, services.udp)]
        words = brief(Space.of(services, parts, mask & ~services.ported))
        return words if self.every[ends] == mask else f"{words} (not all pairs)"

    def all(self) -> dict[tuple[str, str], tuple[str, bool]]:
        """(text, is it unknown) of every pair of nodes that has something."""
        out = {ends: (self.text(ends), False) for ends, mask in self.some.items() if mask}
        out |= {ends: (f"unknown: {unknown.component}", True) for ends, unknown in self.unknown.items()}
        return out


def _internet(engine: Engine, world: World, letters: dict[TierKey, str], told: _Told) -> None:
    for inbound in (True, False):
        for each in exposure(engine, inbound=inbound):
            eni = world.get(NETWORK_INTERFACE, each.eni_id)
            letter = letters.get((eni.vpc_id, tuple(sorted(eni.groups))))
            if letter is not None:
                told.add((INTERNET, letter) if inbound else (letter, INTERNET), each.space, each.unknown)


def _edges(told: _Told, tiers: Iterable[Tier]) -> list[Edge]:
    """Arrows between different nodes; what a tier says to itself and to the internet is written in its box."""
    found = told.all()
    for tier in tiers:
        tier.inner = found.get((tier.letter, tier.letter), ("", False))[0]
        tier.out = found.get((tier.letter, INTERNET), ("", False))[0]
    out: list[Edge] = []
    for (a, b), (what, unknown) in found.items():
        if b in (a, INTERNET):
            continue
        both = found.get((b, a)) == (what, unknown)
        if not both or a < b or INTERNET in (a, b):
            out.append(Edge(a, b, what, unknown, both))
    return out


# ---------------------------------------------------------------------- places
def _sites(world: World, vpc_id: str | None, letters: dict[TierKey, str]) -> list[Site]:
    edges = compile_world(world).fragments
    attached = {f.vpc_id: f.gateway_id for f in edges.values() if isinstance(f, EdgeFragment)}
    out = []
    for vpc in world.all(VPC):
        if vpc_id in (None, vpc.id):
            subnets = sorted(world.by(SUBNET, "vpc", vpc.id), key=lambda s: (s.availability_zone, s.cidr))
            places = [_place(world, vpc, subnet, letters) for subnet in subnets]
            gateways = [attached[vpc.id]] if vpc.id in attached else []
            gateways += _targets(world, vpc)
            cidrs = [str(a.block) for a in (*vpc.ipv4, *vpc.ipv6)]
            out.append(Site(vpc.id, _name(vpc), cidrs, places, gateways))
    return out


def _ways(table: RouteTable) -> list[Route | ListRoute]:
    """Its routes, those to prefix lists among them."""
    return [*table.routes, *table.listed]


def _targets(world: World, vpc: Vpc) -> list[str]:
    tables = world.by(ROUTE_TABLE, "vpc", vpc.id)
    shown = (RouteTarget.UNMODELLED, RouteTarget.GATEWAY_ENDPOINT)
    found = (r.target_id for t in tables for r in _ways(t) if r.target in shown and r.target_id)
    return list(dict.fromkeys(found))


def _place(world: World, vpc: Vpc, subnet: Subnet, letters: dict[TierKey, str]) -> Place:
    main = world.find(ROUTE_TABLE, vpc.main_route_table_id)
    tables = world.by(ROUTE_TABLE, "subnet", subnet.id) or ([main] if main is not None else [])
    routes = [route for table in tables for route in _ways(table)]
    here = {gateway.id for gateway in world.by(INTERNET_GATEWAY, "vpc", vpc.id)}
    public = any(route.target_id in here for route in routes)
    place = Place(subnet.id, _name(subnet), str(subnet.cidr), subnet.availability_zone, subnet.network_acl_id, public)
    for eni in world.by(NETWORK_INTERFACE, "subnet", subnet.id):
        letter = letters[eni.vpc_id, tuple(sorted(eni.groups))]
        place.tiers[letter] = place.tiers.get(letter, 0) + 1
    return place


def _name(row: Row) -> str:
    return row.tag("Name") or ""


def view(of: Graph) -> dict[str, Any]:
    """The arrows, for the table under the picture."""
    names = {tier.letter: f"{tier.letter} {tier.name}" for tier in of.tiers} | {INTERNET: INTERNET}
    return {
        "edges": [
            {"from": names[e.source], "to": names[e.destination], "what": e.what, "both": e.both, "unknown": e.unknown}
            for e in of.edges
        ]
    }  # fmt: skip
