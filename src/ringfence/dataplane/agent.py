"""The agent: brings the kernel to the IR it is sent, runs guests, and answers probes. It sees nothing but IR.

It may die at any instant and remembers nothing: a new one enters the keeper's namespaces, takes a full delta, converges,
and removes only what its kind made. New packets are refused before new links exist; links go before their rules.
"""

from __future__ import annotations

import base64
import itertools
import logging
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from ringfence.dataplane import linux, probing, topology
from ringfence.dataplane.counters import Counters
from ringfence.dataplane.cuts import Teller, teller_of
from ringfence.dataplane.door import Door
from ringfence.dataplane.guests import Guests
from ringfence.dataplane.link import unpack
from ringfence.dataplane.network import Network
from ringfence.dataplane.verify.watch import Verifier
from ringfence.policy.compile import apply_delta
from ringfence.policy.ir import Ir

log = logging.getLogger("ringfence.agent")
ROLES_SECONDS = 5.0  # for the API process to answer a metadata request about a role


def main(argv: list[str] | None = None) -> int:
    """`agent LINK_FD DOOR_FD KEEPER_FD [PROGRAM_FD]`."""
    numbers = [int(number) for number in argv or sys.argv[1:]]
    link, door, keeper = (socket.socket(fileno=number) for number in numbers[:3])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    linux.drop_root()
    try:
        enter(keeper)
        linux.die_with_parent()  # only now: the kernel forgets it when a process changes its user or capabilities
        agent = Agent(link, Guests(keeper), teller_of(numbers[3]) if numbers[3:] else None)
    except OSError as problem:
        linux.send(link, {"event": "problem", "message": f"the agent cannot start: {problem}"})
        return 1
    Door(door, agent.network).start()
    agent.run()
    return 0


def enter(keeper: socket.socket) -> None:
    """Into the keeper's user, mount and network namespaces."""
    linux.send(keeper, {"do": "namespaces"})
    got = linux.receive(keeper)
    if got is None:
        raise OSError("the keeper is gone")
    kinds = (linux.CLONE_NEWUSER, linux.CLONE_NEWNS, linux.CLONE_NEWNET)
    for descriptor, kind in zip(got[1], kinds, strict=True):
        linux.setns(descriptor, kind)
        os.close(descriptor)
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Agent:
    """Applies deltas one after the other; probes run beside."""

    def __init__(self, link: socket.socket, guests: Guests, teller: Teller | None = None) -> None:
        self._link, self._send_lock = link, threading.Lock()
        self._ir: Ir | None = None
        self._asked: dict[int, queue.Queue[dict[str, str] | None]] = {}
        self._numbers = itertools.count(1)
        self.network = Network(guests, self._roles, self._announce, teller)
        self._apply_lock = threading.Lock()
        self._verifier = Verifier(self.network, self._apply_lock, self.say)
        self.counters = Counters(self.network, self._apply_lock)

    def run(self) -> None:
        """Until the API process closes the link."""
        threading.Thread(target=self._watch, name="guests", daemon=True).start()
        self._verifier.start()
        self.counters.start()
        while (got := linux.receive(self._link)) is not None:
            message = got[0]
            if message["do"] == "delta":
                self._delta(message["delta"])
            elif message["do"] == "trust":
                self.network.guests.trust(message["authority"])
            elif message["do"] == "probe":
                threading.Thread(target=self._probe, args=(message,), daemon=True).start()
            elif message["do"] == "verify":
                threading.Thread(target=self._verify, args=(message,), daemon=True).start()
            elif message["do"] == "flows":
                threading.Thread(target=self._flows, args=(message,), daemon=True).start()
            elif message["do"] == "connections":
                threading.Thread(target=self._connections, args=(message,), daemon=True).start()
            elif message["do"] == "console":
                self._console(message)
            elif message["do"] == "roles":
                box = self._asked.get(message["id"])
                if box is not None:
                    box.put(message["documents"])

    def _roles(self, instance_id: str, version: int) -> dict[str, str] | None:
        """The role documents of an instance, asked of the API process, which holds the sealing key. None without an answer."""
        number = next(self._numbers)
        box: queue.Queue[dict[str, str] | None] = queue.Queue(1)
        self._asked[number] = box
        try:
            self.say({"event": "roles", "id": number, "instance": instance_id, "version": version})
            return box.get(timeout=ROLES_SECONDS)
        except (queue.Empty, OSError):
            return None
        finally:
            del self._asked[number]

    def _announce(self, sockets: Sequence[socket.socket], endpoint: str | None = None) -> None:
        """The API process answers on these: they stay in the namespace they were made in, whoever holds them."""
        self.say({"event": "listening", "endpoint": endpoint}, [sock.fileno() for sock in sockets])

    def say(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """To the API process."""
        with self._send_lock:
            linux.send(self._link, message, descriptors)

    def _delta(self, data: dict[str, Any]) -> None:
        try:
            self._ir = apply_delta(self._ir, unpack(data))
        except ValueError as problem:
            self.say({"event": "resync", "message": str(problem)})
            return
        self._bring()

    def _bring(self) -> None:
        ir = self._ir
        if ir is None:
            return
        with self._apply_lock:
            try:
                for event in self.network.bring(ir):
                    self.say(event)
            except Exception as problem:
                log.exception("generation %s could not be applied", ir.generation)
                self.say({"event": "problem", "message": f"generation {ir.generation}: {problem}"})
                return
        self.say({"event": "applied", "generation": ir.generation})

    def _watch(self) -> None:
        """Guests that end by themselves are started anew, as a machine is that was meant to run.

        Without the keeper every guest is gone, and nothing here can bring it back: the API process starts both anew.
        """
        while True:
            time.sleep(1)
            try:
                gone = self.network.guests.anyone_gone()
            except OSError as problem:
                log.critical("the keeper is gone, so the agent ends: %s", problem)
                os._exit(1)
            if gone:
                self._bring()

    def _console(self, message: dict[str, Any]) -> None:
        try:
            text, at = self.network.guests.console(message["instance"])
            result = {"text": base64.b64encode(text).decode(), "at": at}
        except OSError as problem:
            result = {"error": str(problem)}
        self.say({"event": "answer", "id": message["id"], "result": result})

    def _verify(self, message: dict[str, Any]) -> None:
        try:
            result = self._verifier.verify(prove=bool(message["prove"]), mend=bool(message["repair"])).as_json()
            self.say({"event": "verified", "report": result})
        except Exception as problem:
            log.exception("the installed rules could not be verified")
            result = {"error": f"the installed rules could not be verified: {problem!r}"}
        self.say({"event": "answer", "id": message["id"], "result": result})

    def _flows(self, message: dict[str, Any]) -> None:
        confirmed = [(str(vpc_id), int(begin)) for vpc_id, begin in message["confirmed"]]
        try:
            result, file = self.counters.answer(confirmed, now=bool(message["now"]))
        except OSError as problem:
            self.say({"event": "answer", "id": message["id"], "result": {"error": str(problem)}})
            return
        try:
            self.say({"event": "answer", "id": message["id"], "result": result}, [file])
        finally:
            os.close(file)

    def _connections(self, message: dict[str, Any]) -> None:
        try:
            found = self.network.connections()
            result: dict[str, Any] = {"rooms": {id: [r.entries, r.limit, r.refused] for id, r in found.items()}}
        except OSError as problem:  # as when a VPC goes meanwhile
            result = {"error": str(problem)}
        self.say({"event": "answer", "id": message["id"], "result": result})

    def _probe(self, message: dict[str, Any]) -> None:
        try:
            result = probing.probe(self.network, message["request"])
        except (OSError, ValueError, topology.TopologyError) as problem:
            result = {"error": str(problem)}
        self.say({"event": "answer", "id": message["id"], "result": result})


if __name__ == "__main__":
    sys.exit(main())
