"""Connection tables of the kernel: forget those of one zone (an interface's), by ctnetlink."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

_NETLINK_NETFILTER = 12
_CT_GET, _CT_DELETE = (1 << 8) | 1, (1 << 8) | 2
_REQUEST, _ACK, _DUMP = 1, 4, 0x300
_ERROR, _DONE = 2, 3
_TUPLE_ORIG, _ZONE = 1, 18
_NESTED = 0x8000


def _attributes(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(type, payload, whole attribute) of each attribute."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length], data[offset : offset + (length + 3 & ~3)]
        offset += (length + 3) & ~3


def _message(kind: int, flags: int, sequence: int, family: int, body: bytes = b"") -> bytes:
    return struct.pack("=IHHII", 20 + len(body), kind, flags, sequence, 0) + struct.pack("=BBH", family, 0, 0) + body


def _entries(sock: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """(family, zone, original tuple attribute) of every entry in this network namespace."""
    sock.send(_message(_CT_GET, _REQUEST | _DUMP, 1, socket.AF_UNSPEC))
    while True:
        data = sock.recv(1 << 18)
        offset = 0
        while offset < len(data):
            length, kind = struct.unpack_from("=IH", data, offset)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (error,) = struct.unpack_from("=i", data, offset + 16)
                raise OSError(-error, os.strerror(-error))
            family = data[offset + 16]
            zone, original = 0, b""
            for name, payload, whole in _attributes(data[offset + 20 : offset + length]):
                if name == _ZONE:
                    zone = int.from_bytes(payload, "big")
                elif name == _TUPLE_ORIG:
                    original = whole
            yield family, zone, original
            offset += (length + 3) & ~3


def flush_zone(zone: int) -> int:
    """Delete the entries of a zone in this network namespace; how many there were."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
        sock.bind((0, 0))
        mine = [(family, original) for family, found, original in _entries(sock) if found == zone]
        body_zone = struct.pack("=HH", 6, _ZONE) + zone.to_bytes(2, "big") + b"\0\0"
        for number, (family, original) in enumerate(mine, 2):
            sock.send(_message(_CT_DELETE, _REQUEST | _ACK, number, family, original + body_zone))
            sock.recv(4096)  # an entry that ended by itself meanwhile answers ENOENT: just as well
    return len(mine)
