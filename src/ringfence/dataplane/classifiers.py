"""Programs at the entrance of links: attached, looked for, taken away. Sources: linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h.

It takes CAP_NET_ADMIN over the namespace, and a descriptor of the program, which somebody else has loaded (bpf.py).
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringfence.dataplane import linux
from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.wire import Message, Reply

_NEWQDISC, _DELQDISC, _NEWTFILTER, _GETTFILTER = 36, 37, 44, 46
_ENTRANCE = 0xFFFFFFF1  # the parent of a queue discipline that only looks
_HANDLE = 0xFFFF0000
_INGRESS = 0xFFFFFFF2
_PREFERENCE, _ALL_PROTOCOLS, _NUMBER = 1, 3, 1
_KIND, _OPTIONS = 1, 2
_BPF_FD, _BPF_NAME, _BPF_FLAGS, _BPF_TAG = 6, 7, 8, 10
_DIRECT_ACTION = 1
_RECEIVE = 1 << 16
_SECONDS = 10.0


def tag_of(program: int) -> bytes:
    """What the kernel calls a loaded program by its instructions. OSError for a descriptor of anything else."""
    text = Path(f"/proc/self/fdinfo/{program}").read_text()
    found = re.search(r"^prog_tag:\s*([0-9a-f]+)$", text, re.MULTILINE)
    if found is None:
        raise OSError(errno.EINVAL, "no program of the kernel's packet machine")
    return bytes.fromhex(found[1])


class Links:
    """The links of one network namespace. OSError from everything: no such link, not ours, not in this kernel."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket, self._sequence = sock, 0

    def attach(self, device: str, program: int, name: str, preference: int = _PREFERENCE) -> None:
        """Let the program look at each packet that comes in, in place of the one with that preference: lower ones look first."""
        index = socket.if_nametoindex(device)
        self._tell(_NEWQDISC, wire.CREATE, index, (_HANDLE, _ENTRANCE, 0), wire.text(_KIND, "clsact"))
        options = wire.nest(
            _OPTIONS, _word(_BPF_FD, program), wire.text(_BPF_NAME, name), _word(_BPF_FLAGS, _DIRECT_ACTION)
        )
        where = _NUMBER, _INGRESS, preference << 16 | socket.htons(_ALL_PROTOCOLS)
        self._tell(_NEWTFILTER, wire.CREATE, index, where, wire.text(_KIND, "bpf") + options)

    def detach(self, device: str) -> None:
        """No program looks at what comes in; nothing to do where none did."""
        try:
            index = socket.if_nametoindex(device)
            self._tell(_DELQDISC, 0, index, (_HANDLE, _ENTRANCE, 0), wire.text(_KIND, "clsact"))
        except OSError as problem:
            if problem.errno not in (errno.EINVAL, errno.ENOENT, errno.ENODEV):
                raise

    def attached(self, device: str) -> list[bytes]:
        """The tags of the programs that look at what comes in, in order; b"" for what is none, or decides by itself."""
        index, found = socket.if_nametoindex(device), []
        self._send(_GETTFILTER, wire.DUMP, index, (0, _INGRESS, 0), b"")
        for reply in self._replies():
            parts = dict(wire.attributes(reply.body[16:]))
            options = dict(wire.attributes(parts.get(_OPTIONS, b"")))
            if not struct.unpack_from("=I", reply.body, 4)[0] and _BPF_TAG not in options:
                continue  # the chain's head
            found.append(options.get(_BPF_TAG, b"") if _only_looks(options) else b"")
        return found

    def _tell(self, kind: int, flags: int, index: int, where: tuple[int, int, int], attributes: bytes) -> None:
        self._send(kind, flags | wire.ACK, index, where, attributes)
        for _ in self._replies():
            pass

    def _send(self, kind: int, flags: int, index: int, where: tuple[int, int, int], attributes: bytes) -> None:
        self._sequence += 1
        body = struct.pack("=iIII", index, *where) + attributes
        self._socket.send(Message(kind, 0, 0, body).encode(self._sequence, flags))

    def _replies(self) -> Iterator[Reply]:
        while True:
            for reply in wire.replies(self._socket.recv(_RECEIVE)):
                if reply.sequence != self._sequence:
                    continue
                if reply.kind == wire.DONE:
                    return
                if reply.kind == wire.ERROR:
                    if reply.errno:
                        raise OSError(reply.errno, os.strerror(reply.errno))
                    return
                yield reply


@contextmanager
def links(namespace: int) -> Iterator[Links]:
    """The links of a namespace (a descriptor)."""
    with linux.inside(namespace), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock:
        sock.bind((0, 0))
        sock.settimeout(_SECONDS)
        yield Links(sock)


def _only_looks(options: dict[int, bytes]) -> bool:
    return options.get(_BPF_FLAGS) == struct.pack("=I", _DIRECT_ACTION)


def _word(kind: int, value: int) -> bytes:
    return wire.attr(kind, struct.pack("=I", value))
