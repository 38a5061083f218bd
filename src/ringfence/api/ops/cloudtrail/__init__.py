"""CloudTrail's operations: importing this package fills the registry."""

from ringfence.api.ops.cloudtrail import events, selectors, trails

__all__ = ["events", "selectors", "trails"]
