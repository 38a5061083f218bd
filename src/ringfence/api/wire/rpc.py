"""AWS JSON 1.0/1.1 and RPC v2 CBOR: one document in, one document out, the operation named in a header or in the path.

Sources: the service models; Smithy "AWS JSON 1.1 protocol" and "Smithy RPC v2 CBOR protocol"; RFC 8949 through cbor2.
"""

from __future__ import annotations

import io
import json
import math
import re
from datetime import datetime
from typing import Any

import cbor2

from ringfence.api.wire import values
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.api.wire.values import Dialect, Reader, Writer, invalid, timestamp_of
from ringfence.model.errors import fault

_CBOR_PATH = re.compile("/service/([A-Za-z0-9_]{1,128})/operation/([A-Za-z0-9_]{1,128})")


def json_document(body: bytes) -> Any:
    """The JSON of a body; nothing is an empty structure. ApiError SerializationException."""
    if not body.strip():
        return {}
    try:
        return json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise fault("SerializationException", message="The request body is not valid JSON") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """INVARIANT: what is signed and audited is what is done: a member given twice would be read two ways."""
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a member is given twice")
    return out


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def json_text(document: Any) -> str:
    """A reply's document as JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, default=_unknown)


def _unknown(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} has no form in JSON")


class JsonRpc:
    """AWS JSON: `X-Amz-Target: PREFIX.Operation`."""

    def __init__(self) -> None:
        self._reader, self._writer = Reader(values.JSON), Writer(values.JSON)

    def parameters(self, request: HttpRequest, operation: Any) -> dict[str, Any]:
        """ApiError UnknownOperationException, SerializationException, ValidationException."""
        prefix = operation.service_model.metadata.get("targetPrefix")
        if request.header("x-amz-target") != f"{prefix}.{operation.name}":
            raise fault(
                "UnknownOperationException", message=f"{request.header('x-amz-target')[:128]} is not served here"
            )
        document = json_document(request.body)
        if operation.input_shape is None:
            return {}
        return self._reader.structure(operation.input_shape, document)

    def result(self, operation: Any, reply: Any) -> str:
        """The reply's text, as it is remembered for a repeated ClientToken."""
        if operation.output_shape is None:
            return ""
        return json_text(self._writer.structure(operation.output_shape, reply))

    def response(self, operation: Any, result: str, request_id: str) -> HttpResponse:
        version = operation.service_model.metadata.get("jsonVersion", "1.1")
        return HttpResponse(
            200, result.encode(), f"application/x-amz-json-{version}", (("x-amzn-requestid", request_id),)
        )


# ---------------------------------------------------------------------- CBOR
def _cbor_time(value: Any, path: str) -> datetime:
    if isinstance(value, datetime):
        return value
    return timestamp_of(value, path)


def _cbor_bytes(value: Any, path: str) -> bytes:
    if not isinstance(value, bytes):
        raise invalid(path, "bytes are expected")
    return value


#: timestamps travel as tag 1, seconds since 1970
CBOR = Dialect(_cbor_time, lambda moment: cbor2.CBORTag(1, values.epoch(moment)), _cbor_bytes, lambda raw: raw)


def cbor_claim(path: str) -> str:
    """The operation a path of RPC v2 names; empty when it names none."""
    found = _CBOR_PATH.fullmatch(path)
    return found.group(2) if found else ""


class CborRpc:
    """RPC v2 CBOR: `POST /service/NAME/operation/OPERATION`."""

    def __init__(self) -> None:
        self._reader, self._writer = Reader(CBOR), Writer(CBOR)

    def parameters(self, request: HttpRequest, operation: Any) -> dict[str, Any]:
        """ApiError UnknownOperationException, SerializationException, ValidationException."""
        found = _CBOR_PATH.fullmatch(request.path)
        known = operation.service_model.metadata.get("targetPrefix")
        if request.method != "POST" or found is None or found.group(1) != known:
            raise fault("UnknownOperationException", message=f"{request.path[:128]} is not served here")
        document = _cbor_document(request.body)
        if operation.input_shape is None:
            return {}
        return self._reader.structure(operation.input_shape, document)

    def result(self, operation: Any, reply: Any) -> str:
        """The reply's bytes as Latin-1 text, so that they can be remembered like the others'."""
        if operation.output_shape is None:
            return ""
        return cbor2.dumps(self._writer.structure(operation.output_shape, reply)).decode("latin-1")

    def response(self, operation: Any, result: str, request_id: str) -> HttpResponse:
        headers = (("x-amzn-requestid", request_id), ("smithy-protocol", "rpc-v2-cbor"))
        return HttpResponse(200, result.encode("latin-1"), "application/cbor", headers)


def _cbor_document(body: bytes) -> Any:
    if not body:
        return {}
    stream = io.BytesIO(body)
    try:
        document = cbor2.CBORDecoder(stream, tag_hook=_no_tag).decode()
    except (cbor2.CBORError, ValueError, OverflowError, RecursionError, OSError, TypeError):
        raise fault("SerializationException", message="The request body is not valid CBOR") from None
    if stream.read(1):
        raise fault("SerializationException", message="There is more than one document in the request body")
    return _finite(document)


def _no_tag(_decoder: Any, tag: Any) -> Any:
    raise ValueError(f"tag {tag.tag} is not used by the protocol")


def _finite(document: Any) -> Any:
    """Plain values only: cbor2 makes objects of some tags (decimals, patterns, addresses) that no shape has."""
    if isinstance(document, dict):
        return {key: _finite(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [_finite(item) for item in document]
    if document is None or isinstance(document, (str, bool, int, bytes, datetime)):
        return document
    if isinstance(document, float):
        return (
            document if math.isfinite(document) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(document, "NaN")
        )
    raise fault("SerializationException", message="The request body holds a value that the protocol has no use for")
