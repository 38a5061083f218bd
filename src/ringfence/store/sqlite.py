"""The embedded store: one SQLite file, WAL, `synchronous=FULL` (docs/adr/0001).

A write is one transaction of rows, journal entry, audit record and remembered reply. Rows keep their rowid when they
change, so reading by rowid restores the order of creation. Audit records of calls that change nothing are gathered and
written by a background thread within 100 ms; when they cannot be written, `audit` refuses further calls.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ringfence.model.clock import Clock, SystemClock
from ringfence.model.codec import decode, encode
from ringfence.model.errors import fault
from ringfence.model.kinds import KINDS, Kind
from ringfence.model.row import Row
from ringfence.model.world import Change, Delete, Put, World, world_of
from ringfence.store import chain
from ringfence.store.bodies import Bodies
from ringfence.store.journal import Entry, change_of, steps_text
from ringfence.store.sealed import Sealer
from ringfence.store.store import AuditRow, Commit, Store

log = logging.getLogger("ringfence.store")

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
    """
    delete from journal;
    alter table journal add column account text not null default '';
    alter table journal add column request text not null default '';
    """,
    "alter table audit add column seal blob;",
    # numbers are the chain's, so SQLite need not keep count of them: one page less to write per commit
    """
    create table trail (number integer primary key, record blob not null, seal blob);
    insert into trail select number, record, seal from audit order by number;
    drop table audit;
    alter table trail rename to audit;
    """,
    # bodies of records are encrypted from here on, with data keys that only the key outside of this file opens
    "create table audit_key (id integer primary key, sealed blob not null);",
)
GROUP_COMMIT_SECONDS = 0.1
RETRY_SECONDS = 1.0
JOURNAL_KEPT = 10_000  # generations
REPLIES_KEPT_SECONDS = 24 * 3600
PRUNE_EVERY = 500  # commits
LOG_BYTES = 4 << 20  # of the write-ahead log, before it is begun again: SQLite's 1,000 pages

_PUT = (
    "insert into resource (kind, id, body) values (?, ?, ?) on conflict (kind, id) do update set body = excluded.body"
)
_DELETE = "delete from resource where kind = ? and id = ?"
_JOURNAL = "insert into journal (generation, at, steps, account, request) values (?, ?, ?, ?, ?)"
#: the World's generation is the journal's newest, or this one's while the journal is empty
_GENERATION = "update meta set value = ? where name = 'generation'"
_AUDIT = "insert into audit (number, record, seal) values (?, ?, ?)"
_REPLY = "insert or replace into reply (token, at, body) values (?, ?, ?)"


class StoreError(Exception):
    """The data directory cannot be used; the message says why and what to do."""


class SqliteStore(Store):
    """`path` is the database file; one process at a time. `durable=False` (ephemeral installations) skips fsync.

    `audit_key` seals the audit trail (`chain.py`); `sealer` encrypts the bodies of its records, None = they are kept plain.

    StoreError when the file is in use, damaged, or written by a newer version.
    """

    def __init__(
        self, path: Path, *, durable: bool = True, clock: Clock | None = None, audit_key: bytes = b"",
        sealer: Sealer | None = None,
    ) -> None:  # fmt: skip
        self._held = _lock_file(path.with_suffix(".lock"))
        try:
            self._db = _open(path, durable=durable)
            try:
                super().__init__(_load(self._db))
                self._bodies = _bodies(self._db, sealer)
            except BaseException:
                self._db.close()
                raise
        except BaseException:
            os.close(self._held)
            raise
        self._clock: Clock = clock or SystemClock()
        self._db_lock = threading.Lock()
        self._pending: deque[bytes] = deque()
        self._failing = False  # the last attempt to write audit records failed
        self._wake, self._closing = threading.Event(), threading.Event()
        self._commits = 0
        self._audit_key = audit_key
        self._number, self._seal = _end_of_trail(self._db)
        self._thread = threading.Thread(target=self._flush_forever, name="audit", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ writing
    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; gathered audit records come first, so that the trail keeps its order."""
        with self._db_lock:
            gathered = [self._pending.popleft() for _ in range(len(self._pending))]
            before = self._number, self._seal
            try:
                self._db.execute("begin immediate")
                if gathered:
                    self._db.executemany(_AUDIT, [self._sealed(record) for record in gathered])
                yield self._db
                self._db.execute("commit")
            except BaseException:
                self._pending.extendleft(reversed(gathered))
                self._number, self._seal = before
                if self._db.in_transaction:  # SQLite itself may have rolled back already
                    self._db.rollback()
                raise
            self._failing = False

    def _sealed(self, record: bytes) -> tuple[int, bytes, bytes]:
        """The next row of the trail. Only inside a transaction."""
        self._number += 1
        self._seal = chain.seal(self._audit_key, self._seal, self._number, record)
        return self._number, self._bodies.kept(self._number, record), self._seal

    def _persist(self, world: World, commit: Commit) -> None:
        try:
            with self._transaction() as db:
                self._write(db, world, commit)
        except sqlite3.Error as problem:
            log.critical("a commit failed, nothing was changed: %s", problem)
            raise fault("InternalError") from problem
        if _erases(commit.change):
            self._empty_log()

    def _empty_log(self) -> None:
        """What was erased leaves the write-ahead log too, as soon as nobody reads there; later commits get there as well."""
        try:
            with self._db_lock:
                self._db.execute("pragma wal_checkpoint(truncate)")
        except sqlite3.Error as problem:
            log.warning("the write-ahead log still holds what was erased: %s", problem)

    def _write(self, db: sqlite3.Connection, world: World, commit: Commit) -> None:
        now = self._clock.now().timestamp()
        if commit.change:
            steps = _write_rows(db, commit.change)
            db.execute(_JOURNAL, (world.generation, now, steps, commit.account_id, commit.request_id))
        if commit.audit is not None:
            db.execute(_AUDIT, self._sealed(commit.audit))
        if commit.remember is not None:
            db.execute(_REPLY, (commit.remember[0], now, commit.remember[1]))
        self._commits += 1
        if self._commits % PRUNE_EVERY == 0:
            db.execute("delete from journal where generation <= ?", (world.generation - JOURNAL_KEPT,))
            db.execute("delete from reply where at < ?", (now - REPLIES_KEPT_SECONDS,))

    def _clear(self, world: World) -> None:
        with self._transaction() as db:
            for table in ("resource", "journal", "reply"):
                db.execute(f"delete from {table}")
            db.execute(_GENERATION, (str(world.generation),))

    # ------------------------------------------------------------------ audit
    def audit(self, record: bytes) -> None:
        if self._failing:  # what cannot be audited is not served
            raise fault("InternalError")
        self._pending.append(record)
        self._wake.set()

    def _flush(self) -> None:
        if self._pending:
            with self._transaction():
                pass

    def _flush_forever(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._closing.wait(RETRY_SECONDS if self._failing else GROUP_COMMIT_SECONDS / 2)
            try:
                self._flush()
            except sqlite3.Error as problem:
                self._failing = True
                self._wake.set()
                log.critical("audit records cannot be written, calls are refused: %s", problem)

    def audit_records(
        self, *, after: int = 0, before: int | None = None, limit: int = 1000, newest: bool = False
    ) -> list[AuditRow]:
        """Damaged when one of them does not open."""
        self._flush()
        order = "desc" if newest else "asc"
        query = f"select number, cast(record as blob) from audit where number > ? and number < ? order by number {order} limit ?"
        bounds = (after, before if before is not None else 1 << 62, limit)
        with self._db_lock:
            found = self._db.execute(query, bounds).fetchall()
        rows = [AuditRow(number, self._bodies.opened(number, kept)) for number, kept in found]
        return rows[::-1] if newest else rows

    def verify_audit(self, sought: bytes = b"") -> chain.Verified:
        """Does every record of the trail fit its seal? Reads it whole, beside the running installation."""
        self._flush()
        with self._db_lock:
            last = self._number
        return chain.verify(self._audit_key, self._trail(last), sought)

    def _trail(self, last: int) -> Iterator[chain.Sealed]:
        after = 0
        while True:
            query = "select number, cast(record as blob), seal from audit where number > ? and number <= ? order by number limit 1000"
            with self._db_lock:
                rows = self._db.execute(query, (after, last)).fetchall()
            if not rows:
                return
            yield from (chain.Sealed(number, self._bodies.found(number, kept), seal) for number, kept, seal in rows)
            after = rows[-1][0]

    # ------------------------------------------------------------------ the rest
    def journal(self, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Entries of generations past `after`, oldest first; the oldest generations are forgotten (JOURNAL_KEPT)."""
        query = "select generation, at, account, request, steps from journal where generation > ? order by generation limit ?"
        with self._db_lock:
            rows = self._db.execute(query, (after, limit)).fetchall()
        return [
            Entry(generation=generation, at=at, account_id=account, request_id=request, change=change_of(steps))
            for generation, at, account, request, steps in rows
        ]

    def remembered(self, key: str) -> bytes | None:
        oldest = self._clock.now().timestamp() - REPLIES_KEPT_SECONDS
        with self._db_lock:
            found = self._db.execute("select body from reply where token = ? and at >= ?", (key, oldest)).fetchone()
        return found[0] if found else None

    def close(self) -> None:
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake.set()
        self._thread.join()
        try:
            self._flush()
        except sqlite3.Error as problem:
            log.critical("%d audit records are lost: %s", len(self._pending), problem)
        with self._db_lock:
            self._db.close()
        os.close(self._held)


def _bodies(db: sqlite3.Connection, sealer: Sealer | None) -> Bodies:
    try:
        return Bodies(db, sealer)
    except sqlite3.Error as problem:
        raise StoreError(f"the audit trail cannot be written: {problem}") from problem


def _write_rows(db: sqlite3.Connection, change: Change) -> str:
    """Write the rows of a change; its steps for the journal, which has none of rows that must be erasable."""
    steps: list[tuple[str, str, str | None]] = []
    for step in change.steps:
        noun = step.kind.noun
        if isinstance(step, Put):
            body = encode(step.row)
            db.execute(_PUT, (noun, step.row.id, body))
            written: tuple[str, str, str | None] = (noun, step.row.id, body)
        else:
            db.execute(_DELETE, (noun, step.id))
            written = (noun, step.id, None)
        if not step.kind.erased:
            steps.append(written)
    return steps_text(steps)


def _erases(change: Change) -> bool:
    return any(isinstance(step, Delete) and step.kind.erased for step in change.steps)


def _end_of_trail(db: sqlite3.Connection) -> tuple[int, bytes]:
    """The number of the newest audit record and its seal; the chain begins with what follows unsealed records."""
    found = db.execute("select number, seal from audit order by number desc limit 1").fetchone()
    return (found[0], found[1] or chain.GENESIS) if found else (0, chain.GENESIS)


def _lock_file(path: Path) -> int:
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(held, 32).decode("ascii", "replace").strip()
        os.close(held)
        who = f"process {holder}" if holder else "another ringfence"
        raise StoreError(f"{path.parent} is in use by {who}: stop it, or give another --data") from None
    os.ftruncate(held, 0)
    os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
    return held


def _open(path: Path, *, durable: bool) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        os.chmod(path, 0o600)
        db.execute("pragma journal_mode=wal")
        db.execute("pragma secure_delete=fast")  # deleted rows are overwritten in the pages that are written anyway
        db.execute(f"pragma synchronous={'full' if durable else 'off'}")
        _migrate(db)
        if durable:
            _lengthen_log(db)
    except sqlite3.Error as problem:
        db.close()
        raise StoreError(f"{path} cannot be opened: {problem}") from problem
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    (version,) = db.execute("pragma user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the data was written by a newer ringfence (schema {version}, this one knows {len(MIGRATIONS)})"
        )
    for number in range(version, len(MIGRATIONS)):
        db.executescript(f"begin; {MIGRATIONS[number]} pragma user_version = {number + 1}; commit;")


def _lengthen_log(db: sqlite3.Connection) -> None:
    """Give the log its full length at once: syncing a commit that makes the file longer takes twice the CPU.

    What does not fit into a small cache is written there before it is committed, and this is never committed. Where there is
    no room for that, commits go on as long as there is room for them.
    """
    (cache,) = db.execute("pragma cache_size").fetchone()
    db.execute("pragma cache_size = 10")
    db.execute("begin immediate")
    try:
        db.execute("create table room (bytes blob)")
        db.execute("insert into room values (zeroblob(?))", (LOG_BYTES,))
    except sqlite3.OperationalError as problem:
        log.warning("there is no room to give the log its length at once: %s", problem)
    finally:
        if db.in_transaction:  # SQLite itself may have rolled back already
            db.rollback()
        db.execute(f"pragma cache_size = {cache}")


def _load(db: sqlite3.Connection) -> World:
    try:
        (first,) = db.execute("select value from meta where name = 'generation'").fetchone()
        (newest,) = db.execute("select max(generation) from journal").fetchone()
        world = world_of(_rows(db))
    except sqlite3.Error as problem:
        raise StoreError(f"the data cannot be read: {problem}") from problem
    return World(max(int(first), newest or 0), world._rows, world._index, world._serial)


def _rows(db: sqlite3.Connection) -> Iterator[tuple[Kind[Any], Row]]:
    for noun, id, body in db.execute("select kind, id, body from resource order by rowid"):
        kind = KINDS.get(noun)
        if kind is None:
            raise StoreError(f"the data holds resources of an unknown kind {noun!r}: written by a newer ringfence?")
        try:
            yield kind, decode(kind.row, body)
        except (ValueError, TypeError) as problem:
            raise StoreError(f"the stored {noun} {id} cannot be read: {problem}") from problem
