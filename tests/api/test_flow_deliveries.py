"""Flow logs end to end behind the counter: made over the API, recorded, delivered, through outages and restarts (FL-28, FL-47 …
FL-59, FL-73)."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ringfence import deliveries
from ringfence.flow_deliveries import FlowDeliverer
from ringfence.flow_sinks import ROLE_ACTIONS, BucketSink, DestinationError, LogGroupSink
from ringfence.insight.flowlogs.records import Gap, Observation, Taken
from ringfence.model.kinds import BUCKET, FLOW_LOG
from ringfence.model.nouns.flow_log import CLOUD_WATCH, S3, FlowLog
from ringfence.model.nouns.trail import Bucket, BucketEncryption
from ringfence.model.world import delete, put
from ringfence.store.buckets import BucketFiles
from ringfence.store.store import Commit
from tests.api.front import ACCOUNT, Front
from tests.insight.flowlogs.lab import IN, OUT, seen

TRUST_SERVICE = {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}

FORMAT = "${interface-id} ${srcport} ${packets} ${bytes} ${log-status}"


class Counter_:
    """A counter that is told what it counted."""

    def __init__(self) -> None:
        self.held: list[Observation] = []
        self.gaps: list[Gap] = []
        self.now, self.broken = 0.0, False

    def take(self) -> Taken:
        if self.broken:
            raise OSError("no counters")
        taken = Taken(until=self.now, observations=tuple(self.held), gaps=tuple(self.gaps))
        self.held, self.gaps = [], []
        return taken


class Groups:
    """A CloudWatch Logs that keeps what it is given."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self.limited = False

    def put(self, log: FlowLog, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        if self.limited:
            raise DestinationError("Rate limited")
        self.streams.setdefault((group, stream), []).extend(events)


class Lab:
    """An installation with a bucket, a VPC with two interfaces, a counter, and deliveries that run when told."""

    def __init__(self, folder: Path, most: int = 1000) -> None:
        self.front, self.folder, self.most = Front(), folder, most
        self.files, self.groups, self.counter = BucketFiles(folder / "buckets", self.front.sealer), Groups(), Counter_()
        self.bucket()
        self.restart()
        self.ec2 = self.front.client("ec2")
        subnet = self.ec2.describe_subnets()["Subnets"][0]
        self.vpc, block = subnet["VpcId"], subnet["CidrBlock"].rpartition(".")[0]
        self.own, self.peer = f"{block}.21", f"{block}.22"
        self.eni, self.other = (self.interface(subnet["SubnetId"], address) for address in (self.own, self.peer))

    def interface(self, subnet: str, address: str) -> str:
        made = self.ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def bucket(self, **how: Any) -> None:
        row = Bucket(id="logs", owner_id=ACCOUNT, region="us-east-1", created=0, **how)
        self.front.store.write(lambda _: Commit(change=put(BUCKET, row)))

    def now(self) -> datetime:
        """The deliverer's clock; the counter's own runs with it."""
        return datetime.fromtimestamp(self.counter.now, UTC) if self.counter.now else self.front.clock.now()

    def restart(self) -> None:
        store = self.front.store
        sinks = {
            S3: BucketSink(lambda: store.world, self.files, self, self.front.service_keys(self)),
            CLOUD_WATCH: LogGroupSink(lambda: store.world, self.groups, self),
        }
        self.deliverer = FlowDeliverer(store, self.counter, sinks, self.folder / "flows", self, most=self.most)
        here = deliveries.FromHere(store, None, self.deliverer, sinks=frozenset(sinks))  # type: ignore[arg-type]
        self.front.pipeline.outside = here

    def log(self, **how: Any) -> str:
        given = {
            "ResourceIds": [self.vpc], "ResourceType": "VPC", "TrafficType": "ALL", "LogDestinationType": "s3",
            "LogDestination": "arn:aws:s3:::logs", "MaxAggregationInterval": 60, "LogFormat": FORMAT, **how,
        }  # fmt: skip
        id = str(self.ec2.create_flow_logs(**{k: v for k, v in given.items() if v})["FlowLogIds"][0])
        row = self.front.store.world.find(FLOW_LOG, id)
        assert row is not None
        self.start = (row.created // 600 + 1) * 600
        return id

    def count(self, *ports: int, packets: int = 1, at: float = 5, eni: str | None = None) -> None:
        """One packet from each port, `at` seconds from the start."""
        for port in ports:
            counts = {"packets": packets, "octets": 40 * packets, "at": self.start + at}
            packet = seen(eni or self.eni, IN, self.peer, self.own, ports=(port, 80), **counts)
            self.counter.held.append(packet)

    def collect(self, until: float = 60) -> None:
        self.counter.now = self.start + until
        self.deliverer.collect()

    def keys(self) -> list[str]:
        return list(self.files.keys("logs"))

    def lines(self) -> list[list[str]]:
        texts = [gzip.decompress(self.files.read("logs", key)).decode().splitlines() for key in self.keys()]
        assert all(text[0] == "interface-id srcport packets bytes log-status" for text in texts)
        return [line.split(" ") for text in texts for line in text[1:]]

    def ports(self) -> Counter[str]:
        """How often a record of each port was delivered."""
        return Counter(line[1] for line in self.lines() if line[4] == "OK")

    def skipped(self) -> list[str]:
        return sorted(line[0] for line in self.lines() if line[4] == "SKIPDATA")

    def events(self) -> dict[tuple[str, str], list[tuple[int, str]]]:
        """Events of the log group that tell of traffic."""
        held = {key: [e for e in events if e[1].endswith("OK")] for key, events in self.groups.streams.items()}
        return {key: events for key, events in held.items() if events}

    def shown(self) -> tuple[str, str | None]:
        (log,) = self.ec2.describe_flow_logs()["FlowLogs"]
        return log["DeliverLogsStatus"], log.get("DeliverLogsErrorMessage")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_records_reach_the_bucket_once(lab: Lab) -> None:
    """FL-48 … FL-50, RES-14: files of names that nothing else has"""
    id = lab.log()
    lab.count(1001, 1002)
    lab.collect()
    lab.deliverer.deliver()
    lab.count(1003, at=65)
    lab.collect(120)
    lab.deliverer.deliver()
    lab.deliverer.deliver()
    assert lab.ports() == {"1001": 1, "1002": 1, "1003": 1}
    assert all(
        key.startswith(f"AWSLogs/{ACCOUNT}/vpcflowlogs/us-east-1/") and id in key for key in lab.files.keys("logs")
    )
    assert lab.shown() == ("SUCCESS", None)
    assert lab.skipped() == []


def test_a_bucket_that_vanishes_loses_nothing_within_the_bound(lab: Lab) -> None:
    """FL-57: FAILED with Access error, then everything, once."""
    lab.log()
    lab.front.store.write(lambda _: Commit(change=delete(BUCKET, "logs")))
    for minute in range(5):
        lab.count(2000 + minute, at=60 * minute + 5)
        lab.collect(60 * minute + 60)
        lab.deliverer.deliver()
    assert lab.shown() == ("FAILED", "Access error")
    assert lab.keys() == []
    lab.bucket()
    lab.deliverer.deliver()
    assert lab.ports() == {str(2000 + minute): 1 for minute in range(5)}
    assert lab.skipped() == []
    assert lab.shown() == ("SUCCESS", None)


def test_a_bucket_whose_key_does_not_let_the_delivery_service_in(lab: Lab) -> None:
    """DATA-05, FL-11: FAILED with Access error; then everything, sealed."""
    lab.log()
    kms = lab.front.client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    lab.bucket(encryption=BucketEncryption(algorithm="aws:kms", key=arn))
    lab.count(1)
    lab.collect()
    lab.deliverer.deliver()
    assert (lab.shown(), lab.keys()) == (("FAILED", "Access error"), [])
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    source = {"aws:SourceArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:*"}
    service = {
        "Effect": "Allow", "Principal": {"Service": "delivery.logs.amazonaws.com"}, "Action": "kms:GenerateDataKey*",
        "Resource": "*", "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": source},
    }  # fmt: skip
    kms.put_key_policy(KeyId=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": [own, service]}))
    lab.deliverer.deliver()
    assert lab.shown() == ("SUCCESS", None)
    delivered = [lab.files.find("logs", key) for key in lab.files.keys("logs")]
    assert {about.encryption.key for about in delivered if about is not None and about.encryption is not None} == {arn}


def test_flow_logs_are_sealed_where_the_bucket_says_so(lab: Lab) -> None:
    """DATA-05"""
    lab.log()
    lab.bucket(encryption=BucketEncryption(algorithm="AES256"))
    lab.count(1001)
    lab.collect()
    lab.deliverer.deliver()
    assert lab.ports() == {"1001": 1}
    assert not any(path.read_bytes().startswith(b"\x1f\x8b") for path in (lab.folder / "buckets/logs").rglob("*.gz"))


def test_a_bucket_that_denies(lab: Lab) -> None:
    lab.log()
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}
    lab.bucket(policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    lab.count(1)
    lab.collect()
    lab.deliverer.deliver()
    assert lab.shown() == ("FAILED", "Access error")


def test_an_outage_past_the_bound_is_skipdata(tmp_path: Path) -> None:
    """The newest are kept; what was given up is said for each interface, in one line (FL-73)."""
    lab = Lab(tmp_path, most=3)
    lab.log()
    lab.front.store.write(lambda _: Commit(change=delete(BUCKET, "logs")))
    lab.count(1, 2, 3, at=5)
    lab.count(4, at=6, eni=lab.other)
    lab.collect()
    lab.count(5, 6, 7, at=65)
    lab.count(8, at=66, eni=lab.other)
    lab.collect(120)
    lab.bucket()
    lab.deliverer.deliver()
    assert len(lab.ports()) == 3
    assert lab.skipped() == sorted([lab.eni, lab.other])
    lab.deliverer.deliver()
    assert len(lab.lines()) == 5


def test_a_disk_that_fails_half_way(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """RES-14: files that were written are not written again."""
    lab.log()
    lab.collect(0)
    lab.deliverer.deliver()  # the minutes before
    lab.count(1, at=5)
    lab.count(2, at=305)
    lab.collect(600)
    whole, calls = lab.files.put, []

    def put_(*given: Any, **more: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return whole(*given, **more)

    monkeypatch.setattr(lab.files, "put", put_)
    lab.deliverer.deliver()
    assert lab.shown() == ("FAILED", "Unknown error")
    assert lab.ports() == {"1": 1}
    lab.deliverer.deliver()
    assert lab.ports() == {"1": 1, "2": 1}
    assert lab.shown() == ("SUCCESS", None)


def test_counters_that_cannot_be_read(lab: Lab) -> None:
    lab.log()
    lab.count(1)
    lab.counter.broken = True
    lab.collect()
    assert lab.shown() == ("FAILED", "Unknown error")
    lab.counter.broken = False
    lab.collect(120)
    lab.deliverer.deliver()
    assert lab.ports() == {"1": 1}
    assert lab.shown() == ("SUCCESS", None)


def test_what_a_crash_loses_is_skipdata_and_nothing_is_counted_twice(lab: Lab) -> None:
    lab.log()
    lab.count(1)
    lab.collect()
    lab.deliverer.deliver()
    lab.count(2, at=65)
    lab.collect(120)  # waits
    lab.count(3, at=125)
    lab.collect(130)  # its window is open
    lab.counter.now = lab.start + 200
    lab.restart()
    lab.count(4, at=245)
    lab.collect(300)
    lab.deliverer.deliver()
    assert lab.ports() == {"1": 1, "4": 1}
    assert lab.skipped() == sorted([lab.eni, lab.other])


def test_a_deleted_flow_log_gets_what_was_complete(lab: Lab) -> None:
    """FL-13: recording stops, stored data stays."""
    id = lab.log()
    lab.count(1)
    lab.collect()
    lab.ec2.delete_flow_logs(FlowLogIds=[id])
    lab.count(2, at=65)
    lab.collect(120)
    lab.deliverer.deliver()
    assert lab.ports() == {"1": 1}
    assert lab.deliverer._waiting == {}


def test_a_terminated_interface_is_recorded_to_its_last_packet(lab: Lab) -> None:
    lab.log()
    lab.count(1)
    lab.ec2.delete_network_interface(NetworkInterfaceId=lab.eni)
    lab.collect()
    lab.deliverer.deliver()
    assert lab.ports() == {"1": 1}


def test_sums_through_files_equal_what_was_counted(lab: Lab) -> None:
    """1,000 random flows, counters read at random moments, destinations failing at random: byte for byte."""
    lab.most = 100_000
    lab.restart()
    lab.log()
    chance, packets, octets = random.Random(7), Counter[int](), Counter[int]()
    for _ in range(40):
        until = lab.counter.now - lab.start + chance.uniform(1, 90) if lab.counter.now else 30.0
        for _ in range(25):
            port, count = chance.randrange(1, 1000), chance.randrange(1, 10**6)
            lab.count(port, packets=count, at=max(0.0, until - chance.uniform(0, 100)))
            packets[port] += count
            octets[port] += 40 * count
        lab.collect(until)
        if chance.random() < 0.3:
            lab.front.store.write(lambda _: Commit(change=delete(BUCKET, "logs")))
            lab.deliverer.deliver()
            lab.bucket()
        lab.deliverer.deliver()
    lab.collect(100_000)
    lab.deliverer.deliver()
    found_packets, found_octets = Counter[int](), Counter[int]()
    for line in lab.lines():
        if line[4] == "OK":
            found_packets[int(line[1])] += int(line[2])
            found_octets[int(line[1])] += int(line[3])
    assert found_packets == packets
    assert found_octets == octets


# ---------------------------------------------------------------------- log groups
def _role(lab: Lab, *actions: str, trust: Any = TRUST_SERVICE, resource: str = "*") -> str:
    iam = lab.front.client("iam")
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = str(iam.create_role(RoleName="flow-logs", AssumeRolePolicyDocument=document)["Role"]["Arn"])
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="flow-logs", PolicyName="logs", PolicyDocument=policy)
    return arn


def _to_group(lab: Lab, role: str) -> str:
    return lab.log(
        LogDestinationType=None, LogDestination=None, LogGroupName="flows", DeliverLogsPermissionArn=role, TrafficType="REJECT",
        LogFormat=None,
    )  # fmt: skip


def test_one_stream_for_each_interface(lab: Lab) -> None:
    """FL-48: the event's time is the record's start; a group is made with the first record, not before."""
    _to_group(lab, _role(lab, *ROLE_ACTIONS))
    lab.collect(0)
    lab.deliverer.deliver()
    assert lab.events() == {}
    for eni, way, source, destination in ((lab.eni, IN, lab.peer, lab.own), (lab.other, OUT, lab.peer, lab.own)):
        lab.counter.held.append(seen(eni, way, source, destination, ports=(1, 2), accepted=False, at=lab.start + 3))
    lab.collect()
    lab.deliverer.deliver()
    assert set(lab.events()) == {("flows", f"{eni}-reject") for eni in (lab.eni, lab.other)}
    ((time, text),) = lab.events()["flows", f"{lab.eni}-reject"]
    assert time == int(lab.start + 3) * 1000
    assert text.endswith("REJECT OK")
    assert lab.shown() == ("SUCCESS", None)


_FOREIGN = {**TRUST_SERVICE, "Condition": {"StringEquals": {"aws:SourceAccount": "999999999999"}}}
_OWN = {
    **TRUST_SERVICE,
    "Condition": {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc-flow-log/*"},
    },
}


@pytest.mark.parametrize(
    ("trust", "actions", "error"),
    [
        (_OWN, ROLE_ACTIONS, None),  # POL-16, IAM-42
        (_FOREIGN, ROLE_ACTIONS, "Access error"),
        ({**TRUST_SERVICE, "Principal": {"Service": "ec2.amazonaws.com"}}, ROLE_ACTIONS, "Access error"),
        *((TRUST_SERVICE, tuple(a for a in ROLE_ACTIONS if a != gone), "Access error") for gone in ROLE_ACTIONS),
    ],
)
def test_the_delivery_role(lab: Lab, trust: Any, actions: tuple[str, ...], error: str | None) -> None:
    """FL-56, FL-57, POL-15: trust and permissions are asked at each delivery; nothing is lost meanwhile."""
    _to_group(lab, _role(lab, *actions, trust=trust))
    lab.counter.held.append(seen(lab.eni, IN, lab.peer, lab.own, ports=(1, 2), accepted=False, at=lab.start + 3))
    lab.collect()
    lab.deliverer.deliver()
    assert lab.shown() == ("FAILED" if error else "SUCCESS", error)
    assert bool(lab.events()) == (error is None)
    iam = lab.front.client("iam")
    good = json.dumps({"Version": "2012-10-17", "Statement": [TRUST_SERVICE]})
    iam.update_assume_role_policy(RoleName="flow-logs", PolicyDocument=good)
    everything = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_role_policy(RoleName="flow-logs", PolicyName="logs", PolicyDocument=policy)
    lab.deliverer.deliver()
    assert lab.shown() == ("SUCCESS", None)
    assert [len(events) for events in lab.events().values()] == [1]


def test_a_role_that_does_not_exist_and_rate_limits(lab: Lab) -> None:
    """FL-11"""
    _to_group(lab, f"arn:aws:iam::{ACCOUNT}:role/flow-logs")
    lab.counter.held.append(seen(lab.eni, IN, lab.peer, lab.own, ports=(1, 2), accepted=False, at=lab.start + 3))
    lab.collect()
    lab.deliverer.deliver()
    assert lab.shown() == ("FAILED", "Access error")
    _role(lab, *ROLE_ACTIONS)
    lab.groups.limited = True
    lab.deliverer.deliver()
    assert lab.shown() == ("FAILED", "Rate limited")
    lab.groups.limited = False
    lab.deliverer.deliver()
    assert lab.shown() == ("SUCCESS", None)


def test_resource_policies_of_the_account_have_a_say_about_the_delivery_role(lab: Lab) -> None:
    """What they deny is not delivered and waits; what they allow needs no policy of the role."""
    import ringfence.api.ops.logs  # noqa: F401  fills the registry

    logs, role = lab.front.client("logs"), f"arn:aws:iam::{ACCOUNT}:role/flow-logs"
    _to_group(lab, _role(lab, *ROLE_ACTIONS))
    lab.counter.held.append(seen(lab.eni, IN, lab.peer, lab.own, ports=(1, 2), accepted=False, at=lab.start + 3))
    lab.collect()

    def policy(effect: str, who: Any, *actions: str) -> None:
        statement = {
            "Effect": effect,
            "Principal": who,
            "Action": list(actions),
            "Resource": f"arn:aws:logs:*:{ACCOUNT}:*",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        logs.put_resource_policy(policyName="p", policyDocument=document)

    policy("Deny", "*", "logs:PutLogEvents")
    lab.deliverer.deliver()
    assert lab.shown() == ("FAILED", "Access error")
    assert lab.events() == {}
    only = {"Effect": "Allow", "Action": "logs:DescribeLogGroups", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [only]})
    lab.front.client("iam").put_role_policy(RoleName="flow-logs", PolicyName="logs", PolicyDocument=text)
    policy("Allow", {"AWS": role}, *(action for action in ROLE_ACTIONS if action != "logs:DescribeLogGroups"))
    lab.deliverer.deliver()
    assert lab.shown() == ("SUCCESS", None)
    assert [len(events) for events in lab.events().values()] == [1]


def test_without_a_counter_the_installation_says_so(lab: Lab) -> None:
    """What a running installation answers today, and of a flow log from when there was a counter."""
    lab.log()
    lab.front.pipeline.outside = deliveries.FromHere(lab.front.store, None)  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="UnsupportedOperation"):
        lab.log(TrafficType="REJECT")
    assert lab.shown() == ("FAILED", "Unknown error")


# ---------------------------------------------------------------------- bad input
_TEXT = st.text(max_size=12) | st.sampled_from(["", " ", "/", "..", "AWSLogs", "${version}", "\x00", "é", "a" * 300])
_ODD: dict[str, st.SearchStrategy[Any]] = {
    "TrafficType": _TEXT,
    "LogDestinationType": _TEXT,
    "LogDestination": st.builds("arn:aws:s3:::logs/{}/{}".format, _TEXT, _TEXT) | _TEXT,
    "LogGroupName": _TEXT,
    "LogFormat": st.lists(_TEXT, max_size=4).map(" ".join),
    "DeliverLogsPermissionArn": _TEXT,
    "MaxAggregationInterval": st.sampled_from([-1, 0, 60, 599, 600, 2**31 - 1]),
    "ResourceIds": st.lists(_TEXT, max_size=3),
    "ResourceType": _TEXT,
    "DestinationOptions": st.fixed_dictionaries({"FileFormat": _TEXT, "PerHourPartition": st.booleans()}),
    "TagFieldSpecifications": st.lists(
        st.fixed_dictionaries({"ResourceType": _TEXT | st.just("instance"), "TagKeys": st.lists(_TEXT, max_size=3)}),
        max_size=2,
    ),
}


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("strange"))
    lab.front.strict_clients = False
    lab.ec2 = lab.front.client("ec2")
    return lab


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.sampled_from(sorted(_ODD)), min_size=1, max_size=2), st.data())
def test_odd_requests_are_refused_or_delivered(strange: Lab, names: set[str], data: st.DataObject) -> None:
    """An AWS error and nothing made; or a flow log whose records arrive, in the bucket's directory."""
    odd = {name: data.draw(_ODD[name], name) for name in sorted(names)}
    before = len(strange.front.store.world.all(FLOW_LOG))
    given_ = {
        "ResourceIds": [strange.vpc], "ResourceType": "VPC", "TrafficType": "ALL", "LogDestinationType": "s3",
        "LogDestination": "arn:aws:s3:::logs", "MaxAggregationInterval": 60,
    }  # fmt: skip
    refused: dict[str, Any] = {}
    made: list[str] = []
    try:
        made = strange.ec2.create_flow_logs(**{**given_, **odd})["FlowLogIds"]
    except ClientError as problem:
        refused = dict(problem.response)
    except ParamValidationError:  # botocore's own, not ours
        return
    event("refused" if refused else "made" if made else "unsuccessful")
    assert len(strange.front.store.world.all(FLOW_LOG)) == before + len(made)
    if refused:
        assert refused["ResponseMetadata"]["HTTPStatusCode"] in (400, 403, 404), refused
        return
    strange.start = (strange.now().timestamp() // 600 + 2) * 600
    strange.count(1, at=5)
    strange.collect(600)
    strange.deliverer.deliver()
    assert all(strange.deliverer.delivery(id).error is None for id in made)
    for id in made:
        assert any(id in key for key in strange.files.keys("logs"))
        strange.ec2.delete_flow_logs(FlowLogIds=[id])
    strange.deliverer.deliver()
    assert {path.name for path in (strange.folder / "buckets").iterdir()} <= {"logs", ".objects"}


# ---------------------------------------------------------------------- what else is told, and templates
def test_every_reading_of_the_counters_is_told(lab: Lab) -> None:
    told: list[int] = []
    lab.deliverer = FlowDeliverer(
        lab.front.store, lab.counter, {}, lab.folder / "other", lab, seen=lambda _world, taken: told.append(len(taken.observations))
    )  # fmt: skip
    lab.log()
    lab.count(1, 2)
    lab.collect()
    lab.collect(120)
    assert told == [2, 0]


def _template(lab: Lab, log: str, **more: Any) -> dict[str, Any]:
    integration = {"IntegrationResultS3DestinationArn": "arn:aws:s3:::results/athena", "PartitionLoadFrequency": "none"}
    return {
        "FlowLogId": log, "ConfigDeliveryS3DestinationArn": "arn:aws:s3:::logs/templates",
        "IntegrateServices": {"AthenaIntegrations": [integration]}, **more,
    }  # fmt: skip


def test_the_integration_template_is_written_into_the_bucket(lab: Lab) -> None:
    """FL-58"""
    lab.front.pipeline.objects = lab.files
    id = lab.log()
    result = lab.ec2.get_flow_logs_integration_template(**_template(lab, id))["Result"]
    key = result.removeprefix("https://logs.s3.us-east-1.amazonaws.com/")
    whole = json.loads(lab.files.read("logs", key))
    assert key.startswith(f"templates/VPCFlowLogsIntegrationTemplate_{id}_")
    assert whole["Resources"]["WorkGroup"]["Properties"]["WorkGroupConfiguration"]["ResultConfiguration"] == {
        "OutputLocation": "s3://results/athena/"
    }


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"FlowLogId": "fl-00000000000000000"}, "InvalidFlowLogId.NotFound"),
        ({"ConfigDeliveryS3DestinationArn": "arn:aws:s3:::none"}, "InvalidParameter"),
        ({"ConfigDeliveryS3DestinationArn": "logs"}, "InvalidParameter"),
        ({"IntegrateServices": {}}, "MissingParameter"),
    ],
)
def test_templates_that_are_refused(lab: Lab, more: dict[str, Any], code: str) -> None:
    lab.front.pipeline.objects = lab.files
    id = lab.log()
    with pytest.raises(ClientError) as caught:
        lab.ec2.get_flow_logs_integration_template(**_template(lab, id, **more))
    assert caught.value.response["Error"]["Code"] == code
    assert lab.keys() == []


def test_a_template_needs_permission_to_write_into_the_bucket(lab: Lab) -> None:
    lab.front.pipeline.objects = lab.files
    id, iam = lab.log(), lab.front.client("iam")
    iam.create_user(UserName="eve")
    key = iam.create_access_key(UserName="eve")["AccessKey"]
    ec2 = lab.front.client("ec2", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def allow(*actions: str) -> None:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="eve", PolicyName="p", PolicyDocument=document)

    for actions in (("ec2:Describe*",), ("ec2:GetFlowLogsIntegrationTemplate",)):
        allow(*actions)
        with pytest.raises(ClientError) as caught:
            ec2.get_flow_logs_integration_template(**_template(lab, id))
        assert caught.value.response["Error"]["Code"] == "UnauthorizedOperation"
        assert lab.keys() == []
    allow("ec2:GetFlowLogsIntegrationTemplate", "s3:PutObject")
    ec2.get_flow_logs_integration_template(**_template(lab, id))
    assert len(lab.keys()) == 1
