"""The journal: every generation can be followed from it, and it stays bounded (docs/adr/0001)."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.clock import ManualClock
from ringfence.model.kinds import INTERNET_GATEWAY, KEY_PAIR, KMS_MATERIAL, Kind
from ringfence.model.nouns.instance import KeyPair
from ringfence.model.nouns.kms import KmsMaterial
from ringfence.model.nouns.network import InternetGateway
from ringfence.model.row import Row
from ringfence.model.world import Change, World, delete, put
from ringfence.store import sqlite
from ringfence.store.sqlite import MIGRATIONS, SqliteStore
from ringfence.store.store import Commit

OWNED = {"owner_id": "123456789012", "region": "us-east-1"}


def gateway(number: int, vpc: str | None = None) -> InternetGateway:
    return InternetGateway(id=f"igw-{number}", vpc_id=vpc, **OWNED)


def key(number: int, name: str) -> KeyPair:
    return KeyPair(id=f"key-{number}", name=name, key_type="rsa", fingerprint="", public_key="", created="", **OWNED)


Action = tuple[Kind[Row], int, str | None]  # a row of that number with that text; None = delete it
ACTIONS = st.tuples(
    st.sampled_from([INTERNET_GATEWAY, KEY_PAIR]), st.integers(0, 4), st.none() | st.sampled_from(["a", 'ü"\\', ""])
)


def change_for(world: World, actions: list[Action]) -> Change:
    """The actions as one valid change: what is not there is not deleted."""
    change = Change()
    for kind, number, text in actions:
        if text is not None:
            change += put(kind, gateway(number, text) if kind is INTERNET_GATEWAY else key(number, text))
        else:
            id = f"{kind.prefix}{number}"
            change += delete(kind, id) if world.apply(change).find(kind, id) else Change()
    return change


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ACTIONS, min_size=1, max_size=4), max_size=12))
def test_rows_are_the_replay_of_the_journal(commits: list[list[Action]]) -> None:
    """For any sequence of changes: the live World, the reopened file and the replayed journal are one."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / "r.db"
        store = SqliteStore(path, durable=False)
        for actions in commits:
            store.write(lambda world, actions=actions: Commit(change=change_for(world, actions)))
        live = store.world
        replayed = World()
        for entry in store.journal():
            replayed = replayed.apply(entry.change)
            assert entry.generation == replayed.generation
        store.close()
        again = SqliteStore(path, durable=False)
        assert list(live) == list(replayed) == list(again.world)
        assert live.generation == replayed.generation == again.world.generation
        again.close()


def test_an_entry_says_when_and_for_whom(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / "r.db", clock=clock)
    store.write(lambda _: Commit(change=put(INTERNET_GATEWAY, gateway(1)), account_id="123456789012", request_id="r-1"))
    clock.advance(5)
    store.write(lambda _: Commit(change=delete(INTERNET_GATEWAY, "igw-1")))
    first, second = store.journal()
    assert (first.account_id, first.request_id, first.change) == (
        "123456789012",
        "r-1",
        put(INTERNET_GATEWAY, gateway(1)),
    )
    assert (second.account_id, second.request_id, second.change) == ("", "", delete(INTERNET_GATEWAY, "igw-1"))
    assert second.at - first.at == 5
    assert [entry.generation for entry in store.journal(after=1)] == [2]
    store.close()


def test_the_journal_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "JOURNAL_KEPT", 20)
    monkeypatch.setattr(sqlite, "PRUNE_EVERY", 10)
    store = SqliteStore(tmp_path / "r.db", durable=False)
    for number in range(95):
        store.write(lambda _, number=number: Commit(change=put(INTERNET_GATEWAY, gateway(number % 3))))
        assert len(store.journal()) <= 30
    assert [entry.generation for entry in store.journal()][-1] == 95
    store.close()


def test_updates_keep_the_order_of_creation(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "r.db", durable=False)
    for number in (3, 1, 2):
        store.write(lambda _, number=number: Commit(change=put(INTERNET_GATEWAY, gateway(number))))
    store.write(
        lambda w: Commit(change=put(INTERNET_GATEWAY, replace(w.get(INTERNET_GATEWAY, "igw-3"), vpc_id="vpc-1")))
    )
    store.write(lambda _: Commit(change=delete(INTERNET_GATEWAY, "igw-2") + put(INTERNET_GATEWAY, gateway(0))))
    store.close()
    again = SqliteStore(tmp_path / "r.db", durable=False)
    assert [row.id for row in again.world.all(INTERNET_GATEWAY)] == ["igw-3", "igw-1", "igw-0"]
    again.close()


def test_a_file_of_the_first_schema_is_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with sqlite3.connect(path) as old:
        old.executescript(MIGRATIONS[0] + "pragma user_version = 1;")
        old.execute("insert into resource (kind, id, body) values ('internet-gateway', 'igw-1', "
                    "'{\"id\":\"igw-1\",\"owner_id\":\"1\",\"region\":\"us-east-1\"}')")  # fmt: skip
        old.execute('insert into journal values (7, 0, \'[["put","internet-gateway","igw-1"]]\')')
        old.execute("update meta set value = '7' where name = 'generation'")
    old.close()
    store = SqliteStore(path)
    assert store.world.generation == 7
    store.write(lambda _: Commit(change=put(INTERNET_GATEWAY, gateway(2)), account_id="1"))
    assert [(entry.generation, entry.account_id) for entry in store.journal()] == [(8, "1")]
    assert [row.id for row in store.world.all(INTERNET_GATEWAY)] == ["igw-1", "igw-2"]
    store.close()


def test_erased_material_leaves_nothing_in_any_file(tmp_path: Path) -> None:
    """DATA-05: with a KMS key's material goes whatever it encrypted, so it is in no journal, no free page and no log."""
    path = tmp_path / "r.db"
    store = SqliteStore(path)
    rows = [
        KmsMaterial(id=f"k/{n}", key="k", material=str(n), sealed=f"sealed-{n}-".encode().hex() * 8, since=0, **OWNED)
        for n in range(3)
    ]  # fmt: skip
    for row in rows:
        store.write(lambda _, row=row: Commit(change=put(KMS_MATERIAL, row)))
    assert [list(entry.change.steps) for entry in store.journal()] == [[], [], []]
    store.write(lambda _: Commit(change=delete(KMS_MATERIAL, "k/0", "k/2")))

    def held() -> list[bool]:
        files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        return [row.sealed.encode() in files for row in rows]

    assert held() == [False, True, False]
    store.close()
    assert held() == [False, True, False]
    again = SqliteStore(path)
    assert list(again.world) == [(KMS_MATERIAL, rows[1])]
    assert again.world.generation == 4
    again.close()
