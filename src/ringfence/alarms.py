"""Evaluates alarms when they are due, and publishes the metrics of the installation's own resources (MON-04…06, MON-08)."""

from __future__ import annotations

import logging
import sqlite3

from ringfence import network_usage
from ringfence.api.ops.cloudwatch import composite, history, suppressing
from ringfence.api.ops.cloudwatch.alarm_states import Finding, called, evaluate, moved, step
from ringfence.api.ops.cloudwatch.tags import stored
from ringfence.api.outside import Metrics
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError
from ringfence.model.ids import IdSource
from ringfence.model.kinds import COMPOSITE_ALARM, METRIC_ALARM
from ringfence.model.world import Change, World
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence.alarms")
SECONDS = 5.0  # between two looks at what is due
_MINUTE = 60


class Evaluator:
    """`run` is called every few seconds. One alarm's trouble never keeps others from being evaluated."""

    def __init__(self, store: Store, metrics: Metrics, clock: Clock, ids: IdSource) -> None:
        self._store, self._metrics, self._clock, self._ids = store, metrics, clock, ids
        self._seen: dict[str, int] = {}  # alarm → the step it was evaluated for
        self._minute = 0

    def run(self) -> None:
        """Evaluate what is due, once for each step of time."""
        try:
            self._each_minute()
            found = self._findings()
            if found:
                self._store.write(lambda world: Commit(change=self._change(world, found)))
            if composite.evaluated(self._store.world):
                self._store.write(lambda world: Commit(change=self._composites(world)))
            if suppressing.later(self._store.world, self._clock.now().timestamp()):
                self._store.write(lambda world: Commit(change=self._held(world)))
        except (ApiError, sqlite3.Error) as problem:
            log.error("alarms are not evaluated: %s", problem)

    def _findings(self) -> dict[str, Finding]:
        now, found = self._clock.now(), {}
        alarms = self._store.world.all(METRIC_ALARM)
        self._seen = {alarm.id: self._seen.get(alarm.id, -1) for alarm in alarms}
        for alarm in alarms:
            due = int(now.timestamp()) // step(alarm)
            if self._seen[alarm.id] == due:
                continue
            self._seen[alarm.id] = due
            finding = evaluate(alarm, self._metrics, now)
            if finding is not None and finding.state != alarm.state:
                found[alarm.id] = finding
        return found

    def _change(self, world: World, found: dict[str, Finding]) -> Change:
        """What was found, of alarms that are still there and were not set to it meanwhile."""
        change, now = Change(), self._clock.now().timestamp()
        for id, finding in found.items():
            alarm = world.find(METRIC_ALARM, id)
            if alarm is not None and alarm.state != finding.state:
                change += moved(self._ids, world, alarm, finding, now)
        return change

    def _composites(self, world: World) -> Change:
        """Alarms over others, as those stand now."""
        change, now = Change(), self._clock.now().timestamp()
        found = composite.evaluated(world)
        states = {id: state for id, (state, _, _) in found.items()}
        for id, finding in found.items():
            alarm = world.find(COMPOSITE_ALARM, id)
            if alarm is not None:
                change += moved(self._ids, world, alarm, Finding(*finding), now, states)
        return change

    def _held(self, world: World) -> Change:
        """Composite alarms whose actions are held back by something else, or are due."""
        change, now = Change(), self._clock.now().timestamp()
        for id, held in suppressing.later(world, now).items():
            alarm = world.find(COMPOSITE_ALARM, id)
            if alarm is not None:
                after = suppressing.with_held(alarm, held)
                change += stored(after)
                change += suppressing.told(self._ids, after, now) if held else called(self._ids, after, now)
        return change

    def _each_minute(self) -> None:
        """Network address usage; history that is too old."""
        now = int(self._clock.now().timestamp())
        if now // _MINUTE == self._minute:
            return
        if history.forgotten(self._store.world, now):
            self._store.write(lambda world: Commit(change=history.forgotten(world, now)))
        samples = network_usage.samples(self._store.world, now)
        if samples:
            self._metrics.put(samples)
        self._minute = now // _MINUTE
