"""Flow log records into the CloudWatch Logs of this installation (FL-48).

Groups and streams are made, and events put, by the operations themselves, so that their rules hold: quotas, retention,
metric filters, sizes of batches. Whether the delivery role may is asked before (`flow_sinks.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs.events import MAX_BATCH, MAX_EVENTS, SPAN, put_log_events
from ringfence.api.ops.logs.groups import create_log_group
from ringfence.api.ops.logs.streams import create_log_stream
from ringfence.api.outside import Outside
from ringfence.flow_sinks import ACCESS, UNKNOWN, DestinationError
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.sealing import Sealer
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError
from ringfence.model.ids import IdSource
from ringfence.model.kinds import LOG_GROUP, LOG_STREAM
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.quotas import Limits
from ringfence.model.world import World
from ringfence.store.events import OVERHEAD
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence.flowlogs")

_SERVICE = "delivery.logs.amazonaws.com"
Event = tuple[int, str]


class ServedLogGroups:
    """The port `LogGroups` on the served operations. `outside` holds the events; `sealer`: the keys of KMS are sealed with it."""

    def __init__(
        self, store: Store, outside: Outside, clock: Clock, ids: IdSource, limits: Limits, sealer: Sealer
    ) -> None:
        self._store, self._outside, self._clock, self._ids, self._limits = store, outside, clock, ids, limits
        self._sealer = sealer

    def put(self, log: FlowLog, group: str, stream: str, events: Sequence[Event]) -> None:
        """DestinationError: the group cannot be made, its key cannot be used, or the disk fails."""
        name = {"logGroupName": group}
        arn = f"arn:aws:logs:{log.region}:{log.owner_id}:log-group:{group}"
        try:
            if self._store.world.find(LOG_GROUP, arn) is None:
                self._make(log, "CreateLogGroup", create_log_group, name)
            if self._store.world.find(LOG_STREAM, f"{arn}:log-stream:{stream}") is None:
                self._make(log, "CreateLogStream", create_log_stream, name | {"logStreamName": stream})
            for batch in batches(sorted(events)):
                wanted = {
                    "logStreamName": stream,
                    "logEvents": [{"timestamp": at, "message": text} for at, text in batch],
                }
                put_log_events(self._call(log, "PutLogEvents"), self._store.world, name | wanted)
        except ApiError as problem:
            raise DestinationError(ACCESS if problem.code == "AccessDeniedException" else UNKNOWN) from problem

    def _make(
        self, log: FlowLog, action: str, operation: Callable[[Call, World, Params], Outcome], params: Params
    ) -> None:
        """Somebody else may have made it meanwhile: the operation is asked with the World of the moment."""
        call = self._call(log, action)

        def decide(world: World) -> Commit:
            try:
                return Commit(change=operation(call, world, params).change)
            except ApiError as problem:
                if problem.code != "ResourceAlreadyExistsException":
                    raise
                return Commit()

        self._store.write(decide)

    def _call(self, log: FlowLog, action: str) -> Call:
        service = Principal(account_id=log.owner_id, arn=_SERVICE, user_id=_SERVICE, kind=PrincipalKind.SERVICE)
        return Call(
            service="logs", action=action, region=log.region, principal=service, request_id=self._ids.uuid(),
            now=self._clock.now(), ids=self._ids, limits=self._limits, outside=self._outside, user_agent=_SERVICE,
            sealer=self._sealer, witness=self._store.audit,
        )  # fmt: skip


def batches(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Events in order of time, as many at once as PutLogEvents takes."""
    batch: list[Event] = []
    size = 0
    for at, text in events:
        more = len(text.encode()) + OVERHEAD
        if batch and (size + more > MAX_BATCH or len(batch) == MAX_EVENTS or at - batch[0][0] > SPAN):
            yield batch
            batch, size = [], 0
        batch.append((at, text))
        size += more
    if batch:
        yield batch
