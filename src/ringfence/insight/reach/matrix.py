"""All pairs: every conversation between interfaces of one VPC, exactly, by classes of addresses that nothing tells apart.

A class is the addresses of one subnet whose interfaces carry the same groups and that lie in one address atom. Between two
classes with local routes both ways (or in one subnet) the answer is a short formula; what goes through an appliance
is walked, pair by pair. An interface's conversations with itself are not in the matrix: they do not leave its host.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from ringfence.insight.reach.classes import Cell, Endpoints, classes
from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.insight.reach.groups import GroupSet
from ringfence.insight.reach.places import UNROUTED_CODES, WIDTH, Net, inside
from ringfence.insight.reach.strips import BLOCK, Block, Change, Lazy, Moves, Naming

#: what ACLs let through there, and the source ports that they let back; None where the way is not the router's alone
Passage = tuple[int, int] | None


class Way(NamedTuple):
    """What lies between every spot and one: few kinds of start there are, and few different ways for all of them."""

    number: int
    kinds: list[int]  # of each spot,
    values: list[Passage]  # and of each kind


P = TypeVar("P", bound=tuple[Any, ...])
#: what a subnet's ACL lets out to a spot, and back in
_Lane = tuple[int, int]
#: lanes by number: where the route is not local, and in one subnet, where no ACL is asked
_ELSEWHERE, _UNASKED = 0, 1


class Grid:
    """The classes of one VPC and family, numbered: a destination is a row, a source a column."""

    def __init__(self, engine: Engine, everyone: Sequence[Endpoints]) -> None:
        self.engine, self.everyone = engine, everyone
        self.family, self.vpc_id = everyone[0].family, everyone[0].vpc_id
        sets = {key: n for n, key in enumerate(dict.fromkeys(c.groups for c in everyone))}
        self.carried = list(sets)
        self.sets: list[GroupSet] = [engine.group_set(self.vpc_id, groups) for groups in sets]
        self.around = engine.prefixes[self.family].around
        self.nets = list({c.net.subnet_id: c.net for c in everyone}.values())
        self._walk_all = engine.has_unknown(self.vpc_id)
        grounds = self._grounds()
        spots: dict[tuple[int, str], int] = {}
        #: (block, subnet); what lies between two classes depends on their spots alone
        self.spots: list[tuple[int, Net]] = []
        for c in everyone:
            ground = grounds[c.atom]
            if spots.setdefault((ground, c.net.subnet_id), len(spots)) == len(self.spots):
                self.spots.append((ground, c.net))
        #: set of groups, atom and spot of each class
        self.places = [(sets[c.groups], c.atom, spots[grounds[c.atom], c.net.subnet_id]) for c in everyone]
        self._passages: dict[int, Way] = {}
        self._ways: dict[tuple[str, tuple[int, ...]], Way] = {}
        self._starts: dict[str, tuple[list[int], list[tuple[str, int]]]] = {}
        full = engine.services.full
        self._lanes: list[_Lane] = [(0, 0), (full, full)]
        self._known_lanes: Lazy[_Lane, int] = Lazy(self._new_lane)
        seen = [eni for c in everyone for eni, _ in c.members]
        self._several = len(seen) > len(set(seen))  # some interface has several addresses
        self.unsure = frozenset(n for n, c in enumerate(everyone) if not self._certain(c))
        self._routed: Lazy[tuple[str, str], list[int]] = Lazy(self._by_router)
        self._naming: Naming | None = None

    def forget(self) -> None:
        """Let go of the tables, at once: they know each other, and would stay until they are collected."""
        if self._naming is not None:
            self._naming.forget()
        for tables in (self._routed, self._known_lanes, self._passages, self._ways, self._starts):
            tables.clear()

    def _grounds(self) -> Lazy[int, int]:
        """By atom the innermost block around it of those that subnets, their ACLs and their routes have: all that routers ask."""
        if self._walk_all:  # nothing is asked of spots, and ACLs and tables may be missing
            return Lazy(lambda atom: atom)
        named = {1, *UNROUTED_CODES[self.family]}
        for net in self.nets:
            named.update(net.blocks[self.family])
        for acl_id, table_id in {(net.acl_id, net.table_id) for net in self.nets}:
            named.update(self.engine.acl(acl_id).blocks, self.engine.routes(table_id).blocks(self.family))
        around = self.around

        def ground(atom: int) -> int:
            while atom not in named:
                atom = around(atom)
            return atom

        return Lazy(ground)

    def _certain(self, of: Endpoints) -> bool:
        """Is all known about the interfaces of a class and their groups?"""
        port = self.engine.places.ports[of.members[0][0]]
        return port.doubt is None and self.engine.group_set(self.vpc_id, of.groups).certain

    # ------------------------------------------------------------------ tables made when asked for
    @property
    def naming(self) -> Naming:
        """What the groups here let through, by what they name."""
        if self._naming is None:
            self._naming = Naming(self)
        return self._naming

    # ------------------------------------------------------------------ between two spots
    def _new_lane(self, lane: _Lane) -> int:
        self._lanes.append(lane)
        return len(self._lanes) - 1

    @cached_property
    def _around_spot(self) -> list[set[str]]:
        """The subnets that each spot is in."""
        nets: dict[int, set[str]] = {}
        for net in self.nets:
            for code in net.blocks[self.family]:
                nets.setdefault(code, set()).add(net.subnet_id)
        found: Lazy[int, set[str]] = Lazy(
            lambda atom: nets.get(atom, set()) | (found[self.around(atom)] if atom > 1 else set())
        )
        return [found[block] for block, _ in self.spots]

    def passage(self, to: int) -> Way:
        """What lies between every spot and this one."""
        found = self._passages.get(to)
        if found is None:
            found = self._passages[to] = self._leading(to)
        return found

    def _leading(self, to: int) -> Way:
        home = self.spots[to][1]
        kinds, starts = self._started(home)
        lanes = {net.subnet_id: self._lane(net, to) for net in self.nets}
        key = home.subnet_id, tuple(lanes.values())
        found = self._ways.get(key)
        if found is None:
            values = [self._between(lanes[subnet_id], lane) for subnet_id, lane in starts]
            found = self._ways[key] = Way(len(self._ways), kinds, values)
        return found

    def _started(self, home: Net) -> tuple[list[int], list[tuple[str, int]]]:
        """The kinds of spots that packets to a subnet start from, by subnet and lane back: its ACL and routes treat them alike."""
        found = self._starts.get(home.subnet_id)
        if found is None:
            known: dict[tuple[str, int], int] = {}
            kinds = [
                known.setdefault((net.subnet_id, self._lane(home, spot)), len(known))
                for spot, (_, net) in enumerate(self.spots)
            ]
            found = self._starts[home.subnet_id] = kinds, list(known)
        return found

    def _between(self, there: int, back: int) -> Passage:
        """Between two subnets with these lanes, one to the other."""
        (out, answers_in), (answers_out, into) = self._lanes[there], self._lanes[back]
        if _ELSEWHERE in (there, back):
            return None
        return self._let(out & into, answers_in & answers_out)

    def _lane(self, net: Net, to: int) -> int:
        """What a subnet's ACL lets out to a spot, and lets back in, as a number of `_lanes`."""
        if net is self.spots[to][1]:
            return _UNASKED
        return _ELSEWHERE if net.subnet_id in self._around_spot[to] else self._routed[net.acl_id, net.table_id][to]

    def _by_router(self, kind: tuple[str, str]) -> list[int]:
        """The lanes to every spot, from any subnet of this ACL and this table that it is not in."""
        acl_id, table_id = kind
        acl, local, family = self.engine.acl(acl_id), self.engine.routes(table_id).local, self.family
        return [
            self._known_lanes[acl.allowed(True, family, block), acl.allowed(False, family, block)]
            if local(family, block)
            else _ELSEWHERE
            for block, _ in self.spots
        ]

    def _let(self, there: int, back: int) -> Passage:
        """What ACLs let through, if what they let through of answers is asked for as well."""
        services = self.engine.services
        for protocol in (services.tcp, services.udp):
            if not back & protocol:
                there &= ~protocol
        return there & (services.asking(back) | services.ported), back & services.ported

    # ------------------------------------------------------------------ cells
    def cells(self, rows: Sequence[int], columns: Sequence[int]) -> Iterator[Cell]:
        """Every cell of these destinations (rows) and sources (columns) that is not empty."""
        return chain.from_iterable(self.parts(rows, columns))

    def parts(self, rows: Sequence[int], columns: Sequence[int]) -> Iterator[Iterable[Cell]]:
        """The same, some of a row at a time."""
        aside = {n for n in rows if self._walk_all or n in self.unsure}
        for number in aside:
            for source in columns:
                yield self.walked(source, number)
        known = [n for n in rows if n not in aside]
        for at in range(0, len(columns), BLOCK) if known else ():
            block = Block(self, columns[at : at + BLOCK])
            for number, row in block.rows(known):
                yield self.talking(number, row)
                for source in block.lie(self.places[number][2]).walked:
                    yield self.walked(block.columns[source], number)
            block.forget()

    def talking(self, number: int, row: list[P]) -> list[P]:
        """Those of a row (a source is first) where there are two different interfaces, one of each class."""
        there = self.everyone[number]
        if self._several:
            return [pair for pair in row if pair[0].two(there) is not None]
        return row if len(there.members) > 1 else [pair for pair in row if pair[0] is not there]

    # ------------------------------------------------------------------ against another grid
    @property
    def known(self) -> bool:
        """Is everything about the VPC, its interfaces and their groups known?"""
        return not (self._walk_all or self.unsure)

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
        return (
            self.known
            and not (nested or strays)
            and all(
                self.engine.routes(table_id).local(self.family, block)
                for table_id in {net.table_id for net in self.nets}
                for block, _ in self.spots
            )
        )

    def changed(self, was: Grid, rows: list[int], columns: list[int]) -> Iterator[tuple[int, Moves]]:
        """What differs from a grid of the same classes and the same network ACLs, for these destinations (rows) and these
        sources (columns), but for services that open no flow: by destination. Only of grids that are `plain`."""
        every, aside = range(len(self.everyone)), set(rows)
        yield from self._changed(was, rows, every, inward=True, outward=bool(columns))
        yield from self._changed(was, [n for n in every if n not in aside], columns, inward=False, outward=True)

    def _changed(
        self, was: Grid, rows: Sequence[int], columns: Sequence[int], *, inward: bool, outward: bool
    ) -> Iterator[tuple[int, Moves]]:
        for at in range(0, len(columns), BLOCK) if rows else ():
            block = Block(self, columns[at : at + BLOCK])
            change = Change(block, was, inward=inward, outward=outward)
            yield from change.moves(rows)
            change.forget()
            block.forget()

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
    return chain.from_iterable(_all_parts(engine))


def _all_parts(engine: Engine) -> Iterator[Iterable[Cell]]:
    for everyone in classes(engine).values():
        grid, every = Grid(engine, everyone), range(len(everyone))
        yield from grid.parts(every, every)
        grid.forget()
