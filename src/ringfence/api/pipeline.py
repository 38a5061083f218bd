"""The way of a request, stage by stage: size → service and protocol → signature → parse → authorise → DryRun → execute →
commit → serialise. Every fault leaves through `wire/fault.py`, and every refusal is audited.

`begin` does what needs no lock and tells whether the call writes; `finish` does the rest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from ringfence.api import audit
from ringfence.api.ops.context import Call, Outcome, Params, Principal
from ringfence.api.ops.registry import OPERATIONS, Operation
from ringfence.api.wire import fault as wire_fault
from ringfence.api.wire import model
from ringfence.api.wire.http import HttpRequest, HttpResponse
from ringfence.api.wire.query import QueryParser, XmlSerializer, build_tree
from ringfence.identity import sigv4
from ringfence.identity.credentials import Credential, Credentials
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import IdSource
from ringfence.model.quotas import Limits
from ringfence.model.regions import REGIONS
from ringfence.model.world import Change, World
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence.api")

MAX_BODY = 1 << 20  # bytes; EC2 requests are far smaller
MAX_PARAMETERS = 20_000
#: runs before an operation of its service; gives the change that makes an untouched (account, Region) usable
Prepare = Callable[[Call, World], Change | None]
Authorise = Callable[[Call, Params], None]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes: the credential-scope service, its protocol, and the action if it could be told."""

    service: str
    protocol: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """An authenticated, parsed and authorised call that waits to be executed."""

    call: Call
    operation: Operation
    params: dict[str, Any]
    route: Route
    dry_run: bool

    @property
    def mutating(self) -> bool:
        return self.operation.mutating and not self.dry_run


def only_root(call: Call, params: Params) -> None:
    """The account root may do everything; nobody else anything. ApiError otherwise."""
    if not call.principal.is_root:
        message = f"User: {call.principal.arn} is not authorized to perform: {call.service}:{call.action}"
        raise fault("UnauthorizedOperation" if call.service == "ec2" else "AccessDenied", message=message)


@dataclass
class Pipeline:
    """Everything a request meets. `handle` never raises."""

    store: Store
    credentials: Credentials
    clock: Clock
    ids: IdSource
    limits: Limits = field(default_factory=Limits)
    prepare: Mapping[str, Sequence[Prepare]] = field(default_factory=dict)
    authorise: Authorise = only_root
    reset: Callable[[], None] | None = None
    check: Callable[[World], None] | None = None  # invariants, in debug installations
    after_write: Callable[[], None] | None = None  # without a data plane: settles what the write left in transition

    def __post_init__(self) -> None:
        self._parsers = {True: QueryParser(ec2=True), False: QueryParser(ec2=False)}
        self._serializers: dict[str, XmlSerializer] = {}

    # ------------------------------------------------------------------ entry points
    def handle(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request."""
        begun = self.begin(request)
        return begun if isinstance(begun, HttpResponse) else self.finish(begun)

    def begin(self, request: HttpRequest) -> Begun | HttpResponse:
        """Route, authenticate, parse, authorise. A response when it ends here."""
        request_id = self.ids.uuid()
        route = Route("ec2", "ec2")
        try:
            if request.path.startswith("/_ringfence/"):
                return self._own(request)
            route = self._route(request)
            return self._begin(request, route, request_id)
        except ApiError as error:
            return self._refuse_unauthenticated(request, route, request_id, error)
        except Exception:  # noqa: BLE001  reported, counted and answered by _bug
            return self._bug(route, request_id)

    def finish(self, begun: Begun) -> HttpResponse:
        """Execute, commit, serialise."""
        try:
            return self._write(begun) if begun.mutating else self._read(begun)
        except ApiError as error:
            return self._refuse(begun, error)
        except Exception:  # noqa: BLE001  reported, counted and answered by _bug
            return self._bug(begun.route, begun.call.request_id, begun)

    # ------------------------------------------------------------------ faults
    def _bug(self, route: Route, request_id: str, begun: Begun | None = None) -> HttpResponse:
        """Anything but an ApiError is our bug: logged with the request id, answered with InternalError."""
        log.exception("request %s: internal error", request_id)
        error = fault("InternalError" if route.protocol == "ec2" else "InternalFailure")
        if begun is not None:
            return self._refuse(begun, error)
        return wire_fault.render(route.protocol, error, request_id)

    def _refuse(self, begun: Begun, error: ApiError) -> HttpResponse:
        read_only = not begun.operation.mutating
        self.store.audit(audit.record(begun.call, begun.params, read_only=read_only, error=error))
        return wire_fault.render(begun.route.protocol, error, begun.call.request_id)

    def _refuse_unauthenticated(
        self, request: HttpRequest, route: Route, request_id: str, error: ApiError
    ) -> HttpResponse:
        found = re.search(r"Credential=([A-Za-z0-9]{1,128})[/%]", request.header("authorization") + "&" + request.query)
        now = self.clock.now()
        record = audit.refused(
            service=route.service, action=route.action or _form(request).get("Action", "")[:128], region="",
            time=now.strftime("%Y-%m-%dT%H:%M:%SZ"), source_ip=request.peer,
            user_agent=request.header("user-agent")[:512], request_id=request_id,
            access_key_id=found.group(1) if found else "", error=error,
        )  # fmt: skip
        self.store.audit(record)
        return wire_fault.render(route.protocol, error, request_id)

    # ------------------------------------------------------------------ stages
    def _own(self, request: HttpRequest) -> HttpResponse:
        """`POST /_ringfence/reset` of an ephemeral installation, from loopback only."""
        if request.path == "/_ringfence/reset" and self.reset and request.method == "POST" and _loopback(request.peer):
            self.reset()
            return HttpResponse(200, b'{"status": "ok"}', "application/json")
        return HttpResponse(404, b'{"message": "not found"}', "application/json")

    def _route(self, request: HttpRequest) -> Route:
        scope = _scope_service(request)
        host = request.header("host").split(":")[0].split(".")[0].lower()
        name = scope or (host if host in ("ec2", "sts", "iam") else "")
        if not name:
            target = request.header("x-amz-target")
            return Route("unknown", "json" if target else "ec2" if _form(request) else "rest-xml")
        protocol = model.protocol(name) or ("json" if request.header("x-amz-target") else "query")
        return Route(name, "s3" if name == "s3" else _spoken(protocol, request))

    def _begin(self, request: HttpRequest, route: Route, request_id: str) -> Begun | HttpResponse:
        if len(request.body) > MAX_BODY:
            raise fault("RequestEntityTooLarge", limit=MAX_BODY)
        signature, credential = self._authenticate(request, route)
        form = _form(request)
        action = form.get("Action") or request.header("x-amz-target").rpartition(".")[2]
        call = self._call(request, route, signature.region, credential, action, request_id)
        try:
            return self._parse(request, route, call, action)
        except ApiError as error:
            self.store.audit(audit.record(call, None, read_only=False, error=error))
            return wire_fault.render(route.protocol, error, request_id)

    def _authenticate(self, request: HttpRequest, route: Route) -> tuple[sigv4.Signature, Credential]:
        signed = sigv4.Signed(
            request.method, request.path, request.query, _header_map(request), request.body, request.secure
        )
        try:
            signature = sigv4.read_signature(signed)
            found = self.credentials.find(signature.access_key_id)
            sigv4.verify(signed, signature, lambda _: found.secret if found else None, self.clock.now())
            if signature.token is not None:
                raise sigv4.SignatureFault(sigv4.Reason.UNKNOWN_KEY, "The security token is not valid.")
        except sigv4.SignatureFault as refused:
            raise _signature_error(route.service, refused) from None
        assert found is not None
        return signature, found

    def _call(
        self, request: HttpRequest, route: Route, region: str, found: Credential, action: str, request_id: str
    ) -> Call:
        principal = Principal(
            account_id=found.account_id, arn=found.arn, user_id=found.user_id,
            access_key_id=found.access_key_id, is_root=found.is_root,
        )  # fmt: skip
        return Call(
            service=route.service, action=action[:128], region=region, principal=principal, request_id=request_id,
            now=self.clock.now(), ids=self.ids, limits=self.limits, source_ip=request.peer,
            user_agent=request.header("user-agent")[:512],
        )  # fmt: skip

    def _parse(self, request: HttpRequest, route: Route, call: Call, action: str) -> Begun:
        if call.region not in REGIONS and route.service == "ec2":
            raise fault("AuthFailure", message=f"'{call.region[:64]}' is not a Region of this partition")
        if not action:
            if route.protocol in ("ec2", "query"):
                raise fault("MissingAction")
            raise fault("UnknownOperationException", message=f"The service {route.service} is not served here")
        shape = model.operation(route.service, action)
        if shape is None:
            known = model.service(route.service) is not None
            code = "InvalidAction" if route.protocol in ("ec2", "query") else "UnknownOperationException"
            what = f"The action {action[:128]} is not valid for this web service." if known else (
                f"The service {route.service[:64]} is not served here")  # fmt: skip
            raise fault(code, message=what)
        served = OPERATIONS.get((route.service, action))
        if route.protocol not in ("ec2", "query"):
            raise fault("UnsupportedOperation", message=f"{route.service}:{action} is not served here")
        params = self._parameters(request, route, shape)
        self.authorise(call, params)
        if served is None:
            raise fault(
                "UnsupportedOperation", message=f"The operation {action} is not supported by this installation."
            )
        return Begun(call, served, params, route, bool(params.pop("DryRun", False)))

    def _parameters(self, request: HttpRequest, route: Route, shape: Any) -> dict[str, Any]:
        pairs = _form_pairs(request)
        if len(pairs) > MAX_PARAMETERS:
            raise fault("MalformedQueryString", message=f"More than {MAX_PARAMETERS} parameters")
        tree = build_tree([pair for pair in pairs if pair[0] not in _ENVELOPE and not pair[0].startswith("X-Amz-")])
        version = _form(request).get("Version")
        newest = str(shape.service_model.api_version)
        if version is not None and not _known_version(version, newest):
            raise fault("NoSuchVersion", version=version[:32])
        return self._parsers[route.protocol == "ec2"].parse(shape.input_shape, tree)

    # ------------------------------------------------------------------ execution
    def _prepared(self, call: Call, world: World) -> Change | None:
        """What must exist before the first operation of an account in a Region."""
        for step in self.prepare.get(call.service, ()):
            change = step(call, world)
            if change:
                return change
        return None

    def _read(self, begun: Begun) -> HttpResponse:
        call, world = begun.call, self.store.world
        if self._prepared(call, world) is not None:
            self.store.write(lambda held: Commit(change=self._prepared(call, held) or Change()))
            world = self.store.world
        outcome = begun.operation.handler(call, world, begun.params)
        if begun.dry_run:
            raise fault("DryRunOperation")
        response = self._response(begun, self._serialise(begun, outcome))
        self.store.audit(audit.record(call, begun.params, read_only=True))
        return response

    def _write(self, begun: Begun) -> HttpResponse:
        call, token = begun.call, begun.params.get("ClientToken")
        key = f"{call.account_id}/{call.region}/{call.service}:{call.action}/{token}" if token else None

        def decide(world: World) -> Commit:
            if key is not None and (again := self._repeated(begun, key)) is not None:
                return Commit(result=again, audit=audit.record(call, begun.params, read_only=False))
            first = self._prepared(call, world) or Change()
            outcome = begun.operation.handler(call, world.apply(first) if first else world, begun.params)
            change = first + outcome.change
            if self.check is not None:
                self.check(world.apply(change))
            body = self._serialise(begun, outcome)  # before the commit: what cannot be shown is not done
            remember = (key, _remember(begun.params, body)) if key is not None else None
            record = audit.record(call, begun.params, read_only=False)
            return Commit(change=change, audit=record, remember=remember, result=body)

        body = self.store.write(decide)
        if self.after_write is not None:
            self.after_write()
        return self._response(begun, body)

    def _repeated(self, begun: Begun, key: str) -> str | None:
        """The reply given to the same call before (INF-14). ApiError when its parameters were others."""
        held = self.store.remembered(key)
        if held is None:
            return None
        kept = json.loads(held)
        if kept["params"] != _digest(begun.params):
            raise fault("IdempotentParameterMismatch")
        return str(kept["body"])

    def _serialise(self, begun: Begun, outcome: Outcome) -> str:
        route, action = begun.route, begun.operation.action
        serializer = self._serializers.get(route.service)
        if serializer is None:
            serializer = self._serializers.setdefault(route.service, XmlSerializer())
        shape = model.operation(route.service, action).output_shape  # type: ignore[union-attr]
        body = serializer.members(shape, outcome.reply)
        if route.protocol == "query":
            wrapper = shape.serialization.get("resultWrapper", f"{action}Result") if shape else f"{action}Result"
            return f"<{wrapper}>{body}</{wrapper}>"
        return body

    def _response(self, begun: Begun, body: str) -> HttpResponse:
        action, request_id = begun.operation.action, begun.call.request_id
        namespace = _namespace(begun.route.service)
        if begun.route.protocol == "ec2":
            inner = f"<requestId>{request_id}</requestId>{body}"
        else:
            inner = f"{body}<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{namespace}">{inner}</{action}Response>'
        )
        return HttpResponse(200, text.encode(), headers=(("x-amzn-requestid", request_id),))


# ---------------------------------------------------------------------- small parts
_ENVELOPE = frozenset({"Action", "Version", "AUTHPARAMS"})


def _spoken(protocol: str, request: HttpRequest) -> str:
    """Newer models list several protocols; a client that sends a form speaks Query, one with a target JSON."""
    if protocol in ("json", "query") and request.header("x-amz-target"):
        return "json"
    if protocol in ("json", "rest-json", "smithy-rpc-v2-cbor") and _is_form(request) and "Action" in _form(request):
        return "query"
    return "json" if protocol == "smithy-rpc-v2-cbor" else protocol


def _scope_service(request: HttpRequest) -> str:
    """The service name of the credential scope, as claimed; the signature decides later whether it is true."""
    text = request.header("authorization")
    if text:
        found = re.search(r"Credential=[^/,\s]{1,128}/[^/,\s]*/[^/,\s]*/([A-Za-z0-9_.-]{1,64})/", text)
    else:
        found = re.search(r"X-Amz-Credential=[^&]{1,128}?(?:/|%2[Ff])[0-9]*(?:/|%2[Ff])[a-z0-9-]*(?:/|%2[Ff])"
                          r"([A-Za-z0-9_.-]{1,64})(?:/|%2[Ff])", request.query)  # fmt: skip
    return found.group(1).lower() if found else ""


def _is_form(request: HttpRequest) -> bool:
    return request.header("content-type").partition(";")[0].strip().lower() in ("", "application/x-www-form-urlencoded")


def _header_map(request: HttpRequest) -> dict[str, str]:
    """Headers by name; repeated ones joined by commas, as the canonical request wants them."""
    out: dict[str, str] = {}
    for name, value in request.headers:
        out[name] = f"{out[name]},{value}" if name in out else value
    return out


def _form_pairs(request: HttpRequest) -> list[tuple[str, str]]:
    """The form parameters: of the body of a POST, else of the query string."""
    return _parsed(request.query.encode("latin-1", "replace") if request.method == "GET" else request.body)[0]


def _form(request: HttpRequest) -> dict[str, str]:
    if request.method not in ("GET", "POST") or (request.method == "POST" and not _is_form(request)):
        return {}
    return _parsed(request.query.encode("latin-1", "replace") if request.method == "GET" else request.body)[1]


@lru_cache(maxsize=64)
def _parsed(raw: bytes) -> tuple[list[tuple[str, str]], dict[str, str]]:
    try:
        pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS + 10)
    except (UnicodeDecodeError, ValueError):
        return [], {}
    return pairs, dict(pairs[:100_000])


def _known_version(given: str, newest: str) -> bool:
    return re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", given) is not None and given <= newest


def _loopback(peer: str) -> bool:
    return peer.startswith("127.") or peer == "::1"


def _signature_error(service: str, refused: sigv4.SignatureFault) -> ApiError:
    """IAM-02, IAM-03: EC2 answers AuthFailure where other services name the fault."""
    reason = refused.reason
    if reason is sigv4.Reason.EXPIRED:
        return fault("RequestExpired", message=refused.message)
    if reason is sigv4.Reason.MISSING:
        return fault("MissingAuthenticationToken")
    if reason is sigv4.Reason.INCOMPLETE:
        return fault("IncompleteSignature", message=refused.message)
    if service == "ec2":
        return fault("AuthFailure")
    code = "InvalidClientTokenId" if reason is sigv4.Reason.UNKNOWN_KEY else "SignatureDoesNotMatch"
    return fault(code, message=refused.message)


def _namespace(service: str) -> str:
    found = model.service(service)
    assert found is not None
    given = found.metadata.get("xmlNamespace")
    return str(given) if given else f"http://{service}.amazonaws.com/doc/{found.api_version}/"


def _digest(params: Params) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=repr).encode()).hexdigest()


def _remember(params: Params, body: str) -> bytes:
    return json.dumps({"params": _digest(params), "body": body}).encode()
