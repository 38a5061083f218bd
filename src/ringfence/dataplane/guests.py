"""Guests: instances as sandboxes, children of the keeper (DESIGN section 5)."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from ringfence.dataplane import linux, sandbox, topology
from ringfence.dataplane.keeper import RUN
from ringfence.dataplane.plan import guest_ns
from ringfence.policy.ir import Machine

CONSOLE = "console.log"
CONSOLE_BYTES = 65536  # AWS: "up to 64 KB of the most recent output"


@dataclass(frozen=True, slots=True)
class Running:
    """A guest that runs: the pid of its sandbox and which boot it is."""

    pid: int
    boots: int


class Guests:
    """Starts and stops guests through the keeper."""

    def __init__(self, keeper: socket.socket) -> None:
        self._keeper, self._lock = keeper, Lock()
        self._waiting: dict[str, int] = {}  # instance -> descriptor that lets it go
        self._expected: set[str] = set()
        self.authorities = ""  # of certificates, that guests trust

    def trust(self, authority: str) -> None:
        """Guests started from now on trust the authority that the APIs' certificate comes from, and those this host trusts."""
        self.authorities = sandbox.host_authorities() + authority

    def _ask(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        with self._lock:
            linux.send(self._keeper, message)
            got = linux.receive(self._keeper)
        if got is None:
            raise OSError("the keeper is gone")
        reply, descriptors = got
        if "error" in reply:
            raise OSError(reply["error"])
        return reply, descriptors

    def running(self) -> dict[str, Running]:
        """Guests by instance id."""
        reply, _ = self._ask({"do": "list"})
        found = {id: Running(about["pid"], about["boots"]) for id, about in reply["running"].items()}
        self._expected |= found.keys()
        return found

    def anyone_gone(self) -> bool:
        """Did a guest end that nobody stopped?"""
        return bool(self._expected - self.running_ids())

    def running_ids(self) -> set[str]:
        reply, _ = self._ask({"do": "list"})
        return set(reply["running"])

    def start(self, machine: Machine, *, resolver: str, domain: str) -> None:
        """Make a guest's namespaces and name them; it waits for `go`. OSError, ImageError when it cannot be."""
        state = Path(RUN) / "guests" / machine.instance_id
        sandbox.write_state(
            state, hostname=machine.hostname, resolver=resolver, user_data=machine.user_data, domain=domain,
            authorities=self.authorities,
        )  # fmt: skip
        argv = sandbox.arguments(machine.root, state, hostname=machine.hostname)
        argv += ["--ro-bind", str(state / "user-data"), "/run/user-data", "/usr/bin/python3", "/.ringfence-init.py"]
        _, descriptors = self._ask(
            {
                "do": "start",
                "name": machine.instance_id,
                "boots": machine.boots,
                "log": str(state / CONSOLE),
                "argv": argv,
            }
        )
        netns, go = descriptors
        topology.name_namespace(netns, guest_ns(machine.instance_id))
        topology.write_sysctls(netns, topology.GUEST_SYSCTLS)
        os.close(netns)
        self._waiting[machine.instance_id] = go
        self._expected.add(machine.instance_id)

    def go(self, instance_id: str) -> None:
        """Let a started guest run, now that its interfaces are plugged in."""
        descriptor = self._waiting.pop(instance_id, None)
        if descriptor is not None:
            os.write(descriptor, b"g")
            os.close(descriptor)

    def stop(self, instance_id: str) -> None:
        """End a guest and its namespaces."""
        self._expected.discard(instance_id)
        descriptor = self._waiting.pop(instance_id, None)
        if descriptor is not None:
            os.close(descriptor)
        self._ask({"do": "stop", "name": instance_id})
        if guest_ns(instance_id) in topology.namespaces():
            topology.drop_namespace(guest_ns(instance_id))

    def console(self, instance_id: str) -> tuple[bytes, float]:
        """The end of what the guest wrote, and when it last did. OSError when it never ran."""
        path = Path(RUN) / "guests" / instance_id / CONSOLE
        with path.open("rb") as log:
            size = os.fstat(log.fileno()).st_size
            log.seek(max(0, size - CONSOLE_BYTES))
            return log.read(CONSOLE_BYTES), os.fstat(log.fileno()).st_mtime

    def pid_inside(self, instance_id: str) -> int | None:
        """A process inside the sandbox: the guest's own init, as we see it. None while the sandbox is being built."""
        found = self.running().get(instance_id)
        return None if found is None else _inside(found.pid)


def _inside(pid: int) -> int | None:
    """bubblewrap is the sandbox's first process and the first one inside; the guest's init is that one's child.

    Until then there is nothing to join but a half-made sandbox, which still sees the host's files.
    """
    own = os.readlink(f"/proc/{pid}/ns/pid")
    try:
        while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(children[0])
            if Path(f"/proc/{pid}/comm").read_text().strip() != "bwrap":
                return pid if os.readlink(f"/proc/{pid}/ns/pid") != own else None
    except OSError:  # it ended meanwhile
        return None
    return None
