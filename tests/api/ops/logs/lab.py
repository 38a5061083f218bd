"""CloudWatch Logs over the wire: a front with an event store, and events put and found by boto3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import ringfence.api.ops.logs  # noqa: F401  fills the registry
from ringfence import deliveries
from ringfence.api.live_tails import LiveTails
from ringfence.store.events import EventStore
from tests.api.front import ACCOUNT, Front

HOUR, DAY = 3_600_000, 86_400_000
ARN = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
FLOW = "2 123456789010 eni-1235b8ca 10.0.2.15 172.31.16.21 20641 {port} 6 20 {bytes} 1418530010 1418530070 {action} OK"
FIELDS = "version, account, eni, source, destination, srcport, destport, protocol, packets, bytes, start, end, action, status"


class Lab:
    """A front with an event store."""

    def __init__(self, folder: Path) -> None:
        self.front = Front(strict_clients=False)
        self.events = EventStore(folder / "events.db", durable=False)
        self.tails = LiveTails(lambda: self.front.store.world, self.front.clock, seconds=0.05)
        self.events.heard = self.tails.note
        deliverer: Any = None
        self.front.pipeline.outside = deliveries.FromHere(
            self.front.store, deliverer, logs=self.events, live_tails=self.tails
        )
        self.logs = self.front.client("logs")

    @property
    def now(self) -> int:
        return int(self.front.clock.now().timestamp() * 1000)

    def group(self, name: str = "flows", stream: str | None = "eni", **more: Any) -> None:
        self.logs.create_log_group(logGroupName=name, **more)
        if stream:
            self.logs.create_log_stream(logGroupName=name, logStreamName=stream)

    def put(self, *events: tuple[int, str], group: str = "flows", stream: str = "eni") -> Any:
        listed = [{"timestamp": at, "message": message} for at, message in events]
        return self.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=listed)

    def say(self, *messages: str, **where: Any) -> Any:
        return self.put(*((self.now, message) for message in messages), **where)

    def found(self, pattern: str = "", **more: Any) -> list[str]:
        pages = self.logs.get_paginator("filter_log_events").paginate(
            logGroupName="flows", filterPattern=pattern, **more
        )
        return [event["message"] for page in pages for event in page["events"]]


def code(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])
