"""What the installation tells of itself: how far packets are behind, how calls fare, how old deliveries are (MON-23, CT-18).

A measurement whose source is not there is left out, not told as nought: a data plane that counts drops, connections and drift
gives them through `measures()` of its own.
"""

from __future__ import annotations

import hmac
import os
import re
import resource
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

from ringfence import __version__
from ringfence.api.metering import BOUNDS, Meter
from ringfence.api.outside import Delivery
from ringfence.api.wire.http import HttpRequest
from ringfence.console import Plane
from ringfence.exposition import CONTENT_TYPE, Family, counter, gauge, histogram, text
from ringfence.model.kinds import COMPOSITE_ALARM, FLOW_LOG, KINDS, LOG_STREAM, METRIC_ALARM, TRAIL
from ringfence.model.world import Change, World
from ringfence.settings import SettingsError
from ringfence.store.events import Summary
from ringfence.store.store import Store

Source = Callable[[], Iterable[Family]]
_SHORTEST = 16  # characters of a token
_REMEMBERED = 65_536  # commits that wait for the packets


class Behind:
    """How long the oldest commit that is not enforced yet has waited. Told of each commit; costs it less than a microsecond."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)

    def committed(self, _before: World, after: World, _change: Change) -> None:
        self._waiting.append((after.generation, time.monotonic()))

    def seconds(self, applied: int) -> float:
        """0 when everything is enforced."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= applied:
            waiting.popleft()
        return time.monotonic() - waiting[0][1] if waiting else 0.0


class Measures:
    """Everything that is told. `sources`: what other parts add.

    `token`: who has it may ask from anywhere (anywhere but loopback is TLS). Without one, only this machine may: nobody whose
    browser was led here (it names another host, or an origin).
    """

    content_type = CONTENT_TYPE

    def __init__(
        self, store: Store, plane: Plane, meter: Meter, deliveries: Callable[[str], Delivery], token: str | None = None
    ) -> None:
        self._store, self._plane, self._meter, self._deliveries = store, plane, meter, deliveries
        self._token = token.encode() if token is not None else None
        self._behind, self._started = Behind(), time.time()
        self.sources: list[Source] = [
            self._generations, self._calls, self._resources, self._trails, self._process, *_own(plane)
        ]  # fmt: skip
        self.internal_errors: Callable[[], int] = lambda: 0
        store.subscribe(self._behind.committed)

    def admits(self, request: HttpRequest) -> bool:
        """May whoever asks be told?"""
        if self._token is not None:
            given = request.header("authorization").encode("latin-1", "replace")
            return hmac.compare_digest(given, b"Bearer " + self._token)
        host = re.sub(r":[0-9]+$", "", request.header("host")).strip("[]").lower()
        here = host == "localhost" or _loopback(host)
        return _loopback(request.peer) and here and not request.header("origin")

    def text(self) -> str:
        """The exposition of now."""
        return text(family for source in self.sources for family in source())

    # ------------------------------------------------------------------ sources
    def _generations(self) -> Iterator[Family]:
        status, committed = self._plane.status(), self._store.world.generation
        applied = int(status["applied_generation"])
        yield gauge("info", "What runs.", 1, version=__version__, dataplane=self._plane.name)
        yield gauge("generation_committed", "The newest generation of the rules that was acknowledged.", committed)
        yield gauge("generation_enforced", "The newest generation of the rules that packets are judged by.", applied)
        yield gauge(
            "generation_lag", "Generations that are acknowledged and not enforced.", max(committed - applied, 0)
        )
        seconds = self._behind.seconds(applied)
        yield gauge("generation_lag_seconds", "How long the oldest of those has waited.", seconds)
        problem = 1 if status.get("problem") else 0
        yield gauge("dataplane_problem", "1 while the data plane says that something is wrong.", problem)

    def _calls(self) -> Iterator[Family]:
        calls = Family("ringfence_api_request_seconds", "histogram", "From a request read whole to its answer made.")
        for (service, operation), outcome, latency in self._meter.latencies():
            histogram(
                calls, BOUNDS, latency.counts, latency.seconds, service=service, operation=operation, outcome=outcome
            )  # fmt: skip
        yield calls
        errors = counter("api_errors_total", "Calls that were refused, by AWS's error code.")
        for (service, operation), code, count in self._meter.errors():
            errors.add(count, service=service, operation=operation, code=code)
        yield errors
        yield counter("api_internal_errors_total", "Faults of Ringfence itself.", self.internal_errors())

    def _resources(self) -> Iterator[Family]:
        world = self._store.world
        held = gauge("resources", "Rows of each kind.")
        for kind in KINDS.values():
            count = world.count(kind, "all", "")
            if count:
                held.add(count, kind=kind.noun)
        yield held
        states = gauge("alarms", "Alarms in each state.")
        alarms = [alarm.state for alarm in (*world.all(METRIC_ALARM), *world.all(COMPOSITE_ALARM))]
        for state in ("OK", "ALARM", "INSUFFICIENT_DATA"):
            states.add(alarms.count(state), state=state)
        yield states

    def _trails(self) -> Iterator[Family]:
        age = gauge("trail_delivery_age_seconds", "Since log files of a trail were delivered last.")
        failing = gauge("trail_delivery_failing", "1 while they cannot be delivered.")
        for trail in self._store.world.all(TRAIL):
            held = self._deliveries(trail.id)
            if held.at is not None:
                age.add(max(time.time() - held.at, 0.0), trail=trail.id)
            failing.add(1 if held.error else 0, trail=trail.id)
        yield from (age, failing)

    def _process(self) -> Iterator[Family]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield gauge("start_time_seconds", "When it started, in seconds since 1970.", self._started)
        yield counter("cpu_seconds_total", "CPU of the API process.", round(used.ru_utime + used.ru_stime, 3))
        statm = Path("/proc/self/statm")
        if statm.exists():
            pages = int(statm.read_text().split()[1])
            yield gauge("resident_bytes", "Memory of the API process.", pages * os.sysconf("SC_PAGE_SIZE"))
            yield gauge("open_files", "Open descriptors of the API process.", len(os.listdir("/proc/self/fd")))


def _loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def read_token(path: Path) -> str:
    """The token in a file: one line, at least 16 printable characters. SettingsError."""
    try:
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f"cannot read the token of the measurements: {problem}") from None
    if len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{path} must hold a token of {_SHORTEST} printable characters or more, without spaces")
    return token


def _own(plane: Plane) -> list[Source]:
    """What the data plane counts, where it counts."""
    source, drift = getattr(plane, "measures", None), getattr(plane, "drift", None)
    return [*([source] if callable(source) else []), *([lambda: _drift(drift)] if drift is not None else [])]


_DRIFT = (
    "Differences between the rules wanted and those installed (MON-23): found, repaired, left; VPCs closed for them."
)


def _drift(counts: Any) -> Iterator[Family]:
    """What the watch over the installed rules found (`drift.py`)."""
    families: dict[str, Family] = {}
    for name, labels, value in counts.metrics():
        kind = "counter" if name.endswith("_total") else "gauge"
        families.setdefault(name, Family(name, kind, _DRIFT)).add(value, **labels)
    yield from families.values()


def flow_logs(store: Store, delivery: Callable[[str], Delivery]) -> Iterator[Family]:
    """How old what flow logs' destinations have is."""
    age = gauge("flow_log_delivery_age_seconds", "Since records of a flow log were delivered last.")
    failing = gauge("flow_log_delivery_failing", "1 while they cannot be delivered.")
    for row in store.world.all(FLOW_LOG):
        held = delivery(row.id)
        if held.at is not None:
            age.add(max(time.time() - held.at, 0.0), flow_log=row.id)
        failing.add(1 if held.error else 0, flow_log=row.id)
    yield from (age, failing)


def log_lag(store: Store, summaries: Callable[[Iterable[int]], dict[int, Summary]]) -> Iterator[Family]:
    """How far log groups that flow logs go to are behind; of others nobody knows when events should come. Groups without
    events are left out."""
    lag = gauge("log_group_lag_seconds", "How old the newest event of a log group was when it came.")
    age = gauge("log_group_newest_event_age_seconds", "How old the newest event of a log group is.")
    world = store.world
    groups = {row.log_group_arn for row in world.all(FLOW_LOG) if row.destination_type == "cloud-watch-logs"}
    for group in sorted(groups):
        held = summaries(stream.number for stream in world.by(LOG_STREAM, "group", group)).values()
        if held:
            newest = max(held, key=lambda summary: summary.last)
            lag.add(max(newest.ingested - newest.last, 0) / 1000, log_group=group)
            age.add(max(time.time() - newest.last / 1000, 0.0), log_group=group)
    yield from (lag, age)
