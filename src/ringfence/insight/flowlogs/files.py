"""Flow log files in a bucket: their keys, and what is in them (Amazon VPC User Guide: "Flow log files", "Publish flow logs
to Amazon S3"; FL-44, FL-49 … FL-51, D-11).

A file holds the records whose `end` lies in the five minutes from its time stamp on. Text files are gzip with a header line
of field names; Parquet files need the optional dependency pyarrow (`pip install ringfence[flowlogs]`).
"""

from __future__ import annotations

import gzip
import importlib.util
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ringfence.insight.flowlogs.fields import FIELDS, INT_32, INT_64, STRING, Field, Value
from ringfence.insight.flowlogs.lines import NONE, line, values
from ringfence.insight.flowlogs.records import Record
from ringfence.model.nouns.flow_log import FlowLog

FILE_SECONDS = 300
LARGEST = 75_000_000  # bytes of text in one file (FL-51); also of Parquet, whose files are smaller than the text


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one file. `stamp`: the time in its name, in seconds since 1970, UTC."""

    stamp: int
    records: tuple[Record, ...]


def parquet_here() -> bool:
    """Can Parquet files be written?"""
    return importlib.util.find_spec("pyarrow") is not None


def batches(log: FlowLog, records: Sequence[Record]) -> Iterator[Batch]:
    """Records as files take them: by five minutes of their end, and no file larger than AWS's are."""
    by_stamp: dict[int, list[Record]] = {}
    for record in records:
        by_stamp.setdefault(int(record.end // FILE_SECONDS) * FILE_SECONDS, []).append(record)
    for stamp, group in sorted(by_stamp.items()):
        for part in _parts(log, group):
            yield Batch(stamp, tuple(part))


def _parts(log: FlowLog, records: list[Record]) -> Iterator[list[Record]]:
    part: list[Record] = []
    size = 0
    for record in records:
        length = len(line(record, log.fields)) + 1
        if part and size + length > LARGEST:
            yield part
            part, size = [], 0
        part.append(record)
        size += length
    yield part


# ---------------------------------------------------------------------- where
def key(log: FlowLog, stamp: int, token: str) -> str:
    """The key of a file; `token` makes it unique (FL-49, FL-50)."""
    at = datetime.fromtimestamp(stamp, UTC)
    if log.hive:
        parts = [
            f"aws-account-id={log.owner_id}", "aws-service=vpcflowlogs", f"aws-region={log.region}",
            f"year={at:%Y}", f"month={at:%m}", f"day={at:%d}", *([f"hour={at:%H}"] if log.per_hour else []),
        ]  # fmt: skip
    else:
        parts = [log.owner_id, "vpcflowlogs", log.region, f"{at:%Y/%m/%d}", *([f"{at:%H}"] if log.per_hour else [])]
    ending = "log.parquet" if log.file_format == "parquet" else "log.gz"
    name = f"{log.owner_id}_vpcflowlogs_{log.region}_{log.id}_{at:%Y%m%dT%H%MZ}_{token}.{ending}"
    return "/".join([*([log.folder] if log.folder else []), "AWSLogs", *parts, name])


# ---------------------------------------------------------------------- what
def body(log: FlowLog, records: Sequence[Record]) -> tuple[bytes, str]:
    """A file's bytes and content type. ImportError for Parquet without pyarrow."""
    if log.file_format == "parquet":
        return parquet(log.fields, records), "application/octet-stream"
    return gzip.compress(text(log.fields, records).encode()), "application/octet-stream"


def text(names: Sequence[str], records: Sequence[Record]) -> str:
    """The header line of field names, then a line for each record."""
    return "\n".join([" ".join(names), *(line(record, names) for record in records), ""])


def parquet(names: Sequence[str], records: Sequence[Record]) -> bytes:
    """A Parquet file: `-` in names is `_`; what has no value is null in a column of numbers, `-` in one of text (FL-42, FL-44).

    ImportError without pyarrow.
    """
    import pyarrow
    import pyarrow.parquet

    types: dict[str, Any] = {INT_32: pyarrow.int32(), INT_64: pyarrow.int64()}
    fields = [FIELDS[name] for name in names]
    schema = pyarrow.schema([(field.column, types.get(field.type, pyarrow.string())) for field in fields])
    rows = [[_cell(field, value) for field, value in zip(fields, values(r, names), strict=True)] for r in records]
    columns = [
        pyarrow.array([row[index] for row in rows], type=schema.field(index).type) for index in range(len(fields))
    ]
    sink = io.BytesIO()
    # gzip as AWS's files; version 1.0 because old readers know no newer encodings
    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays(columns, schema=schema), sink, compression="gzip", version="1.0"
    )
    return sink.getvalue()


def _cell(field: Field, value: Value) -> Value:
    return NONE if value is None and field.type == STRING else value
