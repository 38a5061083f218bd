"""CloudWatch Logs' groups, streams, metric filters and resource policies (CloudWatch Logs API Reference: data types).

Log events are no rows: they are in a store of their own (docs/adr/0008). Times are milliseconds since 1970, UTC, as the
API has them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup(Row):
    """A log group. `id` is its ARN without `:*`. `retention`: days, None = kept for ever. `kms_key`: the ARN of the key that new
    messages are sealed with."""

    name: str
    created: int
    retention: int | None = None
    log_class: str = "STANDARD"
    protected: bool = False
    kms_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStream(Row):
    """A log stream. `id` is its ARN.

    `number` names its events in the event store. INVARIANT: a stream made anew has another number, so that it never
    shows the events of the one that was deleted.
    """

    group: str  # the group's ARN
    name: str
    created: int
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTransformation:
    """What a match adds to which metric. `value`: a number, or the field to take it from (`$bytes`, `$.latency`)."""

    namespace: str
    name: str
    value: str
    default: float | None = None
    unit: str | None = None
    dimensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFilter(Row):
    """A metric filter. `id` is its group's ARN, `:metric-filter:` and its name."""

    group: str
    name: str
    pattern: str
    created: int
    transformation: MetricTransformation


@dataclass(frozen=True, slots=True, kw_only=True)
class LogResourcePolicy(Row):
    """A resource policy of the account in a Region. `id`: `account/region/name`."""

    name: str
    document: str
    updated: int
