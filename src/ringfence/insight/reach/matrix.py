"""All pairs: every conversation between interfaces of one VPC, exactly, by classes of addresses that nothing tells apart.

A class is the addresses of one subnet whose interfaces carry the same groups and that lie in one address atom. Between two
classes with local routes both ways (or in one subnet) the answer is a short formula; what goes through an appliance
is walked, pair by pair. An interface's conversations with itself are not in the matrix: they do not leave its host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from ringfence.insight.reach.atoms import Services
from ringfence.insight.reach.engine import Engine, Unknown, number_to_address
from ringfence.insight.reach.groups import GroupSet, GroupTable
from ringfence.insight.reach.places import UNROUTED_CODES, WIDTH, Net, inside
from ringfence.insight.reach.space import Space
from ringfence.policy.ir import Via

V = TypeVar("V")


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


class _Lazy(dict[int, V]):
    """A table whose entries are made when first read."""

    def __init__(self, make: Callable[[int], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: int) -> V:
        found = self[key] = self._make(key)
        return found


#: what ACLs let through there, and the source ports that they let back; None where the way is not the router's alone
Passage = tuple[int, int] | None
#: source, destination, services before and after, source ports that answers allow
Difference = tuple[Endpoints, Endpoints, int, int, int]


class Grid:
    """The classes of one VPC and family, numbered: row by row, one destination at a time."""

    def __init__(self, engine: Engine, everyone: Sequence[Endpoints]) -> None:
        self.engine, self.everyone = engine, everyone
        self.family, self.vpc_id = everyone[0].family, everyone[0].vpc_id
        sets = {key: n for n, key in enumerate(dict.fromkeys(c.groups for c in everyone))}
        atoms = {key: n for n, key in enumerate(dict.fromkeys(c.atom for c in everyone))}
        self.carried = list(sets)
        self.sets: list[GroupSet] = [engine.group_set(self.vpc_id, groups) for groups in sets]
        self.atoms: list[int] = list(atoms)
        self.nets = list({c.net.subnet_id: c.net for c in everyone}.values())
        spots: dict[tuple[int, str], int] = {}
        #: (atom, subnet, an address there); what lies between two classes depends on their spots alone
        self.spots: list[tuple[int, Net, int]] = []
        for c in everyone:
            if spots.setdefault((c.atom, c.net.subnet_id), len(spots)) == len(self.spots):
                self.spots.append((atoms[c.atom], c.net, c.members[0][1]))
        #: set of groups, atom and spot of each class
        self.places = [(sets[c.groups], atoms[c.atom], spots[c.atom, c.net.subnet_id]) for c in everyone]
        self._passages: dict[int, list[Passage]] = {}
        self._homewards: dict[str, list[bool]] = {}
        seen = [eni for c in everyone for eni, _ in c.members]
        self._several = len(seen) > len(set(seen))  # some interface has several addresses
        self._walk_all = engine.has_unknown(self.vpc_id)
        self._unsure = frozenset(n for n, c in enumerate(everyone) if not self._certain(c))
        self._local_rows: dict[str, _Lazy[bool]] = {}
        self._tables: dict[tuple[str, bool, int], _Lazy[int]] = {}
        self.outward: _Lazy[_Lazy[int]] = _Lazy(lambda own: self._row(True, own))
        self.inward: _Lazy[_Lazy[int]] = _Lazy(lambda own: self._row(False, own))

    def forget(self) -> None:
        """Let go of the tables, at once: they know each other, and would stay until they are collected."""
        for tables in (self.inward, self.outward, self._tables, self._passages, self._local_rows):
            tables.clear()

    def _certain(self, of: Endpoints) -> bool:
        """Is all known about the interfaces of a class and their groups?"""
        port = self.engine.places.ports[of.members[0][0]]
        return port.doubt is None and self.engine.group_set(self.vpc_id, of.groups).certain

    # ------------------------------------------------------------------ tables made when asked for
    def _table(self, kind: str, egress: bool, fixed: int, make: Callable[[int], int]) -> _Lazy[int]:
        found = self._tables.get((kind, egress, fixed))
        if found is None:
            found = self._tables[kind, egress, fixed] = _Lazy(make)
        return found

    def _way(self, egress: bool, table: GroupTable) -> _Lazy[int]:
        """What one group lets through, by atom of the remote."""
        at, family, atoms = (table.egress if egress else table.ingress).at, self.family, self.atoms
        return self._table("way", egress, id(table), lambda atom: at(family, atoms[atom]))

    def _row(self, egress: bool, own: int) -> _Lazy[int]:
        """What one set lets through, by atom of the remote."""
        ways = [self._way(egress, table) for table in self.sets[own].tables]
        if len(ways) == 1:
            return ways[0]

        def of_all(atom: int) -> int:
            out = 0
            for way in ways:
                out |= way[atom]
            return out

        return self._table("row", egress, own, of_all)

    def naming_of(self, egress: bool, own: int) -> _Lazy[int]:
        """What one set lets through by reference, by set of the remote."""
        held, family, carried = self.sets[own], self.family, self.carried
        return self._table("naming", egress, own, lambda remote: held.by_group(egress, family, carried[remote]))

    def named_by(self, egress: bool, remote: int) -> _Lazy[int]:
        """What each set lets through by reference to one set of the remote."""
        groups, family, sets = self.carried[remote], self.family, self.sets
        return self._table("named", egress, remote, lambda own: sets[own].by_group(egress, family, groups))

    def _gate(self, net: Net, egress: bool) -> _Lazy[int]:
        """What a subnet's ACL lets through, by atom of the remote."""
        acl, family, atoms = self.engine.acl(net.acl_id), self.family, self.atoms
        return self._table(net.acl_id, egress, -1, lambda atom: acl.allowed(egress, family, atoms[atom]))

    def _local(self, net: Net, atom: int) -> bool:
        """Does a subnet's table lead to an atom by the local route?"""
        away = WIDTH[self.family] + 1 - atom.bit_length()
        if inside(UNROUTED_CODES[self.family], WIDTH[self.family], (atom << away) - (1 << WIDTH[self.family])):
            return False
        routes = self.engine.routes(net.table_id)
        route = routes.to(self.family, atom)
        return route is not None and route.via is Via.LOCAL and not routes.uncertain

    def _locals(self, net: Net) -> _Lazy[bool]:
        """`_local` for every atom."""
        found = self._local_rows.get(net.table_id)
        if found is None:
            found = self._local_rows[net.table_id] = _Lazy(lambda atom: self._local(net, self.atoms[atom]))
        return found

    # ------------------------------------------------------------------ between two spots
    def passage(self, to: int) -> list[Passage]:
        """What lies between every spot and this one."""
        found = self._passages.get(to)
        if found is None:
            found = self._passages[to] = self._leading(to)
        return found

    def _leading(self, to: int) -> list[Passage]:
        if self.engine.has_unknown(self.vpc_id):
            return [None] * len(self.spots)
        home = self.spots[to][1]
        gate_in, gate_out, homeward = self._gate(home, False), self._gate(home, True), self._homeward(home)
        lanes = {net.subnet_id: self._lane(net, to) for net in self.nets}
        known: dict[tuple[str, int, int], Passage] = {}
        out: list[Passage] = []
        for start, (from_, net, _) in enumerate(self.spots):
            lane = lanes[net.subnet_id]
            if lane is None or not (net is home or homeward[start]):
                out.append(None)
                continue
            key = (net.subnet_id, gate_in[from_], gate_out[from_])
            if key not in known:
                full = self.engine.services.full
                there, back = (full, full) if net is home else (lane[0] & key[1], lane[1] & key[2])
                known[key] = self._let(there, back)
            out.append(known[key])
        return out

    def _let(self, there: int, back: int) -> Passage:
        """What ACLs let through, if what they let through of answers is asked for as well."""
        services = self.engine.services
        for protocol in (services.tcp, services.udp):
            if not back & protocol:
                there &= ~protocol
        return there & (services.asking(back) | services.ported), back & services.ported

    def _lane(self, net: Net, to: int) -> tuple[int, int] | None:
        """What a subnet's ACL lets out to a spot, and lets back in; None where the route is not local."""
        atom, home, address = self.spots[to]
        if net is not home and not self._by_router(net, atom, address):
            return None
        return self._gate(net, True)[atom], self._gate(net, False)[atom]

    def _by_router(self, net: Net, atom: int, address: int) -> bool:
        return not inside(net.blocks[self.family], WIDTH[self.family], address) and self._locals(net)[atom]

    def _homeward(self, home: Net) -> list[bool]:
        """To which spots does a subnet's table lead by the router?"""
        found = self._homewards.get(home.subnet_id)
        if found is None:
            found = [self._by_router(home, atom, address) for atom, _, address in self.spots]
            self._homewards[home.subnet_id] = found
        return found

    # ------------------------------------------------------------------ a row
    def row(self, number: int, sources: Iterable[int] | None = None) -> Iterator[Cell]:
        """Every cell of a destination that is not empty; of these sources only, if they are given."""
        there = self.everyone[number]
        if self._walk_all or number in self._unsure:
            for source in range(len(self.everyone)) if sources is None else sources:
                yield from self.walked(source, number)
            return
        own, atom, spot = self.places[number]
        silent, passage = self.engine.services.silent, self.passage(spot)
        inward, outward = self.inward, self.outward
        in_block, in_named, out_named = inward[own], self.naming_of(False, own), self.named_by(True, own)
        back_out, back_out_named, back_in_named = outward[own], self.naming_of(True, own), self.named_by(False, own)
        for source in range(len(self.everyone)) if sources is None else sources:
            mine, from_, start = self.places[source]
            passed = passage[start]
            if passed is None or source in self._unsure:
                yield from self.walked(source, number)
                continue
            wanted = (in_block[from_] | in_named[mine]) & (outward[mine][atom] | out_named[mine]) & passed[0]
            if wanted & silent:
                back = (back_out[from_] | back_out_named[mine]) & (inward[mine][atom] | back_in_named[mine])
                wanted &= ~silent | back
            if wanted and self.distinct(source, number):
                yield Cell(self.everyone[source], there, wanted, passed[1])

    def distinct(self, source: int, number: int) -> bool:
        """Are there two different interfaces, one of each class?"""
        if source == number and len(self.everyone[number].members) == 1:
            return False
        return not self._several or self.everyone[source].two(self.everyone[number]) is not None

    # ------------------------------------------------------------------ against another grid
    @property
    def known(self) -> bool:
        """Is everything about the VPC, its interfaces and their groups known?"""
        return not (self._walk_all or self._unsure)

    @property
    def plain(self) -> bool:
        """Do all classes reach each other by local routes, so that no cell is walked?"""
        width, owned = WIDTH[self.family], [(net, code) for net in self.nets for code in net.blocks[self.family]]
        nested = any(
            one is not other and a.bit_length() <= b.bit_length() and b >> b.bit_length() - a.bit_length() == a
            for one, a in owned for other, b in owned
        )  # fmt: skip
        strays = any(
            not inside(c.net.blocks[self.family], width, address) for c in self.everyone for _, address in c.members
        )
        tables = {net.table_id: net for net in self.nets}.values()
        return (
            self.known
            and not (nested or strays)
            and all(self._locals(net)[atom] for net in tables for atom in range(len(self.atoms)))
        )

    def changed(self, was: Grid, rows: list[int], columns: list[int]) -> Iterator[Difference]:
        """What differs from a grid of the same classes and the same network ACLs, for these destinations (rows) and these
        sources (columns), but for services that open no flow. Only of grids that are `plain`."""
        aside = set(rows)
        for number in range(len(self.everyone)) if columns else rows:
            sources = range(len(self.everyone)) if number in aside else columns
            yield from self._changed_row(was, number, sources, set(columns))

    def _changed_row(
        self, was: Grid, number: int, sources: Iterable[int], columns: Collection[int]
    ) -> Iterator[Difference]:
        there, loud = self.everyone[number], ~self.engine.services.silent
        own, atom, spot = self.places[number]
        passage, outward, out_named = self.passage(spot), self.outward, self.named_by(True, own)
        old_block, old_named = was.inward[own], was.naming_of(False, own)
        new_block, new_named = self.inward[own], self.naming_of(False, own)
        for source in sources:
            mine, from_, start = self.places[source]
            before, after = old_block[from_] | old_named[mine], new_block[from_] | new_named[mine]
            moved = source in columns
            if before == after and not moved:
                continue
            passed = passage[start]
            assert passed is not None
            out = outward[mine][atom] | out_named[mine]
            old = was.outward[mine][atom] | was.named_by(True, own)[mine] if moved else out
            before, after = before & old & loud & passed[0], after & out & loud & passed[0]
            if before != after and self.distinct(source, number):
                yield self.everyone[source], there, before, after, passed[1]

    def walked(self, source: int, number: int) -> Iterator[Cell]:
        """Through something else than the router: one pair stands for all."""
        start, there = self.everyone[source], self.everyone[number]
        pair = start.two(there)
        if pair is None:
            return
        (eni, src), (other, dst) = pair
        family = self.family
        answer = self.engine.conversations(eni, number_to_address(family, src), number_to_address(family, dst))
        if answer.unknown or (answer.space and answer.arrives == other):
            yield Cell(start, there, answer.space.reachable, 0, answer.space, answer.unknown)


def all_pairs(engine: Engine) -> Iterator[Cell]:
    """Every pair of classes that may say anything to each other, in all VPCs and both families."""
    for everyone in classes(engine).values():
        grid = Grid(engine, everyone)
        for number in range(len(everyone)):
            yield from grid.row(number)
        grid.forget()
