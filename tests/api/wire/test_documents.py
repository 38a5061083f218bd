"""JSON, REST-JSON and CBOR: every operation of services that speak them, there and back, against botocore (INF-13)."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import botocore.awsrequest
import botocore.parsers
import botocore.serialize
import cbor2
import pytest

from ringfence.api.wire import model, rest, rpc, values
from ringfence.api.wire.http import HttpRequest
from ringfence.api.wire.route import claim_of
from ringfence.model.errors import ApiError
from tests.api.wire.cases import Cases
from tests.sampling import part

JSON = ("cloudtrail", "organizations", "logs", "firehose", "config")
CBOR = ("monitoring", "tagging")
REST = ("access-analyzer", "ram", "guardduty", "securityhub", "codeguruprofiler", "pricing-plan-manager")
CODECS: dict[str, Any] = {"json": rpc.JsonRpc, "rest-json": rest.RestJson, "smithy-rpc-v2-cbor": rpc.CborRpc}
OPERATIONS = [
    (protocol, scope, name)
    for protocol, scopes in (("json", JSON), ("smithy-rpc-v2-cbor", CBOR), ("rest-json", REST))
    for scope in scopes
    for name in model.service(scope).operation_names  # type: ignore[union-attr]
]
GROUPS = [OPERATIONS[start::12] for start in range(12)]
SEEDS = (("full", False), ("sparse-0", True), ("sparse-1", True))


class Texts(Cases):
    """Values that can stand in a path, a query or a header too: the wire's own limits, not ours."""

    def value(self, shape: Any, above: tuple[str, ...] = ()) -> Any:
        if getattr(shape, "is_document_type", False):
            return {"any": ["thing", 1, None, {"else": True}]}
        made = super().value(shape, above)
        if getattr(shape, "is_tagged_union", False) and made:
            name = self.pick(*made)
            return {name: made[name]}
        where = shape.serialization.get("location")
        if shape.type_name == "timestamp":
            return made.replace(microsecond=0) if where == "header" else made
        if where in ("uri", "header", "headers") and shape.type_name == "string" and not shape.metadata.get("enum"):
            return f"a b/ü%-{self.serial()}" if where == "uri" else f"plain-{self.serial()}"
        return made


def sent(protocol: str, operation: Any, asked: dict[str, Any]) -> HttpRequest:
    """The request botocore makes of parameters."""
    serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
    made = serializer.serialize_to_request(asked, operation)
    split = urlsplit(made["url_path"])
    query = made["query_string"]
    pairs = parse_qsl(split.query, keep_blank_values=True)
    for name, value in query.items() if isinstance(query, dict) else query or ():
        pairs += [(name, str(item)) for item in (value if isinstance(value, list) else [value])]
    body = made["body"]
    headers = tuple((name.lower(), str(value)) for name, value in made["headers"].items())
    return HttpRequest(
        made["method"], split.path, urlencode(pairs), headers, body.encode() if isinstance(body, str) else body or b""
    )


def read(protocol: str, operation: Any, response: Any) -> dict[str, Any]:
    """What botocore makes of a response."""
    headers = dict(response.headers) | {"content-type": response.content_type}
    raw = {"status_code": response.status, "headers": headers, "body": response.body}
    got = botocore.parsers.create_parser(protocol).parse(raw, operation.output_shape)
    assert got.pop("ResponseMetadata")["HTTPStatusCode"] == response.status
    return dict(got)


def _skipped(shape: Any) -> bool:
    """Event streams and binary bodies are not documents."""
    payload = shape.serialization.get("payload") if shape is not None else None
    member = shape.members[payload] if payload else None
    return member is not None and (member.type_name == "blob" or member.serialization.get("eventstream") is True)


def _cases(group: list[tuple[str, str, str]]) -> Any:
    for protocol, scope, name in group:
        for seed, sparse in SEEDS:
            yield protocol, scope, model.operation(scope, name), Texts(f"{scope}:{name}:{seed}", sparse=sparse)


def _agree(protocol: str, operation: Any, cases: Cases, codec: Any) -> bool:
    if operation.input_shape is not None and not _skipped(operation.input_shape):
        asked = cases.value(operation.input_shape)
        if codec.parameters(sent(protocol, operation, asked), operation) != asked:
            return False
    if operation.output_shape is not None and not _skipped(operation.output_shape):
        if getattr(operation, "has_event_stream_output", False):
            return True
        answered = cases.value(operation.output_shape)
        answered = {
            name: value for name, value in answered.items()
            if operation.output_shape.members[name].serialization.get("location") != "statusCode"
        }  # fmt: skip
        response = codec.response(operation, codec.result(operation, answered), "request-1")
        if response.status != operation.http.get("responseCode", 200):
            return False
        if read(protocol, operation, response) != answered:
            return False
    return True


@pytest.mark.parametrize("group", GROUPS, ids=range(len(GROUPS)))
def test_requests_and_replies_agree_with_botocore(group: list[tuple[str, str, str]]) -> None:
    codecs = {protocol: make() for protocol, make in CODECS.items()}
    for protocol, _, operation, cases in _cases(group):
        assert _agree(protocol, operation, cases, codecs[protocol]), operation.name


def test_a_request_names_its_operation() -> None:
    for protocol, scope, name in OPERATIONS:
        operation = model.operation(scope, name)
        asked = Texts(name, sparse=True).value(operation.input_shape) if operation.input_shape is not None else {}  # type: ignore[union-attr]
        request = sent(protocol, operation, asked)
        signed = ("authorization", f"AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/{scope}/aws4_request, …")
        claim = claim_of(
            HttpRequest(request.method, request.path, request.query, (*request.headers, signed), request.body)
        )
        assert (claim.service, claim.protocol, claim.action) == (scope, protocol, name)


# ---------------------------------------------------------------------- what is refused
LOOKUP = model.operation("cloudtrail", "LookupEvents")
VALIDATE = model.operation("access-analyzer", "ValidatePolicy")
PUT_METRIC = model.operation("monitoring", "PutMetricData")
TARGET = (("x-amz-target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"),)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "SerializationException"), (b"[]", "SerializationException"), (b"\xff", "SerializationException"),
        (b'"text"', "SerializationException"), (b"[" * 100_000, "SerializationException"),
        (b'{"MaxResults": "5"}', "SerializationException"), (b'{"MaxResults": 1.5}', "SerializationException"),
        (b'{"MaxResults": true}', "SerializationException"), (b'{"MaxResults": 1e400}', "SerializationException"),
        (b'{"MaxResults": NaN}', "SerializationException"), (b'{"StartTime": 1e300}', "SerializationException"),
        (b'{"StartTime": "soon"}', "SerializationException"), (b'{"NextToken": "\\ud800"}', "SerializationException"),
        (b'{"MaxResults": 1, "MaxResults": 2}', "SerializationException"), (b'{"Unheard": 1}', "ValidationException"),
        (b'{"LookupAttributes": [{"AttributeKey": "EventId"}]}', "ValidationException"),
        (b'{"LookupAttributes": [{"AttributeKey": "Nothing", "AttributeValue": "x"}]}', "ValidationException"),
        (b'{"LookupAttributes": {}}', "SerializationException"),
    ],
)  # fmt: skip
def test_a_wrong_json_document_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(ApiError) as refused:
        rpc.JsonRpc().parameters(HttpRequest("POST", "/", "", TARGET, body), LOOKUP)
    assert refused.value.code == code


def test_null_members_and_an_empty_body_are_absent() -> None:
    assert rpc.JsonRpc().parameters(HttpRequest("POST", "/", "", TARGET, b'{"NextToken": null}'), LOOKUP) == {}
    assert rpc.JsonRpc().parameters(HttpRequest("POST", "/", "", TARGET, b""), LOOKUP) == {}


def test_a_target_of_another_service_is_refused() -> None:
    with pytest.raises(ApiError, match="UnknownOperationException"):
        rpc.JsonRpc().parameters(HttpRequest("POST", "/", "", (("x-amz-target", "Other.LookupEvents"),), b"{}"), LOOKUP)


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"\x01", b"\xa1", cbor2.dumps({"Namespace": 1}), cbor2.dumps({"Namespace": cbor2.CBORTag(99, "x")}),
     cbor2.dumps({}) * 2, b"\x9f" * 5000, b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff"],
)  # fmt: skip
def test_a_wrong_cbor_document_is_refused(body: bytes) -> None:
    path = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
    with pytest.raises(ApiError) as refused:
        rpc.CborRpc().parameters(HttpRequest("POST", path, "", (), body), PUT_METRIC)
    assert refused.value.code in ("SerializationException", "ValidationException")


@pytest.mark.parametrize(
    ("query", "code"),
    [("maxResults=x", "SerializationException"), ("maxResults=1&maxResults=2", "SerializationException"),
     ("maxResults=99999999999999", "SerializationException")],
)  # fmt: skip
def test_a_wrong_query_parameter_is_refused(query: str, code: str) -> None:
    body = b'{"policyDocument": "{}", "policyType": "IDENTITY_POLICY"}'
    with pytest.raises(ApiError) as refused:
        rest.RestJson().parameters(HttpRequest("POST", "/policy/validation", query, (), body), VALIDATE)
    assert refused.value.code == code


def test_times_are_written_in_the_models_format() -> None:
    """botocore reads every format everywhere; other clients do not."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert [values.timestamp_text(moment, form) for form in ("iso8601", "unixTimestamp", "rfc822")] == [
        "2026-01-02T03:04:05.678Z", 1767323045.678, "Fri, 02 Jan 2026 03:04:05 GMT",
    ]  # fmt: skip
    shape = model.operation("access-analyzer", "GetAnalyzer").output_shape  # type: ignore[union-attr]
    made = values.Writer(values.JSON).structure(shape.members["analyzer"], {"createdAt": moment})
    assert made == {"createdAt": "2026-01-02T03:04:05.678Z"}


def test_the_most_specific_route_wins() -> None:
    names = [route.action for route in rest.routes("access-analyzer")]
    assert len(names) == len(set(names)) == len(model.service("access-analyzer").operation_names)  # type: ignore[union-attr]
    assert rest.routes("no-such-service") == ()
    found = rest.match("access-analyzer", HttpRequest("GET", "/nowhere", "", ()))
    assert found is None


def test_numbers_json_cannot_hold() -> None:
    shape = model.operation("monitoring", "GetMetricData").output_shape  # type: ignore[union-attr]
    made = values.Writer(values.JSON).structure(shape, {"MetricDataResults": [{"Values": [1.5]}]})
    assert made == {"MetricDataResults": [{"Values": [1.5]}]}
    assert math.isinf(
        values.Reader(values.JSON).value(
            shape.members["MetricDataResults"].member.members["Values"].member, "Infinity", ""
        )
    )


# ---------------------------------------------------------------------- seeded faults
MUTANTS: dict[str, tuple[ModuleType, str, str]] = {
    "member names instead of wire names": (values, 'member.serialization.get("name", name)', "name"),
    "timestamps lose their fraction": (values, "milliseconds % 1000 == 0", "True"),
    "blobs not encoded": (values, "base64.b64encode(raw).decode()", "raw.decode('latin-1')"),
    "false members left out": (values, "if value is not None\n        }", "if value\n        }"),
    "last item of a list lost": (values, "for item in value]", "for item in value[:-1]]"),
    "32-bit range for long": (values, 'bits = 31 if shape.type_name == "integer" else 63', "bits = 31"),
    "map values as they come": (values, "{key: self.value(shape.value, item) for", "{key: item for"),
    "labels not decoded": (rest, 'unquote(path[', '(path['),
    "query lists cut": (rest, "for item in held]", "for item in held[:1]]"),
    "headers under member names": (rest, "headers.append((wire_name(member, name)", "headers.append((name"),
    "payload inside a document": (rest, "if payload is None:\n            return json_text", "if True:\n            return json_text"),
    "response code ignored": (rest, 'int(operation.http.get("responseCode", 200))', "299"),
    "CBOR times as numbers": (rpc, "cbor2.CBORTag(1, values.epoch(moment))", "str(moment)"),
    "CBOR bytes as text": (rpc, "lambda raw: raw)", "lambda raw: raw.hex())"),
}  # fmt: skip


@pytest.fixture
def restored() -> Iterator[None]:
    """The three modules as they were, whatever a mutant made of them."""
    kept = {module: dict(vars(module)) for module in (values, rest, rpc)}
    yield
    for module, names in kept.items():
        vars(module).clear()
        vars(module).update(names)


def _mutate(original: ModuleType, old: str, new: str) -> None:
    """Run the module's source with one change in its own place; modules that import from it get the mutant's names."""
    source = inspect.getsource(original)
    assert old in source, f"the mutant no longer applies: {old!r}"
    before = dict(vars(original))
    exec(compile(source.replace(old, new), f"{original.__name__} mutant", "exec"), vars(original))
    for module in (rest, rpc):
        for name, value in list(vars(module).items()):
            if module is not original and name in before and before[name] is value:
                setattr(module, name, vars(original)[name])


@pytest.mark.parametrize("name", part(MUTANTS))
def test_the_round_trip_kills_the_mutant(name: str, restored: None) -> None:
    _mutate(*MUTANTS[name])
    codecs: dict[str, Any] = {"json": rpc.JsonRpc(), "rest-json": rest.RestJson(), "smithy-rpc-v2-cbor": rpc.CborRpc()}
    for protocol, _, operation, cases in _cases(OPERATIONS):
        try:
            if not _agree(protocol, operation, cases, codecs[protocol]):
                return
        except Exception:  # noqa: BLE001  a mutant may fail in any way; failing is being found
            return
    pytest.fail("survived")
