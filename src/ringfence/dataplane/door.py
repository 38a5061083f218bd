"""The agent's door: `ringfence exec` comes in here, with its standard streams."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ringfence.dataplane import confinement, linux, sandbox, topology
from ringfence.dataplane.keeper import RUN
from ringfence.dataplane.network import Network
from ringfence.model.net import parse_address

log = logging.getLogger("ringfence.door")
_NSENTER = "/usr/bin/nsenter"

_PROBLEMS = (OSError, ValueError, subprocess.SubprocessError, sandbox.ImageError, topology.TopologyError)


class Door:
    """Accepts exec requests; each runs on a thread of its own."""

    def __init__(self, listener: socket.socket, network: Network) -> None:
        self._listener, self._network = listener, network

    def start(self) -> None:
        threading.Thread(target=self._accept, name="door", daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            got = linux.receive(connection)
            if got is None:
                return
            request, stdio = got
            try:
                argv, enter = self._command(request["place"], request["argv"])
                environment = {**sandbox.ENVIRONMENT, "TERM": str(request.get("term", "dumb"))}
                reply = _run(connection, argv, stdio, environment, enter)
            except _PROBLEMS as problem:
                reply = {"error": str(problem)}
            finally:
                for descriptor in stdio:
                    os.close(descriptor)
            try:
                linux.send(connection, reply)
            except OSError:
                log.debug("the caller of %s did not wait", request.get("argv"))

    def _command(self, place: dict[str, Any], argv: list[str]) -> tuple[list[str], Callable[[], None]]:
        """The command line that gets there, and what its process does first. ValueError when there is no such place."""
        if place["kind"] == "instance":
            pid = self._network.guests.pid_inside(place["id"])
            if pid is None:
                raise ValueError(f"{place['id']} is not running")
            return argv, partial(confinement.enter, pid, os.getpid())
        if place["kind"] == "interface":
            name = self._network.place_of(place["id"])
        else:
            name = self._network.outside_host(parse_address(place["id"]))
        state = Path(RUN) / "outside"
        sandbox.write_state(
            state, hostname="outside", resolver="192.0.2.53", user_data=None, domain="example",
            authorities=self._network.guests.authorities,
        )  # fmt: skip
        inner = sandbox.arguments(sandbox.BUILTIN, state, hostname="outside")
        inside = [_NSENTER, f"--net={topology.NETNS / name}", "--"]
        return [*inside, *inner, *argv], partial(confinement.alone, os.getpid())


def _run(
    connection: socket.socket, argv: list[str], stdio: list[int], environment: dict[str, str],
    enter: Callable[[], None],
) -> dict[str, Any]:  # fmt: skip
    """Run it to its end; signals come over the connection, and its loss kills."""
    process = subprocess.Popen(
        argv, stdin=stdio[0], stdout=stdio[1], stderr=stdio[2], env=environment, start_new_session=True,
        preexec_fn=enter,  # it touches only system calls: no lock of another thread is taken
    )  # fmt: skip

    def listen() -> None:
        try:
            while (got := linux.receive(connection)) is not None:
                _signal(process, int(got[0]["signal"]))
            if process.poll() is None:
                _signal(process, signal.SIGKILL)
        except OSError:
            log.debug("connection closed")

    threading.Thread(target=listen, daemon=True).start()
    return {"status": process.wait()}


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        log.debug("already gone")
