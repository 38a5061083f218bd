"""DHCPv6 and router advertisements: what is told whom (UF-02, UF-07, NET-12, RFC 8415, RFC 4861), on real links (INF-11)."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.dataplane import leases
from ringfence.dataplane.nftables.render import link_local
from ringfence.dataplane.services import advertise, dhcp6
from ringfence.dataplane.services.advertise import Advertiser
from ringfence.dataplane.services.dhcp import DhcpServer
from ringfence.dataplane.services.dhcp6 import (
    ADVERTISE,
    CONFIRM,
    DECLINE,
    INFORMATION,
    REBIND,
    RELEASE,
    RENEW,
    REPLY,
    REQUEST,
    SOLICIT,
    Dhcp6Server,
    Lease6,
)
from ringfence.dataplane.services.dns import DnsServer
from ringfence.dataplane.services.imds import ImdsServer, Tokens
from ringfence.dataplane.services.ntp import NtpServer
from ringfence.dataplane.topology import TopologyError
from ringfence.policy.ir import Interface
from ringfence.policy.packet import Packet
from tests.kernel import frames
from tests.kernel.testbed import Testbed
from tests.kernel.worlds import A, B, acl, allow, pair

OWN, SECOND, OTHER = (IPv6Address(f"2001:db8:1234:1a00::{n}") for n in (10, 11, 99))
OPTIONS = (
    ("domain-name", ("ec2.internal",)),
    ("domain-name-servers", ("10.0.0.2", "fd00:ec2::253")),
    ("ntp-servers", ("169.254.169.123", "fd00:ec2::123")),
)
LEASE = Lease6((OWN, SECOND), OPTIONS)
ME, TRANSACTION = b"\0\3\0\1\2\0\0\0\0\1", b"abc"
SERVER = dhcp6.IDENTITY
Options = list[tuple[int, bytes]]


def pack(options: Options) -> bytes:
    return b"".join(struct.pack(">HH", code, len(body)) + body for code, body in options)


def ia(number: int, *addresses: IPv6Address, kind: int = 3) -> tuple[int, bytes]:
    inner: Options = [(5, a.packed + struct.pack(">II", 1, 2)) for a in addresses]
    return kind, struct.pack(">I", number) + (b"" if kind == 4 else bytes(8)) + pack(inner)


def question(kind: int, *more: tuple[int, bytes], client: bytes | None = ME, server: bytes | None = None) -> bytes:
    named: Options = [(1, client)] if client is not None else []
    named += [(2, server)] if server is not None else []
    return bytes((kind,)) + TRANSACTION + pack([*named, *more])


def unpack(data: bytes) -> Options:
    """By hand, not by the server's own reader."""
    out, at = [], 0
    while at < len(data):
        code, length = struct.unpack_from(">HH", data, at)
        out.append((code, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return out


def asked(data: bytes, lease: Lease6 = LEASE) -> tuple[int, Options] | None:
    message = dhcp6.parse(data)
    reply = dhcp6.answer(message, lease) if message else None
    if reply is None:
        return None
    assert reply[1:4] == TRANSACTION
    return reply[0], unpack(reply[4:])


def given_in(association: bytes) -> list[tuple[str, int]]:
    """(address, valid seconds) of an IA_NA; ("status", code) for a status."""
    out = []
    for code, body in unpack(association[12:]):
        out.append((str(IPv6Address(body[:16])), struct.unpack(">I", body[20:24])[0]) if code == 5
                   else ("status", struct.unpack(">H", body[:2])[0]))  # fmt: skip
    return out


def test_uf_02_an_interface_is_told_its_addresses_and_its_vpcs_options() -> None:
    found = asked(question(SOLICIT, ia(7), ia(8), ia(9)))
    assert found is not None
    kind, options = found
    assert kind == ADVERTISE
    assert options[:2] == [(2, SERVER), (1, ME)]
    bindings = [body for code, body in options if code == 3]
    assert [body[:12] for body in bindings] == [struct.pack(">III", n, 70, 112) for n in (7, 8, 9)]
    assert [given_in(body) for body in bindings] == [[(str(OWN), 450)], [(str(SECOND), 450)], [("status", 2)]]
    assert dict(options)[23] == IPv6Address("fd00:ec2::253").packed
    assert dict(options)[24] == b"\3ec2\x08internal\0"
    assert dict(options)[56] == b"\0\1\0\x10" + IPv6Address("fd00:ec2::123").packed


@pytest.mark.parametrize(
    ("data", "kind", "addresses"),
    [
        (question(SOLICIT, ia(1), (14, b"")), REPLY, [(str(OWN), 450)]),  # rapid commit
        (question(SOLICIT, ia(1, OTHER)), ADVERTISE, [(str(OWN), 450)]),
        (question(REQUEST, ia(1, OWN), server=SERVER), REPLY, [(str(OWN), 450)]),
        (question(REQUEST, ia(1, OTHER), server=SERVER), REPLY, [(str(OWN), 450), (str(OTHER), 0)]),
        (question(RENEW, ia(1, OWN), server=SERVER), REPLY, [(str(OWN), 450)]),
        (question(REBIND, ia(1, OTHER)), REPLY, [(str(OWN), 450), (str(OTHER), 0)]),
        (question(CONFIRM, ia(1, OWN)), REPLY, 0),
        (question(CONFIRM, ia(1, OWN), ia(2, OTHER)), REPLY, 4),  # not on this link
        (question(CONFIRM, ia(1)), None, None),
        (question(RELEASE, ia(1, OWN), server=SERVER), REPLY, 0),
        (question(DECLINE, ia(1, OWN), server=SERVER), REPLY, 0),
        (question(INFORMATION), REPLY, None),
        (question(INFORMATION, client=None), REPLY, None),
        (question(SOLICIT, ia(1), client=None), None, None),
        (question(SOLICIT, ia(1), server=SERVER), None, None),
        (question(REQUEST, ia(1)), None, None),
        (question(REQUEST, ia(1), server=b"\0\3\0\1" + bytes(6)), None, None),  # it chose another server
        (question(RENEW, ia(1, OWN)), None, None),
        (question(ADVERTISE, ia(1)), None, None),
        (question(REPLY, ia(1)), None, None),
        (question(12, ia(1)), None, None),  # relayed
        (question(SOLICIT, ia(1))[:-3], None, None),
        (b"\1ab", None, None),
        (b"", None, None),
    ],
)
def test_what_is_answered(data: bytes, kind: int | None, addresses: list[tuple[str, int]] | int | None) -> None:
    found = asked(data)
    assert (found and found[0]) == kind
    options = dict(found[1]) if found else {}
    if isinstance(addresses, int):
        assert options[13] == struct.pack(">H", addresses)
        assert 3 not in options
    else:
        assert (given_in(options[3]) if 3 in options else None) == addresses


def test_only_what_a_client_wants_is_told() -> None:
    def codes(data: bytes, lease: Lease6 = LEASE) -> set[int]:
        found = asked(data, lease)
        assert found is not None
        return {code for code, _ in found[1]} - {1, 2}

    assert codes(question(INFORMATION, (6, struct.pack(">HH", 24, 99)))) == {24}
    assert codes(question(INFORMATION, (6, b""))) == set()
    assert codes(question(INFORMATION)) == {23, 24, 56}
    assert codes(question(INFORMATION), Lease6((OWN,), ())) == set()  # DNS-07
    assert codes(question(INFORMATION), Lease6((OWN,), (("domain-name-servers", ("10.0.0.2",)),))) == set()
    assert codes(question(INFORMATION), Lease6((OWN,), (("domain-name", (f"{'x' * 64}.test",)),))) == set()


def test_neither_temporary_addresses_nor_prefixes_are_given() -> None:
    found = asked(question(SOLICIT, ia(1, kind=4), ia(2, kind=25)))
    assert found is not None
    options = dict(found[1])
    assert options[4] == struct.pack(">I", 1) + pack([(13, struct.pack(">H", 2))])
    assert options[25] == struct.pack(">III", 2, 0, 0) + pack([(13, struct.pack(">H", 6))])


@given(st.sampled_from([SOLICIT, REQUEST, CONFIRM, REBIND, INFORMATION]), st.binary(max_size=300), st.booleans())
def test_no_bytes_break_it(kind: int, data: bytes, framed: bool) -> None:
    server = SERVER if kind == REQUEST else None
    message = dhcp6.parse(question(kind, (3, data), server=server) + data if framed else data)
    if message is not None:
        dhcp6.answer(message, LEASE)


def test_an_advertisement_says_managed_and_names_no_prefix() -> None:
    """RFC 4861, section 4.2: type, code, flags M and O, half an hour; one option: the MTU."""
    said = advertise.advertisement(9001)
    assert (said[0], said[1], said[5]) == (134, 0, 0xC0)
    assert struct.unpack(">H", said[6:8]) == (1800,)
    assert said[16:] == struct.pack(">BBHI", 5, 1, 0, 9001)


# ---------------------------------------------------------------------- on real links
ROUTER = "fe80::1"


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    """Two interfaces whose groups and network ACLs let nothing through, and the VPC's DHCPv6 server and router."""
    with Testbed(pair([], acl(ingress=[], egress=[]), a_egress=[])) as made:
        leases = {"e1": LEASE, "e2": replace(LEASE, addresses=(OTHER,))}
        server = made.vpc.run(lambda: Dhcp6Server(made.vpc.fd, leases.get))
        for link in leases:
            server.join(link)
        router = made.vpc.run(lambda: Advertiser(made.vpc.fd, lambda: ["e1"], 9001))
        yield made
        server.close()
        router.close()


@contextmanager
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        sock.bind(("::", 546))
        yield sock


def ask(bed: Testbed, place: str, data: bytes, *, to: str = "ff02::1:2") -> tuple[str, Options] | None:
    """A question from a guest's own stack; (who answered, its options)."""

    def exchange() -> tuple[str, Options] | None:
        with client() as sock:
            sock.sendto(data, (to, 547, 0, socket.if_nametoindex("eth0")))
            try:
                reply, peer = sock.recvfrom(2048)
            except TimeoutError:
                return None
            return peer[0].partition("%")[0], unpack(reply[4:])

    return bed.guests[place].run(exchange)


@pytest.mark.netns
def test_uf_02_a_guest_gets_its_address_through_closed_groups_and_acls(bed: Testbed) -> None:
    """Solicit, Advertise, Request, Reply; each link its own address; nothing in the connection tables."""
    bed.vpc.command("conntrack", "-F")
    for place, address in ((A, OWN), (B, OTHER)):
        offered = ask(bed, place, question(SOLICIT, ia(1)))
        assert offered is not None
        assert offered[0] == ROUTER
        server = dict(offered[1])[2]
        granted = ask(bed, place, question(REQUEST, ia(1, address), server=server))
        assert granted is not None
        assert given_in(dict(granted[1])[3]) == [(str(address), 450)]
    assert bed.connections() == []


@pytest.mark.netns
def test_questions_to_one_server_alone_are_not_heard(bed: Testbed) -> None:
    """RFC 8415, section 16: clients ask all servers. The router takes nothing else on its link-local addresses."""
    assert ask(bed, A, question(SOLICIT, ia(1)), to=ROUTER) is None


@pytest.mark.netns
def test_a_link_that_was_left_is_not_heard_until_it_is_joined_again() -> None:
    with Testbed(pair([])) as other:
        server = other.vpc.run(lambda: Dhcp6Server(other.vpc.fd, {"e1": LEASE}.get))
        assert ask(other, A, question(SOLICIT, ia(1))) is None
        server.join("e1")
        server.join("e1")
        assert ask(other, A, question(SOLICIT, ia(1))) is not None
        server.leave("e1")
        assert ask(other, A, question(SOLICIT, ia(1))) is None
        server.join("e1")
        assert ask(other, A, question(SOLICIT, ia(1))) is not None
        server.close()


def test_a_guest_that_takes_its_link_away_meanwhile_is_its_own_trouble() -> None:
    """What a guest does to its interface is told as such: its interface is plugged in anew, or stays unplugged."""
    eni = next(part for part in pair([]) if isinstance(part, Interface))

    class Gone:
        def join(self, link: str) -> None:
            raise OSError(19, f"no such device: {link}")

    with pytest.raises(TopologyError, match="its link is gone"):
        leases.listen6(cast(Any, SimpleNamespace(dhcp6=Gone())), eni)


@pytest.mark.netns
def test_nothing_waits_on_a_service_that_was_closed() -> None:
    """A thread in a system call would hold its network namespace for ever."""
    before = threading.active_count()
    with Testbed(pair([])) as made:
        kinds: tuple[Callable[[], Any], ...] = (
            lambda: Dhcp6Server(made.vpc.fd, lambda _: None), lambda: DhcpServer(made.vpc.fd, lambda _: None),
            NtpServer, lambda: DnsServer(lambda: None), lambda: Advertiser(made.vpc.fd, lambda: (), 1500),
            lambda: ImdsServer(lambda _: None, Tokens(), lambda _id, _version: {}),
        )  # fmt: skip
        services = [made.vpc.run(kind) for kind in kinds]
        assert threading.active_count() > before + 5
        for service in services:
            service.close()
        deadline = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert threading.active_count() <= before


def solicit(place: str, bed: Testbed) -> tuple[str, int, bytes] | None:
    """A router solicitation from a guest; (who advertised, its hop limit, what it said)."""

    def exchange() -> tuple[str, int, bytes] | None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            sock.settimeout(1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            sock.sendto(struct.pack(">BBHI", 133, 0, 0, 0), ("ff02::2", 0, 0, socket.if_nametoindex("eth0")))
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                try:
                    data, ancillary, _, peer = sock.recvmsg(2048, 256)
                except TimeoutError:
                    return None
                if data[0] == 134:
                    hops = next(
                        struct.unpack("@i", body)[0] for _, kind, body in ancillary if kind == socket.IPV6_HOPLIMIT
                    )
                    return peer[0].partition("%")[0], hops, data
            return None

    return bed.guests[place].run(exchange)


@pytest.mark.netns
def test_uf_07_a_guest_finds_its_router_through_closed_groups_and_acls(bed: Testbed) -> None:
    """On links of subnets with IPv6, and no others."""
    found = solicit(A, bed)
    assert found is not None
    assert (found[0], found[1]) == (ROUTER, 255)
    assert (found[2][5], found[2][6:8]) == (0xC0, struct.pack(">H", 1800))
    assert solicit(B, bed) is None


@pytest.mark.netns
def test_a_guest_that_trusts_advertisements_has_the_default_route(bed: Testbed) -> None:
    """The guest's own kernel: accept_ra, no route; then one by fe80::1."""
    guest = bed.guests[A]
    guest.command("ip", "-6", "route", "del", "default")
    guest.set(ipv6__conf__eth0__accept_ra=2)
    try:
        solicit(A, bed)
        deadline = time.monotonic() + 3
        while "via fe80::1" not in guest.command("ip", "-6", "route") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "default via fe80::1 dev eth0 proto ra" in guest.command("ip", "-6", "route")
    finally:
        guest.set(ipv6__conf__eth0__accept_ra=0)
        guest.command("ip", "-6", "route", "flush", "default", check=False)
        guest.command("ip", "-6", "route", "replace", "default", "via", "fe80::1", "dev", "eth0")


@pytest.mark.netns
@pytest.mark.parametrize("hop", ["fe80::1", "fe80:ec2::1"])
def test_net_12_the_router_answers_on_its_link_local_addresses(hop: str) -> None:
    """Neighbour discovery for both, and packets sent to either are forwarded."""
    with Testbed(pair([allow("udp", peer="::/0")])) as open_:
        there = open_.current["Interface", B]
        assert isinstance(there, Interface)
        guest = open_.guests[A]
        guest.command("ip", "-6", "route", "replace", "default", "via", hop, "dev", "eth0", "onlink")

        def receive() -> socket.socket:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sock.bind(("::", 7000))
            sock.settimeout(3)
            return sock

        def say() -> None:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", (str(there.ipv6[0]), 7000))

        with open_.guests[B].run(receive) as sock:
            guest.run(say)
            assert sock.recv(10) == b"x"


@pytest.mark.netns
@pytest.mark.parametrize("destination", ["ff02::1", "ff02::1:2", "neighbour", "its link-local"])
@pytest.mark.parametrize("source", ["own link-local", "router", "own"])
def test_inf_11_a_guest_is_nobodys_router_nor_dhcpv6_server(bed: Testbed, source: str, destination: str) -> None:
    """Neither advertisements nor answers nor other clients' questions pass from a guest to another."""
    mine, theirs = (bed.current["Interface", place] for place in (A, B))
    assert isinstance(mine, Interface)
    assert isinstance(theirs, Interface)
    src = {"own link-local": link_local(mine.mac), "router": IPv6Address(ROUTER), "own": mine.ipv6[0]}[source]
    named = {"neighbour": theirs.ipv6[0], "its link-local": link_local(theirs.mac)}
    dst = named[destination] if destination in named else IPv6Address(destination)
    reply = dhcp6.answer(dhcp6.Message(SOLICIT, TRANSACTION, ((1, ME),)), LEASE)
    assert reply is not None
    bed.drain()
    for sport, dport, data in ((547, 546, reply), (546, 547, question(SOLICIT, ia(1)))):
        udp = Packet(src=src, dst=dst, protocol=17, sport=sport, dport=dport)
        bed.inject(A, frames.network(udp, frames.transport(udp, data), ttl=255))
    said = advertise.advertisement(1280)
    body = said[:2] + struct.pack(">H", 0) + said[4:]
    pseudo = src.packed + dst.packed + struct.pack(">II", len(body), 58)
    body = body[:2] + struct.pack(">H", frames.checksum(pseudo + body)) + body[4:]
    icmp = Packet(src=src, dst=dst, protocol=58, icmp_type=134, icmp_code=0)
    bed.inject(A, frames.network(icmp, body, ttl=255))
    time.sleep(0.2)
    assert [seen for where, seen in bed.captured() if where == B and (seen.protocol == 17 or seen.body[0] == 134)] == []
