"""What a request asks for, before and after it is authenticated: service, protocol, action, form parameters.

One endpoint serves all services. The service is that of the credential scope, which the signature covers; without a
scope, the first label of the Host header (`ec2.…`), which serves only to shape the refusal.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from urllib.parse import unquote

from ringfence.api.wire import encoding, model, rest, rpc, s3_route
from ringfence.api.wire.http import HttpRequest
from ringfence.model.errors import ApiError, fault

MAX_PARAMETERS = 20_000
FORM = "application/x-www-form-urlencoded"
#: the query-string parameters of a presigned request
_PRESIGNED = frozenset({"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
                        "X-Amz-Signature", "X-Amz-Security-Token"})  # fmt: skip
_SCOPE = re.compile(r"Credential=([^/,\s&]{1,128})/[^/,\s&]*/([^/,\s&]*)/([A-Za-z0-9_.-]{1,64})/")
_PEEKED = 4096
_SLASH = re.compile("%2[Ff]")
_ACTION = re.compile(rb"(?:^|&)Action=([A-Za-z0-9]{1,128})(?:&|$)")


#: AWS STS API Reference: the calls that need no signature, because a token of another identity provider stands for one
UNSIGNED = frozenset({"AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"})


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of itself, true or not: for shaping and auditing its refusal."""

    service: str
    protocol: str
    action: str
    region: str
    access_key_id: str
    at: float = field(default_factory=time.perf_counter, compare=False)  # when it was looked at first


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a Query request, apart from its envelope."""

    action: str
    version: str | None
    pairs: tuple[tuple[str, str], ...]


def claim_of(request: HttpRequest) -> Claim:
    """Never raises."""
    found = _SCOPE.search(request.header("authorization")) or _SCOPE.search(_SLASH.sub("/", request.query[:4096]))
    action = claimed_action(request)
    key, region, service = found.groups() if found else ("", "", "sts" if action in UNSIGNED else _hosted(request))
    protocol = _protocol(service, action, request)
    if protocol == "smithy-rpc-v2-cbor":
        action = rpc.cbor_claim(request.path)
    elif protocol == "rest-json" and not action:
        route = rest.match(service, request)
        action = route[0] if route else ""
    elif protocol == "s3":
        action = s3_route.action_of(request)
    return Claim(service or "unknown", protocol, action, region[:64], key)


def unsigned(request: HttpRequest, claim: Claim) -> bool:
    """Is this one of the calls without a signature, and has it none? Whatever looks like a signature is checked as one."""
    if claim.service != "sts" or claim.action not in UNSIGNED or request.header("authorization"):
        return False
    return "X-Amz-" not in request.query and not request.header("x-amz-security-token")


def _hosted(request: HttpRequest) -> str:
    label = request.header("host").partition(".")[0].lower().removeprefix("stream-").removeprefix("streaming-")
    return label if label in model.service_names() else ""


def claimed_action(request: HttpRequest) -> str:
    """The action, or what comes nearest, as text to show; empty when there is none."""
    target = request.header("x-amz-target")
    if target:
        return target.rpartition(".")[2][:128]
    found = _ACTION.search(_start(request)) if request.method == "POST" and is_form(request) else None
    found = found or _ACTION.search(request.query.encode("latin-1", "replace"))
    return found.group(1).decode() if found else ""


def _start(request: HttpRequest) -> bytes:
    """The body, or as much of a compressed one as an action can be expected in."""
    return encoding.beginning(request, _PEEKED) if encoding.compressed(request) else request.body


def _protocol(service: str, action: str, request: HttpRequest) -> str:
    """The protocol the client speaks. Newer models list several: the request itself tells which of them it is."""
    if request.header("smithy-protocol") == "rpc-v2-cbor":
        return "smithy-rpc-v2-cbor"
    if request.header("x-amz-target"):
        return "json"
    if service == "s3":
        return "s3"
    declared = model.protocol(service)
    if declared == "ec2" or (declared == "query" and (action or request.path == "/")):
        return declared
    if action:
        return "query" if service else "ec2"  # a reader of Query errors understands the EC2 shape, not vice versa
    if declared in ("json", "rest-json", "rest-xml"):
        return declared
    # a scope that is no model's name, or shared with a service of another protocol: nearly all such speak REST-JSON
    return "rest-json" if service or "json" in request.header("content-type") else "rest-xml"


def is_form(request: HttpRequest) -> bool:
    return request.header("content-type").partition(";")[0].strip().lower() in ("", FORM)


def read_form(request: HttpRequest, *, presigned: bool) -> Form:
    """The parameters of the query string and, of a POST, of the body. ApiError MalformedQueryString or InvalidRequest."""
    encoding = request.header("content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise fault("InvalidRequest", message=f"The content encoding '{encoding[:32]}' is not supported")
    pairs = _pairs(request.query.encode("latin-1", "replace"))
    if presigned:
        pairs = [pair for pair in pairs if pair[0] not in _PRESIGNED]
    if request.method == "POST" and is_form(request):
        pairs += _pairs(request.body)
    if len(pairs) > MAX_PARAMETERS:
        raise _malformed(f"The request has more than {MAX_PARAMETERS} parameters")
    if len(pairs) >= 2 and pairs[0][0] == "Action" and pairs[1][0] == "Version":  # as every client sends it
        names = [name for name, _ in pairs[2:]]
        if "Action" not in names and "Version" not in names:
            return Form(pairs[0][1], pairs[1][1], tuple(pairs[2:]))
    actions = [value for name, value in pairs if name == "Action"]
    versions = [value for name, value in pairs if name == "Version"]
    if len(actions) > 1 or len(versions) > 1:
        raise _malformed("Action or Version is given more than once")
    rest = tuple(pair for pair in pairs if pair[0] not in ("Action", "Version"))
    return Form(actions[0] if actions else "", versions[0] if versions else None, rest)


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    if not raw:
        return []
    if raw.count(b"&") >= MAX_PARAMETERS + 10:
        raise _malformed(f"The request has more than {MAX_PARAMETERS} parameters")
    try:
        # slashes and colons first: they stand in every address block and time, and take part in nothing that follows
        text = raw.decode().replace("+", " ").replace("%2F", "/").replace("%3A", ":")
        pairs = [item.partition("=") for item in text.split("&") if item]
        if "%" not in text:
            return [(name, value) for name, _, value in pairs]
        return [(unquoted(name), unquoted(value)) for name, _, value in pairs]
    except UnicodeDecodeError:
        raise _malformed("The parameters are not UTF-8") from None


def unquoted(text: str) -> str:
    """Without percent-encoding. UnicodeDecodeError when what it stands for is not UTF-8."""
    return unquote(text, errors="strict") if "%" in text else text


def _malformed(message: str) -> ApiError:
    return fault("MalformedQueryString", message=message)
