"""The VPC resolver (Amazon VPC User Guide: "Amazon DNS server"; DNS-01..DNS-03, UF-01, UF-10).

It knows the VPC's own names and, as the only ones of the internet, those of the AWS APIs (`model/endpoints.py`).
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address

from dnslib import AAAA, PTR, QTYPE, RCODE, RR, A, DNSRecord

from ringfence.dataplane import linux
from ringfence.model import endpoints
from ringfence.policy.ir import Names

log = logging.getLogger("ringfence.dns")
QUERIES_PER_SECOND = 1024  # UF-10: per interface
TTL = 60


class Zone:
    """The names of one VPC, ready to answer."""

    def __init__(self, names: Names) -> None:
        self._forward: dict[str, list[str]] = {}
        self._reverse: dict[str, str] = {}
        for name, address in names.records:
            self._forward.setdefault(name, []).append(str(address))
            if name.startswith("ip-"):
                self._reverse[address.reverse_pointer] = name

    def answer(self, request: DNSRecord) -> DNSRecord:
        """The reply: the addresses of a name, NXDOMAIN for what is not there."""
        reply = request.reply()
        reply.header.ra = 1
        question = request.q
        name = str(question.qname).rstrip(".").lower()
        kind = QTYPE[question.qtype]
        if kind == "PTR":
            target = self._reverse.get(name)
            if target:
                reply.add_answer(RR(question.qname, QTYPE.PTR, rdata=PTR(target), ttl=TTL))
            else:
                reply.header.rcode = RCODE.NXDOMAIN
            return reply
        addresses = self._forward.get(name) or [str(address) for address in endpoints.addresses(name)]
        if not addresses:
            reply.header.rcode = RCODE.NXDOMAIN
            return reply
        for text in addresses:
            address = ip_address(text)
            if kind in ("A", "ANY") and isinstance(address, IPv4Address):
                reply.add_answer(RR(question.qname, QTYPE.A, rdata=A(text), ttl=TTL))
            elif kind in ("AAAA", "ANY") and not isinstance(address, IPv4Address):
                reply.add_answer(RR(question.qname, QTYPE.AAAA, rdata=AAAA(text), ttl=TTL))
        return reply


class Limiter:
    """At most so many queries per second and source."""

    def __init__(self, limit: int = QUERIES_PER_SECOND) -> None:
        self._limit, self._second, self._counts = limit, 0, dict[str, int]()

    def allows(self, source: str) -> bool:
        now = int(time.monotonic())
        if now != self._second:
            self._second, self._counts = now, {}
        count = self._counts[source] = self._counts.get(source, 0) + 1
        return count <= self._limit


class DnsServer:
    """Answers on sockets made inside one VPC's namespace."""

    def __init__(self, zone: Callable[[], Zone | None]) -> None:
        """`zone()` is the VPC's present zone, or None when its DNS support is off: then nothing is answered (DNS-01)."""
        self._zone, self._limiter = zone, Limiter()
        self._udp = [_bound(socket.SOCK_DGRAM, family) for family in (socket.AF_INET, socket.AF_INET6)]
        self._tcp = [_bound(socket.SOCK_STREAM, family) for family in (socket.AF_INET, socket.AF_INET6)]
        for sock in self._udp:
            threading.Thread(target=self._serve_udp, args=(sock,), daemon=True).start()
        for sock in self._tcp:
            sock.listen(16)
            threading.Thread(target=self._serve_tcp, args=(sock,), daemon=True).start()

    def close(self) -> None:
        for sock in (*self._udp, *self._tcp):
            linux.hang_up(sock)

    def _reply(self, data: bytes, source: str) -> bytes | None:
        zone = self._zone()
        if zone is None or not self._limiter.allows(source):
            return None
        try:
            request = DNSRecord.parse(data)
            if not request.questions:
                return None
            packed: bytes = zone.answer(request).pack()
        except Exception as problem:  # noqa: BLE001  a guest may send anything; dnslib raises many kinds
            log.debug("dropped a malformed query from %s: %r", source, problem)
            return None
        return packed

    def _serve_udp(self, sock: socket.socket) -> None:
        """Answers come from the address that was asked: a resolver has several (UF-01)."""
        while True:
            try:
                data, ancillary, _, peer = sock.recvmsg(4096, 256)
            except OSError:
                return
            if peer is None:  # hung up
                return
            reply = self._reply(data, peer[0])
            if reply is not None:
                try:
                    sock.sendmsg([reply], [(level, kind, body) for level, kind, body in ancillary], 0, peer)
                except OSError as problem:
                    log.debug("no way back to %s: %s", peer, problem)

    def _serve_tcp(self, sock: socket.socket) -> None:
        while True:
            try:
                connection, peer = sock.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection, peer[0]), daemon=True).start()

    def _talk(self, connection: socket.socket, source: str) -> None:
        with connection:
            connection.settimeout(5)
            try:
                while len(head := connection.recv(2, socket.MSG_WAITALL)) == 2:
                    data = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
                    reply = self._reply(data, source)
                    if reply is None:
                        return
                    connection.sendall(len(reply).to_bytes(2, "big") + reply)
            except OSError:
                return


_IP_PKTINFO, _IPV6_RECVPKTINFO = 8, 49


def _bound(kind: socket.SocketKind, family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_DGRAM:
        if family == socket.AF_INET:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    sock.bind(("", 53))
    return sock
