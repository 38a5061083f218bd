"""The reachability engine of the World of the moment, for whoever asks."""

from __future__ import annotations

import threading

from ringfence.insight.reach.engine import Engine
from ringfence.model.world import World
from ringfence.policy.compile import Compiler


class Engines:
    """Engines of one World after another; works out again only what changed in between. For several threads."""

    def __init__(self) -> None:
        self._compiler, self._lock = Compiler(), threading.Lock()
        self._world: World | None = None
        self._engine: Engine | None = None

    def of(self, world: World) -> Engine:
        """The engine of a World."""
        with self._lock:
            if self._engine is None or self._world is not world:
                ir = self._compiler.compile(world)
                self._engine = Engine(ir) if self._engine is None else self._engine.update(ir)
                self._world = world
            return self._engine
