"""The control socket between the ringfence command and the API process: one JSON line each way."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger("ringfence.control")
Answer = Callable[[dict[str, Any]], dict[str, Any]]
MAX_LINE = 1 << 20


class ControlServer:
    """Answers requests on a unix socket that only its owner can open."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self._path, self._answer = path, answer
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Listen, on a thread of its own."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self._path))
        os.chmod(self._path, 0o600)
        listener.listen(64)
        self._socket = listener
        threading.Thread(target=self._accept, args=(listener,), name="control", daemon=True).start()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            line = stream.readline(MAX_LINE)
            if not line:
                return
            try:
                reply = self._answer(json.loads(line))
            except Exception as problem:
                log.exception("control request failed")
                reply = {"error": f"internal error: {problem!r}"}
            stream.write(json.dumps(reply).encode() + b"\n")


def ask(path: Path, request: dict[str, Any], *, timeout: float = 60) -> dict[str, Any]:
    """One request. OSError if nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            reply: dict[str, Any] = json.loads(stream.readline())
            return reply
