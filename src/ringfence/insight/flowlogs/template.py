"""Tables and queries over delivered flow logs, as text: SQL for Athena, Trino and Spark; a CloudFormation template for Athena
(Amazon EC2 API Reference: GetFlowLogsIntegrationTemplate; FL-58).

Partitions are projected from the paths of files, so that none need be loaded. Where AWS's template has a function that loads
them, this one has none, whatever `PartitionLoadFrequency` says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ringfence.insight.flowlogs.fields import FIELDS, INT_32, INT_64
from ringfence.insight.flowlogs.queries import QUERIES
from ringfence.model.nouns.flow_log import FlowLog

_TYPES = {INT_32: "int", INT_64: "bigint"}
_FORMATS = {
    "parquet": (
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe", {},
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    ),
    "plain-text": (
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        {"field.delim": " ", "serialization.format": " ", "serialization.null.format": "-"},
        "org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    ),
}  # fmt: skip


def columns(log: FlowLog) -> list[tuple[str, str]]:
    """Name and type of each column, in the order of the log's format."""
    return [(FIELDS[name].column, _TYPES.get(FIELDS[name].type, "string")) for name in log.fields]


def location(log: FlowLog) -> str:
    """Below which the log's files are."""
    root = f"s3://{log.bucket}/" + (f"{log.folder}/" if log.folder else "") + "AWSLogs/"
    if log.hive:
        return f"{root}aws-account-id={log.owner_id}/aws-service=vpcflowlogs/aws-region={log.region}/"
    return f"{root}{log.owner_id}/vpcflowlogs/{log.region}/"


def _projection(log: FlowLog) -> dict[str, str]:
    hours = "/hour=${hour}" if log.hive else "/${hour}"
    day = "year=${year}/month=${month}/day=${day}" if log.hive else "${year}/${month}/${day}"
    return {
        "projection.enabled": "true",
        "projection.year.type": "integer", "projection.year.range": "2020,2099",
        "projection.month.type": "integer", "projection.month.range": "1,12", "projection.month.digits": "2",
        "projection.day.type": "integer", "projection.day.range": "1,31", "projection.day.digits": "2",
        **({"projection.hour.type": "integer", "projection.hour.range": "0,23", "projection.hour.digits": "2"} if log.per_hour else {}),
        "storage.location.template": location(log) + day + (hours if log.per_hour else ""),
    }  # fmt: skip


def _partitions(log: FlowLog) -> list[str]:
    return ["year", "month", "day", *(["hour"] if log.per_hour else [])]


def _quoted(name: str, mark: str = "`") -> str:
    return f"{mark}{name}{mark}"


def table_sql(log: FlowLog, name: str) -> str:
    """The table as Athena makes it. Its columns are those of any reader of these files."""
    serde, properties, reads, writes = _FORMATS[log.file_format]
    listed = ",\n  ".join(f"{_quoted(column)} {type}" for column, type in columns(log))
    parts = ", ".join(f"{_quoted(part)} string" for part in _partitions(log))
    more = {**_projection(log), **({"skip.header.line.count": "1"} if log.file_format == "plain-text" else {})}
    serde_properties = f"\nWITH SERDEPROPERTIES ({_pairs(properties)})" if properties else ""
    return (
        f"CREATE EXTERNAL TABLE {_quoted(name)} (\n  {listed})\nPARTITIONED BY ({parts})\nROW FORMAT SERDE '{serde}'"
        f"{serde_properties}\nSTORED AS INPUTFORMAT '{reads}'\nOUTPUTFORMAT '{writes}'\nLOCATION '{location(log)}'\n"
        f"TBLPROPERTIES ({_pairs(more)})"
    )


def _pairs(properties: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}'='{value}'" for name, value in properties.items())


def cloudformation(log: FlowLog, results: str) -> str:
    """The template. `results`: where Athena puts what it finds (`s3://…`)."""
    suffix = log.id.removeprefix("fl-")
    database, table, group = f"vpcflowlogs_{suffix}", f"fl_{suffix}", f"VpcFlowLogs-{log.id}"
    account, where = {"Ref": "AWS::AccountId"}, _recent(log)
    resources: dict[str, Any] = {
        "Database": {
            "Type": "AWS::Glue::Database", "Properties": {"CatalogId": account, "DatabaseInput": {"Name": database}}
        },
        "Table": {
            "Type": "AWS::Glue::Table", "DependsOn": "Database",
            "Properties": {"CatalogId": account, "DatabaseName": database, "TableInput": _table_input(log, table)},
        },
        "WorkGroup": {
            "Type": "AWS::Athena::WorkGroup",
            "Properties": {
                "Name": group,
                "WorkGroupConfiguration": {"ResultConfiguration": {"OutputLocation": results}},
            },
        },
    }  # fmt: skip
    for query in QUERIES:
        if query.fits(log.fields):
            resources[query.name] = {
                "Type": "AWS::Athena::NamedQuery", "DependsOn": ["WorkGroup", "Table"],
                "Properties": {
                    "Name": query.name, "Description": query.description, "Database": database, "WorkGroup": group,
                    "QueryString": query.text(table, where, "ADDRESS"),
                },
            }  # fmt: skip
    whole = {
        "AWSTemplateFormatVersion": "2010-09-09", "Resources": resources,
        "Description": f"Athena over the flow log {log.id}: a table with projected partitions, and the predefined queries "
        "that its fields allow",
    }  # fmt: skip
    return json.dumps(whole, indent=1)


def _recent(log: FlowLog) -> str:
    return "year = date_format(current_date, '%Y') AND month = date_format(current_date, '%m')"


def _table_input(log: FlowLog, name: str) -> dict[str, Any]:
    serde, properties, reads, writes = _FORMATS[log.file_format]
    header = {"skip.header.line.count": "1"} if log.file_format == "plain-text" else {}
    return {
        "Name": name, "TableType": "EXTERNAL_TABLE", "Parameters": {"EXTERNAL": "true", **header, **_projection(log)},
        "PartitionKeys": [{"Name": part, "Type": "string"} for part in _partitions(log)],
        "StorageDescriptor": {
            "Columns": [{"Name": column, "Type": type} for column, type in columns(log)], "Location": location(log),
            "InputFormat": reads, "OutputFormat": writes,
            "SerdeInfo": {"SerializationLibrary": serde, "Parameters": properties},
        },
    }  # fmt: skip
