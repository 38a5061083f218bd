"""Deltas over a socket: fragments as JSON, between the API process and the agent; and the agent's exec door."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ringfence.dataplane import linux
from ringfence.model.codec import decoder, encoder
from ringfence.policy import ir
from ringfence.policy.ir import Delta

_KINDS: tuple[Any, ...] = (
    ir.Group, ir.GroupMembers, ir.Acl, ir.Subnet, ir.RouteTable, ir.Interface, ir.Edge, ir.Vpc, ir.Names, ir.Machine,
    ir.Gap, ir.Peering, ir.PeerMembers, ir.Endpoint,
)  # fmt: skip
FRAGMENTS: dict[str, Any] = {kind.__name__: kind for kind in _KINDS}


def pack_fragment(fragment: Any) -> list[Any]:
    """[type name, body]."""
    kind: Any = type(fragment)
    return [kind.__name__, encoder(kind)(fragment)]


def pack(delta: Delta) -> dict[str, Any]:
    """A delta as JSON values."""
    return {
        "base": delta.base,
        "generation": delta.generation,
        "put": [pack_fragment(fragment) for fragment in delta.put],
        "drop": [list(key) for key in delta.drop],
    }


def unpack(data: dict[str, Any]) -> Delta:
    """The delta `pack` made."""
    put = tuple(decoder(FRAGMENTS[name])(body) for name, body in data["put"])
    drop = tuple((name, id) for name, id in data["drop"])
    return Delta(data["base"], data["generation"], put, drop)


def execute(door: Path, place: dict[str, Any], argv: Sequence[str], stdio: tuple[TextIO, TextIO, TextIO]) -> int:
    """Run a command at a place of the data plane with our standard streams; its exit status."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(door))
        request = {"place": place, "argv": list(argv), "term": os.environ.get("TERM", "dumb")}
        linux.send(sock, request, [stream.fileno() for stream in stdio])

        def forward(number: int, _frame: object) -> None:
            linux.send(sock, {"signal": number})

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, forward)
        got = linux.receive(sock)
    if got is None:
        raise ConnectionError("the agent ended")
    reply = got[0]
    if "error" in reply:
        print(f"ringfence exec: {reply['error']}", file=sys.stderr)
        return 125
    status = int(reply["status"])
    return 128 - status if status < 0 else status
