"""Faults in each protocol's AWS error shape. Every fault leaves through `render`."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from ringfence.api.wire.http import HttpResponse
from ringfence.model.errors import ApiError

_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def _ec2(code: str, message: str, request_id: str, _status: int) -> str:
    return (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )


def _query(code: str, message: str, request_id: str, status: int) -> str:
    kind = "Sender" if status < 500 else "Receiver"
    return (
        f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def _s3(code: str, message: str, request_id: str, _status: int) -> str:
    return f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>"


_XML_SHAPES = {"ec2": _ec2, "query": _query, "rest-xml": _query, "s3": _s3}


def render(protocol: str, error: ApiError, request_id: str) -> HttpResponse:
    """The response for a fault. `protocol`: ec2, query, json, rest-json, rest-xml, or s3."""
    headers = (("x-amzn-requestid", request_id),)
    shape = _XML_SHAPES.get(protocol)
    if shape is not None:
        body = _XML + shape(escape(error.code), escape(error.message), escape(request_id), error.status)
        return HttpResponse(error.status, body.encode(), headers=headers)
    text = json.dumps({"__type": error.code, "message": error.message})
    kind = "application/json" if protocol == "rest-json" else "application/x-amz-json-1.1"
    return HttpResponse(error.status, text.encode(), kind, (*headers, ("x-amzn-errortype", error.code)))
