"""What lies at rest sealed: objects in chunks, and messages one by one, with AES-256-GCM (docs/adr/0014).

An object: magic | length of its head (4) | head | chunks. The head is sealed by the installation's key for the object's place,
so it opens nowhere else; it tells the size, the notes and the key of the chunks, or what a key service opens to that key. Each
chunk has its number and whether it is the last in its nonce: none can be moved, left out or cut off. A range reads only its
chunks.

A message: version (1) | id of its data key (4) | salt (12) | count (6) | ciphertext and tag. The cipher's key is made of data
key and salt, so that no number of messages wears a data key out; `place` (where the message stands) is bound to it.

Pure: bytes in, bytes out. INVARIANT: what was altered, cut, moved or exchanged raises Damaged; nothing of it is given out.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"\x93RFseal1"
CHUNK = 1 << 16  # bytes of plain text
KEY_BYTES = 32
_TAG, _LENGTH = 16, 4
_MOST_HEAD = 1 << 20  # bytes: what claims more is none


class Sealer(Protocol):
    """The installation's key (`identity/sealing.py`)."""

    def seal(self, plain: bytes, purpose: str) -> bytes: ...

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """ValueError for what was not sealed for this purpose by a key at hand."""
        ...


class Damaged(OSError):
    """Bytes at rest that are not what was written, or whose key is gone."""


# ---------------------------------------------------------------------- objects
def head(sealer: Sealer, about: Mapping[str, Any], purpose: str) -> bytes:
    """What a sealed object begins with."""
    sealed = sealer.seal(json.dumps(about).encode(), purpose)
    return MAGIC + len(sealed).to_bytes(_LENGTH, "big") + sealed


def read_head(sealer: Sealer, read: Callable[[int, int], bytes], purpose: str) -> tuple[dict[str, Any], int]:
    """What a head tells, and how long it is. `read(offset, length)`. Damaged."""
    start = len(MAGIC) + _LENGTH
    length = int.from_bytes(read(len(MAGIC), _LENGTH), "big")
    if not 0 < length <= _MOST_HEAD:
        raise Damaged("the head of a sealed object is damaged")
    try:
        about = json.loads(sealer.open(read(start, length), purpose))
    except ValueError as problem:  # what is authentic was written by us: a key of the dictionary is not missing
        raise Damaged(f"the head of a sealed object does not open: {problem}") from None
    return about, start + length


def new_key() -> bytes:
    return secrets.token_bytes(KEY_BYTES)


def derived(secret: bytes, salt: bytes, purpose: str) -> bytes:
    """A key of its own for one use of a data key."""
    return hmac.digest(secret, salt + purpose.encode(), "sha256")


def chunks(key: bytes, body: bytes, chunk: int = CHUNK) -> Iterator[bytes]:
    """The body, chunk by chunk; one empty chunk for nothing."""
    cipher, view, last = AESGCM(key), memoryview(body), _count(len(body), chunk) - 1
    for number in range(last + 1):
        yield cipher.encrypt(_nonce(number, number == last), view[number * chunk : (number + 1) * chunk], None)


def _count(size: int, chunk: int) -> int:
    return max(1, -(-size // chunk))


def length(size: int, chunk: int = CHUNK) -> int:
    """How long the chunks of a body are together."""
    return size + _count(size, chunk) * _TAG


def opened(key: bytes, read: Callable[[int, int], bytes], size: int, start: int, end: int, chunk: int = CHUNK) -> bytes:
    """Bytes `start` to `end` of a body of that size; `read(offset, length)` reads from the first chunk on. Damaged."""
    start, end, last = max(start, 0), min(end, size), _count(size, chunk) - 1
    if start >= end and size:
        return b""
    first, final = start // chunk, max(end - 1, 0) // chunk
    cipher, pieces = AESGCM(key), list[bytes]()
    for number in range(first, final + 1):
        plain = min(chunk, size - number * chunk)
        try:
            sealed = read(number * (chunk + _TAG), plain + _TAG)
            pieces.append(cipher.decrypt(_nonce(number, number == last), sealed, None))
        except (InvalidTag, ValueError):
            raise Damaged(f"chunk {number} of a sealed object is not what was written") from None
    return b"".join(pieces)[start - first * chunk : end - first * chunk]


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


# ---------------------------------------------------------------------- messages
_VERSION = 2  # no text begins with it, nor anything that was sealed by the installation's key itself
_ID, _SALT, _COUNT = 4, 12, 6
_HEAD = 1 + _ID + _SALT + _COUNT
OVERHEAD = _HEAD + _TAG
_MOST_CIPHERS = 256


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that messages are sealed with, and the id they name it by."""

    id: int
    secret: bytes


class Run:
    """Seals messages one after another with a data key. Not for two threads at once."""

    def __init__(self, key: DataKey) -> None:
        salt = secrets.token_bytes(_SALT)
        self._head = bytes([_VERSION]) + key.id.to_bytes(_ID, "big") + salt
        self._cipher, self._count = _message_cipher(key.secret, salt), 0

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """Opens only with the same place."""
        number = self._count.to_bytes(_COUNT, "big")
        self._count += 1
        return self._head + number + self._cipher.encrypt(_padded(number), plain, place)


class Opener:
    """Opens messages. `secret_of` gives the data key of an id; what it raises passes through."""

    def __init__(self, secret_of: Callable[[int], bytes]) -> None:
        self._secret_of = secret_of
        self._ciphers: dict[bytes, AESGCM] = {}

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Damaged."""
        named, number, body = sealed[: _HEAD - _COUNT], sealed[_HEAD - _COUNT : _HEAD], sealed[_HEAD:]
        cipher = self._ciphers.get(named)
        if cipher is None:
            cipher = self._cipher(named)
        try:
            return cipher.decrypt(_padded(number), body, place)
        except (InvalidTag, ValueError):
            raise Damaged("a sealed message is not what was written") from None

    def _cipher(self, named: bytes) -> AESGCM:
        if len(named) != _HEAD - _COUNT or named[0] != _VERSION:
            raise Damaged("this is no sealed message")
        secret = self._secret_of(int.from_bytes(named[1 : 1 + _ID], "big"))
        if len(self._ciphers) >= _MOST_CIPHERS:
            self._ciphers.clear()
        return self._ciphers.setdefault(named, _message_cipher(secret, named[1 + _ID :]))


def is_message(raw: bytes) -> bool:
    """Is it sealed? No text begins like that."""
    return raw[:1] == b"\x02"


def key_of(sealed: bytes) -> int:
    """The id of the data key of a message. Damaged."""
    if len(sealed) < OVERHEAD or sealed[0] != _VERSION:
        raise Damaged("this is no sealed message")
    return int.from_bytes(sealed[1 : 1 + _ID], "big")


def _message_cipher(secret: bytes, salt: bytes) -> AESGCM:
    return AESGCM(derived(secret, salt, "message"))


def _padded(number: bytes) -> bytes:
    return bytes(12 - _COUNT) + number
