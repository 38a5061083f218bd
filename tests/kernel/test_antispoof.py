"""What a guest may send: NET-21, NET-22. A guest is root on its own link, so everything here is sent raw."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from ringfence.policy.ir import Fragment
from tests.kernel import frames
from tests.kernel.streams import alive, asks, connect, datagram, tcp_echo, udp_echo
from tests.kernel.testbed import Shot, Testbed
from tests.kernel.worlds import (
    A4,
    A6,
    B4,
    B6,
    INTERNET_ROUTES,
    LOCAL_ROUTES,
    A,
    B,
    acl,
    allow,
    eni,
    icmp6,
    pair,
    table,
    tcp,
    to_eni,
    udp,
)

pytestmark = pytest.mark.netns
OPEN = [allow(), allow(peer="::/0")]
C4 = "10.0.1.77"


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(pair(OPEN)) as made:
        yield made


def world(*, check: bool) -> list[Fragment]:
    return pair(OPEN, eni(A, 1, 1, 10, ["sg-a"], check=check), eni("eni-c", 3, 1, 77, ["sg-a"]), a_rules=OPEN)


@pytest.mark.parametrize(
    ("source", "destination"), [("10.0.1.99", B4), (C4, B4), (B4, B4), ("10.0.0.2", B4), ("8.8.8.8", B4),
                                ("2001:db8:1:1::99", B6), (B6, B6), ("fe80::1", B6)]
)  # fmt: skip
def test_source_must_be_own(bed: Testbed, source: str, destination: str) -> None:
    """NET-21, NET-22, E2E-L6."""
    bed.apply(world(check=True))
    assert bed.delivered([Shot(A, udp(source, destination, 9))]) == [False]


def test_check_off_allows_foreign_sources(bed: Testbed) -> None:
    """NET-21: a router or NAT instance."""
    bed.apply(world(check=False))
    assert bed.delivered([Shot(A, udp("192.0.2.5", B4, 9)), Shot(A, udp("2001:db8:f::5", B6, 9))]) == [True, True]
    bed.apply(world(check=True))
    assert bed.delivered([Shot(A, udp("192.0.2.5", B4, 10)), Shot(A, udp("2001:db8:f::5", B6, 10))]) == [False, False]


@pytest.mark.parametrize("check", [True, False])
def test_mac_must_be_own(bed: Testbed, check: bool) -> None:
    """NET-22: also with the check off."""
    bed.apply(world(check=check))
    bed.drain()
    for mac, expected in (("02:00:00:00:99:99", False), ("02:00:00:00:00:03", False), ("02:00:00:00:00:01", True)):
        bed.inject(A, frames.datagram(udp(A4, B4, 9), 1), mac=mac)
        time.sleep(0.05)
        assert bool([seen for where, seen in bed.captured() if where == B]) == expected, mac


def test_destination_must_be_own(bed: Testbed) -> None:
    """NET-21, destination side: a route leads foreign traffic to an ENI whose check is on: dropped."""
    routes = (*LOCAL_ROUTES, *INTERNET_ROUTES, to_eni("192.0.2.0/24", B), to_eni("2001:db8:f::/64", B))
    packets = [udp(A4, "192.0.2.9", 9), udp(A6, "2001:db8:f::9", 9)]
    bed.apply(pair(OPEN, table(routes=routes)))
    assert bed.delivered([Shot(A, packet, B) for packet in packets]) == [False, False]
    bed.apply(pair(OPEN, table(routes=routes), eni(B, 2, 2, 10, ["sg-b"], check=False)))
    assert bed.delivered([Shot(A, packet, B) for packet in packets]) == [True, True]


def _arp(operation: int, sender_mac: str, sender: str, target: str) -> bytes:
    mac, broadcast = bytes.fromhex(sender_mac.replace(":", "")), b"\xff" * 6
    body = (
        struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation)
        + mac
        + socket.inet_aton(sender)
        + bytes(6)
        + socket.inet_aton(target)
    )
    return broadcast + mac + b"\x08\x06" + body


def _answers(bed: Testbed, request: bytes) -> int:
    """ARP answers A gets for a raw request of its own."""
    raw = bed.guests[A].run(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)))
    with raw:
        raw.bind(("eth0", 0x0806))
        raw.settimeout(0.2)
        raw.send(request)
        found = 0
        try:
            while True:
                data, origin = raw.recvfrom(2000)
                found += origin[2] != socket.PACKET_OUTGOING and data[20:22] == b"\0\2"
        except TimeoutError:
            return found


def test_arp(bed: Testbed) -> None:
    """NET-22: the router answers a guest that asks in its own name, and nobody else; it learns from no one."""
    bed.apply(world(check=True))
    mac = "02:00:00:00:00:01"
    assert _answers(bed, _arp(1, mac, A4, "10.0.1.1")) == 1
    assert _answers(bed, _arp(1, mac, A4, C4)) == 1  # proxy ARP: neighbours are reached through the router
    for sender_mac, sender in (
        (mac, C4),
        (mac, B4),
        (mac, "10.0.1.1"),
        ("02:00:00:00:00:03", C4),
        ("02:00:00:00:99:99", A4),
    ):
        assert _answers(bed, _arp(1, sender_mac, sender, "10.0.1.1")) == 0, (sender_mac, sender)
    before = bed.vpc.command("ip", "-4", "neigh", "show")
    for sender in (C4, B4, "10.0.1.200"):
        _answers(bed, _arp(2, mac, sender, sender))
    assert bed.vpc.command("ip", "-4", "neigh", "show") == before


def test_forged_arp_diverts_nothing(bed: Testbed) -> None:
    """A guest that claims B's address gets none of B's traffic."""
    bed.apply(world(check=True))
    with udp_echo(bed.guests[B], B4, 53) as seen:
        _answers(bed, _arp(2, "02:00:00:00:00:01", B4, B4))
        sock = datagram(bed.guests["eni-c"], C4)
        bed.drain()
        assert asks(sock, B4, 53)
        assert seen
        assert not [s for where, s in bed.captured() if where == A and s.dport == 53]


def test_neighbour_discovery(bed: Testbed) -> None:
    """The same for IPv6: no entry is learned for an address that is not the guest's, however many it claims."""
    bed.apply(world(check=True))
    with tcp_echo(bed.guests[B], B6, 80):
        assert alive(connect(bed.guests[A], A6, B6, 80))  # discovery itself works
    before = bed.vpc.command("ip", "-6", "neigh", "show", "nud", "all")
    for source in (B6, "2001:db8:1:1::77", "fe80::bad", "fe80::1"):
        target = socket.inet_pton(socket.AF_INET6, source)
        option = b"\x02\x01" + bytes.fromhex("020000000001")
        for kind, destination in ((136, "fe80::1"), (136, "ff02::1"), (135, "fe80::1")):
            head = struct.pack(">BBHI", kind, 0, 0, 0x60000000 if kind == 136 else 0) + target
            packet = icmp6(source, destination, kind)
            body = frames._with_checksum(
                head + option, 2, frames._pseudo(packet.src, packet.dst, 58, len(head + option))
            )
            bed.inject(A, frames.network(packet, body, ttl=255))
    time.sleep(0.1)
    after = bed.vpc.command("ip", "-6", "neigh", "show", "nud", "all")
    assert {line.split(" lladdr")[0] for line in after.splitlines()} <= {
        line.split(" lladdr")[0] for line in before.splitlines()
    }


ADVERTISEMENT = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0xC0, 1800, 0, 0)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("destination", ["ff02::1", B6, "fe80::ff:fe00:2"])
@pytest.mark.parametrize("source", ["fe80::ff:fe00:1", "fe80::1", A6])
def test_inf_11_router_advertisements_of_a_guest_reach_nobody(
    bed: Testbed, source: str, destination: str, check: bool
) -> None:
    """Nor do they change the router: it has the routes and neighbours it had."""
    bed.apply(world(check=check))
    look = [("ip", "-6", "route", "show", "table", "all"), ("ip", "-6", "neigh", "show", "nud", "permanent")]
    before = [bed.vpc.command(*words) for words in look]
    prefix = struct.pack(">BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + socket.inet_pton(
        socket.AF_INET6, "2001:db8:bad::"
    )
    for body in (ADVERTISEMENT, ADVERTISEMENT + prefix):
        packet = icmp6(source, destination, 134)
        whole = frames._with_checksum(body, 2, frames._pseudo(packet.src, packet.dst, 58, len(body)))
        bed.drain()
        bed.inject(A, frames.network(packet, whole, ttl=255))
        time.sleep(0.05)
        arrived = [seen for _, seen in bed.captured() if seen.protocol == 58 and seen.body[0] == 134]
        # to an address whose groups admit the type it is routed like any packet, and then no longer an advertisement:
        # its hop limit is not 255, after two passes (RFC 4861, section 6.1.2)
        assert [seen.ttl for seen in arrived] in ([], [253] * (destination == B6 and source == A6)), arrived
    assert [bed.vpc.command(*words) for words in look] == before


def test_router_addresses_answer_nothing_but_services(bed: Testbed) -> None:
    """Only DNS and metadata; silence otherwise, also for pings."""
    bed.apply(world(check=True))
    bed.drain()
    probes = [tcp(A4, "10.0.1.1", 22), tcp(A4, "10.0.0.2", 80), tcp(A4, "169.254.169.254", 53), udp(A4, "10.0.1.1", 9),
              tcp(A4, "169.254.169.254", 81), udp(A4, "10.0.1.1", 53)]  # fmt: skip
    for packet in probes:
        bed.send(Shot(A, packet))
    time.sleep(0.1)
    answers = [seen for where, seen in bed.captured() if where == A and seen.protocol in (1, 6, 17)]
    assert answers == []
    for open_to in (tcp(A4, "169.254.169.254", 80), tcp(A4, "10.0.0.2", 53)):
        bed.send(Shot(A, open_to))
        time.sleep(0.05)
        answers = [seen for where, seen in bed.captured() if where == A and seen.protocol == 6]
        assert len(answers) == 1, open_to  # the router's RST: nobody listens in this testbed, but the packet got there


def test_services_need_no_rule(bed: Testbed) -> None:
    """No group and no ACL stands between a guest and its resolver; and nothing of it is in the connection table."""
    bed.apply(pair([], acl(ingress=[], egress=[]), a_egress=[]))
    bed.vpc.command("conntrack", "-F")
    with udp_echo(bed.vpc, "10.0.0.2", 53):
        assert asks(datagram(bed.guests[A], A4), "10.0.0.2", 53)
    assert bed.connections() == []


def test_unknown_protocols_go_nowhere(bed: Testbed) -> None:
    """Frames that are neither IP nor ARP."""
    bed.apply(world(check=True))
    bed.drain()
    eni_a, raw = "02:00:00:00:00:01", bed._raw[A]
    router = bytes.fromhex(bed.router_macs[A].replace(":", ""))
    raw.send(router + bytes.fromhex(eni_a.replace(":", "")) + b"\x88\xb5" + b"x" * 60)
    time.sleep(0.05)
    assert not list(bed.captured())
