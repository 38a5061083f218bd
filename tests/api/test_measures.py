"""What the installation tells of itself (spec section 8: MON-23; docs/observing.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ringfence.api.begun import Lane, Scrape
from ringfence.api.metering import Meter
from ringfence.api.outside import Delivery
from ringfence.drift import DriftCounts
from ringfence.exposition import counter, gauge, histogram, text
from ringfence.measures import Behind, Measures, flow_logs, log_lag, read_token
from ringfence.model.kinds import FLOW_LOG, LOG_STREAM, VPC
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.nouns.log import LogStream
from ringfence.model.world import NOTHING, Change, World, put
from ringfence.settings import SettingsError
from ringfence.store.events import Summary
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, USER_KEY, Front, http_request

PATH = "http://127.0.0.1:4566/_ringfence/metrics"


class Plane:
    """A data plane that says what it is told to say."""

    name = "fake"

    def __init__(self) -> None:
        self.said: dict[str, Any] = {"applied_generation": 0}
        self.drift = DriftCounts()

    def status(self) -> dict[str, Any]:
        return self.said

    def measures(self) -> Any:
        yield counter("dropped_packets_total", "By reason.").add(3, reason="sg-ingress")


class Lab:
    def __init__(self, token: str | None = None) -> None:
        self.front, self.plane = Front(), Plane()
        plane: Any = self.plane
        self.measures = Measures(
            self.front.store, plane, self.front.pipeline.meter, lambda _arn: Delivery(at=time.time() - 5), token
        )
        self.front.pipeline.measures = self.measures

    def ask(self, url: str = PATH, peer: str = "127.0.0.1", **headers: str) -> Any:
        request = http_request("GET", url, headers.items(), b"", peer=peer)
        return self.front.pipeline.handle(request)

    def values(self) -> dict[str, float]:
        """`name{labels}` → value, as the exposition has it."""
        lines = self.ask().body.decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_generations_and_how_long_the_packets_are_behind(lab: Lab) -> None:
    ec2 = lab.front.client("ec2")
    ec2.create_vpc(CidrBlock="10.0.0.0/16")
    time.sleep(0.01)
    committed = lab.front.store.world.generation
    held = lab.values()
    assert held["ringfence_generation_committed"] == held["ringfence_generation_lag"] == committed
    assert 0.01 <= held["ringfence_generation_lag_seconds"] < 5
    lab.plane.said = {"applied_generation": committed, "problem": "the agent ended"}
    held = lab.values()
    assert held["ringfence_generation_enforced"] == committed
    assert held["ringfence_generation_lag"] == held["ringfence_generation_lag_seconds"] == 0
    assert held["ringfence_dataplane_problem"] == 1
    assert held['ringfence_resources{kind="vpc"}'] == len(lab.front.store.world.all(VPC))
    assert held['ringfence_dropped_packets_total{reason="sg-ingress"}'] == 3


def test_the_oldest_commit_that_waits_counts() -> None:
    behind, world = Behind(), World()
    for generation in (1, 2, 3):
        behind.committed(world, World(generation=generation), NOTHING)
        time.sleep(0.01)
    assert behind.seconds(0) > behind.seconds(1) > behind.seconds(2) >= 0.01
    assert behind.seconds(3) == 0


def test_calls_by_operation_and_outcome(lab: Lab) -> None:
    ec2 = lab.front.client("ec2")
    ec2.describe_vpcs()
    ec2.describe_vpcs()
    with pytest.raises(ClientError):
        ec2.describe_vpcs(VpcIds=["vpc-00000000"])
    with pytest.raises(ClientError):
        lab.front.client("ec2", key=USER_KEY).describe_vpcs()
    held = lab.values()
    name = "ringfence_api_request_seconds"
    ok, refused = (f'service="ec2",operation="DescribeVpcs",outcome="{one}"' for one in ("ok", "refused"))
    assert held[f"{name}_count{{{ok}}}"] == held[f'{name}_bucket{{{ok},le="+Inf"}}'] == 2
    assert held[f"{name}_count{{{refused}}}"] == 2
    assert 0 < held[f"{name}_sum{{{ok}}}"] < 5
    errors = 'ringfence_api_errors_total{service="ec2",operation="DescribeVpcs",code="%s"}'
    assert held[errors % "InvalidVpcID.NotFound"] == held[errors % "UnauthorizedOperation"] == 1
    assert held["ringfence_api_internal_errors_total"] == 0


def test_what_a_client_says_makes_no_labels(lab: Lab) -> None:
    for n in range(50):
        lab.front.ask({"Action": f"Made{n}", "Version": "2016-11-15"})
        lab.front.pipeline.handle(http_request("POST", f"http://x{n}.invalid/", {}.items(), b"Action=A%d" % n))
        with pytest.raises(ClientError):
            lab.front.client("ec2").describe_nat_gateways() if n % 2 else lab.front.client("ssm").list_documents()
    names = [line for line in lab.values() if "_count{" in line or "errors_total{" in line]
    assert len(names) < 10
    assert all('operation="other"' in line for line in names)


@pytest.mark.parametrize(
    ("token", "how", "status"),
    [
        (None, {}, 200),
        (None, {"host": "localhost:4566"}, 200),
        (None, {"host": "[::1]:4566", "peer": "::1"}, 200),
        (None, {"peer": "::ffff:127.0.0.1"}, 200),
        (None, {"peer": "10.0.0.5"}, 404),
        (None, {"host": "rebound.example:4566"}, 404),
        (None, {"host": "10.0.0.5"}, 404),
        (None, {"origin": "http://localhost"}, 404),
        ("t" * 16, {}, 404),
        ("t" * 16, {"authorization": "Bearer " + "t" * 15}, 404),
        ("t" * 16, {"authorization": "Bearer " + "t" * 16, "peer": "192.0.2.1", "host": "ringfence.example"}, 200),
    ],
)
def test_who_is_told(token: str | None, how: dict[str, str], status: int) -> None:
    answer = Lab(token).ask(**how)
    assert answer.status == status
    assert answer.content_type.startswith("text/plain; version=0.0.4" if status == 200 else "application/json")


def test_it_is_told_off_the_event_loop_and_only_where_it_is_served(lab: Lab) -> None:
    begun = lab.front.pipeline.begin(http_request("GET", PATH, {}.items(), b""))
    assert isinstance(begun, Scrape)
    assert lab.front.pipeline.lane(begun) is Lane.READER
    assert lab.ask(PATH + "/more").status == 404
    lab.front.pipeline.measures = None
    assert lab.ask().status == 404


def test_a_source_that_fails_is_our_fault_and_said_so(lab: Lab) -> None:
    def broken() -> Any:
        raise ValueError

    lab.measures.sources.append(broken)
    assert lab.ask().status == 500
    assert lab.front.pipeline.internal_errors == 1


def test_the_format() -> None:
    calls = gauge("a", 'line\nbreak \\ "quote"').add(0.1 + 0.2, path='C:\\"x"\n')
    hist = counter("h", "x")
    histogram(hist, (0.5, 1.0), (2, 0, 1), 2.25, op="x")
    shown = text([calls, hist, gauge("left_out", "no value")])
    assert shown == (
        '# HELP ringfence_a line\\nbreak \\\\ "quote"\n# TYPE ringfence_a gauge\n'
        'ringfence_a{path="C:\\\\\\"x\\"\\n"} 0.30000000000000004\n'
        "# HELP ringfence_h x\n# TYPE ringfence_h counter\n"
        'ringfence_h_bucket{op="x",le="0.5"} 2\nringfence_h_bucket{op="x",le="1"} 2\n'
        'ringfence_h_bucket{op="x",le="+Inf"} 3\nringfence_h_sum{op="x"} 2.25\nringfence_h_count{op="x"} 3\n'
    )


@pytest.mark.parametrize("held", ["", "short", "with a space in the middle of it", "ü" * 20])
def test_tokens_that_are_none(tmp_path: Path, held: str) -> None:
    path = tmp_path / "token"
    path.write_text(held)
    with pytest.raises(SettingsError):
        read_token(path)
    with pytest.raises(SettingsError):
        read_token(tmp_path / "none")
    path.write_text("0123456789abcdef\n")
    assert read_token(path) == "0123456789abcdef"


def test_counts_from_several_threads_are_whole() -> None:
    import threading

    meter = Meter()

    def work() -> None:
        for _ in range(20_000):
            meter.answered("ec2", "DescribeVpcs", 200, 0.001)

    threads: list[threading.Thread] = [threading.Thread(target=work) for _ in range(4)]
    run: Callable[[threading.Thread], None]
    for run in (threading.Thread.start, threading.Thread.join):
        for thread in threads:
            run(thread)
    ((_, outcome, latency),) = meter.latencies()
    assert (outcome, sum(latency.counts), round(latency.seconds)) == ("ok", 80_000, 80)


def test_drift_and_deliveries_of_flow_logs(lab: Lab) -> None:
    finding = {"drift": "missing", "what": "rule", "place": "vpc-1"}
    report = {
        "findings": [finding, finding],
        "left": [finding],
        "closed": ["vpc-1"],
        "repaired": False,
        "problems": [],
        "proven": None,
    }
    lab.plane.drift.add(report, lab.front.clock.now())
    log = FlowLog(
        id="fl-1", owner_id=ACCOUNT, region="us-east-1", resource_id="vpc-1", resource_type="VPC", traffic_type="ALL",
        destination_type="s3", fields=("version",), created=0.0,
    )  # fmt: skip
    lab.front.store.write(lambda _: Commit(change=put(FLOW_LOG, log)))
    lab.measures.sources.append(
        lambda: flow_logs(lab.front.store, lambda _id: Delivery(at=time.time() - 9, error="Access error"))
    )
    held = lab.values()
    assert held['ringfence_drift_found_total{drift="missing",what="rule"}'] == 2
    assert (held["ringfence_drift_left"], held["ringfence_drift_closed"]) == (1, 1)
    assert 9 <= held['ringfence_flow_log_delivery_age_seconds{flow_log="fl-1"}'] < 20
    assert held['ringfence_flow_log_delivery_failing{flow_log="fl-1"}'] == 1


def test_log_lag_of_groups_that_flow_logs_go_to(lab: Lab) -> None:
    """By the newest event of all streams; other groups, and those without events, are left out."""
    logs = [
        FlowLog(
            id=f"fl-{name}", owner_id=ACCOUNT, region="us-east-1", resource_id="vpc-1", resource_type="VPC", traffic_type="ALL",
            destination_type=kind, fields=("version",), created=0.0, destination=f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{name}:*",
        )
        for name, kind in (("flows", "cloud-watch-logs"), ("empty", "cloud-watch-logs"), ("other", "s3"))
    ]  # fmt: skip
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
    streams = [
        LogStream(id=f"s{n}", owner_id=ACCOUNT, region="us-east-1", group=arn + group, name=str(n), created=0, number=n)
        for n, group in enumerate(("flows", "flows", "empty", "other"))
    ]
    change = Change()
    for log in logs:
        change += put(FLOW_LOG, log)
    for stream in streams:
        change += put(LOG_STREAM, stream)
    lab.front.store.write(lambda _: Commit(change=change))
    now = round(time.time() * 1000)
    held = {
        0: Summary(0, now - 90_000, now, 1, 1),
        1: Summary(0, now - 30_000, now - 23_000, 1, 2),
        3: Summary(0, now, now, 1, 3),
    }
    lab.measures.sources.append(
        lambda: log_lag(lab.front.store, lambda wanted: {n: held[n] for n in wanted if n in held})
    )
    values = {name: value for name, value in lab.values().items() if "log_group" in name}
    assert values.pop(f'ringfence_log_group_lag_seconds{{log_group="{arn}flows"}}') == 7
    assert 30 <= values.pop(f'ringfence_log_group_newest_event_age_seconds{{log_group="{arn}flows"}}') < 60
    assert values == {}
