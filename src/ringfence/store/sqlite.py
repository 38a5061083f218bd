"""The embedded store: one SQLite file, WAL, `synchronous=FULL` (docs/adr/0001).

Rows keep their rowid when they change, so reading by rowid restores the order of creation. Audit records of calls that
change nothing are gathered and written by a background thread within 100 ms.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ringfence.model.codec import decode, encode
from ringfence.model.kinds import KINDS, Kind
from ringfence.model.row import Row
from ringfence.model.world import Put, World, world_of
from ringfence.store.store import AuditRow, Commit, Store

#: schema versions in order; a file of version n is brought up by running entries n, n+1, ...
MIGRATIONS = (
    """
    create table resource (kind text not null, id text not null, body text not null, unique (kind, id));
    create table journal (generation integer primary key, at real not null, steps text not null);
    create table audit (number integer primary key autoincrement, record blob not null);
    create table reply (token text primary key, at real not null, body blob not null);
    create table meta (name text primary key, value text not null);
    insert into meta values ('generation', '0');
    """,
)
GROUP_COMMIT_SECONDS = 0.1
JOURNAL_KEPT = 100_000
REPLIES_KEPT_SECONDS = 24 * 3600


class StoreError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


class SqliteStore(Store):
    """`path` is the database file. `durable=False` (ephemeral installations) skips fsync."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self._held = _lock_file(path.with_suffix(".lock"))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
            self._db.execute("pragma journal_mode=wal")
            self._db.execute(f"pragma synchronous={'full' if durable else 'off'}")
            _migrate(self._db)
            super().__init__(_load(self._db))
        except BaseException:
            os.close(self._held)
            raise
        self._db_lock = threading.Lock()
        self._pending: list[bytes] = []
        self._wake, self._closing = threading.Event(), False
        self._writes = 0
        self._thread = threading.Thread(target=self._flush_forever, name="audit", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ writing
    def _persist(self, world: World, commit: Commit) -> None:
        with self._db_lock:
            db = self._db
            db.execute("begin immediate")
            try:
                self._write(db, world, commit)
                db.execute("commit")
            except BaseException:
                db.execute("rollback")
                raise

    def _write(self, db: sqlite3.Connection, world: World, commit: Commit) -> None:
        if commit.change:
            steps = []
            for step in commit.change.steps:
                noun = step.kind.noun
                if isinstance(step, Put):
                    body = encode(step.row)
                    steps.append(("put", noun, step.row.id))
                    db.execute(
                        "insert into resource (kind, id, body) values (?, ?, ?) "
                        "on conflict (kind, id) do update set body = excluded.body",
                        (noun, step.row.id, body),
                    )
                else:
                    steps.append(("delete", noun, step.id))
                    db.execute("delete from resource where kind = ? and id = ?", (noun, step.id))
            now = time.time()
            db.execute("insert into journal values (?, ?, ?)", (world.generation, now, json.dumps(steps)))
            db.execute("update meta set value = ? where name = 'generation'", (str(world.generation),))
        if commit.audit is not None:
            self._take_pending(db)
            db.execute("insert into audit (record) values (?)", (commit.audit,))
        if commit.remember is not None:
            db.execute(
                "insert or replace into reply values (?, ?, ?)", (commit.remember[0], time.time(), commit.remember[1])
            )
        self._writes += 1
        if self._writes % 1000 == 0:
            db.execute("delete from journal where generation < ?", (world.generation - JOURNAL_KEPT,))
            db.execute("delete from reply where at < ?", (time.time() - REPLIES_KEPT_SECONDS,))

    def _clear(self, world: World) -> None:
        with self._db_lock:
            self._db.execute("begin immediate")
            for table in ("resource", "journal", "reply"):
                self._db.execute(f"delete from {table}")
            self._db.execute("update meta set value = ? where name = 'generation'", (str(world.generation),))
            self._db.execute("commit")

    # ------------------------------------------------------------------ audit
    def audit(self, record: bytes) -> None:
        self._pending.append(record)
        self._wake.set()

    def _take_pending(self, db: sqlite3.Connection) -> None:
        """Write gathered records; they come before the record of the change that follows them."""
        taken, self._pending = self._pending, []
        if taken:
            db.executemany("insert into audit (record) values (?)", [(record,) for record in taken])

    def _flush(self) -> None:
        with self._db_lock:
            if self._pending:
                self._db.execute("begin immediate")
                try:
                    self._take_pending(self._db)
                    self._db.execute("commit")
                except BaseException:
                    self._db.execute("rollback")
                    raise

    def _flush_forever(self) -> None:
        while not self._closing:
            self._wake.wait()
            time.sleep(GROUP_COMMIT_SECONDS / 2)
            self._wake.clear()
            self._flush()

    def audit_records(self, *, after: int = 0, limit: int = 1000, newest: bool = False) -> list[AuditRow]:
        self._flush()
        query = "select number, record from audit where number > ? order by number " + (
            "desc limit ?" if newest else "limit ?"
        )
        with self._db_lock:
            rows = [AuditRow(number, record) for number, record in self._db.execute(query, (after, limit))]
        return rows[::-1] if newest else rows

    # ------------------------------------------------------------------ the rest
    def remembered(self, key: str) -> bytes | None:
        with self._db_lock:
            found = self._db.execute("select body from reply where token = ?", (key,)).fetchone()
        return found[0] if found else None

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._flush()
        self._db.close()
        os.close(self._held)


def _lock_file(path: Path) -> int:
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise StoreError(f"{path.parent} is in use by another ringfence; stop it, or give another --data") from None
    return held


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("pragma user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the data was written by a newer ringfence (schema {version}, this one knows {len(MIGRATIONS)})"
        )
    for number in range(version, len(MIGRATIONS)):
        db.executescript(f"begin; {MIGRATIONS[number]} pragma user_version = {number + 1}; commit;")


def _load(db: sqlite3.Connection) -> World:
    (generation,) = db.execute("select value from meta where name = 'generation'").fetchone()
    world = world_of(_rows(db))
    return World(int(generation), world._rows, world._index, world._serial)


def _rows(db: sqlite3.Connection) -> Iterator[tuple[Kind[Any], Row]]:
    for noun, body in db.execute("select kind, body from resource order by rowid"):
        kind = KINDS.get(noun)
        if kind is None:
            raise StoreError(f"the data holds resources of an unknown kind {noun!r}: written by a newer ringfence?")
        yield kind, decode(kind.row, body)
