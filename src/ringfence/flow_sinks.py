"""Where flow log records go: files of a bucket, streams of a log group (FL-04, FL-48 … FL-57).

A sink hands back what is safe at its destination, part by part, so that a failure half-way delivers nothing twice that
needs no second time. CloudWatch Logs is behind the port `LogGroups`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ringfence.api.bucket_sealing import Deliverer, ServiceKeys
from ringfence.api.log_delivery import DELIVERY, may_deliver, source_of
from ringfence.identity import log_policies
from ringfence.identity.evaluate import decide
from ringfence.identity.gather import policies_of
from ringfence.identity.principal import Principal
from ringfence.identity.question import Question, Target
from ringfence.identity.roles import NotAllowed, Wanted, assume_as_service
from ringfence.insight.flowlogs import files
from ringfence.insight.flowlogs.lines import line
from ringfence.insight.flowlogs.records import Record
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError
from ringfence.model.kinds import FLOW_LOG
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import World
from ringfence.store.buckets import BucketFiles
from ringfence.store.containers import Sealing

Worlds = Callable[[], World]
_SERVICE = "vpc-flow-logs.amazonaws.com"
_SESSION_SECONDS = 900
#: what the delivery role needs (Amazon VPC User Guide: "IAM role for publishing flow logs to CloudWatch Logs"; FL-56)
ROLE_ACTIONS = (
    "logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogGroups", "logs:DescribeLogStreams",
)  # fmt: skip


class DestinationError(Exception):
    """Records cannot be delivered; the text is a DeliverLogsErrorMessage (FL-11)."""


ACCESS, RATE, UNKNOWN = "Access error", "Rate limited", "Unknown error"


class Sink(Protocol):
    """One type of destination."""

    def deliver(self, log: FlowLog, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """Deliver, and yield each part once it is safe. DestinationError, OSError, ValueError."""
        ...


class BucketSink:
    """Files of a bucket directory; names are never used twice. Sealed as the bucket says, with keys that `keys` asks for."""

    def __init__(self, worlds: Worlds, bucket_files: BucketFiles, clock: Clock, keys: ServiceKeys) -> None:
        self._worlds, self._files, self._clock, self._keys = worlds, bucket_files, clock, keys

    def deliver(self, log: FlowLog, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        if not may_deliver(self._worlds(), log, self._clock.now()):
            raise DestinationError(ACCESS)
        for batch in files.batches(log, records):
            data, content_type = files.body(log, batch.records)
            key = files.key(log, batch.stamp, secrets.token_hex(4))
            with self._files.lock:  # the bucket cannot go in between
                if not may_deliver(self._worlds(), log, self._clock.now()):
                    raise DestinationError(ACCESS)
                sealing = self._sealing(log, key)
                self._files.put(log.bucket, key, data, content_type=content_type, sealing=sealing)
            yield batch.records

    def _sealing(self, log: FlowLog, key: str) -> Sealing | None:
        """DestinationError when the key of the bucket does not let the delivery service in, or cannot be used."""
        who = Deliverer(DELIVERY, source_of(log), log.owner_id)
        try:
            return self._keys.sealing(self._worlds(), log.bucket, key, who)
        except ApiError as problem:
            raise DestinationError(ACCESS) from problem


class LogGroups(Protocol):
    """CloudWatch Logs, as flow logs need it."""

    def put(self, log: FlowLog, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Append events (milliseconds since 1970, text), making group and stream when they are missing.

        DestinationError (Rate limited), OSError.
        """
        ...


class LogGroupSink:
    """Streams of a log group, one for each interface; an event's time is the record's start (FL-48)."""

    def __init__(self, worlds: Worlds, groups: LogGroups, clock: Clock) -> None:
        self._worlds, self._groups, self._clock = worlds, groups, clock

    def deliver(self, log: FlowLog, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        group = group_of(log)
        self._check_role(log, group)
        streams: dict[str, list[Record]] = {}
        for record in records:
            streams.setdefault(f"{record.facts.interface_id}-{log.traffic_type.lower()}", []).append(record)
        for stream, part in streams.items():
            self._groups.put(
                log, group, stream, [(int(record.start) * 1000, line(record, log.fields)) for record in part]
            )
            yield part

    def _check_role(self, log: FlowLog, group: str) -> None:
        """The role is assumed anew each time: a permission taken away shows at the next delivery (FL-57, IAM-42)."""
        world, now = self._worlds(), int(self._clock.now().timestamp())
        wanted = Wanted(name=log.id, now=now, seconds=_SESSION_SECONDS)
        context = {"aws:sourceaccount": log.owner_id, "aws:sourcearn": FLOW_LOG.arn(log)}
        try:
            session = assume_as_service(world, _SERVICE, log.role or "", context, wanted)
        except NotAllowed as problem:
            raise DestinationError(ACCESS) from problem
        arn = f"arn:aws:logs:{log.region}:{log.owner_id}:log-group:{group}"
        if not all(_may(world, session, action, arn, log.owner_id) for action in ROLE_ACTIONS):
            raise DestinationError(ACCESS)


def group_of(log: FlowLog) -> str:
    """The name of a log group destination."""
    return log.group_name


def _may(world: World, session: Principal, action: str, arn: str, account: str) -> bool:
    """AWS: DescribeLogGroups has no resource; streams are asked about as any stream of the group."""
    resource = {"logs:DescribeLogGroups": "*", "logs:PutLogEvents": f"{arn}:log-stream:*"}.get(action, f"{arn}:*")
    policy = log_policies.policy_of(world, account, arn.split(":")[3]) if resource != "*" else None
    target = Target(arn=resource, account_id=account, policy=policy)
    question = Question(principal=session, action=action, targets=(target,))
    return decide(question, policies_of(world, session, account)).allowed
