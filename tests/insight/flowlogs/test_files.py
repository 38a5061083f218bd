"""Files of flow logs: keys, text and Parquet (FL-44, FL-49 … FL-52, D-11)."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from ringfence.insight.flowlogs import files
from ringfence.insight.flowlogs.fields import DEFAULT, FIELDS
from ringfence.insight.flowlogs.lines import values
from ringfence.insight.flowlogs.records import Record
from ringfence.model.kinds import FLOW_LOG
from ringfence.model.nouns.flow_log import FlowLog
from tests.api.ops.harness import ACCOUNT
from tests.insight.flowlogs.lab import IN, START, Lab, seen

DAY = 1_700_000_400  # 2023-11-14T22:20:00Z


def log_of(fields: tuple[str, ...] = (), **how: Any) -> FlowLog:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    id = lab.log(*fields, **how)
    found = lab.world.find(FLOW_LOG, id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("how", "folder"),
    [
        ({}, f"AWSLogs/{ACCOUNT}/vpcflowlogs/us-east-1/2023/11/14/"),
        ({"per_hour": True}, f"AWSLogs/{ACCOUNT}/vpcflowlogs/us-east-1/2023/11/14/22/"),
        (
            {"hive": True, "destination": "arn:aws:s3:::logs/net/flows/"},
            f"net/flows/AWSLogs/aws-account-id={ACCOUNT}/aws-service=vpcflowlogs/aws-region=us-east-1/"
            "year=2023/month=11/day=14/",
        ),
        (
            {"hive": True, "per_hour": True},
            f"AWSLogs/aws-account-id={ACCOUNT}/aws-service=vpcflowlogs/aws-region=us-east-1/"
            "year=2023/month=11/day=14/hour=22/",
        ),
    ],
)
@pytest.mark.parametrize(("format", "ending"), [("plain-text", "log.gz"), ("parquet", "log.parquet")])
def test_keys(how: dict[str, Any], folder: str, format: str, ending: str) -> None:
    """FL-49, FL-50"""
    log = log_of(file_format=format, **how)
    name = f"{ACCOUNT}_vpcflowlogs_us-east-1_{log.id}_20231114T2220Z_0a1b2c3d.{ending}"
    assert files.key(log, DAY, "0a1b2c3d") == folder + name


def test_a_file_has_the_records_that_end_within_five_minutes_from_its_stamp() -> None:
    """D-11"""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni, id = lab.interface("10.0.1.9"), lab.log("packets")
    log = lab.world.find(FLOW_LOG, id)
    ends = [0, 59, 299, 300, 599, 600]
    packets = [seen(eni, IN, "10.0.1.5", "10.0.1.9", packets=n + 1, at=START + end) for n, end in enumerate(ends)]
    records = [r for r in lab.records(id, *packets, until=START + 700) if r.observation]
    found = {batch.stamp - int(START): len(batch.records) for batch in files.batches(log, records)}
    assert START % 300 == 0
    assert found == {0: 2, 300: 2, 600: 1}  # the first two are one flow in one window


def test_no_file_is_larger_than_awss(monkeypatch: pytest.MonkeyPatch) -> None:
    """FL-51: the next file begins when one is full; every record is in one of them."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni, id = lab.interface("10.0.1.9"), lab.log()
    log = lab.world.find(FLOW_LOG, id)
    records = lab.records(id, *(seen(eni, IN, "10.0.1.5", "10.0.1.9", ports=(n, 80)) for n in range(50)))
    monkeypatch.setattr(files, "LARGEST", 1000)
    made = [batch.records for batch in files.batches(log, records)]
    assert len(made) > 4
    assert all(len(files.text(DEFAULT, part)) - len(" ".join(DEFAULT)) <= 1001 for part in made)
    assert sorted(id for part in made for id in map(str, part)) == sorted(map(str, records))


@pytest.fixture(scope="module")
def every() -> tuple[tuple[str, ...], list[Record]]:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni, names = lab.interface("10.0.1.9"), tuple(FIELDS)
    lab.interface("10.0.1.10")  # nothing is sent to it: NODATA
    id = lab.log(*names, created=START)
    packet = seen(eni, IN, "10.0.1.5", "10.0.1.9", ports=(40000, 80), packets=2**40, octets=2**62, tcp_flags=19)
    return names, lab.records(id, packet)


def test_text(every: tuple[tuple[str, ...], list[Record]]) -> None:
    names, records = every
    data, _ = files.body(log_of(fields=names), records)
    lines = gzip.decompress(data).decode().splitlines()
    assert lines[0].split(" ") == list(names)
    assert len(lines) == 3
    assert {len(line.split(" ")) for line in lines} == {len(names)}


def test_parquet_has_the_documented_types(every: tuple[tuple[str, ...], list[Record]]) -> None:
    """FL-44"""
    names, records = every
    data, _ = files.body(log_of(fields=names, file_format="parquet"), records)
    table = pyarrow.parquet.read_table(io.BytesIO(data))
    small = {"srcport", "dstport", "protocol", "version", "tcp_flags", "traffic_path"}
    large = {"packets", "bytes", "start", "end"}
    for field in table.schema:
        expected = (
            pyarrow.int32() if field.name in small else pyarrow.int64() if field.name in large else pyarrow.string()
        )
        assert field.type == expected, field.name
    assert small | large <= set(table.schema.names)
    assert table.schema.names == [name.replace("-", "_") for name in names]
    rows = table.to_pylist()
    assert [row["packets"] for row in rows] == [2**40, None]
    assert [row["srcaddr"] for row in rows] == ["10.0.1.5", "-"]
    assert [row["log_status"] for row in rows] == ["OK", "NODATA"]
    for row, record in zip(rows, records, strict=True):
        assert [None if value == "-" else value for value in row.values()] == values(record, names)


def test_a_record_of_ten_minutes_lies_where_it_ends() -> None:
    """D-11: by the record's end, not its start."""
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni, id = lab.interface("10.0.1.9"), lab.log("packets", interval=600)
    log = lab.world.find(FLOW_LOG, id)
    packets = [seen(eni, IN, "10.0.1.5", "10.0.1.9", at=START + at) for at in (10, 550)]
    records = [r for r in lab.records(id, *packets, until=START + 700) if r.observation]
    assert [(batch.stamp - START, len(batch.records)) for batch in files.batches(log, records)] == [(300, 1)]
