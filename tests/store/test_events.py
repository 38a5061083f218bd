"""The event store: order, spans, expiry, restarts, and nothing acknowledged lost or torn by kill -9."""

from __future__ import annotations

import heapq
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.errors import ApiError
from ringfence.store.events import FIRST, LAST, OVERHEAD, EventStore, Words
from ringfence.store.metrics import Metric, of_values


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    made = EventStore(tmp_path / "events.db", durable=False)
    yield made
    made.close()


def _messages(store: EventStore, *streams: int, newest: bool = False) -> list[str]:
    return [event.message for event in store.scan(streams, FIRST, LAST, newest=newest)]


def test_events_of_streams_are_merged_by_time_then_arrival(store: EventStore) -> None:
    store.put(1, [(10, "a"), (30, "c")], 1)
    store.put(2, [(20, "b"), (30, "d")], 2)
    store.put(1, [(30, "e")], 3)
    assert _messages(store, 1, 2) == ["a", "b", "c", "d", "e"]
    assert _messages(store, 2, 1, newest=True) == ["e", "d", "c", "b", "a"]
    assert _messages(store, 1) == ["a", "c", "e"]
    assert [e.message for e in store.page(1, (10, 1), (30, 10), 5)] == ["c", "e"]
    assert [e.message for e in store.page(1, FIRST, LAST, 2, newest=True)] == ["e", "c"]


def test_a_scan_goes_over_many_pages(store: EventStore) -> None:
    store.put(1, [(n // 3, str(n)) for n in range(5000)], 1)
    assert _messages(store, 1) == [str(n) for n in range(5000)]
    assert _messages(store, 1, newest=True) == [str(n) for n in reversed(range(5000))]


def test_summaries_follow_puts_and_expiry(store: EventStore) -> None:
    store.put(1, [(10, "aä"), (30, "c")], 7)
    store.put(1, [(5, "x")], 9)
    summary = store.summaries([1, 2])[1]
    assert (summary.first, summary.last, summary.ingested, summary.bytes) == (5, 30, 9, 5 + 3 * OVERHEAD)
    assert store.expire(1, 11) == 2
    left = store.summaries([1])[1]
    assert (left.first, left.last, left.bytes) == (30, 30, 1 + OVERHEAD)
    assert store.expire(1, 100) == 1
    assert store.summaries([1])[1].bytes == 0


def test_streams_that_are_gone_are_swept_and_numbers_never_repeat(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.db", durable=False)
    store.put(1, [(1, "a")], 1)
    store.put(2, [(1, "b"), (2, "c")], 1)
    store.keep_only(lambda: {1})
    assert _messages(store, 1, 2) == ["a"]
    store.close()
    again = EventStore(tmp_path / "events.db", durable=False)
    assert again.put(1, [(1, "d")], 1) == 4
    again.close()


def test_a_stream_made_while_sweeping_keeps_its_events(store: EventStore) -> None:
    store.put(1, [(1, "a")], 1)

    def streams() -> set[int]:
        store.put(2, [(1, "new")], 1)
        return {2}

    store.keep_only(streams)
    assert _messages(store, 1, 2) == ["new"]


def test_samples_are_stored_with_the_events(store: EventStore) -> None:
    where = {"account": "1", "region": "r", "metric": Metric("n", "m")}
    store.put(1, [(1, "a")], 1, [of_values([(2.0, 1)], at=60, **where), of_values([(1.0, 1)], at=120, **where)])
    store.put(1, [(1, "b")], 1, [of_values([(5.0, 1)], at=60, **where)])
    (series,) = store.metrics.series("1", "r")
    assert store.metrics.points(series.id, 60, 0, 120) == [(60, 2, 7, 2, 5)]
    store.clear()
    assert store.metrics.series("1", "r") == []
    assert _messages(store, 1) == []


def test_datapoints_of_an_older_file_are_kept(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    old.execute(
        "create table datapoint (account, region, namespace, name, dimensions, unit, minute, total, count, least, most)"
    )
    old.execute("insert into datapoint values ('1', 'r', 'n', 'm', '[[\"a\", \"b\"]]', 'None', 60, 7.5, 2, 2.5, 5)")
    old.close()
    for _ in range(2):
        store = EventStore(tmp_path / "events.db", durable=False)
        (series,) = store.metrics.series("1", "r", Metric("n", "m", (("a", "b"),)))
        assert store.metrics.points(series.id, 300, 0, 600) == [(0, 2, 7.5, 2.5, 5)]
        store.close()


def test_a_disk_that_fails_takes_nothing(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.db", durable=False)
    store.put(1, [(1, "a")], 1)
    blocker = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    blocker.execute("create trigger full before insert on summary begin select raise(abort, 'disk full'); end")
    with pytest.raises(ApiError, match="ServiceUnavailable"):
        store.put(1, [(2, "b")], 1)
    blocker.execute("drop trigger full")
    store.put(1, [(3, "c")], 1)
    assert _messages(store, 1) == ["a", "c"]
    blocker.close()
    store.close()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.lists(st.integers(0, 50), min_size=1, max_size=5)), max_size=8),
    st.integers(0, 50),
    st.integers(0, 50),
    st.booleans(),
)
def test_any_span_of_any_puts(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, list[int]]], a: int, b: int, newest: bool
) -> None:
    store = EventStore(tmp_path_factory.mktemp("e") / "events.db", durable=False)
    expected, number = [], 0
    for stream, times in puts:
        store.put(stream, [(at, f"{stream}") for at in sorted(times)], 1)
        for at in sorted(times):
            number += 1
            expected.append((at, number, stream))
    low, high = min(a, b), max(a, b)
    found = [(e.at, e.number, e.stream) for e in store.scan([1, 2, 3], (low, -1), (high, -1), newest=newest)]
    store.close()
    assert found == sorted((row for row in expected if low <= row[0] < high), reverse=newest)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.lists(st.integers(0, 50), min_size=1, max_size=20)), max_size=8),
    st.integers(1, 7), st.booleans(),
)  # fmt: skip
def test_a_search_with_words_finds_the_same_in_the_same_order(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[int, list[int]]], size: int, newest: bool
) -> None:
    """And its marks tell how far it looked: nothing comes after a mark that stands before it."""
    store = EventStore(tmp_path_factory.mktemp("e") / "events.db", durable=False)
    for stream, times in puts:
        store.put(stream, [(at, f"{'hit' if at % 3 == 0 else 'miss'} {at}") for at in sorted(times)], 1)
    plain = [e for e in store.scan([1, 2, 3], FIRST, LAST, newest=newest) if e.message.startswith("hit")]
    runs = [store._sieved(n, FIRST, LAST, Words(("hit",)), size, newest=newest) for n in (1, 2, 3)]
    found = list(heapq.merge(*runs, key=lambda e: e.position, reverse=newest))
    store.close()
    assert [e for e in found if e.ingested >= 0] == plain
    places = [e.position for e in found]
    assert places == sorted(places, reverse=newest)
    assert sum(-e.ingested for e in found if e.ingested < 0) <= sum(len(times) for _, times in puts)


_WRITER = """
import sys
from pathlib import Path
from ringfence.store.events import EventStore
store = EventStore(Path(sys.argv[1]))
n = 0
while True:
    store.put(n % 3, [(n, f"{n} {part} " + "x" * 500) for part in range(20)], 1)
    print(n, flush=True)
    n += 1
"""


def test_kill_9_loses_nothing_acknowledged_and_leaves_no_half_batch(tmp_path: Path) -> None:
    for round in range(3):
        path = tmp_path / f"{round}.db"
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(15 + 7 * round):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split("\n")
        process.wait()
        acknowledged = 14 + 7 * round + len([line for line in rest if line])
        store = EventStore(path)
        counts: dict[int, int] = {}
        for event in store.scan([0, 1, 2], FIRST, LAST):
            assert event.message.endswith("x" * 500)
            counts[event.at] = counts.get(event.at, 0) + 1
        store.close()
        assert set(counts.values()) == {20}
        assert set(range(acknowledged)) <= set(counts)
        assert len(counts) <= acknowledged + 2  # at most the one that was being written and one not yet told of
