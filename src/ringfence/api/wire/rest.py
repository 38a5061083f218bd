"""REST-JSON: the operation is method and path; parameters stand in path, query, headers and a JSON body.

Sources: the service models' `http` traits; Smithy "HTTP binding traits" and "AWS REST JSON 1 protocol".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from ringfence.api.wire import model, values
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.api.wire.rpc import json_document, json_text
from ringfence.api.wire.values import (
    Reader,
    Writer,
    base64_bytes,
    invalid,
    require,
    text_timestamp,
    timestamp_text,
    wire_name,
)
from ringfence.model.errors import fault


@dataclass(frozen=True, slots=True)
class Route:
    """One operation's method and path; `query` are fixed query parameters that tell it from others."""

    method: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]
    literals: int  # characters of the path that are no label: the most specific route wins
    action: str


@cache
def routes(service: str) -> tuple[Route, ...]:
    """Every route of a service, the most specific first; () for an unknown service."""
    found = model.service(service)
    if found is None:
        return ()
    made = [_route(found.operation_model(name)) for name in found.operation_names]
    return tuple(sorted(made, key=lambda route: (-route.literals, -len(route.query), route.action)))


def _route(operation: Any) -> Route:
    path, _, query = str(operation.http.get("requestUri", "/")).partition("?")
    pattern, literals = "", 0
    for part in re.split(r"(\{[^}]+\})", path.rstrip("/") or "/"):
        if part.startswith("{"):
            name = part[1:-1]
            greedy = name.endswith("+")
            pattern += f"(?P<{_group(name.rstrip('+'))}>{'.+' if greedy else '[^/]+'})"
        else:
            pattern, literals = pattern + re.escape(part), literals + len(part)
    fixed = frozenset(parse_qsl(query, keep_blank_values=True))
    return Route(str(operation.http["method"]), re.compile(f"{pattern}/?"), fixed, literals, str(operation.name))


def _group(label: str) -> str:
    """A label as a regular expression's group name."""
    return "l_" + re.sub(r"\W", lambda found: f"_{ord(found.group()):x}_", label)


def match(service: str, request: HttpRequest) -> tuple[str, re.Match[str]] | None:
    """The operation that method, path and query name."""
    given = frozenset(parse_qsl(request.query, keep_blank_values=True)) if request.query else frozenset()
    for route in routes(service):
        found = route.path.fullmatch(request.path) if route.method == request.method else None
        if found is not None and route.query <= given:
            return route.action, found
    return None


class RestJson:
    """REST-JSON, both ways."""

    def __init__(self) -> None:
        self._reader, self._writer = Reader(values.JSON), Writer(values.JSON)

    def parameters(self, request: HttpRequest, operation: Any) -> dict[str, Any]:
        """ApiError UnknownOperationException, SerializationException, ValidationException."""
        found = match(operation.service_model.service_name, request)
        if found is None or found[0] != operation.name:
            raise fault(
                "UnknownOperationException", message=f"{request.method} {request.path[:128]} is not served here"
            )
        shape = operation.input_shape
        if shape is None:
            return {}
        placed = {name: member for name, member in shape.members.items() if member.serialization.get("location")}
        out = {name: value for name, value in self._placed(placed, request, found[1]) if value is not None}
        out |= self._body(shape, request, frozenset(placed))
        require(shape, out, "")
        return out

    def _placed(self, members: dict[str, Any], request: HttpRequest, path: re.Match[str]) -> Any:
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        for name, member in members.items():
            wire = wire_name(member, name)
            where = member.serialization["location"]
            if where == "uri":
                yield name, self._text(member, unquote(path[_group(wire)]), name)
            elif where == "querystring":
                yield name, self._query(member, query, wire)
            elif where == "header":
                held = request.joined.get(wire.lower())
                yield name, None if held is None else self._text(member, held, wire, default_time="rfc822")
            elif where == "headers":
                start = wire.lower()
                yield name, {key[len(start) :]: value for key, value in request.joined.items() if key.startswith(start)}

    def _query(self, member: Any, query: dict[str, list[str]], wire: str) -> Any:
        if member.type_name == "map":
            many = member.value.type_name == "list"
            return {key: held if many else held[0] for key, held in query.items()}
        held = query.get(wire)
        if held is None:
            return None
        if member.type_name == "list":
            return [self._text(member.member, item, wire) for item in held]
        if len(held) > 1:
            raise invalid(wire, "it is given more than once")
        return self._text(member, held[0], wire)

    def _text(self, member: Any, text: str, path: str, default_time: str = "iso8601") -> Any:
        """A parameter that is written as text."""
        kind = member.type_name
        if kind == "timestamp":
            form = member.serialization.get("timestampFormat", default_time)
            if form != "unixTimestamp":
                return text_timestamp(text, path)
        if kind == "boolean":
            if text not in ("true", "false"):
                raise invalid(path, "a boolean is expected")
            return text == "true"
        if kind in ("integer", "long", "float", "double", "timestamp"):
            if not re.fullmatch(r"[+-]?[0-9]{1,19}(\.[0-9]{1,19})?([eE][+-]?[0-9]{1,3})?", text):
                raise invalid(path, "a number is expected")
            number = float(text) if re.search("[.eE]", text) else int(text)
            return self._reader.value(member, number, path)
        if kind == "list":
            return [self._text(member.member, item.strip(), path) for item in text.split(",")]
        if member.serialization.get("jsonvalue"):
            return json_document(base64_bytes(text, path))
        return self._reader.value(member, text, path)

    def _body(self, shape: Any, request: HttpRequest, placed: frozenset[str]) -> dict[str, Any]:
        payload = shape.serialization.get("payload")
        if payload is None:
            return self._reader.structure(shape, json_document(request.body), skip=placed)
        member = shape.members[payload]
        if member.type_name == "blob":
            return {payload: request.body}
        if member.type_name == "string":
            return {payload: request.body.decode("utf-8", "replace")}
        return {payload: self._reader.value(member, json_document(request.body), payload)} if request.body else {}

    # ------------------------------------------------------------------ replies
    def result(self, operation: Any, reply: Any) -> str:
        """Status, headers and body in one JSON text, as it is remembered for a repeated ClientToken."""
        shape = operation.output_shape
        status, headers, body = int(operation.http.get("responseCode", 200)), [], ""
        if shape is not None:
            rest: dict[str, Any] = {}
            for name, value in reply.items():
                member = shape.members[name]
                where = member.serialization.get("location")
                if value is None:
                    continue
                if where == "statusCode":
                    status = int(value)
                elif where == "header":
                    headers.append((wire_name(member, name), _header(member, value)))
                elif where == "headers":
                    headers += [(f"{wire_name(member, name)}{key}", str(item)) for key, item in value.items()]
                else:
                    rest[name] = value
            body = self._document(shape, rest)
        return json.dumps([status, headers, body])

    def _document(self, shape: Any, reply: dict[str, Any]) -> str:
        payload = shape.serialization.get("payload")
        if payload is None:
            return json_text(self._writer.structure(shape, reply))
        if payload not in reply:
            return ""
        member, value = shape.members[payload], reply[payload]
        if member.type_name == "string":
            return str(value)
        if member.type_name == "blob":
            raise TypeError("binary payloads are not served over REST-JSON")
        return json_text(self._writer.value(member, value))

    def response(self, operation: Any, result: str, request_id: str) -> HttpResponse:
        status, headers, body = json.loads(result)
        named = tuple((str(name), str(value)) for name, value in headers)
        return HttpResponse(status, body.encode(), "application/json", (("x-amzn-requestid", request_id), *named))


def _header(member: Any, value: Any) -> str:
    if isinstance(value, datetime):
        return str(timestamp_text(value, member.serialization.get("timestampFormat", "rfc822")))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_header(member.member, item) for item in value)
    return str(value)
