"""The audit trail shows what was done to it (DATA-12), and is searched from its newest end."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.store import chain, trail
from ringfence.store.sqlite import MIGRATIONS, SqliteStore
from ringfence.store.store import Commit, MemoryStore

KEY = b"k" * 32


def _rows(count: int) -> list[chain.Sealed]:
    rows, before = [], chain.GENESIS
    for number in range(1, count + 1):
        before = chain.seal(KEY, before, number, b"record %d" % number)
        rows.append(chain.Sealed(number, b"record %d" % number, before))
    return rows


@given(st.integers(2, 12), st.data())
def test_every_change_of_an_inner_record_shows(count: int, data: st.DataObject) -> None:
    rows = _rows(count)
    at = data.draw(st.integers(0, count - 1))
    kind = data.draw(st.sampled_from(["record", "seal", "remove", "repeat", "unseal"]))
    row = rows[at]
    if kind == "record":
        rows[at] = chain.Sealed(row.number, row.record + b"!", row.seal)
    elif kind == "seal":
        rows[at] = chain.Sealed(row.number, row.record, bytes(32))
    elif kind == "remove":
        del rows[at]
        if at == count - 1:  # cut off at the end: only a seal kept elsewhere shows it
            found = chain.verify(KEY, rows, row.seal or b"")
            assert found.broken is None
            assert found.found is None
            return
    elif kind == "repeat":
        rows.insert(at, row)
    elif at:
        rows[at] = chain.Sealed(row.number, row.record, None)
    else:
        return
    assert chain.verify(KEY, rows).broken is not None


def test_a_whole_chain_is_whole_and_another_key_is_not() -> None:
    rows = _rows(5)
    found = chain.verify(KEY, rows, rows[2].seal or b"")
    assert (found.broken, found.records, found.found, found.head) == (None, 5, 3, rows[-1].seal)
    assert chain.verify(b"other", rows).broken == (1, "its seal does not fit it and what came before")


def _record(number: int, **more: object) -> bytes:
    event = {
        "eventName": f"Call{number % 3}",
        "eventSource": "ec2.amazonaws.com",
        "eventTime": f"2026-01-{number:02}T00:00:00Z",
        "userIdentity": {"arn": "arn:aws:iam::1:user/ann", "accessKeyId": "AKIA1"},
        "requestParameters": {"Id": f"sg-{number}"},
    }
    return json.dumps(event | more).encode()


def test_the_store_seals_across_restarts_and_finds_forgeries(tmp_path: Path) -> None:
    for _ in range(2):
        store = SqliteStore(tmp_path / "r.db", audit_key=KEY)
        store.audit(_record(1))
        store.write(lambda _: Commit(audit=_record(2)))
        assert store.verify_audit().broken is None
        store.close()
    db = sqlite3.connect(tmp_path / "r.db")
    db.execute("update audit set record = ? where number = 3", (_record(9),))
    db.commit()
    db.close()
    store = SqliteStore(tmp_path / "r.db", audit_key=KEY)
    assert store.verify_audit().broken == (3, "its seal does not fit it and what came before")
    store.close()


def test_records_from_before_sealing_are_told_apart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", audit_key=KEY)
    store.audit(_record(1))
    store.close()
    db = sqlite3.connect(tmp_path / "r.db")
    db.execute("update audit set seal = null")
    db.commit()
    db.close()
    store = SqliteStore(tmp_path / "r.db", audit_key=KEY)
    store.audit(_record(2))
    found = store.verify_audit()
    assert (found.unsealed, found.records, found.broken) == (1, 1, None)
    store.close()


def test_a_trail_of_an_older_schema_keeps_its_numbers_and_seals(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "r.db")
    for version in range(3):
        old.executescript(f"begin; {MIGRATIONS[version]} pragma user_version = {version + 1}; commit;")
    first = chain.seal(KEY, chain.GENESIS, 1, _record(1))
    old.execute("insert into audit values (1, ?, ?)", (_record(1), first))
    old.execute("insert into audit values (2, ?, ?)", (_record(2), chain.seal(KEY, first, 2, _record(2))))
    old.commit()
    old.close()
    store = SqliteStore(tmp_path / "r.db", audit_key=KEY)
    store.audit(_record(3))
    found = store.verify_audit(first)
    assert (found.records, found.unsealed, found.broken, found.found) == (3, 0, None, 1)
    assert [row.number for row in store.audit_records()] == [1, 2, 3]
    store.close()


def test_a_failed_commit_leaves_the_chain_whole(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", audit_key=KEY)
    store.audit(_record(1))

    def fails(_: object) -> Commit:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.write(fails)
    store._db.execute("create trigger no before insert on audit begin select raise(abort, 'full'); end")
    with pytest.raises(Exception, match="InternalError"):
        store.write(lambda _: Commit(audit=_record(2)))
    store._db.execute("drop trigger no")
    store.write(lambda _: Commit(audit=_record(3)))
    found = store.verify_audit()
    assert (found.records, found.broken) == (2, None)
    store.close()


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [7, 8, 9]), ({"event": "Call1"}, [1, 4, 7]), ({"resource": "sg-3"}, [3]), ({"user": "ann"}, [7, 8, 9]),
        ({"user": "AKIA1", "event": "Call0"}, [3, 6, 9]), ({"user": "bob"}, []), ({"service": "iam"}, []),
        ({"refused": "yes"}, [5]), ({"since": "2026-01-08"}, [8, 9]), ({"service": "ec2"}, [7, 8, 9]),
    ],
)  # fmt: skip
def test_searching(wanted: dict[str, str], numbers: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "CHUNK", 2)
    store = MemoryStore()
    for number in range(1, 10):
        store.audit(_record(number, **({"errorCode": "Client.X"} if number == 5 else {})))
    found = trail.newest(store, trail.Wanted(**wanted), 3)
    assert [int(str(event["eventTime"])[8:10]) for event in found] == numbers
