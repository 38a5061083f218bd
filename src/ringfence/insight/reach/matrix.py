"""All pairs: every conversation between interfaces of one VPC, exactly, by classes of addresses that nothing tells apart.

A class is the addresses of one subnet whose interfaces carry the same groups and that lie in one address atom. Between two
classes with local routes both ways (or in one subnet) the answer is a short formula; what goes through an appliance
is walked, pair by pair. An interface's conversations with itself are not in the matrix: they do not leave its host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from ringfence.insight.reach.classes import Cell, Endpoints, classes
from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.insight.reach.groups import GroupSet, GroupTable
from ringfence.insight.reach.places import UNROUTED_CODES, WIDTH, Net, inside
from ringfence.insight.reach.strips import BLOCK, Block, Lazy, Move, Pieces, Slots
from ringfence.policy.ir import Via

#: what ACLs let through there, and the source ports that they let back; None where the way is not the router's alone
Passage = tuple[int, int] | None


class Way(NamedTuple):
    """What lies between every spot and one: few kinds of start there are, and few different ways for all of them."""

    number: int
    kinds: list[int]  # of each spot,
    values: list[Passage]  # and of each kind


#: subnet, and what the destination's ACL lets in and out; None where the way back is not the router's alone
_Start = tuple[str, int, int] | None
P = TypeVar("P", Cell, Move)
#: what a subnet's ACL lets out to a spot, and back in; None where the route there is not local
_Lane = tuple[int, int] | None


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
        spots: dict[tuple[int, str], int] = {}
        #: (atom, subnet, an address there); what lies between two classes depends on their spots alone
        self.spots: list[tuple[int, Net, int]] = []
        for c in everyone:
            if spots.setdefault((c.atom, c.net.subnet_id), len(spots)) == len(self.spots):
                self.spots.append((c.atom, c.net, c.members[0][1]))
        #: set of groups, atom and spot of each class
        self.places = [(sets[c.groups], c.atom, spots[c.atom, c.net.subnet_id]) for c in everyone]
        self._passages: dict[int, Way] = {}
        self._pieces: dict[bool, Pieces] = {}
        self._ways: dict[tuple[str, tuple[_Lane, ...]], Way] = {}
        self._starts: dict[str, tuple[list[int], list[_Start]]] = {}
        seen = [eni for c in everyone for eni, _ in c.members]
        self._several = len(seen) > len(set(seen))  # some interface has several addresses
        self._walk_all = engine.has_unknown(self.vpc_id)
        self.unsure = frozenset(n for n, c in enumerate(everyone) if not self._certain(c))
        self._local_rows: dict[str, Lazy[int, bool]] = {}
        self._tables: dict[tuple[str, bool, int], Lazy[int, int]] = {}
        self.outward: Lazy[int, Lazy[int, int]] = Lazy(lambda own: self._row(True, own))
        self.inward: Lazy[int, Lazy[int, int]] = Lazy(lambda own: self._row(False, own))

    def forget(self) -> None:
        """Let go of the tables, at once: they know each other, and would stay until they are collected."""
        for pieces in self._pieces.values():
            pieces.forget()
        for tables in (
            self.inward,
            self.outward,
            self._tables,
            self._passages,
            self._pieces,
            self._ways,
            self._starts,
            self._local_rows,
        ):
            tables.clear()

    def _certain(self, of: Endpoints) -> bool:
        """Is all known about the interfaces of a class and their groups?"""
        port = self.engine.places.ports[of.members[0][0]]
        return port.doubt is None and self.engine.group_set(self.vpc_id, of.groups).certain

    # ------------------------------------------------------------------ tables made when asked for
    def _table(self, kind: str, egress: bool, fixed: int, make: Callable[[int], int]) -> Lazy[int, int]:
        found = self._tables.get((kind, egress, fixed))
        if found is None:
            found = self._tables[kind, egress, fixed] = Lazy(make)
        return found

    def _way(self, egress: bool, table: GroupTable) -> Lazy[int, int]:
        """What one group lets through, by atom of the remote: as to the block around it, where the group names no other."""
        blocks, around = (table.egress if egress else table.ingress).blocks[self.family], self.around

        def of_group(atom: int) -> int:
            found = blocks.get(atom)
            return found if found is not None else row[around(atom)] if atom else 0

        row = self._table("way", egress, id(table), of_group)
        return row

    def _row(self, egress: bool, own: int) -> Lazy[int, int]:
        """What one set lets through, by atom of the remote."""
        tables, around = self.sets[own].tables, self.around
        ways = [self._way(egress, table) for table in tables]
        if len(ways) == 1:
            return ways[0]
        named = self.blocks(egress, own)

        def of_all(atom: int) -> int:
            if atom not in named:
                return row[around(atom)]
            out = 0
            for way in ways:
                out |= way[atom]
            return out

        row = self._table("row", egress, own, of_all)
        return row

    def blocks(self, egress: bool, own: int) -> set[int]:
        """The blocks that the rules of one set name."""
        tables = self.sets[own].tables
        return {0}.union(*((table.egress if egress else table.ingress).blocks[self.family] for table in tables))

    def pieces(self, egress: bool) -> Pieces:
        """What all sets let through, ready for strips."""
        found = self._pieces.get(egress)
        if found is None:
            found = self._pieces[egress] = Pieces(self, egress, Slots(len(self.engine.services.starts), 1))
        return found

    def naming_of(self, egress: bool, own: int) -> Lazy[int, int]:
        """What one set lets through by reference, by set of the remote."""
        found = self._tables.get(("naming", egress, own))
        if found is None:
            named, carried = self.sets[own].names(egress, self.family), self.carried

            def of_remote(remote: int) -> int:
                out = 0
                for group in carried[remote]:
                    if group in named:
                        out |= named[group]
                return out

            found = self._table("naming", egress, own, of_remote)
        return found

    def _gate(self, net: Net, egress: bool) -> Lazy[int, int]:
        """What a subnet's ACL lets through, by atom of the remote."""
        found = self._tables.get((net.acl_id, egress, -1))
        if found is None:
            acl, family = self.engine.acl(net.acl_id), self.family
            found = self._table(net.acl_id, egress, -1, lambda atom: acl.allowed(egress, family, atom))
        return found

    def _local(self, net: Net, atom: int) -> bool:
        """Does a subnet's table lead to an atom by the local route?"""
        away = WIDTH[self.family] + 1 - atom.bit_length()
        if inside(UNROUTED_CODES[self.family], WIDTH[self.family], (atom << away) - (1 << WIDTH[self.family])):
            return False
        routes = self.engine.routes(net.table_id)
        route = routes.to(self.family, atom)
        return route is not None and route.via is Via.LOCAL and not routes.uncertain

    def _locals(self, net: Net) -> Lazy[int, bool]:
        """`_local` for every atom."""
        found = self._local_rows.get(net.table_id)
        if found is None:
            found = self._local_rows[net.table_id] = Lazy(lambda atom: self._local(net, atom))
        return found

    # ------------------------------------------------------------------ between two spots
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
            values = [self._between(lanes, start, home) for start in starts]
            found = self._ways[key] = Way(len(self._ways), kinds, values)
        return found

    def _started(self, home: Net) -> tuple[list[int], list[_Start]]:
        """The kinds of spots that packets to a subnet start from: where its ACL and its routes treat them alike."""
        found = self._starts.get(home.subnet_id)
        if found is None:
            gate_in, gate_out = self._gate(home, False), self._gate(home, True)
            known: dict[_Start, int] = {}
            kinds = [
                known.setdefault(
                    None if not (net is home or self._by_router(home, atom, address))
                    else (net.subnet_id, gate_in[atom], gate_out[atom]), len(known))
                for atom, net, address in self.spots
            ]  # fmt: skip
            found = self._starts[home.subnet_id] = kinds, list(known)
        return found

    def _between(self, lanes: dict[str, _Lane], start: _Start, home: Net) -> Passage:
        lane = None if start is None else lanes[start[0]]
        if start is None or lane is None:
            return None
        full = self.engine.services.full
        return (
            self._let(full, full) if start[0] == home.subnet_id else self._let(lane[0] & start[1], lane[1] & start[2])
        )

    def _let(self, there: int, back: int) -> Passage:
        """What ACLs let through, if what they let through of answers is asked for as well."""
        services = self.engine.services
        for protocol in (services.tcp, services.udp):
            if not back & protocol:
                there &= ~protocol
        return there & (services.asking(back) | services.ported), back & services.ported

    def _lane(self, net: Net, to: int) -> _Lane:
        """What a subnet's ACL lets out to a spot, and lets back in; None where the route is not local."""
        atom, home, address = self.spots[to]
        if net is not home and not self._by_router(net, atom, address):
            return None
        return self._gate(net, True)[atom], self._gate(net, False)[atom]

    def _by_router(self, net: Net, atom: int, address: int) -> bool:
        return not inside(net.blocks[self.family], WIDTH[self.family], address) and self._locals(net)[atom]

    # ------------------------------------------------------------------ cells
    def cells(self, rows: Sequence[int], columns: Sequence[int]) -> Iterator[Cell]:
        """Every cell of these destinations (rows) and sources (columns) that is not empty."""
        aside = [n for n in rows if self._walk_all or n in self.unsure]
        for number in aside:
            for source in columns:
                yield from self.walked(source, number)
        known = rows if not aside else [n for n in rows if n not in set(aside)]
        for block in self._blocks(columns) if known else ():
            for number in known:
                yield from self._row_of(block, number)

    def _blocks(self, columns: Sequence[int]) -> Iterator[Block]:
        for at in range(0, len(columns), BLOCK):
            block = Block(self, columns[at : at + BLOCK])
            yield block
            block.forget()

    def _row_of(self, block: Block, number: int) -> Iterator[Cell]:
        yield from self._talking(number, block.row(number))
        for at in block.lie(self.places[number][2]).walked:
            yield from self.walked(block.columns[at], number)

    def _talking(self, number: int, row: list[P]) -> list[P]:
        """Those of a row where there are two different interfaces, one of each class."""
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
        tables = {net.table_id: net for net in self.nets}.values()
        return (
            self.known
            and not (nested or strays)
            and all(self._locals(net)[atom] for net in tables for atom in {c.atom for c in self.everyone})
        )

    def changed(self, was: Grid, rows: list[int], columns: list[int]) -> Iterator[Move]:
        """What differs from a grid of the same classes and the same network ACLs, for these destinations (rows) and these
        sources (columns), but for services that open no flow. Only of grids that are `plain`."""
        moved, every = frozenset(self.places[n][0] for n in columns), range(len(self.everyone))
        yield from self._changed(was, rows, every, moved, inward=True)
        aside = set(rows)
        yield from self._changed(was, [n for n in every if n not in aside], columns, moved, inward=False)

    def _changed(
        self, was: Grid, rows: Sequence[int], columns: Sequence[int], moved: frozenset[int], *, inward: bool
    ) -> Iterator[Move]:
        for at in range(0, len(columns), BLOCK) if rows else ():
            block = Block(self, columns[at : at + BLOCK], was, moved)
            for number in rows:
                yield from self._talking(number, block.moves(number, inward=inward))
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
    for everyone in classes(engine).values():
        grid, every = Grid(engine, everyone), range(len(everyone))
        yield from grid.cells(every, every)
        grid.forget()
