"""CloudWatch's alarms and their history (CloudWatch API Reference: data types `MetricAlarm`, `AlarmHistoryItem`).

Times are seconds since 1970, UTC. Samples are no rows: they are in a store of their own (docs/metrics.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricStat:
    """A statistic of a metric over periods. `stat`: `Sum`, `p99` …; `dimensions`: sorted."""

    namespace: str
    name: str
    period: int
    stat: str
    dimensions: tuple[tuple[str, str], ...] = ()
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQuery:
    """One line of a query: a statistic of a metric, or an expression over other lines."""

    id: str
    stat: MetricStat | None = None
    expression: str | None = None
    label: str | None = None
    returned: bool = True
    period: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm(Row):
    """What all alarms have. `id` is the ARN."""

    name: str
    updated: float
    state_updated: float
    state: str = "INSUFFICIENT_DATA"
    reason: str = "Unchecked: Initial alarm creation"
    reason_data: str | None = None
    transitioned: float | None = None
    description: str | None = None
    actions_enabled: bool = True
    ok_actions: tuple[str, ...] = ()
    alarm_actions: tuple[str, ...] = ()
    insufficient_actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeAlarm(Alarm):
    """`rule`: the text of a rule over other alarms' states (`insight/metrics/rules.py`). `suppressor`: the alarm that holds actions
    back, by name or ARN, with its periods in seconds; `held_by`, `held_since`: what holds back actions that are due, if anything does
    (`insight/metrics/suppression.py`)."""

    rule: str
    suppressor: str | None = None
    wait: int | None = None
    extension: int | None = None
    held_by: str | None = None
    held_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricAlarm(Alarm):
    """It watches `stat`, or the one returned line of `queries`."""

    periods: int
    threshold: float
    comparison: str
    stat: MetricStat | None = None
    queries: tuple[MetricQuery, ...] = ()
    to_alarm: int | None = None
    missing: str | None = None
    low_samples: str | None = None

    @property
    def period(self) -> int:
        """Seconds of one datapoint; of queries, the longest of their metrics."""
        if self.stat is not None:
            return self.stat.period
        return max(query.stat.period if query.stat else query.period or 1 for query in self.queries)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmEvent(Row):
    """One item of an alarm's history. `alarm`: its ARN; it outlives the alarm."""

    alarm: str
    name: str
    at: float
    kind: str  # ConfigurationUpdate, StateUpdate, Action
    summary: str
    data: str
    type: str = "MetricAlarm"
