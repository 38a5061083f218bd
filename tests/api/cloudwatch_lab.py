"""A front with CloudWatch behind it, for the tests of its metrics and of its alarms."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import ringfence.api.ops.cloudwatch
import ringfence.api.ops.logs  # noqa: F401  fills the registry
from ringfence import alarms, deliveries
from ringfence.model.ids import SeededIds
from ringfence.store.events import EventStore
from tests.api.front import ACCOUNT, Front

ARN = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:ops"


class Lab:
    """A front with a store of metrics, and an evaluator of alarms."""

    def __init__(self, folder: Path) -> None:
        self.front = Front(strict_clients=False)
        self.events = EventStore(folder / "events.db", durable=False)
        deliverer: Any = None
        self.front.pipeline.outside = deliveries.FromHere(
            self.front.store, deliverer, logs=self.events, metrics=self.events.metrics
        )
        self.cw = self.front.client("cloudwatch")
        self.evaluator = alarms.Evaluator(self.front.store, self.events.metrics, self.front.clock, SeededIds())

    @property
    def now(self) -> datetime:
        moment: datetime = self.front.clock.now()
        return moment.replace(second=0, microsecond=0)

    def pass_(self, **span: float) -> None:
        self.front.clock.skew += timedelta(**span)

    def put(self, *values: float, ago: float = 0, name: str = "m", **more: Any) -> None:
        """Values in minutes one after the other, the first so many minutes ago."""
        self.cw.put_metric_data(
            Namespace="N",
            MetricData=[
                {"MetricName": name, "Value": value, "Timestamp": self.now - timedelta(minutes=ago - n), **more}
                for n, value in enumerate(values)
            ],
        )

    def statistics(self, *names: str, period: int = 60, ago: float = 60, name: str = "m", **more: Any) -> Any:
        return self.cw.get_metric_statistics(
            Namespace="N", MetricName=name, StartTime=self.now - timedelta(minutes=ago), Period=period,
            EndTime=self.now + timedelta(minutes=1), **({"Statistics": list(names)} if names else {}), **more,
        )["Datapoints"]  # fmt: skip

    def alarm(self, name: str = "a", **more: Any) -> None:
        given = {
            "MetricName": "m", "Namespace": "N", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 10,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold", **more,
        }  # fmt: skip
        self.cw.put_metric_alarm(
            AlarmName=name, **{key: value for key, value in given.items() if value is not None}
        )  # fmt: skip

    def state(self, name: str = "a") -> str:
        (found,) = self.cw.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return str(found["StateValue"])

    def history(self, kind: str, name: str = "a") -> list[str]:
        items = self.cw.describe_alarm_history(AlarmName=name, HistoryItemType=kind, ScanBy="TimestampAscending")
        return [item["HistorySummary"] for item in items["AlarmHistoryItems"]]


def opened(folder: Path) -> Iterator[Lab]:
    """A lab for a fixture, closed after the test; nothing in it may have failed by our own fault."""
    made = Lab(folder)
    yield made
    made.events.close()
    assert made.front.pipeline.internal_errors == 0


def code(call: Any, *args: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*args, **params)
    return str(caught.value.response["Error"]["Code"])


def stat(id: str, name: str = "m", stat: str = "Sum", **more: Any) -> dict[str, Any]:
    metric = {"Metric": {"Namespace": "N", "MetricName": name}, "Period": 60, "Stat": stat}
    return {"Id": id, "MetricStat": metric, **more}
