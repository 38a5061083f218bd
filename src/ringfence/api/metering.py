"""How long calls take and how they end, counted where every call passes (docs/observing.md).

INVARIANT: labels come from the table of operations, never from what a client says, so that nobody can make them many.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field

from ringfence.api.ops.registry import OPERATIONS

#: upper bounds of the latency buckets, in seconds
BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
OTHER = ("other", "other")
#: by the first digit of the HTTP status
_OUTCOMES = {2: "ok", 3: "ok", 4: "refused", 5: "failed"}
Label = tuple[str, str]  # service, operation


@dataclass(slots=True)
class Latency:
    """Calls by how long they took. `counts`: one more than BOUNDS."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0


class Meter:
    """Counts from any thread; costs about a microsecond a call (`bench/metering.py`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latencies: dict[tuple[str, str, int], Latency] = {}
        self._errors: dict[tuple[str, str, str], int] = {}

    def answered(self, service: str, action: str, status: int, seconds: float) -> None:
        """A call got its answer."""
        key = (service, action, status // 100)
        place = bisect_left(BOUNDS, seconds)
        with self._lock:
            held = self._latencies.get(key)
            if held is None:
                held = self._held(key)
            held.counts[place] += 1
            held.seconds += seconds

    def _held(self, key: tuple[str, str, int]) -> Latency:
        service, action = _label(key[0], key[1])
        return self._latencies.setdefault((service, action, key[2]), Latency())

    def refused(self, service: str, action: str, code: str) -> None:
        """A call was refused with this code, which is one of `model/errors.py`."""
        key = (*_label(service, action), code)
        with self._lock:
            self._errors[key] = self._errors.get(key, 0) + 1

    def latencies(self) -> list[tuple[Label, str, Latency]]:
        """Operation, outcome, and how long it took; as of one moment."""
        with self._lock:
            held = [(key, Latency(list(one.counts), one.seconds)) for key, one in self._latencies.items()]
        return [
            ((service, action), _OUTCOMES.get(kind, "ok"), one)
            for (service, action, kind), one in sorted(held, key=_key)
        ]

    def errors(self) -> list[tuple[Label, str, int]]:
        """Operation, code, how often."""
        with self._lock:
            held = sorted(self._errors.items())
        return [((service, action), code, count) for (service, action, code), count in held]


def _key(item: tuple[tuple[str, str, int], Latency]) -> tuple[str, str, int]:
    return item[0]


def _label(service: str, action: str) -> Label:
    return (service, action) if (service, action) in OPERATIONS else OTHER
