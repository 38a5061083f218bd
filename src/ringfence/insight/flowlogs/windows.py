"""Observations added up per flow and aggregation interval, one `Windows` for each flow log (FL-26, FL-28, FL-45, FL-46).

Windows are aligned: each begins at a multiple of the interval. A window is closed once counters are read past its end; what
arrives for it later makes a further record of the same window, so that nothing is lost and nothing counted twice. An
observation that reaches over a window's begin belongs to the window of its last packet, its start moved to the begin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ringfence.insight.flowlogs.records import Gap, Observation

_Key = tuple[int, str, tuple[object, ...]]  # number of the window, interface, flow


@dataclass(frozen=True, slots=True)
class Span:
    """A window of one interface without counts: nothing came (`skipped` False), or what came is not known."""

    interface_id: str
    first: float
    last: float
    skipped: bool


Entry = Observation | Span


@dataclass(slots=True)
class Windows:
    """The open windows of one flow log. `interval` in seconds; windows before `closed` are done with."""

    interval: int
    closed: int
    _flows: dict[_Key, Observation] = field(default_factory=dict)
    _gaps: set[tuple[int, str]] = field(default_factory=set)
    _active: set[tuple[int, str]] = field(default_factory=set)

    @staticmethod
    def starting(interval: int, at: float) -> Windows:
        """Windows from that moment on. The one it lies in is not whole: it has records, but never NODATA."""
        return Windows(interval, math.ceil(at / interval))

    @property
    def interfaces(self) -> set[str]:
        """Those with something in an open window."""
        return {key[1] for key in self._flows} | {gap[1] for gap in self._gaps}

    @property
    def since(self) -> float | None:
        """When the first open window that has anything begins; None when none has."""
        numbers = [key[0] for key in self._flows] + [gap[0] for gap in self._gaps]
        return min(numbers) * self.interval if numbers else None

    def number(self, at: float) -> int:
        return int(at // self.interval)

    def add(self, seen: Observation) -> None:
        """Count an observation that is to be recorded."""
        window = self.number(seen.last)
        first = max(seen.first, window * self.interval)
        key = (window, seen.interface_id, seen.flow)
        held = self._flows.get(key)
        self._flows[key] = _sum(held, seen, first) if held is not None else replace(seen, first=first)
        self._active.add((window, seen.interface_id))

    def saw(self, interface_id: str, at: float) -> None:
        """There was traffic, though this flow log does not record it: its window is not one without data."""
        self._active.add((self.number(at), interface_id))

    def lost(self, gap: Gap) -> None:
        """SKIPDATA for every window that the gap touches."""
        first, last = self.number(gap.first), self.number(max(gap.first, gap.last))
        self._gaps.update((window, gap.interface_id) for window in range(first, last + 1))

    def close(self, until: float, interfaces: Iterable[str]) -> list[Entry]:
        """What is complete at `until`, the end of windows included for `interfaces`, in order of time."""
        end = self.number(until)
        over = sorted(
            (key for key in self._flows if key[0] < end), key=lambda key: (key[0], key[1], self._flows[key].first)
        )
        done: list[Entry] = [self._flows.pop(key) for key in over]
        done += self._spans(end, tuple(interfaces))
        self._gaps = {gap for gap in self._gaps if gap[0] >= end}
        self._active = {active for active in self._active if active[0] >= end}
        self.closed = max(self.closed, end)
        return done

    def _spans(self, end: int, interfaces: tuple[str, ...]) -> Iterator[Span]:
        for window, interface in sorted(gap for gap in self._gaps if gap[0] < end):
            yield self._span(window, interface, skipped=True)
        for window in range(self.closed, end):
            for interface in interfaces:
                if (window, interface) not in self._active and (window, interface) not in self._gaps:
                    yield self._span(window, interface, skipped=False)

    def _span(self, window: int, interface: str, *, skipped: bool) -> Span:
        return Span(interface, window * self.interval, (window + 1) * self.interval, skipped)


def _sum(held: Observation, seen: Observation, first: float) -> Observation:
    flags = None if held.tcp_flags is None or seen.tcp_flags is None else held.tcp_flags | seen.tcp_flags
    return replace(
        held, packets=held.packets + seen.packets, octets=held.octets + seen.octets, tcp_flags=flags,
        first=min(held.first, first), last=max(held.last, seen.last), reject=held.reject or seen.reject,
    )  # fmt: skip
