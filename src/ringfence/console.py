"""What the installation answers on its control socket: status, wait, trace, audit, where to exec and probe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ringfence.accounts import AccountProblem, Accounts
from ringfence.api.outside import ConsoleOutput
from ringfence.identity import oidc
from ringfence.insight.analyzer.report import PathReporter
from ringfence.insight.hygiene import free_text
from ringfence.insight.imports import snapshot
from ringfence.insight.reach.probe import place_of, probe_request
from ringfence.insight.reach.report import Reporter
from ringfence.insight.reach.trace import TargetError, Tracer, resolve
from ringfence.model.errors import ApiError
from ringfence.model.kinds import INSTANCE, NETWORK_INTERFACE, OIDC_PROVIDER, SECURITY_GROUP, SUBNET, VPC
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.network import Vpc
from ringfence.model.world import NOTHING, World, put
from ringfence.store import trail
from ringfence.store.store import Commit, Store

if TYPE_CHECKING:
    from ringfence.flow_counts import Ask

Request = dict[str, Any]
Reply = dict[str, Any]
NO_PLANE = "there is no data plane: use trace, or start ringfence with --dataplane nftables"


class Plane(Protocol):
    """A data plane as the API process sees it."""

    name: str

    def publish(self, world: World) -> None:
        """Bring the packets to this World, soon; returns at once."""
        ...

    def status(self) -> dict[str, Any]:
        """At least `applied_generation`; `problem` when something is wrong."""
        ...

    def reached(self, generation: int, timeout: float) -> bool:
        """Wait until the packets obey this generation; False after `timeout` seconds."""
        ...

    def probe(self, request: Request, *, timeout: float) -> Reply:
        """Real packets."""
        ...

    def verify(self, request: Request) -> Reply:
        """Is what is installed what the model says? Reports what is not, and how it went with repairing it."""
        ...

    def console(self, instance_id: str) -> ConsoleOutput | None:
        """What an instance wrote on its console."""
        ...

    @property
    def flow_counts(self) -> Ask | None:
        """Where counts for flow logs come from; None: nothing is counted here."""
        ...

    def close(self) -> None:
        """End it, and everything it made."""
        ...


class Console:
    """Answers requests of the ringfence command. An answer with `error` may name an exit `status`."""

    def __init__(self, store: Store, plane: Plane, endpoint: str, run: Path, accounts: Accounts) -> None:
        self._store, self._plane, self._endpoint, self._run = store, plane, endpoint, run
        self._accounts = accounts
        self.flows: Callable[[Request], Reply] = lambda _: {"error": "this installation keeps no flows"}
        self.suggest: Callable[[Request], Reply] = lambda _: {"error": "this installation keeps no flows"}
        self.measures: Callable[[], str] = lambda: ""
        self.rehearse: Callable[[Request], Reply] = lambda _: {"error": "this installation serves no calls yet"}
        self._started, self._tracer, reporter = time.time(), Tracer(), Reporter()
        paths = PathReporter()
        self._handlers: dict[str, Callable[[Request], Reply]] = {
            "status": lambda _: self.status(),
            "wait": self._wait,
            "trace": lambda request: self._tracer.answer(self._store.world, request),
            "paths": lambda request: paths.answer(self._store.world, request),
            "reach": lambda request: reporter.reach(self._store.world, request),
            "rehearse": lambda request: self.rehearse(request),
            "snapshot": lambda _: snapshot.of_world(self._store.world),
            "exposure": lambda request: reporter.exposure(self._store.world, request),
            "audit": self._audit,
            "audit-verify": self._audit_verify,
            "account-create": self._account,
            "account-key": self._account,
            "account-revoke": self._account,
            "account-list": lambda _: {"accounts": self._accounts.listed()},
            "locate": self._locate,
            "probe": self._probe,
            "verify": self._plane.verify,
            "oidc-keys": self._oidc_keys,
            "free-text": lambda _: {"findings": [asdict(found) for found in free_text.in_world(self._store.world)]},
            "flows": lambda request: self.flows(request),
            "flows-suggest": lambda request: self.suggest(request),
            "metrics": lambda _: {"text": self.measures()},
        }

    def answer(self, request: Request) -> Reply:
        """One request."""
        handler = self._handlers.get(str(request.get("do")))
        return handler(request) if handler else {"error": f"unknown request {request.get('do')!r}"}

    def status(self) -> Reply:
        """`ringfence status --json`."""
        world = self._store.world
        return {
            "endpoint": self._endpoint,
            "generation": world.generation,
            "dataplane": self._plane.name,
            "uptime": round(time.time() - self._started, 1),
            "vpcs": [_counts(world, vpc) for vpc in world.all(VPC)],
            **self._plane.status(),
        }

    def _wait(self, request: Request) -> Reply:
        """Until the generation of now is applied."""
        wanted = self._store.world.generation
        reached = self._plane.reached(wanted, float(request.get("timeout", 30)))
        status = self._plane.status()
        applied = status["applied_generation"]
        if reached:
            return {"generation": wanted, "applied_generation": applied}
        return {"error": f"generation {applied} of {wanted} applied: {status.get('problem', 'still working')}"}

    def _audit(self, request: Request) -> Reply:
        """The newest calls that fit, oldest first."""
        wanted = trail.Wanted(**{name: str(value) for name, value in request.get("wanted", {}).items() if value})
        try:
            return {"records": trail.newest(self._store, wanted, int(request.get("last", 50)))}
        except OSError as problem:
            return {"error": f"{problem}: 'ringfence audit --verify' says where the trail is broken"}

    def _audit_verify(self, request: Request) -> Reply:
        """Is the trail whole, and does it hold a record with the seal given?"""
        found = self._store.verify_audit(bytes.fromhex(str(request.get("seal") or "")))
        return {
            "records": found.records, "unsealed": found.unsealed, "seal": found.head.hex(), "seal_found": found.found,
            "broken": None if found.broken is None else {"record": found.broken[0], "why": found.broken[1]},
        }  # fmt: skip

    def _oidc_keys(self, request: Request) -> Reply:
        """The key set of an OpenID Connect provider, which tokens are checked with from now on."""
        id, keys = str(request["provider"]), str(request["keys"])
        try:
            count = oidc.check_keys(keys)
        except oidc.TokenFault as problem:
            return {"error": str(problem), "status": 2}

        def decide(world: World) -> Commit:
            held = world.find(OIDC_PROVIDER, id)
            change = NOTHING if held is None else put(OIDC_PROVIDER, replace(held, keys=keys))
            return Commit(change=change, result=held is not None)

        try:
            found = self._store.write(decide)
        except ApiError as problem:
            return {"error": problem.message}
        return {"provider": id, "keys": count} if found else {"error": f"there is no provider {id}", "status": 2}

    def _account(self, request: Request) -> Reply:
        """A new account, a root key of one, or the end of a role's sessions."""
        try:
            if request["do"] == "account-revoke":
                return self._accounts.revoke(str(request["role"]))
            if request["do"] == "account-key":
                return self._accounts.key(str(request["id"]))
            return self._accounts.create(request.get("name"), request.get("email"), request.get("id"))
        except AccountProblem as problem:
            return {"error": str(problem), "status": 2}

    def _locate(self, request: Request) -> Reply:
        """Where `ringfence exec` must go."""
        if self._plane.name == "none":
            return {"error": "there is no data plane: nothing to run commands in"}
        world, target = self._store.world, str(request["target"])
        try:
            return {"run": str(self._run), "place": place_of(world, target, resolve(world, target))}
        except TargetError as problem:
            return {"error": str(problem), "status": 2}

    def _probe(self, request: Request) -> Reply:
        try:
            wanted = probe_request(self._store.world, request)
        except (TargetError, ValueError) as problem:
            return {"error": str(problem), "status": 2}
        return self._plane.probe(wanted, timeout=wanted["timeout"] * (wanted["count"] + 2) + 20)


def _counts(world: World, vpc: Vpc) -> Reply:
    running = (i for i in world.by(INSTANCE, "vpc", vpc.id) if i.state is InstanceState.RUNNING)
    return {
        "vpc_id": vpc.id,
        "owner_id": vpc.owner_id,
        "region": vpc.region,
        "cidr": str(vpc.cidr),
        "subnets": world.count(SUBNET, "vpc", vpc.id),
        "security_groups": world.count(SECURITY_GROUP, "vpc", vpc.id),
        "interfaces": world.count(NETWORK_INTERFACE, "vpc", vpc.id),
        "instances": sum(1 for _ in running),
    }
