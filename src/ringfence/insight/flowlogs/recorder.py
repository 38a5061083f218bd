"""From what counters report to records, for every flow log (FL-14, FL-15, FL-45 … FL-47, FL-72, FL-73, FL-87).

The World says which flow logs there are and what an interface is. Each flow log counts for itself: two that cover one
interface have records of their own. An interface that is deleted before its counters are read is remembered.
"""

from __future__ import annotations

from ringfence.insight.flowlogs.facts import covered, covering, facts_of, recorded, wants, way
from ringfence.insight.flowlogs.fields import version_of
from ringfence.insight.flowlogs.records import Facts, Observation, Record, Services, Status, Taken
from ringfence.insight.flowlogs.windows import Entry, Span, Windows
from ringfence.model.kinds import FLOW_LOG, NETWORK_INTERFACE
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import Change, Delete, World

#: a data plane takes a deleted interface away within that time; what counters were read up to then has all of it
AFTER_SECONDS = 120.0


class Recorder:
    """The open windows of all flow logs. `services`: networks of AWS's services, if any are known (FL-35)."""

    def __init__(self, services: Services = ()) -> None:
        self._services = services
        self._windows: dict[str, Windows] = {}
        self._facts: dict[str, Facts] = {}  # of interfaces with open windows, also of deleted ones
        self._gone: dict[str, float] = {}  # deleted interfaces, and from when on counters can have nothing new of them

    def remember(self, before: World, change: Change, at: float) -> None:
        """A change was made: keep what is known of the interfaces that it deleted, for counters that were not read since."""
        for step in change.steps:
            if isinstance(step, Delete) and step.kind is NETWORK_INTERFACE:
                known = facts_of(before, step.id)
                if known is not None and any(covering(before, known)):
                    self._facts[step.id] = known
                    self._gone[step.id] = at + AFTER_SECONDS

    def resume(self, world: World, log: FlowLog, since: float, now: float) -> list[Record]:
        """Begin again at `now`. What came between is lost: a SKIPDATA record for each interface that the log covers."""
        self._windows[log.id] = Windows.starting(log.interval, now)
        if since >= now:
            return []
        spans = [Span(interface_id=id, first=since, last=now, skipped=True) for id in covered(world, log)]
        return [
            record
            for span in spans
            if (record := self._record(world, log, span, self._known(world, span.interface_id))) is not None
        ]

    def opened(self) -> dict[str, float]:
        """By flow log, from when on packets were counted that are in no record yet; without an entry: none were."""
        return {id: since for id, windows in self._windows.items() if (since := windows.since) is not None}

    def take(self, world: World, taken: Taken) -> dict[str, list[Record]]:
        """Records of what is complete now, by flow log, in order of time."""
        logs = {log.id: log for log in world.all(FLOW_LOG)}
        self._windows = {id: windows for id, windows in self._windows.items() if id in logs}
        about: dict[str, tuple[Facts | None, list[FlowLog]]] = {}  # looked up once for each interface
        for seen in taken.observations:
            if seen.interface_id not in about:
                found = self._known(world, seen.interface_id)
                about[seen.interface_id] = found, list(covering(world, found)) if found else []
            self._count(world, seen, *about[seen.interface_id])
        for interface_id, at in taken.unasked:
            known = self._known(world, interface_id)
            for log in covering(world, known) if known else ():
                if at >= log.created:
                    self._of(log).saw(interface_id, at)
        for gap in taken.gaps:
            known = self._known(world, gap.interface_id)
            for log in covering(world, known) if known else ():
                if gap.last >= log.created:
                    self._of(log).lost(gap)
        done = {id: self._close(world, log, taken.until) for id, log in logs.items()}
        self._gone = {id: last for id, last in self._gone.items() if taken.until < last}
        self._facts = {
            id: facts
            for id, facts in self._facts.items()
            if world.find(NETWORK_INTERFACE, id) or id in self._gone or self._open(id)
        }
        return {id: records for id, records in done.items() if records}

    def _count(self, world: World, seen: Observation, known: Facts | None, logs: list[FlowLog]) -> None:
        if known is None or not recorded(world, known, seen):
            return
        for log in logs:
            if seen.last < log.created:
                continue
            if wants(log, seen):
                self._of(log).add(seen)
            else:
                self._of(log).saw(seen.interface_id, seen.last)

    def _close(self, world: World, log: FlowLog, until: float) -> list[Record]:
        entries = self._of(log).close(until, covered(world, log))
        known = {entry.interface_id: self._known(world, entry.interface_id) for entry in entries}
        made = (self._record(world, log, entry, known[entry.interface_id]) for entry in entries)
        return [record for record in made if record is not None]

    def _record(self, world: World, log: FlowLog, entry: Entry, known: Facts | None) -> Record | None:
        if known is None:  # a gap of an interface that nobody remembers
            return None
        version, keys = version_of(log.fields), dict(log.tag_fields)
        if isinstance(entry, Span):
            status = Status.SKIPDATA if entry.skipped else Status.NODATA
            return Record(facts=known, start=entry.first, end=entry.last, status=status, tag_keys=keys, version=version)
        path, hop = way(world, known, entry)
        return Record(
            facts=known, start=entry.first, end=entry.last, observation=entry, traffic_path=path, next_hop=hop,
            services=self._services, tag_keys=keys, version=version,
        )  # fmt: skip

    def _known(self, world: World, interface_id: str) -> Facts | None:
        known = facts_of(world, interface_id)
        if known is not None:
            self._facts[interface_id] = known
        return known or self._facts.get(interface_id)

    def _open(self, interface_id: str) -> bool:
        return any(interface_id in windows.interfaces for windows in self._windows.values())

    def _of(self, log: FlowLog) -> Windows:
        if log.id not in self._windows:
            self._windows[log.id] = Windows.starting(log.interval, log.created)
        return self._windows[log.id]
