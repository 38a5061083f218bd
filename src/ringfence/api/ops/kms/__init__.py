"""AWS KMS's operations: importing this package fills the registry."""

from ringfence.api.ops.kms import aliases, cryptography, grants, keys, policies, rotation, tags

__all__ = ["aliases", "cryptography", "grants", "keys", "policies", "rotation", "tags"]
