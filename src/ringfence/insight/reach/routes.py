"""Route tables by address atom: the longest prefix wins (RT-05)."""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.insight.reach.atoms import code_of
from ringfence.insight.reach.journey import Unmodelled
from ringfence.insight.reach.places import UNROUTED_CODES
from ringfence.model.nouns.routing import BY_ENDPOINT
from ringfence.policy.ir import Route, RouteTable, Via


class Routes:
    """One route table; an atom is inside or outside each destination as a whole."""

    __slots__ = ("_by_block", "_lengths", "_local", "_memo", "_unread")

    def __init__(self, table: RouteTable) -> None:
        self._unread = table.unread
        self._by_block: dict[int, dict[int, Route]] = {4: {}, 6: {}}
        for route in table.routes:
            self._by_block[route.destination.version][code_of(route.destination)] = route
        self._lengths = {
            family: sorted({code.bit_length() for code in blocks}, reverse=True)
            for family, blocks in self._by_block.items()
        }
        self._memo: dict[tuple[int, int], Route | None] = {}
        self._local: dict[int, dict[int, bool]] = {4: {}, 6: {}}

    @property
    def elsewhere(self) -> bool:
        """Does it lead to what is not modelled, or may it?"""
        return bool(self._unread) or any(
            route.via is Via.UNMODELLED for routes in self._by_block.values() for route in routes.values()
        )

    def blocks(self, family: int) -> Iterable[int]:
        """The destinations of its routes."""
        return self._by_block[family]

    @property
    def uncertain(self) -> bool:
        """May routes that are not known lead elsewhere?"""
        return bool(self._unread)

    def to(self, family: int, atom: int) -> Route | None:
        """The route that leads to the addresses of an atom."""
        key = family, atom
        if key not in self._memo:
            self._memo[key] = self._longest(family, atom)
        return self._memo[key]

    def _longest(self, family: int, atom: int) -> Route | None:
        blocks, size = self._by_block[family], atom.bit_length()
        for length in self._lengths[family]:
            if length <= size:
                found = blocks.get(atom >> size - length)
                if found is not None:
                    return found
        return None

    def local(self, family: int, atom: int) -> bool:
        """Does the local route, for certain, lead to the addresses of an atom?"""
        found = self._local[family].get(atom)
        if found is None:
            route, size = self.to(family, atom), atom.bit_length()
            found = route is not None and route.via is Via.LOCAL and not self.uncertain
            unrouted = any(atom >> max(size - code.bit_length(), 0) == code for code in UNROUTED_CODES[family])
            found = self._local[family][atom] = found and not unrouted
        return found

    def refuse_unread(self, found: Route | None, *, public: bool) -> None:
        """Unmodelled when a route that is not known might lead elsewhere: it may be more specific than the one found.

        The routes of a gateway endpoint lead to public addresses alone, and never to addresses of the VPC (PL-10, VPE-01).
        """
        outside = public and (found is None or found.via is not Via.LOCAL)
        for id in self._unread:
            if outside or not id.endswith(BY_ENDPOINT):
                raise Unmodelled(id.removesuffix(BY_ENDPOINT), "it adds routes that are not known")
