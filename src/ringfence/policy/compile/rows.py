"""Reading rows while remembering what was read: how the compiler knows what a change touches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ringfence.model.kinds import Kind
from ringfence.model.row import Row
from ringfence.model.world import Place, World

R = TypeVar("R", bound=Row)
V = TypeVar("V")


class Rows(Protocol):
    """The reading half of a World."""

    def find(self, kind: Kind[R], id: str | None) -> R | None:
        """The row, or None."""
        ...

    def get(self, kind: Kind[R], id: str) -> R:
        """The row; ApiError when there is none."""
        ...

    def by(self, kind: Kind[R], index: str, key: str) -> list[R]:
        """The rows of an index, in order of creation."""
        ...


class Parts(Rows, Protocol):
    """Rows, and parts of rows."""

    def part(self, kind: Kind[R], id: str, of: Callable[[R], V]) -> V:
        """What `of` takes from the row, where the rest of it does not matter; ApiError when there is none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """A part of a row that was read, and what it was."""

    place: Place
    kind: Kind[Any]
    id: str
    of: Callable[[Any], Any]
    value: Any

    def differs(self, world: World) -> bool:
        """Would it be another now?"""
        row = world.find(self.kind, self.id)
        return row is None or self.of(row) != self.value


class Reader:
    """A World that notes each place it is read at. INVARIANT: a value made through a Reader depends on `read` and the
    parts in `glances` only."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.read: set[Place] = set()
        self.glances: list[Glance] = []

    def find(self, kind: Kind[R], id: str | None) -> R | None:
        if id is None:
            return None
        self.read.add((kind.noun, id))
        return self._world.find(kind, id)

    def get(self, kind: Kind[R], id: str) -> R:
        self.read.add((kind.noun, id))
        return self._world.get(kind, id)

    def by(self, kind: Kind[R], index: str, key: str) -> list[R]:
        self.read.add((kind.noun, index, key))
        return self._world.by(kind, index, key)

    def part(self, kind: Kind[R], id: str, of: Callable[[R], V]) -> V:
        value = of(self._world.get(kind, id))
        self.glances.append(Glance((kind.noun, id), kind, id, of, value))
        return value


Maker = Callable[[Parts, Any], Any]
