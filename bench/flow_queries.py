"""Questions to flows: the side channel that `ringfence flows` reads, and DuckDB over Parquet files as they are delivered.

python -m bench.flow_queries [--kept 1000000] [--records 10000000] [--files 100]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ringfence import flow_sql
from ringfence.insight.flowlogs.fields import FIELDS, INT_32, INT_64
from ringfence.insight.flowlogs.queries import QUERIES, fields_used
from ringfence.store.flows import Flow, FlowStore

_RANDOM = random.Random(7)
_PEERS = [ip_address(f"10.{n % 200}.{n % 250}.{n % 199 + 1}") for n in range(5000)]
_WEB = ip_address("10.0.0.10")


def flow(n: int) -> Flow:
    refused = n % 20 == 0
    return Flow(
        first=n / 100, last=n / 100 + 1, account="123456789012", region="us-east-1", vpc="vpc-1", subnet=f"subnet-{n % 8}",
        interface=f"eni-{n % 300:017x}", direction="ingress", accepted=not refused, source=_PEERS[n * 7 % 5000],
        destination=_WEB, source_port=40_000 + n % 20_000, destination_port=(22, 80, 443, 5432)[n % 4], protocol=6, packets=3,
        octets=180 + n % 1000, layer="sg-ingress" if refused else None, component="sg-1" if refused else None,
    )  # fmt: skip


def side_channel(folder: Path, count: int) -> None:
    store = FlowStore(folder / "flows.db", most=count + 1)
    cpu = time.process_time()
    for start in range(0, count, 20_000):
        store.put((flow(n) for n in range(start, min(start + 20_000, count))), start / 100)
    rate, size = count / (time.process_time() - cpu), (folder / "flows.db").stat().st_size >> 20
    print(f"kept: {count:,} flows, {rate:,.0f} a second of CPU, {size} MiB")
    questions: dict[str, Callable[[], Any]] = {
        "the newest 50 refused": lambda: store.find({"action": "REJECT"}, limit=50),
        "of one interface, newest 50": lambda: store.find({"interface": f"eni-{7:017x}"}, limit=50),
        "of a block of addresses": lambda: store.find({"source": "10.7.0.0/16"}, limit=1000),
        "top talkers": lambda: store.top(["source"], {}),
        "what refuses most": lambda: store.top(["layer", "component", "rule"], {"action": "REJECT"}),
    }
    for what, ask in questions.items():
        cpu = time.process_time()
        ask()
        print(f"  {what}: {(time.process_time() - cpu) * 1e3:.0f} ms")
    store.close()


def delivered(folder: Path, records: int, files: int) -> None:
    """Columns of random flows, written once and linked under many names: reading is what is measured."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    each = records // files
    columns: dict[str, Any] = {}
    for name in fields_used():
        field = FIELDS[name]
        if field.type in (INT_32, INT_64):
            kind = pa.int32() if field.type == INT_32 else pa.int64()
            columns[field.column] = pa.array([_RANDOM.randrange(65_536) for _ in range(each)], type=kind)
        else:
            columns[field.column] = pa.array([str(_RANDOM.choice(_PEERS)) for _ in range(each)])
    columns["protocol"] = pa.array([(6, 17)[n % 2] for n in range(each)], type=pa.int32())
    columns["action"] = pa.array([("ACCEPT", "REJECT")[n % 20 == 0] for n in range(each)])
    place = folder / "AWSLogs" / "1" / "vpcflowlogs"
    place.mkdir(parents=True)
    first = place / "0.log.parquet"
    pq.write_table(pa.table(columns), first, compression="gzip", version="1.0")
    for n in range(1, files):
        (place / f"{n}.log.parquet").hardlink_to(first)
    db = flow_sql.connect([folder])
    print(
        f"delivered: {each * files:,} records in {files} Parquet files of {first.stat().st_size >> 10} KiB; DuckDB, all threads:"
    )
    for query in QUERIES:
        sql = query.text(flow_sql.VIEW, address=str(_PEERS[1]))
        counted = f"SELECT count(*) FROM ({sql})"
        clock, cpu = time.perf_counter(), time.process_time()
        flow_sql.run(db, counted)
        print(f"  {query.name}: {time.perf_counter() - clock:.2f} s, CPU {time.process_time() - cpu:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        side_channel(Path(folder), args.kept)
        delivered(Path(folder), args.records, args.files)


if __name__ == "__main__":
    main()
