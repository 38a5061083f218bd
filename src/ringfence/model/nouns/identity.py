"""IAM's resources (IAM API Reference: "Data types"). Their Region is `aws-global`; names are unique within an account,
without regard to letter case."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row, Tags

GLOBAL = "aws-global"


@dataclass(frozen=True, slots=True, kw_only=True)
class InlinePolicy:
    """A policy that lives inside a user, group or role. `text` is the JSON as it was given."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IamEntity(Row):
    """What users, groups, roles, managed policies and instance profiles share. `id`: AIDA…, AGPA…, AROA…, ANPA…, AIPA…"""

    name: str
    path: str = "/"
    created: float  # seconds since 1970, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class User(IamEntity):
    """An IAM user. `groups`: ids of groups; `managed`: ARNs of attached policies."""

    groups: tuple[str, ...] = ()
    inline: tuple[InlinePolicy, ...] = ()
    managed: tuple[str, ...] = ()
    boundary: str | None = None  # ARN of a managed policy
    password_hash: str | None = None  # login profile
    password_reset_required: bool = False
    password_set: float | None = None
    password_history: tuple[str, ...] = ()  # hashes that may not come back, the newest first
    profile_created: float | None = None
    mfa_devices: tuple[str, ...] = ()  # serial numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Group(IamEntity):
    """A group of users."""

    inline: tuple[InlinePolicy, ...] = ()
    managed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Role(IamEntity):
    """A role. `trust`: the JSON text of its trust policy."""

    trust: str
    description: str | None = None
    max_session_seconds: int = 3600
    inline: tuple[InlinePolicy, ...] = ()
    managed: tuple[str, ...] = ()
    boundary: str | None = None
    service_linked: str | None = None  # the service's principal, e.g. vpc-flow-logs.amazonaws.com
    revoked_before: float | None = None  # sessions issued earlier are refused
    last_used: float | None = None
    last_region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version of a managed policy: `id` v1, v2, …"""

    id: str
    text: str
    created: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedPolicy(IamEntity):
    """A customer managed policy. INVARIANT: `default` names one of `versions` (at most five)."""

    description: str | None = None
    versions: tuple[PolicyVersion, ...]
    default: str
    next_version: int = 2
    updated: float | None = None

    @property
    def text(self) -> str:
        """The JSON of the default version."""
        return next(version.text for version in self.versions if version.id == self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceProfile(IamEntity):
    """An instance profile. `role`: id of the role, or None."""

    role: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey(Row):
    """An access key of a user (`user_id`) or of the account's root (None). `id`: AKIA…

    `sealed`: the secret, encrypted by a key outside the database (DATA-04), base64.
    """

    user_id: str | None
    sealed: str
    active: bool = True
    created: float
    last_used: float | None = None
    last_service: str | None = None
    last_region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MfaDevice(Row):
    """A virtual MFA device (RFC 6238). `id` is its serial number, an ARN; `sealed`: the seed, encrypted."""

    sealed: str
    user_id: str | None = None  # assigned to; None = not yet enabled, or the root's when `root`
    root: bool = False
    enabled: float | None = None
    last_step: int = 0  # the last time step used, by the device's clock: a code works once
    drift: int = 0  # steps that the device's clock is ahead of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcProvider(Row):
    """An OpenID Connect provider. `id` is its ARN."""

    url: str
    client_ids: tuple[str, ...] = ()
    thumbprints: tuple[str, ...] = ()
    created: float
    keys: str | None = None  # JSON Web Key Set, when given to the installation instead of fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlProvider(Row):
    """A SAML 2.0 provider. `id` is its ARN; `metadata` the XML document."""

    name: str
    metadata: str
    created: float
    valid_until: float | None = None
    uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IamAccount(Row):
    """What IAM keeps for an account as a whole. `id` is the account id."""

    alias: str | None = None
    password_policy: Tags = ()  # member of the API's PasswordPolicy -> value
    report: str | None = None  # the last credential report, and when it was made
    report_made: float | None = None
    deletion_tasks: tuple[str, ...] = ()  # of service-linked roles, done
