"""Router advertisements: how a guest finds its default route and that DHCPv6 has its address (RFC 4861; UF-07, NET-12).

One for whoever asks, and one to every link now and then, since what was told ends after half an hour. They name no prefix:
every packet of a guest goes to the router, as in the addresses and routes that guests are started with.
"""

from __future__ import annotations

import logging
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address

from ringfence.dataplane import linux
from ringfence.dataplane.services.dhcp6 import ROUTER

log = logging.getLogger("ringfence.advertise")
SOLICITATION, ADVERTISEMENT = 133, 134
EVERY_NODE = IPv6Address("ff02::1")
EVERY_SECONDS = 200.0  # RFC 4861, section 6.2.1: at most 600
_LIFETIME = 1800
_MANAGED, _OTHER = 0x80, 0x40  # addresses, and everything else, by DHCPv6
_MTU = 5
_ICMP6_FILTER = 1
_PKTINFO = struct.Struct("@16sI")


def advertisement(mtu: int) -> bytes:
    """The message; the kernel puts its checksum in."""
    fixed = struct.pack(">BBHBBHII", ADVERTISEMENT, 0, 0, 64, _MANAGED | _OTHER, _LIFETIME, 0, 0)
    return fixed + struct.pack(">BBHI", _MTU, 1, 0, mtu)


class Advertiser:
    """Advertises the router of one VPC on links whose subnets have IPv6."""

    def __init__(self, netns: int, links: Callable[[], Iterable[str]], mtu: int) -> None:
        """To be made inside the namespace `netns`. `links`: on which it is advertised."""
        self._netns, self._links, self._message = netns, links, advertisement(mtu)
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        blocked = [0xFFFFFFFF] * 8  # a bit for each type, set for those that are not wanted
        blocked[SOLICITATION // 32] ^= 1 << SOLICITATION % 32
        self._socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("@8I", *blocked))
        for option, value in (
            (socket.IPV6_RECVPKTINFO, 1), (socket.IPV6_UNICAST_HOPS, 255), (socket.IPV6_MULTICAST_HOPS, 255),
            (socket.IPV6_MULTICAST_LOOP, 0),
        ):  # fmt: skip
            self._socket.setsockopt(socket.IPPROTO_IPV6, option, value)
        self._end, self._ended = socket.socketpair()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._end.close()

    def _serve(self) -> None:
        due = time.monotonic() + EVERY_SECONDS
        with linux.inside(self._netns), self._socket, self._ended:
            while True:
                ready, _, _ = select.select([self._socket, self._ended], [], [], max(0.0, due - time.monotonic()))
                if self._ended in ready:
                    return
                if self._socket in ready:
                    self._asked()
                if time.monotonic() >= due:
                    due = time.monotonic() + EVERY_SECONDS
                    for link in self._links():
                        self._tell(str(EVERY_NODE), link)

    def _asked(self) -> None:
        _, ancillary, _, peer = self._socket.recvmsg(256, 256)
        index = next((_PKTINFO.unpack(body)[1] for _, kind, body in ancillary if kind == socket.IPV6_PKTINFO), 0)
        try:
            link = socket.if_indextoname(index)
        except OSError:
            return  # it has gone since
        if link in set(self._links()):
            self._tell(peer[0].partition("%")[0], link)

    def _tell(self, to: str, link: str) -> None:
        try:
            index = socket.if_nametoindex(link)
            info = _PKTINFO.pack(ROUTER.packed, index)
            self._socket.sendmsg(
                [self._message], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)], 0, (to, 0, 0, index)
            )
        except OSError as problem:
            log.debug("no advertisement on %s: %s", link, problem)
