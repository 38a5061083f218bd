"""Faults in each protocol's AWS error shape, with the request id. Every fault leaves through `render`.

Sources: EC2 API Reference "Error codes" (the EC2 shape); STS and IAM API References "Common errors" (the Query shape);
Amazon S3 API Reference "Error responses"; the protocols of the service models. botocore's parsers read them in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ringfence.api.wire import json, model
from ringfence.api.wire.http import HttpResponse
from ringfence.api.wire.text import escaped, printable
from ringfence.model.errors import ApiError

_Shape = Callable[[str, str, str, int], str]  # code, message, request id (all escaped), status
_Render = Callable[[str, str, str, int], HttpResponse]


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


def _detailed(detail: str) -> _Render:
    """The Query shape with its optional Detail, which clients show beside the message (`Error.Detail` in boto3)."""

    def shape(code: str, message: str, request_id: str, status: int) -> str:
        return _query(code, message, request_id, status).replace(
            "</Message></Error>", f"</Message><Detail>{escaped(detail)}</Detail></Error>"
        )

    return _xml(shape)


def _s3(code: str, message: str, request_id: str, _status: int) -> str:
    return f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>{request_id}</RequestId></Error>"


def _xml(shape: _Shape) -> _Render:
    def render_xml(code: str, message: str, request_id: str, status: int) -> HttpResponse:
        body = '<?xml version="1.0" encoding="UTF-8"?>\n' + shape(
            escaped(code), escaped(message), escaped(request_id), status
        )
        # x-amz-request-id: where REST-XML clients look; S3 as well
        headers = (("x-amzn-requestid", request_id), ("x-amz-request-id", request_id))
        return HttpResponse(status, body.encode(), headers=headers)

    return render_xml


_RENDER: dict[str, _Render] = {
    "ec2": _xml(_ec2),
    "query": _xml(_query),
    "rest-xml": _xml(_query),
    "s3": _xml(_s3),
    "json": json.json_fault,
    "rest-json": json.rest_json_fault,
    "smithy-rpc-v2-cbor": json.cbor_fault,
}
PROTOCOLS = frozenset(_RENDER)
#: may carry faults of Query services
_COMPATIBLE = frozenset({"json", "smithy-rpc-v2-cbor"})
_JSON = frozenset({"json", "rest-json"})


def render(protocol: str, error: ApiError, request_id: str, service: str = "") -> HttpResponse:
    """The response for a fault. `protocol` is one of PROTOCOLS; KeyError for another."""
    message = printable(error.message)
    if error.detail and protocol == "query":
        return _detailed(printable(error.detail))(error.code, message, request_id, error.status)
    if error.detail:
        message = f"{message} ({printable(error.detail)})"
    if error.status == 304:  # such an answer has no body
        return HttpResponse(304, b"", headers=(("x-amz-request-id", request_id),))
    if protocol in _COMPATIBLE and (shapes := model.exceptions(service)) is not None:
        response = _RENDER[protocol](shapes.get(error.code, error.code), message, request_id, error.status)
        side = "Sender" if error.status < 500 else "Receiver"
        return replace(response, headers=(*response.headers, ("x-amzn-query-error", f"{error.code};{side}")))
    response = _RENDER[protocol](error.code, message, request_id, error.status)
    return json.with_reason(response, error.reason) if error.reason and protocol in _JSON else response
