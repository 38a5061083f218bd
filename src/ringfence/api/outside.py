"""What operations may ask that is not in the World: the audit trail, how deliveries went, log events and metrics.

Operations stay functions of their arguments; these are among the arguments (`Call.outside`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ringfence.api.live_tails import LiveTails
from ringfence.model.errors import fault
from ringfence.store.event_keys import KeptKey
from ringfence.store.events import LogEvent, Position, Summary, Words
from ringfence.store.metrics import Metric, Point, Sample, Series
from ringfence.store.sealed import DataKey, Opener


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How far deliveries of one trail or flow log are. Times in seconds since 1970, UTC; errors are AWS's codes or sentences."""

    at: float | None = None
    error: str | None = None
    attempted: float | None = None
    digest_at: float | None = None
    digest_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLogging:
    """What counts packets here, and where records can go. `sinks`: the destination types that are served."""

    sinks: frozenset[str]
    parquet: bool = False  # can Parquet files be written?
    streams: frozenset[tuple[str, str]] = frozenset()  # delivery streams: account and name


@dataclass(frozen=True, slots=True)
class ConsoleOutput:
    """The end of what an instance wrote on its console. `at`: of the last of it, in seconds since 1970, UTC."""

    text: bytes
    at: float


class LogKeys(Protocol):
    """Data keys of log groups (`store/event_keys.py`). ApiError ServiceUnavailableException when the disk fails."""

    def has(self, group: str) -> bool: ...
    def newest(self, group: str, arn: str, since: int) -> DataKey | None: ...
    def add(self, group: str, arn: str, sealed: bytes, secret: bytes, made: int) -> DataKey: ...
    def find(self, id: int) -> KeptKey | None: ...
    def opened(self, id: int) -> bytes | None: ...
    def keep_opened(self, id: int, secret: bytes) -> None: ...


class LogEvents(Protocol):
    """Log events and what metric filters made of them (`store/events.py`). ApiError ServiceUnavailableException when the
    disk fails."""

    @property
    def keys(self) -> LogKeys:
        """The data keys of groups whose messages are sealed."""
        ...

    def put(
        self, stream: int, events: Sequence[tuple[int, str]], ingested: int, samples: Iterable[Sample] = (),
        key: DataKey | None = None,
    ) -> int:  # fmt: skip
        """Append events `(time in ms, message)` and samples, all or nothing; on disk when it returns. `key`: to seal messages with."""
        ...

    def summaries(self, streams: Iterable[int]) -> dict[int, Summary]:
        """First and last event and size of the streams that have any."""
        ...

    def page(
        self, stream: int, after: Position, before: Position, limit: int, *, newest: bool = False,
        opener: Opener | None = None,
    ) -> list[LogEvent]:  # fmt: skip
        """Events of a stream strictly between two positions. `opener`: opens sealed messages; Damaged (an OSError)."""
        ...

    def scan(
        self, streams: Iterable[int], after: Position, before: Position, *, newest: bool = False,
        words: Words | None = None, opener: Opener | None = None,
    ) -> Iterator[LogEvent]:  # fmt: skip
        """Events of several streams strictly between two positions, in order. With `words` only those that have them, and marks."""
        ...


class Metrics(Protocol):
    """Samples of metrics (`store/metrics.py`). ApiError ServiceUnavailableException when the disk fails."""

    def put(self, samples: Iterable[Sample]) -> None:
        """All or nothing; on disk when it returns."""
        ...

    def series(self, account: str, region: str, metric: Metric | None = None, *, since: int = 0) -> list[Series]:
        """What there is of an account and Region, or of one metric, with samples since then."""
        ...

    def points(self, series: int, tier: int, start: int, end: int) -> list[Point]:
        """Datapoints of one resolution."""
        ...

    def values(self, series: int, tier: int, start: int, end: int) -> list[tuple[int, float, float]]:
        """(time, value, how often)."""
        ...


class Outside(Protocol):
    @property
    def logs(self) -> LogEvents:
        """The log events of this installation."""
        ...

    @property
    def live_tails(self) -> LiveTails | None:
        """Who watches log events as they are put; None: nobody can here."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The metrics of this installation."""
        ...

    def events(self, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """Audit records whose bytes hold every needle, with their numbers, the newest first."""
        ...

    def delivery(self, trail_arn: str) -> Delivery:
        """How deliveries of a trail went; an empty one when there was none yet."""
        ...

    def flow_logging(self) -> FlowLogging | None:
        """None: nothing counts packets here, so that no flow log can be kept."""
        ...

    def flow_delivery(self, flow_log_id: str) -> Delivery:
        """How deliveries of a flow log went; `error` is a DeliverLogsErrorMessage."""
        ...

    def console(self, instance_id: str) -> ConsoleOutput | None:
        """None: it never wrote any, or nothing runs instances here."""
        ...


class NoLogKeys:
    """For installations without an event store: there are none."""

    def has(self, group: str) -> bool:
        return False

    def newest(self, group: str, arn: str, since: int) -> DataKey | None:
        return None

    def add(self, group: str, arn: str, sealed: bytes, secret: bytes, made: int) -> DataKey:
        raise fault("ServiceUnavailableException", message="This installation keeps no log events.")

    def find(self, id: int) -> KeptKey | None:
        return None

    def opened(self, id: int) -> bytes | None:
        return None

    def keep_opened(self, id: int, secret: bytes) -> None:
        return None


class NoLogEvents:
    """For installations without an event store: none are taken."""

    keys: LogKeys = NoLogKeys()

    def put(
        self, stream: int, events: Sequence[tuple[int, str]], ingested: int, samples: Iterable[Sample] = (),
        key: DataKey | None = None,
    ) -> int:  # fmt: skip
        raise fault("ServiceUnavailableException", message="This installation keeps no log events.")

    def summaries(self, streams: Iterable[int]) -> dict[int, Summary]:
        return {}

    def page(
        self, stream: int, after: Position, before: Position, limit: int, *, newest: bool = False,
        opener: Opener | None = None,
    ) -> list[LogEvent]:  # fmt: skip
        return []

    def scan(
        self, streams: Iterable[int], after: Position, before: Position, *, newest: bool = False,
        words: Words | None = None, opener: Opener | None = None,
    ) -> Iterator[LogEvent]:  # fmt: skip
        return iter(())


class NoMetrics:
    """For installations without a store of metrics: none are taken."""

    def put(self, samples: Iterable[Sample]) -> None:
        raise fault("ServiceUnavailableException", message="This installation keeps no metrics.")

    def series(self, account: str, region: str, metric: Metric | None = None, *, since: int = 0) -> list[Series]:
        return []

    def points(self, series: int, tier: int, start: int, end: int) -> list[Point]:
        return []

    def values(self, series: int, tier: int, start: int, end: int) -> list[tuple[int, float, float]]:
        return []


class Nothing:
    """For tests and installations without a store: no records, no deliveries, no log events."""

    logs: LogEvents = NoLogEvents()
    live_tails: LiveTails | None = None
    metrics: Metrics = NoMetrics()

    def events(self, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def delivery(self, trail_arn: str) -> Delivery:
        return Delivery()

    def flow_logging(self) -> FlowLogging | None:
        return None

    def flow_delivery(self, flow_log_id: str) -> Delivery:
        return Delivery()

    def console(self, instance_id: str) -> ConsoleOutput | None:
        return None
