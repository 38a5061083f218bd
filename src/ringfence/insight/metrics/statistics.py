"""Statistics of the samples of one period (CloudWatch User Guide: "CloudWatch statistics definitions").

Percentiles are by nearest rank: the least value that as many samples do not exceed. AWS's own are an approximation whose
method is not published.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BASIC = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")


@dataclass(slots=True)
class Bucket:
    """The samples of one period. `values`: each with how often; they say nothing unless they are as many as `count`."""

    count: float = 0.0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    values: dict[float, float] = field(default_factory=dict)

    def add(self, count: float, total: float, least: float, most: float) -> None:
        self.count += count
        self.total += total
        self.least, self.most = min(self.least, least), max(self.most, most)

    def ranked(self) -> list[tuple[float, float]] | None:
        """Values in order, each with how often; None when some samples are known by their summary alone."""
        if not math.isclose(math.fsum(self.values.values()), self.count, rel_tol=1e-9, abs_tol=1e-9):
            return None
        return sorted(self.values.items())


Statistic = Callable[[Bucket], float | None]
_BASIC: dict[str, Statistic] = {
    "SampleCount": lambda b: b.count, "Sum": lambda b: b.total, "Minimum": lambda b: b.least, "Maximum": lambda b: b.most,
    "Average": lambda b: b.total / b.count if b.count else None,
}  # fmt: skip
_NUMBER = r"[0-9]{1,10}(?:\.[0-9]{1,10})?"
_SHORT = re.compile(rf"(p|tm|wm|tc|ts)({_NUMBER})", re.IGNORECASE)
_RANGE = re.compile(rf"(PR|TM|WM|TC|TS)\((?:({_NUMBER})(%?))?:(?:({_NUMBER})(%?))?\)", re.IGNORECASE)


def statistic(text: str) -> Statistic | None:
    """The statistic of that name: one of BASIC, `p99.9`, `tm90`, `TM(2%:98%)`, `PR(:300)`, `IQM` …; None for no statistic."""
    if text in _BASIC:
        return _BASIC[text]
    if text.upper() == "IQM":
        return _trimmed("TM", 25.0, 75.0, percent=True)
    if found := _SHORT.fullmatch(text):
        kind, number = found[1].upper(), float(found[2])
        if number > 100:
            return None
        return _percentile(number) if kind == "P" else _trimmed(kind, 0.0, number, percent=True)
    found = _RANGE.fullmatch(text)
    return _of_range(found) if found is not None else None


def extended(text: str) -> bool:
    """Is it a statistic besides the five basic ones?"""
    return text not in _BASIC and statistic(text) is not None


def needs_values(text: str) -> bool:
    """Is the summary of a period not enough for it?"""
    return text not in _BASIC


def _of_range(found: re.Match[str]) -> Statistic | None:
    kind, low, low_percent, high, high_percent = found.groups()
    if (low is None and high is None) or (low and high and low_percent != high_percent):
        return None
    percent = bool(low_percent or high_percent)
    if kind.upper() == "PR" and percent:
        return None
    bounds = float(low or (0 if percent else -math.inf)), float(high or (100 if percent else math.inf))
    if bounds[0] > bounds[1] or (percent and bounds[1] > 100):
        return None
    return _trimmed(kind.upper(), *bounds, percent=percent)


def _percentile(number: float) -> Statistic:
    def of(bucket: Bucket) -> float | None:
        ranked = bucket.ranked()
        if not ranked:
            return None
        rank, seen = bucket.count * number / 100, 0.0
        for value, count in ranked:
            seen += count
            if seen >= rank - 1e-9:
                return value
        return ranked[-1][0]

    return of


def _trimmed(kind: str, low: float, high: float, *, percent: bool) -> Statistic:
    """Trimmed mean, winsorized mean, count, sum, or percentile rank, of what lies between two bounds."""

    def of(bucket: Bucket) -> float | None:
        ranked = bucket.ranked()
        if not ranked:
            return None
        inside = list(_between(ranked, bucket.count, low, high, percent=percent))
        count = math.fsum(n for _, n in inside)
        total = math.fsum(v * n for v, n in inside)
        if kind == "TC":
            return count
        if kind == "PR":
            return 100 * count / bucket.count
        if kind == "TS":
            return total
        if not count:
            return None
        return total / count if kind == "TM" else _winsorized(ranked, inside, bucket.count)

    return of


def _between(
    ranked: list[tuple[float, float]], whole: float, low: float, high: float, *, percent: bool
) -> Iterator[tuple[float, float]]:
    """Values past the lower bound up to the upper one; by percent, as much of each as lies there."""
    if not percent:
        yield from ((value, count) for value, count in ranked if low < value <= high)
        return
    first, last, seen = whole * low / 100, whole * high / 100, 0.0
    for value, count in ranked:
        part = min(seen + count, last) - max(seen, first)
        seen += count
        if part > 1e-12:
            yield value, part


def _winsorized(ranked: list[tuple[float, float]], inside: list[tuple[float, float]], whole: float) -> float:
    """What lies outside counts as the nearest value inside."""
    least, most = inside[0][0], inside[-1][0]
    below = math.fsum(n for v, n in ranked if v < least)
    above = math.fsum(n for v, n in ranked if v > most)
    middle = math.fsum(v * n for v, n in ranked if least <= v <= most)
    return (middle + below * least + above * most) / whole
