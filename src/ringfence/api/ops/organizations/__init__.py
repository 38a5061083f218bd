"""The operations of AWS Organizations: importing this package fills the registry. One module per noun.

Source: AWS Organizations API Reference (2016-11-28). What has no effect here (delegated administrators, responsibility
transfers, management policies such as tag policies) is not served and says so.
"""

from ringfence.api.ops.organizations import accounts, handshakes, organization, policies, tags, units

__all__ = ["accounts", "handshakes", "organization", "policies", "tags", "units"]
