"""Data keys of log groups: which there are, as KMS sealed them, beside the events that they seal (docs/adr/0014).

A group gets a new one each day that it is written to, and from each process: what writes needs no key opened. Opened keys are in
memory alone; whoever uses one asks first whether that is allowed (`api/ops/logs/encryption.py`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection
from dataclasses import dataclass

from ringfence.store.durable import transaction
from ringfence.store.sealed import DataKey

SCHEMA = """
create table if not exists data_key (
    id integer primary key, grp text not null, arn text not null, sealed blob not null, made integer not null);
"""


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A data key of a group. `arn`: of the key of KMS that sealed it. `made`: ms since 1970."""

    id: int
    group: str
    arn: str
    sealed: bytes
    made: int


class EventKeys:
    """On the event store's connection and under its lock."""

    def __init__(self, db: sqlite3.Connection, lock: threading.Lock) -> None:
        self._db, self._lock = db, lock
        self._kept = {row[0]: KeptKey(*row) for row in db.execute("select id, grp, arn, sealed, made from data_key")}
        self._groups = {kept.group for kept in self._kept.values()}
        self._opened: dict[int, bytes] = {}

    def has(self, group: str) -> bool:
        """Was anything of this group ever sealed?"""
        return group in self._groups

    def newest(self, group: str, arn: str, since: int) -> DataKey | None:
        """A data key of the group that is opened and was made since, sealed by that key of KMS."""
        for id in reversed(self._opened):
            kept = self._kept[id]
            if (kept.group, kept.arn) == (group, arn) and kept.made >= since:
                return DataKey(id, self._opened[id])
        return None

    def add(self, group: str, arn: str, sealed: bytes, secret: bytes, made: int) -> DataKey:
        """On disk before it returns. ApiError ServiceUnavailableException when the disk fails."""
        with self._lock:
            kept = KeptKey(max(self._kept, default=0) + 1, group, arn, sealed, made)
            with transaction(self._db) as db:
                db.execute("insert into data_key values (?, ?, ?, ?, ?)", (kept.id, group, arn, sealed, made))
            self._kept = {**self._kept, kept.id: kept}
            self._opened = {**self._opened, kept.id: secret}
            self._groups = {*self._groups, group}
        return DataKey(kept.id, secret)

    def find(self, id: int) -> KeptKey | None:
        return self._kept.get(id)

    def opened(self, id: int) -> bytes | None:
        return self._opened.get(id)

    def keep_opened(self, id: int, secret: bytes) -> None:
        with self._lock:
            self._opened = {**self._opened, id: secret}

    def keep_only(self, groups: Collection[str]) -> None:
        """Forget the keys of groups that are gone: with them their events are."""
        gone = [kept.id for kept in self._kept.values() if kept.group not in groups]
        if not gone:
            return
        with self._lock, transaction(self._db) as db:
            db.executemany("delete from data_key where id = ?", [(id,) for id in gone])
            self._forget({id: kept for id, kept in self._kept.items() if id not in gone})

    def clear(self) -> None:
        """Inside a transaction."""
        self._db.execute("delete from data_key")
        self._forget({})

    def _forget(self, left: dict[int, KeptKey]) -> None:
        self._kept = left
        self._opened = {id: held for id, held in self._opened.items() if id in left}
        self._groups = {kept.group for kept in left.values()}
