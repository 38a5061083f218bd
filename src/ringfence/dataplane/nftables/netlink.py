"""The nf_tables netlink client: transactions and read-back in one network namespace.

Rules, sets, elements, chains and timeouts all travel this way; libnftables would first read the whole rule set back for
every command (measured in docs/adr/0004-nft-updates.md). Sources: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import islice

from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.fields import Type, pack_key
from ringfence.dataplane.nftables.objects import FAMILY_NUMBERS, KEEP_SECONDS, NAME, Chain, Element, Set, Timeout
from ringfence.dataplane.nftables.terms import Rule, Verdict, rule_wire
from ringfence.dataplane.nftables.wire import CREATE, DUMP, Message, Reply, be32, nest, text

NETLINK_NETFILTER = 12
SUBSYSTEM = 10
NEWTABLE, DELTABLE, NEWCHAIN, GETCHAIN, DELCHAIN, NEWRULE, GETRULE, DELRULE = 0, 2, 3, 4, 5, 6, 7, 8
NEWSET, GETSET, DELSET, NEWSETELEM, GETSETELEM, DELSETELEM, NEWOBJ, GETOBJ, DELOBJ = 9, 10, 11, 12, 13, 14, 18, 19, 20
HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
ARP_HOOKS = {"input": 0}
TIMEOUT_OBJECT = 7
ELEMENTS_PER_MESSAGE = 300  # a nested attribute holds at most 65,535 bytes
SET_INTERVAL, SET_MAP, SET_TIMEOUT, SET_EVALUATES, SET_CONCATENATION, SET_EXPRESSION = 0x4, 0x8, 0x10, 0x20, 0x80, 0x100
SET_COUNTS, SET_NOTES = SET_TIMEOUT | SET_EVALUATES | SET_EXPRESSION, SET_EVALUATES
RECEIVE = 1 << 20
SEND = 16 << 20
TIMEOUT_SECONDS = 30.0


class NetlinkError(OSError):
    """The kernel refused a message; errno says why."""


def _message(kind: int, family: str, flags: int, *attributes: bytes) -> Message:
    body = text(1, NAME) + b"".join(attributes)
    return Message(SUBSYSTEM << 8 | kind, flags, FAMILY_NUMBERS[family], body)


def new_table(family: str) -> Message:
    return _message(NEWTABLE, family, CREATE)


def wake_table(family: str) -> Message:
    """The kernel calls the table's hooks (again)."""
    return _message(NEWTABLE, family, CREATE, be32(2, 0))


def new_chain(family: str, chain: Chain) -> Message:
    """An empty chain; with a hook: a base chain of policy drop."""
    parts = [text(3, chain.name)]
    if chain.hook is not None:
        number = (ARP_HOOKS if family == "arp" else HOOKS)[chain.hook.name]
        parts += [nest(4, be32(1, number), be32(2, chain.hook.priority)), be32(5, 0), text(7, "filter")]
    return _message(NEWCHAIN, family, CREATE, *parts)


def del_chain(family: str, name: str) -> Message:
    return _message(DELCHAIN, family, 0, text(3, name))


def flush_chain(family: str, name: str) -> Message:
    return _message(DELRULE, family, 0, text(2, name))


def new_rule(family: str, chain: str, rule: Rule) -> Message:
    return _message(NEWRULE, family, CREATE | wire.APPEND, text(2, chain), nest(4, rule_wire(rule)))


def del_table(family: str) -> Message:
    return _message(DELTABLE, family, 0)


def new_set(family: str, kind: Set, number: int) -> Message:
    """A set or map; `number` identifies it within the transaction."""
    flags = SET_INTERVAL if kind.interval else 0
    parts = [text(2, kind.name), be32(4, kind.key_number), be32(5, kind.key_size), be32(10, number)]
    if isinstance(kind.data, Type):
        flags |= SET_MAP
        parts += [be32(6, kind.data.number), be32(7, kind.data.size)]
    elif kind.data is not None:
        flags |= SET_MAP
        parts += [be32(6, 0xFFFFFF00), be32(7, 16)]
    if len(kind.key) > 1 and kind.interval:
        flags |= SET_CONCATENATION
        parts.append(nest(9, nest(2, *(nest(1, be32(1, part.size)) for part in kind.key))))
    if kind.room is not None:
        flags |= SET_COUNTS if kind.counters else SET_NOTES
        parts.append(nest(9, be32(1, kind.room)))
    if kind.room is not None and kind.counters:
        parts += [wire.be64(11, KEEP_SECONDS * 1000), be32(12, KEEP_SECONDS * 1000), nest(17, text(1, "counter"))]
    return _message(NEWSET, family, CREATE, *parts, be32(3, flags), wire.attr(13, _byte_orders(kind)))


def _byte_orders(kind: Set) -> bytes:
    """What only nft(8) needs, to print a set: the byte orders of a lone key (0) and of the data (1); 1 native, 2 network."""
    orders = [(0, kind.key[0])] if len(kind.key) == 1 else []
    if isinstance(kind.data, Type):
        orders.append((1, kind.data))
    return b"".join(struct.pack("=BBI", what, 4, 1 if part.native else 2) for what, part in orders)


def del_set(family: str, name: str) -> Message:
    return _message(DELSET, family, 0, text(2, name))


def add_elements(family: str, where: Set, many: Iterable[Element]) -> Iterator[Message]:
    """Messages that add elements."""
    return _in_chunks(NEWSETELEM, family, where.name, (_element(where, element) for element in many))


def del_elements(family: str, name: str, keys: Iterable[tuple[bytes, bytes]]) -> Iterator[Message]:
    """Messages that remove elements by key and end of range (empty: none)."""
    return _in_chunks(DELSETELEM, family, name, (nest(1, _key(key, end)) for key, end in keys))


def keys_of(where: Set, many: Iterable[Element]) -> Iterator[tuple[bytes, bytes]]:
    """Key and end of range as bytes."""
    for element in many:
        yield pack_key(where.key, element.key), b"" if element.end is None else pack_key(where.key, element.end)


def _in_chunks(kind: int, family: str, name: str, encoded: Iterable[bytes]) -> Iterator[Message]:
    iterator = iter(encoded)
    flags = CREATE if kind == NEWSETELEM else 0
    while chunk := b"".join(islice(iterator, ELEMENTS_PER_MESSAGE)):
        yield _message(kind, family, flags, text(2, name), nest(3, chunk))


def _key(key: bytes, end: bytes) -> bytes:
    return nest(1, wire.attr(1, key)) + (nest(10, wire.attr(1, end)) if end else b"")


def _element(where: Set, element: Element) -> bytes:
    ((key, end),) = keys_of(where, (element,))
    parts = [_key(key, end)]
    if element.data is not None:
        parts.append(nest(2, _data(where, element.data)))
    if element.comment is not None:
        comment = element.comment.encode() + b"\0"
        parts.append(wire.attr(6, bytes((0, len(comment))) + comment))
    return nest(1, *parts)


def _data(where: Set, data: object) -> bytes:
    if isinstance(data, Verdict):
        return data.data()
    if not isinstance(where.data, Type):
        raise TypeError(f"set {where.name} maps to nothing")
    return wire.attr(1, where.data.pack(data))


def new_timeout(timeout: Timeout) -> Message:
    values = nest(3, *(be32(number, seconds) for _, number, seconds in timeout.values))
    data = nest(4, wire.be16(1, 2), wire.u8(2, timeout.protocol), values)
    return _message(NEWOBJ, "inet", CREATE, text(2, timeout.name), be32(3, TIMEOUT_OBJECT), data)


def del_timeout(name: str) -> Message:
    return _message(DELOBJ, "inet", 0, text(2, name), be32(3, TIMEOUT_OBJECT))


class Netlink:
    """A netfilter netlink socket. It belongs to the namespace it was opened in, whatever thread uses it later.

    Not for use by two threads at once.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.settimeout(TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND)  # the kernel caps it at net.core.wmem_max
        self.largest = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - 4096
        self._sequence = 1
        self.transactions = 0  # that the kernel has accepted: each raises the generation of its tables by one

    def close(self) -> None:
        self._socket.close()

    def transaction(self, messages: list[Message], subsystem: int = SUBSYSTEM) -> None:
        """All messages or none. Raises NetlinkError (errno of the first refusal), EMSGSIZE when there are too many."""
        if not messages:
            return
        start = self._next(len(messages) + 2)
        data, last = wire.batch(messages, subsystem, start)
        if len(data) > self.largest:
            raise NetlinkError(errno.EMSGSIZE, f"a transaction of {len(data)} bytes, {self.largest} fit")
        self._socket.send(data)
        self._acknowledged(start, last, messages)
        self.transactions += 1

    def request(self, message: Message) -> None:
        """One acknowledged message outside a transaction."""
        sequence = self._next(1)
        self._socket.send(message.encode(sequence, wire.ACK))
        self._acknowledged(sequence, sequence, [message])

    def ask(self, message: Message) -> list[Reply]:
        """What the kernel answers to a GET message about one thing."""
        sequence = self._next(1)
        self._socket.send(message.encode(sequence, wire.ACK))
        found: list[Reply] = []
        while True:
            for reply in wire.replies(self._socket.recv(RECEIVE)):
                if reply.sequence != sequence:
                    continue
                if reply.kind != wire.ERROR:
                    found.append(reply)
                elif reply.errno:
                    raise NetlinkError(reply.errno, os.strerror(reply.errno))
                else:
                    return found

    def dump(self, message: Message) -> Iterator[Reply]:
        """Everything the kernel lists in answer to a GET message; ENOENT means an empty list."""
        sequence = self._next(1)
        self._socket.send(message.encode(sequence, DUMP))
        while True:
            for reply in wire.replies(self._socket.recv(RECEIVE)):
                if reply.sequence != sequence:
                    continue
                if reply.kind == wire.DONE:
                    return
                if reply.kind == wire.ERROR:
                    if reply.errno == errno.ENOENT:
                        return
                    raise NetlinkError(reply.errno, os.strerror(reply.errno))
                yield reply

    def _next(self, count: int) -> int:
        start = self._sequence
        self._sequence = (start + count) & 0x7FFFFFFF or 1
        return start

    def _acknowledged(self, start: int, last: int, messages: list[Message]) -> None:
        """Read until the last message is answered; a refusal of the whole transaction names its first message."""
        failure: NetlinkError | None = None
        while True:
            for reply in wire.replies(self._socket.recv(RECEIVE)):
                if reply.kind != wire.ERROR or not start <= reply.sequence <= last:
                    continue
                if reply.errno and failure is None:
                    failure = _refusal(reply, reply.sequence - start - 1, messages)
                if reply.sequence == last or (reply.errno and reply.sequence == start):
                    if failure is not None:
                        raise failure
                    return


def _refusal(reply: Reply, index: int, messages: list[Message]) -> NetlinkError:
    what = f"message {index} of {len(messages)}"
    if 0 <= index < len(messages):
        message = messages[index]
        names = [payload.rstrip(b"\0") for kind, payload in wire.attributes(message.body) if kind in (2, 3)]
        what += f", type {message.kind & 0xFF}, {names[:1]!r}"
    return NetlinkError(reply.errno, f"{os.strerror(reply.errno)} ({what})")
