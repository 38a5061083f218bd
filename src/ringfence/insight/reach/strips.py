"""Rows of the matrix at once: sets of services side by side in one number, so that one `&` judges many pairs.

A row of the matrix asks the same few sets of every source: what the destination's groups let in, what the source's let out,
the network ACLs between, and back. Each is a strip, one slot a source. Strips are made for single groups and single address
atoms, of which there are few; that of a list of groups is the `|` of theirs. A pair costs the reading of its slot.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import compress, groupby, repeat
from operator import itemgetter, or_
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ringfence.insight.reach.classes import Cell, Endpoints, cell_of
from ringfence.insight.reach.groups import GroupTable, Way

if TYPE_CHECKING:
    from ringfence.insight.reach.matrix import Grid

#: sources side by side: enough that the arithmetic is nothing, few enough that all strips of a block are some megabytes
BLOCK = 128
#: so few slots are set one by one
_FEW = 8
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lazy(dict[K, V]):
    """A table whose entries are made when first read."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        found = self[key] = self._make(key)
        return found


class Slots:
    """How sets lie in a strip: `count` of them, each of so many atoms."""

    __slots__ = ("_cut", "_size", "count", "width")

    def __init__(self, atoms: int, count: int) -> None:
        self.width, self.count = (atoms + 7) // 8, count
        self._size = self.width * count
        self._cut = Struct(f"{self.width}s" * count)

    def of(self, sets: Iterable[int]) -> int:
        """A strip of these sets."""
        width = self.width
        return self.join([each.to_bytes(width, "little") for each in sets])

    def join(self, pieces: Iterable[bytes]) -> int:
        """A strip of sets that are bytes already."""
        return int.from_bytes(b"".join(pieces), "little")

    def some(self, sets: Mapping[int, int]) -> int:
        """A strip of these sets by slot, and nothing elsewhere."""
        if len(sets) > _FEW:
            return self.join(_pieces(sets, self.width, self.count))
        out, bits = 0, 8 * self.width
        for at, each in sets.items():
            out |= each << at * bits
        return out

    def same(self, each: int) -> int:
        """A strip of one set over and over."""
        return int.from_bytes(each.to_bytes(self.width, "little") * self.count, "little")

    def cut(self, strip: int) -> list[int]:
        """The sets of a strip."""
        return list(map(_number, self._cut.unpack(strip.to_bytes(self._size, "little")), repeat("little")))


#: bytes as a set
_number: Callable[[bytes, Any], int] = int.from_bytes


def _pieces(sets: Mapping[int, int], width: int, count: int) -> list[bytes]:
    """Sets by number as bytes, and nothing elsewhere."""
    out = [bytes(width)] * count
    for at, each in sets.items():
        out[at] = each.to_bytes(width, "little")
    return out


#: groups, each with services
Named = Iterable[tuple[str, int]]


class Naming:
    """What the groups of a VPC let through, by what their rules name. Directions: egress?"""

    def __init__(self, grid: Grid) -> None:
        family = grid.family
        self._family, self._lists = family, len(grid.sets)
        self._width = Slots(len(grid.engine.services.starts), 1).width
        self._carrying: dict[str, list[int]] = {}
        self._tables: dict[str, GroupTable] = {}
        for own, (carried, groups) in enumerate(zip(grid.carried, grid.sets, strict=True)):
            self._tables.update(zip(carried, groups.tables, strict=True))
            for group in carried:
                self._carrying.setdefault(group, []).append(own)
        #: by block the groups that name it, and what they let through
        self.blocks: Lazy[bool, dict[int, list[tuple[str, int]]]] = Lazy(self._by_block)
        #: what each list of groups lets through in a direction because it names a group,
        self.by_name: Lazy[tuple[bool, str], list[bytes]] = Lazy(lambda key: self._spread(self._naming(*key)))
        #: and what a group lets through because it names one of the list
        self.of_way: Lazy[Way, list[bytes]] = Lazy(lambda way: self._spread(way.groups[family].items()))

    def _ways(self, egress: bool) -> Iterator[tuple[str, Way]]:
        for group, table in self._tables.items():
            yield group, table.egress if egress else table.ingress

    def _by_block(self, egress: bool) -> dict[int, list[tuple[str, int]]]:
        out: dict[int, list[tuple[str, int]]] = {}
        for group, way in self._ways(egress):
            for code, services in way.blocks[self._family].items():
                out.setdefault(code, []).append((group, services))
        return out

    def _naming(self, egress: bool, named: str) -> Named:
        """The groups that name a group, and what they let through."""
        for group, way in self._ways(egress):
            services = way.groups[self._family].get(named)
            if services:
                yield group, services

    def forget(self) -> None:
        """Let go of the pieces."""
        self.blocks.clear()
        self.by_name.clear()
        self.of_way.clear()

    def _spread(self, named: Named) -> list[bytes]:
        """To each list of groups what is said of any of them."""
        sets: dict[int, int] = {}
        for group, services in named:
            for own in self._carrying.get(group, ()):
                sets[own] = sets.get(own, 0) | services
        return _pieces(sets, self._width, self._lists)


class Lie(NamedTuple):
    """What lies between each source of a block and a spot: what ACLs let through there, and of answers; who is to be walked."""

    there: int
    answers: list[int]
    walked: list[int]


class Facing(NamedTuple):
    """What lies between the sources and a list of groups, wherever its bearer is."""

    lets: int  # what the list lets in, of what opens no flow only if its answer goes out again
    named: int  # what sources let out because they name a group of it,
    answered: int  # and in again; all that opens a flow


class Talk(NamedTuple):
    """The sources that may say anything to a destination, what, and the source ports that answers allow."""

    sources: list[Endpoints]
    services: list[int]
    answers: list[int]


_SILENCE = Talk([], [], [])


class Moves(NamedTuple):
    """The sources whose talk with a destination is judged otherwise now: services opened and closed, source ports that answers allow."""

    sources: list[Endpoints]
    opened: list[int]
    closed: list[int]
    answers: list[int]


_STILL = Moves([], [], [], [])


class Sources:
    """What the sources of a block let out, or in, by the rules of one grid."""

    def __init__(self, block: Block, grid: Grid, *, egress: bool) -> None:
        self._block, self._around, naming = block, grid.around, grid.naming
        self._blocks = naming.blocks[egress]
        #: to or from an address atom
        self.by_block: Lazy[int, int] = Lazy(self._at)
        #: to or from the bearers of a group
        self._by_name: Lazy[str, int] = Lazy(lambda group: block.spread(naming.by_name[egress, group]))

    def _at(self, atom: int) -> int:
        """As the block around it, and to the sources that name it."""
        carrying, sets = self._block.carrying, dict[int, int]()
        for group, services in self._blocks.get(atom, ()):
            for at in carrying.get(group, ()):
                sets[at] = sets.get(at, 0) | services
        wider = self.by_block[self._around(atom)] if atom > 1 else 0
        return wider | self._block.slots.some(sets) if sets else wider

    def by_name(self, groups: Iterable[str]) -> int:
        """To or from the bearers of a list of groups."""
        out = 0
        for group in groups:
            out |= self._by_name[group]
        return out

    def forget(self) -> None:
        """Let go of the strips."""
        self.by_block.clear()
        self._by_name.clear()


class Block:
    """Some sources (columns of a grid), and every destination."""

    def __init__(self, grid: Grid, columns: Sequence[int]) -> None:
        self.grid, self.columns = grid, columns
        services = grid.engine.services
        self.slots = Slots(len(services.starts), len(columns))
        self.ends = [grid.everyone[n] for n in columns]
        self._spots = [grid.places[n][2] for n in columns]
        sets = [grid.places[n][0] for n in columns]
        self._pick: Callable[[Sequence[bytes]], Iterable[bytes]] = (
            itemgetter(*sets) if len(sets) > 1 else lambda pieces: [pieces[sets[0]]]
        )
        #: which sources carry a group, and which are inside a block
        self.carrying: dict[str, list[int]] = {}
        self._inside: dict[int, list[int]] = {}
        for at, end in enumerate(self.ends):
            for group in end.groups:
                self.carrying.setdefault(group, []).append(at)
            code = end.atom
            while code:
                self._inside.setdefault(code, []).append(at)
                code = grid.around(code)
        self.loud = self.slots.same(~services.silent & (1 << len(services.starts)) - 1)
        self._lies: dict[int, Lie] = {}
        self._ways: Lazy[Way, int] = Lazy(self._way)
        self.out, self._back = Sources(self, grid, egress=True), Sources(self, grid, egress=False)

    def forget(self) -> None:
        """Let go of the strips, at once: they know each other, and would stay until they are collected."""
        self._ways.clear()
        self._lies.clear()
        self.out.forget()
        self._back.forget()

    def _way(self, way: Way) -> int:
        """What a group of a destination lets through from, or to, each source."""
        width, pieces = self.slots.width, [bytes(self.slots.width)] * self.slots.count
        for code, services in way.blocks[self.grid.family].items():  # the wider first, the narrower let through more
            piece = services.to_bytes(width, "little")
            if code == 1:
                pieces = [piece] * self.slots.count
            else:
                for at in self._inside.get(code, ()):
                    pieces[at] = piece
        return self.slots.join(pieces) | self.spread(self.grid.naming.of_way[way])

    def spread(self, pieces: Sequence[bytes]) -> int:
        """To each source the piece of its list of groups."""
        return self.slots.join(self._pick(pieces))

    def lets(self, tables: Iterable[GroupTable], *, egress: bool) -> int:
        """What the groups of a destination let through together."""
        out = 0
        for table in tables:
            out |= self._ways[table.egress if egress else table.ingress]
        return out

    def _facing(self, own: int) -> Facing:
        grid, loud = self.grid, self.loud
        tables, groups = grid.sets[own].tables, grid.carried[own]
        lets = self.lets(tables, egress=False) & (loud | self.lets(tables, egress=True))
        return Facing(lets, self.out.by_name(groups), loud | self._back.by_name(groups))

    def lie(self, spot: int) -> Lie:
        """What lies between the sources and a spot."""
        way = self.grid.passage(spot)
        found = self._lies.get(way.number)
        if found is None:
            passages = [way.values[way.kinds[start]] for start in self._spots]
            unsure = self.grid.unsure
            walked = [at for at, p in enumerate(passages) if p is None or self.columns[at] in unsure]
            for at in walked:
                passages[at] = None
            there = self.slots.of([0 if p is None else p[0] for p in passages])
            found = self._lies[way.number] = Lie(there, [0 if p is None else p[1] for p in passages], walked)
        return found

    # ------------------------------------------------------------------ rows
    def together(self, numbers: Iterable[int]) -> Iterator[tuple[int, Iterator[int]]]:
        """Destinations by their list of groups: what faces one list is made once, and not kept."""
        places = self.grid.places

        def own(number: int) -> int:
            return places[number][0]

        return groupby(sorted(numbers, key=own), key=own)

    def rows(self, numbers: Iterable[int]) -> Iterator[tuple[int, list[Cell]]]:
        """Of each destination every pair that may talk, but for those to be walked."""
        places, everyone, nothing = self.grid.places, self.grid.everyone, repeat(None)
        for own, together in self.together(numbers):
            facing = self._facing(own)
            last: dict[int, tuple[int, Talk]] = {}
            for number in together:
                _, atom, spot = places[number]
                lie, there = self.lie(spot), repeat(everyone[number])
                wanted = facing.lets & (self.out.by_block[atom] | facing.named) & lie.there
                wanted &= self._back.by_block[atom] | facing.answered
                known, talk = last.get(id(lie), (0, _SILENCE))
                if known != wanted:  # most addresses of a subnet are the same to all sources
                    talk = self._talking(wanted, lie)
                    last[id(lie)] = wanted, talk
                parts = zip(talk.sources, there, talk.services, talk.answers, nothing, nothing, strict=False)
                yield number, list(map(cell_of, parts))

    def _talking(self, wanted: int, lie: Lie) -> Talk:
        services = self.slots.cut(wanted)
        if all(services):
            return Talk(self.ends, services, lie.answers)
        return Talk(
            list(compress(self.ends, services)), list(filter(None, services)), list(compress(lie.answers, services))
        )


class Change:
    """A block under the rules of its grid, and of one of the same classes and network ACLs from before they were changed."""

    def __init__(self, block: Block, was: Grid, *, inward: bool, outward: bool) -> None:
        """`inward`, `outward`: destinations may let in, and sources out, something else since."""
        self._block, self._now, self._was = block, block.grid, was if inward else block.grid
        self._before = Sources(block, was, egress=True) if outward else block.out

    def forget(self) -> None:
        """Let go of the strips."""
        self._before.forget()

    def moves(self, numbers: Iterable[int]) -> Iterator[tuple[int, Moves]]:
        """Of each destination every pair that is judged otherwise now, but for what opens no flow."""
        block, now, before = self._block, self._block.out, self._before
        for own, together in block.together(numbers):
            groups = self._now.carried[own]
            new_in, old_in = (block.lets(grid.sets[own].tables, egress=False) for grid in (self._now, self._was))
            new_named, old_named = now.by_name(groups), before.by_name(groups)
            last: dict[int, tuple[tuple[int, int], Moves]] = {}
            for number in together:
                _, atom, spot = self._now.places[number]
                lie = block.lie(spot)
                passed = lie.there & block.loud
                after = new_in & (now.by_block[atom] | new_named) & passed
                was = old_in & (before.by_block[atom] | old_named) & passed
                moved = after ^ was
                if moved:
                    key = moved & after, moved & was
                    known, moves = last.get(id(lie), (None, _STILL))
                    if known != key:
                        moves = self._pairs(*key, lie)
                        last[id(lie)] = key, moves
                    yield number, moves

    def _pairs(self, opened: int, closed: int, lie: Lie) -> Moves:
        block, count = self._block, self._block.slots.count
        more, less = (block.slots.cut(each) if each else [0] * count for each in (opened, closed))
        moved = list(map(or_, more, less))
        return Moves(
            list(compress(block.ends, moved)), list(compress(more, moved)),
            list(compress(less, moved)), list(compress(lie.answers, moved)),
        )  # fmt: skip
