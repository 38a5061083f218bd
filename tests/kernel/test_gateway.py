"""The internet gateway on real packets: IGW-03..08, SG-68, docs/adr/0003-edge-nat.md."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from ringfence.policy.ir import Fragment
from ringfence.policy.packet import Packet
from tests.kernel import frames
from tests.kernel.streams import alive, asks, connect, datagram, tcp_echo, udp_echo
from tests.kernel.testbed import INTERNET, Shot, Testbed
from tests.kernel.worlds import (
    A4,
    A6,
    B4,
    LOCAL_ROUTES,
    A,
    B,
    acl,
    allow,
    edge,
    entry,
    icmp,
    icmp6,
    other,
    pair,
    subnet,
    table,
    tcp,
    udp,
)

pytestmark = pytest.mark.netns
OPEN = [allow(), allow(peer="::/0")]
OUT, OUT2, OUT6 = "203.0.113.9", "198.51.100.7", "2001:db8:ffff::9"
EIP_A, EIP_B = "54.10.0.1", "54.10.0.2"


def world(*more: Fragment, nat: dict[str, str] | None = None, **rules: object) -> list[Fragment]:
    nat = {EIP_A: A4} if nat is None else nat
    return pair(OPEN, edge(nat), *more, **({"a_rules": OPEN} | rules))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(world()) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(bed: Testbed) -> None:
    bed.vpc.command("conntrack", "-F")


def seen_at(bed: Testbed, where: str, packet: Packet, source: str, wait: float = 0.1) -> list[frames.Seen]:
    """The crafted packet as it arrives there."""
    bed.drain()
    marker = bed.send(Shot(source, packet, where))
    time.sleep(wait)
    return [seen for place, seen in bed.captured() if place == where and seen.marker == marker]


@pytest.mark.parametrize("make", [lambda s, d: tcp(s, d, 80), lambda s, d: udp(s, d, 53), icmp, lambda s, d: other(s, d, 99)],
                         ids=["tcp", "udp", "icmp", "protocol 99"])  # fmt: skip
def test_translation(bed: Testbed, make: object) -> None:
    """IGW-04: source becomes public on the way out, destination private on the way in; for every protocol."""
    bed.apply(world())
    (out,) = seen_at(bed, INTERNET, make(A4, OUT), A)  # type: ignore[operator]
    assert str(out.src) == EIP_A
    (back,) = seen_at(bed, A, make(OUT, EIP_A), INTERNET)  # type: ignore[operator]
    assert (str(back.src), str(back.dst)) == (OUT, A4)
    for seen in (out, back):
        if seen.protocol in (6, 17):
            assert frames.checksum(frames._pseudo(seen.src, seen.dst, seen.protocol, len(seen.body)) + seen.body) == 0


def test_checksums_hold(bed: Testbed) -> None:
    """Real stacks at both ends accept what was translated; the guest sees only private addresses."""
    bed.apply(world())
    with tcp_echo(bed.internet, OUT, 443):
        assert alive(connect(bed.guests[A], A4, OUT, 443))
    with udp_echo(bed.internet, OUT, 53) as seen:
        assert asks(datagram(bed.guests[A], A4), OUT, 53)
        assert seen[0][0] == EIP_A
    with tcp_echo(bed.guests[A], A4, 80):
        assert alive(connect(bed.internet, OUT, EIP_A, 80))


@pytest.mark.parametrize(
    ("missing", "fragments"),
    [
        ("nothing", world()),
        ("gateway", [f for f in world() if type(f).__name__ != "Edge"]),
        ("route", world(table(routes=LOCAL_ROUTES))),
        ("public address", world(nat={EIP_B: B4})),
        ("egress rule", world(a_egress=[])),
        ("outbound ACL entry", world(acl(egress=[entry(1, "allow", "tcp", "81")]))),
        ("inbound ACL entry", world(acl(ingress=[entry(1, "allow", "tcp", "1-1023")]))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_part_is_needed(missing: str, fragments: list[Fragment]) -> None:
    """IGW-03, IGW-05: internet access needs gateway, route, public address, group and ACL."""
    with Testbed(fragments) as own, tcp_echo(own.internet, OUT, 443):
        assert alive(connect(own.guests[A], A4, OUT, 443)) == (missing == "nothing")


def test_public_address_in_a_private_subnet(bed: Testbed) -> None:
    """IGW-06: what comes in gets no answer out."""
    bed.apply(world(table("rtb-private", 2, LOCAL_ROUTES), subnet("subnet-1", 1, table_id="rtb-private")))
    with tcp_echo(bed.guests[A], A4, 80):
        assert connect(bed.internet, OUT, EIP_A, 80) is None


def test_ipv6_is_routed_untranslated(bed: Testbed) -> None:
    """IGW-07; only the VPC's own blocks, in either direction."""
    bed.apply(world())
    (out,) = seen_at(bed, INTERNET, tcp(A6, OUT6, 80), A)
    assert str(out.src) == A6
    (back,) = seen_at(bed, A, tcp(OUT6, A6, 80), INTERNET)
    assert str(back.dst) == A6
    with tcp_echo(bed.internet, OUT6, 443):
        assert alive(connect(bed.guests[A], A6, OUT6, 443))
    assert not seen_at(bed, A, tcp("2001:db8:1:2::77", A6, 80), INTERNET)  # claims to be inside
    for outside in ("fc00::9", "fe80::9"):
        assert not seen_at(bed, A, tcp(outside, A6, 80), INTERNET)


@pytest.mark.parametrize("private", ["10.99.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255",
                                     "169.254.1.1", "127.0.0.1"])  # fmt: skip
def test_private_addresses_stay_on_their_side(bed: Testbed, private: str) -> None:
    """IGW-08: neither as a destination outward nor as a source inward."""
    bed.apply(world())
    if private not in ("127.0.0.1", "169.254.1.1"):
        assert not seen_at(bed, INTERNET, udp(A4, private, 9), A, 0.05)
    assert not seen_at(bed, A, udp(private, EIP_A, 9), INTERNET, 0.05)


@pytest.mark.parametrize(
    "public", ["172.15.0.1", "172.32.0.1", "100.63.255.255", "100.128.0.1", "192.169.0.1", "11.0.0.1"]
)
def test_their_neighbours_do_not(bed: Testbed, public: str) -> None:
    """IGW-08, block edges."""
    bed.apply(world())
    assert seen_at(bed, INTERNET, udp(A4, public, 9), A, 0.05)
    assert seen_at(bed, A, udp(public, EIP_A, 9), INTERNET, 0.05)


def test_spoofed_sources(bed: Testbed) -> None:
    """IGW-08: the internet cannot speak in the name of the VPC's own public addresses; an unmapped address gets nowhere."""
    bed.apply(world(nat={EIP_A: A4, EIP_B: B4}))
    assert not seen_at(bed, A, udp(EIP_B, EIP_A, 9), INTERNET)
    assert not seen_at(bed, A, udp(OUT, "54.10.0.99", 9), INTERNET)
    assert not seen_at(bed, A, udp(OUT, A4, 9), INTERNET)  # a private destination from outside


def test_ipv6_pool_is_public(bed: Testbed) -> None:
    """IGW-07, IGW-08: the installation's own IPv6 blocks pass both ways; other unique local addresses do not."""
    bed.apply(world())
    for address, passes in (("fd52:4946:99::1", True), ("fd52:4947::1", False), ("fe80::7", False)):
        assert bool(seen_at(bed, A, udp(address, A6, 9), INTERNET)) == passes, address
        assert bool(seen_at(bed, INTERNET, udp(A6, address, 9), A)) == passes, address


def test_moved_address_takes_effect_on_open_flows(bed: Testbed) -> None:
    """IGW-11: an Elastic IP that moves to another ENI takes existing flows along at once: stateless."""
    bed.apply(world(nat={EIP_A: A4}))
    with udp_echo(bed.guests[A], A4, 53) as at_a, udp_echo(bed.guests[B], B4, 53) as at_b:
        sock = datagram(bed.internet, OUT)
        assert asks(sock, EIP_A, 53)
        bed.apply(world(nat={EIP_A: B4}))
        assert asks(sock, EIP_A, 53)
        assert (len(at_a), len(at_b)) == (1, 1)
        bed.apply(world(nat={}))
        assert not asks(sock, EIP_A, 53)


def test_hairpin(bed: Testbed) -> None:
    """An instance reaches another one by its public address, and is seen by its own public one; E2E-L1, SG-68: a rule
    that names its group does not match then."""
    both = {EIP_A: A4, EIP_B: B4}
    bed.apply(world(nat=both))
    with udp_echo(bed.guests[B], B4, 53) as seen:
        assert asks(datagram(bed.guests[A], A4), EIP_B, 53)
        assert seen[0][0] == EIP_A
    with tcp_echo(bed.guests[B], B4, 80):
        assert alive(connect(bed.guests[A], A4, EIP_B, 80))
    bed.apply(pair([allow("all", "", "sg-a")], edge(both)))
    bed.vpc.command("conntrack", "-F")
    shots = [Shot(A, udp(A4, EIP_B, 9), B), Shot(A, udp(A4, B4, 9), B)]
    assert bed.delivered(shots) == [False, True]
    bed.apply(pair([allow("all", "", f"{EIP_A}/32")], edge(both)))
    bed.vpc.command("conntrack", "-F")
    assert bed.delivered([Shot(A, udp(A4, EIP_B, 10), B)]) == [True]


def test_gateway_traffic_is_never_from_a_group(bed: Testbed) -> None:
    """SG-68: even if the source were a member's private address, it came through the gateway (dropped there, IGW-08)."""
    bed.apply(pair([allow("all", "", "sg-a")], edge({EIP_B: B4})))
    assert not seen_at(bed, B, udp(A4, EIP_B, 9), INTERNET)


def _quoting(outer: Packet, quoted: Packet, size: int = 8) -> bytes:
    inner = frames.datagram(quoted)[: 20 + size]
    return frames.network(outer, frames.transport(outer, inner + b"RF\0\0\x12\x34"))


def _verified(body: bytes) -> tuple[str, str]:
    """Addresses of the header quoted by an ICMP error, after checking both checksums."""
    assert frames.checksum(body) == 0, "ICMP checksum"
    inner = body[8:28]
    assert frames.checksum(inner) == 0, "checksum of the quoted header"
    return socket.inet_ntoa(inner[12:16]), socket.inet_ntoa(inner[16:20])


@pytest.mark.parametrize(("kind", "code"), [(3, 4), (3, 1), (11, 0), (12, 0)])
def test_errors_are_translated_with_what_they_quote(bed: Testbed, kind: int, code: int) -> None:
    """IGW-04: an error from the internet quotes the private source, one from the guest the public destination."""
    bed.apply(world())
    for size in (8, 60):
        bed.drain()
        inward = icmp(OUT2, EIP_A, kind, code)
        bed.inject(INTERNET, _quoting(inward, udp(EIP_A, OUT, 33434), size))
        time.sleep(0.05)
        (seen,) = [s for where, s in bed.captured() if where == A and s.protocol == 1]
        assert _verified(seen.body) == (A4, OUT)
        outward = icmp(A4, OUT, kind, code)
        bed.inject(A, _quoting(outward, udp(OUT, A4, 9), size))
        time.sleep(0.05)
        (seen,) = [s for where, s in bed.captured() if where == INTERNET and s.protocol == 1]
        assert str(seen.src) == EIP_A
        assert _verified(seen.body) == (OUT, EIP_A)


def test_path_mtu_discovery(bed: Testbed) -> None:
    """E2E-L9, IGW-09: a 1500-byte path beyond the gateway; the guest learns it from the gateway's error."""
    bed.apply(world())
    sock = datagram(bed.guests[A], A4)
    sock.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER = DO
    sock.connect((OUT, 9))
    sock.send(b"x" * 4000)
    deadline = time.monotonic() + 1
    mtu = 9001
    while mtu > 1500 and time.monotonic() < deadline:
        mtu = struct.unpack("i", sock.getsockopt(socket.IPPROTO_IP, 14, 4))[0]  # IP_MTU
        time.sleep(0.02)
    assert mtu == 1500


def test_ipv6_echo(bed: Testbed) -> None:
    """IGW-07 for ICMPv6, whose checksum covers the addresses."""
    bed.apply(world())
    assert seen_at(bed, INTERNET, icmp6(A6, OUT6), A)
