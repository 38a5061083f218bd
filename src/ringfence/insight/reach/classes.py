"""Classes of addresses that nothing tells apart, and what one class may say to another.

A class is the addresses of one subnet whose interfaces carry the same groups and that lie in one address atom.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from ringfence.insight.reach.atoms import Services
from ringfence.insight.reach.engine import Engine, Unknown
from ringfence.insight.reach.places import Net
from ringfence.insight.reach.space import Space


@dataclass(slots=True, eq=False)
class Endpoints:
    """A class. `members`: (interface, address)."""

    vpc_id: str
    family: int
    net: Net
    groups: tuple[str, ...]
    atom: int
    members: list[tuple[str, int]]

    def pairs(self, other: Endpoints) -> int:
        """How many pairs of addresses of different interfaces there are."""
        every = len(self.members) * len(other.members)
        if other is self and len({eni for eni, _ in self.members}) == len(self.members):
            return every - len(self.members)
        mine = Counter(eni for eni, _ in self.members)
        return every - sum(mine[eni] for eni, _ in other.members)

    def two(self, other: Endpoints) -> tuple[tuple[str, int], tuple[str, int]] | None:
        """One member of each, of different interfaces; None when there is none."""
        return next(((a, b) for a in self.members for b in other.members if a[0] != b[0]), None)


class Cell(NamedTuple):
    """What sources may say to destinations. `wanted`: services; `sources`: source ports of TCP and UDP that answers allow.
    `space`: instead of both, where replies meet rules of several kinds; `unknown`: the set says nothing."""

    source: Endpoints
    destination: Endpoints
    wanted: int
    sources: int
    space: Space | None = None
    unknown: Unknown | None = None

    def conversations(self, services: Services) -> Space:
        """The set."""
        if self.space is not None:
            return self.space
        parts = [(self.wanted & services.ported, self.sources)]
        return Space.of(services, parts, self.wanted & ~services.ported)


#: a Cell, without the way through its constructor: there are millions
cell_of = partial(tuple.__new__, Cell)


def classes(
    engine: Engine, alone: frozenset[str] = frozenset(), only: Collection[str] | None = None
) -> dict[tuple[str, int], list[Endpoints]]:
    """All classes by VPC (of `only` these) and family. An interface that routes lead to is a class of its own; so are
    those in `alone`."""
    alone |= engine.appliances
    out: dict[tuple[str, int], list[Endpoints]] = {}
    for vpc_id in engine.places.by_vpc:
        if only is None or vpc_id in only:
            held = engine.grouping.get((vpc_id, alone))
            if held is None:
                held = engine.grouping[vpc_id, alone] = _grouped(engine, vpc_id, alone)
            out |= held
    return out


def _grouped(engine: Engine, vpc_id: str, alone: frozenset[str]) -> dict[tuple[str, int], list[Endpoints]]:
    """The classes of one VPC."""
    found: dict[tuple[int, str, tuple[str, ...], int, str], Endpoints] = {}
    for port in engine.places.by_vpc[vpc_id]:
        if not port.running:
            continue
        for family, addresses in port.addresses.items():
            for address in addresses:
                atom = engine.atom(family, address)
                name = port.eni_id if port.eni_id in alone else port.doubt or ""
                key = (family, port.net.subnet_id, port.groups, atom, name)
                held = found.get(key)
                if held is None:
                    held = found[key] = Endpoints(vpc_id, family, port.net, port.groups, atom, [])
                held.members.append((port.eni_id, address))
    out: dict[tuple[str, int], list[Endpoints]] = {}
    for held in found.values():
        out.setdefault((vpc_id, held.family), []).append(held)
    return out
