"""Our files read by `flowlogs-reader` and DuckDB: `python -m tests.oracle.flowlogs_reader PYTHON`.

PYTHON is an interpreter that has `flowlogs-reader` and `duckdb`; neither is a dependency. Not part of any test run. The
reader's S3 client is one over the bucket's directory, with the three calls that it makes. Exit 1 on any difference.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ringfence.insight.flowlogs import files
from ringfence.insight.flowlogs.fields import DEFAULT
from ringfence.insight.flowlogs.lines import values
from ringfence.insight.flowlogs.records import Taken
from ringfence.model.kinds import FLOW_LOG
from ringfence.store.buckets import BucketFiles
from tests.insight.flowlogs.lab import IN, OUT, START, Lab, seen

FIELDS = (
    *DEFAULT,
    "vpc-id",
    "subnet-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "region",
    "flow-direction",
    "traffic-path",
)
_READER = """
import io, json, sys
from datetime import datetime, timedelta
from pathlib import Path
from flowlogs_reader import S3FlowLogsReader
root, folder, start = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
def keys(prefix):
    return sorted(k for k in (str(p.relative_to(root)) for p in root.rglob('*') if p.is_file()) if k.startswith(prefix))
class Client:
    def get_object(self, Bucket, Key):
        data = (root / Key).read_bytes()
        return {'Body': io.BytesIO(data), 'ContentLength': len(data)}
    def list_objects_v2(self, Bucket, Prefix, Delimiter):
        return {'CommonPrefixes': [{'Prefix': p} for p in sorted({k[:k.index('/', len(Prefix)) + 1] for k in keys(Prefix)})]}
    def get_paginator(self, name):
        return self
    def paginate(self, Bucket, Prefix):
        yield {'Contents': [{'Key': k} for k in keys(Prefix)]}
at = datetime.utcfromtimestamp(start)
reader = S3FlowLogsReader('bucket/' + folder, boto_client=Client(), start_time=at - timedelta(hours=1),
                          end_time=at + timedelta(hours=1), raise_on_error=True)
print(json.dumps([r.to_dict() for r in reader], default=lambda d: (d - datetime(1970, 1, 1)).total_seconds()))
"""
_DUCK = """
import json, sys, duckdb
source = f"read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning=true)"
columns = {row[0]: row[1] for row in duckdb.sql(f"describe select * from {source}").fetchall()}
sums = duckdb.sql(f"select sum(packets), sum(bytes), count(*) from {source}").fetchall()[0]
plan = duckdb.sql(f"explain analyze select count(*) from {source} where day = 31").fetchall()[0][1]
other = duckdb.sql(f"select count(*) from {source} where day = 31").fetchall()[0][0]
print(json.dumps([columns, [int(n) for n in sums], plan, other]))
"""


def main(python: str) -> int:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.9")
    packets = [
        seen(eni, OUT if n % 3 else IN, "10.0.1.9" if n % 3 else "10.0.1.5", "10.0.1.5" if n % 3 else "10.0.1.9",
             ports=(1000 + n, 80), packets=n + 1, octets=2**33 + n, tcp_flags=n % 4, accepted=n % 5 > 0, at=START + 12 * n)
        for n in range(100)
    ]  # fmt: skip
    made = {
        name: lab.log(*FIELDS, **how)
        for name, how in {
            "text": {}, "parquet": {"file_format": "parquet"}, "hive": {"file_format": "parquet", "hive": True, "per_hour": True},
        }.items()
    }  # fmt: skip
    every = lab.recorder.take(lab.world, Taken(until=START + 3000, observations=tuple(packets)))
    with tempfile.TemporaryDirectory() as folder:
        bucket = BucketFiles(Path(folder))
        for name, id in made.items():
            log = lab.world.find(FLOW_LOG, id)
            for number, batch in enumerate(files.batches(log, every[id])):
                key = f"{name}/" + files.key(log, batch.stamp, f"{number:08x}")
                bucket.put("bucket", key, files.body(log, batch.records)[0])
        expected = sorted(_row(record) for record in every[made["text"]])
        bad = [name for name in ("text", "parquet") if _read(python, folder, name) != expected]
        bad += _duck(python, f"{folder}/bucket/hive", every[made["hive"]])
    print("differs: " + ", ".join(bad) if bad else f"{len(expected)} records read alike")
    return 1 if bad else 0


def _row(record: Any) -> str:
    """A record as the reader's dictionary: none for `-`."""
    found = {name.replace("-", "_"): value for name, value in zip(FIELDS, values(record, FIELDS), strict=True)}
    return json.dumps({name: value for name, value in found.items() if value is not None}, sort_keys=True)


def _run(python: str, program: str, *arguments: str) -> Any:
    done = subprocess.run([python, "-c", program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def _read(python: str, folder: str, name: str) -> list[str]:
    rows = _run(python, _READER, f"{folder}/bucket", name, str(START))
    return sorted(
        json.dumps(
            {k: int(v) if k in ("start", "end") else v for k, v in row.items() if v not in (None, "-")}, sort_keys=True
        )
        for row in rows
    )


def _duck(python: str, folder: str, records: list[Any]) -> list[str]:
    columns, sums, plan, other = _run(python, _DUCK, folder)
    counted = [record.observation for record in records if record.observation]
    bad = []
    if sums != [sum(o.packets for o in counted), sum(o.octets for o in counted), len(records)]:
        bad.append(f"sums {sums}")
    types = {
        "srcport": "INTEGER",
        "packets": "BIGINT",
        "bytes": "BIGINT",
        "start": "BIGINT",
        "srcaddr": "VARCHAR",
        "traffic_path": "INTEGER",
    }
    bad += [f"{name} is {columns[name]}" for name, type in types.items() if columns[name] != type]
    if other != 0 or not {"year", "month", "day", "hour", "aws-account-id"} <= set(columns):
        bad.append("partitions")
    if "EMPTY_RESULT" not in plan and "Total Files Read: 0" not in plan:
        bad.append("partitions are not pruned: " + plan)
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
