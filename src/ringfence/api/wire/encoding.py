"""Compressed requests (Smithy "Request compression trait": clients compress the larger bodies of such operations with gzip).

The signature covers what was sent, so bodies are unpacked after it was checked, and never to more than a bound.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import Any

from ringfence.api.wire.http import HttpRequest
from ringfence.model.errors import fault

MAX_UNPACKED = 4 << 20
_GZIP = 16 + zlib.MAX_WBITS


def compressed(request: HttpRequest) -> bool:
    return request.header("content-encoding").strip().lower() == "gzip"


def beginning(request: HttpRequest, size: int) -> bytes:
    """The first bytes of the body, unpacked; empty when it is not gzip after all. For telling what is asked."""
    try:
        return zlib.decompressobj(_GZIP).decompress(request.body, size)
    except zlib.error:
        return b""


def unpacked(request: HttpRequest, operation: Any) -> HttpRequest:
    """The request as it was before the client compressed it. ApiError SerializationException, RequestEntityTooLarge.

    Operations without the trait are left as they are: what reads their bodies refuses what it cannot read.
    """
    if not compressed(request) or not takes_gzip(operation):
        return request
    try:
        reader = zlib.decompressobj(_GZIP)
        body = reader.decompress(request.body, MAX_UNPACKED)
    except zlib.error:
        raise fault("SerializationException", message="The request body is not valid gzip") from None
    if not reader.eof:
        if len(body) >= MAX_UNPACKED:
            raise fault("RequestEntityTooLarge", limit=MAX_UNPACKED)
        raise fault("SerializationException", message="The request body is not valid gzip")
    headers = tuple((name, value) for name, value in request.headers if name != "content-encoding")
    return replace(request, body=body, headers=headers)


def takes_gzip(operation: Any) -> bool:
    """Does the model say that clients may compress?"""
    trait = operation._operation_model.get("requestcompression") or {}
    return "gzip" in trait.get("encodings", ())
