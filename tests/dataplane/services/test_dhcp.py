"""The VPC's DHCP server: what it tells whom (UF-02, DNS-04..07, RFC 2131 section 4.3), on real links (INF-11)."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.dataplane.services import dhcp
from ringfence.dataplane.services.dhcp import ACK, DISCOVER, INFORM, NAK, OFFER, REQUEST, DhcpServer, Lease
from ringfence.policy.packet import Packet
from tests.kernel import frames
from tests.kernel.testbed import Testbed
from tests.kernel.worlds import A, B, acl, pair

MAC = "02:00:00:00:00:01"
OPTIONS = (
    ("domain-name", ("ec2.internal",)),
    ("domain-name-servers", ("10.0.0.2", "fd00:ec2::253")),
    ("ntp-servers", ("169.254.169.123", "fd00:ec2::123")),
    ("netbios-name-servers", ("10.0.0.9", "10.0.0.10")),
    ("netbios-node-type", ("2",)),
)
LEASE = Lease(MAC, IPv4Address("10.0.1.10"), IPv4Network("10.0.1.0/24"), "ip-10-0-1-10", 9001, OPTIONS)
NOBODY, EVERYONE = IPv4Address(0), IPv4Address("255.255.255.255")
ROUTER, OWN, OTHER = "10.0.1.1", "10.0.1.10", "10.0.1.11"


def question(
    kind: int, *, mac: str = MAC, client: str = "0.0.0.0", requested: str = "", server: str = "", flags: int = 0,
    extra: bytes = b"", op: int = 1, relay: str = "0.0.0.0",
) -> bytes:  # fmt: skip
    options = bytes((53, 1, kind))
    for tag, value in ((50, requested), (54, server)):
        options += bytes((tag, 4)) + socket.inet_aton(value) if value else b""
    fixed = struct.pack(">BBBBIHH", op, 1, 6, 0, 77, 0, flags) + socket.inet_aton(client) + bytes(8)
    fixed += socket.inet_aton(relay) + bytes.fromhex(mac.replace(":", "")).ljust(16, b"\0") + bytes(192)
    return fixed + b"\x63\x82\x53\x63" + options + extra + b"\xff"


def asked(data: bytes, lease: Lease = LEASE) -> tuple[IPv4Address, dict[int, bytes]] | None:
    """(yiaddr, options) of the answer."""
    message = dhcp.parse(data)
    reply = dhcp.answer(message, lease) if message else None
    return None if reply is None else read(reply)


def read(reply: bytes) -> tuple[IPv4Address, dict[int, bytes]]:
    """By hand, not by the server's own reader."""
    assert reply[0] == 2
    assert reply[4:8] == struct.pack(">I", 77)
    assert reply[236:240] == b"\x63\x82\x53\x63"
    options, at = {}, 240
    while reply[at] != 255:
        options[reply[at]] = reply[at + 2 : at + 2 + reply[at + 1]]
        at += 2 + reply[at + 1]
    return IPv4Address(reply[16:20]), options


def test_an_interface_is_told_its_address_and_its_vpcs_options() -> None:
    """UF-02, DNS-05: every option AWS has, IPv6 servers left out."""
    found = asked(question(DISCOVER))
    assert found is not None
    address, options = found
    ip = socket.inet_aton
    assert address == LEASE.address
    assert options == {
        53: bytes((OFFER,)), 54: ip(ROUTER), 51: struct.pack(">I", 3600), 58: struct.pack(">I", 1800),
        59: struct.pack(">I", 3150), 1: ip("255.255.255.0"), 3: ip(ROUTER), 6: ip("10.0.0.2"), 15: b"ec2.internal",
        12: b"ip-10-0-1-10", 26: struct.pack(">H", 9001), 28: ip("10.0.1.255"), 42: ip("169.254.169.123"),
        44: ip("10.0.0.9") + ip("10.0.0.10"), 46: b"\2",
    }  # fmt: skip


def test_dns_07_without_options_no_resolver_is_told() -> None:
    found = asked(question(DISCOVER), replace(LEASE, options=()))
    assert found is not None
    assert not {6, 15, 42, 44, 46} & found[1].keys()
    assert {1, 3, 51} <= found[1].keys()


@pytest.mark.parametrize(
    ("data", "kind", "address"),
    [
        (question(DISCOVER), OFFER, OWN),
        (question(DISCOVER, requested=OTHER), OFFER, OWN),
        (question(REQUEST, requested=OWN, server=ROUTER), ACK, OWN),
        (question(REQUEST, requested=OWN), ACK, OWN),  # after a restart
        (question(REQUEST, client=OWN), ACK, OWN),  # renewing
        (question(REQUEST, requested=OTHER, server=ROUTER), NAK, "0.0.0.0"),
        (question(REQUEST, client=OTHER), NAK, "0.0.0.0"),
        (question(REQUEST), NAK, "0.0.0.0"),
        (question(INFORM, client=OWN), ACK, "0.0.0.0"),
        (question(REQUEST, requested=OWN, server="10.0.1.66"), None, None),  # it chose another server
        (question(INFORM, client=OTHER), None, None),
        (question(DISCOVER, mac="02:00:00:00:00:02"), None, None),
        (question(4), None, None),  # decline
        (question(7, client=OWN), None, None),  # release
        (question(OFFER), None, None),
        (question(DISCOVER, op=2), None, None),
        (question(DISCOVER, relay="10.0.1.66"), None, None),
        (question(DISCOVER)[:250], OFFER, OWN),  # only the options' end is cut off
        (question(DISCOVER)[:240], None, None),
        (question(DISCOVER)[:100], None, None),
        (b"", None, None),
    ],
)
def test_what_is_answered(data: bytes, kind: int | None, address: str | None) -> None:
    found = asked(data)
    assert (found and (found[1][53][0], str(found[0]))) == (kind and (kind, address))
    if kind == NAK:
        assert found is not None
        assert found[1].keys() == {53, 54}


@pytest.mark.parametrize(
    ("data", "to"),
    [(question(DISCOVER), OWN), (question(DISCOVER, flags=0x8000), str(EVERYONE)), (question(REQUEST, client=OWN), OWN),
     (question(REQUEST, client=OTHER), str(EVERYONE)), (question(INFORM, client=OWN), OWN)],
)  # fmt: skip
def test_where_answers_go(data: bytes, to: str) -> None:
    message = dhcp.parse(data)
    assert message is not None
    reply = dhcp.answer(message, LEASE)
    assert reply is not None
    assert str(dhcp.back(message, LEASE, reply)) == to


@pytest.mark.parametrize("largest", [None, 0, 300, 576, 700, 1500, 65535])
def test_answers_are_no_larger_than_the_client_takes(largest: int | None) -> None:
    """RFC 2132, section 9.10: never more than 576 bytes unasked; what there is no room for is left out, not cut."""
    long = replace(LEASE, options=(("domain-name", ("d" * 250,)), ("netbios-name-servers", ("10.0.0.9",) * 60)))
    extra = b"" if largest is None else bytes((57, 2)) + struct.pack(">H", largest)
    message = dhcp.parse(question(DISCOVER, extra=extra))
    assert message is not None
    reply = dhcp.answer(message, long)
    assert reply is not None
    assert len(reply) + 28 <= min(max(576, largest or 0), 1500)
    assert {1, 3, 51, 53, 54} <= read(reply)[1].keys()


@given(st.binary(max_size=600), st.booleans())
def test_no_bytes_break_it(data: bytes, framed: bool) -> None:
    message = dhcp.parse(question(DISCOVER)[:240] + data if framed else data)
    if message is not None:
        dhcp.answer(message, LEASE)


# ---------------------------------------------------------------------- on real links
@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    """Two interfaces whose groups and network ACLs let nothing through, and the VPC's DHCP server."""
    closed = pair([], acl(ingress=[], egress=[]), a_egress=[])
    with Testbed(closed) as made:
        leases = {"e1": LEASE, "e2": replace(LEASE, mac="02:00:00:00:00:02", address=IPv4Address("10.0.2.10"),
                                             subnet=IPv4Network("10.0.2.0/24"))}  # fmt: skip
        server = made.vpc.run(lambda: DhcpServer(made.vpc.fd, leases.get))
        yield made
        server.close()


def sent(bed: Testbed, data: bytes, *, source: str = "0.0.0.0", destination: str = "255.255.255.255", mac: str = MAC,
         sport: int = 68, dport: int = 67, place: str = A) -> list[tuple[str, frames.Seen]]:  # fmt: skip
    """Send a datagram as a broadcast frame; whatever arrives at any interface."""
    bed.drain()
    packet = Packet(src=IPv4Address(source), dst=IPv4Address(destination), protocol=17, sport=sport, dport=dport)
    body = frames.network(packet, frames.transport(packet, data))
    bed._raw[place].send(frames.ethernet("ff:ff:ff:ff:ff:ff", mac, body))
    time.sleep(0.15)
    return [(where, seen) for where, seen in bed.captured() if seen.protocol == 17]


@pytest.mark.netns
def test_uf_02_a_client_without_address_gets_one_through_closed_groups_and_acls(bed: Testbed) -> None:
    """DISCOVER, OFFER, REQUEST, ACK; nothing of it at the neighbour, nothing in the connection table."""
    bed.vpc.command("conntrack", "-F")
    offered = sent(bed, question(DISCOVER, flags=0x8000))
    assert [(where, str(seen.src), str(seen.dst), seen.dport) for where, seen in offered] == [
        (A, ROUTER, "255.255.255.255", 68)
    ]
    address, options = read(offered[0][1].body[8:])
    granted = sent(bed, question(REQUEST, requested=str(address), server=socket.inet_ntoa(options[54])))
    assert [(where, str(seen.src), str(seen.dst)) for where, seen in granted] == [(A, ROUTER, OWN)]
    assert read(granted[0][1].body[8:])[1][53] == bytes((ACK,))
    renewed = sent(bed, question(REQUEST, client=OWN), source=OWN, destination=ROUTER)
    assert [read(seen.body[8:])[1][53] for _, seen in renewed] == [bytes((ACK,))]
    rebound = sent(bed, question(REQUEST, client=OWN), source=OWN)
    assert [read(seen.body[8:])[1][53] for _, seen in rebound] == [bytes((ACK,))]
    assert bed.connections() == []


@pytest.mark.netns
def test_each_link_gets_its_own(bed: Testbed) -> None:
    """A guest that gives another's MAC is told nothing."""
    assert sent(bed, question(DISCOVER, mac="02:00:00:00:00:02")) == []
    [(where, seen)] = sent(bed, question(DISCOVER, mac="02:00:00:00:00:02"), mac="02:00:00:00:00:02", place=B)
    assert (where, read(seen.body[8:])[0]) == (B, IPv4Address("10.0.2.10"))


@pytest.mark.netns
@pytest.mark.parametrize("destination", ["255.255.255.255", "10.0.2.255", "10.0.2.10"])
@pytest.mark.parametrize("source", ["0.0.0.0", OWN, ROUTER, "10.0.2.1"])
def test_inf_11_a_guest_is_nobodys_dhcp_server(bed: Testbed, source: str, destination: str) -> None:
    """Neither offers nor other clients' questions pass from a guest to another."""
    message = dhcp.parse(question(DISCOVER))
    assert message is not None
    offer = dhcp.answer(message, LEASE)
    assert offer is not None
    assert sent(bed, offer, source=source, destination=destination, sport=67, dport=68) == []
    assert [
        where for where, _ in sent(bed, question(DISCOVER), source=source, destination=destination) if where == B
    ] == []
