"""Log events: what `PutLogEvents` acknowledged, in an SQLite file of its own beside the World's (docs/adr/0008).

One clustered table `(stream, time, number)`: a read of a span of time is a walk along its leaves, an append of one stream
goes to one place, expiry cuts a run off. A put is one transaction (WAL, `synchronous=FULL`): events, the stream's summary
and the samples that metric filters make of them (`metrics.py`), all or nothing, on disk before it returns.
A message of a group with a KMS key is sealed by itself (`sealed.py`) and lies there as a blob; who reads it brings the opener.
INVARIANT: `number` never repeats in a file; with the time it is the order of events everywhere.
"""

from __future__ import annotations

import bisect
import heapq
import json
import operator
import os
import sqlite3
import struct
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ringfence.store import event_keys, sealed
from ringfence.store.durable import transaction
from ringfence.store.event_keys import EventKeys
from ringfence.store.metrics import SCHEMA, Metric, MetricStore, Sample
from ringfence.store.sealed import DataKey, Opener, Run

#: (time in ms, number): where an event stands
Position = tuple[int, int]
FIRST: Position = (-1, -1)
LAST: Position = ((1 << 63) - 1, (1 << 63) - 1)
OVERHEAD = 26  # bytes that AWS counts for each event besides its message
_PAGE, _PAGE_MAX = 64, 1024  # events read at once: more as a reader goes on
_DELETE_AT_ONCE = 20_000  # events: expiry must not keep writers waiting

_SCHEMA = """
begin;
create table if not exists event (
    stream integer not null, at integer not null, number integer not null, ingested integer not null,
    message text not null, primary key (stream, at, number)) without rowid;
create table if not exists summary (
    stream integer primary key, first integer not null, last integer not null, ingested integer not null,
    bytes integer not null, number integer not null);
"""
_END = "pragma user_version = 3; commit;"
_INSERT = "insert into event (stream, at, number, ingested, message) values (?, ?, ?, ?, ?)"
_SUMMARY = """
insert into summary (stream, first, last, ingested, bytes, number) values (?, ?, ?, ?, ?, ?)
on conflict (stream) do update set first = min(first, excluded.first), last = max(last, excluded.last),
    ingested = excluded.ingested, bytes = bytes + excluded.bytes, number = excluded.number
"""
_READ = """
select stream, at, number, ingested, message from event
where stream = ? and (at, number) > (?, ?) and (at, number) < (?, ?) order by at {order}, number {order} limit ?
"""
_LAST_READ = """
select at, number from event
where stream = ? and (at, number) > (?, ?) and (at, number) < (?, ?) order by at {order}, number {order} limit 1 offset ?
"""
#: is told of each batch that is on disk, in order: stream, events, when they came. It must not raise, nor take long
Heard = Callable[[int, Sequence[tuple[int, str]], int], None]
#: events that a search with words reads of each stream at once, and of all streams together
_SIEVED_LEAST, _SIEVED = 256, 50_000


class LogEvent(NamedTuple):
    """One event as it is stored. `ingested`: ms since 1970, when it was acknowledged."""

    stream: int
    at: int
    number: int
    ingested: int
    message: str

    @property
    def position(self) -> Position:
        return self.at, self.number


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a stream without reading it."""

    first: int
    last: int
    ingested: int
    bytes: int
    number: int


class Words(NamedTuple):
    """What messages must have: all of `every`, one of `some` if there are any, none of `none`. `escaped`: those with a backslash
    pass without. `among`: of messages that have all that, the places of those to look at."""

    every: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    escaped: bool = False
    among: Callable[[Sequence[str]], list[int]] | None = None

    def condition(self) -> tuple[str, list[str]]:
        """SQL, and its values."""
        has = "(instr(message, ?) > 0 or instr(message, '\\') > 0)" if self.escaped else "instr(message, ?) > 0"
        parts = [has for _ in self.every] + ["instr(message, ?) = 0" for _ in self.none]
        if self.some:
            parts.append("(" + " or ".join([has for _ in self.some]) + ")")
        return " and ".join(parts) or "1", [*self.every, *self.none, *self.some]


class EventStore:
    """`path`: the file. `durable=False` skips fsync (ephemeral installations).

    ApiError ServiceUnavailableException when the disk fails; then nothing was taken.
    """

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._path = path
        self._db = self._connect()
        os.chmod(path, 0o600)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute(f"pragma synchronous={'full' if durable else 'off'}")
        self._db.executescript(_SCHEMA + SCHEMA + event_keys.SCHEMA + _END)
        self._reader = self._connect()
        self._reader.execute("pragma query_only=on")
        self._lock, self._read_lock = threading.Lock(), threading.Lock()
        self.heard: Heard = _unheard
        self.metrics = MetricStore(self._db, self._lock, self._reader, self._read_lock)
        self.keys = EventKeys(self._db, self._lock)
        self._carry_over()
        self._number: int = self._db.execute("select coalesce(max(number), 0) from summary").fetchone()[0]

    def _carry_over(self) -> None:
        """Datapoints of files of version 1, which had minutes only and no values."""
        if not self._db.execute("select 1 from sqlite_master where name = 'datapoint'").fetchone():
            return
        with transaction(self._db) as db:
            for account, region, namespace, name, dimensions, unit, at, total, count, least, most in db.execute(
                "select * from datapoint"
            ).fetchall():
                metric = Metric(namespace, name, tuple((str(n), str(v)) for n, v in json.loads(dimensions)))
                self.metrics.write([Sample(
                    account=account, region=region, metric=metric, unit=unit, at=at, count=count, total=total,
                    least=least, most=most,
                )])  # fmt: skip
            db.execute("drop table datapoint")

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)

    # ------------------------------------------------------------------ writing
    def put(
        self, stream: int, events: Sequence[tuple[int, str]], ingested: int, samples: Iterable[Sample] = (),
        key: DataKey | None = None,
    ) -> int:  # fmt: skip
        """Append events `(time, message)`; durable when it returns. The number of the last one. `key`: what messages are sealed with."""
        size = sum([len(message.encode()) for _, message in events]) + OVERHEAD * len(events)
        times = [at for at, _ in events]
        kept: Sequence[tuple[int, str | bytes]] = events if key is None else _sealed(stream, events, ingested, key)
        with self._lock:
            first = self._number + 1
            last = first + len(events) - 1
            rows = [(stream, at, first + n, ingested, message) for n, (at, message) in enumerate(kept)]
            with transaction(self._db) as db:
                db.executemany(_INSERT, rows)
                db.execute(_SUMMARY, (stream, min(times), max(times), ingested, size, last))
                self.metrics.write(samples)
            self._number = last
            self.heard(stream, events, ingested)
        return last

    def expire(self, stream: int, before: int) -> int:
        """Forget a stream's events from before a time; how many went. What is left is summed up anew."""
        gone = 0
        while True:
            with self._lock, transaction(self._db) as db:
                rows = db.execute(
                    f"select at, number, {_LENGTH} from event where stream = ? and at < ? "
                    "order by at, number limit ?", (stream, before, _DELETE_AT_ONCE),
                ).fetchall()  # fmt: skip
                if not rows:
                    return gone
                db.execute("delete from event where stream = ? and (at, number) <= (?, ?)", (stream, *rows[-1][:2]))
                size = sum(row[2] for row in rows) + OVERHEAD * len(rows)
                left = db.execute("select min(at) from event where stream = ?", (stream,)).fetchone()[0]
                db.execute(
                    "update summary set bytes = bytes - ?, first = coalesce(?, last) where stream = ?", (size, left, stream)
                )  # fmt: skip
                gone += len(rows)

    def keep_only(self, streams: Callable[[], Collection[int]]) -> None:
        """Forget the streams that are not among these.

        INVARIANT: which streams have events is asked first, which exist afterwards: one that was made meanwhile stays.
        """
        with self._read_lock:
            held = [row[0] for row in self._reader.execute("select stream from summary")]
        wanted = streams()
        for stream in held:
            if stream not in wanted:
                self.expire(stream, LAST[0])
                with self._lock, transaction(self._db) as db:
                    # the highest number stays known, so that none is given twice
                    db.execute("delete from summary where stream = ? and number < ?", (stream, self._number))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock, transaction(self._db) as db:
            for table in ("event", "summary", "series", "sample", "value"):
                db.execute(f"delete from {table}")
            self.keys.clear()

    def close(self) -> None:
        with self._lock, self._read_lock:
            self._reader.close()
            self._db.close()

    # ------------------------------------------------------------------ reading
    def summaries(self, streams: Iterable[int]) -> dict[int, Summary]:
        """What is known of those streams that ever had an event."""
        found: dict[int, Summary] = {}
        wanted = list(streams)
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            query = f"select * from summary where stream in ({','.join('?' * len(some))})"
            with self._read_lock:
                found |= {row[0]: Summary(*row[1:]) for row in self._reader.execute(query, some)}
        return found

    def page(
        self, stream: int, after: Position, before: Position, limit: int, *, newest: bool = False,
        opener: Opener | None = None,
    ) -> list[LogEvent]:  # fmt: skip
        """Events strictly between two positions: the first `limit`, or the last ones, the newest first.

        `opener`: of a group that has sealed messages; Damaged, and what it raises.
        """
        query = _READ.format(order="desc" if newest else "asc")
        with self._read_lock:
            rows = self._reader.execute(query, (stream, *after, *before, limit)).fetchall()
        return list(map(LogEvent._make, rows if opener is None else [_opened(row, opener) for row in rows]))

    def scan(
        self, streams: Iterable[int], after: Position, before: Position, *, newest: bool = False,
        words: Words | None = None, opener: Opener | None = None,
    ) -> Iterator[LogEvent]:  # fmt: skip
        """Events of several streams strictly between two positions, in order; a page of each stream in memory.

        With `words` only those that have them, and now and then a mark: `ingested` is minus the number of events that were
        looked at, up to its position. With an `opener` (see `page`) no words are looked for.
        """
        wanted = list(streams)
        if words is not None and opener is None:
            size = max(_SIEVED_LEAST, _SIEVED // max(len(wanted), 1))
            runs = [self._sieved(stream, after, before, words, size, newest=newest) for stream in wanted]
        elif len(wanted) == 1:
            return self._run(wanted[0], after, before, newest=newest, opener=opener)
        else:
            return self._merged(wanted, after, before, newest=newest, opener=opener)
        if len(runs) == 1:
            return runs[0]
        return heapq.merge(*runs, key=_position, reverse=newest)

    def _sieved(
        self, stream: int, after: Position, before: Position, words: Words, size: int, *, newest: bool
    ) -> Iterator[LogEvent]:
        """SQLite looks at the messages: only those with the words become objects, and meanwhile other threads run."""
        order = "desc" if newest else "asc"
        condition, given = words.condition()
        query = f"select * from ({_READ.format(order=order)}) where {condition}"
        while True:
            span = (stream, *after, *before)
            with self._read_lock:
                last = self._reader.execute(_LAST_READ.format(order=order), (*span, size - 1)).fetchone()
                rows = self._reader.execute(query, (*span, size, *given)).fetchall()
            if words.among is not None:
                rows = [rows[place] for place in words.among([row[4] for row in rows])] if rows else []
            yield from map(LogEvent._make, sorted(rows, key=_position, reverse=newest))
            if last is None:
                return
            yield LogEvent(stream, last[0], last[1], -size, "")
            after, before = (after, last) if newest else (last, before)

    def _merged(
        self, streams: Sequence[int], after: Position, before: Position, *, newest: bool, opener: Opener | None
    ) -> Iterator[LogEvent]:
        """Pages of all streams, sorted as far as all of them were read: a merge one by one takes twice as long."""
        key = _position_back if newest else _position
        pages = {stream: _Page(after, before) for stream in streams}
        while pages:
            for stream, page in pages.items():
                if not page.events:
                    page.events = self.page(stream, page.after, page.before, page.size, newest=newest, opener=opener)
                    page.whole = len(page.events) < page.size
                    page.size = min(page.size * 2, _PAGE_MAX)
            ends = [key(page.events[-1]) for page in pages.values() if not page.whole]
            ready: list[LogEvent] = []
            for page in pages.values():
                cut = bisect.bisect_right(page.events, min(ends), key=key) if ends else len(page.events)
                ready += page.taken(cut, newest=newest)
            ready.sort(key=key)
            yield from ready
            pages = {stream: page for stream, page in pages.items() if page.events or not page.whole}

    def _run(
        self, stream: int, after: Position, before: Position, *, newest: bool, opener: Opener | None
    ) -> Iterator[LogEvent]:
        size = _PAGE
        while rows := self.page(stream, after, before, size, newest=newest, opener=opener):
            yield from rows
            if len(rows) < size:
                return
            if newest:
                before = rows[-1].position
            else:
                after = rows[-1].position
            size = min(size * 2, _PAGE_MAX)


@dataclass(slots=True)
class _Page:
    """What was read of a stream and not given out; between which positions it goes on. `whole`: there is no more."""

    after: Position
    before: Position
    size: int = _PAGE
    events: list[LogEvent] = field(default_factory=list)
    whole: bool = False

    def taken(self, count: int, *, newest: bool) -> list[LogEvent]:
        gone, self.events = self.events[:count], self.events[count:]
        if gone and newest:
            self.before = gone[-1].position
        elif gone:
            self.after = gone[-1].position
        return gone


#: bytes of a message, without what sealing adds
_LENGTH = f"length(cast(message as blob)) - case typeof(message) when 'blob' then {sealed.OVERHEAD} else 0 end"
_PLACE = struct.Struct(">qqq")


def _unheard(_stream: int, _events: Sequence[tuple[int, str]], _ingested: int) -> None:
    """Nobody wants to know."""


def _sealed(stream: int, events: Sequence[tuple[int, str]], ingested: int, key: DataKey) -> list[tuple[int, bytes]]:
    """Bound to their stream, their time, and when they came."""
    run = Run(key)
    return [(at, run.seal(message.encode(), _PLACE.pack(stream, at, ingested))) for at, message in events]


def _opened(row: tuple[int, int, int, int, str | bytes], opener: Opener) -> tuple[int, int, int, int, str]:
    stream, at, number, ingested, message = row
    if isinstance(message, bytes):
        message = opener.open(message, _PLACE.pack(stream, at, ingested)).decode()
    return stream, at, number, ingested, message


#: LogEvent.position, without the detour: a merge asks for it a million times
_position: Callable[[LogEvent], Position] = operator.itemgetter(1, 2)


def _position_back(event: LogEvent) -> Position:
    return -event[1], -event[2]
