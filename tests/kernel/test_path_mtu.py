"""E2E-L9: path MTU discovery through the internet gateway, on real TCP streams.

A hop beyond the gateway takes 1300 bytes. A server in the VPC sends packets of 1500 with "don't fragment"; only the hop's
error (ICMP 3/4, ICMPv6 type 2) tells it to send smaller ones. Without the error the stream stalls: a black hole.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from ringfence.dataplane.plan import EDGE_INTERNET
from ringfence.policy.ir import AclEntry, Allow, Fragment
from tests.kernel.streams import connect
from tests.kernel.testbed import Testbed
from tests.kernel.worlds import A4, A6, A, acl, allow, edge, entry, pair

pytestmark = pytest.mark.netns

Rules, Entries = Callable[[int], list[Allow]], Callable[[int], list[AclEntry]]
HOP, SIZE, PORT = 1300, 60_000, 443
EIP, OUT, OUT6 = "54.10.0.1", "203.0.113.9", "2001:db8:ffff::9"
ERRORS = {4: ("icmp", (3, 4), "0.0.0.0/0"), 6: ("icmpv6", (2, None), "::/0")}


@contextmanager
def small_hop(fragments: list[Fragment]) -> Iterator[Testbed]:
    """A testbed of its own for every case: guests remember what they have learned about a path."""
    with Testbed(fragments) as made:
        made.edge.ip(
            f"route replace {OUT}/32 via 169.254.253.1 dev {EDGE_INTERNET} onlink mtu lock {HOP}",
            f"-6 route replace {OUT6}/128 via fe80::1 dev {EDGE_INTERNET} mtu lock {HOP}",
        )
        yield made


def tracked(version: int) -> list[Allow]:
    return [allow("tcp", str(PORT), f"{OUT}/32" if version == 4 else f"{OUT6}/128")]


def untracked(version: int) -> list[Allow]:
    return [allow("tcp", str(PORT), "0.0.0.0/0" if version == 4 else "::/0")]


def errors(version: int) -> list[Allow]:
    protocol, icmp, peer = ERRORS[version]
    return [allow(protocol, peer=peer, icmp=icmp)]


def tcp_only(version: int) -> list[AclEntry]:
    return [entry(100, "allow", "tcp", "0-65535", peer=ERRORS[version][2])]


def tcp_and_errors(version: int) -> list[AclEntry]:
    protocol, icmp, peer = ERRORS[version]
    return [*tcp_only(version), entry(110, "allow", protocol, peer=peer, icmp=icmp)]


def everything(version: int) -> list[AclEntry]:
    return [entry(100, "allow", peer=ERRORS[version][2])]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("rules", "icmp_rule", "inbound", "arrives"),
    [
        pytest.param(tracked, False, everything, True, id="CT-12 tracked: no rule for the error needed"),
        pytest.param(tracked, False, tcp_only, False, id="L9, ACL-42 the ACL lets no error in"),
        pytest.param(tracked, False, tcp_and_errors, True, id="L9, ACL-42 the ACL lets exactly the error in"),
        pytest.param(untracked, False, everything, False, id="SG-80 untracked: the error needs a rule"),
        pytest.param(untracked, True, everything, True, id="SG-80 untracked, with the rule"),
        pytest.param(untracked, True, tcp_only, False, id="the rule does not help against the ACL"),
    ],
)
def test_streams_get_past_a_small_hop(
    version: int, rules: Rules, icmp_rule: bool, inbound: Entries, arrives: bool
) -> None:
    ingress = [*rules(version), *(errors(version) if icmp_rule else [])]
    fragments = pair((), acl(ingress=inbound(version)), edge({EIP: A4}), a_rules=ingress)
    with small_hop(fragments) as bed:
        got = downloaded(bed, OUT, A4, EIP) if version == 4 else downloaded(bed, OUT6, A6, A6)
    assert (got == SIZE) == arrives, got


def downloaded(bed: Testbed, client: str, server: str, address: str) -> int:
    """Bytes that reach a client on the internet from a server in the VPC before nothing comes for a while."""
    with sender(bed, server):
        sock = connect(bed.internet, client, address, PORT)
        assert sock is not None, "the connection itself needs no large packet"
        got = 0
        with sock, contextlib.suppress(TimeoutError):
            sock.settimeout(0.7)
            while data := sock.recv(65536):
                got += len(data)
    return got


@contextmanager
def sender(bed: Testbed, address: str) -> Iterator[None]:
    """A server that sends SIZE bytes to whoever connects."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = bed.guests[A].run(lambda: socket.socket(family, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, PORT))
    listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(2)
                connection.sendall(bytes(SIZE))

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.close()
        thread.join(3)
