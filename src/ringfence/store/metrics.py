"""Metrics: what `PutMetricData` and metric filters gave, in the file of the log events (docs/metrics.md).

Each sample is added up in every resolution that CloudWatch keeps, when it comes: seconds (high resolution only), minutes, five
minutes and hours. So a late sample is counted everywhere, and nothing is rolled up afterwards.
INVARIANT: in each resolution, count, sum, minimum and maximum are those of all samples ever put and not expired.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ringfence.store.durable import transaction

#: CloudWatch API Reference, GetMetricStatistics: length of a datapoint in seconds -> how long it is kept
DAY = 86_400
RETENTION = {1: 3 * 3600, 60: 15 * DAY, 300: 63 * DAY, 3600: 455 * DAY}
#: resolutions whose values are kept as they are; coarser ones keep them to 1 %, which bounds how many there are
_EXACT = 60
_FORGET_SECONDS, _FORGET_AT_ONCE = 3600, 200

SCHEMA = """
create table if not exists series (
    id integer primary key, account text not null, region text not null, namespace text not null, name text not null,
    dimensions text not null, unit text not null, last integer not null,
    unique (account, region, namespace, name, dimensions, unit));
create table if not exists sample (
    series integer not null, tier integer not null, at integer not null, count real not null, total real not null,
    least real not null, most real not null, primary key (series, tier, at)) without rowid;
create table if not exists value (
    series integer not null, tier integer not null, at integer not null, value real not null, count real not null,
    primary key (series, tier, at, value)) without rowid;
"""
_SAMPLE = """
insert into sample values (?, ?, ?, ?, ?, ?, ?)
on conflict do update set total = total + excluded.total, count = count + excluded.count,
    least = min(least, excluded.least), most = max(most, excluded.most)
"""
_VALUE = "insert into value values (?, ?, ?, ?, ?) on conflict do update set count = count + excluded.count"


class Metric(NamedTuple):
    """What identifies a metric. `dimensions`: sorted pairs."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Observations of one metric at one time. `values`: each with how often; empty when only their summary is known."""

    account: str
    region: str
    metric: Metric
    unit: str = "None"
    at: int  # seconds since 1970
    count: float
    total: float
    least: float
    most: float
    values: tuple[tuple[float, float], ...] = ()
    high: bool = False  # of high resolution


def of_values(values: Sequence[tuple[float, float]], **where: object) -> Sample:
    """A sample of values, each with how often it was seen."""
    return Sample(
        count=math.fsum(n for _, n in values), total=math.fsum(v * n for v, n in values),
        least=min(v for v, _ in values), most=max(v for v, _ in values), values=tuple(values),
        **where,  # type: ignore[arg-type]
    )  # fmt: skip


class Series(NamedTuple):
    """A metric in one unit. `last`: the newest time of a sample in it."""

    id: int
    metric: Metric
    unit: str
    last: int


class Point(NamedTuple):
    """A datapoint as it is stored. `seen`: how many samples."""

    at: int
    seen: float
    total: float
    least: float
    most: float


class MetricStore:
    """On the connections of the event store. ApiError ServiceUnavailableException when the disk fails."""

    def __init__(
        self, db: sqlite3.Connection, lock: threading.Lock, reader: sqlite3.Connection, read_lock: threading.Lock
    ) -> None:
        self._db, self._lock, self._reader, self._read_lock = db, lock, reader, read_lock
        self._forgot = 0

    # ------------------------------------------------------------------ writing
    def put(self, samples: Iterable[Sample]) -> None:
        """All or nothing; on disk when it returns."""
        held = list(samples)
        with self._lock, transaction(self._db):
            self.write(held)

    def write(self, samples: Iterable[Sample]) -> None:
        """Inside a transaction of the caller, who holds the lock."""
        ids: dict[tuple[object, ...], int] = {}
        points: list[tuple[float, ...]] = []
        values: list[tuple[float, ...]] = []
        for s in samples:
            key = (s.account, s.region, s.metric.namespace, s.metric.name, _text(s.metric.dimensions), s.unit)
            if (known := ids.get(key)) is None:
                known = ids[key] = self._series(key, s.at)
            self._db.execute("update series set last = max(last, ?) where id = ?", (s.at, known))
            for tier in RETENTION if s.high else _STANDARD:
                at = s.at // tier * tier
                points.append((known, tier, at, s.count, s.total, s.least, s.most))
                values += [(known, tier, at, v if tier <= _EXACT else _rounded(v), n) for v, n in s.values]
        self._db.executemany(_SAMPLE, points)
        self._db.executemany(_VALUE, values)

    def _series(self, key: tuple[object, ...], at: int) -> int:
        self._db.execute(
            "insert into series (account, region, namespace, name, dimensions, unit, last) values (?, ?, ?, ?, ?, ?, ?) "
            "on conflict do nothing", (*key, at),
        )  # fmt: skip
        where = "account = ? and region = ? and namespace = ? and name = ? and dimensions = ? and unit = ?"
        found: int = self._db.execute(f"select id from series where {where}", key).fetchone()[0]
        return found

    def forget(self, now: int) -> None:
        """Forget what is past its retention; looks once an hour."""
        if now - self._forgot < _FORGET_SECONDS:
            return
        with self._read_lock:
            ids = [row[0] for row in self._reader.execute("select id from series")]
        for start in range(0, len(ids), _FORGET_AT_ONCE):  # not all at once: writers wait meanwhile
            some = ids[start : start + _FORGET_AT_ONCE]
            with self._lock, transaction(self._db) as db:
                for tier, kept in RETENTION.items():
                    old = [(id, tier, now - kept) for id in some]
                    for table in ("sample", "value"):
                        db.executemany(f"delete from {table} where series = ? and tier = ? and at < ?", old)
                gone = [(id, now - max(RETENTION.values())) for id in some]
                db.executemany("delete from series where id = ? and last < ?", gone)
        self._forgot = now

    # ------------------------------------------------------------------ reading
    def series(self, account: str, region: str, metric: Metric | None = None, *, since: int = 0) -> list[Series]:
        """The series of an account and Region; of one metric, in each unit it came in. `since`: with a sample from then on."""
        query, given = "select * from series where account = ? and region = ? and last >= ?", [account, region, since]
        if metric is not None:
            query += " and namespace = ? and name = ? and dimensions = ?"
            given += [metric.namespace, metric.name, _text(metric.dimensions)]
        with self._read_lock:
            rows = self._reader.execute(query, given).fetchall()
        return [Series(row[0], Metric(row[3], row[4], _pairs(row[5])), row[6], row[7]) for row in rows]

    def points(self, series: int, tier: int, start: int, end: int) -> list[Point]:
        """Datapoints from `start` until before `end`, by time."""
        query = "select at, count, total, least, most from sample where series = ? and tier = ? and at >= ? and at < ? order by at"
        with self._read_lock:
            return [Point(*row) for row in self._reader.execute(query, (series, tier, start, end))]

    def values(self, series: int, tier: int, start: int, end: int) -> list[tuple[int, float, float]]:
        """(time, value, how often) from `start` until before `end`."""
        query = (
            "select at, value, count from value where series = ? and tier = ? and at >= ? and at < ? order by at, value"
        )
        with self._read_lock:
            return self._reader.execute(query, (series, tier, start, end)).fetchall()


_STANDARD = tuple(tier for tier in RETENTION if tier >= 60)


def _rounded(value: float) -> float:
    """To 1 %: a power of 1.01, or nought."""
    if value == 0 or not math.isfinite(value):
        return value
    return math.copysign(1.01 ** round(math.log(abs(value), 1.01)), value)


def _text(dimensions: Iterable[tuple[str, str]]) -> str:
    """Dimensions as the file has them."""
    return json.dumps(sorted(dimensions))


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in json.loads(text))
