"""CloudWatch's operations: importing this package fills the registry."""

from ringfence.api.ops.cloudwatch import (
    alarm_states,
    alarms,
    data,
    history,
    listing,
    put_composite,
    queries,
    statistics,
    tags,
)

__all__ = [
    "alarm_states",
    "alarms",
    "data",
    "history",
    "listing",
    "put_composite",
    "queries",
    "statistics",
    "tags",
]
