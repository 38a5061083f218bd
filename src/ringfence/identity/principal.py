"""Who calls: an authenticated identity (IAM User Guide: "IAM identifiers", "Temporary security credentials"; IAM-05)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ringfence.model.row import Tags


class PrincipalKind(enum.StrEnum):
    """What an identity is; the value is CloudTrail's `userIdentity.type`."""

    ROOT = "Root"  # an account's root user
    USER = "IAMUser"
    ROLE = "AssumedRole"  # a role session
    FEDERATED = "FederatedUser"  # a session of GetFederationToken
    WEB_IDENTITY = "WebIdentityUser"  # the holder of an OIDC token, before it becomes a role session
    SAML = "SAMLUser"  # likewise of a SAML assertion
    SERVICE = "AWSService"  # e.g. vpc-flow-logs.amazonaws.com: a part of this installation
    ANONYMOUS = "Unknown"  # nobody: only a resource policy can let it in


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What temporary credentials carry. Times are seconds since 1970, UTC.

    `policies`: inline session policies (JSON texts); `policy_arns`: managed ones. Both empty = no session policy.
    """

    name: str
    issued_at: int
    expires_at: int
    mfa_at: int | None = None  # when the caller showed a second factor
    source_identity: str | None = None
    policies: tuple[str, ...] = ()
    policy_arns: tuple[str, ...] = ()
    tags: Tags = ()
    transitive_tags: tuple[str, ...] = ()
    issuer_arn: str | None = None  # the role or user whose permissions the session has
    issuer_id: str | None = None
    provider: str | None = None  # OIDC issuer or SAML provider ARN, for federated sessions
    keys: Tags = ()  # condition keys that every request of the session carries, in lower case: `ec2:roledelivery` …


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """One authenticated identity.

    `arn` is the caller's own (for a role session `arn:aws:sts::…:assumed-role/NAME/SESSION`), `user_id` its unique id
    (`AIDA…`, `AROA…:session`, the account id for root), `name` the user's or role's friendly name.
    `tags` are those of the user, or of the role with the session's laid over them.
    """

    account_id: str
    arn: str
    user_id: str
    access_key_id: str = ""
    kind: PrincipalKind = PrincipalKind.ROOT
    name: str = ""
    tags: Tags = ()
    session: Session | None = None

    @property
    def is_root(self) -> bool:
        return self.kind is PrincipalKind.ROOT
