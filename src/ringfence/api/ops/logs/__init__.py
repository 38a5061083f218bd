"""CloudWatch Logs' operations: importing this package fills the registry."""

from ringfence.api.ops.logs import encryption, events, groups, metric_filters, policies, streams, tags

__all__ = ["encryption", "events", "groups", "metric_filters", "policies", "streams", "tags"]
