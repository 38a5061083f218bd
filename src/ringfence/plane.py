"""The API process's side of the data plane: starts keeper and agent, sends deltas, hears events."""

from __future__ import annotations

import base64
import itertools
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence import drift
from ringfence.api.ops.ec2 import lifecycle
from ringfence.api.outside import ConsoleOutput
from ringfence.dataplane import bpf, linux, segments
from ringfence.dataplane.link import pack
from ringfence.exposition import Family, counter, gauge
from ringfence.model.clock import SystemClock
from ringfence.model.errors import ApiError
from ringfence.model.kinds import INSTANCE
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.world import Change, World
from ringfence.policy.compile import Compiler, diff
from ringfence.policy.ir import Ir
from ringfence.store.store import Commit, Store

log = logging.getLogger("ringfence.plane")
RESTART_SECONDS = 0.5
END_SECONDS = 20.0
CONSOLE_SECONDS = 5.0
CONNECTIONS_SECONDS = 2.0
VERIFY_SECONDS = 600.0
COUNTS_SECONDS = 60.0


#: (instance id, version of the metadata service) -> the iam/ part of its metadata by path
Roles = Callable[[str, int], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Front:
    """How instances reach the AWS APIs: whose certificates they trust, and who answers on the sockets that listen there."""

    authority: str
    listen: Callable[[Sequence[socket.socket], str | None], None]  # the sockets; the gateway endpoint they are for
    keep: Callable[[Sequence[str]], None]  # the endpoints there are


class PlaneUnavailable(Exception):
    """The data plane cannot run here; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Segments:
    """How flow logs come to know of how many segments a piece is: a program tells (its descriptor), or, None, links cut;
    `why` (docs/adr/0016)."""

    program: int | None
    why: str = ""


def start_plane(
    store: Store, run: Path, roles: Roles, front: Front, *, ephemeral: bool, flow_count: str = "auto"
) -> NftablesPlane:
    """A running data plane. `flow_count`: auto, or cut. PlaneUnavailable when this machine cannot."""
    if sys.platform != "linux":
        raise PlaneUnavailable("packets are enforced on Linux only")
    keeper = _keeper(run, ephemeral=ephemeral)
    return NftablesPlane(store, run, keeper, roles, front, _segments(flow_count), ephemeral=ephemeral)


def _segments(flow_count: str) -> Segments:
    """Load the program, if that is asked for and this process may."""
    if flow_count == "cut":
        return Segments(None, "asked for")
    try:
        return Segments(bpf.load_classifier(segments.program(), segments.NAME))
    except OSError as problem:
        log.info("no program tells the segments of pieces, so links are cut where flow logs count: %s", problem)
        return Segments(None, str(problem))


def _keeper(run: Path, *, ephemeral: bool) -> Path:
    """The keeper's socket; one that outlived an earlier API process is adopted."""
    path = run / "keeper.sock"
    if path.exists():
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.connect(str(path))
            return path
        except OSError:
            path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        os.chmod(path, 0o600)
        listener.listen(8)
        reader, writer = os.pipe()
        mode = "ephemeral" if ephemeral else "persistent"
        with (run / "keeper.log").open("ab") as log_file:
            subprocess.Popen(
                [sys.executable, "-m", "ringfence.dataplane.keeper", str(listener.fileno()), str(writer), mode],
                pass_fds=(listener.fileno(), writer), stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file,
            )  # fmt: skip
        os.close(writer)
    said = os.read(reader, 4096).decode()
    os.close(reader)
    if said != "ready":
        path.unlink(missing_ok=True)
        detail = said.removeprefix("error ") or "the keeper ended (see keeper.log)"
        raise PlaneUnavailable(f"no user namespace for the data plane: {detail}")
    return path


class NftablesPlane:
    """One agent on this host, restarted when it dies."""

    name = "nftables"

    def __init__(
        self, store: Store, run: Path, keeper: Path, roles: Roles, front: Front, how: Segments, *, ephemeral: bool
    ) -> None:
        self._segments, self._told = how, how.program is not None
        self._store, self._run, self._keeper, self._ephemeral = store, run, keeper, ephemeral
        self._roles, self._front = roles, front
        self._wake, self._closing = threading.Event(), False
        self._compiler = Compiler()
        self._sent: Ir | None = None
        self._link: socket.socket | None = None
        self._agent: subprocess.Popen[bytes] | None = None
        self._applied, self._problem = -1, ""
        self._news = threading.Condition()  # of `_applied`
        self.drift = drift.DriftCounts()
        self._running: set[str] = set()
        self._answers: dict[int, queue.Queue[tuple[dict[str, Any], Sequence[int]]]] = {}
        self._numbers = itertools.count(1)
        self._send_lock = threading.Lock()
        self._door = self._make_door()
        self._start_agent()
        self._publisher = threading.Thread(target=self._publish_forever, name="publisher", daemon=True)
        self._publisher.start()

    # ------------------------------------------------------------------ what the installation uses
    def publish(self, world: World) -> None:
        """Soon: the publisher takes the newest World."""
        self._wake.set()

    def status(self) -> dict[str, Any]:
        """How far the packets are."""
        out: dict[str, Any] = {
            "applied_generation": self._applied, "drift": self.drift.as_json(), "flow_count": self._counting(),
        }  # fmt: skip
        return out | ({"problem": self._problem} if self._problem else {})

    def _counting(self) -> dict[str, str]:
        if self._told:
            return {"segments": "told"}
        return {"segments": "cut", "why": self._segments.why or "the program is not attached everywhere: see agent.log"}

    def reached(self, generation: int, timeout: float) -> bool:
        """Wait until the packets obey this generation; False after `timeout` seconds."""
        with self._news:
            return self._news.wait_for(lambda: self._applied >= generation, timeout)

    def probe(self, request: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """Ask the agent for real packets."""
        return self._ask({"do": "probe", "request": request}, timeout)

    def verify(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the agent whether what is installed is what the model says."""
        wanted = {"prove": bool(request.get("prove", True)), "repair": bool(request.get("repair", True))}
        return self._ask({"do": "verify", **wanted}, float(request.get("timeout", VERIFY_SECONDS)))

    def console(self, instance_id: str) -> ConsoleOutput | None:
        """What the agent finds that an instance wrote on its console."""
        found = self._ask({"do": "console", "instance": instance_id}, CONSOLE_SECONDS)
        if "at" not in found:
            return None
        return ConsoleOutput(base64.b64decode(found["text"]), float(found["at"]))

    def flow_counts(self, confirmed: list[tuple[str, int]], now: bool) -> tuple[dict[str, Any], int]:
        """What closed epochs counted, and the descriptor of its rows, which the caller closes (`dataplane/counters.py`)."""
        result, descriptors = self._answer({"do": "flows", "confirmed": confirmed, "now": now}, COUNTS_SECONDS)
        if "error" in result or not descriptors:
            raise OSError(result.get("error", "the agent sent no rows"))
        return result, descriptors[0]

    def measures(self) -> Iterator[Family]:
        """Connection tables (CT-18); nothing while the agent does not tell."""
        rooms = self._ask({"do": "connections"}, CONNECTIONS_SECONDS).get("rooms", {})
        entries = gauge("conntrack_entries", "Connections that the table of a VPC holds.")
        free = gauge("conntrack_allowance_available", "Connections that can be tracked before the table is full.")
        refused = counter("conntrack_allowance_exceeded_total", "Packets dropped because the table was full.")
        for vpc_id, (held, limit, exceeded) in sorted(rooms.items()):
            entries.add(held, vpc=vpc_id)
            free.add(max(limit - held, 0), vpc=vpc_id)
            refused.add(exceeded, vpc=vpc_id)
        if rooms:
            yield from (entries, free, refused)

    def _ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        return self._answer(message, timeout)[0]

    def _answer(self, message: dict[str, Any], timeout: float) -> tuple[dict[str, Any], Sequence[int]]:
        number = next(self._numbers)
        box: queue.Queue[tuple[dict[str, Any], Sequence[int]]] = queue.Queue(1)
        self._answers[number] = box
        try:
            self._send({**message, "id": number})
            return box.get(timeout=timeout)
        except (queue.Empty, OSError):
            return {"error": "the agent did not answer"}, ()
        finally:
            del self._answers[number]

    def close(self) -> None:
        """End the agent, the keeper, and with it every guest and namespace."""
        self._closing = True
        self._wake.set()
        self._end_agent()  # this frees a publisher that waits for it
        self._publisher.join()
        self._end_agent()
        if self._segments.program is not None:
            os.close(self._segments.program)  # the links keep it
            self._segments = Segments(None)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(END_SECONDS)
                sock.connect(str(self._keeper))
                linux.send(sock, {"do": "end"})
                linux.receive(sock)
        except TimeoutError:
            log.error("the keeper does not end: see %s", self._run / "keeper.log")
        except OSError as problem:
            log.debug("the keeper has gone already: %s", problem)
        self._keeper.unlink(missing_ok=True)

    def _end_agent(self) -> None:
        agent = self._agent
        if agent is not None:
            agent.kill()
            agent.wait()

    # ------------------------------------------------------------------ the agent
    def _make_door(self) -> socket.socket:
        path = self._run / "agent.sock"
        path.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        door.bind(str(path))
        os.chmod(path, 0o600)
        door.listen(64)
        return door

    def _start_agent(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        keeper = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        keeper.connect(str(self._keeper))
        numbers = [theirs.fileno(), self._door.fileno(), keeper.fileno()]
        if self._segments.program is not None:
            numbers.append(self._segments.program)
        # started by a thread that lives as long as this process: the agent dies with it
        with (self._run / "agent.log").open("ab") as log_file:
            self._agent = subprocess.Popen(
                [sys.executable, "-m", "ringfence.dataplane.agent", *map(str, numbers)],
                pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=log_file, stderr=log_file,
            )  # fmt: skip
        theirs.close()
        keeper.close()
        self._link, self._sent = ours, None
        threading.Thread(target=self._hear, args=(ours, self._agent), name="agent-events", daemon=True).start()

    def _send(self, message: dict[str, Any]) -> None:
        with self._send_lock:
            assert self._link is not None
            linux.send(self._link, message)

    def _publish_forever(self) -> None:
        """Compile the newest World and send what changed; bring back an agent or a keeper that died."""
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closing:
                return
            try:
                if self._agent is None or self._agent.poll() is not None:
                    self._revive()
                self._publish_once()
            except (OSError, PlaneUnavailable) as problem:
                self._failed(f"the data plane did not take the rules: {problem}")
            except Exception as problem:
                log.exception("generation %d cannot be compiled", self._store.world.generation)
                self._problem = f"the rules cannot be compiled, the packets stay as they were: {problem!r}"

    def _failed(self, message: str) -> None:
        """Say so, and try again soon."""
        log.warning("%s", message)
        self._problem = message
        time.sleep(RESTART_SECONDS)
        self._wake.set()

    def _revive(self) -> None:
        """Another agent; and if the keeper is gone, with it every guest and rule, another keeper first."""
        if self._agent is not None:
            log.warning("the agent ended (status %s); starting another", self._agent.returncode)
            self._agent = None
            time.sleep(RESTART_SECONDS)
        self._keeper = _keeper(self._run, ephemeral=self._ephemeral)
        if self._closing:
            return
        self._start_agent()

    def _publish_once(self) -> None:
        world = self._store.world
        if self._sent is not None and self._sent.generation == world.generation:
            return
        ir = self._compiler.compile(world)
        delta = diff(self._sent, ir)
        if self._sent is None:  # before the first rules, which start guests
            self._send({"do": "trust", "authority": self._front.authority})
        self._send({"do": "delta", "delta": pack(delta)})
        self._sent = ir

    # ------------------------------------------------------------------ events
    def _hear(self, link: socket.socket, agent: subprocess.Popen[bytes]) -> None:
        try:
            while (got := linux.receive(link)) is not None:
                self._event(*got)
        except OSError as problem:
            log.debug("link closed: %s", problem)
        agent.wait()
        if not self._closing:
            self._problem = "the agent ended; it is being restarted"
            self._wake.set()

    def _event(self, event: dict[str, Any], descriptors: Sequence[int]) -> None:
        kind = event["event"]
        if kind == "applied":
            with self._news:
                self._applied, self._problem = event["generation"], ""
                self._news.notify_all()
        elif kind == "problem":
            self._problem = event["message"]
            log.error("data plane: %s", event["message"])
        elif kind == "resync":
            self._sent = None
            self._wake.set()
        elif kind == "guests":
            self._guests(set(event["running"]), set(event["wanted"]))
        elif kind == "failed":
            self._settle_one(event["instance"], event["message"])
        elif kind == "verified":
            self._verified(event["report"])
        elif kind == "roles":
            self._send({"do": "roles", "id": event["id"], "documents": self._documents(event)})
        elif kind == "listening":
            self._front.listen([socket.socket(fileno=number) for number in descriptors], event.get("endpoint"))
        elif kind == "segments":
            self._told = event["told"]
        elif kind == "endpoints":
            self._front.keep(event["there"])
        elif kind == "answer":
            box = self._answers.get(event["id"])
            if box is not None:
                box.put((event["result"], descriptors))
            else:  # nobody waits for it any more
                for number in descriptors:
                    os.close(number)

    def _verified(self, report: dict[str, Any]) -> None:
        """What the agent's watch over its own work found: counted, logged, and kept in the audit trail if it is drift."""
        self.drift.add(report, SystemClock().now())
        for finding in report["findings"]:
            log.error("drift, %s: %s", "repaired" if report["repaired"] else "NOT repaired", finding)
        for problem in report["problems"]:
            log.error("verification: %s", problem)
        if report["findings"] or report["closed"]:
            for record in drift.events(report, self._store.world, SystemClock().now()):
                self._store.audit(record)

    def _documents(self, event: dict[str, Any]) -> dict[str, str] | None:
        """What the metadata service tells an instance of its role: temporary credentials, never the key that seals them."""
        try:
            return self._roles(str(event["instance"]), int(event["version"]))
        except Exception:  # the instance is told that there is no answer now
            log.exception("no credentials for instance %s", event["instance"])
            return None

    def _guests(self, running: set[str], wanted: set[str]) -> None:
        """Instances reach the state their guest has: running when it runs, stopped or terminated when it is gone."""

        def decide(world: World) -> Commit:
            change = Change()
            for instance in lifecycle.transitional(world):
                there = instance.id in running
                if (instance.state is InstanceState.PENDING and there) or (
                    instance.state is not InstanceState.PENDING and instance.id not in wanted and not there
                ):
                    change += lifecycle.settled(world, instance.id, lifecycle.destination(instance))
            return Commit(change=change)

        if lifecycle.transitional(self._store.world):
            self._write(decide)

    def _settle_one(self, instance_id: str, message: str) -> None:
        if self._store.world.find(INSTANCE, instance_id) is not None:
            now = SystemClock().now()
            self._write(lambda world: Commit(change=lifecycle.failed(world, instance_id, message, now)))

    def _write(self, decide: Callable[[World], Commit]) -> None:
        """Record what the agent told. While the disk fails it is said again with the agent's next event."""
        try:
            self._store.write(decide)
        except ApiError as problem:
            log.error("what the data plane told cannot be recorded: %s", problem)
