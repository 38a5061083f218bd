"""Faults of the JSON and CBOR protocols (AWS JSON 1.0/1.1, REST-JSON, RPC v2 CBOR of the service models).

The operations of these protocols are in `rpc.py` and `rest.py`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import replace

from ringfence.api.wire.http import HttpResponse


def json_fault(code: str, message: str, request_id: str, status: int) -> HttpResponse:
    """AWS JSON: the code stands in `__type`."""
    return _json("application/x-amz-json-1.1", code, message, request_id, status)


def rest_json_fault(code: str, message: str, request_id: str, status: int) -> HttpResponse:
    """REST-JSON: the code stands in a header; also in the body, where older clients look."""
    return _json("application/json", code, message, request_id, status)


def _json(kind: str, code: str, message: str, request_id: str, status: int) -> HttpResponse:
    body = json.dumps({"__type": code, "message": message}).encode()
    return HttpResponse(status, body, kind, (("x-amzn-requestid", request_id), ("x-amzn-errortype", code)))


def with_reason(response: HttpResponse, reason: str) -> HttpResponse:
    """A fault with the member `Reason` that the shapes of some exceptions have."""
    return replace(response, body=json.dumps({**json.loads(response.body), "Reason": reason}).encode())


def cbor_fault(code: str, message: str, request_id: str, status: int) -> HttpResponse:
    """RPC v2 CBOR: a map of two texts (RFC 8949)."""
    body = b"\xa2" + b"".join(map(_cbor_text, ("__type", code, "message", message)))
    headers = (("x-amzn-requestid", request_id), ("smithy-protocol", "rpc-v2-cbor"))
    return HttpResponse(status, body, "application/cbor", headers)


def _cbor_text(text: str) -> bytes:
    raw = text.encode()
    return b"\x7a" + struct.pack(">I", len(raw)) + raw  # a text string with a 4-byte length
