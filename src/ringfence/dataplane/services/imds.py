"""The instance metadata service (Amazon EC2 User Guide: "Instance metadata"; UF-03, UF-11): version 2, and 1 if allowed.

A caller is known by its source address within its VPC; the filter has made sure that nobody else can use it.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from types import MappingProxyType
from typing import Any

from ringfence.dataplane import linux
from ringfence.policy.ir import Machine

log = logging.getLogger("ringfence.imds")
MAX_TTL = 21600
_HOPS = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TTL),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
}
Who = Callable[[str], Machine | None]
#: (instance id, version of the service asked) -> the iam/ part of its metadata by path; None when nobody answers
Roles = Callable[[str, int], dict[str, str] | None]


@dataclass
class Tokens:
    """Session tokens: signed, so that a restarted agent needs no memory but its key."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def issue(self, instance_id: str, ttl: int) -> str:
        until = int(time.time()) + ttl
        return f"{until:x}.{self._mac(instance_id, until)}"

    def valid(self, instance_id: str, token: str) -> bool:
        until, _, mac = token.partition(".")
        try:
            moment = int(until, 16)
        except ValueError:
            return False
        return moment >= time.time() and hmac.compare_digest(mac, self._mac(instance_id, moment))

    def _mac(self, instance_id: str, until: int) -> str:
        return hmac.new(self.key, f"{instance_id}/{until}".encode(), sha256).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "EC2ws", ""
    protocol_version = "HTTP/1.1"
    timeout = 10
    who: Who
    tokens: Tokens
    roles: Roles

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def _machine(self) -> Machine | None:
        """The caller, unless its endpoint is switched off."""
        machine = self.who(self.client_address[0])
        if machine is None or not machine.imds_enabled:
            self._say(403, "")
            return None
        self.connection.setsockopt(*_HOPS[self.connection.family], machine.imds_hop_limit)
        return machine

    def _say(self, status: int, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        machine = self._machine()
        if machine is None:
            return
        ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.path != "/latest/api/token":
            self._say(404, "")
        elif self.headers.get("X-Forwarded-For"):
            self._say(403, "")
        elif not ttl.isdigit() or not 1 <= int(ttl) <= MAX_TTL:
            self._say(400, "")
        else:
            token = self.tokens.issue(machine.instance_id, int(ttl))
            self._say(200, token, X_aws_ec2_metadata_token_ttl_seconds=ttl)

    def do_GET(self) -> None:
        machine = self._machine()
        if machine is None:
            return
        token = self.headers.get("X-aws-ec2-metadata-token")
        if (token is None and not machine.imds_v1) or (
            token is not None and not self.tokens.valid(machine.instance_id, token)
        ):
            self._say(401, "")
        else:
            self._answer(machine, 1 if token is None else 2)

    def _answer(self, machine: Machine, version: int) -> None:
        path = below_version(self.path)
        more = self.roles(machine.instance_id, version) if path is not None and of_roles(path) else {}
        if more is None:  # AWS: a service that cannot answer now says so, and clients try again
            self._say(503, "")
            return
        text = lookup(machine, self.path, more)
        self._say(404 if text is None else 200, text or "")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._say(405, "")

    do_DELETE = do_POST


VERSIONS = ("/latest", "/2021-07-15", "/2019-10-01", "/2016-09-02", "/2009-04-04", "/1.0")


def below_version(path: str) -> str | None:
    """A request's path below its version, without slashes around; None when it names no version."""
    path = path.partition("?")[0]
    for version in VERSIONS:
        if path == version or path.startswith(version + "/"):
            return path[len(version) :].strip("/")
    return None


def of_roles(path: str) -> bool:
    """Does the answer depend on the instance's role?"""
    return path == "meta-data" or path == "meta-data/iam" or path.startswith("meta-data/iam/")


def lookup(machine: Machine, path: str, more: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """The text at a path of the machine's metadata and `more`, or the listing of a directory; None when there is nothing."""
    if path.partition("?")[0] in ("", "/"):
        return "latest"
    below = below_version(path)
    if below is None:
        return None
    path = below
    if path == "user-data":
        return machine.user_data.decode("utf-8", "replace") if machine.user_data else None
    values = {**dict(machine.metadata), **more}
    if path in values:
        return values[path]
    if path + "/" in values:
        return values[path + "/"]
    start = path + "/" if path else ""
    names = {name[len(start) :].partition("/") for name in values if name.startswith(start)}
    listing = sorted({head + slash for head, slash, _ in names if head})
    if not path:
        listing.append("user-data")
    return "\n".join(listing) if listing else None


class ImdsServer:
    """Serves on sockets made inside one VPC's namespace."""

    def __init__(self, who: Who, tokens: Tokens, roles: Roles) -> None:
        parts = {"who": staticmethod(who), "tokens": tokens, "roles": staticmethod(roles)}
        self._handler = type("Handler", (_Handler,), parts)
        self._sockets = []
        for family, address in ((socket.AF_INET, "169.254.169.254"), (socket.AF_INET6, "fd00:ec2::254")):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, 80))
            sock.listen(32)
            self._sockets.append(sock)
            threading.Thread(target=self._accept, args=(sock,), daemon=True).start()

    def close(self) -> None:
        for sock in self._sockets:
            linux.hang_up(sock)

    def _accept(self, sock: socket.socket) -> None:
        while True:
            try:
                connection, peer = sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection: socket.socket, peer: Any) -> None:
        with connection:
            try:
                self._handler(connection, peer, None)
            except OSError as problem:
                log.debug("%s went away: %s", peer, problem)
