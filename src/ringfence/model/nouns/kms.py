"""KMS keys, what they encrypt with, their aliases and grants (AWS KMS API Reference: data types).

Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row, Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsKey(Row):
    """A symmetric encryption key. `id` is its ARN, `uuid` the end of it. `policy`: the key policy's text.

    `managed`: the service of an AWS managed key (`s3`), None for a customer's. `current`: the id of the material that encrypts.
    `deletion`: when it is deleted, with the `window` in days asked for; `enabled` is False then.
    `rotation`: days between automatic rotations, None = off; `rotates`: when the next one is due.
    """

    uuid: str
    policy: str
    created: float
    current: str
    description: str = ""
    enabled: bool = True
    managed: str | None = None
    deletion: float | None = None
    window: int | None = None
    rotation: int | None = None
    rotates: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsMaterial(Row):
    """What a key encrypts with, sealed by the installation. `id` is the key's ARN, a slash and `material`.

    INVARIANT: never changed, only deleted: with it goes whatever it encrypted. `how`: AUTOMATIC or ON_DEMAND; None = the first.
    """

    key: str
    material: str
    sealed: str
    since: float
    how: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsAlias(Row):
    """Another name of a key. `id` is its ARN, `name` begins with `alias/`, `key` is the key's ARN."""

    name: str
    key: str
    created: float
    updated: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsGrant(Row):
    """Permission to use a key. `id`: the grant's. `owner_id`: the key's account; `issuer`: the account that made the grant.

    `equals`, `subset`: what the encryption context must be, or hold; None = anything.
    """

    key: str
    created: float
    issuer: str
    operations: tuple[str, ...]
    grantee: str | None = None
    grantee_service: str | None = None
    retiring: str | None = None
    retiring_service: str | None = None
    name: str = ""
    equals: Tags | None = None
    subset: Tags | None = None
    source_arn: str | None = None
