"""What a Describe shows of each row, remembered until something it was made from changes.

A view reads the World through a Reader, which notes every place read; a change of any of them forgets the view. So a view
may depend on as many rows as it likes, and on rows that are absent, and nothing has to be declared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from ringfence.api.ops.context import Memo, Params
from ringfence.model.kinds import Kind
from ringfence.model.row import Row
from ringfence.model.world import Place, World
from ringfence.policy.compile.rows import Reader

View = Callable[[Any, Any], Params]


class ViewReader(Reader):
    """A Reader with what views ask besides rows: how many there are."""

    def count(self, kind: Kind[Any], index: str, key: str) -> int:
        self.read.add((kind.noun, index, key))
        return self._world.count(kind, index, key)


class Views:
    """What `view(world, row)` gives for rows of a kind. For several threads.

    INVARIANT: what is held is what `view` gives in `_world`; another World is served by moving to it, or without memory
    when it is an older one.
    """

    def __init__(self, kind: Kind[Any], view: View, *, limit: int = 10_000) -> None:
        self._kind, self._view, self._limit = kind, view, limit
        self._lock = threading.Lock()
        self._world: World | None = None
        self._made: dict[str, Memo] = {}
        self._readers: dict[Place, set[str]] = {}  # place -> ids of the rows whose view was made from it
        self._forgotten = 0

    def of(self, world: World, rows: Iterable[Row]) -> list[Memo]:
        """The view of each row; `rows` are rows of `world`."""
        with self._lock:
            if world is not self._world:
                self._move(world)
            made = self._made if world is self._world else {}
            found = [(row, made.get(row.id)) for row in rows]
        return [memo if memo is not None else self._make(world, row) for row, memo in found]

    def _make(self, world: World, row: Row) -> Memo:
        reader = ViewReader(world)
        shown = self._view(reader, row)
        memo = Memo(shown, self._kind.noun, lambda: shown)
        places = {*reader.read, (self._kind.noun, row.id)}
        with self._lock:
            if world is self._world:
                if len(self._made) + self._forgotten >= self._limit:
                    self._clear()
                self._made[row.id] = memo
                for place in places:
                    self._readers.setdefault(place, set()).add(row.id)
        return memo

    def _move(self, world: World) -> None:
        """Forget what was made from a place that may read differently in the new World."""
        if self._world is not None:
            touched = world.touched_since(self._world)
            if touched is None:
                if self._world.touched_since(world) is not None:
                    return  # an older World, of a slow reader
                self._clear()
            for place in touched or ():
                for id in self._readers.pop(place, ()):
                    if self._made.pop(id, None) is not None:
                        self._forgotten += 1  # its other places still name it
        self._world = world

    def _clear(self) -> None:
        self._made, self._readers, self._forgotten = {}, {}, 0
