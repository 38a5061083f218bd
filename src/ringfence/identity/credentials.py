"""Who holds an access key. Only account root keys exist so far; users and roles come with the identity service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """An access key and the identity it stands for."""

    access_key_id: str
    secret: str
    account_id: str
    arn: str
    user_id: str
    is_root: bool


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
    return Credential(access_key_id, secret, account_id, f"arn:aws:iam::{account_id}:root", account_id, True)
