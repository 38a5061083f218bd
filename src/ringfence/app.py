"""The composition root: builds an installation from its settings, runs it, and takes it down again."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import ringfence.api.ops.accessanalyzer
import ringfence.api.ops.cloudtrail
import ringfence.api.ops.cloudwatch
import ringfence.api.ops.ec2
import ringfence.api.ops.iam
import ringfence.api.ops.kms
import ringfence.api.ops.logs
import ringfence.api.ops.organizations
import ringfence.api.ops.ram
import ringfence.api.ops.s3
import ringfence.api.ops.sts  # noqa: F401  fills the registry
from ringfence import alarms, deliveries, directories, expiry, flow_firehose, flow_history, key_upkeep, keyfile, notes
from ringfence.accounts import Accounts
from ringfence.api import rehearsal
from ringfence.api.bucket_sealing import ServiceKeys
from ringfence.api.images import Images
from ringfence.api.instance_credentials import InstanceCredentials
from ringfence.api.instance_door import InstanceDoor
from ringfence.api.live_tails import LiveTails
from ringfence.api.ops.context import Call
from ringfence.api.ops.ec2 import (
    access_scopes,
    default_vpc,
    images,
    lifecycle,
    network_insights_analyses,
    peering_views,
)
from ringfence.api.outside import ConsoleOutput
from ringfence.api.pipeline import Pipeline
from ringfence.api.server import server
from ringfence.api.throttle import Rates
from ringfence.api.tls import Certificate, CertificateProblem, Watch
from ringfence.api.wire import model
from ringfence.banner import banner
from ringfence.certificates import Authority
from ringfence.console import NO_PLANE, Console, Plane
from ringfence.control import ControlServer
from ringfence.flow_deliveries import FlowDeliverer
from ringfence.flow_firehose import FirehoseSink
from ringfence.flow_log_groups import ServedLogGroups
from ringfence.flow_sinks import BucketSink, LogGroupSink, Sink
from ringfence.free_text_warnings import FreeTextWarner
from ringfence.identity.credentials import Chain, RootKeys, StoredKeys, Uses, root_key
from ringfence.importing import said, start_with, with_account
from ringfence.insight.imports import snapshot
from ringfence.measures import Measures, flow_logs, log_lag, read_token
from ringfence.model import endpoints
from ringfence.model.clock import SystemClock
from ringfence.model.errors import ApiError
from ringfence.model.ids import RandomIds
from ringfence.model.kinds import DIGEST_KEY
from ringfence.model.nouns.flow_log import CLOUD_WATCH, FIREHOSE, S3
from ringfence.model.nouns.trail import BucketEncryption, DigestKey
from ringfence.model.quotas import LAB, Limits
from ringfence.model.world import Change, World, put
from ringfence.settings import Settings, SettingsError, root_of
from ringfence.store.buckets import BucketFiles
from ringfence.store.events import EventStore
from ringfence.store.flows import FlowStore
from ringfence.store.sqlite import SqliteStore
from ringfence.store.store import Commit, Store
from ringfence.unpacking import Unpacker

log = logging.getLogger("ringfence")
HOUSEKEEPING_SECONDS = 60.0
FLOW_SECONDS = 20.0  # epochs of counters end with each minute; soon after they are asked for
KEY_YEARS = 10  # a digest key's validity


class NoPlane:
    """No packets: every generation counts as applied, and instances settle at once."""

    name = "none"

    def __init__(self, store: Store) -> None:
        self._store = store

    def publish(self, world: World) -> None:
        return None

    def status(self) -> dict[str, Any]:
        return {"applied_generation": self._store.world.generation}

    def reached(self, generation: int, timeout: float) -> bool:
        return True

    def probe(self, request: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        return {"error": NO_PLANE}

    def verify(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"error": "there is no data plane: nothing is installed"}

    def console(self, instance_id: str) -> ConsoleOutput | None:
        return None

    @property
    def flow_counts(self) -> None:
        return None

    def close(self) -> None:
        return None

    def settle(self) -> None:
        """Bring transitional instances where they are going."""
        if lifecycle.transitional(self._store.world):
            try:
                self._store.write(lambda world: Commit(change=_settle_all(world)))
            except ApiError as problem:  # the call before it is committed and answered all the same
                log.error("instances stay in transition until the next call: %s", problem)


def _settle_all(world: World) -> Change:
    change = Change()
    for instance in lifecycle.transitional(world):
        change += lifecycle.settled(world, instance.id, lifecycle.destination(instance))
    return change


def _forgotten(world: World, now: datetime) -> Change:
    """Terminated instances after an hour, analyses after 120 days, peering connections that ended after two days."""
    ended = peering_views.forgotten(world, now)
    return lifecycle.forgotten(world, now) + network_insights_analyses.forgotten(world, now) + ended


def serve(settings: Settings) -> int:
    """Run an installation until SIGINT or SIGTERM ends it; then nothing is left but the data directory.

    SettingsError, StoreError when it cannot start.
    """
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ExitStack() as end:
            Installation(settings, end).run(end)
    except KeyboardInterrupt:
        log.info("stopped")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _ignore_interrupts() -> None:
    """Taking down is not interrupted half-way."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class Installation:
    """Everything that runs in the API process. What must be undone is on `end`, in order of making."""

    def __init__(self, settings: Settings, end: ExitStack) -> None:
        settings, network = with_account(settings)
        self.settings = settings
        try:
            self.limits = Limits({**(LAB if settings.lab else {}), **settings.quotas})
        except ValueError as problem:
            raise SettingsError(str(problem)) from None
        if settings.ready_file:
            settings.ready_file.unlink(missing_ok=True)
        self.listener = end.enter_context(_listen(settings.host, settings.port))
        self.data = settings.data or directories.scratch(end)
        self.run_directory = directories.make(self.data)
        self.sealer = keyfile.sealer_of(self.data)
        self.store = SqliteStore(
            self.data / "ringfence.db", durable=not settings.ephemeral, audit_key=keyfile.audit_key(self.data),
            sealer=self.sealer,
        )  # fmt: skip
        end.callback(self.store.close)
        if network is not None:
            start_with(self.store, network, settings.account_id)
            log.info("imported %s: %s", settings.imported, said(network))
        self.events = EventStore(self.data / "events.db", durable=not settings.ephemeral)
        end.callback(self.events.close)
        self.live_tails = LiveTails(lambda: self.store.world, SystemClock())
        self.events.heard = self.live_tails.note
        end.callback(self.live_tails.close)
        self.flow_store = FlowStore(self.data / "flows.db", sealer=self.sealer)
        end.callback(self.flow_store.close)
        self.flow_history = flow_history.FlowHistory(self.flow_store)
        self.root = root_of(settings, self.data)
        self.authority = Authority(self.data / "tls", settings.tls_names) if settings.tls_names else None
        self.gate = Authority(self.data / "endpoints", endpoints.CERTIFICATE_NAMES)  # where instances reach the APIs
        self.door: InstanceDoor | None = None
        self.uses = Uses()
        self.free_texts = FreeTextWarner()
        default = BucketEncryption(algorithm="AES256") if settings.encrypt_buckets else None
        self.buckets = BucketFiles(self.data / "buckets", self.sealer, default=default)
        self.deliverer = self._make_deliverer()
        self.note = notes.Note(
            endpoint=settings.endpoint, pid=os.getpid(), run=str(self.run_directory), region=settings.region,
            account_id=self.root.account_id, access_key=self.root.access_key, secret_key=self.root.secret_key,
            started=time.time(), ca=str(self.authority.ca) if self.authority else "",
        )  # fmt: skip
        self.certificate = self._certificate()
        self.streams = flow_firehose.endpoints(settings.streams)
        self.plane = self._start_plane()
        self.flow_logs = self._flow_deliverer()
        end.callback(self.plane.close)

    def run(self, end: ExitStack) -> None:
        """Serve until interrupted."""
        settings = self.settings
        accounts = Accounts(self.store, self.sealer, RandomIds(), SystemClock(), self.root.account_id)
        for service in (
            "ec2",
            "sts",
        ):  # their models take longer to read than a hundred calls: not while a client waits
            model.service(service)
        _collect_seldom()
        console = Console(self.store, self.plane, settings.endpoint, self.run_directory, accounts)
        control = ControlServer(self.run_directory / "api.sock", console.answer)
        end.callback(control.close)
        self.pipeline = self._pipeline()
        console.measures = self._measure().text
        console.suggest = lambda request: flow_history.suggestions(self.store.world, self.flow_store, request)
        console.rehearse = self._rehearse
        console.flows = lambda request: flow_history.answer(self.flow_history, self.flow_store, request)
        end.callback(self.pipeline.throttled.flush)
        context = self.certificate.context if self.certificate is not None else None
        running, application = server(
            self.pipeline, settings.host, settings.port, on_ready=self._ready, tls=context, door=self.door
        )
        end.callback(application.close)
        for certificate in (self.certificate, self.door.certificate if self.door is not None else None):
            if certificate is not None:
                end.callback(Watch(certificate).close)
        end.callback(self._start_housekeeping())
        end.callback(Unpacker(self.store).close)
        end.callback(deliveries.every(settings.trail_seconds, self.deliverer.deliver, "trails"))
        if self.flow_logs is not None:
            often = min(FLOW_SECONDS, settings.flow_seconds)
            end.callback(deliveries.every(settings.flow_seconds, self.flow_logs.deliver, "flow logs"))
            end.callback(deliveries.every(often, self.flow_logs.collect, "flow counts"))
        evaluator = alarms.Evaluator(self.store, self.events.metrics, SystemClock(), RandomIds())
        end.callback(deliveries.every(alarms.SECONDS, evaluator.run, "alarms"))
        self.store.subscribe(lambda _before, after, _change: self.plane.publish(after))
        self.store.subscribe(self.free_texts.note)
        self.plane.publish(self.store.world)
        if isinstance(self.plane, NoPlane):
            self.plane.settle()  # what a crash left in transition
        control.start()
        end.callback(self._not_ready)
        end.callback(_ignore_interrupts)
        running.run(sockets=[self.listener])

    def _rehearse(self, request: dict[str, Any]) -> dict[str, Any]:
        """`ringfence diff --call`: the network now, and after a call that is not made."""
        found = rehearsal.answer(self.pipeline, request, self.root.account_id, self.settings.region)
        if isinstance(found, str):
            return {"error": found, "status": 2}
        before, after = found
        return {"before": snapshot.of_world(before), "after": snapshot.of_world(after)}

    def _make_deliverer(self) -> deliveries.Deliverer:
        key = keyfile.digest_key(self.data)
        self.digest_key = keyfile.public_part(key)
        folder = self.data / "trails"
        return deliveries.Deliverer(
            self.store, self.buckets, folder, SystemClock(), key, self.digest_key[1], self._service_keys()
        )

    def _service_keys(self) -> ServiceKeys:
        """What services ask KMS with."""
        return ServiceKeys(self.sealer, RandomIds(), SystemClock(), self.store.audit, self.buckets.default)

    def _flow_deliverer(self) -> FlowDeliverer | None:
        """Flow logs of what the data plane counts; None without one."""
        ask = self.plane.flow_counts
        if ask is None:
            return None
        from ringfence.flow_counts import PlaneCounts

        clock, since = SystemClock(), time.time()
        outside = deliveries.FromHere(self.store, self.deliverer, logs=self.events, metrics=self.events.metrics)
        groups = ServedLogGroups(self.store, outside, clock, RandomIds(), self.limits, self.sealer)
        sinks: dict[str, Sink] = {
            S3: BucketSink(lambda: self.store.world, self.buckets, clock, self._service_keys()),
            CLOUD_WATCH: LogGroupSink(lambda: self.store.world, groups, clock),
        }
        if self.streams:
            sinks[FIREHOSE] = FirehoseSink(self.streams, clock)
        counts = PlaneCounts(ask, lambda: self.store.world, since)
        folder = self.data / "flows"
        return FlowDeliverer(
            self.store, counts, sinks, folder, clock, services=tuple((block, "S3") for block in endpoints.S3_BLOCKS.values()),
            seen=self.flow_history.seen,
        )  # fmt: skip

    def _publish_digest_key(self, call: Call, world: World) -> Change | None:
        """The public half of the digest key, before the first call of CloudTrail."""
        public, fingerprint = self.digest_key
        if world.find(DIGEST_KEY, fingerprint) is not None:
            return None
        now = call.now.timestamp()
        row = DigestKey(
            id=fingerprint, owner_id="", region="", public=public, valid_from=now - HOUSEKEEPING_SECONDS,
            valid_to=now + KEY_YEARS * 365 * 86400,
        )  # fmt: skip
        return put(DIGEST_KEY, row)

    def _certificate(self) -> Certificate | None:
        """What TLS is served with: the given one, or one of the installation's own authority. SettingsError."""
        if self.authority is not None:
            self.authority.ensure()
        files = self.authority.served if self.authority is not None else self.settings.tls
        try:
            return Certificate(*files, approved=self.settings.fips) if files is not None else None
        except CertificateProblem as problem:
            raise SettingsError(f"cannot use the TLS certificate and key: {problem}") from None

    def _start_plane(self) -> Plane:
        if self.settings.dataplane == "none":
            return NoPlane(self.store)
        from ringfence.plane import Front, PlaneUnavailable, start_plane

        door = self._instance_door()
        try:
            front = Front(self.gate.ca.read_text(), door.listen, door.keep)
            plane = start_plane(
                self.store, self.run_directory, self._roles(), front, ephemeral=self.settings.ephemeral,
                flow_count=self.settings.flow_count,
            )  # fmt: skip
            self.door = door
            return plane
        except PlaneUnavailable as problem:
            if self.settings.dataplane == "nftables":
                raise SettingsError(f"the nftables data plane cannot start: {problem}") from None
            print(f"ringfence: no packets will be enforced: {problem}", file=sys.stderr)
            print("ringfence: 'ringfence doctor' says what is missing; the API and the analysis work", file=sys.stderr)
            return NoPlane(self.store)

    def _instance_door(self) -> InstanceDoor:
        """Where instances come in, with a certificate for the names of AWS's endpoints. SettingsError."""
        self.gate.ensure()
        try:
            return InstanceDoor(Certificate(*self.gate.served, approved=self.settings.fips))
        except CertificateProblem as problem:
            raise SettingsError(f"{self.gate.directory} cannot be used: {problem}") from None

    def _roles(self) -> Callable[[str, int], dict[str, str]]:
        """Where the metadata service's credentials come from (IAM-11)."""
        made = InstanceCredentials(lambda: self.store.world, self.sealer, RandomIds(), SystemClock())
        return lambda instance_id, version: made.documents(instance_id, version=version)

    def _pipeline(self) -> Pipeline:
        return Pipeline(
            store=self.store,
            credentials=Chain(
                RootKeys(root_key(self.root.account_id, self.root.access_key, self.root.secret_key)),
                StoredKeys(lambda: self.store.world, self.sealer),
            ),
            sealer=self.sealer,
            uses=self.uses,
            clock=SystemClock(),
            ids=RandomIds(),
            limits=self.limits,
            images=Images(self.settings.images or ((self.data / "images").resolve(),)),
            prepare={
                "ec2": (
                    default_vpc.initialise,
                    access_scopes.initialise,
                    *((images.sample_images,) if self.settings.ephemeral else ()),
                ),
                "cloudtrail": (self._publish_digest_key,),
            },
            outside=deliveries.FromHere(
                self.store,
                self.deliverer,
                self.flow_logs,
                sinks=frozenset((S3, CLOUD_WATCH, *([FIREHOSE] if self.streams else []))),
                streams=frozenset((self.root.account_id, name) for name in self.streams),
                console=self.plane.console,
                logs=self.events,
                live_tails=self.live_tails,
                metrics=self.events.metrics,
            ),
            objects=self.buckets,
            approved_only=self.settings.fips,
            reset=self._reset if self.settings.ephemeral else None,
            rates=Rates(self.settings.rate_factor) if self.settings.rate_factor is not None else None,
            after_write=self.plane.settle if isinstance(self.plane, NoPlane) else None,
        )

    def _measure(self) -> Measures:
        """What the installation tells of itself, of its pipeline's calls among it."""
        path = self.settings.metrics_token
        measures = Measures(
            self.store, self.plane, self.pipeline.meter, self.deliverer.delivery,
            token=read_token(path) if path is not None else None,
        )  # fmt: skip
        measures.internal_errors = lambda: self.pipeline.internal_errors
        measures.sources.append(self.flow_history.measures)
        if self.flow_logs is not None:
            delivery = self.flow_logs.delivery
            measures.sources.append(lambda: flow_logs(self.store, delivery))
        measures.sources.append(lambda: log_lag(self.store, self.events.summaries))
        self.pipeline.measures = measures
        return measures

    def _reset(self) -> None:
        """Forget everything; the World first, so that no stream is left whose events are gone."""
        with self.buckets.lock:
            self.store.reset()
            self.buckets.clear()
        self.events.clear()
        self.flow_store.clear()

    def _start_housekeeping(self) -> Any:
        """Forgets terminated instances, old analyses and log events after their retention; deletes and rotates KMS keys that are due;
        writes down when access keys were last used. Returns what ends it."""
        stop, clock = threading.Event(), SystemClock()

        def keep() -> None:
            while not stop.wait(HOUSEKEEPING_SECONDS):
                if _forgotten(self.store.world, clock.now()):
                    try:
                        self.store.write(lambda world: Commit(change=_forgotten(world, clock.now())))
                    except ApiError as problem:
                        log.error("terminated instances and old analyses are not forgotten yet: %s", problem)
                key_upkeep.keep(self.store, self.sealer, clock, RandomIds())
                self._write_uses()
                self._renew()
                self.pipeline.throttled.flush(clock.now().timestamp())
                self._expire(clock.now())
                self.free_texts.tell()

        thread = threading.Thread(target=keep, name="housekeeping", daemon=True)
        thread.start()

        def finish() -> None:
            stop.set()
            thread.join()
            self._write_uses()

        return finish

    def _renew(self) -> None:
        """A new certificate of the own authority before the old one ends; the watch serves it."""
        try:
            for authority in (self.authority, self.gate if self.door is not None else None):
                if authority is not None:
                    authority.ensure()
        except SettingsError as problem:
            log.error("the TLS certificate cannot be renewed: %s", problem)

    def _expire(self, now: datetime) -> None:
        try:
            expiry.expire(self.events, lambda: self.store.world, now)
        except (ApiError, sqlite3.Error) as problem:
            log.error("log events are not expired yet: %s", problem)

    def _write_uses(self) -> None:
        """One commit for the last uses of all keys and roles since the last time."""
        try:
            if self.uses.change(self.store.world):
                self.store.write(lambda world: Commit(change=self.uses.change(world)))
            self.uses.written(self.store.world)
        except ApiError as problem:
            log.error("the last uses of access keys are not written down yet: %s", problem)

    def _ready(self) -> None:
        settings = self.settings
        notes.write(settings.home, self.note)
        print("\n".join(banner(settings, self.root, self.plane.name)), flush=True)
        if settings.ready_file:
            settings.ready_file.write_text(settings.endpoint + "\n")

    def _not_ready(self) -> None:
        notes.remove(self.settings.home, self.note)
        if self.settings.ready_file:
            self.settings.ready_file.unlink(missing_ok=True)


def _collect_seldom() -> None:
    """Look for cyclic garbage less often, and never among what is there from the start: the models, the code, the World.

    Measured with 1,000 groups of 20 rules: by Python's own thresholds every sixth microsecond of an Authorize went to looking,
    and a look at everything stopped all connections for 100 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, before anything else is made: a port in use must not disturb who has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as problem:
        why = os.strerror(problem.errno) if problem.errno and problem.errno > 0 else problem.strerror
        raise SettingsError(f"cannot listen on {host}:{port} ({why}): choose another --listen") from None
