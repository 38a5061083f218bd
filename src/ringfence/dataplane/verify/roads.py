"""Where packets are led by what the namespace knows of routes: policy rules by mark, then the longest prefix. Symbolic.

Independent of how the routes came about. A route or policy rule that asks for more than mark and destination is not known here:
what it could concern is led to `UNCLEAR`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.rtnetlink import Paths, PolicyRule, Route

#: places that are no links: nowhere; to the namespace itself; cannot be told
NOWHERE, ITSELF, UNCLEAR = "", "*itself", "*unclear"
_ENDS = {"blackhole": NOWHERE, "unreachable": NOWHERE, "prohibit": NOWHERE, "local": ITSELF, "broadcast": ITSELF,
         "anycast": ITSELF}  # fmt: skip


class Roads:
    """The routes of one namespace. `field`: which of a packet's addresses they are asked for."""

    def __init__(self, paths: Paths, field: int = p.DESTINATION) -> None:
        self._field = field
        self._rules = sorted(paths.rules, key=lambda rule: (rule.version, rule.priority))
        self._tables: dict[tuple[int, int], list[Route]] = {}
        self._links = paths.links
        for route in paths.routes:
            self._tables.setdefault((route.version, route.table), []).append(route)
        self._led: dict[tuple[int, int], tuple[Mapping[str, int], int]] = {}
        self._memo: dict[tuple[PolicyRule, ...], Mapping[str, int]] = {}

    def __call__(self, mark: int) -> Mapping[str, int]:
        """Link, or one of the other places → packets of this mark that are led there."""
        asked = tuple(rule for rule in self._rules if rule.strange or mark & rule.mask == rule.mark)
        found = self._memo.get(asked)
        if found is None:
            found = self._memo[asked] = self._work_out(asked)
        return found

    def _work_out(self, rules: Iterable[PolicyRule]) -> Mapping[str, int]:
        out: dict[str, int] = {}
        left = {version: p.box({p.FAMILY: p.family(version)}) for version in (4, 6)}
        for rule in rules:
            if rule.strange:
                out[UNCLEAR] = p.either(out.get(UNCLEAR, p.NONE), left[rule.version])
                left[rule.version] = p.NONE
                continue
            led, thrown = self._table(rule.version, rule.table)
            for place, some in led.items():
                part = p.both(some, left[rule.version])
                if part != p.NONE:
                    out[place] = p.either(out.get(place, p.NONE), part)
            left[rule.version] = p.both(left[rule.version], thrown)
        out[NOWHERE] = p.either(out.get(NOWHERE, p.NONE), *left.values())
        return out

    def _table(self, version: int, number: int) -> tuple[Mapping[str, int], int]:
        """Place → packets, and those that the next table is asked about."""
        found = self._led.get((version, number))
        if found is None:
            found = self._led[version, number] = self._longest(version, self._tables.get((version, number), []))
        return found

    def _longest(self, version: int, routes: list[Route]) -> tuple[Mapping[str, int], int]:
        whole = p.box({p.FAMILY: p.family(version)})
        spans: dict[str | None, list[p.Interval]] = {}
        for first, last, route in partition(version, routes):
            spans.setdefault(_place(route), []).append((first, last))
        sets = {place: p.both(whole, p.boxes([{self._field: span} for span in many])) for place, many in spans.items()}
        thrown = sets.pop(None, p.NONE)
        return {place: some for place, some in sets.items() if place is not None}, thrown


def _place(route: Route | None) -> str | None:
    """Where a route leads; None: to the next table."""
    if route is None or route.kind == "throw":
        return None
    if route.strange:
        return UNCLEAR
    return route.link if route.kind == "unicast" else _ENDS.get(route.kind, UNCLEAR)


def partition(version: int, routes: Iterable[Route]) -> list[tuple[int, int, Route | None]]:
    """The family's addresses as intervals, each with the route of the longest prefix, then of the smallest metric."""
    top = (1 << (32 if version == 4 else 128)) - 1
    best: dict[tuple[int, int], Route] = {}
    for route in routes:
        key = p.block(route.destination)
        held = best.get(key)
        if held is None or route.metric < held.metric:
            best[key] = route
    out: list[tuple[int, int, Route | None]] = []
    stack: list[tuple[int, Route | None]] = [(top, None)]
    at = 0

    def until(end: int) -> None:
        """Up to before `end`, by the routes that are open, innermost first."""
        nonlocal at
        while at < end:
            last, route = stack[-1]
            stop = min(last, end - 1)
            if stop >= at:
                out.append((at, stop, route))
                at = stop + 1
            if stop == last and len(stack) > 1:
                stack.pop()

    for (first, last), route in sorted(best.items(), key=lambda item: (item[0][0], -item[0][1])):
        until(first)
        while len(stack) > 1 and stack[-1][0] < first:
            stack.pop()
        stack.append((last, route))
    until(top + 1)
    return out
