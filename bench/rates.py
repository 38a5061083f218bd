"""What a request's rate check costs: `python -m bench.rates`."""

from __future__ import annotations

import time

import ringfence.api.ops.ec2  # noqa: F401  fills the registry
from ringfence.api.ops.context import Call
from ringfence.api.throttle import Rates
from ringfence.api.wire.http import HttpRequest
from ringfence.identity.credentials import root_key
from ringfence.model.clock import SystemClock
from ringfence.model.ids import RandomIds

ROUNDS = 20_000


def main() -> None:
    """Microseconds per call, for a plain action and for one whose bucket depends on its filters."""
    request = HttpRequest(
        "POST", "/", "", (), b"Action=DescribeSecurityGroups&Version=2016-11-15&" + b"x=y&" * 20, "127.0.0.1"
    )
    for action in ("CreateVpc", "DescribeSecurityGroups"):
        call = Call(
            service="ec2", action=action, region="us-east-1", principal=root_key("123456789012", "AKID", "s").principal,
            request_id="r", now=SystemClock().now(), ids=RandomIds(),
        )  # fmt: skip
        rates = Rates(1e9)
        best = min(_timed(rates, call, request) for _ in range(30))
        print(f"{action}: {best * 1e6:.2f} µs of CPU per call")


def _timed(rates: Rates, call: Call, request: HttpRequest) -> float:
    started = time.process_time()
    for _ in range(ROUNDS):
        rates.admit(call, request)
    return (time.process_time() - started) / ROUNDS


if __name__ == "__main__":
    main()
