"""`ringfence up` as a process, and the ringfence command against it. Each test has a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

SOURCE = Path(__file__).parents[2] / "src"
COMMAND = [sys.executable, "-m", "ringfence.cli.main"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Host:
    """A user's machine: a home directory and the command."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.scratch = Path(tempfile.mkdtemp(prefix="rf-"))  # short: a unix socket's path has at most 107 bytes
        self.env = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"} | {
            "RINGFENCE_HOME": str(home / "state"), "PYTHONPATH": str(SOURCE), "TMPDIR": str(self.scratch), "HOME": str(home),
        }  # fmt: skip
        self.servers: list[Server] = []

    def run(self, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *args], env=self.env, capture_output=True, text=True, timeout=timeout, check=False
        )

    def json(self, *args: str) -> Any:
        done = self.run(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def up(
        self, *options: str, port: int | None = None, dataplane: str = "none", before: tuple[str, ...] = ()
    ) -> Server:
        """A started server; RuntimeError with its output when it does not come up. `before`: words before the command."""
        server = Server(self, port or free_port(), "--dataplane", dataplane, *options, before=before)
        self.servers.append(server)
        server.ready()
        return server

    def close(self) -> None:
        for server in self.servers:
            server.stop(signal.SIGTERM)
        shutil.rmtree(self.scratch, ignore_errors=True)


class Server:
    """One `ringfence up`."""

    def __init__(self, host: Host, port: int, *options: str, before: tuple[str, ...] = ()) -> None:
        self.port, self.endpoint = port, f"http://127.0.0.1:{port}"
        mark = f"{port}-{len(host.servers)}"
        self._ready, self._log = host.home / f"ready-{mark}", (host.home / f"log-{mark}").open("w+")
        self.process = subprocess.Popen(
            [*before, *COMMAND, "up", "--listen", f"127.0.0.1:{port}", "--ready-file", str(self._ready), *options],
            env=host.env, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def ready(self) -> None:
        deadline = time.monotonic() + 60
        while not self._ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"did not start: {self.output}")
            time.sleep(0.02)

    @property
    def output(self) -> str:
        return Path(self._log.name).read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self._log.close()


def client(service: str, endpoint: str, key: str, secret: str, token: str | None = None, **options: Any) -> Any:
    """A boto3 client that does not try again."""
    return boto3.client(
        service, endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret,
        aws_session_token=token, config=Config(retries={"max_attempts": 0}), **options,
    )  # fmt: skip


def client_of(host: Host, service: str, endpoint: str) -> Any:
    """A client with what `ringfence env` says."""
    env = host.json("env", "--endpoint", endpoint)
    assert env["AWS_ENDPOINT_URL"] == endpoint
    return client(service, endpoint, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
