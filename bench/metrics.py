"""CloudWatch metrics: putting, reading, evaluating alarms. CPU of this process, over the wire protocol but no network.

python -m bench.metrics [--alarms 1000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.api.front import Front

import ringfence.api.ops.cloudwatch  # noqa: F401
from ringfence import alarms, deliveries
from ringfence.model.ids import SeededIds
from ringfence.store.events import EventStore


def timed(work: Callable[[], Any], times: int) -> tuple[float, float]:
    """Milliseconds of CPU, and of the clock, for one."""
    cpu, clock = time.process_time(), time.perf_counter()
    for _ in range(times):
        work()
    return (time.process_time() - cpu) / times * 1e3, (time.perf_counter() - clock) / times * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alarms", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        front, events = Front(), EventStore(Path(folder) / "events.db")
        nobody: Any = None
        front.pipeline.outside = deliveries.FromHere(front.store, nobody, logs=events, metrics=events.metrics)
        cw = front.client("cloudwatch")
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        for size in (1, 20, 1000):
            data = [
                {"MetricName": f"m{n % 20}", "Value": float(n), "Timestamp": now - timedelta(minutes=n)}
                for n in range(size)
            ]
            cpu, clock = timed(lambda data=data: cw.put_metric_data(Namespace="N", MetricData=data), 20)  # type: ignore[misc]
            print(
                f"PutMetricData of {size}: {cpu:.2f} ms of CPU, {clock:.2f} ms with the disk (the client's share is most of it)"
            )
        for start in range(0, 1440, 720):
            points = [
                {"MetricName": "day", "Value": float(n), "Timestamp": now - timedelta(minutes=n)}
                for n in range(start, start + 720)
            ]
            cw.put_metric_data(Namespace="N", MetricData=points)
        stat = {"Metric": {"Namespace": "N", "MetricName": "day"}, "Period": 60, "Stat": "Sum"}
        queries = [{"Id": "m", "MetricStat": stat}, {"Id": "e", "Expression": "100 * m / MAX(m)"}]
        span = {"StartTime": now - timedelta(days=1), "EndTime": now}
        cpu, _ = timed(lambda: cw.get_metric_data(MetricDataQueries=queries, **span), 10)
        print(f"GetMetricData, a day of minutes and an expression over them: {cpu:.1f} ms")
        for n in range(args.alarms):
            cw.put_metric_alarm(
                AlarmName=f"a{n}", MetricName="day", Namespace="N", Statistic="Sum", Period=300, EvaluationPeriods=3,
                Threshold=1e9, ComparisonOperator="GreaterThanThreshold",
            )  # fmt: skip
        evaluator = alarms.Evaluator(front.store, events.metrics, front.clock, SeededIds())
        evaluator.run()
        front.clock.skew = timedelta(minutes=1)
        cpu, _ = timed(evaluator.run, 1)
        print(f"a minute's evaluation of {args.alarms} alarms: {cpu:.0f} ms")
        events.close()


if __name__ == "__main__":
    main()
