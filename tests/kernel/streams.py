"""Real sockets in the testbed's namespaces: echo servers, and conversations that can be resumed after a rule change."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from tests.kernel.testbed import Namespace

PATIENCE = 0.4


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextmanager
def tcp_echo(place: Namespace, address: str, port: int) -> Iterator[None]:
    """A server that sends back what it gets."""
    listener = place.run(lambda: socket.socket(_family(address), socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(16)

    def converse(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                Thread(target=converse, args=(listener.accept()[0],), daemon=True).start()

    Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def udp_echo(place: Namespace, address: str, port: int) -> Iterator[list[tuple[str, int]]]:
    """A server that sends back what it gets; yields the list of senders it has seen."""
    seen: list[tuple[str, int]] = []
    sock = place.run(lambda: socket.socket(_family(address), socket.SOCK_DGRAM))
    sock.bind((address, port))
    sock.settimeout(0.2)
    running = [True]

    def serve() -> None:
        while running:
            try:
                data, peer = sock.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            seen.append((peer[0], peer[1]))
            with contextlib.suppress(OSError):
                sock.sendto(data, peer)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        running.clear()
        thread.join()
        sock.close()


def connect(place: Namespace, source: str, address: str, port: int, patience: float = PATIENCE) -> socket.socket | None:
    """A TCP connection, or None when it does not come about in time."""
    sock = place.run(lambda: socket.socket(_family(address), socket.SOCK_STREAM))
    sock.settimeout(patience)
    sock.bind((source, 0))
    try:
        sock.connect((address, port))
    except OSError:
        sock.close()
        return None
    return sock


def alive(sock: socket.socket | None, patience: float = PATIENCE) -> bool:
    """Does a byte make the round trip on this connection?"""
    if sock is None:
        return False
    sock.settimeout(patience)
    try:
        sock.sendall(b"?")
        return sock.recv(1) == b"?"
    except OSError:
        return False


def datagram(place: Namespace, source: str, port: int = 0) -> socket.socket:
    """A UDP socket bound to an address."""
    sock = place.run(lambda: socket.socket(_family(source), socket.SOCK_DGRAM))
    sock.bind((source, port))
    sock.settimeout(PATIENCE)
    return sock


def asks(sock: socket.socket, address: str, port: int) -> bool:
    """Does a datagram come back?"""
    try:
        sock.sendto(b"?", (address, port))
        return sock.recvfrom(64)[0] == b"?"
    except OSError:
        return False


FLOOD = """
import select, socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 0))
sent = 0
while not select.select([0], [], [], 0)[0]:
    sock.sendto(b"?", (sys.argv[2], int(sys.argv[3])))
    sent += 1
    until = time.perf_counter() + 0.00003
    while time.perf_counter() < until: pass
print(sent)
"""


@contextmanager
def flood(place: Namespace, source: str, address: str, port: int) -> Iterator[list[int]]:
    """Tens of thousands of datagrams a second, from a process of their own; afterwards the list holds how many."""
    sent: list[int] = []
    command = ["nsenter", f"--net={place.path}", sys.executable, "-c", FLOOD, source, address, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield sent
        finally:
            sent += [int(line) for line in process.communicate()[0].splitlines()]
