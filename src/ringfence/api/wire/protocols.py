"""The protocols a request may come in, each with what reads its parameters and writes its reply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from ringfence.api.wire import encoding, model
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.api.wire.query import QueryParser
from ringfence.api.wire.rest import RestJson
from ringfence.api.wire.rest_xml import RestXml
from ringfence.api.wire.route import Form
from ringfence.api.wire.rpc import CborRpc, JsonRpc
from ringfence.api.wire.xml import XmlSerializer, document
from ringfence.model.errors import fault

Params = dict[str, Any]


class DocumentCodec(Protocol):
    """A protocol whose requests and replies are documents. What `result` gives is remembered for a repeated ClientToken."""

    def parameters(self, request: HttpRequest, operation: Any) -> Params: ...
    def result(self, operation: Any, reply: Mapping[str, Any]) -> str: ...
    def response(self, operation: Any, result: str, request_id: str) -> HttpResponse: ...


class Protocols:
    """All of them. `operation`: botocore's model of one; `service`: the name that requests are signed for."""

    def __init__(self) -> None:
        self._forms = {"ec2": QueryParser(ec2=True), "query": QueryParser(ec2=False)}
        self._documents: dict[str, DocumentCodec] = {
            "json": JsonRpc(),
            "rest-json": RestJson(),
            "smithy-rpc-v2-cbor": CborRpc(),
        }
        self._s3 = RestXml()
        self._serializers: dict[str, XmlSerializer] = {}  # by service: each remembers what it has written

    # ------------------------------------------------------------------ requests
    def are_forms(self, protocol: str) -> bool:
        return protocol in self._forms

    def are_documents(self, protocol: str) -> bool:
        return protocol in self._documents

    def of_form(self, protocol: str, operation: Any, form: Form) -> Params:
        """ApiError NoSuchVersion, or as `QueryParser`."""
        newest = str(operation.service_model.api_version)
        if form.version is not None and not _known_version(form.version, newest):
            raise fault("NoSuchVersion", version=form.version[:32])
        return self._forms[protocol].parameters(operation.input_shape, form.pairs)

    def of_document(self, protocol: str, request: HttpRequest, operation: Any) -> Params:
        """ApiError in the words of the protocol."""
        return self._documents[protocol].parameters(encoding.unpacked(request, operation), operation)

    def of_object(self, request: HttpRequest, operation: Any) -> Params:
        """Of Amazon S3. ApiError."""
        return self._s3.parameters(request, operation)

    # ------------------------------------------------------------------ replies
    def result(self, protocol: str, service: str, operation: Any, reply: Mapping[str, Any]) -> list[bytes]:
        """A reply's parts, without what differs between two calls with the same reply."""
        if protocol == "s3":
            return self._s3.parts(operation, reply)
        if protocol in self._documents:
            return [self._documents[protocol].result(operation, reply).encode()]
        serializer = self._serializers.get(service)
        if serializer is None:
            serializer = self._serializers.setdefault(service, XmlSerializer())
        return serializer.result(protocol, operation, reply)

    def response(
        self, protocol: str, service: str, operation: Any, result: list[bytes], request_id: str
    ) -> HttpResponse:
        """The answer with a reply's parts."""
        if protocol == "s3":
            return self._s3.answer(result, request_id)
        if protocol in self._documents:
            return self._documents[protocol].response(operation, b"".join(result).decode(), request_id)
        text = document(protocol, operation.name, model.namespace(service), result, request_id)
        return HttpResponse(200, text, headers=(("x-amzn-requestid", request_id),))


def _known_version(given: str, newest: str) -> bool:
    return re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", given) is not None and given <= newest
