"""The IAM operations: importing this package fills the registry. One module per noun."""

from ringfence.api.ops.iam import (
    access_keys,
    attachments,
    groups,
    instance_profiles,
    policies,
    roles,
    users,
)

__all__ = [
    "access_keys",
    "attachments",
    "groups",
    "instance_profiles",
    "policies",
    "roles",
    "users",
]
