"""What KMS keys encrypt: AES-256-GCM, a key of its own for every message, the encryption context bound to it as additional data
(AWS KMS Developer Guide: "Encryption context", "Cryptographic details").

Format: version 1 | key (16, its UUID) | material (16, the beginning of its id) | salt (16) | nonce (12) | ciphertext and tag.
The message's key is HMAC-SHA256(material, label | salt), so that no number of messages wears the material out.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = b"\x01"
_LABEL = b"ringfence kms message key"
_UUID, _MATERIAL, _SALT, _NONCE, _TAG = 16, 16, 16, 12, 16
_HEAD = len(_VERSION) + _UUID + _MATERIAL + _SALT
MATERIAL_BYTES = 32


class CiphertextError(Exception):
    """What was given is nothing that this key encrypted with this context."""


@dataclass(frozen=True, slots=True)
class Material:
    """A key's material and its id, 64 hexadecimal digits."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"Material(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class Named:
    """The key and the material that a ciphertext names, on its own word."""

    key: str
    material: str  # the beginning of its id


def new_material() -> Material:
    """Fresh random material under a fresh id."""
    return Material(secrets.token_hex(32), secrets.token_bytes(MATERIAL_BYTES))


def encrypt(material: Material, key: str, plain: bytes, context: Mapping[str, str]) -> bytes:
    """`plain`, readable only with the same material, key UUID and context."""
    head = _VERSION + uuid.UUID(key).bytes + bytes.fromhex(material.id)[:_MATERIAL] + secrets.token_bytes(_SALT)
    nonce = secrets.token_bytes(_NONCE)
    return head + nonce + _cipher(material, head).encrypt(nonce, plain, head + _bound(context))


def named_in(blob: bytes) -> Named:
    """What a ciphertext says it was encrypted with. CiphertextError when it is none."""
    if len(blob) < _HEAD + _NONCE + _TAG or not blob.startswith(_VERSION):
        raise CiphertextError("not a ciphertext")
    start = len(_VERSION)
    key = str(uuid.UUID(bytes=blob[start : start + _UUID]))
    return Named(key, blob[start + _UUID : start + _UUID + _MATERIAL].hex())


def decrypt(material: Material, blob: bytes, context: Mapping[str, str]) -> bytes:
    """What was encrypted. CiphertextError when it was altered, or the context or the material is another."""
    head, nonce, body = blob[:_HEAD], blob[_HEAD : _HEAD + _NONCE], blob[_HEAD + _NONCE :]
    try:
        return _cipher(material, head).decrypt(nonce, body, head + _bound(context))
    except InvalidTag:
        raise CiphertextError("altered, or encrypted with another context") from None


def _cipher(material: Material, head: bytes) -> AESGCM:
    return AESGCM(hmac.digest(material.secret, _LABEL + head[-_SALT:], "sha256"))


def _bound(context: Mapping[str, str]) -> bytes:
    """The context as bytes: every pair, in an order of its own; lengths first, so that no two contexts look alike."""
    parts = [part.encode() for pair in sorted(context.items()) for part in pair]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
