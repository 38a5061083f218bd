"""The VPC's DHCP server (Amazon VPC User Guide: "DHCP option sets"; UF-02, DNS-04..DNS-07; RFC 2131, RFC 2132).

It leases nothing: an interface's address is the control plane's, and the server tells each interface its own, whoever
it claims to be. It is known by the link its question came over. Relays are not served.
"""

from __future__ import annotations

import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_address

from ringfence.dataplane import linux
from ringfence.dataplane.services.datagrams import serve

log = logging.getLogger("ringfence.dhcp")
SERVER_PORT, CLIENT_PORT = 67, 68
LEASE_SECONDS = 3600
DISCOVER, OFFER, REQUEST, ACK, NAK, INFORM = 1, 2, 3, 5, 6, 8
_FIXED = struct.Struct(">BBBBIHH4s4s4s4s16s64s128s")
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _END = 0, 255
_REQUESTED, _KIND, _SERVER, _LARGEST = 50, 53, 54, 57
_LEAST = 576  # what every client can take (RFC 2131, section 2)


@dataclass(frozen=True, slots=True)
class Lease:
    """What an interface is told: its own address and the options of its VPC."""

    mac: str
    address: IPv4Address
    subnet: IPv4Network
    hostname: str
    mtu: int
    options: tuple[tuple[str, tuple[str, ...]], ...]  # of the DHCP options set, by AWS's names

    @property
    def router(self) -> IPv4Address:
        return self.subnet.network_address + 1


@dataclass(frozen=True, slots=True)
class Message:
    """A question, as far as it matters. `client`: the address it says it has."""

    kind: int
    transaction: int
    flags: int
    client: IPv4Address
    mac: str
    options: dict[int, bytes]

    def address(self, option: int) -> IPv4Address | None:
        """An option that holds one address."""
        value = self.options.get(option, b"")
        return IPv4Address(value) if len(value) == 4 else None


def parse(data: bytes) -> Message | None:
    """A client's message; None for anything that is not one, a relayed one included."""
    if len(data) < _FIXED.size + 4 or data[_FIXED.size : _FIXED.size + 4] != _COOKIE:
        return None
    op, kind, length, _, transaction, _, flags, client, _, _, relay, hardware, _, _ = _FIXED.unpack_from(data)
    options = _options(data[_FIXED.size + 4 :])
    wanted = options.get(_KIND, b"")
    if (op, kind, length, len(wanted)) != (1, 1, 6, 1) or any(relay):
        return None
    mac = ":".join(f"{byte:02x}" for byte in hardware[:6])
    return Message(wanted[0], transaction, flags, IPv4Address(client), mac, options)


def _options(data: bytes) -> dict[int, bytes]:
    """Tag, length, value (RFC 2132, section 2); what is cut off ends the list."""
    out: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        if at + 1 >= len(data) or at + 2 + data[at + 1] > len(data):
            break
        out[data[at]] = out.get(data[at], b"") + data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return out


def inform(client: IPv4Address) -> bytes:
    """A question that every client with an address may ask: what else is there to know?"""
    fixed = _FIXED.pack(1, 1, 6, 0, 0x52464450, 0, 0, client.packed, bytes(4), b"", b"", b"", b"", b"")
    return fixed + _COOKIE + bytes((_KIND, 1, INFORM, _END))


def answer(message: Message, lease: Lease) -> bytes | None:
    """The server's answer (RFC 2131, section 4.3); None when it has none for this."""
    if message.kind == INFORM:
        return _reply(message, lease, ACK, leased=False) if message.client == lease.address else None
    if message.mac != lease.mac.lower():
        return None
    if message.kind == DISCOVER:
        return _reply(message, lease, OFFER)
    if message.kind != REQUEST or message.address(_SERVER) not in (None, lease.router):
        return None  # chose another server, gives its address up, or is no client
    wanted = message.address(_REQUESTED) or message.client
    return _reply(message, lease, ACK if wanted == lease.address else NAK)


def _reply(message: Message, lease: Lease, kind: int, *, leased: bool = True) -> bytes:
    given = lease.address if leased and kind != NAK else IPv4Address(0)
    fixed = _FIXED.pack(
        2, 1, 6, 0, message.transaction, 0, message.flags, (message.client if kind == ACK else IPv4Address(0)).packed,
        given.packed, b"", b"", bytes.fromhex(message.mac.replace(":", "")), b"", b"",
    )  # fmt: skip
    options = [(_KIND, bytes((kind,))), (_SERVER, lease.router.packed)]
    if kind != NAK:
        options += [*(_TIMES if leased else ()), *told(lease)]
    most = max(_LEAST, int.from_bytes(message.options.get(_LARGEST, b""), "big")) - 28  # IP and UDP headers
    return fixed + _COOKIE + _packed(options, min(most, 1400) - len(fixed) - len(_COOKIE))


def _packed(options: Iterable[tuple[int, bytes]], room: int) -> bytes:
    """As many options as there is room for, in order of need."""
    out = b""
    for tag, value in options:
        more = bytes((tag, len(value))) + value
        if 0 < len(value) < 256 and len(out) + len(more) < room:
            out += more
    return out + bytes((_END,))


_TIMES = tuple(
    (tag, struct.pack(">I", seconds))
    for tag, seconds in ((51, LEASE_SECONDS), (58, LEASE_SECONDS // 2), (59, LEASE_SECONDS * 7 // 8))
)


def told(lease: Lease) -> list[tuple[int, bytes]]:
    """The options of an interface and its VPC, in order of need (RFC 2132, sections 3, 5, 8)."""
    given = dict(lease.options)
    out = [
        (1, lease.subnet.netmask.packed),
        (3, lease.router.packed),
        (6, _addresses(given.get("domain-name-servers", ()))),
        (26, struct.pack(">H", lease.mtu)),
        (28, lease.subnet.broadcast_address.packed),
        (15, " ".join(given.get("domain-name", ())).encode()),
        (12, lease.hostname.encode()),
        (42, _addresses(given.get("ntp-servers", ()))),
        (44, _addresses(given.get("netbios-name-servers", ()))),
        (46, bytes(int(number) for number in given.get("netbios-node-type", ()))),
    ]
    return [(tag, value) for tag, value in out if value]


def _addresses(values: Iterable[str]) -> bytes:
    """The IPv4 ones of a list; those of IPv6 are DHCPv6's to tell."""
    return b"".join(address.packed for value in values if (address := ip_address(value)).version == 4)


Who = Callable[[str], Lease | None]
_IP_PKTINFO = 8
_PKTINFO = struct.Struct("@i4s4s")


class DhcpServer:
    """Answers on a socket of its own inside one VPC's namespace."""

    def __init__(self, netns: int, who: Who) -> None:
        """To be made inside the namespace `netns`. `who`: the lease of the interface at the other end of a link."""
        self._netns, self._who = netns, who
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for level, option in (
            (socket.SOL_SOCKET, socket.SO_REUSEADDR),
            (socket.SOL_SOCKET, socket.SO_BROADCAST),
            (socket.IPPROTO_IP, _IP_PKTINFO),
        ):
            self._socket.setsockopt(level, option, 1)
        self._socket.bind(("", SERVER_PORT))
        threading.Thread(target=serve, args=(self._socket, self._netns, self._one, log), daemon=True).start()

    def close(self) -> None:
        linux.hang_up(self._socket)

    def _one(self, data: bytes, ancillary: list[tuple[int, int, bytes]], peer: tuple[str, int]) -> None:
        index = next((_PKTINFO.unpack(body)[0] for _, kind, body in ancillary if kind == _IP_PKTINFO), 0)
        lease = self._who(socket.if_indextoname(index)) if index else None
        message = parse(data)
        if lease is None or message is None:
            return
        reply = answer(message, lease)
        if reply is not None:
            # from the router's address, over the link the question came from
            info = _PKTINFO.pack(index, lease.router.packed, bytes(4))
            to = back(message, lease, reply)
            port = peer[1] if peer[0] == str(to) else CLIENT_PORT  # `ringfence probe` asks from another one
            self._socket.sendmsg([reply], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, (str(to), port))


def back(message: Message, lease: Lease, reply: bytes) -> IPv4Address:
    """Where an answer goes (RFC 2131, section 4.1): to the client's address, or to everyone on its link."""
    refused = _options(reply[_FIXED.size + 4 :]).get(_KIND) == bytes((NAK,))
    if refused:
        return IPv4Address("255.255.255.255")
    if message.client == lease.address:
        return message.client
    return IPv4Address("255.255.255.255") if message.flags & 0x8000 else lease.address
