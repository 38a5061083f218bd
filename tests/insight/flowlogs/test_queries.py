"""The predefined queries over text and Parquet files, with DuckDB; the template for Athena (FL-58, MON-24)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ringfence import flow_sql
from ringfence.cli.main import main
from ringfence.insight.flowlogs import files
from ringfence.insight.flowlogs.fields import DEFAULT
from ringfence.insight.flowlogs.queries import BY_NAME, QUERIES, fields_used
from ringfence.insight.flowlogs.records import Record
from ringfence.insight.flowlogs.template import cloudformation, columns, location, table_sql
from ringfence.model.kinds import FLOW_LOG
from ringfence.model.nouns.flow_log import FlowLog
from tests.insight.flowlogs.lab import IN, START, Lab, seen

FIELDS = fields_used()


class Delivered:
    """Records of one flow log as files, in text and Parquet, some of them in the default format."""

    def __init__(self, folder: Path) -> None:
        self.folder, lab = folder, Lab("10.0.0.0/16", "10.0.0.0/24")
        id, short = lab.log(*FIELDS), lab.log()
        self.eni = lab.interface("10.0.0.10")
        self.world = lab.world

        def packets(source: str, port: int, octets: int, **more: Any) -> Any:
            own = "2001:db8::1" if ":" in source else "10.0.0.10"
            return seen(self.eni, IN, source, own, ports=(40000, port), octets=octets, **more)

        observations = (
            packets("192.0.2.1", 22, 100, accepted=False), packets("192.0.2.1", 443, 1000), packets("192.0.2.2", 3389, 50),
            packets("192.0.2.3", 53, 7, protocol=17), packets("2001:db8::9", 22, 30, accepted=False),
        )  # fmt: skip
        made = lab.recorder.take(self.world, _taken(*observations))
        self.log = self._of(id)
        quiet = [record for record in made[id] if record.observation is None]
        lines = [record for record in made[id] if record.observation is not None]
        self._write(replace(self.log, file_format="parquet"), lines[:2])
        self._write(replace(self.log, hive=True, per_hour=True), lines[2:3])
        self._write(self.log, [*lines[3:], *quiet])
        self.short = self._of(short)

    def _of(self, id: str) -> FlowLog:
        found = self.world.find(FLOW_LOG, id)
        assert found is not None
        return found

    def _write(self, log: FlowLog, records: list[Record]) -> None:
        for batch in files.batches(log, records):
            path = self.folder / "logs" / files.key(log, batch.stamp, f"{len(records):08x}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files.body(log, batch.records)[0])

    def ask(self, name: str, address: str = "") -> list[tuple[Any, ...]]:
        sql = BY_NAME[name].text(flow_sql.VIEW, flow_sql.between(int(START), int(START) + 100), address)
        return flow_sql.run(flow_sql.connect([self.folder]), sql)[1]


def _taken(*observations: Any) -> Any:
    from ringfence.insight.flowlogs.records import Taken

    return Taken(until=START + 60, observations=observations)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    return Delivered(tmp_path_factory.mktemp("delivered"))


def test_there_are_sixteen_and_each_runs(delivered: Delivered) -> None:
    assert len(QUERIES) == len(BY_NAME) == 16
    for query in QUERIES:
        delivered.ask(query.name, "192.0.2.1")


#: name → the answer, or how many rows
ANSWERS: dict[str, Any] = {
    "VpcFlowLogsAcceptedTraffic": 2, "VpcFlowLogsRejectedTraffic": 2, "VpcFlowLogsRejectedTCPTraffic": 2,
    "VpcFlowLogsSshRdpTraffic": 3, "VpcFlowLogsIPv4Traffic": [(1157,)], "VpcFlowLogsIPv6Traffic": [(30,)],
    "VpcFlowLogsTopTalkers": [("192.0.2.1", 1100), ("192.0.2.2", 50), ("2001:db8::9", 30), ("192.0.2.3", 7)],
    "VpcFlowLogsTopTalkersPacketLevel": [("192.0.2.1", 1100), ("192.0.2.2", 50), ("2001:db8::9", 30), ("192.0.2.3", 7)],
    "VpcFlowLogsTopTCPTraffic": [("192.0.2.1", 1100), ("192.0.2.2", 50), ("2001:db8::9", 30)],
    "VpcFlowLogsAdminPortTraffic": [("10.0.0.10", 150), ("2001:db8::1", 30)],
    "VpcFlowLogsTopTalkingInstances": [],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_answers(delivered: Delivered, name: str) -> None:
    rows, expected = delivered.ask(name), ANSWERS[name]
    assert (len(rows) if isinstance(expected, int) else rows) == expected


def test_questions_about_an_address_and_about_pairs(delivered: Delivered) -> None:
    assert len(delivered.ask("VpcFlowLogsTrafficFrmSrcAddr", "192.0.2.1")) == 2
    assert len(delivered.ask("VpcFlowLogsTrafficToDstAddr", "10.0.0.10")) == 4
    assert delivered.ask("VpcFlowLogsTotalBytesTransferred")[0] == ("192.0.2.1", "10.0.0.10", 1100)
    assert delivered.ask("VpcFlowLogsTopTalkingSubnets")[0][1] == 1187
    with pytest.raises(ValueError, match="address"):
        BY_NAME["VpcFlowLogsTrafficToDstAddr"].text("flows")
    assert delivered.ask("VpcFlowLogsTrafficFrmSrcAddr", "' OR 1=1 --") == []


def test_values_are_the_same_from_text_and_parquet(delivered: Delivered) -> None:
    sql = "SELECT srcaddr, bytes, packets, instance_id, typeof(bytes), typeof(srcport) FROM flows ORDER BY bytes NULLS FIRST"
    rows = flow_sql.run(flow_sql.connect([delivered.folder]), sql)[1]
    assert rows[0] == ("-", None, None, "-", "BIGINT", "INTEGER") or rows[0][0] == "-"
    assert {row[4:] for row in rows} == {("BIGINT", "INTEGER")}
    assert {row[3] for row in rows} == {"-"}


def test_the_command(delivered: Delivered, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--files", str(delivered.folder)]
    assert main(["flows", "sql", "SELECT count(*) AS n FROM flows WHERE log_status = 'OK'", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 5}]
    assert main(["flows", "sql", "--query", "VpcFlowLogsTopTalkers", "--csv", *where]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["srcaddr,totalbytes", "192.0.2.1,1100"]
    assert main(["flows", "sql", "--list"]) == 0
    assert capsys.readouterr().out.count("VpcFlowLogs") == 16


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["SELEC 1"], 2),
        (["SELECT nothing FROM flows"], 2),
        ([], 2),
        (["SELECT 1", "--query", "VpcFlowLogsTopTalkers"], 2),
        (["--query", "Nope"], 2),
        (["--query", "VpcFlowLogsTrafficToDstAddr"], 2),
    ],
)
def test_what_is_no_question(
    delivered: Delivered, arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flows", "sql", *arguments, "--files", str(delivered.folder)]) == status
    assert capsys.readouterr().err.startswith("ringfence flows: ")


def test_without_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["flows", "sql", "SELECT 1", "--files", str(tmp_path)]) == 1
    assert "no flow log files" in capsys.readouterr().err


# ---------------------------------------------------------------------- for other readers
def test_the_template_has_a_table_and_the_queries_that_fit(delivered: Delivered) -> None:
    whole = json.loads(cloudformation(delivered.log, "s3://results/"))["Resources"]
    assert sum(part["Type"] == "AWS::Athena::NamedQuery" for part in whole.values()) == 16
    storage = whole["Table"]["Properties"]["TableInput"]["StorageDescriptor"]
    assert [column["Name"] for column in storage["Columns"]] == [name for name, _ in columns(delivered.log)]
    assert storage["Location"] == "s3://logs/AWSLogs/111122223333/vpcflowlogs/us-east-1/"
    short = json.loads(cloudformation(delivered.short, "s3://results/"))["Resources"]
    assert "VpcFlowLogsTopTalkingSubnets" not in short
    assert "VpcFlowLogsTopTalkers" in short
    assert (
        whole["WorkGroup"]["Properties"]["WorkGroupConfiguration"]["ResultConfiguration"]["OutputLocation"]
        == "s3://results/"
    )


@pytest.mark.parametrize("hive", [True, False])
@pytest.mark.parametrize("per_hour", [True, False])
def test_projected_partitions_are_where_files_are(delivered: Delivered, hive: bool, per_hour: bool) -> None:
    """What the table's location template makes of a day is the folder of that day's files."""
    log = replace(delivered.log, hive=hive, per_hour=per_hour, destination="arn:aws:s3:::logs/a/b")
    folder = files.key(log, int(START), "0" * 8).rpartition("/")[0]
    template = table_sql(log, "t").partition("'storage.location.template'='")[2].partition("'")[0]
    for name, value in {"year": "2023", "month": "11", "day": "14", "hour": "22"}.items():
        template = template.replace(f"${{{name}}}", value)
    assert template == f"s3://logs/{folder}"
    assert template.startswith(location(log))


def test_the_table_of_the_default_format(delivered: Delivered) -> None:
    text = table_sql(delivered.short, "flows")
    assert "`srcaddr` string" in text
    assert "`end` bigint" in text
    assert [name for name, _ in columns(delivered.short)] == [name.replace("-", "_") for name in DEFAULT]
    assert "'skip.header.line.count'='1'" in text
