"""The way of a request, stage by stage: size → service and protocol → signature → parse → authorise → DryRun → execute →
commit → serialise. Every fault leaves through `wire/fault.py`, and every refusal is audited.

`begin` does what needs no lock; `lane` tells on which thread `finish`, which does the rest, belongs.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ringfence.api import audit, guards, refusals, throttle
from ringfence.api.authorise import Authoriser
from ringfence.api.begun import Begun, Lane, Reset, Scrape
from ringfence.api.client_token import ClientToken
from ringfence.api.images import Images
from ringfence.api.metering import Meter
from ringfence.api.ops.context import Call, KnownCaller, Outcome, Params
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.outside import Nothing, Outside
from ringfence.api.throttle import Rates, Refusals, Throttled
from ringfence.api.wire import encoding, event_stream, integrity, model
from ringfence.api.wire import fault as wire_fault
from ringfence.api.wire.http import Flow, HttpRequest, HttpResponse
from ringfence.api.wire.protocols import Protocols
from ringfence.api.wire.route import Claim, claim_of, read_form, unsigned
from ringfence.identity import chunked, sessions, sigv4
from ringfence.identity.credentials import Credential, Credentials, Use, Uses
from ringfence.identity.principal import Principal, PrincipalKind
from ringfence.identity.sealing import Sealer
from ringfence.insight.analyzer.engines import Engines
from ringfence.model.accounts import closed
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError, fault
from ringfence.model.ids import IdSource
from ringfence.model.kinds import VPC_ENDPOINT
from ringfence.model.quotas import Limits
from ringfence.model.regions import REGIONS
from ringfence.model.world import NOTHING, Change, World
from ringfence.store.buckets import BucketFiles
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence.api")

MAX_BODY = 1 << 20  # bytes; EC2 requests are far smaller
#: PutLogEvents: a batch of 1 MiB of text grows when it is written as JSON, to three times that where it is not ASCII
LARGE_BODY, LARGE_TARGET = 4 << 20, "Logs_20140328.PutLogEvents"
_NOT_FOUND = HttpResponse(404, b'{"message": "not found"}', "application/json")
HEAVY_REPLY = 256 << 10  # bytes; a read that answered more than this is kept off the event loop
#: runs before an operation of its service; gives the change that makes an untouched (account, Region) usable
Prepare = Callable[[Call, World], Change | None]


#: raises ApiError unless the caller may do it
Authorise = Callable[[Call, Params], None]


#: who calls without a signature, and from where: these calls carry their proof inside
NOBODY = Credential("", Principal(account_id="", arn="", user_id="", kind=PrincipalKind.ANONYMOUS))
UNSIGNED_REGION = "us-east-1"
_OBJECT_BODIES = frozenset({"PutObject", "UploadPart"})


class _Denied(ApiError):
    """A refusal by the policies: its record shows what was asked (MON-11)."""

    def __init__(self, error: ApiError, params: Params) -> None:
        super().__init__(error.code, error.status, error.message, error.detail)
        self.params = params


class Measured(Protocol):
    """What the installation tells of itself, and to whom."""

    content_type: str

    def admits(self, request: HttpRequest) -> bool: ...
    def text(self) -> str: ...


#: what reads here uses permissions, objects and keys, rather than looking at resources
_SENSITIVE = frozenset({"kms", "s3"})


@dataclass
class Pipeline:
    """Everything a request meets. `handle` never raises."""

    store: Store
    credentials: Credentials
    clock: Clock
    ids: IdSource
    limits: Limits = field(default_factory=Limits)
    images: Images = field(default_factory=Images)
    prepare: Mapping[str, Sequence[Prepare]] = field(default_factory=dict)
    sealer: Sealer | None = None
    uses: Uses = field(default_factory=Uses)
    outside: Outside = field(default_factory=Nothing)
    objects: BucketFiles | None = None
    engines: Engines = field(default_factory=Engines)
    rates: Rates | None = None  # None: no call comes too soon
    approved_only: bool = False  # algorithms that FIPS approves
    reset: Callable[[], None] | None = None
    check: Callable[[World], None] | None = None  # invariants, in debug installations
    after_write: Callable[[], None] | None = None  # without a data plane: settles what the write left in transition
    meter: Meter = field(default_factory=Meter)
    measures: Measured | None = None  # None: nothing is told of the installation
    internal_errors: int = 0  # faults of ours since the start

    def __post_init__(self) -> None:
        self.authorise: Authorise = Authoriser(self._judged_by)
        self._protocols = Protocols()
        self.throttled = Refusals(self.ids, self._audit_refusal)
        self._heavy: dict[tuple[str, str, str], bool] = {}
        self._sessions = sessions.Sessions(self.sealer) if self.sealer is not None else None

    # ------------------------------------------------------------------ entry points
    def handle(self, request: HttpRequest) -> HttpResponse:
        """The answer to a request."""
        begun = self.begin(request)
        return begun if isinstance(begun, HttpResponse) else self.finish(begun)

    def begin(self, request: HttpRequest) -> Begun | Reset | Scrape | HttpResponse:
        """Route, authenticate, parse, authorise. A response when it ends here."""
        if request.path.startswith("/_ringfence/"):
            return self._own(request)
        claim = claim_of(request)
        answer = self._begun(request, claim, self.ids.uuid())
        if isinstance(answer, HttpResponse):
            self.meter.answered(claim.service, claim.action, answer.status, time.perf_counter() - claim.at)
        return answer

    def _begun(self, request: HttpRequest, claim: Claim, request_id: str) -> Begun | HttpResponse:
        try:
            return self._begin(request, claim, request_id)
        except ApiError as error:
            return self._turn_away(request, claim, request_id, error)
        except Exception:  # noqa: BLE001  reported, counted and answered by _bug
            return self._turn_away(request, claim, request_id, self._bug(claim.protocol, request_id))

    def refuse(self, request: HttpRequest, error: ApiError) -> HttpResponse:
        """The audited refusal of a request whose body was not kept."""
        claim = claim_of(request)
        try:
            if _may_be_large(request, claim):
                self._head_vouched(request, claim)  # for want of this it had no more room: that is why it is refused
            error = refusals.in_words_of(claim, error)
        except ApiError as unknown:
            error = unknown
        answer = self._turn_away(request, claim, self.ids.uuid(), error)
        self.meter.answered(claim.service, claim.action, answer.status, time.perf_counter() - claim.at)
        return answer

    def lane(self, begun: Begun | Reset | Scrape) -> Lane:
        """Where to `finish`."""
        if isinstance(begun, Scrape):
            return Lane.READER
        if isinstance(begun, Begun) and begun.protocol == "s3":
            return Lane.READER if begun.operation.read_only else Lane.OBJECTS
        if isinstance(begun, Reset) or begun.mutating:
            return Lane.READER if isinstance(begun, Begun) and begun.operation.aside else Lane.WRITER
        if not begun.dry_run and self._prepared(begun.call, self.store.world):
            return Lane.WRITER
        return Lane.READER if begun.operation.aside or self._heavy.get(_kind_of(begun.call)) else Lane.INLINE

    def finish(self, begun: Begun | Reset | Scrape) -> HttpResponse:
        """Execute, commit, serialise."""
        if isinstance(begun, Reset):
            return self._reset()
        if isinstance(begun, Scrape):
            return self._scraped()
        response, call = self._finish(begun), begun.call
        self.meter.answered(call.service, call.action, response.status, time.perf_counter() - begun.started)
        return response

    def _finish(self, begun: Begun) -> HttpResponse:
        try:
            if begun.dry_run:
                self._rehearse(begun)
            if begun.call.service in _SENSITIVE and not begun.mutating:  # no write of the World looks at it once more
                self._permitted_still(begun, self.store.world)
            if begun.protocol == "s3" and self.objects is not None and not begun.operation.read_only:
                with self.objects.lock:
                    return self._write(begun) if begun.mutating else self._read(begun)
            return self._write(begun) if begun.mutating else self._read(begun)
        except ApiError as error:
            return self._refuse(begun, error)
        except Exception:  # noqa: BLE001  reported, counted and answered by _bug
            return self._refuse(begun, self._bug(begun.protocol, begun.call.request_id))

    def room(self, request: HttpRequest) -> int:
        """How many bytes the body may have: more for an object of a bucket or a batch of log events than for others."""
        if request.method != "PUT" and request.header("x-amz-target") != LARGE_TARGET:
            return MAX_BODY
        claim = claim_of(request)
        if not _may_be_large(request, claim):
            return MAX_BODY
        try:  # strangers do not get to fill the memory
            self._head_vouched(request, claim)
        except ApiError:
            return MAX_BODY
        if claim.protocol != "s3":
            return LARGE_BODY
        size = self.limits["s3-object-bytes"]
        return max(MAX_BODY, size + size // 64 + 4096 if chunked.is_chunked(request.joined) else size)

    def _head_vouched(self, request: HttpRequest, claim: Claim) -> None:
        """Before its body is there: is a request signed? Its signature covers the head, and the hash that the head states of the
        body, which is compared with the body later. Where the head states none, there must at least be such a key. ApiError."""
        if not unsigned(request, claim):
            self._authenticate(request, claim, body=None)

    # ------------------------------------------------------------------ our own paths
    def _own(self, request: HttpRequest) -> HttpResponse | Reset | Scrape:
        """Reset: for loopback peers of an ephemeral installation, and never for a page in a browser (Origin)."""
        if request.by_instance_door:
            return _NOT_FOUND
        if request.path == "/_ringfence/metrics" and request.method == "GET" and self.measures is not None:
            return Scrape() if self.measures.admits(request) else _NOT_FOUND
        local = _loopback(request.peer) and not request.header("origin")
        if request.path == "/_ringfence/reset" and request.method == "POST" and self.reset is not None and local:
            return Reset()
        return _NOT_FOUND

    def _scraped(self) -> HttpResponse:
        assert self.measures is not None
        try:
            return HttpResponse(200, self.measures.text().encode(), self.measures.content_type)
        except Exception:  # noqa: BLE001  reported and counted by _bug
            self._bug("json", "metrics")
            return HttpResponse(500, b'{"message": "the measurements failed"}', "application/json")

    def _reset(self) -> HttpResponse:
        assert self.reset is not None
        try:
            self.reset()
        except Exception:  # noqa: BLE001  reported and counted by _bug
            self._bug("json", "reset")
            return HttpResponse(500, b'{"message": "the reset failed"}', "application/json")
        return HttpResponse(200, b'{"status": "ok"}', "application/json")

    # ------------------------------------------------------------------ faults
    def _bug(self, protocol: str, request_id: str) -> ApiError:
        """Anything but an ApiError is our bug: counted, logged with the request id, answered with InternalError."""
        self.internal_errors += 1
        log.exception("request %s: internal error", request_id)
        return fault("InternalError" if protocol == "ec2" else "InternalFailure")

    def _refuse(self, begun: Begun, error: ApiError) -> HttpResponse:
        read_only = begun.operation.read_only
        self.meter.refused(begun.call.service, begun.call.action, error.code)
        call = _by(begun.call, error.caller if isinstance(error, KnownCaller) else None)
        self._audit_refusal(audit.record(call, begun.params, read_only=read_only, error=error))
        return wire_fault.render(begun.protocol, error, begun.call.request_id, begun.call.service)

    def _turn_away(self, request: HttpRequest, claim: Claim, request_id: str, error: ApiError) -> HttpResponse:
        """Refuse a request whose caller is not known."""
        self.meter.refused(claim.service, claim.action, error.code)
        record = audit.refused(
            service=claim.service, action=claim.action, region=claim.region, access_key_id=claim.access_key_id,
            time=self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"), source_ip=request.peer, event_id=self.ids.uuid(),
            user_agent=request.header("user-agent")[:512], request_id=request_id, error=error,
        )  # fmt: skip
        self._audit_refusal(record)
        return wire_fault.render(claim.protocol, error, request_id, claim.service)

    def _audit_refusal(self, record: bytes) -> None:
        """While the disk fails nothing is done and so nothing is acknowledged, but the caller still gets an answer."""
        try:
            self.store.audit(record)
        except ApiError:
            log.critical("a refusal could not be audited: %s", record.decode())

    # ------------------------------------------------------------------ stages
    def _begin(self, request: HttpRequest, claim: Claim, request_id: str) -> Begun | HttpResponse:
        room = self.room(request)
        if len(request.body) > room:
            raise fault("EntityTooLarge" if room > MAX_BODY else "RequestEntityTooLarge", limit=room)
        if unsigned(request, claim):
            region, credential, presigned = UNSIGNED_REGION, NOBODY, False
        else:
            signature, credential = self._authenticate(request, claim, request.body)
            region, presigned = signature.region, signature.presigned
        call = self._call(request, claim, region, credential, request_id)
        try:
            if self.rates is not None and not self.rates.admit(call, request):
                raise throttle.refusal(call.service, claim.protocol)
            refusals.check_kind_of_session(call, claim.protocol)
            self._check_endpoint(call, signed=credential is not NOBODY)
            return self._parse(request, claim, call, presigned=presigned)
        except ApiError as error:
            self.meter.refused(call.service, call.action, error.code)
            if isinstance(error, Throttled) and not self.throttled.first(call):
                return wire_fault.render(claim.protocol, error, request_id, claim.service)
            read_only = call.action.startswith(("Describe", "Get", "List"))
            params = error.params if isinstance(error, _Denied) else None
            self._audit_refusal(audit.record(call, params, read_only=read_only, error=error))
            return wire_fault.render(claim.protocol, error, request_id, claim.service)

    def _check_endpoint(self, call: Call, *, signed: bool) -> None:
        """A gateway endpoint leads to Amazon S3 of its own Region and nowhere else (VPE-01, VPE-04). ApiError."""
        held = self.store.world.find(VPC_ENDPOINT, call.vpc_endpoint)
        if call.vpc_endpoint is None:
            return
        if call.service != "s3":
            text = f'incorrect service "{call.service}". This endpoint belongs to "s3".'
            raise fault("AuthorizationHeaderMalformed", message=text)
        if signed and held is not None and held.region != call.region:
            text = f"the region '{call.region}' is wrong; expecting '{held.region}'"
            raise fault("AuthorizationHeaderMalformed", message=text)

    def _authenticate(
        self, request: HttpRequest, claim: Claim, body: bytes | None
    ) -> tuple[sigv4.Signature, Credential]:
        """IAM-01…04. `body` None: it is not there yet. ApiError."""
        signed = sigv4.Signed(
            request.method, request.path, request.query, request.joined, body, request.secure
        )  # fmt: skip
        try:
            signature = sigv4.read_signature(signed)
            if signature.service != claim.service:
                raise sigv4.SignatureFault(sigv4.Reason.INCOMPLETE, "The credential scope is not well formed.")
            found = self._credential(signature)
            if found is not None and closed(self.store.world, found.principal.account_id):
                found = None
            sigv4.verify(signed, signature, lambda _: found.secret if found else None, self.clock.now())
            if signature.region not in REGIONS:
                text = f"Credential should be scoped to a valid region, not '{signature.region[:64]}'."
                raise sigv4.SignatureFault(sigv4.Reason.MISMATCH, text)
        except sigv4.SignatureFault as refused:
            raise refusals.signature_error(claim.service, claim.protocol, refused) from None
        assert found is not None
        return signature, found

    def _credential(self, signature: sigv4.Signature) -> Credential | None:
        """The key a request is signed with: a long-term one without a token, a temporary one with the token it came with.

        SignatureFault when a token is refused.
        """
        if signature.token is None:
            return self.credentials.find(signature.access_key_id)
        if self._sessions is None:
            return None
        now = int(self.clock.now().timestamp())
        try:
            return self._sessions.find(self.store.world, now, signature.access_key_id, signature.token)
        except sessions.SessionExpired:
            text = "The security token included in the request is expired"
            raise sigv4.SignatureFault(sigv4.Reason.TOKEN_EXPIRED, text) from None
        except sessions.SessionFault:
            return None

    def _call(self, request: HttpRequest, claim: Claim, region: str, found: Credential, request_id: str) -> Call:
        now = self.clock.now()
        through = self.store.world.find(VPC_ENDPOINT, request.endpoint)
        self.uses.note(found.principal, Use(float(int(now.timestamp())), claim.service, region))
        return Call(
            service=claim.service, action=claim.action, region=region, principal=found.principal, request_id=request_id,
            now=now, ids=self.ids, limits=self.limits, images=self.images, source_ip=request.peer,
            vpc_endpoint=request.endpoint, source_vpc=through.vpc_id if through is not None else None,
            user_agent=request.header("user-agent")[:512], secure=request.secure, sealer=self.sealer, uses=self.uses,
            outside=self.outside, objects=self.objects,
            approved_only=self.approved_only, engines=self.engines, witness=self.store.audit, commit=self._commit_first,
        )  # fmt: skip

    def _commit_first(self, change: Callable[[World], Change]) -> World:
        """What the first use of something makes; the World with it."""
        self.store.write(lambda world: Commit(change=change(world)))
        return self.store.world

    def _parse(self, request: HttpRequest, claim: Claim, call: Call, *, presigned: bool) -> Begun:
        """The call with its parameters, allowed. ApiError (INF-13)."""
        if self._protocols.are_documents(claim.protocol):
            return self._parse_document(request, claim, call)
        if claim.protocol == "s3":
            return self._parse_s3(request, claim, call)
        if not self._protocols.are_forms(claim.protocol):
            raise refusals.not_served(claim)
        named = model.operation(call.service, call.action)
        form = read_form(encoding.unpacked(request, named) if named is not None else request, presigned=presigned)
        if not form.action:
            raise fault("MissingAction")
        shape = model.operation(call.service, form.action)
        if shape is None or form.action != call.action:
            raise fault("InvalidAction", action=form.action[:128])
        params = self._protocols.of_form(claim.protocol, shape, form)
        if self.rates is not None and not self.rates.admit_instances(call, params):
            raise throttle.refusal(call.service, claim.protocol)
        judged = self._permit(call, params)
        served = OPERATIONS.get((call.service, form.action))
        if served is None:
            text = f"The operation {form.action} is not supported by this installation."
            raise fault("UnsupportedOperation", message=text)
        dry_run = bool(params.pop("DryRun", False))
        return Begun(call, served, shape, params, claim.protocol, dry_run, judged, claim.at)

    def _parse_document(self, request: HttpRequest, claim: Claim, call: Call) -> Begun:
        """The same for the protocols whose requests are documents. ApiError in the words of their services."""
        shape = model.operation(call.service, call.action)
        if shape is None:
            raise refusals.not_served(claim)
        params = self._protocols.of_document(claim.protocol, request, shape)
        judged = self._permit(call, params)
        served = OPERATIONS.get((call.service, call.action))
        if served is None:
            raise refusals.not_served(claim)
        return Begun(call, served, shape, params, claim.protocol, dry_run=False, judged=judged, started=claim.at)

    def _parse_s3(self, request: HttpRequest, claim: Claim, call: Call) -> Begun:
        """The same for Amazon S3. What is not served is not parsed. ApiError."""
        served, shape = OPERATIONS.get((call.service, call.action)), model.operation(call.service, call.action)
        if served is None or shape is None or self.objects is None:
            raise refusals.not_served(claim)
        params = self._protocols.of_object(request, shape)
        if call.action != "CompleteMultipartUpload":  # its checksums are the object's, not the body's
            integrity.check(request)
        judged = self._permit(call, params)
        return Begun(call, served, shape, params, claim.protocol, dry_run=False, judged=judged, started=claim.at)

    def _permit(self, call: Call, params: Params) -> World:
        """The World in which the policies allow the call. ApiError when they do not."""
        world = self.store.world
        try:
            self.authorise(call, params)
        except ApiError as error:
            raise _Denied(error, params) from None
        return world

    def _permitted_still(self, begun: Begun, world: World) -> None:
        """A change is judged by the World it changes: while it waited, a policy, a tag or the key itself may have become another.

        Only under the store's lock. ApiError as `_permit` and `_authenticate`.
        """
        if world is not begun.judged:
            self._hold_to(begun, world)

    def _hold_to(self, begun: Begun, world: World) -> None:
        """Judge a call that was allowed once more. ApiError."""
        if not self._key_holds(begun.call.principal, world):
            gone = sigv4.SignatureFault(
                sigv4.Reason.UNKNOWN_KEY, "The security token included in the request is invalid."
            )
            raise refusals.signature_error(begun.call.service, begun.protocol, gone)
        self._permit(begun.call, begun.params)

    def _key_holds(self, who: Principal, world: World) -> bool:
        """Does what the request was signed with still stand for this caller?"""
        if who.kind is PrincipalKind.ANONYMOUS:
            return True
        if who.session is None:
            return self.credentials.find(who.access_key_id) is not None
        try:
            sessions.current(who, world)
        except sessions.SessionFault:
            return False
        return True

    def _judged_by(self, call: Call) -> World:
        """The World a call is authorised against: of now, with what its first operation would find."""
        world = self.store.world
        first = NOTHING if call.principal.is_root else self._prepared(call, world)
        return world.apply(first) if first else world

    # ------------------------------------------------------------------ execution
    def _prepared(self, call: Call, world: World) -> Change:
        """What must exist before the first operation of an account in a Region."""
        change = NOTHING
        for step in self.prepare.get(call.service, ()):
            change += step(call, world.apply(change) if change else world) or NOTHING
        return change

    def _rehearse(self, begun: Begun) -> None:
        """DryRun (SG-62): decide against the World of now and drop the decision. Always raises ApiError."""
        world = self.store.world
        first = self._prepared(begun.call, world)
        outcome = begun.operation.handler(begun.call, world.apply(first) if first else world, begun.params)
        guards.check(begun.call, world, first + outcome.change, self.engines)
        raise fault("DryRunOperation")

    def _read(self, begun: Begun) -> HttpResponse:
        call, world = begun.call, self.store.world
        if self._prepared(call, world):
            account, request = call.account_id, call.request_id
            self.store.write(
                lambda held: Commit(change=self._prepared(call, held), account_id=account, request_id=request)
            )
            world = self.store.world
        outcome = begun.operation.handler(call, world, begun.params)
        if outcome.flow is not None:
            return self._flowing(begun, outcome.flow)
        body = self._serialise(begun, outcome)
        self._heavy[_kind_of(call)] = sum(map(len, body)) > HEAVY_REPLY
        known, reply = outcome.caller, outcome.reply if outcome.caller is not None else None
        record = audit.record(
            _by(call, known), begun.params, read_only=begun.operation.read_only, reply=reply, additional=outcome.additional,
            touched=outcome.touched, way=_shared(outcome),
        )  # fmt: skip
        self.store.audit(record)
        return self._response(begun, body)

    def _flowing(self, begun: Begun, flow: Flow) -> HttpResponse:
        """A reply that comes piece by piece, recorded when it begins."""
        call = begun.call
        try:
            self.store.audit(audit.record(call, begun.params, read_only=begun.operation.read_only))
        except ApiError:
            flow.close()
            raise
        flow.watch(lambda: self._still_allowed(begun))
        return HttpResponse(200, b"", event_stream.CONTENT_TYPE, (("x-amzn-requestid", call.request_id),), flow=flow)

    def _still_allowed(self, begun: Begun) -> None:
        """Would the call be allowed now? ApiError, which is recorded, when it would not."""
        now = replace(begun, call=replace(begun.call, now=self.clock.now()))
        try:
            self._hold_to(now, self.store.world)
        except ApiError as error:
            self._refuse(now, error)
            raise

    def _write(self, begun: Begun) -> HttpResponse:
        call, token = begun.call, ClientToken.of(begun.call, begun.params)

        def decide(world: World) -> Commit:
            self._permitted_still(begun, world)
            if token is not None and (again := token.answered(self.store)) is not None:
                return Commit(result=again, audit=audit.record(call, begun.params, read_only=False))
            first = self._prepared(call, world)
            outcome = begun.operation.handler(call, world.apply(first) if first else world, begun.params)
            change = first + outcome.change
            overridden = guards.check(call, world, change, self.engines)
            if self.check is not None:
                self.check(world.apply(change))
            body = self._serialise(begun, outcome)  # before the commit: what cannot be shown is not done
            remember = token.kept(body) if token is not None else None
            record = audit.record(
                _by(call, outcome.caller), begun.params, read_only=False, reply=outcome.reply,
                additional=overridden or outcome.additional, touched=outcome.touched, way=_shared(outcome),
            )  # fmt: skip
            return Commit(
                change=change, audit=record, remember=remember, result=body,
                account_id=call.account_id, request_id=call.request_id,
            )  # fmt: skip

        if begun.operation.aside:
            self._work_out(begun)
        body = self.store.write(decide)
        if self.after_write is not None:
            self.after_write()
        return self._response(begun, body)

    def _work_out(self, begun: Begun) -> None:
        """What takes long, while others write; a refusal is for the same question under the lock to make."""
        world = self.store.world
        if self._prepared(begun.call, world):
            return
        with contextlib.suppress(ApiError):
            begun.operation.handler(begun.call, world, begun.params)

    def _serialise(self, begun: Begun, outcome: Outcome) -> list[bytes]:
        return self._protocols.result(begun.protocol, begun.call.service, begun.model, outcome.reply)

    def _response(self, begun: Begun, body: list[bytes]) -> HttpResponse:
        call = begun.call
        return self._protocols.response(begun.protocol, call.service, begun.model, body, call.request_id)


# ---------------------------------------------------------------------- small parts
def _kind_of(call: Call) -> tuple[str, str, str]:
    return call.account_id, call.region, call.action


def _shared(outcome: Outcome) -> audit.Way:
    return audit.Way(shared=outcome.shared) if outcome.shared else audit.NO_WAY


def _by(call: Call, caller: Principal | None) -> Call:
    """The call as the record shows it: by who it turned out to be from."""
    return call if caller is None else replace(call, principal=caller)


def _may_be_large(request: HttpRequest, claim: Claim) -> bool:
    """Is it an object of a bucket or a batch of log events?"""
    object = claim.protocol == "s3" and request.method == "PUT" and claim.action in _OBJECT_BODIES
    return object or request.header("x-amz-target") == LARGE_TARGET


def _loopback(peer: str) -> bool:
    return peer.startswith("127.") or peer in ("::1", "::ffff:127.0.0.1")
