"""Flow logs from counters to destinations (FL-28, FL-46 … FL-51, FL-57).

`collect` reads the counters about once a minute; `deliver` writes what is complete about every five. A record is delivered
at least once. While a destination fails, its records wait in a bounded buffer; past the bound the oldest are given up, and a
SKIPDATA record for each of their interfaces says so. What a crash loses (open windows, waiting records) is SKIPDATA too: the
time up to which everything was delivered is kept on disk.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ringfence.api.outside import Delivery
from ringfence.flow_sinks import UNKNOWN, DestinationError, Sink
from ringfence.insight.flowlogs.recorder import Recorder
from ringfence.insight.flowlogs.records import Observations, Record, Services, Status, Taken
from ringfence.model.clock import Clock
from ringfence.model.kinds import FLOW_LOG, NETWORK_INTERFACE
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import Change, Delete, World
from ringfence.store.store import Store

log = logging.getLogger("ringfence.flowlogs")

MOST_WAITING = 200_000  # records of one flow log
_FAILURES = (DestinationError, OSError, ValueError, ImportError)


@dataclass(slots=True)
class Waiting:
    """Records of one flow log that are not delivered yet. `skipped`: one SKIPDATA record for each interface."""

    flow_log: FlowLog
    records: list[Record] = field(default_factory=list)
    skipped: dict[str, Record] = field(default_factory=dict)
    status: Delivery = field(default_factory=Delivery)
    complete: float = 0.0  # everything that ended before is delivered

    def add(self, records: Iterable[Record], most: int) -> None:
        self.records.extend(records)
        surplus, self.records = self.records[: max(0, len(self.records) - most)], self.records[-most:]
        for record in surplus:
            self.give_up(record)

    def give_up(self, record: Record) -> None:
        """Put in its place that records of this interface are missing; one line may stand for many (FL-73)."""
        id, before = record.facts.interface_id, self.skipped.get(record.facts.interface_id)
        start, end = (
            (min(before.start, record.start), max(before.end, record.end)) if before else (record.start, record.end)
        )
        self.skipped[id] = replace(
            record, start=start, end=end, status=Status.SKIPDATA, observation=None, traffic_path=None, next_hop=None
        )

    def all(self) -> list[Record]:
        return sorted([*self.skipped.values(), *self.records], key=lambda record: record.end)

    def delivered(self, part: Sequence[Record]) -> None:
        gone = {id(record) for record in part}
        self.records = [record for record in self.records if id(record) not in gone]
        self.skipped = {key: record for key, record in self.skipped.items() if id(record) not in gone}


class FlowDeliverer:
    """All flow logs of an installation. `folder` keeps how far each was delivered. `seen` is told of every reading."""

    def __init__(
        self, store: Store, observations: Observations, sinks: Mapping[str, Sink], folder: Path, clock: Clock, *,
        services: Services = (), most: int = MOST_WAITING, seen: Callable[[World, Taken], None] | None = None,
    ) -> None:  # fmt: skip
        self._store, self._observations, self._sinks = store, observations, sinks
        self._folder, self._clock, self._most = folder, clock, most
        self._recorder, self._seen = Recorder(services), seen
        self._waiting: dict[str, Waiting] = {}
        self._counting: str | None = None  # what is wrong with the counters
        self._changes: deque[tuple[World, Change, float]] = deque()  # that delete interfaces, and when
        self._working = threading.Lock()
        self._resume()
        store.subscribe(self._changed)

    def delivery(self, flow_log_id: str) -> Delivery:
        """How deliveries of a flow log went."""
        waiting = self._waiting.get(flow_log_id)
        status = waiting.status if waiting is not None else Delivery()
        return replace(status, error=self._counting) if self._counting else status

    def _changed(self, before: World, _after: World, change: Change) -> None:
        """In the store's lock, so only noted: what was known of deleted interfaces is asked for when counters are read."""
        if any(isinstance(step, Delete) and step.kind is NETWORK_INTERFACE for step in change.steps):
            self._changes.append((before, change, self._clock.now().timestamp()))

    # ------------------------------------------------------------------ counters
    def collect(self) -> None:
        """Read the counters; complete records wait for delivery. While they cannot be read, every flow log is FAILED."""
        with self._working:
            try:
                taken = self._observations.take()
            except OSError as problem:
                log.error("the flow counters cannot be read: %s", problem)
                self._counting = UNKNOWN
                return
            self._counting, world = None, self._store.world
            if self._seen is not None:
                self._seen(world, taken)
            while self._changes:
                self._recorder.remember(*self._changes.popleft())
            made = self._recorder.take(world, taken)
            opened = self._recorder.opened()
            for id, waiting in self._of(world).items():
                waiting.add(made.get(id, ()), self._most)
                waiting.complete = min(opened.get(id, taken.until), taken.until)

    def _of(self, world: World) -> dict[str, Waiting]:
        """What waits, with an entry for each flow log. Those deleted stay until they are delivered once more."""
        for row in world.all(FLOW_LOG):
            held = self._waiting.setdefault(row.id, Waiting(row, complete=row.created))
            held.flow_log = row
        return self._waiting

    # ------------------------------------------------------------------ destinations
    def deliver(self) -> None:
        """Bring every destination up to what is complete."""
        with self._working:
            world = self._store.world
            for id, waiting in list(self._of(world).items()):
                self._one(waiting)
                if world.find(FLOW_LOG, id) is None:  # deleted: it was the last attempt
                    del self._waiting[id]
            self._keep(world)

    def _one(self, waiting: Waiting) -> None:
        now = self._clock.now().timestamp()
        records = waiting.all()
        if not records:
            return
        try:
            for part in self._sinks[waiting.flow_log.destination_type].deliver(waiting.flow_log, records):
                waiting.delivered(part)
            waiting.status = replace(waiting.status, at=now, attempted=now, error=None)
        except _FAILURES as problem:
            log.error("flow log %s is not delivered: %s", waiting.flow_log.id, problem)
            word = str(problem) if isinstance(problem, DestinationError) else UNKNOWN
            waiting.status = replace(waiting.status, attempted=now, error=word)

    # ------------------------------------------------------------------ how far
    def _keep(self, world: World) -> None:
        until = {
            id: min([waiting.complete, *(record.start for record in waiting.all())])
            for id, waiting in self._waiting.items()
        }
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self._place().with_suffix(".new")
            beside.write_text(json.dumps(until))
            beside.replace(self._place())
        except OSError as problem:  # more than is lost is then called lost
            log.error("how far flow logs were delivered cannot be written down: %s", problem)

    def _resume(self) -> None:
        """What was not delivered when the process before this one ended is lost: SKIPDATA for all of it."""
        world, now = self._store.world, self._clock.now().timestamp()
        try:
            kept: dict[str, float] = json.loads(self._place().read_text())
        except (OSError, ValueError):
            kept = {}
        for id, waiting in self._of(world).items():
            since = kept.get(id, waiting.flow_log.created)
            for record in self._recorder.resume(world, waiting.flow_log, since, now):
                waiting.give_up(record)
            waiting.complete = since

    def _place(self) -> Path:
        return self._folder / "delivered.json"
