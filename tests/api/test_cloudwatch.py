"""Metrics of CloudWatch over the wire, as boto3 drives them (spec section 8: MON-04…08)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

import ringfence.api.ops.cloudwatch
import ringfence.api.ops.logs  # noqa: F401  fills the registry
from ringfence.api.ops.cloudwatch import data as data_operation
from ringfence.api.ops.registry import OPERATIONS
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.model.nouns.network_interface import Attachment, NetworkInterface
from ringfence.model.world import put
from ringfence.store.metrics import RETENTION, Metric, of_values
from ringfence.store.store import Commit
from tests.api.cloudwatch_lab import ARN, TOPIC, Lab, code, opened, stat
from tests.api.front import ACCOUNT, OTHER_KEY, USER_KEY, signed


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield from opened(tmp_path)


# ---------------------------------------------------------------------- putting
def test_values_sets_and_distributions_are_summed(lab: Lab) -> None:
    at = lab.now - timedelta(minutes=5)
    more = {"MetricName": "m", "Timestamp": at, "Unit": "Count"}
    lab.cw.put_metric_data(
        Namespace="N",
        MetricData=[
            {"Value": 2.5, **more},
            {"StatisticValues": {"SampleCount": 2, "Sum": 5, "Minimum": 1, "Maximum": 4}, **more},
            {"Values": [1.0, 3.0], "Counts": [2.0, 1.0], **more},
            {"Value": 9, "MetricName": "other"},
        ],
    )
    names = ("SampleCount", "Sum", "Minimum", "Maximum", "Average")
    (point,) = lab.statistics(*names)
    assert [point[name] for name in names] == [6, 12.5, 1, 4, 12.5 / 6]
    assert (point["Unit"], point["Timestamp"]) == ("Count", at)
    assert lab.statistics(ExtendedStatistics=["p50"])[0].get("ExtendedStatistics", {}) == {}
    assert lab.statistics(name="other", ExtendedStatistics=["p50", "tm99"])[0]["ExtendedStatistics"] == {
        "p50": 9,
        "tm99": 9,
    }


def _datum(**given: Any) -> list[dict[str, Any]]:
    return [
        {"MetricName": "m", **({} if set(given) & {"Values", "StatisticValues", "Value"} else {"Value": 1}), **given}
    ]


LONG_AGO, SOON = datetime.now(UTC) - timedelta(days=15), datetime.now(UTC) + timedelta(hours=3)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"Namespace": "AWS/EC2"}, "InvalidParameterValue"),
        ({"Namespace": ":x"}, "ValidationError"),
        ({"Namespace": "n" * 256}, "ValidationError"),
        ({"MetricData": []}, "MissingParameter"),
        ({"MetricData": _datum() * 1001}, "InvalidParameterValue"),
        ({"MetricData": _datum(Value=float("nan"))}, "InvalidParameterValue"),
        ({"MetricData": _datum(Value=float("inf"))}, "InvalidParameterValue"),
        ({"MetricData": _datum(Value=2.0**361)}, "InvalidParameterValue"),
        ({"MetricData": _datum(Values=[1.0] * 151)}, "InvalidParameterValue"),
        ({"MetricData": _datum(Values=[1.0], Counts=[1.0, 2.0])}, "InvalidParameterValue"),
        ({"MetricData": _datum(Values=[1.0], Counts=[0.0])}, "InvalidParameterValue"),
        ({"MetricData": _datum(Value=1, Values=[1.0])}, "InvalidParameterValue"),
        ({"MetricData": [{"MetricName": "m"}]}, "MissingParameter"),
        ({"MetricData": [{"MetricName": "", "Value": 1}]}, "InvalidParameterValue"),
        ({"MetricData": _datum(Timestamp=LONG_AGO)}, "InvalidParameterValue"),
        ({"MetricData": _datum(Timestamp=SOON)}, "InvalidParameterValue"),
        ({"MetricData": _datum(StorageResolution=10)}, "InvalidParameterValue"),
        ({"MetricData": _datum(Unit="Furlongs")}, "ValidationException"),
        ({"MetricData": _datum(Dimensions=[{"Name": "a", "Value": "b"}] * 2)}, "InvalidParameterValue"),
        ({"MetricData": _datum(Dimensions=[{"Name": ":a", "Value": "b"}])}, "InvalidParameterValue"),
        ({"MetricData": _datum(Dimensions=[{"Name": "a", "Value": "ü"}])}, "InvalidParameterValue"),
        (
            {"MetricData": _datum(Dimensions=[{"Name": f"a{n}", "Value": "b"} for n in range(31)])},
            "InvalidParameterValue",
        ),
        (
            {"MetricData": _datum(StatisticValues={"SampleCount": 1, "Sum": 1, "Minimum": 2, "Maximum": 1})},
            "ValidationError",
        ),
        (
            {"MetricData": _datum(StatisticValues={"SampleCount": 0, "Sum": 1, "Minimum": 1, "Maximum": 1})},
            "InvalidParameterValue",
        ),
        ({"EntityMetricData": [{"MetricData": _datum()}]}, "UnsupportedOperation"),
    ],
)
def test_samples_that_are_refused_change_nothing(lab: Lab, params: dict[str, Any], expected: str) -> None:
    given = {"Namespace": "N", "MetricData": _datum(), **params}
    if isinstance(given["MetricData"], list) and len(given["MetricData"]) == 1:
        given["MetricData"] = [*_datum(), *given["MetricData"]]
    assert code(lab.cw.put_metric_data, **given) == expected
    assert lab.front.audit()[-1]["errorCode"] == expected
    assert lab.cw.list_metrics()["Metrics"] == []


def test_errors_have_both_names(lab: Lab) -> None:
    """Smithy "awsQueryCompatible": the code of Query, and the shape that typed clients look for."""
    with pytest.raises(lab.cw.exceptions.InvalidParameterValueException) as caught:
        lab.cw.put_metric_data(Namespace="AWS/EC2", MetricData=_datum())
    error = caught.value.response["Error"]
    assert (error["Code"], error["QueryErrorCode"]) == ("InvalidParameterValue", "InvalidParameterValueException")


def _form(**params: str) -> bytes:
    return "&".join(f"{name}={value}" for name, value in {"Version": "2010-08-01", **params}.items()).encode()


QUERY = {
    "Action": "PutMetricData",
    "Namespace": "N",
    "MetricData.member.1.MetricName": "q",
    "MetricData.member.1.Value": "4",
}


def test_query_json_and_cbor_compressed_or_not(lab: Lab) -> None:
    """boto3 speaks CBOR; older clients Query, some JSON; all compress larger bodies."""
    handle = lab.front.pipeline.handle
    assert handle(signed(_form(**QUERY), service="monitoring")).status == 200
    packed = gzip.compress(_form(**QUERY))
    assert handle(signed(packed, service="monitoring", headers={"Content-Encoding": "gzip"})).status == 200
    body = json.dumps({"Namespace": "N", "MetricData": [{"MetricName": "q", "Value": 5}]}).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData",
        "Content-Encoding": "gzip",
    }  # fmt: skip
    assert handle(signed(gzip.compress(body), service="monitoring", headers=headers)).status == 200
    large = [{"MetricName": "q", "Value": float(n)} for n in range(1000)]
    lab.cw.put_metric_data(Namespace="N", MetricData=large)  # compressed by botocore
    (point,) = lab.statistics("Sum", "SampleCount", name="q")
    assert (point["Sum"], point["SampleCount"]) == (13 + sum(range(1000)), 1003)


JSON_PUT = json.dumps({"Namespace": "N", "MetricData": [{"MetricName": "q", "Value": 5}]}).encode()


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(JSON_PUT + b" " * (5 << 20)), gzip.compress(JSON_PUT + b" " * 999)[:-9]],
    ids=["no gzip", "too large", "cut off"],
)
def test_bodies_that_are_no_sound_gzip_are_refused(lab: Lab, body: bytes) -> None:
    headers = {
        "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData",
        "Content-Encoding": "gzip",
    }  # fmt: skip
    answer = lab.front.pipeline.handle(signed(body, service="monitoring", headers=headers))
    assert answer.status in (400, 413)
    assert lab.cw.list_metrics()["Metrics"] == []


def test_what_is_put_is_not_repeated_in_the_audit_trail(lab: Lab) -> None:
    lab.put(123456.5)
    record = lab.front.audit()[-1]
    assert (record["eventName"], record["readOnly"]) == ("PutMetricData", False)
    assert "123456" not in json.dumps(record["requestParameters"])


def test_a_disk_that_fails_takes_nothing(lab: Lab) -> None:
    lab.events._db.execute("create trigger full before insert on sample begin select raise(abort, 'full'); end")
    assert code(lab.put, 1) == "ServiceUnavailableException"
    assert lab.cw.list_metrics()["Metrics"] == []


# ---------------------------------------------------------------------- reading
def test_datapoints_begin_at_the_start_of_the_request(lab: Lab) -> None:
    lab.put(1, 2, 3, 4, 5, 6, ago=6)
    points = lab.statistics("Sum", period=180, ago=6)
    start = lab.now - timedelta(minutes=6)
    assert [(p["Timestamp"], p["Sum"]) for p in points] == [(start, 6.0), (start + timedelta(minutes=3), 15.0)]
    assert [p["Sum"] for p in lab.statistics("Sum", ago=3)] == [4, 5, 6]


def test_units_are_kept_apart(lab: Lab) -> None:
    lab.put(1, Unit="Bytes")
    lab.put(2, Unit="Seconds")
    assert sorted((p["Unit"], p["Sum"]) for p in lab.statistics("Sum")) == [("Bytes", 1), ("Seconds", 2)]
    assert [p["Sum"] for p in lab.statistics("Sum", Unit="Seconds")] == [2]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"Statistics": None}, "InvalidParameterCombination"),
        ({"ExtendedStatistics": ["p50"]}, "InvalidParameterCombination"),
        ({"Statistics": None, "ExtendedStatistics": ["p101"]}, "InvalidParameterValue"),
        ({"Period": 61}, "InvalidParameterValue"),
        ({"Period": 0}, "ValidationError"),
        ({"StartTime": datetime(2030, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
        ({"StartTime": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidParameterCombination"),
        ({"Statistics": ["Median"]}, "ValidationException"),
    ],
)
def test_statistics_that_are_refused(lab: Lab, params: dict[str, Any], expected: str) -> None:
    given = {
        "Namespace": "N", "MetricName": "m", "StartTime": lab.now - timedelta(hours=1), "EndTime": lab.now, "Period": 60,
        "Statistics": ["Sum"], **params,
    }  # fmt: skip
    assert code(lab.cw.get_metric_statistics, **{k: v for k, v in given.items() if v is not None}) == expected


def test_resolutions_are_kept_as_long_as_cloudwatch_keeps_them(lab: Lab) -> None:
    """3 hours of seconds, 15 days of minutes, 63 days of five minutes, 455 days of hours."""
    metric, now = Metric("N", "m"), int(lab.now.timestamp())
    where: dict[str, Any] = {"account": ACCOUNT, "region": "us-east-1", "metric": metric}
    for days in (0.01, 1, 20, 100, 400):
        lab.events.metrics.put([of_values([(1.0, 1)], at=now - int(days * 86400), high=True, **where)])

    def found(period: int, days: float) -> int:
        start = lab.now - timedelta(days=days)
        points = lab.cw.get_metric_statistics(
            Namespace="N", MetricName="m", StartTime=start, EndTime=start + timedelta(seconds=period * 1400),
            Period=period, Statistics=["Sum"],
        )  # fmt: skip
        return len(points["Datapoints"])

    assert [found(60, days) for days in (0.02, 1.01, 20.01, 100.01)] == [1, 1, 0, 0]
    assert [found(300, days) for days in (20.01, 100.01)] == [1, 0]
    assert [found(3600, days) for days in (100.01, 400.01)] == [1, 1]
    assert (found(1, 0.0101), found(30, 1.0001)) == (1, 0)
    lab.events.metrics.forget(now + 100)
    (series,) = lab.events.metrics.series(ACCOUNT, "us-east-1")
    kept = [len(lab.events.metrics.points(series.id, tier, 0, 1 << 40)) for tier in RETENTION]
    assert kept == [1, 2, 3, 5]
    assert len(lab.events.metrics.values(series.id, 3600, 0, 1 << 40)) == 5
    lab.events.metrics.forget(now + 500 * 86400)
    assert lab.events.metrics.series(ACCOUNT, "us-east-1") == []


def test_standard_resolution_has_no_seconds(lab: Lab) -> None:
    lab.put(1)
    lab.put(2, name="high", StorageResolution=1)
    assert lab.statistics("Sum", period=1, ago=10) == []
    assert [p["Sum"] for p in lab.statistics("Sum", period=1, ago=10, name="high")] == [2]
    assert [p["Sum"] for p in lab.statistics("Sum", ago=10, name="high")] == [2]


def test_metrics_are_listed_by_name_and_dimensions(lab: Lab) -> None:
    for vpc in ("vpc-1", "vpc-2"):
        lab.put(1, name="usage", Dimensions=[{"Name": "Vpc", "Value": vpc}, {"Name": "B", "Value": "x"}])
    lab.put(1)
    named = lab.cw.list_metrics(Namespace="N", MetricName="usage", Dimensions=[{"Name": "Vpc", "Value": "vpc-2"}])
    assert named["Metrics"] == [
        {
            "Namespace": "N",
            "MetricName": "usage",
            "Dimensions": [{"Name": "B", "Value": "x"}, {"Name": "Vpc", "Value": "vpc-2"}],
        }
    ]
    assert len(lab.cw.list_metrics(Dimensions=[{"Name": "Vpc"}])["Metrics"]) == 2
    assert lab.front.client("cloudwatch", key=OTHER_KEY).list_metrics()["Metrics"] == []
    assert lab.front.client("cloudwatch", region="eu-west-1").list_metrics()["Metrics"] == []
    now = int(lab.now.timestamp())
    for name, days in (("yesterday", 1), ("long ago", 15)):
        lab.events.metrics.put(
            [
                of_values(
                    [(1.0, 1)], account=ACCOUNT, region="us-east-1", metric=Metric("N", name), at=now - days * 86400
                )
            ]
        )
    listed = {m["MetricName"] for m in lab.cw.list_metrics()["Metrics"]}
    assert listed == {"m", "usage", "yesterday"}
    assert "yesterday" not in {m["MetricName"] for m in lab.cw.list_metrics(RecentlyActive="PT3H")["Metrics"]}


def test_metrics_are_listed_in_pages(lab: Lab) -> None:
    for start in range(0, 1100, 1000):
        count = min(1000, 1100 - start)
        lab.cw.put_metric_data(
            Namespace="N", MetricData=[{"MetricName": f"m{start + n:04d}", "Value": 1} for n in range(count)]
        )
    pages = list(lab.cw.get_paginator("list_metrics").paginate(Namespace="N"))
    assert [len(page["Metrics"]) for page in pages] == [500, 500, 100]
    assert len({m["MetricName"] for page in pages for m in page["Metrics"]}) == 1100
    assert code(lab.cw.list_metrics, NextToken="x") == "InvalidParameterValue"
    assert code(lab.cw.list_metrics, Namespace="O", NextToken=pages[0]["NextToken"]) == "InvalidParameterValue"


# ---------------------------------------------------------------------- GetMetricData
def _query(lab: Lab, *queries: dict[str, Any], ago: int = 10, **more: Any) -> Any:
    given = {"StartTime": lab.now - timedelta(minutes=ago), "EndTime": lab.now + timedelta(minutes=1), **more}
    return lab.cw.get_metric_data(MetricDataQueries=list(queries), **given)


def test_metrics_and_expressions_over_them(lab: Lab) -> None:
    lab.put(10, 20, 30, ago=3)
    lab.put(1, 0, 3, ago=3, name="errors")
    reply = _query(
        lab, stat("m1", ReturnData=False), stat("m2", "errors", Label="bad"),
        {"Id": "rate", "Expression": "100 * m2 / m1", "Label": "percent"}, {"Id": "e2", "Expression": "rate + SUM(m1)"},
        {"Id": "all", "Expression": "METRICS()"}, ScanBy="TimestampAscending",
    )  # fmt: skip
    found = [(r["Id"], r["Label"], r["Values"]) for r in reply["MetricDataResults"]]
    assert found == [
        ("m2", "bad", [1, 0, 3]), ("rate", "percent", [10, 0, 10]), ("e2", "e2", [70, 60, 70]), ("all", "all", [10, 20, 30]),
        ("all", "all", [1, 0, 3]),
    ]  # fmt: skip
    assert {r["StatusCode"] for r in reply["MetricDataResults"]} == {"Complete"}
    newest = _query(lab, stat("m1"))["MetricDataResults"][0]
    assert newest["Values"] == [30, 20, 10]
    assert newest["Timestamps"] == [lab.now - timedelta(minutes=n) for n in (1, 2, 3)]


def test_data_in_pages_is_whole_and_in_order(lab: Lab) -> None:
    lab.put(*range(1, 11), ago=10)
    lab.put(*range(11, 16), ago=5, name="n")
    pages = lab.cw.get_paginator("get_metric_data").paginate(
        MetricDataQueries=[stat("a"), stat("b", "n")], StartTime=lab.now - timedelta(minutes=10), EndTime=lab.now,
        MaxDatapoints=4,
    )  # fmt: skip
    found: dict[str, list[float]] = {"a": [], "b": []}
    for page in pages:
        assert sum(len(r["Values"]) for r in page["MetricDataResults"]) <= 4
        for result in page["MetricDataResults"]:
            found[result["Id"]] += result["Values"]
    assert found == {"a": list(range(10, 0, -1)), "b": [15, 14, 13, 12, 11]}


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        ([], "ValidationError"),
        ([stat("M1")], "ValidationError"),
        ([stat("m1"), stat("m1")], "ValidationError"),
        ([stat("m1", Expression="m1")], "ValidationError"),
        ([{"Id": "e"}], "ValidationError"),
        ([{"Id": "e", "Expression": "m9"}], "ValidationError"),
        ([{"Id": "e", "Expression": "f"}, {"Id": "f", "Expression": "e"}], "ValidationError"),
        ([stat("m1"), {"Id": "e", "Expression": "SUM(m1)"}], "ValidationError"),
        ([{"Id": "e", "Expression": "SEARCH('{N}', 'Sum')"}], "UnsupportedOperation"),
        ([{"Id": "e", "Expression": "ANOMALY_DETECTION_BAND(m1)"}], "UnsupportedOperation"),
        ([{"Id": "e", "Expression": 'SELECT AVG(m) FROM "N"'}], "UnsupportedOperation"),
        ([stat("m1", stat="p200")], "ValidationError"),
        ([stat("m1", AccountId="210987654321")], "UnsupportedOperation"),
        ([stat(f"m{n}") for n in range(501)], "ValidationError"),
    ],
)
def test_queries_that_are_refused(lab: Lab, queries: list[dict[str, Any]], expected: str) -> None:
    assert code(_query, lab, *queries) == expected


# ---------------------------------------------------------------------- network address usage
def _attached(lab: Lab, **interfaces: int) -> None:
    """Interfaces of instances in VPCs, with so many addresses."""
    for number, (vpc, count) in enumerate(interfaces.items()):
        eni = NetworkInterface(
            id=f"eni-{number}", owner_id=ACCOUNT, region="us-east-1", vpc_id=vpc.replace("_", "-"), subnet_id="subnet-1",
            availability_zone="a", number=number + 1, mac="", addresses=tuple(IPv4Address(f"10.9.0.{n + 4}") for n in range(count)),
            attachment=Attachment(id=f"a-{number}", instance_id="i-1", device_index=0, attach_time=""),
        )  # fmt: skip
        lab.front.store.write(lambda _, eni=eni: Commit(change=put(NETWORK_INTERFACE, eni)))  # type: ignore[misc]


def test_network_address_usage_of_vpcs_that_ask_for_it(lab: Lab) -> None:
    """MON-08: in AWS/EC2, and in AWS/Usage as ResourceCount, of each VPC and of all of them."""
    ec2 = lab.front.client("ec2")
    vpcs = [ec2.create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in range(3)]
    _attached(lab, **{vpc.replace("-", "_"): count for vpc, count in zip(vpcs, (4, 1, 7), strict=True)})
    lab.evaluator.run()
    assert lab.cw.list_metrics()["Metrics"] == []
    for vpc in vpcs[:2]:
        ec2.modify_vpc_attribute(VpcId=vpc, EnableNetworkAddressUsageMetrics={"Value": True})
    lab.pass_(minutes=1)
    lab.evaluator.run()

    def point(namespace: str, name: str, dimensions: dict[str, str]) -> tuple[float, float, str]:
        (found,) = lab.cw.get_metric_statistics(
            Namespace=namespace, MetricName=name, Dimensions=[{"Name": n, "Value": v} for n, v in dimensions.items()],
            StartTime=lab.now - timedelta(minutes=5), EndTime=lab.now + timedelta(minutes=5), Period=60,
            Statistics=["Maximum", "Sum"],
        )["Datapoints"]  # fmt: skip
        return found["Maximum"], found["Sum"], found["Unit"]

    for name in ("NetworkAddressUsage", "NetworkAddressUsagePeered"):
        of_usage = {"Service": "EC2", "Type": "Resource", "Class": name}
        for vpc, units in zip(vpcs[:2], (4, 1), strict=True):
            assert point("AWS/EC2", name, {"Per-VPC Metrics": vpc}) == (units, units, "Count")
            assert point("AWS/Usage", "ResourceCount", {**of_usage, "Resource": vpc}) == (units, units, "Count")
        assert point("AWS/Usage", "ResourceCount", {**of_usage, "Resource": "VPC"}) == (4, 5, "Count")
    assert len(lab.cw.list_metrics()["Metrics"]) == 2 * (2 + 2 + 1)


# ---------------------------------------------------------------------- permissions
def _allow(lab: Lab, *statements: dict[str, Any]) -> Any:
    """A user with a policy of these statements."""
    iam = lab.front.client("iam")
    iam.create_user(UserName="bob")
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
    iam.put_user_policy(UserName="bob", PolicyName="p", PolicyDocument=json.dumps(document))
    made = iam.create_access_key(UserName="bob")["AccessKey"]
    return lab.front.client("cloudwatch", key=made["AccessKeyId"], secret=made["SecretAccessKey"])


def test_who_may_put_into_which_namespace(lab: Lab) -> None:
    condition = {"StringEquals": {"cloudwatch:namespace": "Mine"}}
    bob = _allow(lab, {"Action": "cloudwatch:PutMetricData", "Resource": "*", "Condition": condition})
    bob.put_metric_data(Namespace="Mine", MetricData=_datum())
    assert code(bob.put_metric_data, Namespace="Other", MetricData=_datum()) == "AccessDenied"
    assert code(bob.list_metrics) == "AccessDenied"


def test_who_may_do_what_to_which_alarm(lab: Lab) -> None:
    lab.alarm("web", Tags=[{"Key": "team", "Value": "web"}])
    lab.alarm("db")
    bob = _allow(
        lab,
        {"Action": ["cloudwatch:DescribeAlarms", "cloudwatch:SetAlarmState"], "Resource": f"{ARN}web"},
        {
            "Action": "cloudwatch:DeleteAlarms", "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/team": "web"}},
        },
        {
            "Action": "cloudwatch:PutMetricAlarm", "Resource": "*",
            "Condition": {"ForAllValues:StringEquals": {"cloudwatch:AlarmActions": [TOPIC]}},
        },
    )  # fmt: skip
    assert len(bob.describe_alarms(AlarmNames=["web"])["MetricAlarms"]) == 1
    assert code(bob.describe_alarms) == "AccessDenied"
    assert code(bob.describe_alarms, AlarmNames=["web", "db"]) == "AccessDenied"
    bob.set_alarm_state(AlarmName="web", StateValue="OK", StateReason="x")
    assert code(bob.set_alarm_state, AlarmName="db", StateValue="OK", StateReason="x") == "AccessDenied"
    assert code(bob.delete_alarms, AlarmNames=["web", "db"]) == "AccessDenied"
    bob.delete_alarms(AlarmNames=["web"])
    given = {
        "AlarmName": "new", "MetricName": "m", "Namespace": "N", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
        "Threshold": 1.0, "ComparisonOperator": "LessThanThreshold",
    }  # fmt: skip
    bob.put_metric_alarm(AlarmActions=[TOPIC], **given)
    assert code(bob.put_metric_alarm, AlarmActions=[f"{TOPIC}2"], **given) == "AccessDenied"


def test_a_user_without_policies_may_nothing(lab: Lab) -> None:
    cw = lab.front.client("cloudwatch", key=USER_KEY)
    for action in sorted(action for service, action in OPERATIONS if service == "monitoring"):
        minimal = {"Namespace": "N", "MetricData": _datum()} if action == "PutMetricData" else _minimal(action)
        assert code(cw._make_api_call, action, minimal) == "AccessDenied", action


def _minimal(action: str) -> dict[str, Any]:
    names = {"AlarmNames": ["a"]}
    times = {"StartTime": LONG_AGO, "EndTime": SOON}
    given: dict[str, dict[str, Any]] = {
        "DeleteAlarms": names, "EnableAlarmActions": names, "DisableAlarmActions": names,
        "DescribeAlarmsForMetric": {"Namespace": "N", "MetricName": "m"},
        "GetMetricData": {"MetricDataQueries": [stat("m1")], **times},
        "GetMetricStatistics": {"Namespace": "N", "MetricName": "m", "Period": 60, "Statistics": ["Sum"], **times},
        "ListTagsForResource": {"ResourceARN": f"{ARN}a"}, "PutMetricAlarm": {"AlarmName": "a", "EvaluationPeriods": 1},
        "PutCompositeAlarm": {"AlarmName": "a", "AlarmRule": "TRUE"},
        "SetAlarmState": {"AlarmName": "a", "StateValue": "OK", "StateReason": "x"},
        "TagResource": {"ResourceARN": f"{ARN}a", "Tags": []}, "UntagResource": {"ResourceARN": f"{ARN}a", "TagKeys": []},
    }  # fmt: skip
    return given.get(action, {})


def test_the_bound_of_a_request_is_cloudwatchs(lab: Lab) -> None:
    assert (data_operation.MAX_DATA, data_operation.MAX_VALUES) == (1000, 150)
