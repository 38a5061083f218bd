"""The EC2 operations: importing this package fills the registry. One module per noun."""

from ringfence.api.ops.ec2 import (
    network_acls,
    security_group_rules,
    security_groups,
)

__all__ = [
    "network_acls",
    "security_group_rules",
    "security_groups",
]
