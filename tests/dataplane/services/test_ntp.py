"""The time service (UF-05, RFC 5905): server mode, the host's clock, no group and no network ACL in its way."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.dataplane.services import ntp
from tests.kernel.streams import datagram
from tests.kernel.testbed import Testbed
from tests.kernel.worlds import A4, A6, A, acl, pair


def question(version: int = 4, mode: int = 3, transmitted: int = 0x1122334455667788) -> bytes:
    return bytes((version << 3 | mode, 0, 6, 0)).ljust(40, b"\0") + struct.pack(">Q", transmitted)


def test_rfc_5905_an_answer_in_server_mode() -> None:
    reply = ntp.answer(question(3), 1_700_000_000.5, lambda: 1_700_000_001.25)
    assert reply is not None
    flags, stratum, poll = reply[:3]
    assert (flags >> 6, flags >> 3 & 7, flags & 7, stratum, poll) == (0, 3, 4, 10, 6)
    assert reply[12:16] == b"LOCL"
    reference, origin, received, sent = struct.unpack(">QQQQ", reply[16:])
    assert origin == 0x1122334455667788
    assert (received >> 32, received & 0xFFFFFFFF) == (1_700_000_000 + 2_208_988_800, 1 << 31)
    assert (sent >> 32, sent & 0xFFFFFFFF) == (1_700_000_001 + 2_208_988_800, 1 << 30)
    assert reference <= received


@pytest.mark.parametrize(
    ("data", "answered"),
    [(question(), True), (question(1), True), (question(4) + b"key and digest", True), (question(0), False),
     (question(5), False), (question(mode=1), False), (question(mode=4), False), (question(mode=6), False),
     (question(mode=7), False), (question()[:47], False), (b"", False)],
)  # fmt: skip
def test_only_clients_questions_are_answered_and_by_no_more_bytes(data: bytes, answered: bool) -> None:
    reply = ntp.answer(data, time.time())
    assert (reply is not None) == answered
    assert reply is None or len(reply) <= len(data)


@given(st.binary(max_size=100))
def test_no_bytes_break_it(data: bytes) -> None:
    ntp.answer(data, 0.0)


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(pair([], acl(ingress=[], egress=[]), a_egress=[])) as made:
        server = made.vpc.run(ntp.NtpServer)
        yield made
        server.close()


@pytest.mark.netns
@pytest.mark.parametrize(("source", "service"), list(zip((A4, A6), ntp.ADDRESSES, strict=True)))
def test_uf_05_time_passes_closed_groups_and_acls(bed: Testbed, source: str, service: str) -> None:
    """And nothing of it is in the connection table (UF-12 follows)."""
    bed.vpc.command("conntrack", "-F")
    with datagram(bed.guests[A], source) as sock:
        sock.settimeout(2)
        sock.sendto(question(), (service, 123))
        reply, peer = sock.recvfrom(100)
        assert peer[:2] == (service, 123)
        seconds = struct.unpack(">I", reply[40:44])[0] - 2_208_988_800
        assert abs(seconds - time.time()) < 2
        sock.settimeout(0.2)
        sock.sendto(question(), (service, 124))
        with pytest.raises((TimeoutError, socket.timeout)):
            sock.recvfrom(100)
    assert bed.connections() == []
