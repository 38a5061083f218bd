"""Secrets at rest, sealed by a key that is not in the database (DATA-04): AES-256-GCM, a key of its own for every message.

Format: version 1 | id of the sealing key (4) | salt (16) | nonce (12) | ciphertext and tag. The message's key is
HMAC-SHA256(sealing key, salt | purpose), so that no number of messages wears a key out. The purpose is bound to the
message: what was sealed as one thing never opens as another.

Rotation: a `Sealer` seals with its first key and opens with every one it holds.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_ID, _SALT, _NONCE, _TAG = 4, 16, 12, 16
_HEAD = len(_VERSION) + _ID + _SALT
KEY_BYTES = 32


class SealError(ValueError):
    """What was given is not something sealed for this purpose by a key at hand."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key and the id that sealed messages name it by."""

    id: bytes
    secret: bytes

    def __post_init__(self) -> None:
        if len(self.id) != _ID or len(self.secret) != KEY_BYTES:
            raise ValueError(f"a sealing key has an id of {_ID} and a secret of {KEY_BYTES} bytes")


def new_key() -> SealingKey:
    """A fresh random key."""
    return SealingKey(secrets.token_bytes(_ID), secrets.token_bytes(KEY_BYTES))


class Sealer:
    """Seals with the first of its keys, opens with all of them. ValueError without keys, or when two share an id."""

    def __init__(self, keys: Iterable[SealingKey]) -> None:
        held = tuple(keys)
        self._keys = {key.id: key for key in held}
        if not held or len(self._keys) != len(held):
            raise ValueError("a sealer needs at least one key, each with an id of its own")
        self._newest = held[0]

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """`plain`, readable only to `open` with the same purpose."""
        head = _VERSION + self._newest.id + secrets.token_bytes(_SALT)
        nonce = secrets.token_bytes(_NONCE)
        return head + nonce + _cipher(self._newest, head, purpose).encrypt(nonce, plain, head)

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed. SealError when it was altered, is of another purpose, or its key is not held."""
        head, nonce, body = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE], sealed[_HEAD + _NONCE :]
        if len(body) < _TAG or not head.startswith(_VERSION):
            raise SealError("not a sealed message")
        key = self._keys.get(head[1 : 1 + _ID])
        if key is None:
            raise SealError("sealed with a key that is not held")
        try:
            return _cipher(key, head, purpose).decrypt(nonce, body, head)
        except InvalidTag:
            raise SealError("altered, or sealed for another purpose") from None


def _cipher(key: SealingKey, head: bytes, purpose: str) -> AESGCM:
    return AESGCM(hmac.digest(key.secret, head + purpose.encode(), "sha256"))


# ---------------------------------------------------------------------- the key file
def dump_keys(keys: Iterable[SealingKey]) -> str:
    """Keys as text, the newest first."""
    return json.dumps({"sealing_keys": [{"id": key.id.hex(), "secret": key.secret.hex()} for key in keys]})


def parse_keys(text: str) -> tuple[SealingKey, ...]:
    """The keys of `dump_keys`. ValueError when the text is none of it."""
    try:
        listed = json.loads(text)["sealing_keys"]
        keys = tuple(SealingKey(bytes.fromhex(key["id"]), bytes.fromhex(key["secret"])) for key in listed)
    except (KeyError, TypeError) as problem:
        raise ValueError(f"no list of sealing keys ({problem!r})") from None
    Sealer(keys)
    return keys
