"""Who holds an access key: the installation's root keys, and the keys that IAM stores (IAM-05…07, DATA-04)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.sealing import Sealer
from ringfence.model.kinds import ACCESS_KEY, ROLE, USER
from ringfence.model.nouns.identity import AccessKey, Role, User
from ringfence.model.world import NOTHING, Change, World, put

_CACHED = 4096  # opened secrets


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """An access key and the identity it stands for."""

    secret: str
    principal: Principal

    @property
    def access_key_id(self) -> str:
        return self.principal.access_key_id

    def __repr__(self) -> str:  # DATA-03
        return f"Credential({self.access_key_id})"


class Credentials(Protocol):
    def find(self, access_key_id: str) -> Credential | None:
        """The key, if it exists and is active."""
        ...


class RootKeys:
    """The root keys of the installation's accounts."""

    def __init__(self, *keys: Credential) -> None:
        self._keys = {key.access_key_id: key for key in keys}

    def find(self, access_key_id: str) -> Credential | None:
        return self._keys.get(access_key_id)


def root_key(account_id: str, access_key_id: str, secret: str) -> Credential:
    """The root key of an account."""
    return Credential(secret, _root(account_id, access_key_id))


def _root(account_id: str, access_key_id: str) -> Principal:
    arn = f"arn:aws:iam::{account_id}:root"
    return Principal(account_id=account_id, arn=arn, user_id=account_id, access_key_id=access_key_id)


def secret_purpose(access_key_id: str) -> str:
    """What the secret of a key is sealed for: it opens as the secret of no other key."""
    return f"access-key/{access_key_id}"


def mfa_purpose(serial_number: str) -> str:
    """What the seed of an MFA device is sealed for; the seed as bytes, not as base32 text."""
    return f"mfa-device/{serial_number}"


def user_principal(user: User, access_key_id: str) -> Principal:
    """A user who signs with one of its keys."""
    return Principal(
        account_id=user.owner_id, arn=USER.arn(user), user_id=user.id, access_key_id=access_key_id,
        kind=PrincipalKind.USER, name=user.name, tags=user.tags,
    )  # fmt: skip


class StoredKeys:
    """The keys of the World. A key that is inactive, deleted or whose user is gone is not found, from that commit on (IAM-07).

    Opened secrets are remembered by the identity of the rows they come from, so a changed row is opened anew.
    """

    def __init__(self, world: Callable[[], World], sealer: Sealer) -> None:
        self._world, self._sealer = world, sealer
        self._opened: dict[str, tuple[AccessKey, User | None, Credential]] = {}

    def find(self, access_key_id: str) -> Credential | None:
        """SealError when the sealing key is not the one it was sealed with."""
        world = self._world()
        key = world.find(ACCESS_KEY, access_key_id)
        if key is None or not key.active:
            return None
        user = world.find(USER, key.user_id)
        if key.user_id is not None and user is None:
            return None
        held = self._opened.get(access_key_id)
        if held is not None and held[0] is key and held[1] is user:
            return held[2]
        return self._open(key, user)

    def _open(self, key: AccessKey, user: User | None) -> Credential:
        secret = self._sealer.open(base64.b64decode(key.sealed), secret_purpose(key.id)).decode()
        found = Credential(secret, user_principal(user, key.id) if user else _root(key.owner_id, key.id))
        if len(self._opened) >= _CACHED:
            self._opened.clear()
        self._opened[key.id] = (key, user, found)
        return found


class Chain:
    """Several sources of credentials; the first that knows a key answers."""

    def __init__(self, *sources: Credentials) -> None:
        self._sources = sources

    def find(self, access_key_id: str) -> Credential | None:
        for source in self._sources:
            found = source.find(access_key_id)
            if found is not None:
                return found
        return None


# ---------------------------------------------------------------------- last use
@dataclass(frozen=True, slots=True)
class Use:
    """One use of a key or role: seconds since 1970, UTC; service; Region."""

    time: float
    service: str
    region: str


class Uses:
    """The last use of keys and roles since it was last written down: noted for every call, written together now and then.

    AWS: likewise "last used" lags behind.
    """

    def __init__(self) -> None:
        self._noted: dict[str, Use] = {}

    def note(self, principal: Principal, use: Use) -> None:
        """A call of `principal` was authenticated."""
        self._noted[principal.access_key_id] = use
        session = principal.session
        if session is not None and session.issuer_id is not None:
            self._noted[session.issuer_id] = use

    def newest(self, row: AccessKey | Role) -> Use | None:
        """The last use of a key or role, noted or stored."""
        noted = self._noted.get(row.id)
        if noted is not None or row.last_used is None:
            return noted
        service = row.last_service if isinstance(row, AccessKey) else None
        return Use(row.last_used, service or "N/A", row.last_region or "N/A")

    def change(self, world: World) -> Change:
        """What writes the noted uses down; keys and roles that are gone are passed over."""
        change = NOTHING
        for id, use in self._noted.copy().items():
            key, role = world.find(ACCESS_KEY, id), world.find(ROLE, id)
            if key is not None and (key.last_used or 0) < use.time:
                change += put(
                    ACCESS_KEY,
                    replace(key, last_used=use.time, last_service=use.service, last_region=use.region),
                )
            if role is not None and (role.last_used or 0) < use.time:
                change += put(ROLE, replace(role, last_used=use.time, last_region=use.region))
        return change

    def written(self, world: World) -> None:
        """Forget what `world` holds, or has no row for."""
        for id, use in self._noted.copy().items():
            row = world.find(ACCESS_KEY, id) or world.find(ROLE, id)
            if (row is None or (row.last_used or 0) >= use.time) and self._noted.get(id) is use:
                del self._noted[id]
