"""Route tables by address atom: the longest prefix wins (RT-05)."""

from __future__ import annotations

from ringfence.insight.reach.atoms import code_of
from ringfence.policy.ir import Route, RouteTable


class Routes:
    """One route table; an atom is inside or outside each destination as a whole."""

    __slots__ = ("_by_block", "_memo")

    def __init__(self, table: RouteTable) -> None:
        self._by_block: dict[int, dict[int, Route]] = {4: {}, 6: {}}
        for route in table.routes:
            self._by_block[route.destination.version][code_of(route.destination)] = route
        self._memo: dict[tuple[int, int], Route | None] = {}

    def to(self, family: int, atom: int) -> Route | None:
        """The route that leads to the addresses of an atom."""
        key = family, atom
        if key not in self._memo:
            blocks = self._by_block[family]
            while atom and atom not in blocks:
                atom >>= 1
            self._memo[key] = blocks.get(atom)
        return self._memo[key]
