"""CT-17, CT-18: a connection table without room. New flows are refused, admitted or not; open connections go on.

The kernel's limit can only be lowered for the whole machine, so the test fills the table of its own namespace up to it,
with entries the kernel must not give up for new ones (assured).
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from ringfence.dataplane.nftables import conntrack
from tests.kernel.streams import alive, connect, tcp_echo
from tests.kernel.testbed import Shot, Testbed
from tests.kernel.worlds import A4, B4, A, B, allow, pair, udp

pytestmark = pytest.mark.netns

LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
MOST = 300_000  # entries a test may make: about 90 MB of kernel memory
NETFILTER, NEW, CREATE, SEEN_REPLY_ASSURED_CONFIRMED, FAR_ZONE = 12, 0x100, 0x600, 2 | 4 | 8, 60_000


def _attribute(kind: int, body: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(body), kind) + body + bytes(-len(body) % 4)


def _flow(source: int, port: int, *, reply: bool) -> bytes:
    """A tuple of a UDP flow from 10.77.x.x, as ctnetlink wants it."""
    near, far = struct.pack(">I", (10 << 24) + (77 << 16) + source), b"\x0a\x4e\0\1"
    ports = (struct.pack(">H", port), b"\0\x09")
    if reply:
        near, far, ports = far, near, (ports[1], ports[0])
    addresses = _attribute(1 | 0x8000, _attribute(1, near) + _attribute(2, far))
    protocol = _attribute(1, b"\x11") + _attribute(2, ports[0]) + _attribute(3, ports[1])
    return addresses + _attribute(2 | 0x8000, protocol)


def _entry(number: int) -> bytes:
    source, port = divmod(number, 60_000)
    flow = (source + 1, port + 1)
    body = b"\x02\0\0\0" + _attribute(1 | 0x8000, _flow(*flow, reply=False))
    body += _attribute(2 | 0x8000, _flow(*flow, reply=True))
    body += _attribute(3, struct.pack(">I", SEEN_REPLY_ASSURED_CONFIRMED)) + _attribute(7, struct.pack(">I", 600))
    body += _attribute(18, struct.pack(">H", FAR_ZONE))
    return struct.pack("=IHHII", 16 + len(body), NEW, CREATE | 1, 0, 0) + body


def fill(bed: Testbed, entries: int) -> None:
    """So many assured entries in a zone that no interface has."""
    netlink = bed.vpc.run(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER))
    with netlink:
        for first in range(0, entries, 500):
            netlink.send(b"".join(_entry(number) for number in range(first, min(entries, first + 500))))


def room(bed: Testbed) -> conntrack.Room:
    return bed.vpc.run(lambda: conntrack.room(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)))


def count(bed: Testbed) -> int:
    return bed.vpc.run(lambda: int(Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text()))


@pytest.mark.skipif(int(LIMIT.read_text()) > MOST, reason="the kernel's connection tables are too large to fill")
def test_ct_17_a_full_table_fails_closed() -> None:
    with (
        Testbed(pair([allow("tcp", "80", "10.0.0.0/8"), allow("udp", "53", "10.0.0.0/8")])) as bed,
        tcp_echo(bed.guests[B], B4, 80),
    ):
        before = connect(bed.guests[A], A4, B4, 80)
        assert alive(before)
        began = room(bed)
        assert (began.limit, began.refused) == (int(LIMIT.read_text()), 0)
        assert 1 <= began.entries == count(bed)
        assert bed.delivered([Shot(A, udp(A4, B4, 53))]) == [True]
        fill(bed, int(LIMIT.read_text()) - count(bed))
        assert count(bed) >= int(LIMIT.read_text())
        assert alive(before), "an open connection goes on"
        assert connect(bed.guests[A], A4, B4, 80) is None, "a new one finds no room"
        shots = [Shot(A, udp(A4, B4, port, sport=sport)) for sport in range(50000, 50020) for port in (53, 54)]
        assert not any(bed.delivered(shots)), "admitted or denied: no entry, no packet"
        full = room(bed)
        assert full.entries >= full.limit
        assert full.refused >= len(shots), "CT-18: each is counted"
        bed.vpc.command("conntrack", "-D", "-w", str(FAR_ZONE), "-s", "10.77.0.1")
        assert alive(connect(bed.guests[A], A4, B4, 80)), "with room again"
        assert bed.delivered([Shot(A, udp(A4, B4, 53)), Shot(A, udp(A4, B4, 54))]) == [True, False]
