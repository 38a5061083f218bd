"""What counting calls costs: CPU of a DescribeVpcs with and without it, alternately in one process, and of one scrape.

python -m bench.metering [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from tests.api.front import Front, signed

import ringfence.app  # noqa: F401  every operation: their number is what a scrape costs
from ringfence.api.metering import Meter
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.outside import Delivery
from ringfence.measures import Measures

CALLS = 2_000


class Silent(Meter):
    """Counts nothing."""

    def answered(self, service: str, action: str, status: int, seconds: float) -> None:
        return None


def main(rounds: int) -> None:
    """Prints microseconds per call."""
    front = Front()
    request = signed(b"Action=DescribeVpcs&Version=2016-11-15")
    front.pipeline.handle(request)
    meters: tuple[Meter, Meter] = (Meter(), Silent())
    found: tuple[list[float], list[float]] = ([], [])
    for n in range(rounds * 2):
        front.pipeline.meter = meters[n % 2]
        begin = time.process_time()
        for _ in range(CALLS):
            front.pipeline.handle(request)
        found[n % 2].append((time.process_time() - begin) / CALLS * 1e6)
    with_, without = (statistics.median(one) for one in found)
    meter = Meter()
    begin = time.process_time()
    for _ in range(200_000):
        meter.answered("ec2", "DescribeVpcs", 200, 0.0012)
    alone = (time.process_time() - begin) / 200_000 * 1e6
    print(f"DescribeVpcs {with_:.1f} µs with, {without:.1f} µs without counting; counting alone {alone:.2f} µs")
    for service, action in OPERATIONS:
        for status in (200, 400):
            meter.answered(service, action, status, 0.001)

    class Plane:
        name = "none"

        def status(self) -> dict[str, Any]:
            return {"applied_generation": 0}

    plane: Any = Plane()
    measures = Measures(front.store, plane, meter, lambda _arn: Delivery())
    begin = time.process_time()
    size = len(measures.text())
    print(
        f"a scrape of every operation: {(time.process_time() - begin) * 1e3:.1f} ms, {size >> 10} KiB, off the event loop"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
