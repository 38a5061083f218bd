"""The VPC's DHCPv6 server (Amazon VPC User Guide: "DHCP option sets"; UF-02; RFC 8415).

Like its elder sister (dhcp.py) it leases nothing: an interface's addresses are the control plane's, and every association
that a client asks for (IA_NA) gets the next of them, whoever the client claims to be. It is known by the link its question
came over. Prefixes are delegated to nobody. Relays, and clients that do not ask all servers, are not heard.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from ringfence.dataplane import linux
from ringfence.dataplane.services.datagrams import serve

log = logging.getLogger("ringfence.dhcp6")
SERVER_PORT, CLIENT_PORT = 547, 546
ALL_SERVERS = IPv6Address("ff02::1:2")
ROUTER = IPv6Address("fe80::1")  # of every link, topology.py
SOLICIT, ADVERTISE, REQUEST, CONFIRM, RENEW, REBIND, REPLY, RELEASE, DECLINE, INFORMATION = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    11,
)
CLIENT, SERVER, IA_NA, IA_TA, IA_ADDRESS, WANTED, STATUS, RAPID = 1, 2, 3, 4, 5, 6, 13, 14
DNS, DOMAINS, IA_PD, NTP = 23, 24, 25, 56
SUCCESS, NO_ADDRESS, NOT_ON_LINK, NO_PREFIX = 0, 2, 4, 6
PREFERRED_SECONDS, VALID_SECONDS = 140, 450  # what Amazon EC2's instances show
#: a DUID of a link-layer address that no interface has (section 11.4)
IDENTITY = struct.pack(">HH", 3, 1) + bytes.fromhex("025246000003")
#: must a question name this server? It must not, it must, it may (section 16)
_NAMES_SERVER = {
    SOLICIT: False, CONFIRM: False, REBIND: False, REQUEST: True, RENEW: True, RELEASE: True, DECLINE: True,
    INFORMATION: None,
}  # fmt: skip
_ASSIGNS = frozenset({SOLICIT, REQUEST, RENEW, REBIND})


@dataclass(frozen=True, slots=True)
class Lease6:
    """What an interface of a subnet with IPv6 is told: its addresses and the options of its VPC."""

    addresses: tuple[IPv6Address, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]  # of the DHCP options set, by AWS's names


@dataclass(frozen=True, slots=True)
class Message:
    """A question: its options in order, for a client may ask for several associations."""

    kind: int
    transaction: bytes
    options: tuple[tuple[int, bytes], ...]

    def first(self, option: int) -> bytes | None:
        return next((body for code, body in self.options if code == option), None)


def parse(data: bytes) -> Message | None:
    """A client's message; None for anything that is not one, or is one that no server answers (section 16)."""
    if len(data) < 4 or data[0] not in _NAMES_SERVER:
        return None
    options = _options(data[4:])
    if options is None:
        return None
    message = Message(data[0], data[1:4], options)
    server, named = message.first(SERVER), _NAMES_SERVER[message.kind]
    if (message.first(CLIENT) is None and message.kind != INFORMATION) or server not in (None, IDENTITY):
        return None
    if named is not None and named != (server is not None):
        return None
    return message


def _options(data: bytes) -> tuple[tuple[int, bytes], ...] | None:
    """Code, length, body (section 21.1); None when one is cut off."""
    out, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            return None
        code, length = struct.unpack_from(">HH", data, at)
        if at + 4 + length > len(data):
            return None
        out.append((code, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return tuple(out)


def answer(message: Message, lease: Lease6) -> bytes | None:
    """The server's answer (section 18.3); None when it has none for this."""
    body = list(_bindings(message, lease))
    if message.kind == CONFIRM:
        claimed = list(_claimed(message))
        if not claimed:
            return None
        body = [_status(SUCCESS if set(claimed) <= set(lease.addresses) else NOT_ON_LINK)]
    elif message.kind in (RELEASE, DECLINE):
        body = [_status(SUCCESS)]  # the address stays the interface's
    kind = REPLY
    if message.kind == SOLICIT:
        quick = message.first(RAPID) is not None
        kind, body = (REPLY, [_option(RAPID, b""), *body]) if quick else (ADVERTISE, body)
    client = message.first(CLIENT)
    return b"".join(
        (
            bytes((kind,)) + message.transaction,
            _option(SERVER, IDENTITY),
            _option(CLIENT, client) if client is not None else b"",
            *body,
            *_told(message, lease),
        )
    )


def _bindings(message: Message, lease: Lease6) -> Iterator[bytes]:
    """An answer to each association: the next of the interface's addresses, and no other that the client has."""
    if message.kind not in _ASSIGNS:
        return
    left = list(lease.addresses)
    for code, body in message.options:
        if code == IA_NA and len(body) >= 12:
            given = left.pop(0) if left else None
            old = {a for a in _addresses(body[12:]) if a != given} if message.kind != SOLICIT else set()
            parts = [_address(given, PREFERRED_SECONDS, VALID_SECONDS)] if given else [_status(NO_ADDRESS)]
            parts += [_address(each, 0, 0) for each in sorted(old)]
            times = struct.pack(">II", PREFERRED_SECONDS // 2, PREFERRED_SECONDS * 4 // 5)
            yield _option(IA_NA, body[:4] + times + b"".join(parts))
        elif code == IA_TA and len(body) >= 4:
            yield _option(IA_TA, body[:4] + _status(NO_ADDRESS))
        elif code == IA_PD and len(body) >= 12:
            yield _option(IA_PD, body[:4] + bytes(8) + _status(NO_PREFIX))


def _claimed(message: Message) -> Iterator[IPv6Address]:
    for code, body in message.options:
        if code in (IA_NA, IA_TA):
            yield from _addresses(body[12 if code == IA_NA else 4 :])


def _addresses(options: bytes) -> Iterator[IPv6Address]:
    """The addresses in an association's options."""
    for code, body in _options(options) or ():
        if code == IA_ADDRESS and len(body) >= 24:
            yield IPv6Address(body[:16])


def _option(code: int, body: bytes) -> bytes:
    return struct.pack(">HH", code, len(body)) + body


def _status(code: int) -> bytes:
    return _option(STATUS, struct.pack(">H", code))


def _address(address: IPv6Address, preferred: int, valid: int) -> bytes:
    return _option(IA_ADDRESS, address.packed + struct.pack(">II", preferred, valid))


def _told(message: Message, lease: Lease6) -> Iterator[bytes]:
    """The options of the VPC that the client wants; all of them to one that does not say."""
    wanted = message.first(WANTED)
    given = dict(lease.options)
    servers = b"".join(a.packed for a in _of_family(given.get("domain-name-servers", ())))
    clocks = b"".join(struct.pack(">HH", 1, 16) + a.packed for a in _of_family(given.get("ntp-servers", ())))
    domains = b"".join(map(_name, " ".join(given.get("domain-name", ())).split()))
    for code, body in ((DNS, servers), (DOMAINS, domains), (NTP, clocks)):
        asked = wanted is None or code in struct.unpack(f">{len(wanted) // 2}H", wanted[: len(wanted) // 2 * 2])
        if body and asked:
            yield _option(code, body)


def _of_family(values: Iterable[str]) -> Iterator[IPv6Address]:
    """The IPv6 ones of a list; those of IPv4 are DHCP's to tell."""
    for value in values:
        address = ip_address(value)
        if isinstance(address, IPv6Address):
            yield address


def _name(domain: str) -> bytes:
    """A domain name as DNS writes it (RFC 1035, section 3.1); nothing for one it cannot write."""
    labels = [label.encode() if label.isascii() else b"" for label in domain.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        return b""
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


Who = Callable[[str], Lease6 | None]
_PKTINFO = struct.Struct("@16sI")
_JOIN, _LEAVE = 20, 21  # IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP
#: memberships that one socket may hold are bounded by memory: 284 on a kernel with net.core.optmem_max = 20480
_MEMBERSHIPS = 128


class Dhcp6Server:
    """Answers on a socket of its own inside one VPC's namespace, on every link that was joined."""

    def __init__(self, netns: int, who: Who) -> None:
        """To be made inside the namespace `netns`. `who`: the lease of the interface at the other end of a link."""
        self._netns, self._who = netns, who
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self._socket.bind(("::", SERVER_PORT))
        self._holders: list[socket.socket] = []
        self._joined: dict[str, tuple[socket.socket, int]] = {}
        threading.Thread(target=serve, args=(self._socket, self._netns, self._one, log), daemon=True).start()

    def close(self) -> None:
        for sock in (self._socket, *self._holders):
            linux.hang_up(sock)

    def join(self, link: str) -> None:
        """Hear questions from this link; once more after it was made anew. OSError."""
        self.leave(link)
        with linux.inside(self._netns):
            index = socket.if_nametoindex(link)
            holder = self._holder()
            holder.setsockopt(socket.IPPROTO_IPV6, _JOIN, _PKTINFO.pack(ALL_SERVERS.packed, index))
        self._joined[link] = (holder, index)

    def leave(self, link: str) -> None:
        """The link is gone, or will be."""
        held = self._joined.pop(link, None)
        if held is None:
            return
        try:
            held[0].setsockopt(socket.IPPROTO_IPV6, _LEAVE, _PKTINFO.pack(ALL_SERVERS.packed, held[1]))
        except OSError as problem:
            log.debug("%s was left already: %s", link, problem)

    def _holder(self) -> socket.socket:
        """A socket with room for another membership. The one that answers hears what any of them joined."""
        taken = [sock for sock, _ in self._joined.values()]
        for holder in self._holders:
            if taken.count(holder) < _MEMBERSHIPS:
                return holder
        self._holders.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        return self._holders[-1]

    def _one(self, data: bytes, ancillary: list[tuple[int, int, bytes]], peer: tuple[str, int, int, int]) -> None:
        found = (_PKTINFO.unpack(body) for _, kind, body in ancillary if kind == socket.IPV6_PKTINFO)
        asked, index = next(found, (b"", 0))
        if asked != ALL_SERVERS.packed:
            return
        lease, message = self._who(socket.if_indextoname(index)), parse(data)
        reply = answer(message, lease) if message is not None and lease is not None else None
        if reply is not None:
            info = _PKTINFO.pack(
                ROUTER.packed, index
            )  # from the router's address, over the link the question came from
            self._socket.sendmsg(
                [reply], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)], 0, (peer[0], peer[1], 0, index)
            )
