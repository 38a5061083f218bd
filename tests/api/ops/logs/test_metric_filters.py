"""Metric filters over the wire, and the datapoints they make (MON-07)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.store.metrics import Metric, Point
from tests.api.front import ACCOUNT
from tests.api.ops.logs.lab import FIELDS, FLOW, Lab, code

REJECTED_SSH = (
    '[version, account, eni, source, destination, srcport, destport="22", protocol="6", packets, bytes, '
    'windowstart, windowend, action="REJECT", flowlogstatus]'
)


def _filter(lab: Lab, name: str = "ssh", pattern: str = REJECTED_SSH, **made: Any) -> None:
    transformation = {"metricName": "RejectedSSHCount", "metricNamespace": "LogMetrics", "metricValue": "1", **made}
    lab.logs.put_metric_filter(
        logGroupName="flows", filterName=name, filterPattern=pattern, metricTransformations=[transformation]
    )


def _points(lab: Lab) -> list[tuple[Metric, str, Point]]:
    """Every minute of every metric."""
    return [
        (series.metric, series.unit, point)
        for series in lab.events.metrics.series(ACCOUNT, "us-east-1")
        for point in lab.events.metrics.points(series.id, 60, 0, 1 << 40)
    ]


def _sums(lab: Lab) -> dict[tuple[str, str], tuple[float, float]]:
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for metric, _, p in _points(lab):
        key = metric.name, json.dumps(metric.dimensions)
        total, count = found.get(key, (0, 0))
        found[key] = (total + p.total, count + p.seen)
    return found


def test_rejected_ssh_is_counted(lab: Lab) -> None:
    """MON-06: Sum ≥ 10 in an hour is what the alarm fires on."""
    lab.group()
    _filter(lab)
    start = lab.now - 1800_000
    lines = [
        FLOW.format(port=port, bytes=40, action=action)
        for port, action in ((22, "REJECT"), (22, "ACCEPT"), (23, "REJECT"))
    ]
    lab.put(*sorted((start + n * 60_000, line) for n in range(11) for line in lines))
    points = [p for metric, _, p in _points(lab) if metric.namespace == "LogMetrics"]
    assert len(points) == 11
    assert sum(p.total for p in points) == 11
    assert all(p.at % 60 == 0 and p.total == 1 for p in points)


def test_values_defaults_and_dimensions_of_metrics(lab: Lab) -> None:
    lab.group()
    columns = f"[{FIELDS}]".replace("action", "action=REJECT")
    _filter(lab, "bytes", columns, metricName="Bytes", metricValue="$bytes", defaultValue=0.5, unit="Bytes")
    _filter(lab, "ports", columns, metricName="Ports", dimensions={"Port": "$destport"})
    _filter(lab, "json", "{ $.latency = * }", metricName="Latency", metricValue="$.latency")
    lab.say(
        FLOW.format(port=22, bytes=100, action="REJECT"),
        FLOW.format(port=23, bytes=11, action="REJECT"),
        FLOW.format(port=22, bytes="-", action="REJECT"),
        FLOW.format(port=22, bytes=9, action="ACCEPT"),
        '{"latency": 2.5}',
        '{"latency": "x"}',
    )
    assert _sums(lab) == {
        ("Bytes", "[]"): (111 + 3 * 0.5, 5),
        ("Ports", '[["Port", "22"]]'): (2, 2),
        ("Ports", '[["Port", "23"]]'): (1, 1),
        ("Latency", "[]"): (2.5, 1),
    }


@pytest.mark.parametrize(
    ("pattern", "made"),
    [
        ("ERROR", {"metricValue": "$x"}),
        ("[a, b]", {"metricValue": "$c"}),
        ("ERROR", {"metricValue": "one"}),
        ("[a", {}),
        ("[a, b]", {"dimensions": {"A": "$a"}, "defaultValue": 0.0}),
        ("[a, b]", {"dimensions": {"A": "$c"}}),
        ("[a,b,c,d]", {"dimensions": {"A": "$a", "B": "$b", "C": "$c", "D": "$d"}}),
        ("{ $.a = 1 }", {"metricValue": "$"}),
        ("x" * 1025, {}),
        ("ok", {"metricName": "a:b"}),
    ],
)
def test_metric_filters_that_are_refused(lab: Lab, pattern: str, made: dict[str, Any]) -> None:
    lab.group()
    assert code(lambda: _filter(lab, "f", pattern, **made)) == "InvalidParameterException"
    assert lab.logs.describe_metric_filters()["metricFilters"] == []


def test_metric_filters_are_described_replaced_and_deleted(lab: Lab) -> None:
    lab.group()
    _filter(lab)
    _filter(lab, "other", "%a%", metricName="Other")
    (shown,) = lab.logs.describe_metric_filters(logGroupName="flows", filterNamePrefix="s")["metricFilters"]
    made = {"metricName": "RejectedSSHCount", "metricNamespace": "LogMetrics", "metricValue": "1"}
    assert (shown["filterName"], shown["filterPattern"], shown["logGroupName"]) == ("ssh", REJECTED_SSH, "flows")
    assert shown["metricTransformations"] == [made]
    (one,) = lab.logs.describe_metric_filters(metricName="Other", metricNamespace="LogMetrics")["metricFilters"]
    assert one["filterName"] == "other"
    assert lab.logs.describe_log_groups()["logGroups"][0]["metricFilterCount"] == 2
    _filter(lab, "other", "b")
    lab.logs.delete_metric_filter(logGroupName="flows", filterName="ssh")
    (left,) = lab.logs.describe_metric_filters()["metricFilters"]
    assert left["filterPattern"] == "b"
    for n in range(5):
        _filter(lab, f"regex{n}", "%a%")
    assert code(lambda: _filter(lab, "regex5", "%a%")) == "LimitExceededException"
    _filter(lab, "regex4", "%b%")


def test_testing_a_metric_filter(lab: Lab) -> None:
    lines = [
        '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534',
        '127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /apache_pb.gif HTTP/1.0" 500 5324',
    ]
    pattern = "[ip, identity, user_id, timestamp, request, status_code = 5*, size]"
    assert lab.logs.test_metric_filter(filterPattern=pattern, logEventMessages=lines)["matches"] == [
        {
            "eventNumber": 2,
            "eventMessage": lines[1],
            "extractedValues": {
                "$ip": "127.0.0.1",
                "$identity": "-",
                "$user_id": "frank",
                "$timestamp": "10/Oct/2000:13:35:22 -0700",
                "$request": "GET /apache_pb.gif HTTP/1.0",
                "$status_code": "500",
                "$size": "5324",
            },
        }
    ]
