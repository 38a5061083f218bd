"""What metric filters make of events (CloudWatch Logs User Guide: "Configuring metric values for a metric filter"; MON-06).

Summed by metric, dimensions and minute of the event, and stored together with the events.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from ringfence.insight.patterns import Pattern, compile_pattern, number_of
from ringfence.model.kinds import METRIC_FILTER
from ringfence.model.nouns.log import LogGroup, MetricFilter, MetricTransformation
from ringfence.model.world import World
from ringfence.store.metrics import Metric, Sample, of_values

_Dimensions = tuple[tuple[str, str], ...]
_Key = tuple[MetricTransformation, _Dimensions, int]


def samples(world: World, group: LogGroup, events: Sequence[tuple[int, str]]) -> list[Sample]:
    """What the group's filters make of a batch."""
    held: dict[_Key, list[float]] = {}
    for row in world.by(METRIC_FILTER, "group", group.id):
        _gather(row, events, held)
    return [_sample(group, key, values) for key, values in held.items()]


def _gather(row: MetricFilter, events: Iterable[tuple[int, str]], held: dict[_Key, list[float]]) -> None:
    pattern, made = compile_pattern(row.pattern), row.transformation
    for at, message in events:
        if pattern.matches(message):
            value, dimensions = _value(pattern, made.value, message), _dimensions(pattern, made, message)
        else:
            value, dimensions = made.default, ()
        if value is not None and dimensions is not None:
            held.setdefault((made, dimensions, at // 60_000 * 60), []).append(value)


def _value(pattern: Pattern, value: str, message: str) -> float | None:
    """A number; nothing when the field is not one."""
    text = pattern.field(message, value) if value.startswith("$") else value
    number = number_of(text) if text is not None else None
    return number if number is not None and math.isfinite(number) else None


def _dimensions(pattern: Pattern, made: MetricTransformation, message: str) -> _Dimensions | None:
    """Names and values, sorted; None when a field is not there: then there is no datapoint."""
    found = []
    for name, reference in made.dimensions:
        value = pattern.field(message, reference)
        if value is None:
            return None
        found.append((name, value))
    return tuple(sorted(found))


def _sample(group: LogGroup, key: _Key, values: list[float]) -> Sample:
    made, dimensions, minute = key
    return of_values(
        sorted(Counter(values).items()), account=group.owner_id, region=group.region,
        metric=Metric(made.namespace, made.name, dimensions), unit=made.unit or "None", at=minute,
    )  # fmt: skip
