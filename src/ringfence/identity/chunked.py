"""The `aws-chunked` content encoding of Amazon S3: a body in chunks, each signed or none, with trailing headers.

Source: Amazon S3 API Reference, "Signature calculations for the Authorization header: transferring payload in multiple
chunks (chunked upload)" and "… including trailing headers". Pure: bytes in, bytes out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
KINDS = frozenset({SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER})
_HEAD = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")
_EMPTY = hashlib.sha256(b"").hexdigest()
MAX_TRAILERS = 16


class ChunkFault(Exception):
    """The body is not in chunks as its header says."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """A body taken apart; the last chunk is the empty one. `trailers` in the order given, names in lower case."""

    chunks: tuple[tuple[bytes, str | None], ...]
    trailers: tuple[tuple[str, str], ...] = ()
    trailer_signature: str | None = None


def is_chunked(headers: Mapping[str, str]) -> bool:
    """INVARIANT: what decides is the header that the signature covers, never `Content-Encoding`."""
    return headers.get("x-amz-content-sha256", "") in KINDS


def read(body: bytes) -> Chunks:
    """ChunkFault."""
    chunks: list[tuple[bytes, str | None]] = []
    at = 0
    while True:
        end = body.find(b"\r\n", at, at + 128)
        head = _HEAD.fullmatch(body[at:end]) if end >= 0 else None
        if head is None:
            raise ChunkFault("a chunk has no proper head")
        size, start = int(head[1], 16), end + 2
        if start + size > len(body):
            raise ChunkFault("a chunk is cut off")
        chunks.append((body[start : start + size], head[2].decode() if head[2] else None))
        at = start + size
        if size == 0:
            return _trailers(tuple(chunks), body[at:])
        if body[at : at + 2] != b"\r\n":
            raise ChunkFault("a chunk is longer than it says")
        at += 2


def _trailers(chunks: tuple[tuple[bytes, str | None], ...], rest: bytes) -> Chunks:
    lines = [line for line in rest.split(b"\r\n") if line]
    if len(lines) > MAX_TRAILERS:
        raise ChunkFault("too many trailing headers")
    found: list[tuple[str, str]] = []
    signature = None
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise ChunkFault("a trailing header has no name")
        if name.lower() == "x-amz-trailer-signature":
            signature = value.strip()
        else:
            found.append((name.strip().lower(), value.strip()))
    return Chunks(chunks, tuple(found), signature)


def payload(body: bytes) -> bytes:
    """The bytes without their chunks. ChunkFault."""
    return b"".join([data for data, _ in read(body).chunks])


def verify(body: bytes, kind: str, key: bytes, timestamp: str, scope: str, seed: str) -> bool:
    """Is every chunk, and the trailer, signed after the one before it? `seed`: the signature of the request. ChunkFault."""
    taken, before = read(body), seed
    for data, given in taken.chunks:
        digest = hashlib.sha256(data).hexdigest() if data else _EMPTY
        before = _signature(key, "AWS4-HMAC-SHA256-PAYLOAD", timestamp, scope, before, f"{_EMPTY}\n{digest}")
        if given is None or not hmac.compare_digest(before, given):
            return False
    if kind != SIGNED_TRAILER:
        return not taken.trailers and taken.trailer_signature is None
    canonical = "".join(f"{name}:{value}\n" for name, value in taken.trailers)
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    wanted = _signature(key, "AWS4-HMAC-SHA256-TRAILER", timestamp, scope, before, digest)
    return hmac.compare_digest(wanted, taken.trailer_signature or "")


def _signature(key: bytes, kind: str, timestamp: str, scope: str, before: str, what: str) -> str:
    text = f"{kind}\n{timestamp}\n{scope}\n{before}\n{what}"
    return hmac.digest(key, text.encode(), "sha256").hex()
