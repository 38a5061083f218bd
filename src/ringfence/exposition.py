"""Measurements in the text format of Prometheus (prometheus.io: "Exposition formats", version 0.0.4)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Family:
    """One measurement, with a line for each value. `kind`: counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    lines: list[str] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> Family:
        inside = _inside(labels)
        self.lines.append(f"{self.name}{'{' + inside + '}' if inside else ''} {_number(value)}\n")
        return self


def gauge(name: str, help: str, value: float | None = None, **labels: str) -> Family:
    family = Family(f"ringfence_{name}", "gauge", help)
    return family if value is None else family.add(value, **labels)


def counter(name: str, help: str, value: float | None = None, **labels: str) -> Family:
    family = Family(f"ringfence_{name}", "counter", help)
    return family if value is None else family.add(value, **labels)


def histogram(family: Family, bounds: Sequence[float], counts: Sequence[int], total: float, **labels: str) -> None:
    """One series of a histogram, from counts of each bucket by itself: one more than there are bounds."""
    inside, seen, name = _inside(labels), 0, family.name
    for bound, count in zip((*bounds, math.inf), counts, strict=True):
        seen += count
        family.lines.append(f'{name}_bucket{{{inside}{"," if inside else ""}le="{_number(bound)}"}} {seen}\n')
    family.lines.append(f"{name}_sum{{{inside}}} {_number(total)}\n{name}_count{{{inside}}} {seen}\n")


def text(families: Iterable[Family]) -> str:
    """The whole exposition; families without values are left out."""
    return "".join(line for family in families if family.lines for line in (_head(family), *family.lines))


def _head(family: Family) -> str:
    return f"# HELP {family.name} {_escaped(family.help)}\n# TYPE {family.name} {family.kind}\n"


def _inside(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_quoted(label)}"' for name, label in labels.items())


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _escaped(help: str) -> str:
    return help.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(label: str) -> str:
    return _escaped(label).replace('"', '\\"')
