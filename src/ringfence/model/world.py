"""The World: an immutable snapshot of every resource, and the Change that leads to the next one.

Rows live in persistent maps, so a new generation costs only what changed and readers need no lock.
INVARIANT: indexes are a function of the rows; `apply` is the only way to a new World.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from immutables import Map

from ringfence.model.errors import fault
from ringfence.model.ids import well_formed
from ringfence.model.kinds import KINDS, Kind
from ringfence.model.row import Row

R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Put:
    """Create the row, or replace the one of the same id."""

    kind: Kind[Any]
    row: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the row of that id."""

    kind: Kind[Any]
    id: str


Step = Put | Delete


@dataclass(frozen=True, slots=True)
class Change:
    """An ordered list of steps, applied all or not at all. `a + b` is a then b."""

    steps: tuple[Step, ...] = ()

    def __add__(self, other: Change) -> Change:
        return Change(self.steps + other.steps)

    def __bool__(self) -> bool:
        return bool(self.steps)


NOTHING = Change()


def put(kind: Kind[R], *rows: R) -> Change:
    return Change(tuple(Put(kind, row) for row in rows))


def delete(kind: Kind[Any], *ids: str) -> Change:
    return Change(tuple(Delete(kind, id) for id in ids))


_Members = Map[str, int]  # id -> order of creation

_Key = tuple[str, str]  # (index, key)
_Held = tuple[int, Row, frozenset[_Key]]  # order of creation, the row, and where it is indexed

#: what can be read from a World: a row `(noun, id)`, or the rows of an index `(noun, index, key)`
Place = tuple[str, str] | tuple[str, str, str]
#: how many generations back `touched_since` can look, and from how many steps on it does not try
_REMEMBERED, _LARGE = 64, 256


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """One applied change; compared by identity, so that Worlds of different histories are never mixed up."""

    #: (noun, id, keys before or after) of every step; None: too many to be worth telling
    steps: tuple[tuple[str, str, frozenset[_Key]], ...] | None

    def places(self) -> Iterator[Place]:
        """What may read differently. Told when asked: most Worlds are never asked."""
        for noun, id, keys in self.steps or ():
            yield noun, id
            for name, key in keys:
                yield noun, name, key


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Every resource of every account and Region at one `generation`."""

    generation: int = 0
    _rows: Map[tuple[str, str], _Held] = field(default_factory=Map)
    _index: Map[tuple[str, str, str], _Members] = field(default_factory=Map)
    _serial: int = 0
    _history: tuple[_Moment, ...] = ()

    # ------------------------------------------------------------------ reading
    def find(self, kind: Kind[R], id: str | None) -> R | None:
        """The row, or None."""
        held = self._rows.get((kind.noun, id)) if id is not None else None
        return held[1] if held else None  # type: ignore[return-value]

    def get(self, kind: Kind[R], id: str) -> R:
        """The row. ApiError with the kind's Malformed or NotFound code otherwise (INF-13)."""
        row = self.find(kind, id)
        if row is None:
            raise fault(kind.not_found if well_formed(kind.prefix, id) else kind.malformed, id=id)
        return row

    def all(self, kind: Kind[R], owner_id: str | None = None, region: str | None = None) -> list[R]:
        """Rows of a kind in order of creation; of one account and Region when both are given."""
        key = "" if owner_id is None else f"{owner_id}/{region}"
        return self._members(kind, "owner" if key else "all", key)

    def by(self, kind: Kind[R], index: str, key: str) -> list[R]:
        """Rows whose index (see `kinds.py`) has `key`, in order of creation."""
        assert index in kind.indexes, index
        return self._members(kind, index, key)

    def count(self, kind: Kind[Any], index: str, key: str) -> int:
        """How many rows `by` would give."""
        return len(self._index.get((kind.noun, index, key), ()))

    def count_owned(self, kind: Kind[Any], owner_id: str, region: str) -> int:
        """How many rows of the kind an account has in a Region."""
        return len(self._index.get((kind.noun, "owner", f"{owner_id}/{region}"), ()))

    def __iter__(self) -> Iterator[tuple[Kind[Any], Row]]:
        """Every row, in order of creation."""
        for (noun, _), (_, row, _) in sorted(self._rows.items(), key=lambda item: item[1][0]):
            yield KINDS[noun], row

    def _members(self, kind: Kind[R], index: str, key: str) -> list[R]:
        members = self._index.get((kind.noun, index, key))
        if members is None:
            return []
        rows = self._rows
        held = [rows[kind.noun, id] for id in members]
        held.sort(key=_order)
        return [row for _, row, _ in held]  # type: ignore[misc]

    def touched_since(self, before: World) -> frozenset[Place] | None:
        """Every place that may read differently in this World than in an earlier one.

        None when that is not known: `before` is no ancestor of this World, or too old a one.
        """
        if self is before:
            return frozenset()
        last = before._history[-1] if before._history else None
        since = next((n for n, moment in enumerate(self._history, 1) if moment is last), None)
        if since is None or any(moment.steps is None for moment in self._history[since:]):
            return None
        return frozenset(place for moment in self._history[since:] for place in moment.places())

    # ------------------------------------------------------------------ changing
    def apply(self, change: Change) -> World:
        """The next generation. KeyError if a Delete names a row that is not there (a bug of the caller)."""
        global _last
        last = _last  # often the same question twice: what a call shows is what it made, before it is committed
        if last is not None and last[0] is self and last[1] is change.steps:
            return last[2]
        after = self._next(change)
        _last = (self, change.steps, after)
        return after

    def _next(self, change: Change) -> World:
        rows, index, serial = self._rows.mutate(), self._index.mutate(), self._serial
        touched: list[tuple[str, str, frozenset[_Key]]] = []
        for step in change.steps:
            kind, noun = step.kind, step.kind.noun
            if isinstance(step, Put):
                row = step.row
                id, after = row.id, _keys(kind, row)
                held = rows.get((noun, id))
                if held is None:
                    serial += 1
                    order, before = serial, _NO_KEYS
                else:
                    order, _, before = held
                rows[noun, id] = (order, row, after)
            else:
                id, after = step.id, _NO_KEYS
                order, _, before = rows.pop((noun, id))
            _reindex(index, noun, id, before, after, order)
            touched.append((noun, id, before | after))
        moment = _Moment(tuple(touched) if len(touched) <= _LARGE else None)
        history = (*self._history[1 - _REMEMBERED :], moment)
        return World(self.generation + 1, rows.finish(), index.finish(), serial, history)


#: the newest application: World, steps, and the World they lead to. Replaced whole, so several threads may look
_last: tuple[World, tuple[Step, ...], World] | None = None


def _order(held: _Held) -> int:
    return held[0]


_NO_KEYS: frozenset[_Key] = frozenset()


def _keys(kind: Kind[Any], row: Row) -> frozenset[_Key]:
    keys = [("all", ""), ("owner", f"{row.owner_id}/{row.region}")]
    for name, of in kind.indexes.items():
        keys += [(name, key) for key in of(row)]
    return frozenset(keys)


def _reindex(index: Any, noun: str, id: str, before: frozenset[_Key], after: frozenset[_Key], order: int) -> None:
    """Move a row from its old keys to its new ones."""
    for name, key in before - after:
        members = index[noun, name, key].delete(id)
        if members:
            index[noun, name, key] = members
        else:
            del index[noun, name, key]
    for name, key in after - before:
        members = index.get((noun, name, key), _NO_MEMBERS)
        index[noun, name, key] = members.set(id, order)


_NO_MEMBERS: _Members = Map()


def world_of(rows: Iterable[tuple[Kind[Any], Row]]) -> World:
    """A World holding these rows, in this order of creation."""
    return World().apply(Change(tuple(Put(kind, row) for kind, row in rows)))
