"""New accounts and their root keys (AWS Account Management Reference Guide: "Create an AWS account", "root user")."""

from __future__ import annotations

import base64

from ringfence.identity.credentials import secret_purpose
from ringfence.identity.identifiers import access_key_id, secret_key
from ringfence.identity.sealing import Sealer
from ringfence.model.ids import IdSource
from ringfence.model.kinds import ACCESS_KEY, ACCOUNT
from ringfence.model.nouns.identity import GLOBAL, AccessKey
from ringfence.model.nouns.organization import Account
from ringfence.model.world import World


def new_account(world: World, ids: IdSource, *, name: str, email: str, now: float, id: str | None = None) -> Account:
    """An account of its own; its number is drawn unless `id` gives it."""
    number = id or f"{ids.number(64) % 10**12:012d}"
    while id is None and (number.startswith("0") or world.find(ACCOUNT, number) is not None):
        number = f"{ids.number(64) % 10**12:012d}"
    return Account(id=number, owner_id=number, region=GLOBAL, name=name, email=email, created=float(int(now)))


def root_access_key(world: World, ids: IdSource, sealer: Sealer, account_id: str, now: float) -> tuple[AccessKey, str]:
    """A new root key of an account, sealed as it is stored, and its secret, which is kept nowhere else (DATA-04)."""
    id = access_key_id(ids, account_id)
    while world.find(ACCESS_KEY, id) is not None:
        id = access_key_id(ids, account_id)
    secret = secret_key(ids)
    sealed = base64.b64encode(sealer.seal(secret.encode(), secret_purpose(id))).decode()
    key = AccessKey(id=id, owner_id=account_id, region=GLOBAL, user_id=None, created=float(int(now)), sealed=sealed)
    return key, secret


def root_keys(world: World, account_id: str) -> list[AccessKey]:
    """The stored root keys of an account; AWS: at most two."""
    return [key for key in world.all(ACCESS_KEY, account_id, GLOBAL) if key.user_id is None]


ROOT_KEYS = 2
