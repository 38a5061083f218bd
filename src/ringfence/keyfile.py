"""The file that holds the sealing keys: beside the database, never in it; made once, readable to its owner only."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from ringfence.identity.sealing import Sealer, SealingKey, dump_keys, new_key, parse_keys
from ringfence.settings import SettingsError, write_private

NAME, AUDIT_NAME, DIGEST_NAME = "sealing.json", "audit.key", "digest-key.pem"


def sealer_of(directory: Path) -> Sealer:
    """The sealer of a data directory; its key is made when there is none. SettingsError when the file cannot be used."""
    path = directory / NAME
    keys = _stored(path)
    if not keys:
        keys = (new_key(),)
        write_private(path, dump_keys(keys))
    return Sealer(keys)


def rotate(directory: Path) -> Sealer:
    """Seal with a new key from now on; what older keys sealed still opens. SettingsError as `sealer_of`."""
    path = directory / NAME
    keys = (new_key(), *_stored(path))
    write_private(path, dump_keys(keys))
    return Sealer(keys)


def audit_key(directory: Path) -> bytes:
    """The key that seals the audit trail; made when there is none. SettingsError when its file cannot be used.

    INVARIANT: it never changes: with another key the trail would look forged.
    """
    path = directory / AUDIT_NAME
    if not path.exists():
        write_private(path, secrets.token_hex(32) + "\n")
    _private(path)
    try:
        key = bytes.fromhex(path.read_text().strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(f"{path} is damaged: restore it; without it the audit trail cannot be verified")
    return key


def digest_key(directory: Path) -> rsa.RSAPrivateKey:
    """The key that signs digest files of trails; made when there is none. SettingsError when its file cannot be used."""
    path = directory / DIGEST_NAME
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        write_private(path, made.private_bytes(serialization.Encoding.PEM, *form).decode())
    _private(path)
    key: object = None
    with contextlib.suppress(ValueError):
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SettingsError(f"{path} is damaged: restore it, or remove it to begin with a new key")
    return key


def public_part(key: rsa.RSAPrivateKey) -> tuple[bytes, str]:
    """The public key as ListPublicKeys gives it (DER, PKCS #1), and its fingerprint."""
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    return public, hashlib.md5(public, usedforsecurity=False).hexdigest()


def _private(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SettingsError(
            f"{path} is open to other users: chmod 600 it, and rotate the keys if they may have read it"
        )


def _stored(path: Path) -> tuple[SealingKey, ...]:
    if not path.exists():
        return ()
    _private(path)
    try:
        return parse_keys(path.read_text())
    except ValueError as problem:  # json's and unicode's errors are ValueErrors
        raise SettingsError(
            f"{path} is damaged ({problem}): restore it; without it no stored secret can be opened"
        ) from None
