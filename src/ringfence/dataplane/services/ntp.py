"""The time service at 169.254.169.123 and fd00:ec2::123 (Amazon EC2 User Guide: "Amazon Time Sync Service"; UF-05).

It answers with the host's clock in server mode (RFC 5905, sections 7.3 and 9.2), and keeps nothing about anybody.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable

from ringfence.dataplane import linux

log = logging.getLogger("ringfence.ntp")
ADDRESSES = ("169.254.169.123", "fd00:ec2::123")
PORT = 123
STRATUM = 10  # a local clock: any better source a client has wins (RFC 5905, section 7.3)
_UNIX_TO_NTP = 2_208_988_800
_HEADER = struct.Struct(">BBbbII4sQQQQ")
_CLIENT, _SERVER = 3, 4
_PRECISION = -20  # about a microsecond


def timestamp(seconds: float) -> int:
    """Seconds since 1970 as an NTP timestamp: 32 bits of seconds since 1900, 32 bits of fraction."""
    whole = int(seconds)
    return (whole + _UNIX_TO_NTP & 0xFFFFFFFF) << 32 | int((seconds - whole) * (1 << 32))


def question() -> bytes:
    """What a client sends."""
    return _HEADER.pack(4 << 3 | _CLIENT, 0, 0, 0, 0, 0, b"", 0, 0, 0, timestamp(time.time()))


def answer(data: bytes, received: float, clock: Callable[[], float] = time.time) -> bytes | None:
    """The answer to a client's question; None for anything else. Never longer than the question."""
    if len(data) < _HEADER.size:
        return None
    flags, _, poll, _, _, _, _, _, _, _, transmitted = _HEADER.unpack_from(data)
    version, mode = flags >> 3 & 7, flags & 7
    if mode != _CLIENT or not 1 <= version <= 4:
        return None
    arrived = timestamp(received)
    return _HEADER.pack(
        version << 3 | _SERVER, STRATUM, poll, _PRECISION, 0, 1 << 6, b"LOCL", arrived, transmitted, arrived,
        timestamp(clock()),
    )  # fmt: skip


class NtpServer:
    """Answers on sockets made inside one VPC's namespace."""

    def __init__(self) -> None:
        self._sockets = []
        for family, address in zip((socket.AF_INET, socket.AF_INET6), ADDRESSES, strict=True):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, PORT))
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def close(self) -> None:
        for sock in self._sockets:
            linux.hang_up(sock)

    def _serve(self, sock: socket.socket) -> None:
        while True:
            try:
                data, peer = sock.recvfrom(1024)
                reply = answer(data, time.time())
            except OSError:
                return
            if reply is None:
                continue
            try:
                sock.sendto(reply, peer)
            except OSError as problem:
                log.debug("no way back to %s: %s", peer, problem)
