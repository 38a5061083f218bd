"""REST-XML: every operation of Amazon S3 that is no stream, there and back, against botocore; seeded faults; what is refused (INF-13)."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import botocore.parsers
import botocore.serialize
import pytest
from botocore.awsrequest import HeadersDict

from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.wire import model, rest_xml, s3_route
from ringfence.api.wire.http import HttpRequest
from tests.api.front import Front  # noqa: F401  fills the registry
from tests.api.wire.test_documents import SEEDS, Texts, sent

SERVED = sorted(action for service, action in OPERATIONS if service == "s3")
#: botocore reads the root element of this reply with a handler of its own
_BY_HANDLER = {"GetBucketLocation"}
#: shapes that hold what no element can: names that begin with `xsi:` are an attribute and its namespace
_EVENTS = frozenset({"SelectObjectContent"})


class S3Texts(Texts):
    """Values for S3: buckets have names of one label, and what stands in headers has no spaces at its ends."""

    def value(self, shape: Any, above: tuple[str, ...] = ()) -> Any:
        if shape.name == "BucketName":
            return f"bucket-{self.serial()}"
        if shape.name == "ObjectKey" and shape.serialization.get("location") == "uri":
            return f"a b/ü%-{self.serial()}/"
        made = super().value(shape, above)
        if shape.type_name == "timestamp":
            whole = shape.serialization.get("timestampFormat") == "rfc822" or shape.serialization.get("location")
            return made.replace(microsecond=0 if whole else made.microsecond // 1000 * 1000)
        return made


def _request(operation: Any, asked: dict[str, Any]) -> HttpRequest:
    """As it leaves botocore's client, which writes carriage returns as references after it has serialised."""
    request = sent("rest-xml", operation, asked)
    payload = operation.input_shape.serialization.get("payload")
    if payload and operation.input_shape.members[payload].type_name == "structure":
        return replace(request, body=request.body.replace(b"\r", b"&#xD;"))
    return request


def _agree(operation: Any, cases: S3Texts, codec: Any) -> bool:
    shape = operation.input_shape
    if shape is not None and operation.name not in _EVENTS:
        asked = cases.value(shape)
        request = _request(operation, asked)
        if s3_route.action_of(request) != operation.name:
            return False
        got = codec.parameters(request, operation)
        if _plain(shape, got) != _plain(shape, asked):
            return False
    shape = operation.output_shape
    if shape is None or operation.name in _BY_HANDLER | _EVENTS or getattr(operation, "has_event_stream_output", False):
        return True
    answered = cases.value(shape)
    response = codec.answer(codec.parts(operation, answered), "request-1")
    headers = HeadersDict({**dict(response.headers), "content-type": response.content_type})
    payload = shape.serialization.get("payload")
    stream = payload is not None and shape.members[payload].type_name == "blob"
    raw = {
        "status_code": response.status,
        "body": io.BytesIO(response.body) if stream else response.body,
        "headers": headers,
    }
    read = botocore.parsers.create_parser("rest-xml").parse(raw, shape)
    read.pop("ResponseMetadata")
    if stream:
        read[payload] = read[payload].read()
    drop = {"ContentLength", "ContentType"}  # headers of every response
    return _without(_plain(shape, read), drop) == _without(_plain(shape, answered), drop)


def _without(value: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name not in names}


def _plain(shape: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Bytes of payloads as bytes, names of user metadata in lower case, as headers are."""
    out = dict(value)
    for name, member in shape.members.items():
        if name in out and member.type_name == "blob":
            out[name] = bytes(out[name]) if not isinstance(out[name], str) else out[name].encode()
        if name in out and member.serialization.get("location") == "headers":
            out[name] = {key.lower(): item for key, item in out[name].items()}
    return {name: item for name, item in out.items() if item not in ({}, b"")}  # on the wire the same as nothing


def _cases() -> Iterator[tuple[Any, S3Texts]]:
    for name in SERVED:
        for seed, sparse in SEEDS:
            yield model.operation("s3", name), S3Texts(f"s3:{name}:{seed}", sparse=sparse)


@pytest.mark.parametrize("name", SERVED)
def test_requests_and_replies_agree_with_botocore(name: str) -> None:
    for seed, sparse in SEEDS:
        assert _agree(model.operation("s3", name), S3Texts(f"s3:{name}:{seed}", sparse=sparse), rest_xml.RestXml()), (
            seed
        )


def test_every_operation_of_the_model_is_found_by_its_request() -> None:
    """Also those that are not served: they must be refused by their own names."""
    for name in model.service("s3").operation_names:  # type: ignore[union-attr]
        operation: Any = model.operation("s3", name)
        if operation.deprecated or name in ("ListDirectoryBuckets", "WriteGetObjectResponse"):
            continue
        for seed in range(3):
            shape = operation.input_shape
            asked = {
                member: S3Texts(f"{name}{seed}", sparse=True).value(shape.members[member])
                for member in shape.members
                if shape.members[member].serialization.get("location") and (member in shape.required_members or seed == 1)
            } if shape is not None else {}  # fmt: skip
            request = sent("rest-xml", operation, asked)
            if seed != 1:  # optional members may make another operation of it: that is what they are for
                assert s3_route.action_of(request) == name


# ---------------------------------------------------------------------- seeded faults
MUTANTS: dict[str, tuple[Any, str, str]] = {
    "flattened lists wrapped": (rest_xml, "if _flat(member):\n        tag = _tag", "if False:\n        tag = _tag"),
    "the last item of a list lost": (rest_xml, "for item in value)", "for item in value[:-1])"),
    "attributes forgotten": (rest_xml, "{''.join(_attributes(shape, value))}", ""),
    "member names instead of wire names": (rest_xml, "return _enclosed(member, wire_name(member, name), value)",
                                           "return _enclosed(member, name, value)"),
    "text not escaped": (rest_xml, "return escaped(UNPRINTABLE", "return (UNPRINTABLE"),
    "false left out": (rest_xml, 'return "true" if value else "false"', 'return "true"'),
    "times to the minute": (rest_xml, 'text = iso8601(value)', 'text = iso8601(value.replace(second=0))'),
    "headers under other names": (rest_xml, "headers.append((wire_name(member, name).lower()", "headers.append((name.lower()"),
    "metadata without its prefix": (rest_xml, 'f"{wire_name(member, name)}{key}"', 'f"{key}"'),
    "keys not decoded": (rest_xml, 'unquote(labels[name], errors="strict")', "labels[name]"),
    "payload read as the whole": (rest_xml, "{payload: _structure(member, _tree(body), 0)}", "_structure(member, _tree(body), 0)"),
    "one of a flattened list": (rest_xml, "out.setdefault(name, []).append", "out.update({name: []}) or out[name].append"),
    "lists of one level": (rest_xml, "for child in element]", "for child in list(element)[:1]]"),
    "sub-resources ignored": (s3_route, "route.fixed <= given", "True"),
    "required parameters ignored": (s3_route, "not route.query <= names", "False"),
    "required headers ignored": (s3_route, "all(name in request.joined for name in route.headers)", "True"),
    "the least specific first": (s3_route, "return -len(self.fixed), -len(self.query)", "return len(self.fixed), len(self.query)"),
}  # fmt: skip


@pytest.fixture
def restored() -> Iterator[None]:
    kept = {module: dict(vars(module)) for module in (rest_xml, s3_route)}
    yield
    for module, names in kept.items():
        vars(module).clear()
        vars(module).update(names)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_round_trip_kills_the_mutant(name: str, restored: None) -> None:
    module, old, new = MUTANTS[name]
    source = inspect.getsource(module)
    assert old in source, f"the mutant no longer applies: {old!r}"
    exec(compile(source.replace(old, new), f"{module.__name__} mutant", "exec"), vars(module))
    codec = rest_xml.RestXml()
    for operation, cases in _cases():
        try:
            if not _agree(operation, cases, codec):
                return
        except Exception:  # noqa: BLE001  a mutant may fail in any way; failing is being found
            return
    pytest.fail("survived")


def test_a_bucket_named_in_the_host_is_the_same_request() -> None:
    for path, action in (("/", "ListObjectsV2"), ("/a/b", "GetObject")):
        query = "list-type=2" if path == "/" else ""
        hosted = HttpRequest("GET", path, query, (("host", "logs.s3.us-east-1.amazonaws.com"),))
        plain = HttpRequest("GET", f"/logs{quote(path)}", query, (("host", "127.0.0.1"),))
        assert s3_route.action_of(hosted) == s3_route.action_of(plain) == action


def test_without_a_fault_the_same_source_agrees(restored: None) -> None:
    """So that mutants die of their fault, not of being run once more."""
    for module in (rest_xml, s3_route):
        exec(compile(inspect.getsource(module), f"{module.__name__} again", "exec"), vars(module))
    codec = rest_xml.RestXml()
    assert all(_agree(operation, cases, codec) for operation, cases in _cases())
