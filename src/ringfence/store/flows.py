"""What flows were seen lately, and why packets were refused: the side channel of flow logs (D-16; docs/flowlogs.md).

One row for each flow at an interface between two readings of the counters, in an SQLite file of its own. Bounded: the oldest go
first. It may lose what was read in the last seconds before a power failure: the flow logs themselves are elsewhere.
"""

from __future__ import annotations

import operator
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from ringfence.model.net import Address

MOST, DAYS = 1_000_000, 7
_SCHEMA = """
create table if not exists flow (
    number integer primary key autoincrement, first real not null, last real not null, account text not null,
    region text not null, vpc text not null, subnet text not null, interface text not null, instance text,
    direction text not null, accepted integer not null, source blob not null, destination blob not null,
    source_port integer not null, destination_port integer not null, protocol integer not null, packets integer not null,
    octets integer not null, flags integer, layer text, component text, rule text);
create index if not exists flow_last on flow (last);
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
    """`path`: the file. sqlite3.Error when the disk fails."""

    def __init__(self, path: Path, *, most: int = MOST) -> None:
        self._most = most
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        os.chmod(path, 0o600)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=normal")
        self._db.executescript(_SCHEMA)
        self._lock = threading.Lock()

    def put(self, flows: Iterable[Flow], now: float) -> None:
        """Append; forget what is too much or too old."""
        rows = [_row(flow) for flow in flows]
        names, marks = ", ".join((*_PLAIN, "source", "destination")), ", ".join("?" * len(_COLUMNS))
        with self._lock, self._db:
            self._db.execute("begin immediate")
            self._db.executemany(f"insert into flow ({names}) values ({marks})", rows)
            self._db.execute("delete from flow where number <= (select max(number) from flow) - ?", (self._most,))
            self._db.execute("delete from flow where last < ?", (now - DAYS * 86_400,))

    def find(self, wanted: Mapping[str, str], *, after: int = 0, limit: int = 1000, newest: bool = True) -> list[Flow]:
        """Flows that fit, oldest first: the newest ones, or the first after a number. ValueError for a filter that is none."""
        where, given = _where(wanted)
        order = "desc" if newest else "asc"
        query = (
            f"select number, {', '.join(_COLUMNS)} from flow where number > ? {where} order by number {order} limit ?"
        )
        with self._lock:
            rows = self._db.execute(query, (after, *given, limit)).fetchall()
        return [_flow(row) for row in (reversed(rows) if newest else rows)]

    def top(
        self, by: Sequence[str], wanted: Mapping[str, str], *, limit: int = 50, packets: bool = False
    ) -> list[tuple[tuple[str, ...], int, int, int]]:
        """What has the most bytes (or packets): keys, flows, packets, bytes. ValueError for a key or filter that is none."""
        where, given = _where(wanted)
        unknown = [name for name in by if name not in KEYS]
        if unknown or not by:
            raise ValueError(f"flows are not grouped by {', '.join(unknown) or 'nothing'}")
        columns = ", ".join(KEYS[name] for name in by)
        query = (
            f"select {columns}, count(*), sum(packets) as p, sum(octets) as o from flow where number > 0 {where} "
            f"group by {columns} order by {'p' if packets else 'o'} desc, {columns} limit ?"
        )
        with self._lock:
            rows = self._db.execute(query, (*given, limit)).fetchall()
        return [(tuple(_shown(name, row[n]) for n, name in enumerate(by)), *row[len(by) :]) for row in rows]

    def clear(self) -> None:
        with self._lock:
            self._db.execute("delete from flow")

    def close(self) -> None:
        with self._lock:
            self._db.close()


# ---------------------------------------------------------------------- rows
#: every column but the addresses, which come last in what is inserted
_PLAIN = tuple(name for name in _COLUMNS if name not in _ADDRESSES)
_plain = operator.attrgetter(*_PLAIN)


def _row(flow: Flow) -> tuple[object, ...]:
    return (*_plain(flow), _packed(flow.source), _packed(flow.destination))


def _flow(row: Sequence[object]) -> Flow:
    values = dict(zip(_COLUMNS, row[1:], strict=True))
    for name in _ADDRESSES:
        values[name] = _unpacked(values[name])  # type: ignore[arg-type]
    values["accepted"] = bool(values["accepted"])
    return Flow(number=row[0], **values)  # type: ignore[arg-type]


def _packed(address: Address) -> bytes:
    """The family, then the address: in order, so that a block is a span."""
    return bytes([address.version]) + address.packed


def _unpacked(raw: bytes) -> Address:
    return ip_address(raw[1:])


def _shown(name: str, value: object) -> str:
    if name in _ADDRESSES:
        return str(_unpacked(value))  # type: ignore[arg-type]
    if name == "action":
        return "ACCEPT" if value else "REJECT"
    return "-" if value is None else str(value)


# ---------------------------------------------------------------------- filters
def _where(wanted: Mapping[str, str]) -> tuple[str, list[object]]:
    """Conditions that all hold; several values of one filter are separated by commas, and one of them must fit. ValueError."""
    conditions, given = [], list[object]()
    for name, text in wanted.items():
        if name in ("since", "until"):
            conditions.append(f"last {'>=' if name == 'since' else '<'} ?")
            given.append(float(text))
            continue
        parts = [_condition(name, value) for value in text.split(",")]
        conditions.append("(" + " or ".join(condition for condition, _ in parts) + ")")
        given += [value for _, values in parts for value in values]
    return "".join(f" and {condition}" for condition in conditions), given


def _condition(name: str, text: str) -> tuple[str, list[object]]:
    if name == "address":
        (one, first), (other, second) = _condition("source", text), _condition("destination", text)
        return f"({one} or {other})", first + second
    if name not in KEYS:
        raise ValueError(f"flows are not filtered by {name}")
    column = KEYS[name]
    if name in _ADDRESSES:
        block = ip_network(text, strict=False)
        return f"{column} between ? and ?", [_packed(block[0]), _packed(block[-1])]
    if name == "action":
        if text.upper() not in ("ACCEPT", "REJECT"):
            raise ValueError(f"an action is ACCEPT or REJECT, not {text!r}")
        return f"{column} = ?", [text.upper() == "ACCEPT"]
    if name in _NUMBERS:
        return f"{column} = ?", [int(text)]
    return f"{column} = ?", [text]
