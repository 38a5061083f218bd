"""Rows of the matrix at once: sets of services side by side in one number, so that one `&` judges many pairs.

A row of the matrix asks the same half dozen sets of every source: what the destination's groups let in, what the source's let
out, the network ACLs between, and back. Each of the six is a strip, one slot a source, and most of them serve many rows: a
strip of the destination's groups every address atom they are in, one of its atom every set of groups there. So a pair costs the
reading of its slot, and no arithmetic of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ringfence.insight.reach.classes import Cell, Endpoints, cell_of

if TYPE_CHECKING:
    from ringfence.insight.reach.matrix import Grid

#: sources side by side: enough that the arithmetic is nothing, few enough that all strips of a block are some megabytes
BLOCK = 64
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


_Strips = Lazy[int, int]


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
        return int.from_bytes(b"".join([each.to_bytes(width, "little") for each in sets]), "little")

    def piece(self, each: int) -> bytes:
        """A set as it lies in a strip."""
        return each.to_bytes(self.width, "little")

    def join(self, pieces: Iterable[bytes]) -> int:
        """A strip of pieces."""
        return int.from_bytes(b"".join(pieces), "little")

    def same(self, each: int) -> int:
        """A strip of one set over and over."""
        return int.from_bytes(each.to_bytes(self.width, "little") * self.count, "little")

    def cut(self, strip: int) -> tuple[bytes, ...]:
        """The sets of a strip, each as `number` reads it."""
        return self._cut.unpack(strip.to_bytes(self._size, "little"))


def number(slot: bytes) -> int:
    """The set in a slot."""
    return int.from_bytes(slot, "little")


class Lie(NamedTuple):
    """What lies between each source of a block and a spot: what ACLs let through there, and of answers; who is to be walked."""

    there: int
    answers: list[int]
    walked: list[int]


#: source, destination, services before and after, source ports that answers allow
Move = tuple[Endpoints, Endpoints, int, int, int]


class Pieces:
    """What the sets of groups of a VPC let through in one direction, as it lies in strips: the pieces that strips are joined of."""

    def __init__(self, grid: Grid, egress: bool, slots: Slots) -> None:
        self._grid, self._egress, self._slots = grid, egress, slots
        self._rows = grid.outward if egress else grid.inward
        self._every = range(len(grid.sets))
        #: the sets that name a block
        self._naming: dict[int, list[int]] = {}
        for own in self._every:
            for code in grid.blocks(egress, own):
                self._naming.setdefault(code, []).append(own)
        self._wide: Lazy[int, list[bytes]] = Lazy(self._made)
        self.named: Lazy[int, list[bytes]] = Lazy(self._by_reference)

    def forget(self) -> None:
        """Let go of the pieces."""
        self._wide.clear()
        self.named.clear()

    def _made(self, atom: int) -> list[bytes]:
        piece, rows = self._slots.piece, self._rows
        return [piece(rows[own][atom]) for own in self._every]

    def at(self, atom: int) -> list[bytes]:
        """By blocks, to or from an atom, of each set: as to the block around it, but for the sets that name it."""
        around = self._grid.around(atom)
        if not around or len(self._naming.get(atom, ())) > len(self._every) // 4:
            return self._wide[atom]
        out = self._wide[around].copy()
        for own in self._naming.get(atom, ()):
            out[own] = self._slots.piece(self._rows[own][atom])
        return out

    def _by_reference(self, remote: int) -> list[bytes]:
        piece, naming, egress = self._slots.piece, self._grid.naming_of, self._egress
        return [piece(naming(egress, own)[remote]) for own in self._every]


class Block:
    """Some sources (columns of a grid), and every destination. `was`: the grid before a change of rules, and `moved`, the sets of
    groups that let out something else since."""

    def __init__(
        self, grid: Grid, columns: Sequence[int], was: Grid | None = None, moved: frozenset[int] = frozenset()
    ) -> None:
        self.grid, self.columns = grid, columns
        services, old = grid.engine.services, was or grid
        self._slots = Slots(len(services.starts), len(columns))
        places = [grid.places[n] for n in columns]
        self._ends = [grid.everyone[n] for n in columns]
        self._sets = [own for own, _, _ in places]
        self._at = [(own, atom) for own, atom, _ in places]
        self._spots = [spot for _, _, spot in places]
        self._silent = self._slots.same(services.silent)
        self._loud = self._slots.same(~services.silent & (1 << len(services.starts)) - 1)
        #: most sets come again and again
        self._known: Lazy[bytes, int] = Lazy(number)
        self._lies: dict[int, Lie] = {}
        out, back, before = grid.pieces(True), grid.pieces(False), old.pieces(True)
        self._in: _Strips = Lazy(lambda own: self._facing(grid, False, own))
        self._out_block: _Strips = Lazy(lambda atom: self._spread(out.at(atom)))
        self._out_named: _Strips = Lazy(lambda own: self._spread(out.named[own]))
        # ... the way back, of what opens no flow
        self._back_out: _Strips = Lazy(lambda own: self._facing(grid, True, own))
        self._back_block: _Strips = Lazy(lambda atom: self._spread(back.at(atom)))
        self._back_named: _Strips = Lazy(lambda own: self._spread(back.named[own]))
        # ... and before the change
        self._was_in: _Strips = Lazy(lambda own: self._facing(old, False, own))
        self._was_block, self._was_named = self._out_block, self._out_named
        if moved:
            here = [own in moved for own in self._sets]
            self._was_block = Lazy(lambda atom: self._mixed(here, before.at(atom), out.at(atom)))
            self._was_named = Lazy(lambda own: self._mixed(here, before.named[own], out.named[own]))

    def forget(self) -> None:
        """Let go of the strips, at once: they know each other, and would stay until they are collected."""
        for strips in (self._in, self._out_block, self._out_named, self._back_out, self._back_block, self._back_named,
                       self._was_in, self._was_block, self._was_named):  # fmt: skip
            strips.clear()
        self._known.clear()
        self._lies.clear()

    def _spread(self, pieces: list[bytes]) -> int:
        """To each source the piece of its set of groups."""
        return self._slots.join([pieces[own] for own in self._sets])

    def _mixed(self, here: list[bool], before: list[bytes], after: list[bytes]) -> int:
        return self._slots.join(
            [(before if moved else after)[own] for own, moved in zip(self._sets, here, strict=True)]
        )

    def _facing(self, grid: Grid, egress: bool, own: int) -> int:
        """What the groups of a destination let through from, or to, each source."""
        block, named = (grid.outward if egress else grid.inward)[own], grid.naming_of(egress, own)
        return self._slots.of([block[atom] | named[remote] for remote, atom in self._at])

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
            there = self._slots.of([0 if p is None else p[0] for p in passages])
            found = self._lies[way.number] = Lie(there, [0 if p is None else p[1] for p in passages], walked)
        return found

    # ------------------------------------------------------------------ a row
    def row(self, number: int) -> list[Cell]:
        """Every pair with a destination that may talk, but for those to be walked."""
        grid = self.grid
        own, atom, spot = grid.places[number]
        lie, there = self.lie(spot), grid.everyone[number]
        wanted = self._in[own] & (self._out_block[atom] | self._out_named[own]) & lie.there
        if wanted & self._silent:
            wanted &= self._loud | self._back_out[own] & (self._back_block[atom] | self._back_named[own])
        if not wanted:
            return []
        known, slots = self._known, self._slots.cut(wanted)
        return [
            cell_of((source, there, services, answers, None, None))
            for source, slot, answers in zip(self._ends, slots, lie.answers, strict=True)
            if (services := known[slot])
        ]

    def moves(self, number: int, *, inward: bool) -> list[Move]:
        """Every pair with a destination that `was` judges otherwise, but for what opens no flow. `inward`: the destination's
        own rules may be others, too."""
        own, atom, spot = self.grid.places[number]
        lie, there = self.lie(spot), self.grid.everyone[number]
        passed = lie.there & self._loud
        after = self._in[own] & (self._out_block[atom] | self._out_named[own]) & passed
        before = (self._was_in if inward else self._in)[own] & (self._was_block[atom] | self._was_named[own]) & passed
        if before == after:
            return []
        known, cut = self._known, self._slots.cut
        return [
            (source, there, known[old], known[new], answers)
            for source, old, new, answers in zip(self._ends, cut(before), cut(after), lie.answers, strict=True)
            if old != new
        ]
