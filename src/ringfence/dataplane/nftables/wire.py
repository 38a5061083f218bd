"""Netlink attributes and messages as bytes: the smallest codec nf_tables and conntrack need.

Sources: linux/netlink.h, linux/netfilter/nfnetlink.h. Attribute headers are host order, nf_tables numbers big endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NESTED = 0x8000
TYPE_MASK = 0x3FFF

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
EXCLUSIVE, CREATE, APPEND = 0x200, 0x400, 0x800

ERROR, DONE = 2, 3
BATCH_BEGIN, BATCH_END = 0x10, 0x11


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    size = len(payload) + 4
    return struct.pack("=HH", size, kind) + payload + b"\0" * (-size & 3)


def nest(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attr(kind | NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    return attr(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack("=B", value))


def be16(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack(">H", value))


def be32(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack(">I", value & 0xFFFFFFFF))


def be64(kind: int, value: int) -> bytes:
    return attr(kind, struct.pack(">Q", value))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of `data` as (type without flags, payload)."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        size, kind = struct.unpack_from("=HH", data, offset)
        if size < 4:
            return
        yield kind & TYPE_MASK, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def first(data: bytes, kind: int) -> bytes | None:
    """The payload of the first attribute of that type."""
    return next((payload for found, payload in attributes(data) if found == kind), None)


def string(payload: bytes) -> str:
    return payload.rstrip(b"\0").decode()


@dataclass(frozen=True, slots=True)
class Message:
    """An nfnetlink message without its sequence number: subsystem message type, flags, family and attributes."""

    kind: int
    flags: int
    family: int
    body: bytes
    resource: int = 0

    def encode(self, sequence: int, extra_flags: int = 0) -> bytes:
        size = 20 + len(self.body)
        head = struct.pack("=IHHII", size, self.kind, self.flags | extra_flags | REQUEST, sequence, 0)
        return head + struct.pack(">BBH", self.family, 0, self.resource) + self.body

    def __len__(self) -> int:
        return 20 + len(self.body)


def batch(messages: Iterable[Message], subsystem: int, start: int) -> tuple[bytes, int]:
    """A transaction: begin, messages, end. Only the last message asks for an acknowledgement, whose sequence number is
    returned; a message that fails is reported in any case."""
    parts = [Message(BATCH_BEGIN, 0, 0, b"", subsystem).encode(start)]
    listed = list(messages)
    last = start + len(listed)
    for sequence, message in enumerate(listed, start + 1):
        parts.append(message.encode(sequence, ACK if sequence == last else 0))
    parts.append(Message(BATCH_END, 0, 0, b"", subsystem).encode(last + 1))
    return b"".join(parts), last


@dataclass(frozen=True, slots=True)
class Reply:
    """One message read from a netlink socket."""

    kind: int
    flags: int
    sequence: int
    payload: bytes

    @property
    def errno(self) -> int:
        """The error number of an ERROR message; 0 is an acknowledgement."""
        return -int(struct.unpack_from("=i", self.payload)[0])

    @property
    def body(self) -> bytes:
        """The attributes behind the nfnetlink header."""
        return self.payload[4:]


def replies(data: bytes) -> Iterator[Reply]:
    """The messages of one datagram."""
    offset = 0
    while offset + 16 <= len(data):
        size, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, offset)
        if size < 16:
            return
        yield Reply(kind, flags, sequence, data[offset + 16 : offset + size])
        offset += (size + 3) & ~3
