"""Network ACLs on real packets: ACL-29..45. Every table runs with few entries (in order) and with many (flattened)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ringfence.dataplane.nftables.render import LINEAR
from ringfence.policy.ir import AclEntry
from ringfence.policy.packet import Packet
from tests.kernel import frames
from tests.kernel.streams import alive, connect, tcp_echo
from tests.kernel.testbed import Shot, Testbed
from tests.kernel.worlds import (
    A4,
    A6,
    B4,
    B6,
    A,
    B,
    acl,
    allow,
    eni,
    entry,
    icmp,
    icmp6,
    other,
    pair,
    subnet,
    tcp,
    udp,
)

pytestmark = pytest.mark.netns
OPEN = [allow(), allow(peer="::/0")]
#: never matches a packet of the tables below, but makes the ACL long
PADDING = [
    entry(n, "deny" if n % 2 else "allow", "tcp", str(n), f"192.0.2.{n % 200}/32") for n in range(20000, 20000 + LINEAR)
]
PADDING6 = [entry(n + 100, "deny", "udp", str(n), f"2001:db8:f::{n % 200}/128") for n in range(20000, 20000 + LINEAR)]


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(pair(), answering=False) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(bed: Testbed) -> None:
    bed.vpc.command("conntrack", "-F")


ALL = entry(100, "allow")
TABLE: list[tuple[str, list[AclEntry], Packet, bool]] = [
    ("ACL-30 nothing matches", [], tcp(A4, B4, 80), False),
    ("ACL-29 first match allows", [entry(1, "allow", "tcp", "80"), entry(2, "deny", "tcp", "80")], tcp(A4, B4, 80), True),
    ("ACL-29 first match denies", [entry(1, "deny", "tcp", "80"), entry(2, "allow", "tcp", "80")], tcp(A4, B4, 80), False),
    ("ACL-35 subset denied", [entry(90, "deny", "tcp", "3389"), entry(100, "allow", "tcp", "1024-65535")],
     tcp(A4, B4, 3389), False),
    ("ACL-35 the rest allowed", [entry(90, "deny", "tcp", "3389"), entry(100, "allow", "tcp", "1024-65535")],
     tcp(A4, B4, 3390), True),
    ("ACL-41 443 by 110", [entry(100, "allow", "tcp", "80"), entry(110, "allow", "tcp", "443")], tcp(A4, B4, 443), True),
    ("ACL-41 139 falls to the end", [entry(100, "allow", "tcp", "80"), entry(110, "allow", "tcp", "443")],
     tcp(A4, B4, 139), False),
    ("ACL-33 IPv4 entry, IPv6 packet", [ALL], tcp(A6, B6, 80), False),
    ("ACL-33 IPv6 entry", [entry(1, "allow", peer="::/0")], tcp(A6, B6, 80), True),
    ("ACL-33 IPv6 entry, IPv4 packet", [entry(1, "allow", peer="::/0")], tcp(A4, B4, 80), False),
    ("ACL-34 source port is not looked at", [entry(1, "allow", "tcp", "80")], tcp(A4, B4, 81, sport=80), False),
    ("ACL-14 all protocols", [ALL], other(A4, B4, 99), True),
    ("ACL-14 a number", [entry(1, "allow", 99)], other(A4, B4, 99), True),
    ("ACL-14 another number", [entry(1, "allow", 99)], other(A4, B4, 98), False),
    ("protocol is compared", [entry(1, "allow", "udp", "80")], tcp(A4, B4, 80), False),
    ("block is compared", [entry(1, "deny", "tcp", "80", "10.0.1.10/32"), ALL], tcp(A4, B4, 80), False),
    ("other block", [entry(1, "deny", "tcp", "80", "10.0.1.11/32"), ALL], tcp(A4, B4, 80), True),
    ("nested blocks, outer first", [entry(1, "allow", "all", "", "10.0.0.0/8"), entry(2, "deny", "all", "", "10.0.1.0/24")],
     tcp(A4, B4, 80), True),
    ("nested blocks, inner first", [entry(1, "deny", "all", "", "10.0.1.0/24"), entry(2, "allow", "all", "", "10.0.0.0/8")],
     tcp(A4, B4, 80), False),
    ("icmp type", [entry(1, "allow", "icmp", icmp=(8, None))], icmp(A4, B4), True),
    ("icmp other type", [entry(1, "allow", "icmp", icmp=(8, None))], icmp(A4, B4, 13), False),
    ("icmp code", [entry(1, "allow", "icmp", icmp=(3, 4))], icmp(A4, B4, 3, 4), True),
    ("icmp other code", [entry(1, "allow", "icmp", icmp=(3, 4))], icmp(A4, B4, 3, 3), False),
    ("ACL-42 icmp denied, rest open", [entry(1, "deny", "icmp", icmp=(3, 4)), ALL], icmp(A4, B4, 3, 4), False),
    ("icmp code denied, type open", [entry(1, "deny", "icmp", icmp=(3, 4)), entry(2, "allow", "icmp", icmp=(3, None))],
     icmp(A4, B4, 3, 5), True),
    ("icmpv6", [entry(1, "allow", "icmpv6", peer="::/0", icmp=(128, 0))], icmp6(A6, B6), True),
    ("tcp open, icmp not", [entry(1, "allow", "tcp", "0-65535")], icmp(A4, B4), False),
    ("tcp open, protocol 99 not", [entry(1, "allow", "tcp", "0-65535")], other(A4, B4, 99), False),
    ("tcp denied, rest open: udp", [entry(1, "deny", "tcp", "0-65535"), ALL], udp(A4, B4, 80), True),
]  # fmt: skip
IDS = [row[0] for row in TABLE]


@pytest.mark.parametrize("flattened", [False, True], ids=["in-order", "flattened"])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
@pytest.mark.parametrize(("entries", "packet", "expected"), [row[1:] for row in TABLE], ids=IDS)
def test_table(
    bed: Testbed, entries: list[AclEntry], packet: Packet, expected: bool, direction: str, flattened: bool
) -> None:
    """Inbound: B's subnet judges A's packet by source. Outbound: B's subnet judges the packet B sends to A."""
    entries = [*entries, *(PADDING + PADDING6 if flattened else [])]
    guarded = acl("acl-b", **{direction: entries})  # type: ignore[arg-type]
    bed.apply(pair(OPEN, guarded, subnet("subnet-2", 2, acl_id="acl-b"), a_rules=OPEN))
    if direction == "ingress":
        assert bed.delivered([Shot(A, packet)], 0.05) == [expected]
        return
    back = Packet(src=packet.dst, dst=packet.src, protocol=packet.protocol, sport=packet.sport, dport=packet.dport,
                  icmp_type=packet.icmp_type, icmp_code=packet.icmp_code)  # fmt: skip
    assert bed.delivered([Shot(B, back)], 0.05) == [expected]


def test_stateless(bed: Testbed) -> None:
    """ACL-31, ACL-37: each direction by its own rules; four judgements per round trip."""
    for blocked in ("acl-a ingress", "acl-a egress", "acl-b ingress", "acl-b egress", "none"):
        name, _, direction = blocked.partition(" ")
        acls = [acl(n, **({direction: []} if n == name else {})) for n in ("acl-a", "acl-b")]
        with Testbed(
            pair([allow("tcp", "80", "10.0.0.0/8")], *acls, subnet("subnet-1", 1, "acl-a"), subnet("subnet-2", 2, "acl-b"))
        ) as live, tcp_echo(live.guests[B], B4, 80):  # fmt: skip
            assert alive(connect(live.guests[A], A4, B4, 80)) == (blocked == "none"), blocked


def test_not_inside_a_subnet(bed: Testbed) -> None:
    """ACL-32, D-07: an ACL that denies everything does not stop neighbours; ACL-39: it stops all others."""
    near = eni("eni-near", 7, 1, 70, ["sg-b"])
    bed.apply(pair(OPEN, near, acl(ingress=[], egress=[])))
    shots = [Shot(A, tcp(A4, "10.0.1.70", 80), "eni-near"), Shot(A, tcp(A6, "2001:db8:1:1::70", 80), "eni-near")]
    assert bed.delivered([*shots, Shot(A, tcp(A4, B4, 80))]) == [True, True, False]


def test_change_acts_on_the_next_packet(bed: Testbed) -> None:
    """ACL-36, in every combination of short and long."""
    short, long = [ALL], [*PADDING, entry(32000, "allow")]
    deny = [entry(1, "deny", "tcp", "80")]
    for before, after in (([], deny), (deny, []), (deny, [*deny])):
        for one in (short, long):
            for other_one in (short, long):
                bed.vpc.command("conntrack", "-F")
                bed.apply(pair(OPEN, acl(ingress=[*before, *one])))
                assert bed.delivered([Shot(A, tcp(A4, B4, 80))], 0.05) == [not before]
                bed.apply(pair(OPEN, acl(ingress=[*after, *other_one])))
                assert bed.delivered([Shot(A, tcp(A4, B4, 80))], 0.05) == [not after]


# --- fragments (ACL-45, docs/fragments.md) -------------------------------------------------------------------------------


def _fragments(packet: Packet, marker: int, first: int = 24, size: int = 64) -> list[bytes]:
    """An IPv4 packet in two fragments; `first` bytes of its body go into the first."""
    body = frames.datagram(packet, marker, size=size)[20:]
    more = frames.network(packet, body[:first], ident=77, fragment=0x2000)
    rest = frames.network(packet, body[first:], ident=77, fragment=first // 8)
    return [more, rest]


@pytest.mark.parametrize(("port", "expected"), [(80, True), (81, False)])
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "last first"])
def test_fragments_are_judged_as_whole_packets(bed: Testbed, port: int, expected: bool, order: int) -> None:
    """ACL-45: ports are known for every part; a later fragment cannot bypass a port deny."""
    bed.apply(pair(OPEN, acl(ingress=[entry(1, "allow", "udp", "80")])))
    bed.drain()
    for part in _fragments(udp(A4, B4, port), 7)[::order]:
        bed.inject(A, part)
    arrived = [seen for where, seen in _after(bed) if where == B and seen.protocol == 17]
    assert bool(arrived) == expected


def test_a_later_fragment_alone_goes_nowhere(bed: Testbed) -> None:
    bed.apply(pair(OPEN))
    bed.drain()
    bed.inject(A, _fragments(udp(A4, B4, 80), 8)[1])
    assert not [seen for where, seen in _after(bed) if where == B]


def test_fragments_cannot_rewrite_the_ports(bed: Testbed) -> None:
    """Overlapping fragments: the second tries to replace the port the first was judged by. IPv6: RFC 5722, dropped."""
    bed.apply(pair(OPEN, acl(ingress=[entry(1, "allow", "udp", "80")])))
    bed.drain()
    good, bad = frames.datagram(udp(A4, B4, 80), 9, size=64)[20:], frames.datagram(udp(A4, B4, 81), 9, size=64)[20:]
    bed.inject(A, frames.network(udp(A4, B4, 80), good[:24], ident=78, fragment=0x2000))
    bed.inject(A, frames.network(udp(A4, B4, 80), bad[:24], ident=78, fragment=0x2000))
    bed.inject(A, frames.network(udp(A4, B4, 80), good[24:], ident=78, fragment=3))
    ports = {seen.dport for where, seen in _after(bed) if where == B and seen.offset == 0}
    assert ports <= {80}


def test_fragments_of_a_spoofed_source(bed: Testbed) -> None:
    """The source is checked before reassembly, on every fragment."""
    bed.apply(pair(OPEN))
    bed.drain()
    for part in _fragments(udp("10.0.1.99", B4, 80), 10):
        bed.inject(A, part)
    assert not [seen for where, seen in _after(bed) if where == B]


def _after(bed: Testbed) -> list[tuple[str, frames.Seen]]:
    time.sleep(0.1)
    return list(bed.captured())
