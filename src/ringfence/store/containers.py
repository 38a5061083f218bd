"""One file of a bucket: plain, or sealed with its notes (format: `sealed.py`; which and why: docs/adr/0014).

What a file is, its first bytes tell. A plain body that begins like a sealed one is kept sealed, so that nothing a client
writes is ever taken for something else.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.store import sealed
from ringfence.store.sealed import Damaged, Sealer

SALT = 16
AES256, KMS = "AES256", "aws:kms"


@dataclass(frozen=True, slots=True)
class Encryption:
    """How something is sealed. With `aws:kms`: the key's ARN, and the whole encryption context that it was asked with."""

    algorithm: str
    key: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    bucket_key: bool = False


@dataclass(frozen=True, slots=True)
class Sealing:
    """How to seal something. `secret`: the key service's data key, and `envelope`, which it opens to that; none for AES256."""

    encryption: Encryption
    secret: bytes = field(default=b"", repr=False)
    envelope: bytes = b""


#: the data key in an envelope
SecretOf = Callable[[Encryption, bytes], bytes]


def no_key(encryption: Encryption, envelope: bytes) -> bytes:
    """For readers that ask no key service. PermissionError."""
    raise PermissionError(f"sealed with {encryption.key}: who reads it must ask for the key")


def pieces(
    sealer: Sealer, purpose: str, body: bytes, about: Mapping[str, Any], sealing: Sealing | None
) -> Iterator[bytes]:
    """A sealed file, in pieces. `sealing` None: a plain body that looks like a sealed one."""
    kept: dict[str, Any]
    if sealing is not None and sealing.encryption.algorithm == KMS and not sealing.secret:
        raise PermissionError(
            "the data key was not asked for"
        )  # never in its stead with a key that nobody is asked for
    if sealing is not None and sealing.secret:
        salt = secrets.token_bytes(SALT)
        key = sealed.derived(sealing.secret, salt, purpose)
        kept = {"salt": salt.hex(), "envelope": base64.b64encode(sealing.envelope).decode()}
    else:
        key = sealed.new_key()
        kept = {"key": key.hex()}
    shown = _written(sealing.encryption) if sealing is not None else None
    yield sealed.head(sealer, {**about, "size": len(body), "encryption": shown, **kept}, purpose)
    yield from sealed.chunks(key, body)


def looks_sealed(body: bytes) -> bool:
    return body.startswith(sealed.MAGIC)


class Held:
    """An open sealed file. Damaged when it is not what was written."""

    def __init__(self, descriptor: int, sealer: Sealer, purpose: str) -> None:
        self._descriptor, self._purpose = descriptor, purpose
        self.about, self._start = sealed.read_head(sealer, self._read, purpose)
        self.size: int = self.about["size"]
        self.encryption = _encryption(self.about["encryption"])
        if os.fstat(descriptor).st_size != self._start + sealed.length(self.size):
            raise Damaged("a sealed object is not as long as it was written")

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def body(self, start: int, end: int, secret_of: SecretOf) -> bytes:
        """Bytes `start` to `end` of what was sealed. Damaged, and what `secret_of` raises."""
        return sealed.opened(
            self._key(secret_of), lambda at, length: self._read(self._start + at, length), self.size, start, end
        )

    def _key(self, secret_of: SecretOf) -> bytes:
        if "key" in self.about:
            return bytes.fromhex(self.about["key"])
        assert self.encryption is not None  # what has no key of its own was sealed with one of a key service
        secret = secret_of(self.encryption, base64.b64decode(self.about["envelope"]))
        return sealed.derived(secret, bytes.fromhex(self.about["salt"]), self._purpose)


def held(descriptor: int, sealer: Sealer | None, purpose: str) -> Held | None:
    """The sealed file, None when it is a plain one. Damaged."""
    if sealer is None or os.pread(descriptor, len(sealed.MAGIC), 0) != sealed.MAGIC:
        return None
    return Held(descriptor, sealer, purpose)


def _written(encryption: Encryption) -> dict[str, Any]:
    return {
        "algorithm": encryption.algorithm, "key": encryption.key, "context": dict(encryption.context),
        "bucket_key": encryption.bucket_key,
    }  # fmt: skip


def _encryption(about: Mapping[str, Any] | None) -> Encryption | None:
    return None if about is None else Encryption(**about)


def sealing_to_text(sealing: Sealing) -> dict[str, Any]:
    """How the parts of an upload are sealed, without a key service's data key."""
    return {"encryption": _written(sealing.encryption), "envelope": base64.b64encode(sealing.envelope).decode()}


def sealing_of(about: Mapping[str, Any]) -> Sealing:
    """What `sealing_to_text` wrote; the data key is in the envelope."""
    return Sealing(Encryption(**about["encryption"]), envelope=base64.b64decode(about["envelope"]))
