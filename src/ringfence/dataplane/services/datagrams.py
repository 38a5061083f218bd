"""Answering datagrams whose link matters: the loop that DHCP and DHCPv6 share."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

from ringfence.dataplane import linux

#: a datagram, its ancillary data, who sent it
Answerer = Callable[[bytes, list[tuple[int, int, bytes]], Any], None]


def serve(sock: socket.socket, netns: int, answer: Answerer, log: logging.Logger) -> None:
    """Until the socket is hung up. Who cannot be answered stops nobody else."""
    with linux.inside(netns):  # names of links are the namespace's
        while True:
            try:
                data, ancillary, _, peer = sock.recvmsg(2048, 256)
            except OSError:
                return
            try:
                answer(data, ancillary, peer)
            except OSError as problem:
                log.debug("no way back to %s: %s", peer, problem)
