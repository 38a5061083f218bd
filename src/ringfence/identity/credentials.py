"""Who holds an access key. Only account root keys exist so far; users and roles come with the identity service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ringfence.identity.principal import Principal


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key and the identity it stands for."""

    secret: str
    principal: Principal

    @property
    def access_key_id(self) -> str:
        return self.principal.access_key_id


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
    return Credential(
        secret,
        Principal(
            account_id=account_id,
            arn=f"arn:aws:iam::{account_id}:root",
            user_id=account_id,
            access_key_id=access_key_id,
        ),
    )
