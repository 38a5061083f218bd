"""Bodies of audit records are encrypted (DATA-05, docs/adr/0014): nothing in plain, the chain holds, older records are read."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from ringfence.identity.sealing import Sealer, new_key
from ringfence.store.sealed import Damaged
from ringfence.store.sqlite import SqliteStore
from ringfence.store.store import Commit

KEY = b"k" * 32
OLD = new_key()


def _open(folder: Path, sealer: Sealer | None) -> SqliteStore:
    return SqliteStore(folder / "r.db", durable=False, audit_key=KEY, sealer=sealer)


def _write(store: SqliteStore, *records: bytes) -> None:
    for record in records:
        store.audit(record)
    store.write(lambda _: Commit(audit=b'{"committed": "secret"}'))


def _on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("r.db*"))


def test_nothing_of_a_record_is_in_the_files_and_all_of_it_comes_back(tmp_path: Path) -> None:
    store = _open(tmp_path, Sealer([OLD]))
    _write(store, b'{"one": "secret"}', b'{"two": "secret"}')
    assert b"secret" not in _on_disk(tmp_path)  # the log that is written ahead too
    assert [row.record for row in store.audit_records()] == [
        b'{"one": "secret"}',
        b'{"two": "secret"}',
        b'{"committed": "secret"}',
    ]
    head = store.verify_audit().head
    store.close()
    assert b"secret" not in _on_disk(tmp_path)
    again = _open(tmp_path, Sealer([new_key(), OLD]))  # the sealing key was changed
    _write(again, b'{"three": "secret"}')
    found = again.verify_audit(head)
    assert (found.broken, found.records, found.found) == (None, 5, 3)
    again.close()


def test_records_from_before_are_read_beside_the_encrypted(tmp_path: Path) -> None:
    store = _open(tmp_path, None)
    _write(store, b'{"plain": 1}')
    store.close()
    store = _open(tmp_path, Sealer([OLD]))
    _write(store, b'{"sealed": 1}')
    assert [row.number for row in store.audit_records() if row.record.startswith(b"{")] == [1, 2, 3, 4]
    assert store.verify_audit().broken is None
    store.close()


@pytest.mark.parametrize(
    "change",
    ["update audit set record = substr(record, 1, length(record) - 1) || x'00' where number = 2",
     "update audit set record = (select record from audit where number = 1) where number = 2",
     "update audit set record = x'02' where number = 2", "delete from audit_key"],
)  # fmt: skip
def test_what_was_altered_is_named_and_never_shown(tmp_path: Path, change: str) -> None:
    store = _open(tmp_path, Sealer([OLD]))
    _write(store, b'{"one": 1}', b'{"two": 2}')
    store.close()
    with sqlite3.connect(tmp_path / "r.db") as db:
        db.execute(change)
    db.close()
    store = _open(tmp_path, Sealer([OLD]))
    first = 1 if "audit_key" in change else 2
    found = store.verify_audit()
    assert found.broken is not None
    assert (found.broken[0], "does not open" in found.broken[1]) == (first, True)
    with pytest.raises(Damaged, match=f"record {first} "):
        store.audit_records()
    store.close()


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    store = _open(tmp_path, Sealer([OLD]))
    _write(store)
    store.close()
    store = _open(tmp_path, Sealer([new_key()]))
    with pytest.raises(Damaged):
        store.audit_records()
    store.close()
