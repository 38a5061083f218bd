"""What happens when the disk fails, the file is damaged, or many threads write (RES-08)."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.model.clock import ManualClock
from ringfence.model.errors import ApiError
from ringfence.model.kinds import INTERNET_GATEWAY
from ringfence.model.nouns.network import InternetGateway
from ringfence.model.world import Change, World, put
from ringfence.store.sqlite import REPLIES_KEPT_SECONDS, SqliteStore, StoreError
from ringfence.store.store import Commit


def gateway(number: int) -> InternetGateway:
    return InternetGateway(id=f"igw-{number}", owner_id="123456789012", region="us-east-1")


def creation(number: int, *, audit: bytes | None = None) -> Commit:
    return Commit(change=put(INTERNET_GATEWAY, gateway(number)), audit=audit)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "r.db")
    yield made
    made.close()


def full(store: SqliteStore) -> None:
    """No page may be added to the file any more: the disk is full, as SQLite sees it."""
    for number in range(store._db.execute("pragma freelist_count").fetchone()[0]):
        store._db.execute(f"create table filler_{number} (x)")
    assert store._db.execute("pragma freelist_count").fetchone() == (0,)
    (pages,) = store._db.execute("pragma page_count").fetchone()
    store._db.execute(f"pragma max_page_count = {pages}")


def roomy(store: SqliteStore) -> None:
    store._db.execute("pragma max_page_count = 1000000")


BIG = b"x" * 100_000


def test_a_full_disk_fails_the_call_and_nothing_else(store: SqliteStore) -> None:
    heard: list[Change] = []
    store.subscribe(lambda _before, _after, change: heard.append(change))
    store.write(lambda _: creation(1))
    full(store)
    before = store.world
    with pytest.raises(ApiError, match="InternalError"):
        store.write(lambda _: Commit(change=put(INTERNET_GATEWAY, gateway(2)), audit=BIG, remember=("token", b"reply")))
    assert store.world is before
    assert store.remembered("token") is None
    roomy(store)
    store.write(lambda _: creation(3, audit=b"three"))
    assert [row.id for row in store.world.all(INTERNET_GATEWAY)] == ["igw-1", "igw-3"]
    assert [row.record for row in store.audit_records()] == [b"three"]
    assert [entry.generation for entry in store.journal()] == [1, 2]
    assert len(heard) == 2


def test_audit_records_outlive_a_failed_commit(store: SqliteStore) -> None:
    """Gathered records that a failing transaction would have carried are written by the next one, in order."""
    full(store)
    store.audit(b"one")
    store.audit(b"two")
    with pytest.raises(ApiError):
        store.write(lambda _: creation(1, audit=BIG))
    roomy(store)
    store.write(lambda _: creation(2, audit=b"three"))
    assert [row.record for row in store.audit_records()] == [b"one", b"two", b"three"]


def test_calls_are_refused_while_they_cannot_be_audited(store: SqliteStore) -> None:
    full(store)
    store.audit(BIG)
    eventually(lambda: store._failing)
    with pytest.raises(ApiError, match="InternalError"):
        store.audit(b"refused")
    roomy(store)
    eventually(lambda: not store._failing)  # the background thread tries again by itself
    store.audit(b"after")
    assert [row.record for row in store.audit_records()] == [BIG, b"after"]


def eventually(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_audit_records_of_reads_are_on_disk_within_100_ms(store: SqliteStore, tmp_path: Path) -> None:
    other = sqlite3.connect(f"file:{tmp_path / 'r.db'}?mode=ro", uri=True)
    store.audit(b"read")
    started = time.monotonic()
    while not other.execute("select count(*) from audit").fetchone()[0]:
        time.sleep(0.002)
    assert time.monotonic() - started < 1  # 100 ms, and patience with a busy machine
    other.close()


def test_nothing_is_lost_between_threads(store: SqliteStore) -> None:
    """Readers and writers at once: every audit record once, every row, generations without gap."""

    def read(thread: int) -> None:
        for number in range(300):
            store.audit(f"r{thread}/{number}".encode())

    def write(thread: int) -> None:
        for number in range(40):
            commit = creation(1000 * thread + number, audit=f"w{thread}/{number}".encode())
            store.write(lambda _, commit=commit: commit)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4) for work in (read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = [row.record.decode() for row in store.audit_records(limit=10_000)]
    assert len(records) == len(set(records)) == 4 * 340
    for n in range(4):
        assert [r for r in records if r.startswith(f"r{n}/")] == [f"r{n}/{i}" for i in range(300)]
    assert store.world.generation == len(store.world.all(INTERNET_GATEWAY)) == 160


def test_a_token_is_remembered_for_a_day(tmp_path: Path) -> None:
    """INF-14: within the same commit as the change; gone after 24 hours."""
    clock = ManualClock()
    store = SqliteStore(tmp_path / "r.db", clock=clock)
    store.write(lambda _: Commit(change=put(INTERNET_GATEWAY, gateway(1)), remember=("token", b"reply")))
    clock.advance(REPLIES_KEPT_SECONDS - 1)
    assert store.remembered("token") == b"reply"
    clock.advance(2)
    assert store.remembered("token") is None
    store.close()


def test_reset_forgets_all_but_the_trail(store: SqliteStore, tmp_path: Path) -> None:
    heard: list[tuple[World, World]] = []
    store.write(lambda _: Commit(change=put(INTERNET_GATEWAY, gateway(1)), audit=b"one", remember=("token", b"reply")))
    store.subscribe(lambda before, after, _change: heard.append((before, after)))
    store.reset()
    assert list(store.world) == []
    assert store.world.generation == 2
    assert heard[0][1] is store.world
    assert store.remembered("token") is None
    assert [row.record for row in store.audit_records()] == [b"one"]
    store.close()
    again = SqliteStore(tmp_path / "r.db")
    assert (list(again.world), again.world.generation) == ([], 2)
    again.close()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("not a database", "cannot be opened"),
        ("unknown kind", "unknown kind 'wormhole'"),
        ("unknown field", "internet-gateway igw-1 cannot be read: .*newer version"),
        ("missing field", "internet-gateway igw-1 cannot be read"),
        ("wrong type", "internet-gateway igw-1 cannot be read: 5 is not of type str"),
    ],
)
def test_damaged_data_is_refused_and_says_why(tmp_path: Path, damage: str, says: str) -> None:
    path = tmp_path / "r.db"
    SqliteStore(path).close()
    if damage == "not a database":
        path.write_bytes(b"garbage" * 1000)
    else:
        kind, body = {
            "unknown kind": ("wormhole", "{}"),
            "unknown field": ("internet-gateway", '{"id":"igw-1","owner_id":"1","region":"r","spin":1}'),
            "missing field": ("internet-gateway", '{"id":"igw-1"}'),
            "wrong type": ("internet-gateway", '{"id":"igw-1","owner_id":"1","region":5}'),
        }[damage]
        with sqlite3.connect(path) as db:
            db.execute("insert into resource (kind, id, body) values (?, 'igw-1', ?)", (kind, body))
        db.close()
    for _ in range(2):  # a refusal leaves no lock behind
        with pytest.raises(StoreError, match=says):
            SqliteStore(path)


def test_the_holder_of_the_lock_is_named(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}: stop it, or give another --data"):
        SqliteStore(tmp_path / "r.db")
    assert (tmp_path / "r.db").stat().st_mode & 0o777 == 0o600
