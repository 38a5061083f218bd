"""CloudWatch Logs' operations: importing this package fills the registry."""

from ringfence.api.ops.logs import encryption, events, groups, live_tail, metric_filters, policies, streams, tags

__all__ = ["encryption", "events", "groups", "live_tail", "metric_filters", "policies", "streams", "tags"]
