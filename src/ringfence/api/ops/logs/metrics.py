"""What metric filters make of events (CloudWatch Logs User Guide: "Configuring metric values for a metric filter"; MON-06).

Datapoints are summed by metric, dimensions and minute of the event. They are stored together with the events.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

from ringfence.insight.patterns import Pattern, compile_pattern, number_of
from ringfence.model.kinds import METRIC_FILTER
from ringfence.model.nouns.log import LogGroup, MetricFilter, MetricTransformation
from ringfence.model.world import World
from ringfence.store.events import Datapoint

_Key = tuple[MetricTransformation, str, int]


def datapoints(world: World, group: LogGroup, events: Sequence[tuple[int, str]]) -> list[Datapoint]:
    """What the group's filters make of a batch."""
    held: dict[_Key, list[float]] = {}
    for row in world.by(METRIC_FILTER, "group", group.id):
        _gather(row, events, held)
    return [_point(group, key, values) for key, values in held.items()]


def _gather(row: MetricFilter, events: Iterable[tuple[int, str]], held: dict[_Key, list[float]]) -> None:
    pattern, made = compile_pattern(row.pattern), row.transformation
    for at, message in events:
        if pattern.matches(message):
            value, dimensions = _value(pattern, made.value, message), _dimensions(pattern, made, message)
        else:
            value, dimensions = made.default, "[]"
        if value is not None and dimensions is not None:
            held.setdefault((made, dimensions, at // 60_000 * 60), []).append(value)


def _value(pattern: Pattern, value: str, message: str) -> float | None:
    """A number; nothing when the field is not one."""
    text = pattern.field(message, value) if value.startswith("$") else value
    number = number_of(text) if text is not None else None
    return number if number is not None and math.isfinite(number) else None


def _dimensions(pattern: Pattern, made: MetricTransformation, message: str) -> str | None:
    """Names and values as JSON; None when a field is not there: then there is no datapoint."""
    found = [(name, pattern.field(message, reference)) for name, reference in made.dimensions]
    return None if any(value is None for _, value in found) else json.dumps(sorted(found))


def _point(group: LogGroup, key: _Key, values: list[float]) -> Datapoint:
    made, dimensions, minute = key
    return Datapoint(
        account=group.owner_id, region=group.region, namespace=made.namespace, name=made.name, dimensions=dimensions,
        unit=made.unit or "None", minute=minute, total=math.fsum(values), count=len(values), least=min(values),
        most=max(values),
    )  # fmt: skip
