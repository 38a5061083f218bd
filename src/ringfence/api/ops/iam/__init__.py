"""The IAM operations: importing this package fills the registry. One module per noun."""

from ringfence.api.ops.iam import (
    absent,
    access_keys,
    account,
    attachments,
    authorization_details,
    credential_report,
    groups,
    instance_profiles,
    login_profiles,
    mfa,
    oidc,
    policies,
    roles,
    saml,
    service_linked,
    users,
)

__all__ = [
    "absent",
    "access_keys",
    "account",
    "attachments",
    "authorization_details",
    "credential_report",
    "groups",
    "instance_profiles",
    "login_profiles",
    "mfa",
    "oidc",
    "policies",
    "roles",
    "saml",
    "service_linked",
    "users",
]
