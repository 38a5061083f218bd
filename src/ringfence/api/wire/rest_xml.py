"""REST-XML: the operation is method and path; parameters stand in path, query, headers and an XML body; bodies may be bytes.

Sources: the service model's `http` and XML traits; Smithy "AWS REST XML 1 protocol"; Amazon S3 API Reference. botocore is
the other side in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from lxml import etree

from ringfence.api.ops.context import Params
from ringfence.api.wire import s3_route, values
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.api.wire.rest import RestJson, _header
from ringfence.api.wire.text import UNPRINTABLE, escaped
from ringfence.api.wire.values import MAX_DEPTH, base64_bytes, iso8601, text_timestamp, wire_name
from ringfence.identity import chunked
from ringfence.model.errors import ApiError, fault

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
#: root elements of replies that are named after neither the operation nor a payload
_ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult", "ListObjects": "ListBucketResult", "ListObjectsV2": "ListBucketResult",
    "GetBucketAcl": "AccessControlPolicy", "GetObjectAcl": "AccessControlPolicy", "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketTagging": "Tagging", "GetObjectTagging": "Tagging", "GetBucketLogging": "BucketLoggingStatus",
    "CreateMultipartUpload": "InitiateMultipartUploadResult", "DeleteObjects": "DeleteResult",
    "GetBucketRequestPayment": "RequestPaymentConfiguration", "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketNotificationConfiguration": "NotificationConfiguration", "ListParts": "ListPartsResult",
}  # fmt: skip
#: headers whose values S3 has a word of its own for, when they are none of the model's
_WORDS = {"ServerSideEncryption": "InvalidEncryptionAlgorithmError"}


class Bytes(bytes):
    """A request's body: shows how long it is, never what it is (audit records quote parameters)."""

    def __repr__(self) -> str:
        return f"({len(self)} bytes)"


class RestXml(RestJson):
    """REST-XML of Amazon S3, both ways."""

    def parameters(self, request: HttpRequest, operation: Any) -> dict[str, Any]:
        """ApiError in S3's words: InvalidArgument, InvalidURI, MalformedXML, MissingRequestBodyError."""
        shape = operation.input_shape
        if shape is None:
            return {}
        placed = {name: member for name, member in shape.members.items() if member.serialization.get("location")}
        for name in _WORDS.keys() & placed.keys():
            given = request.header(wire_name(placed[name], name).lower())
            if given and given not in placed[name].metadata["enum"]:
                raise fault(_WORDS[name])
        try:
            out = {name: value for name, value in self._where(placed, request) if value is not None}
        except UnicodeDecodeError:
            raise fault("InvalidURI") from None
        except ApiError as refused:
            raise fault("InvalidArgument", message=refused.message) from None
        out |= self._body(shape, request, frozenset(placed))
        for name in shape.required_members:
            if name not in out:
                raise (
                    fault("MissingRequestBodyError")
                    if name not in placed
                    else fault("InvalidArgument", message=f"{name} is missing")
                )
        return out

    def _where(self, placed: dict[str, Any], request: HttpRequest) -> Iterator[tuple[str, Any]]:
        place = s3_route.place_of(request)
        labels = {"Bucket": place.bucket, "Key": place.key}
        elsewhere = {name: one for name, one in placed.items() if one.serialization["location"] != "uri"}
        for name in placed.keys() - elsewhere.keys():
            yield name, unquote(labels[name], errors="strict")
        for name, value in self._placed(elsewhere, request, None):  # type: ignore[arg-type]
            yield name, _utf8(value) if isinstance(value, (str, dict)) else value

    def _body(self, shape: Any, request: HttpRequest, placed: frozenset[str]) -> dict[str, Any]:
        payload = shape.serialization.get("payload")
        body = chunked.payload(request.body) if chunked.is_chunked(request.joined) else request.body
        if payload is None:
            rest = [name for name in shape.members if name not in placed]
            return _structure(shape, _tree(body), 0, placed) if rest and body else {}
        member = shape.members[payload]
        if member.type_name == "blob":
            return {payload: Bytes(body)}
        if member.type_name == "string":
            return {payload: _text_of(body)}
        return {payload: _structure(member, _tree(body), 0)} if body else {}

    # ------------------------------------------------------------------ replies
    def parts(self, operation: Any, reply: Params) -> list[bytes]:
        """Status and headers as JSON, then the body."""
        shape = operation.output_shape
        status, headers, body = int(operation.http.get("responseCode", 200)), list[tuple[str, str]](), b""
        rest: dict[str, Any] = {}
        for name, value in reply.items():
            member = shape.members[name]
            where = member.serialization.get("location")
            if value is None:
                continue
            if where == "header":
                headers.append((wire_name(member, name).lower(), _header(member, value)))
            elif where == "headers":
                headers += [(f"{wire_name(member, name)}{key}", str(item)) for key, item in value.items()]
            else:
                rest[name] = value
        if shape is not None:
            body = self._xml(operation, shape, rest)
        if "ContentRange" in reply:
            status = 206
        return [json.dumps([status, headers]).encode(), body]

    def _xml(self, operation: Any, shape: Any, rest: dict[str, Any]) -> bytes:
        payload = shape.serialization.get("payload")
        if payload is None:
            if all(member.serialization.get("location") for member in shape.members.values()):
                return b""
            if operation.name == "GetBucketLocation":  # AWS: the root element is the value itself
                return _document("LocationConstraint", escaped(rest.get("LocationConstraint") or ""))
            root = _ROOTS.get(operation.name) or shape.serialization.get("name") or f"{operation.name}Result"
            return _document(root, _members(shape, rest))
        member, value = shape.members[payload], rest.get(payload)
        if member.type_name == "blob":
            return bytes(value or b"")
        if member.type_name == "string":
            return str(value or "").encode()
        root = wire_name(member, member.name) if member.serialization.get("name") else member.name
        return _document(root, _members(member, value or {})) if value is not None else b""

    def answer(self, pieces: list[bytes], request_id: str) -> HttpResponse:
        """The response that `parts` describes. A content-length among the headers is that of a HEAD request's object."""
        status, headers = json.loads(pieces[0])
        named = {str(name): str(value) for name, value in headers}
        length = named.pop("content-length", None)
        kind = named.pop("content-type", "application/xml")
        ids = (("x-amz-request-id", request_id), ("x-amzn-requestid", request_id))
        return HttpResponse(
            status, pieces[1], kind, (*ids, *named.items()), None if length is None or pieces[1] else int(length)
        )


# ---------------------------------------------------------------------- reading XML
def _tree(body: bytes) -> Any:
    """The root element. ApiError MalformedXML for what is no XML, has a DTD or is too large for a configuration."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise fault("MalformedXML") from None
    if root.getroottree().docinfo.doctype:
        raise fault("MalformedXML")
    return root


def _local(element: Any) -> str:
    if not isinstance(element.tag, str):  # an entity that was not resolved
        raise fault("MalformedXML")
    return str(etree.QName(element).localname)


def _structure(shape: Any, element: Any, depth: int, skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise fault("MalformedXML")
    by_tag: dict[str, tuple[str, Any]] = {}
    out: dict[str, Any] = {}
    for name, member in shape.members.items():
        if name in skip:
            continue
        if member.serialization.get("xmlAttribute"):
            held = element.get(f"{{{_XSI}}}{wire_name(member, name).rpartition(':')[2]}")
            if held is not None:
                out[name] = _value(member, held, None, depth)
        else:
            by_tag[_tag(member, name)] = name, member
    for child in element:
        tag = _local(child)
        if tag not in by_tag:
            raise fault("MalformedXML")
        name, member = by_tag[tag]
        if _flat(member):
            out.setdefault(name, []).append(_value(member.member, child.text or "", child, depth + 1))
        elif name in out:
            raise fault("MalformedXML")
        else:
            out[name] = _value(member, child.text or "", child, depth + 1)
    if any(name not in out for name in shape.required_members if name not in skip):
        raise fault("MalformedXML")
    return out


def _flat(member: Any) -> bool:
    return member.type_name == "list" and bool(member.serialization.get("flattened"))


def _tag(member: Any, name: str) -> str:
    if _flat(member):
        return str(member.serialization.get("name") or member.member.serialization.get("name") or name)
    return wire_name(member, name)


def _value(shape: Any, text: str, element: Any, depth: int) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, element, depth)
    if kind == "list":
        return [_value(shape.member, child.text or "", child, depth + 1) for child in element]
    if element is not None and len(element):
        raise fault("MalformedXML")
    try:
        return _scalar(kind, shape, text)
    except (ApiError, ValueError, KeyError):
        raise fault("MalformedXML") from None


def _scalar(kind: str, shape: Any, text: str) -> Any:
    if kind == "boolean":
        return {"true": True, "false": False, "1": True, "0": False}[text.strip().lower()] if text.strip() else None
    if kind in ("integer", "long"):
        if not text.strip().lstrip("-").isdecimal() or len(text.strip()) > 20:
            raise ValueError(text)
        return int(text)
    if kind in ("float", "double"):
        return float(text)
    if kind == "timestamp":
        return text_timestamp(text, "")
    if kind == "blob":
        return base64_bytes(text, "")
    enum = shape.metadata.get("enum")
    if enum and text not in enum:
        raise ValueError(text)
    return text


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise fault("MalformedPolicy", message="The body is not UTF-8") from None


def _utf8(value: Any) -> Any:
    """Header text came as Latin-1; S3's clients send UTF-8 in user metadata."""
    if isinstance(value, dict):
        return {name: _utf8(item) for name, item in value.items()}
    if not isinstance(value, str):
        return value
    try:
        return value.encode("latin-1").decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        return value


# ---------------------------------------------------------------------- writing XML
def _document(root: str, inner: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()


def _members(shape: Any, value: Mapping[str, Any]) -> str:
    return "".join(_element(shape.members[name], name, item) for name, item in value.items() if item is not None)


def _element(member: Any, name: str, value: Any) -> str:
    if member.serialization.get("xmlAttribute"):
        return ""  # written with the enclosing element
    if _flat(member):
        tag = _tag(member, name)
        return "".join(_enclosed(member.member, tag, item) for item in value)
    return _enclosed(member, wire_name(member, name), value)


def _enclosed(shape: Any, tag: str, value: Any) -> str:
    if shape.type_name == "structure":
        return f"<{tag}{''.join(_attributes(shape, value))}>{_members(shape, value)}</{tag}>"
    if shape.type_name == "list":
        item = shape.member.serialization.get("name", "member")
        return f"<{tag}>{''.join(_enclosed(shape.member, item, one) for one in value)}</{tag}>"
    return f"<{tag}>{_written(shape, value)}</{tag}>"


def _attributes(shape: Any, value: Mapping[str, Any]) -> Iterator[str]:
    for name, item in value.items():
        member = shape.members[name]
        if member.serialization.get("xmlAttribute"):
            quoted = escaped(str(item)).replace('"', "&quot;")
            yield f' xmlns:xsi="{_XSI}" {wire_name(member, name)}="{quoted}"'


def _written(shape: Any, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _moment(shape, value)
    if isinstance(value, bytes):
        return values.JSON.write_blob(value)  # type: ignore[no-any-return]
    return escaped(UNPRINTABLE.sub("\ufffd", str(value)))


def _moment(shape: Any, value: datetime) -> str:
    form = shape.serialization.get("timestampFormat", "iso8601")
    if form != "iso8601":
        return str(values.timestamp_text(value, form))
    text = iso8601(value)
    return text if "." in text else f"{text[:-1]}.000Z"
