"""Log events that are no longer kept: past their group's retention, or of streams that were deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ringfence.model.kinds import LOG_GROUP, LOG_STREAM
from ringfence.model.world import World
from ringfence.store.events import EventStore

DAY = 86_400_000  # ms


def expire(events: EventStore, world: Callable[[], World], now: datetime) -> None:
    """Take them off the disk. ApiError ServiceUnavailableException, sqlite3.Error: the rest goes next time."""
    events.keep_only(lambda: {stream.number for stream in world().all(LOG_STREAM)})
    moment, held = int(now.timestamp() * 1000), world()
    for group in held.all(LOG_GROUP):
        if group.retention is not None:
            for stream in held.by(LOG_STREAM, "group", group.id):
                events.expire(stream.number, moment - group.retention * DAY)
    events.keys.keep_only({group.id for group in world().all(LOG_GROUP)})
    events.metrics.forget(moment // 1000)
