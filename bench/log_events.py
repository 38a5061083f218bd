"""Log events: PutLogEvents and FilterLogEvents over the wire protocol (no network), and the stores that could have been.

    python -m bench.log_events [--events 1000000] [--engines] [--search] [--sealed]

`--engines` also measures DuckDB, when it is installed, on the same batches: what a durable append costs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import ringfence.api.ops.logs  # noqa: F401
from ringfence.insight.patterns import Sieve, compile_pattern
from ringfence.store.events import FIRST, LAST, EventStore, Words
from ringfence.store.sealed import DataKey, Opener

LINE = "2 123456789010 eni-{n:08x} 10.0.{a}.{b} 172.31.16.21 20641 {port} 6 20 4249 1418530010 1418530070 {action} OK"
FIELDS = (
    "version, account, eni, source, destination, srcport, dstport, protocol, packets, bytes, start, end, action, status"
)
PATTERNS = {
    "no pattern": "",
    "REJECT": "REJECT",
    "columns": f"[{FIELDS}]".replace("dstport", "dstport=22").replace("action", "action=REJECT"),
    "columns without a text": f"[{FIELDS}]".replace("dstport", "dstport=22").replace("bytes", "bytes>=4250"),
    "columns, few fit": f"[{FIELDS}]".replace("srcport", "srcport>60000"),
    "regex": "%10\\.0\\.[0-9]+\\.7 %",
}


def lines(count: int) -> list[str]:
    return [
        LINE.format(
            n=n % 50, a=n % 200, b=n % 250, port=(22, 80, 443)[n % 3], action="REJECT" if n % 100 == 0 else "OK"
        )
        for n in range(count)
    ]


def puts(store: EventStore, messages: list[str], size: int, streams: int) -> float:
    """Events a second, each batch on disk before the next."""
    began = time.perf_counter()
    for n, start in enumerate(range(0, len(messages), size)):
        batch = [(start + k, message) for k, message in enumerate(messages[start : start + size])]
        store.put(n % streams, batch, start)
    return len(messages) / (time.perf_counter() - began)


def search(store: EventStore, streams: int, pattern: str) -> tuple[float, int]:
    """Seconds of CPU for the whole store, and how many events fit."""
    compiled = compile_pattern(pattern) if pattern else None
    sieve = compiled.sieve if compiled else Sieve()
    told = bool(sieve) or sieve.among is not None
    words = Words(sieve.every, sieve.some, sieve.none, sieve.escaped, sieve.among) if told else None
    began = time.process_time()
    found = sum(
        1
        for e in store.scan(range(streams), FIRST, LAST, words=words)
        if e.ingested >= 0 and (compiled is None or sieve.exact or compiled.matches(e.message))
    )
    return time.process_time() - began, found


def sealed(folder: Path, messages: list[str], rounds: int = 3) -> None:
    """CPU of puts and of reading everything, sealed and plain, alternately in one process."""
    key = DataKey(1, b"k" * 32)
    spent: dict[tuple[str, bool], float] = {}
    for turn in range(rounds * 2):
        with_key = bool(turn % 2)
        store = EventStore(folder / f"sealed{turn}.db", durable=False)
        began = time.process_time()
        for start in range(0, len(messages), 1000):
            batch = [(start + k, message) for k, message in enumerate(messages[start : start + 1000])]
            store.put(start // 1000 % 50, batch, start, key=key if with_key else None)
        middle = time.process_time()
        opener = Opener(lambda _id: key.secret) if with_key else None
        pattern = compile_pattern("REJECT")
        found = sum(1 for e in store.scan(range(50), FIRST, LAST, opener=opener) if pattern.matches(e.message))
        assert found == sum("REJECT" in message for message in messages)
        for what, seconds in (("put", middle - began), ("filter", time.process_time() - middle)):
            spent[what, with_key] = min(seconds, spent.get((what, with_key), seconds))
        store.close()
    for what in ("put", "filter"):
        plain, close = (spent[what, with_key] / len(messages) * 1e6 for with_key in (False, True))
        print(f"{what}: {plain:.2f} µs an event plain, {close:.2f} sealed: {close / plain:.2f} times")


def duck(folder: Path, messages: list[str], size: int) -> float:
    import duckdb  # type: ignore[import-not-found, unused-ignore]
    import pyarrow as pa

    db: Any = duckdb.connect(str(folder / "events.duckdb"))
    db.execute("create table event (stream bigint, moment bigint, number bigint, ingested bigint, message varchar)")
    began = time.perf_counter()
    for start in range(0, len(messages), size):
        part = messages[start : start + size]
        ones = [1] * len(part)
        numbers = list(range(start, start + len(part)))
        batch = pa.table([ones, numbers, numbers, ones, part], names=["s", "a", "n", "i", "m"])
        db.register("batch", batch)
        db.execute("insert into event select * from batch")
    return len(messages) / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--engines", action="store_true")
    parser.add_argument("--search", action="store_true", help="only the searches")
    parser.add_argument("--sealed", action="store_true", help="only what sealing costs")
    args = parser.parse_args()
    messages = lines(args.events)
    with tempfile.TemporaryDirectory() as folder:
        if args.sealed:
            sealed(Path(folder), messages)
            return
        for size in (1, 100, 1000, 10_000) if not args.search else ():
            store = EventStore(Path(folder) / f"{size}.db")
            part = messages[: min(len(messages), size * 200)]
            print(f"put, {size} events a batch: {puts(store, part, size, 50):,.0f} events/s")
            store.close()
            if args.engines:
                inner = Path(folder) / f"duck{size}"
                inner.mkdir()
                print(f"  DuckDB: {duck(inner, part, size):,.0f} events/s")
        store = EventStore(Path(folder) / "all.db", durable=False)
        puts(store, messages, 1000, 50)
        print(f"{args.events:,} events: {(Path(folder) / 'all.db').stat().st_size / 1e6:,.0f} MB")
        for name, pattern in PATTERNS.items():
            seconds, found = search(store, 50, pattern)
            print(f"search, {name}: {seconds:.2f} s, {found:,} found")
        began = time.perf_counter()
        store.page(7, (args.events // 2, -1), LAST, 1000)
        print(f"a page of 1,000 in the middle: {(time.perf_counter() - began) * 1000:.1f} ms")
        store.close()


if __name__ == "__main__":
    main()
