"""A real server on loopback, in a thread, and raw connections to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from ringfence.api.connection import Connection
from ringfence.api.instance_door import InstanceDoor
from ringfence.api.server import server
from ringfence.api.tls import Certificate
from tests.api.front import KEY, SECRET, Front


class Impatient(Connection):
    """The real protocol with limits a test can wait for."""

    request_seconds, stall_seconds, max_connections = 0.4, 0.4, 20


class Live:
    """A running server."""

    def __init__(
        self, front: Front, tls: tuple[Path, Path] | None = None, protocol: type[Connection] = Impatient,
        door: InstanceDoor | None = None,
    ) -> None:  # fmt: skip
        self.front, self.tls = front, tls
        ready = threading.Event()
        self.certificate = Certificate(*tls, approved=front.pipeline.approved_only) if tls else None
        context = self.certificate.context if self.certificate else None
        self.server, self.application = server(
            front.pipeline, "127.0.0.1", 0, on_ready=ready.set, tls=context, protocol=protocol, door=door
        )
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        assert ready.wait(10)
        self.port: int = self.server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(15)
        self.application.close()
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def client(self, service: str = "ec2") -> Any:
        config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=20)
        return boto3.session.Session().client(
            service, region_name="us-east-1", endpoint_url=self.url, aws_access_key_id=KEY, aws_secret_access_key=SECRET,
            config=config, verify=str(self.tls[0]) if self.tls else None,
        )  # fmt: skip

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            yield connection


@contextmanager
def live(front: Front | None = None, **how: Any) -> Iterator[Live]:
    """A server that is stopped however the test ends."""
    running = Live(front or Front(), **how)
    try:
        yield running
    finally:
        running.stop()


def answer(connection: socket.socket, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    """The next response on a connection, and not a byte more. ConnectionResetError when there is none."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionResetError("closed before the end of a response")
        head += byte
    status, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body, wanted = b"", 0 if method == "HEAD" else int(headers["content-length"])
    while len(body) < wanted:
        body += connection.recv(wanted - len(body))
    return int(status.split()[1]), headers, body


def everything(connection: socket.socket) -> bytes:
    """All bytes until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def raw(request: Any, extra: bytes = b"") -> bytes:
    """A signed request as bytes."""
    headers = b"".join(
        f"{name}: {value}\r\n".encode("latin-1") for name, value in request.headers if name != "content-length"
    )
    target = request.path + (f"?{request.query}" if request.query else "")
    line = f"{request.method} {target} HTTP/1.1\r\n".encode("latin-1")
    return line + headers + b"content-length: %d\r\n" % len(request.body) + extra + b"\r\n" + request.body


def eventually(check: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)
