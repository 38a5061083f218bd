"""CloudWatch Logs' operations: importing this package fills the registry."""

from ringfence.api.ops.logs import events, groups, metric_filters, policies, streams, tags

__all__ = ["events", "groups", "metric_filters", "policies", "streams", "tags"]
