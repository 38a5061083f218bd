"""AWS Resource Access Manager: prefix lists shared with other accounts. Importing this package fills the registry."""

from ringfence.api.ops.ram import associations, invitations, listing, shares

__all__ = ["associations", "invitations", "listing", "shares"]
