"""What flows were seen lately, and why packets were refused: the side channel of flow logs (D-16; docs/flowlogs.md).

One row for each flow at an interface between two readings of the counters. In the file, an SQLite file of its own, rows lie by the
thousands, column by column, compressed and sealed (docs/adr/0014); a question reads the columns that it is about.
Bounded: the oldest go first. It may lose what was read in the last seconds before a power failure: the flow logs themselves are
elsewhere.
"""

from __future__ import annotations

import operator
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import cbor2

from ringfence.model.net import Address
from ringfence.store import sealed
from ringfence.store.own_keys import OwnKeys
from ringfence.store.sealed import Damaged, Sealer

MOST, DAYS = 1_000_000, 7
_TOGETHER = 5000  # rows
_SCHEMA = """
create table if not exists part (
    first integer primary key, last integer not null, since real not null, until real not null, rows blob not null);
create table if not exists flow_key (id integer primary key, sealed blob not null);
"""
_COLUMNS = (
    "first", "last", "account", "region", "vpc", "subnet", "interface", "instance", "direction", "accepted", "source",
    "destination", "source_port", "destination_port", "protocol", "packets", "octets", "flags", "layer", "component", "rule",
)  # fmt: skip
#: what flows can be filtered and grouped by, as the command names it → column
KEYS: Mapping[str, str] = {
    "account": "account", "region": "region", "vpc": "vpc", "subnet": "subnet", "interface": "interface",
    "instance": "instance", "direction": "direction", "action": "accepted", "source": "source",
    "destination": "destination", "source-port": "source_port", "port": "destination_port", "protocol": "protocol",
    "layer": "layer", "component": "component", "rule": "rule",
}  # fmt: skip
_ADDRESSES, _NUMBERS = frozenset({"source", "destination"}), frozenset({"source-port", "port", "protocol"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Packets of one flow at one interface. `layer`, `component`, `rule`: why they were refused. `number` 0: not stored yet."""

    first: float
    last: float
    account: str
    region: str
    vpc: str
    subnet: str
    interface: str
    direction: str
    accepted: bool
    source: Address
    destination: Address
    protocol: int
    packets: int
    octets: int
    source_port: int = 0
    destination_port: int = 0
    instance: str | None = None
    flags: int | None = None
    layer: str | None = None
    component: str | None = None
    rule: str | None = None
    number: int = 0


class FlowStore:
    """`path`: the file; `sealer` None: rows are not sealed. sqlite3.Error when the disk fails, OSError for what is damaged."""

    def __init__(self, path: Path, *, most: int = MOST, sealer: Sealer | None = None) -> None:
        self._most = most
        self._db, self._reader = _connected(path), _connected(path)
        os.chmod(path, 0o600)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)
        self._keys = OwnKeys(self._db, sealer, "flow_key", "flows")
        self._lock, self._read_lock = threading.Lock(), threading.Lock()
        self._newest: int = self._db.execute("select coalesce(max(last), 0) from part").fetchone()[0]
        self._carry_over()

    def _carry_over(self) -> None:
        """Files of versions before have the rows in plain: none of it is left, between pages neither."""
        if not self._db.execute("select 1 from sqlite_master where name = 'flow'").fetchone():
            return
        rows = self._db.execute(f"select {', '.join(_COLUMNS)} from flow order by number").fetchall()
        with self._db:
            self._db.execute("begin immediate")
            self._append(rows)
            self._db.execute("drop table flow")
        self._db.execute("vacuum")
        self._db.execute("pragma wal_checkpoint(truncate)")

    def put(self, flows: Iterable[Flow], now: float) -> None:
        """Append; forget what is too much or too old."""
        rows = [_row(flow) for flow in flows]
        with self._lock:
            newest = self._newest
            try:
                with self._db:
                    self._db.execute("begin immediate")
                    self._append(rows)
                    self._db.execute("delete from part where last <= ?", (self._newest - self._most,))
                    self._db.execute("delete from part where until < ?", (now - DAYS * 86_400,))
            except BaseException:
                self._newest = newest
                raise

    def _append(self, rows: Sequence[Sequence[Any]]) -> None:
        """Inside a transaction."""
        for start in range(0, len(rows), _TOGETHER):
            columns = list(zip(*rows[start : start + _TOGETHER], strict=True))
            first, self._newest = self._newest + 1, self._newest + len(columns[0])
            body = zlib.compress(cbor2.dumps([cbor2.dumps(column) for column in columns]), 1)
            if self._keys.run is not None:
                body = self._keys.run.seal(body, _place(first))
            since, until = min(columns[_COLUMNS.index("first")]), max(columns[_COLUMNS.index("last")])
            self._db.execute("insert into part values (?, ?, ?, ?, ?)", (first, self._newest, since, until, body))

    def find(self, wanted: Mapping[str, str], *, after: int = 0, limit: int = 1000, newest: bool = True) -> list[Flow]:
        """Flows that fit, oldest first: the newest ones, or the first after a number. ValueError for a filter that is none."""
        tests, found = _tests(wanted), list[Flow]()
        with self._read_lock:
            for part, rows in self._fitting(wanted, tests, after, newest=newest):
                left = limit - len(found)
                found += map(part.flow, rows[::-1][:left] if newest else rows[:left])
                if len(found) >= limit:
                    break
        return found[::-1] if newest else found

    def top(
        self, by: Sequence[str], wanted: Mapping[str, str], *, limit: int = 50, packets: bool = False
    ) -> list[tuple[tuple[str, ...], int, int, int]]:
        """What has the most bytes (or packets): keys, flows, packets, bytes. ValueError for a key or filter that is none."""
        tests, sums = _tests(wanted), dict[tuple[Any, ...], list[int]]()
        unknown = [name for name in by if name not in KEYS]
        if unknown or not by:
            raise ValueError(f"flows are not grouped by {', '.join(unknown) or 'nothing'}")
        with self._read_lock:
            for part, rows in self._fitting(wanted, tests, 0, newest=False):
                keys = list(zip(*(part.column(KEYS[name]) for name in by), strict=True))
                counted, octets = part.column("packets"), part.column("octets")
                for row in rows:
                    held = sums.setdefault(keys[row], [0, 0, 0])
                    held[0] += 1
                    held[1] += counted[row]
                    held[2] += octets[row]
        most = 1 if packets else 2
        order = sorted(sums.items(), key=lambda item: (-item[1][most], [(key is not None, key) for key in item[0]]))
        return [
            (tuple(_shown(name, value) for name, value in zip(by, keys, strict=True)), flows, packets_, octets_)
            for keys, (flows, packets_, octets_) in order[:limit]
        ]

    def _fitting(
        self, wanted: Mapping[str, str], tests: Sequence[Test], after: int, *, newest: bool
    ) -> Iterator[tuple[_Part, Sequence[int]]]:
        """Parts, and which of their rows past a number pass all tests. Damaged."""
        after = max(after, self._newest - self._most)
        bounds = (after, float(wanted.get("since", "-inf")), float(wanted.get("until", "inf")))
        order = "desc" if newest else "asc"
        query = f"select first from part where last > ? and until >= ? and since < ? order by first {order}"
        for (first,) in self._reader.execute(query, bounds).fetchall():
            held = self._reader.execute("select rows from part where first = ?", (first,)).fetchone()
            if held is None:  # forgotten meanwhile
                continue
            part = self._opened(first, held[0])
            rows: Sequence[int] = range(max(0, after + 1 - first), len(part.column("first")))
            for test in tests:
                rows = test(part, rows)
            if rows:
                yield part, rows

    def _opened(self, first: int, body: bytes) -> _Part:
        try:
            if sealed.is_message(body):
                body = self._keys.opener.open(body, _place(first))
            return _Part(first, cbor2.loads(zlib.decompress(body)))
        except (Damaged, zlib.error, ValueError) as problem:
            raise Damaged(f"flows from number {first} on cannot be read ({problem})") from None

    def clear(self) -> None:
        with self._lock:
            self._db.execute("delete from part")

    def close(self) -> None:
        with self._lock, self._read_lock:
            self._reader.close()
            self._db.close()


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)


def _place(first: int) -> bytes:
    return first.to_bytes(8, "big")


class _Part:
    """Rows that lie together, by columns, which are read when they are asked for."""

    def __init__(self, first: int, columns: Sequence[bytes]) -> None:
        self._first, self._raw = first, dict(zip(_COLUMNS, columns, strict=True))
        self._read: dict[str, list[Any]] = {}

    def column(self, name: str) -> list[Any]:
        if name not in self._read:
            self._read[name] = cbor2.loads(self._raw[name])
        return self._read[name]

    def flow(self, row: int) -> Flow:
        values = {name: self.column(name)[row] for name in _COLUMNS}
        values |= {name: _unpacked(values[name]) for name in _ADDRESSES}
        values["accepted"] = bool(values["accepted"])
        return Flow(number=self._first + row, **values)


#: which of these rows of a part pass
Test = Callable[[_Part, Sequence[int]], Sequence[int]]


# ---------------------------------------------------------------------- rows
_row_of = operator.attrgetter(*_COLUMNS)
_SOURCE, _DESTINATION = _COLUMNS.index("source"), _COLUMNS.index("destination")


def _row(flow: Flow) -> Sequence[Any]:
    values = list(_row_of(flow))
    values[_SOURCE], values[_DESTINATION] = _packed(flow.source), _packed(flow.destination)
    return values


def _packed(address: Address) -> bytes:
    """The family, then the address: in order, so that a block is a span."""
    return bytes([address.version]) + address.packed


def _unpacked(raw: bytes) -> Address:
    return ip_address(raw[1:])


def _shown(name: str, value: Any) -> str:
    if name in _ADDRESSES:
        return str(_unpacked(value))
    if name == "action":
        return "ACCEPT" if value else "REJECT"
    return "-" if value is None else str(value)


# ---------------------------------------------------------------------- filters
def _tests(wanted: Mapping[str, str]) -> list[Test]:
    """What all must hold; several values of one filter are separated by commas, and one of them must fit. ValueError."""
    return [_test(name, text) for name, text in wanted.items()]


def _test(name: str, text: str) -> Test:
    if name in ("since", "until"):
        return _at(float(text), since=name == "since")
    if name == "address":
        return _inside(("source", "destination"), text)
    if name not in KEYS:
        raise ValueError(f"flows are not filtered by {name}")
    if name in _ADDRESSES:
        return _inside((name,), text)
    values = {_value(name, one) for one in text.split(",")}

    def among(part: _Part, rows: Sequence[int]) -> Sequence[int]:
        column = part.column(KEYS[name])
        return [row for row in rows if column[row] in values]

    return among


def _at(moment: float, *, since: bool) -> Test:
    def last(part: _Part, rows: Sequence[int]) -> Sequence[int]:
        column = part.column("last")
        return [row for row in rows if (column[row] >= moment) is since]

    return last


def _inside(names: Sequence[str], text: str) -> Test:
    """In one of the blocks."""
    blocks = [ip_network(one, strict=False) for one in text.split(",")]
    spans = [(_packed(block[0]), _packed(block[-1])) for block in blocks]

    def inside(part: _Part, rows: Sequence[int]) -> Sequence[int]:
        columns = [part.column(name) for name in names]
        if len(columns) == len(spans) == 1:  # mostly, and in a tenth of the time
            ((low, high),), (column,) = spans, columns
            return [row for row in rows if low <= column[row] <= high]
        return [row for row in rows if any(low <= column[row] <= high for column in columns for low, high in spans)]

    return inside


def _value(name: str, text: str) -> object:
    if name == "action":
        if text.upper() not in ("ACCEPT", "REJECT"):
            raise ValueError(f"an action is ACCEPT or REJECT, not {text!r}")
        return text.upper() == "ACCEPT"
    if name not in _NUMBERS:
        return text
    most = 255 if name == "protocol" else 65_535
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise ValueError(f"a {name.replace('-', ' ')} is a number up to {most}, not {text!r}")
    return int(text)
