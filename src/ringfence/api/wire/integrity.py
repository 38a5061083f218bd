"""Checksums of bodies sent to Amazon S3 (User Guide: "Checking object integrity"): Content-MD5 and x-amz-checksum-*, as a header or
behind the body. Every one that is given is checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping

from awscrt import checksums

from ringfence.api.wire.http import HttpRequest
from ringfence.identity import chunked
from ringfence.model.errors import fault

PREFIX = "x-amz-checksum-"
_SETTINGS = frozenset({f"{PREFIX}algorithm", f"{PREFIX}type", f"{PREFIX}mode"})
ALGORITHMS: Mapping[str, Callable[[bytes], bytes]] = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "crc32c": lambda body: int(checksums.crc32c(body)).to_bytes(4, "big"),
    "crc64nvme": lambda body: int(checksums.crc64nvme(body)).to_bytes(8, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
    "sha512": lambda body: hashlib.sha512(body).digest(),
    "md5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
}


def given(request: HttpRequest) -> dict[str, str]:
    """The checksums a request carries, by algorithm. ApiError InvalidRequest when a promised trailer is missing."""
    headers = dict(request.joined)
    if chunked.is_chunked(request.joined):
        trailers = dict(chunked.read(request.body).trailers)
        for name in filter(None, (part.strip().lower() for part in headers.get("x-amz-trailer", "").split(","))):
            if name not in trailers:
                raise fault("MalformedTrailer")
        headers |= trailers
    return {
        name.removeprefix(PREFIX): value for name, value in headers.items()
        if name.startswith(PREFIX) and name not in _SETTINGS
    }  # fmt: skip


def check(request: HttpRequest) -> None:
    """ApiError BadDigest, InvalidDigest, InvalidRequest."""
    body = chunked.payload(request.body) if chunked.is_chunked(request.joined) else request.body
    length = request.header("x-amz-decoded-content-length")
    if length and length != str(len(body)):
        raise fault("IncompleteBody")
    wanted = given(request)
    if request.header("content-md5"):
        wanted = {**wanted, "": request.header("content-md5")}
    for name, text in wanted.items():
        make = ALGORITHMS.get(name or "md5")
        if make is None:
            raise fault("InvalidRequest", message=f"The checksum algorithm {name[:32]} is not supported")
        if make(body) != _decoded(text):
            raise fault("BadDigest", what=name.upper() or "Content-MD5")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise fault("InvalidDigest") from None
