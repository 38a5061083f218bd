"""The reachability engine of the World of the moment, for whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from ringfence.insight.reach.engine import Engine
from ringfence.model.world import World
from ringfence.policy.compile import Compiler

T = TypeVar("T")


class Engines:
    """Engines of one World after another; works out again only what changed in between. For several threads."""

    def __init__(self) -> None:
        self._compiler, self._lock = Compiler(), threading.Lock()
        self._world: World | None = None
        self._engine: Engine | None = None
        self._once: tuple[World, Hashable, object] | None = None

    def of(self, world: World) -> Engine:
        """The engine of a World."""
        with self._lock:
            if self._engine is None or self._world is not world:
                ir = self._compiler.compile(world)
                self._engine = Engine(ir) if self._engine is None else self._engine.update(ir)
                self._world = world
            return self._engine

    def once(self, world: World, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives for a World, remembered until another is asked for: an answer that is worked out before the store is
        locked need not be worked out again."""
        held = self._once
        if held is not None and held[0] is world and held[1] == key:
            return held[2]  # type: ignore[return-value]
        made = make()
        self._once = (world, key, made)
        return made
