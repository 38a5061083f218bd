"""All pairs between peer VPCs: one walk for each pair of classes that nothing tells apart."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.insight.reach.classes import Cell, Endpoints, classes
from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.policy.ir import Via

#: routes that do not lead to another VPC, nor to an appliance that might
_STAY = frozenset({Via.LOCAL, Via.GATEWAY, Via.BLACKHOLE})


def joined(engine: Engine) -> Iterator[tuple[str, str]]:
    """The VPCs that an active connection leads from, and to."""
    for place in engine.places.vpcs.values():
        for way in place.crossings.values():
            yield place.vpc_id, way.far_vpc_id


def across(engine: Engine) -> Iterator[Cell]:
    """Every pair of classes of peer VPCs that may say anything to each other."""
    ways = list(joined(engine))
    found = classes(engine, only={vpc_id for way in ways for vpc_id in way}) if ways else {}
    for near, far in ways:
        for family in (4, 6):
            for source in found.get((near, family), ()):
                for there in found.get((far, family), ()):
                    cell = cell_between(engine, source, there)
                    if cell is not None:
                        yield cell


def leads(engine: Engine, source: Endpoints, there: Endpoints) -> bool:
    """May the routes of the one lead to the other over a connection?"""
    return leads_to(engine, source, there.atom)


def leads_to(engine: Engine, source: Endpoints, atom: int) -> bool:
    """May they lead to an address of this atom over one?"""
    routes = engine.routes(source.net.table_id)
    route = routes.to(source.family, atom)
    return routes.uncertain or (route is not None and route.via not in _STAY)


def cell_between(engine: Engine, source: Endpoints, there: Endpoints) -> Cell | None:
    """What one class may say to one of a peer VPC; None: nothing. One pair stands for all."""
    if not leads(engine, source, there):
        return None
    pair = source.two(there)
    if pair is None:
        return None
    (eni, src), (other, dst) = pair
    family = source.family
    answer = engine.conversations(eni, number_to_address(family, src), number_to_address(family, dst))
    if answer.unknown or (answer.space and answer.arrives == other):
        return Cell(source, there, answer.space.reachable, 0, answer.space, answer.unknown)
    return None
