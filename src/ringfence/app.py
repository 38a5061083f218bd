"""The composition root: builds an installation from its settings and runs it."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import uvloop

import ringfence.api.ops.ec2
import ringfence.api.ops.sts  # noqa: F401  fills the registry
from ringfence.api.ops.ec2 import default_vpc, lifecycle
from ringfence.api.ops.registry import OPERATIONS
from ringfence.api.pipeline import Pipeline
from ringfence.api.server import server
from ringfence.control import ControlServer
from ringfence.identity.credentials import RootKeys, root_key
from ringfence.insight.reach.probe import place_of, probe_request
from ringfence.insight.reach.trace import TargetError, resolve, trace_request
from ringfence.model.clock import SystemClock
from ringfence.model.ids import RandomIds
from ringfence.model.kinds import INSTANCE, NETWORK_INTERFACE, SUBNET, VPC
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.quotas import LAB, Limits
from ringfence.model.world import Change, World
from ringfence.store.sqlite import SqliteStore
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence")


class SettingsError(Exception):
    """The settings cannot be honoured; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `ringfence up` was asked for. `data` None = ephemeral."""

    data: Path | None
    host: str
    port: int
    dataplane: str = "auto"  # auto | nftables | none
    account_id: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    ready_file: Path | None = None
    tls: tuple[Path, Path] | None = None
    quotas: dict[str, int] = field(default_factory=dict)
    lab: bool = False
    home: Path = Path()

    @property
    def ephemeral(self) -> bool:
        return self.data is None


class Plane(Protocol):
    """A data plane as the composition root sees it."""

    name: str

    def publish(self, world: World) -> None:
        """Bring the packets to this World, soon; returns at once."""
        ...

    def status(self) -> dict[str, Any]:
        """At least `applied_generation`; `problem` when something is wrong."""
        ...

    def close(self) -> None:
        """End it, and everything it made."""
        ...


class NoPlane:
    """No packets: every generation counts as applied, and instances settle at once."""

    name = "none"

    def __init__(self, store: Store) -> None:
        self._store = store

    def publish(self, world: World) -> None:
        return None

    def status(self) -> dict[str, Any]:
        return {"applied_generation": self._store.world.generation}

    def close(self) -> None:
        return None

    def settle(self) -> None:
        """Bring transitional instances where they are going."""
        if lifecycle.transitional(self._store.world):
            self._store.write(lambda world: Commit(change=_settle_all(world)))


def _settle_all(world: World) -> Change:
    change = Change()
    for instance in lifecycle.transitional(world):
        change += lifecycle.settled(world, instance.id, lifecycle.destination(instance))
    return change


@dataclass(frozen=True, slots=True)
class Root:
    """The installation's root key; kept in the data directory, mode 0600."""

    account_id: str
    access_key: str
    secret_key: str


def root_of(settings: Settings) -> tuple[Root, bool]:
    """The root key, and whether it is new. Given keys win; stored ones come next; else one is made."""
    path = settings.data / "root.json" if settings.data else None
    stored: dict[str, str] = json.loads(path.read_text()) if path and path.exists() else {}
    account = settings.account_id or stored.get("account_id") or f"{secrets.randbelow(10**12):012d}"
    if not (len(account) == 12 and account.isdigit()):
        raise SettingsError(f"an account id has 12 digits, not {account!r}")
    if stored and account != stored["account_id"]:
        raise SettingsError(f"this data directory belongs to account {stored['account_id']}, not {account}")
    access = settings.access_key or stored.get("access_key") or "AKIA" + secrets.token_hex(8).upper()
    secret = settings.secret_key or stored.get("secret_key") or secrets.token_urlsafe(30)
    root = Root(account, access, secret)
    fresh = not stored
    if path and stored != {"account_id": account, "access_key": access, "secret_key": secret}:
        _write_private(path, json.dumps({"account_id": account, "access_key": access, "secret_key": secret}))
    return root, fresh and settings.secret_key is None


def _write_private(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class Installation:
    """Everything that runs in the API process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.scratch: Path | None = None
        if settings.data is None:
            base = os.environ.get("XDG_RUNTIME_DIR") or None
            self.scratch = Path(
                tempfile.mkdtemp(prefix="ringfence-", dir=base if base and os.access(base, os.W_OK) else None)
            )
            self.data = self.scratch
        else:
            settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.data = settings.data
        self.run = self.data / "run"
        self.run.mkdir(exist_ok=True, mode=0o700)
        self.root, self.root_is_new = root_of(settings)
        self.store = SqliteStore(self.data / "ringfence.db", durable=not settings.ephemeral)
        self.limits = Limits({**(LAB if settings.lab else {}), **settings.quotas})
        self.plane: Plane = NoPlane(self.store)
        self.control = ControlServer(self.run / "api.sock", self.answer)
        self.started = time.time()

    # ------------------------------------------------------------------ life
    def serve(self) -> int:
        """Run until a signal ends it."""
        settings = self.settings
        self.plane = self._start_plane()
        pipeline = self._pipeline()
        self.store.subscribe(lambda _before, after, _change: self.plane.publish(after))
        self.plane.publish(self.store.world)
        housekeeping = threading.Thread(target=self._housekeep, name="housekeeping", daemon=True)
        housekeeping.start()
        uvloop.install()
        running, application = server(pipeline, settings.host, settings.port, on_ready=self._ready, tls=settings.tls)
        try:
            self.control.start()
            running.run()
        finally:
            application.close()
            self.close()
        return 0 if running.started else 1

    def _start_plane(self) -> Plane:
        if self.settings.dataplane == "none":
            return NoPlane(self.store)
        from ringfence.plane import PlaneUnavailable, start_plane

        try:
            return start_plane(self.store, self.run, ephemeral=self.settings.ephemeral)
        except PlaneUnavailable as problem:
            if self.settings.dataplane == "nftables":
                raise SettingsError(f"the nftables data plane cannot start: {problem}") from None
            print(f"ringfence: no packets will be enforced: {problem}", file=sys.stderr)
            print("ringfence: 'ringfence doctor' says what is missing; the API and the analysis work", file=sys.stderr)
            return NoPlane(self.store)

    def _pipeline(self) -> Pipeline:
        settings = self.settings
        return Pipeline(
            store=self.store,
            credentials=RootKeys(root_key(self.root.account_id, self.root.access_key, self.root.secret_key)),
            clock=SystemClock(),
            ids=RandomIds(),
            limits=self.limits,
            prepare={"ec2": (default_vpc.initialise,)},
            reset=self.store.reset if settings.ephemeral else None,
            after_write=self.plane.settle if isinstance(self.plane, NoPlane) else None,
        )

    def _housekeep(self) -> None:
        """Terminated instances are forgotten after an hour."""
        while True:
            time.sleep(60)
            if lifecycle.forgotten(self.store.world, SystemClock().now()):
                self.store.write(lambda world: Commit(change=lifecycle.forgotten(world, SystemClock().now())))

    def _ready(self) -> None:
        self._write_pointer()
        print(self.banner(), flush=True)
        if self.settings.ready_file:
            self.settings.ready_file.write_text(self.endpoint + "\n")

    def close(self) -> None:
        """End everything; an ephemeral installation leaves nothing behind."""
        self.control.close()
        self.plane.close()
        self.store.close()
        self._pointer.unlink(missing_ok=True)
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)

    # ------------------------------------------------------------------ telling
    @property
    def endpoint(self) -> str:
        scheme = "https" if self.settings.tls else "http"
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"{scheme}://{host}:{self.settings.port}"

    @property
    def _pointer(self) -> Path:
        return self.settings.home / "instances" / f"{self.settings.port}.json"

    def _write_pointer(self) -> None:
        self._pointer.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {
            "endpoint": self.endpoint, "pid": os.getpid(), "run": str(self.run), "region": self.settings.region,
            "account_id": self.root.account_id, "access_key": self.root.access_key, "secret_key": self.root.secret_key,
            "started": self.started,
        }  # fmt: skip
        _write_private(self._pointer, json.dumps(content))

    def banner(self) -> str:
        """What is served, and what is enforced and what is not."""
        lines = [f"Ringfence serves {len(OPERATIONS)} operations on {self.endpoint} (account {self.root.account_id})"]
        if self.root_is_new:
            lines.append(
                f"root key {self.root.access_key}  secret {self.root.secret_key}  (shown once; `ringfence env` has it)"
            )
        lines.append("enforced: Signature V4 on every call, audit of every call, every quota"
                     + (" (lab quotas: more VPCs, gateways and addresses)" if self.settings.lab else ""))  # fmt: skip
        if self.plane.name == "none":
            lines.append("NOT enforced: packets (no data plane); instances are records only")
        else:
            lines.append(
                "enforced: security groups, network ACLs, routes, internet gateways on real packets (nftables)"
            )
        lines.append("not yet: IAM users and roles (only the root key can call), flow logs, NAT gateways, peering")
        return "\n".join(lines)

    # ------------------------------------------------------------------ control socket
    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request of the ringfence command."""
        handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "status": lambda _: self.status(),
            "wait": self._wait,
            "trace": lambda r: trace_request(self.store.world, r),
            "audit": self._audit,
            "locate": self._locate,
            "probe": self._probe,
            "settings": lambda _: {"run": str(self.run), "dataplane": self.plane.name},
        }
        handler = handlers.get(str(request.get("do")))
        return handler(request) if handler else {"error": f"unknown request {request.get('do')!r}"}

    def status(self) -> dict[str, Any]:
        """`ringfence status --json`."""
        world = self.store.world
        vpcs = [
            {
                "vpc_id": vpc.id,
                "region": vpc.region,
                "cidr": str(vpc.cidr),
                "subnets": world.count(SUBNET, "vpc", vpc.id),
                "interfaces": world.count(NETWORK_INTERFACE, "vpc", vpc.id),
                "instances": sum(1 for i in world.by(INSTANCE, "vpc", vpc.id) if i.state is InstanceState.RUNNING),
            }
            for vpc in world.all(VPC)
        ]
        return {
            "endpoint": self.endpoint,
            "generation": world.generation,
            "dataplane": self.plane.name,
            "uptime": round(time.time() - self.started, 1),
            "vpcs": vpcs,
            **self.plane.status(),
        }

    def _wait(self, request: dict[str, Any]) -> dict[str, Any]:
        """Until the generation of now is applied, and no instance is in transition."""
        wanted = self.store.world.generation
        deadline = time.monotonic() + float(request.get("timeout", 30))
        while True:
            status = self.plane.status()
            if status["applied_generation"] >= wanted:
                return {"generation": wanted, "applied_generation": status["applied_generation"]}
            if time.monotonic() > deadline:
                problem = status.get("problem", "still working")
                return {"error": f"generation {status['applied_generation']} of {wanted} applied: {problem}"}
            time.sleep(0.002)

    def _locate(self, request: dict[str, Any]) -> dict[str, Any]:
        """Where `ringfence exec` must go."""
        if isinstance(self.plane, NoPlane):
            return {"error": "there is no data plane: nothing to run commands in"}
        target = str(request["target"])
        try:
            found = resolve(self.store.world, target)
        except TargetError as problem:
            return {"error": str(problem), "status": 2}
        return {"run": str(self.run), "place": place_of(self.store.world, target, found)}

    def _probe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Real packets, asked of the agent."""
        plane = self.plane
        if not hasattr(plane, "probe"):
            return {"error": "there is no data plane: use trace, or start ringfence with --dataplane nftables"}
        try:
            wanted = probe_request(self.store.world, request)
        except (TargetError, ValueError) as problem:
            return {"error": str(problem), "status": 2}
        answer: dict[str, Any] = plane.probe(wanted, timeout=wanted["timeout"] * (wanted["count"] + 2) + 20)
        return answer

    def _audit(self, request: dict[str, Any]) -> dict[str, Any]:
        rows = self.store.audit_records(limit=int(request.get("last", 50)), newest=True)
        return {"records": [json.loads(row.record) for row in rows]}
