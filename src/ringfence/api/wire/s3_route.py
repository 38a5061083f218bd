"""Which of Amazon S3's operations a request is: method, bucket and key, sub-resource, and members only it requires.

Sources: the service model's `http` traits; Amazon S3 User Guide, "Virtual hosting of general purpose buckets". A request
whose query names a sub-resource that the method has no operation for is no operation at all (`DELETE /b?acl` is not
DeleteBucket).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from ringfence.api.wire import model
from ringfence.api.wire.http import HttpRequest
from ringfence.api.wire.values import wire_name

#: `BUCKET.s3.…` and `BUCKET.localhost` name the bucket in the Host header
_HOSTED = re.compile(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\.(?:s3(?:[.-][a-z0-9.-]+)?|localhost)(?::[0-9]+)?")
#: operations of other endpoints that look like one of S3's
_ELSEWHERE = frozenset({"ListDirectoryBuckets", "WriteGetObjectResponse"})


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `level`: service, bucket or object; `fixed`: its sub-resource; `needs`: required query parameters, headers."""

    action: str
    method: str
    level: str
    fixed: frozenset[tuple[str, str]]
    query: frozenset[str]
    headers: frozenset[str]

    @property
    def weight(self) -> tuple[int, int, str]:
        return -len(self.fixed), -len(self.query) - len(self.headers), self.action


@cache
def routes() -> tuple[Route, ...]:
    """The most specific first."""
    service: Any = model.service("s3")
    found = (service.operation_model(name) for name in service.operation_names if name not in _ELSEWHERE)
    return tuple(sorted((_route(one) for one in found if not one.deprecated), key=lambda route: route.weight))


def _route(operation: Any) -> Route:
    path, _, query = str(operation.http["requestUri"]).partition("?")
    level = "object" if "{Key" in path else "bucket" if "{Bucket" in path else "service"
    shape = operation.input_shape
    needed = [(shape.members[name], name) for name in shape.required_members] if shape is not None else []
    placed = [(member.serialization.get("location"), wire_name(member, name).lower()) for member, name in needed]
    exact = [(member.serialization.get("location"), wire_name(member, name)) for member, name in needed]
    return Route(
        str(operation.name), str(operation.http["method"]), level, frozenset(parse_qsl(query, keep_blank_values=True)),
        frozenset(name for where, name in exact if where == "querystring"),
        frozenset(name for where, name in placed if where == "header"),
    )  # fmt: skip


@cache
def sub_resources() -> frozenset[str]:
    """Every query parameter that turns a request into another operation."""
    return frozenset(name for route in routes() for name, _ in route.fixed) - {"list-type"}


@dataclass(frozen=True, slots=True)
class Place:
    """Bucket and key as they stand in the request, still percent-encoded."""

    bucket: str
    key: str

    @property
    def level(self) -> str:
        return "object" if self.key else "bucket" if self.bucket else "service"


def place_of(request: HttpRequest) -> Place:
    hosted = _HOSTED.fullmatch(request.header("host").lower())
    if hosted is not None:
        return Place(hosted[1], request.path[1:])
    bucket, _, key = request.path[1:].partition("/")
    return Place(bucket, key)


def action_of(request: HttpRequest) -> str:
    """The operation; empty when there is none."""
    given = frozenset(parse_qsl(request.query, keep_blank_values=True)) if request.query else frozenset()
    names, level = frozenset(name for name, _ in given), place_of(request).level
    subs = names & sub_resources()
    for route in routes():
        if route.method != request.method or route.level != level or not route.fixed <= given:
            continue
        if not route.query <= names or not all(name in request.joined for name in route.headers):
            continue
        return route.action if subs <= {name for name, _ in route.fixed} else ""
    return ""
