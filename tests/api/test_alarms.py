"""Alarms of CloudWatch over the wire, as boto3 drives them (spec section 8: MON-04…08)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ringfence.api.ops.cloudwatch
import ringfence.api.ops.logs  # noqa: F401  fills the registry
from ringfence.api.ops.cloudwatch import history
from ringfence.model.kinds import ALARM_EVENT
from tests.api.cloudwatch_lab import ARN, TOPIC, Lab, code, opened, stat
from tests.api.front import OTHER_KEY


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield from opened(tmp_path)


# ---------------------------------------------------------------------- alarms
def test_bytes_in_a_quarter_of_an_hour_alarm_once(lab: Lab) -> None:
    """MON-04: Sum ≥ 5,000,000 over 15 minutes fires once."""
    lab.alarm(Period=900, Threshold=5_000_000, AlarmActions=[TOPIC])
    lab.put(4_000_000, ago=14)
    lab.evaluator.run()
    assert lab.state() == "OK"
    lab.put(1_000_000, ago=1)
    lab.pass_(minutes=1)
    for _ in range(3):
        lab.evaluator.run()
        lab.pass_(minutes=1)
    assert lab.history("StateUpdate") == [
        "Alarm updated from INSUFFICIENT_DATA to OK",
        "Alarm updated from OK to ALARM",
        "Alarm updated from ALARM to OK",  # the first sum has left the window, which moves minute by minute
    ]
    assert lab.history("Action") == [f"Failed to execute action {TOPIC}"]


def test_three_periods_in_a_row(lab: Lab) -> None:
    """MON-05: Maximum > 0 for 3 consecutive 5-minute periods fires."""
    lab.alarm(
        Period=300, Statistic="Maximum", Threshold=0, ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=3
    )
    for ago in (24, 19, 14, 9):
        lab.put(0 if ago > 14 else 1, ago=ago)
    lab.evaluator.run()
    assert lab.state() == "OK"
    lab.put(1, ago=4)
    lab.pass_(minutes=1)
    lab.evaluator.run()
    assert lab.state() == "ALARM"
    (found,) = lab.cw.describe_alarms()["MetricAlarms"]
    assert found["StateReason"].startswith("Threshold Crossed: 3 datapoints [1.0 (")
    assert found["StateReason"].endswith("were greater than the threshold (0.0).")
    assert json.loads(found["StateReasonData"])["recentDatapoints"] == [1, 1, 1]


def test_rejected_ssh_in_a_log_group_alarms(lab: Lab) -> None:
    """MON-06: a metric filter on a flow-log group, and Sum ≥ 10 in an hour."""
    logs = lab.front.client("logs")
    logs.create_log_group(logGroupName="flows")
    logs.create_log_stream(logGroupName="flows", logStreamName="eni")
    pattern = (
        '[version, account, eni, source, destination, srcport, destport="22", protocol="6", packets, bytes, '
        'windowstart, windowend, action="REJECT", flowlogstatus]'
    )
    made = {"metricName": "RejectedSSHCount", "metricNamespace": "LogMetrics", "metricValue": "1"}
    logs.put_metric_filter(
        logGroupName="flows", filterName="f", filterPattern=pattern, metricTransformations=[made]
    )  # fmt: skip
    lab.alarm(MetricName="RejectedSSHCount", Namespace="LogMetrics", Period=3600)
    line = "2 123456789010 eni-1 10.0.2.15 172.31.16.21 20641 22 6 20 40 1418530010 1418530070 REJECT OK"

    def say(count: int) -> None:
        at = int(lab.front.clock.now().timestamp() * 1000) - 120_000
        logs.put_log_events(
            logGroupName="flows", logStreamName="eni", logEvents=[{"timestamp": at, "message": line}] * count
        )

    say(9)
    lab.evaluator.run()
    assert lab.state() == "OK"
    say(1)
    lab.pass_(minutes=1)
    lab.evaluator.run()
    assert lab.state() == "ALARM"


def test_an_alarm_on_an_expression(lab: Lab) -> None:
    lab.put(50, ago=1)
    lab.put(10, ago=1, name="errors")
    lab.alarm(
        MetricName=None, Namespace=None, Statistic=None, Period=None,
        Metrics=[stat("m1", ReturnData=False), stat("m2", "errors", ReturnData=False), {"Id": "e", "Expression": "m2 / m1 * 100"}],
    )  # fmt: skip
    lab.evaluator.run()
    assert lab.state() == "ALARM"
    (found,) = lab.cw.describe_alarms()["MetricAlarms"]
    assert [query["Id"] for query in found["Metrics"]] == ["m1", "m2", "e"]
    assert "Period" not in found


@pytest.mark.parametrize(
    ("missing", "state"),
    [(None, "INSUFFICIENT_DATA"), ("breaching", "ALARM"), ("notBreaching", "OK"), ("ignore", "INSUFFICIENT_DATA")],
)
def test_what_is_missing_is_treated_as_told(lab: Lab, missing: str | None, state: str) -> None:
    lab.alarm(TreatMissingData=missing, EvaluationPeriods=2)
    lab.evaluator.run()
    assert lab.state() == state


def test_high_resolution_alarms_are_evaluated_every_ten_seconds(lab: Lab) -> None:
    lab.alarm(Period=10)
    now = lab.front.clock.now()
    lab.pass_(seconds=12 - now.timestamp() % 10)
    at = lab.front.clock.now()
    lab.cw.put_metric_data(
        Namespace="N",
        MetricData=[{"MetricName": "m", "Value": 11, "StorageResolution": 1, "Timestamp": at - timedelta(seconds=5)}],
    )
    lab.evaluator.run()
    assert lab.state() == "ALARM"


@pytest.mark.parametrize(
    ("low", "samples", "state"),
    [("ignore", 99, "INSUFFICIENT_DATA"), ("ignore", 100, "ALARM"), ("evaluate", 3, "ALARM"), (None, 3, "ALARM")],
)
def test_percentiles_of_too_few_samples(lab: Lab, low: str | None, samples: int, state: str) -> None:
    """Of p90 a hundred are enough."""
    lab.alarm(Statistic=None, ExtendedStatistic="p90", EvaluateLowSampleCountPercentile=low)
    data = {
        "MetricName": "m",
        "Values": [50.0],
        "Counts": [float(samples)],
        "Timestamp": lab.now - timedelta(minutes=1),
    }
    lab.cw.put_metric_data(Namespace="N", MetricData=[data])
    lab.evaluator.run()
    assert lab.state() == state


def test_a_state_that_is_set_stays_until_the_next_evaluation(lab: Lab) -> None:
    lab.put(1, ago=1)
    lab.alarm(OKActions=[TOPIC], AlarmActions=[TOPIC], ActionsEnabled=False)
    lab.cw.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="a test", StateReasonData='{"a": 1}')
    assert lab.state() == "ALARM"
    assert lab.history("Action") == []
    lab.cw.enable_alarm_actions(AlarmNames=["a", "none"])
    lab.evaluator.run()
    assert lab.state() == "OK"
    assert len(lab.history("Action")) == 1
    lab.cw.disable_alarm_actions(AlarmNames=["a"])
    assert lab.cw.describe_alarms()["MetricAlarms"][0]["ActionsEnabled"] is False
    assert code(lab.cw.set_alarm_state, AlarmName="b", StateValue="OK", StateReason="x") == "ResourceNotFound"
    assert code(
        lab.cw.set_alarm_state, AlarmName="a", StateValue="OK", StateReason="x", StateReasonData="{"
    ) == ("InvalidFormat")  # fmt: skip


def test_alarms_are_described_replaced_and_deleted(lab: Lab) -> None:
    for name in ("web-b", "web-a", "db"):
        lab.alarm(name, Tags=[{"Key": "team", "Value": name}], Dimensions=[{"Name": "d", "Value": name}])
    names = [a["AlarmName"] for a in lab.cw.describe_alarms()["MetricAlarms"]]
    assert names == ["db", "web-a", "web-b"]
    assert len(lab.cw.describe_alarms(AlarmNamePrefix="web")["MetricAlarms"]) == 2
    assert lab.cw.describe_alarms(StateValue="OK")["MetricAlarms"] == []
    pages = lab.cw.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["MetricAlarms"]) for page in pages] == [2, 1]
    one = {"Namespace": "N", "MetricName": "m", "Dimensions": [{"Name": "d", "Value": "db"}]}
    assert [a["AlarmName"] for a in lab.cw.describe_alarms_for_metric(**one)["MetricAlarms"]] == ["db"]
    lab.cw.set_alarm_state(AlarmName="db", StateValue="ALARM", StateReason="x")
    lab.alarm("db", Threshold=99, Tags=[{"Key": "other", "Value": "x"}])
    (found,) = lab.cw.describe_alarms(AlarmNames=["db"])["MetricAlarms"]
    assert (found["Threshold"], found["StateValue"], found["AlarmArn"]) == (99, "ALARM", f"{ARN}db")
    assert lab.cw.list_tags_for_resource(ResourceARN=f"{ARN}db")["Tags"] == [{"Key": "team", "Value": "db"}]
    assert code(lab.cw.delete_alarms, AlarmNames=["db", "none"]) == "ResourceNotFound"
    lab.cw.delete_alarms(AlarmNames=["db", "web-a"])
    assert [a["AlarmName"] for a in lab.cw.describe_alarms()["MetricAlarms"]] == ["web-b"]
    assert lab.history("ConfigurationUpdate", "db") == [
        'Alarm "db" created', 'Alarm "db" updated', 'Alarm "db" deleted'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"Threshold": None}, "MissingParameter"), ({"EvaluationPeriods": None}, "MissingParameter"),
        ({"MetricName": None}, "MissingParameter"), ({"Statistic": None}, "InvalidParameterCombination"),
        ({"ExtendedStatistic": "p99"}, "InvalidParameterCombination"),
        ({"Statistic": None, "ExtendedStatistic": "p999"}, "InvalidParameterValue"),
        ({"DatapointsToAlarm": 2}, "ValidationError"), ({"Period": 61}, "ValidationError"),
        ({"Period": 5}, "ValidationError"), ({"Period": 60, "EvaluationPeriods": 1441}, "ValidationError"),
        ({"Period": 3600, "EvaluationPeriods": 169}, "ValidationError"), ({"TreatMissingData": "good"}, "ValidationError"),
        ({"AlarmActions": ["nowhere"]}, "ValidationError"), ({"AlarmActions": [TOPIC] * 6}, "ValidationError"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "UnsupportedOperation"),
        ({"ThresholdMetricId": "x"}, "UnsupportedOperation"), ({"Metrics": [stat("m1")]}, "ValidationError"),
        ({"Threshold": float("nan")}, "InvalidParameterValue"), ({"EvaluationPeriods": 0}, "ValidationError"),
        ({"EvaluateLowSampleCountPercentile": "evaluate"}, "InvalidParameterCombination"),
        ({"Tags": [{"Key": "aws:x", "Value": ""}]}, "InvalidParameterValue"),
        ({"EvaluationCriteria": {"PromQLCriteria": {"Query": "up"}}}, "UnsupportedOperation"),
    ],
)  # fmt: skip
def test_alarms_that_are_refused(lab: Lab, params: dict[str, Any], expected: str) -> None:
    assert code(lab.alarm, **params) == expected
    assert lab.cw.describe_alarms()["MetricAlarms"] == []


def test_two_returned_lines_are_no_alarm(lab: Lab) -> None:
    none = {"MetricName": None, "Namespace": None, "Statistic": None, "Period": None}
    assert code(lab.alarm, Metrics=[stat("m1"), stat("m2")], **none) == "ValidationError"
    assert code(lab.alarm, Metrics=[stat("m1", ReturnData=False)], **none) == "ValidationError"


def test_history_is_kept_for_a_while(lab: Lab) -> None:
    lab.alarm()
    for n in range(6):
        lab.cw.set_alarm_state(AlarmName="a", StateValue=("ALARM", "OK")[n % 2], StateReason="x")
    pages = lab.cw.get_paginator("describe_alarm_history").paginate(PaginationConfig={"PageSize": 3})
    assert [len(page["AlarmHistoryItems"]) for page in pages] == [3, 3, 1]
    lab.pass_(days=31)
    lab.evaluator.run()
    left = lab.front.store.world.all(ALARM_EVENT)
    assert [event.summary for event in left] == ["Alarm updated from OK to INSUFFICIENT_DATA"]


def test_history_has_a_bound(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_ITEMS", 3)
    lab.alarm()
    for n in range(6):
        lab.cw.set_alarm_state(AlarmName="a", StateValue=("ALARM", "OK")[n % 2], StateReason="x")
    change = history.forgotten(lab.front.store.world, lab.now.timestamp())
    left = lab.front.store.world.apply(change).all(ALARM_EVENT)
    assert [event.summary for event in left] == [
        "Alarm updated from OK to ALARM" if n % 2 else "Alarm updated from ALARM to OK" for n in (0, 1, 0)
    ]


def test_tags_of_alarms(lab: Lab) -> None:
    lab.alarm()
    lab.cw.tag_resource(ResourceARN=f"{ARN}a", Tags=[{"Key": "k", "Value": "v"}, {"Key": "l", "Value": ""}])
    lab.cw.untag_resource(ResourceARN=f"{ARN}a", TagKeys=["k"])
    assert lab.cw.list_tags_for_resource(ResourceARN=f"{ARN}a")["Tags"] == [{"Key": "l", "Value": ""}]
    many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
    assert code(lab.cw.tag_resource, ResourceARN=f"{ARN}a", Tags=many) == "InvalidParameterValue"
    assert code(lab.cw.list_tags_for_resource, ResourceARN=f"{ARN}b") == "ResourceNotFoundException"
    assert code(lab.cw.list_tags_for_resource, ResourceARN="arn:aws:sns:x") == "InvalidParameterValue"
    other = lab.front.client("cloudwatch", key=OTHER_KEY)
    assert code(other.list_tags_for_resource, ResourceARN=f"{ARN}a") == "ResourceNotFoundException"


# ---------------------------------------------------------------------- alarms over alarms
def _composite(lab: Lab, name: str, rule: str, **more: Any) -> None:
    lab.cw.put_composite_alarm(AlarmName=name, AlarmRule=rule, **more)


def _composites(lab: Lab, *names: str) -> dict[str, str]:
    shown = lab.cw.describe_alarms(AlarmTypes=["CompositeAlarm"], **({"AlarmNames": list(names)} if names else {}))
    assert shown["MetricAlarms"] == []
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in shown["CompositeAlarms"]}


def _set(lab: Lab, name: str, state: str) -> None:
    lab.cw.set_alarm_state(AlarmName=name, StateValue=state, StateReason="x")


def test_composite_alarms_follow_their_rules(lab: Lab) -> None:
    """PutCompositeAlarm: those they rest on come first, whatever the order of names; each change is in their history, and what it
    should call as well."""
    lab.alarm("cpu")
    lab.alarm("disk")
    _composite(lab, "z-both", f'ALARM(cpu) AND ALARM("{ARN}disk")', AlarmActions=[TOPIC])
    _composite(lab, "a-over", "OK(z-both) OR INSUFFICIENT_DATA(z-both)")
    _composite(lab, "b-late", "NOT ALARM(a-over)")
    assert _composites(lab) == dict.fromkeys(["a-over", "b-late", "z-both"], "INSUFFICIENT_DATA")
    lab.evaluator.run()
    assert _composites(lab) == {"a-over": "ALARM", "b-late": "OK", "z-both": "OK"}
    _set(lab, "cpu", "ALARM")
    lab.pass_(seconds=1)
    _set(lab, "disk", "ALARM")
    lab.evaluator.run()
    assert _composites(lab) == {"a-over": "OK", "b-late": "ALARM", "z-both": "ALARM"}
    (both,) = lab.cw.describe_alarms(AlarmNames=["z-both"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert both["StateReason"].startswith(f"{ARN}disk transitioned to ALARM at ")
    triggers = json.loads(both["StateReasonData"])["triggeringAlarms"]
    assert [(each["arn"], each["state"]["value"]) for each in triggers] == [
        (f"{ARN}cpu", "ALARM"),
        (f"{ARN}disk", "ALARM"),
    ]
    items = lab.cw.describe_alarm_history(
        AlarmTypes=["CompositeAlarm"], AlarmName="z-both", ScanBy="TimestampAscending"
    )
    assert [
        (each["AlarmType"], each["HistoryItemType"], each["HistorySummary"]) for each in items["AlarmHistoryItems"]
    ] == [
        ("CompositeAlarm", "ConfigurationUpdate", 'Alarm "z-both" created'),
        ("CompositeAlarm", "StateUpdate", "Alarm updated from INSUFFICIENT_DATA to OK"),
        ("CompositeAlarm", "StateUpdate", "Alarm updated from OK to ALARM"),
        ("CompositeAlarm", "Action", f"Failed to execute action {TOPIC}"),
    ]
    assert lab.cw.describe_alarm_history(AlarmName="z-both")["AlarmHistoryItems"] == []  # metric alarms unless asked


def test_relatives_tags_and_actions_of_composite_alarms(lab: Lab) -> None:
    lab.alarm("cpu")
    lab.alarm("disk")
    _composite(lab, "one", "ALARM(cpu) OR ALARM(disk)", Tags=[{"Key": "team", "Value": "web"}])
    _composite(lab, "two", "ALARM(one) AND NOT OK(cpu)")
    of_two = lab.cw.describe_alarms(ChildrenOfAlarmName="two")
    assert [sorted(each) for each in (*of_two["MetricAlarms"], *of_two["CompositeAlarms"])] == [
        ["AlarmArn", "AlarmName", "StateUpdatedTimestamp", "StateValue"]
    ] * 2
    above = lab.cw.describe_alarms(ParentsOfAlarmName="cpu")["CompositeAlarms"]
    assert above == [{"AlarmName": name, "AlarmArn": f"{ARN}{name}"} for name in ("one", "two")]
    assert code(lab.cw.describe_alarms, ParentsOfAlarmName="cpu", StateValue="OK") == "ValidationError"
    assert lab.cw.list_tags_for_resource(ResourceARN=f"{ARN}one")["Tags"] == [{"Key": "team", "Value": "web"}]
    lab.cw.tag_resource(ResourceARN=f"{ARN}one", Tags=[{"Key": "team", "Value": "db"}])
    lab.cw.disable_alarm_actions(AlarmNames=["one"])
    _composite(lab, "one", "TRUE")
    lab.evaluator.run()
    (one,) = lab.cw.describe_alarms(AlarmNames=["one"], AlarmTypes=["CompositeAlarm", "MetricAlarm"])["CompositeAlarms"]
    assert (one["AlarmRule"], one["StateValue"], one["StateReason"]) == ("TRUE", "ALARM", "The alarm rule is TRUE")
    assert lab.cw.list_tags_for_resource(ResourceARN=f"{ARN}one")["Tags"] == [{"Key": "team", "Value": "db"}]
    assert [each["AlarmName"] for each in lab.cw.describe_alarms()["MetricAlarms"]] == ["cpu", "disk"]


def test_what_a_composite_alarm_rests_on_stays(lab: Lab) -> None:
    """AWS: a cycle may be made. Nothing in it, or over it, is evaluated, and nothing of it goes before a rule breaks it."""
    lab.alarm("cpu")
    _composite(lab, "a", "ALARM(cpu)")
    _composite(lab, "b", "ALARM(a)")
    _composite(lab, "c", "ALARM(b)")
    assert code(lab.cw.delete_alarms, AlarmNames=["cpu"]) == "ValidationError"
    assert code(lab.cw.delete_alarms, AlarmNames=["a", "b"]) == "ValidationError"
    _composite(lab, "a", "OK(cpu) OR ALARM(b)")
    _set(lab, "cpu", "OK")
    lab.evaluator.run()
    assert _composites(lab) == dict.fromkeys("abc", "INSUFFICIENT_DATA")
    assert (
        code(lab.cw.delete_alarms, AlarmNames=["a"])
        == code(lab.cw.delete_alarms, AlarmNames=["b"])
        == "ValidationError"
    )
    _composite(lab, "a", "FALSE")
    lab.evaluator.run()
    assert _composites(lab) == dict.fromkeys("abc", "OK")
    for name in ("c", "b", "a", "cpu"):
        lab.cw.delete_alarms(AlarmNames=[name])
    assert _composites(lab) == {}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"AlarmRule": "ALARM(nowhere)"}, "ValidationError"),
        ({"AlarmRule": "ALARM(new)"}, "ValidationError"),  # itself
        ({"AlarmRule": "ALARM(arn:aws:cloudwatch:us-east-1:210987654321:alarm:cpu)"}, "ValidationError"),
        ({"AlarmRule": "ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:cpu)"}, "ValidationError"),
        ({"AlarmRule": "ALARM(cpu"}, "ValidationError"),
        ({"AlarmRule": "alarm(cpu)"}, "ValidationError"),
        ({"AlarmRule": "ALARM(cpu) ALARM(cpu)"}, "ValidationError"),
        ({"AlarmRule": "ALARM()"}, "ValidationError"),
        ({"AlarmName": "cpu"}, "ValidationError"),  # a metric alarm
        ({"AlarmActions": ["arn:aws:automate:us-east-1:ec2:stop"]}, "ValidationError"),
        ({"ActionsSuppressor": "cpu"}, "ValidationError"),
        ({"ActionsSuppressor": "cpu", "ActionsSuppressorWaitPeriod": 1}, "ValidationError"),
        ({"ActionsSuppressorExtensionPeriod": 1}, "ValidationError"),
        ({"ActionsSuppressor": "no", "ActionsSuppressorWaitPeriod": 1, "ActionsSuppressorExtensionPeriod": 1}, "ValidationError"),
        ({"ActionsSuppressor": "new", "ActionsSuppressorWaitPeriod": 1, "ActionsSuppressorExtensionPeriod": 1}, "ValidationError"),
        ({"ActionsSuppressor": "cpu", "ActionsSuppressorWaitPeriod": -1, "ActionsSuppressorExtensionPeriod": 1}, "ValidationError"),
        ({"ActionsSuppressor": "cpu", "ActionsSuppressorWaitPeriod": 1, "ActionsSuppressorExtensionPeriod": 86401}, "ValidationError"),
    ],
)  # fmt: skip
def test_composite_alarms_that_are_refused(lab: Lab, params: dict[str, Any], expected: str) -> None:
    lab.alarm("cpu")
    given = {"AlarmName": "new", "AlarmRule": "ALARM(cpu)", **params}
    assert code(lab.cw.put_composite_alarm, **given) == expected
    assert _composites(lab) == {}
    _composite(lab, "taken", "TRUE")
    assert code(lab.alarm, "taken") == "ValidationError"
