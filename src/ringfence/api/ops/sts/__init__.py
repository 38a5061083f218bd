"""AWS Security Token Service (AWS STS API Reference, 2011-06-15). Importing this serves its operations."""

from ringfence.api.ops.sts import callers, federation, roles, tokens

__all__ = ["callers", "federation", "roles", "tokens"]
