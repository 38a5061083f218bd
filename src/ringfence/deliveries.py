"""Delivery of trails: audit records as CloudTrail's log files and signed digest files in the trail's bucket (DATA-12).

Sources: CloudTrail User Guide, "CloudTrail log file examples", "CloudTrail digest file structure", "Custom implementations of
CloudTrail log file integrity validation". Log files lie under
`PREFIX/AWSLogs/ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/`, digests under `…/CloudTrail-Digest/…`.

A record is delivered at least once: the place up to which a trail is delivered is written after its files are on disk. File
names are never used twice. While a bucket or the disk fails, nothing is skipped: the next attempt begins at the same place.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ringfence.api import bucket_sealing
from ringfence.api.live_tails import LiveTails
from ringfence.api.ops.cloudtrail.selectors import delivers
from ringfence.api.ops.cloudtrail.trails import SERVICE, may_write
from ringfence.api.outside import ConsoleOutput, Delivery, FlowLogging, LogEvents, Metrics, NoLogEvents, NoMetrics
from ringfence.api.record import shown
from ringfence.insight.flowlogs.files import parquet_here
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError
from ringfence.model.kinds import BUCKET, TRAIL
from ringfence.model.nouns.trail import Trail
from ringfence.store.buckets import BucketFiles
from ringfence.store.containers import Sealing
from ringfence.store.store import Store
from ringfence.store.trail import backwards

log = logging.getLogger("ringfence.trails")

DIGEST_SECONDS = 3600.0
BATCH = 5000  # records read at once
ATTEMPT_ERRORS = (OSError, ValueError)
_WORDS = ("NoSuchBucket", "AccessDenied", "KMS.")  # that S3 would say


NONE_YET = Delivery()


@dataclass(frozen=True, slots=True)
class LogFile:
    """A delivered log file, as a digest lists it."""

    key: str
    hash: str
    oldest: str
    newest: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a trail is. `number`: the last audit record looked at. `files`: delivered since the last digest, by Region."""

    number: int
    status: Delivery = NONE_YET
    digest_end: float | None = None
    files: tuple[tuple[str, LogFile], ...] = ()
    previous: tuple[tuple[str, tuple[str, str, str, str]], ...] = ()  # Region -> bucket, key, hash, signature


class Deliverer:
    """Delivers all trails. `folder` keeps how far each is; `key` signs digests, its fingerprint is `fingerprint`."""

    def __init__(
        self, store: Store, files: BucketFiles, folder: Path, clock: Clock, key: rsa.RSAPrivateKey, fingerprint: str,
        keys: bucket_sealing.ServiceKeys,
    ) -> None:  # fmt: skip
        self._store, self._files, self._folder, self._clock = store, files, folder, clock
        self._key, self._fingerprint, self._keys = key, fingerprint, keys
        self._progress: dict[str, Progress] = {}
        self._lock = threading.Lock()

    def delivery(self, trail_arn: str) -> Delivery:
        """How deliveries of a trail went."""
        with self._lock:
            return self._held(trail_arn).status

    def deliver(self) -> None:
        """Bring every trail up to now."""
        world = self._store.world
        with self._lock:
            for trail in world.all(TRAIL):
                if trail.started is not None:
                    self._trail(trail)

    # ------------------------------------------------------------------ one trail
    def _trail(self, trail: Trail) -> None:
        now = self._clock.now()
        held = self._held(trail.id)
        try:
            self._check(trail, now)
            held = self._logs(trail, held, now)
            if trail.validation_since is not None:
                held = self._digests(trail, held, now)
            self._keep(trail.id, held)
        except ATTEMPT_ERRORS as problem:
            word = str(problem) if str(problem).startswith(_WORDS) else "InternalError"
            log.error("trail %s is not delivered: %s", trail.id, problem)
            failed = replace(held.status, error=word, attempted=now.timestamp())
            self._progress[trail.id] = replace(self._held(trail.id), status=failed)

    def _check(self, trail: Trail, now: datetime) -> None:
        """ValueError when there is no bucket, or (`AccessDenied`) its policy does not let CloudTrail in."""
        world = self._store.world
        if world.find(BUCKET, trail.bucket) is None:
            raise ValueError("NoSuchBucket")
        if not may_write(world, now, trail.id, trail.owner_id, trail.bucket, trail.prefix, trail.kms_key):
            raise ValueError("AccessDenied")

    def _put(self, trail: Trail, key: str, body: bytes, metadata: Mapping[str, str], now: datetime) -> None:
        with self._files.lock:  # the bucket, and what its policy says, cannot change in between
            self._check(trail, now)
            sealing = self._sealing(trail, key)
            self._files.put(
                trail.bucket, key, body, content_type="application/json", metadata=metadata, sealing=sealing
            )

    def _sealing(self, trail: Trail, key: str) -> Sealing | None:
        """ValueError with S3's word when the key does not let CloudTrail in, or cannot be used."""
        context = {"aws:cloudtrail:arn": trail.id} if trail.kms_key else {}
        who = bucket_sealing.Deliverer(SERVICE, trail.id, trail.owner_id, context)
        try:
            return self._keys.sealing(self._store.world, trail.bucket, key, who, trail.kms_key)
        except ApiError as problem:
            raise ValueError(problem.code) from problem

    def _logs(self, trail: Trail, held: Progress, now: datetime) -> Progress:
        """Log files of what was recorded since, up to now: what the delivery itself leaves in the trail is for the next one."""
        newest = self._store.audit_records(limit=1, newest=True)
        end = newest[-1].number + 1 if newest else 0
        while rows := self._store.audit_records(after=held.number, before=end, limit=BATCH):
            groups: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                event = json.loads(row.record)
                region = str(event.get("awsRegion") or "")
                if self._wanted(trail, event, region):
                    groups.setdefault(trail.region if region in ("", "aws-global") else region, []).append(shown(event))
            made = tuple((region, self._log_file(trail, region, events, now)) for region, events in groups.items())
            status = held.status
            if made:
                status = replace(status, at=now.timestamp(), attempted=now.timestamp(), error=None)
            held = replace(held, number=rows[-1].number, status=status, files=(*held.files, *made))
            self._keep(trail.id, held)
        return held

    def _wanted(self, trail: Trail, event: Mapping[str, Any], region: str) -> bool:
        if event.get("recipientAccountId") != trail.owner_id:
            return False
        at = datetime.fromisoformat(event["eventTime"]).timestamp()
        began, ended = (trail.started or 0) - 0.001, trail.stopped or 0  # records keep milliseconds
        return at >= began and (trail.logging or at <= ended) and delivers(trail, event, region)

    def _log_file(self, trail: Trail, region: str, events: list[dict[str, Any]], now: datetime) -> LogFile:
        body = json.dumps({"Records": events}, separators=(",", ":")).encode()
        name = f"{trail.owner_id}_CloudTrail_{region}_{now:%Y%m%dT%H%MZ}_{secrets.token_hex(8)}.json.gz"
        key = f"{_root(trail)}/CloudTrail/{region}/{now:%Y/%m/%d}/{name}"
        self._put(trail, key, gzip.compress(body), {}, now)
        times = sorted(event["eventTime"] for event in events)
        return LogFile(key, hashlib.sha256(body).hexdigest(), times[0], times[-1])

    # ------------------------------------------------------------------ digests
    def _digests(self, trail: Trail, held: Progress, now: datetime) -> Progress:
        """One digest for each Region and hour that is over, also where nothing was delivered: a gap must show."""
        start = held.digest_end or trail.validation_since or now.timestamp()
        while start + DIGEST_SECONDS <= now.timestamp():
            end = start + DIGEST_SECONDS
            last = end + DIGEST_SECONDS > now.timestamp()  # files delivered late go into the newest digest
            previous = dict(held.previous)
            for region in sorted({trail.region, *previous, *(region for region, _ in held.files)}):
                files = [file for where, file in held.files if where == region] if last else []
                previous[region] = self._digest(trail, region, files, (start, end), previous.get(region))
            held = replace(
                held, digest_end=end, files=() if last else held.files, previous=tuple(previous.items()),
                status=replace(held.status, digest_at=now.timestamp(), digest_error=None),
            )  # fmt: skip
            self._keep(trail.id, held)
            start = end
        return held

    def _digest(
        self, trail: Trail, region: str, files: list[LogFile], span: tuple[float, float],
        before: tuple[str, str, str, str] | None,
    ) -> tuple[str, str, str, str]:  # fmt: skip
        start, end = (datetime.fromtimestamp(at, UTC) for at in span)
        name = f"{trail.owner_id}_CloudTrail-Digest_{region}_{trail.name}_{trail.region}_{end:%Y%m%dT%H%M%SZ}.json.gz"
        key = f"{_root(trail)}/CloudTrail-Digest/{region}/{end:%Y/%m/%d}/{name}"
        document = {
            "awsAccountId": trail.owner_id, "digestStartTime": _time(start), "digestEndTime": _time(end),
            "digestS3Bucket": trail.bucket, "digestS3Object": key, "digestPublicKeyFingerprint": self._fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": max((file.newest for file in files), default=None),
            "oldestEventTime": min((file.oldest for file in files), default=None),
            "previousDigestS3Bucket": before[0] if before else None, "previousDigestS3Object": before[1] if before else None,
            "previousDigestHashValue": before[2] if before else None,
            "previousDigestHashAlgorithm": "SHA-256" if before else None,
            "previousDigestSignature": before[3] if before else None,
            "logFiles": [
                {"s3Bucket": trail.bucket, "s3Object": file.key, "hashValue": file.hash, "hashAlgorithm": "SHA-256",
                 "newestEventTime": file.newest, "oldestEventTime": file.oldest}
                for file in files
            ],
        }  # fmt: skip
        body = json.dumps(document, separators=(",", ":")).encode()
        digest = hashlib.sha256(body).hexdigest()
        text = f"{_time(end)}\n{trail.bucket}/{key}\n{digest}\n{before[3] if before else 'null'}"
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"}
        self._put(trail, key, gzip.compress(body), metadata, self._clock.now())
        return trail.bucket, key, digest, signature

    # ------------------------------------------------------------------ how far
    def _held(self, trail_arn: str) -> Progress:
        """How far a trail is. A new one begins with the records of now: it delivers nothing from before it started."""
        held = self._progress.get(trail_arn)
        if held is None:
            held = self._progress[trail_arn] = self._stored(trail_arn) or Progress(0)
        return held

    def _stored(self, trail_arn: str) -> Progress | None:
        try:
            kept = json.loads(self._place(trail_arn).read_text())
        except FileNotFoundError:
            return None
        return Progress(
            kept["number"], Delivery(**kept["status"]), kept["digest_end"],
            tuple((region, LogFile(**file)) for region, file in kept["files"]),
            tuple((region, tuple(each)) for region, each in kept["previous"]),
        )  # fmt: skip

    def _keep(self, trail_arn: str, held: Progress) -> None:
        self._progress[trail_arn] = held
        self._folder.mkdir(mode=0o700, exist_ok=True)
        place = self._place(trail_arn)
        beside = place.with_suffix(".new")
        beside.write_text(json.dumps(asdict(held)))
        beside.replace(place)

    def _place(self, trail_arn: str) -> Path:
        return self._folder / f"{hashlib.sha256(trail_arn.encode()).hexdigest()[:32]}.json"


def _root(trail: Trail) -> str:
    return f"{trail.prefix}/AWSLogs/{trail.owner_id}" if trail.prefix else f"AWSLogs/{trail.owner_id}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------------- the thread
def every(seconds: float, work: Callable[[], None], name: str) -> Callable[[], None]:
    """Do `work` again and again on a thread of its own; returns what ends that, after one last time. A bug in one turn is
    logged, and does not keep the next from being done."""
    stop = threading.Event()

    def run() -> None:
        going = True
        while going:
            going = not stop.wait(seconds)
            try:
                work()
            except Exception:
                log.exception("%s: this turn failed", name)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()

    def finish() -> None:
        stop.set()
        thread.join()

    return finish


def events(store: Store, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Audit records that hold every needle, the newest first."""
    for number, raw in backwards(store):
        if all(needle in raw for needle in needles):
            yield number, raw


class FlowDeliveries(Protocol):
    """What is asked of deliveries of flow logs (`flow_deliveries.py`)."""

    def delivery(self, flow_log_id: str) -> Delivery: ...


class FromHere:
    """What operations may ask of this installation (`api/outside.py`).

    `flows` None: no data plane counts packets per flow (docs/flowlogs.md), so flow logs are refused, not pretended.
    """

    def __init__(
        self,
        store: Store,
        deliverer: Deliverer,
        flows: FlowDeliveries | None = None,
        *,
        sinks: frozenset[str] = frozenset(),
        streams: frozenset[tuple[str, str]] = frozenset(),
        console: Callable[[str], ConsoleOutput | None] = lambda _id: None,
        logs: LogEvents | None = None,
        live_tails: LiveTails | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._store, self._deliverer, self._flows, self._sinks = store, deliverer, flows, sinks
        self._streams = streams
        self._console = console
        self.logs: LogEvents = logs or NoLogEvents()
        self.live_tails = live_tails
        self.metrics: Metrics = metrics or NoMetrics()

    def events(self, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
        return events(self._store, needles)

    def delivery(self, trail_arn: str) -> Delivery:
        return self._deliverer.delivery(trail_arn)

    def flow_logging(self) -> FlowLogging | None:
        return (
            FlowLogging(sinks=self._sinks, parquet=parquet_here(), streams=self._streams)
            if self._flows is not None
            else None
        )

    def flow_delivery(self, flow_log_id: str) -> Delivery:
        return self._flows.delivery(flow_log_id) if self._flows is not None else Delivery()

    def console(self, instance_id: str) -> ConsoleOutput | None:
        return self._console(instance_id)
