"""The door by which instances and outside hosts come in: the APIs' public addresses (docs/adr/0009).

The data plane makes the listening sockets inside its own internet and hands them over; a socket stays in the network
namespace it was made in, so the peer's address is what AWS would see: the public address of the instance. Nothing else
tells these connections from others: every request is authenticated, authorised and audited as any other.

Gateway endpoints are further doors: the data plane makes a socket for each, where packets come only through that endpoint.
What it is handed over for is remembered with the socket, so that no packet and no header tells which endpoint it is.

INVARIANT: only TLS is spoken here, and never more than `MAX_HELD` connections are held, `MAX_OF_ONE` of one address, unfinished
handshakes included: a hostile guest can use up its own share, not that of the operators.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ringfence.api.connection import Connection
from ringfence.api.tls import Certificate

log = logging.getLogger("ringfence.api")
MAX_HELD, MAX_OF_ONE = 256, 64  # the server takes 1,000 in all (connection.py)
HANDSHAKE_SECONDS = 10.0
PAUSE_SECONDS = 0.5  # when nothing can be accepted, as for lack of descriptors


class InstanceConnection(Connection):
    """A connection that says when it has ended, and to which the installation's own paths (`/_ringfence/`) do not exist."""

    by_instance_door = True
    ended: Callable[[], None]

    def __init__(self, config: Any, server_state: Any, app_state: Any, through: str | None) -> None:
        super().__init__(config, server_state, app_state)
        self.endpoint = through

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ended()


class InstanceDoor:
    """Accepts on the sockets that listen at present. `listen` may come from any thread, before and after `open`."""

    max_held, max_of_one = MAX_HELD, MAX_OF_ONE

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self._lock = threading.Lock()
        self._sockets: dict[
            str | None, Sequence[socket.socket]
        ] = {}  # endpoint (None: the internet) -> where it comes in
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._accepting: dict[str | None, list[asyncio.Task[None]]] = {}
        self._greeting: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()

    def listen(self, sockets: Sequence[socket.socket], through: str | None = None) -> None:
        """Accept on these from now on, and no more on those before of the same endpoint (None: the internet). Connections that
        stand go on."""
        with self._lock:
            before = self._sockets.get(through, ())
            if not self._closed:
                self._sockets[through] = sockets
            loop = self._loop
        if self._closed:
            _close(sockets)
        if loop is None:
            _close(before)
            return
        try:
            loop.call_soon_threadsafe(self._turn, through, before)
        except RuntimeError:  # the loop has ended, and with it the installation
            _close((*before, *sockets))

    def keep(self, endpoints: Iterable[str]) -> None:
        """Accept no more by endpoints other than these."""
        with self._lock:
            gone = [each for each in self._sockets if each is not None and each not in set(endpoints)]
        for each in gone:
            self.listen((), each)
            with self._lock:
                self._sockets.pop(each, None)

    def open(self, config: Any, server_state: Any) -> None:
        """On the event loop, once the server has started: `config` and `server_state` are what its connections are made with."""
        self._config, self._state = config, server_state
        with self._lock:
            self._loop, known = asyncio.get_running_loop(), list(self._sockets)
        for through in known:
            self._turn(through, ())

    def close(self) -> None:
        """On the event loop: accept no more."""
        with self._lock:
            self._closed, before, self._sockets = True, self._sockets, {}
        for through, sockets in before.items():
            self._turn(through, sockets)

    # ------------------------------------------------------------------ on the event loop
    def _turn(self, through: str | None, before: Sequence[socket.socket]) -> None:
        for task in self._accepting.pop(through, ()):
            task.cancel()
        loop, sockets = self._loop, self._sockets.get(through, ())
        if loop is not None:
            self._accepting[through] = [loop.create_task(self._accept(sock, through)) for sock in sockets]
            loop.call_soon(_close, before)  # after the tasks that read them have ended

    async def _accept(self, listener: socket.socket, through: str | None) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as problem:
                log.warning("no connection of an instance can be accepted: %s", problem)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            source = f"{through or ''}/{peer[0]}"  # VPCs may have the same addresses
            if self._held.total() >= self.max_held or self._held[source] >= self.max_of_one:
                connection.close()
                continue
            self._held[source] += 1
            task = loop.create_task(self._greet(connection, source, through))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _greet(self, connection: socket.socket, source: str, through: str | None) -> None:
        """The handshake; the connection speaks for itself from then on."""
        ended = _Once(lambda: self._leave(source))

        def made() -> InstanceConnection:
            protocol = InstanceConnection(self._config, self._state, None, through)
            protocol.ended = ended
            return protocol

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                made, connection, ssl=self.certificate.context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except (OSError, asyncio.CancelledError) as problem:  # ssl.SSLError is an OSError
            log.debug("%s did not finish its handshake: %s", source, problem)
            connection.close()
            ended()

    def _leave(self, source: str) -> None:
        self._held[source] -= 1
        if not self._held[source]:
            del self._held[source]


class _Once:
    """Calls something the first time it is called."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then

    def __call__(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
