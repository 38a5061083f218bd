"""Security groups on real packets: SG-63..81, each row with what must and what must not arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ringfence.policy.ir import Allow, Fragment, Group, GroupMembers
from ringfence.policy.packet import Packet
from tests.kernel.testbed import Shot, Testbed
from tests.kernel.worlds import (
    A4,
    A6,
    B4,
    B6,
    A,
    B,
    allow,
    eni,
    group,
    icmp,
    icmp6,
    members,
    other,
    pair,
    tcp,
    udp,
)

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(pair(), answering=False) as made:
        yield made


def arrives(bed: Testbed, *packets: Packet, source: str = A, to: str = B) -> list[bool]:
    return bed.delivered([Shot(source, packet, to) for packet in packets])


TABLE: list[tuple[str, list[Allow], Packet, bool]] = [
    ("SG-63 no rule", [], tcp(A4, B4, 80), False),
    ("SG-33 tcp port", [allow("tcp", "80", "10.0.0.0/8")], tcp(A4, B4, 80), True),
    ("SG-33 other tcp port", [allow("tcp", "80", "10.0.0.0/8")], tcp(A4, B4, 81), False),
    ("SG-33 other protocol", [allow("tcp", "80", "10.0.0.0/8")], udp(A4, B4, 80), False),
    ("SG-33 range, first", [allow("tcp", "80-90", "10.0.0.0/8")], tcp(A4, B4, 80), True),
    ("SG-33 range, last", [allow("tcp", "80-90", "10.0.0.0/8")], tcp(A4, B4, 90), True),
    ("SG-33 range, beyond", [allow("tcp", "80-90", "10.0.0.0/8")], tcp(A4, B4, 91), False),
    ("SG-33 block edge, last address", [allow("tcp", "80", "10.0.1.0/28"), allow("tcp", "80", "10.0.1.10/32")],
     tcp(A4, B4, 80), True),
    ("SG-33 other block", [allow("tcp", "80", "10.0.3.0/24")], tcp(A4, B4, 80), False),
    ("SG-33 host block", [allow("tcp", "80", "10.0.1.10/32")], tcp(A4, B4, 80), True),
    ("SG-33 next host", [allow("tcp", "80", "10.0.1.11/32")], tcp(A4, B4, 80), False),
    ("SG-73 source port is not looked at", [allow("tcp", "80", "10.0.0.0/8")], tcp(A4, B4, 99, sport=80), False),
    ("SG-75 IPv4 rule, IPv6 packet", [allow("tcp", "80", "0.0.0.0/0")], tcp(A6, B6, 80), False),
    ("SG-75 IPv6 rule, IPv4 packet", [allow("tcp", "80", "::/0")], tcp(A4, B4, 80), False),
    ("SG-75 IPv6 rule, IPv6 packet", [allow("tcp", "80", "::/0")], tcp(A6, B6, 80), True),
    ("SG-40 all protocols", [allow("all", "", "10.0.0.0/8")], other(A4, B4, 50), True),
    ("SG-40 all protocols, udp", [allow("all", "", "10.0.0.0/8")], udp(A4, B4, 9), True),
    ("SG-40 protocol 50", [allow(50, "", "10.0.0.0/8")], other(A4, B4, 50), True),
    ("SG-40 protocol 50, packet 51", [allow(50, "", "10.0.0.0/8")], other(A4, B4, 47), False),
    ("SG-42 icmp all", [allow("icmp", "", "10.0.0.0/8")], icmp(A4, B4), True),
    ("SG-42 icmp echo", [allow("icmp", "", "10.0.0.0/8", icmp=(8, 0))], icmp(A4, B4, 8), True),
    ("SG-42 icmp echo rule, timestamp", [allow("icmp", "", "10.0.0.0/8", icmp=(8, None))], icmp(A4, B4, 13), False),
    ("SG-42 icmp code", [allow("icmp", "", "10.0.0.0/8", icmp=(8, 0))], icmp(A4, B4, 8, 1), False),
    ("SG-42 any code", [allow("icmp", "", "10.0.0.0/8", icmp=(8, None))], icmp(A4, B4, 8, 1), True),
    ("SG-42 icmp rule, tcp", [allow("icmp", "", "10.0.0.0/8", icmp=(0, 80))], tcp(A4, B4, 80), False),
    ("icmpv6 echo", [allow("icmpv6", "", "::/0", icmp=(128, None))], icmp6(A6, B6), True),
    ("icmpv6 echo rule, icmp packet", [allow("icmpv6", "", "::/0")], icmp(A4, B4), False),
    ("SG-80 unsolicited frag-needed", [allow("tcp", "80", "10.0.0.0/8")], icmp(A4, B4, 3, 4), False),
    ("SG-80 with a rule", [allow("icmp", "", "10.0.0.0/8", icmp=(3, 4))], icmp(A4, B4, 3, 4), True),
    ("SG-67 group", [allow("tcp", "80", "sg-a")], tcp(A4, B4, 80), True),
    ("SG-67 group, IPv6", [allow("tcp", "80", "sg-a")], tcp(A6, B6, 80), True),
    ("SG-67 group, other port", [allow("tcp", "80", "sg-a")], tcp(A4, B4, 81), False),
    ("SG-67 group, all", [allow("all", "", "sg-a")], other(A4, B4, 50), True),
    ("SG-67 group, icmp type", [allow("icmp", "", "sg-a", icmp=(8, None))], icmp(A4, B4), True),
    ("SG-67 group, other icmp type", [allow("icmp", "", "sg-a", icmp=(8, None))], icmp(A4, B4, 13), False),
    ("SG-67 A is not in sg-b", [allow("tcp", "80", "sg-b")], tcp(A4, B4, 80), False),
    ("SG-65 union of overlapping rules", [allow("tcp", "80-90", "10.0.0.0/8"), allow("tcp", "85-95", "10.0.1.0/24")],
     tcp(A4, B4, 94), True),
    ("SG-65 union, the wider one", [allow("tcp", "80-90", "10.0.0.0/8"), allow("tcp", "85-95", "10.0.1.0/24")],
     tcp(A4, B4, 81), True),
    ("port 0", [allow("tcp", "0-10", "10.0.0.0/8")], tcp(A4, B4, 0, sport=1), True),
    ("port 65535", [allow("tcp", "60000-65535", "10.0.0.0/8")], tcp(A4, B4, 65535), True),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "packet", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_ingress(bed: Testbed, rules: list[Allow], packet: Packet, expected: bool) -> None:
    flush(bed)
    bed.apply(pair(rules))
    assert arrives(bed, packet) == [expected]


def flush(bed: Testbed) -> None:
    """Rows must not meet connections that an earlier row's rules admitted."""
    bed.vpc.command("conntrack", "-F")


EGRESS = [row for row in TABLE if "group" not in row[0] and "sg-b" not in row[0]]


@pytest.mark.parametrize(("rules", "packet", "expected"), [row[1:] for row in EGRESS], ids=[row[0] for row in EGRESS])
def test_egress(bed: Testbed, rules: list[Allow], packet: Packet, expected: bool) -> None:
    """The same table on the way out: from B, whose egress rules name A as the destination; A admits everything."""
    flush(bed)
    bed.apply(pair(b_egress=rules, a_rules=[allow(), allow(peer="::/0")]))
    backwards = replace(packet, src=packet.dst, dst=packet.src)
    assert arrives(bed, backwards, source=B, to=A) == [expected]


def test_egress_by_group(bed: Testbed) -> None:
    """SG-67 outbound: destination is a member."""
    flush(bed)
    everything = [allow(), allow(peer="::/0")]
    bed.apply(pair(everything, a_egress=[allow("tcp", "80", "sg-b"), allow("udp", "53", "sg-a")]))
    assert arrives(bed, tcp(A4, B4, 80), tcp(A6, B6, 80), tcp(A4, B4, 81), udp(A4, B4, 53)) == [
        True,
        True,
        False,
        False,
    ]


def test_no_egress_rule_means_no_new_connection(bed: Testbed) -> None:
    """SG-64."""
    flush(bed)
    bed.apply(pair([allow()], a_egress=[]))
    assert arrives(bed, tcp(A4, B4, 80), icmp(A4, B4)) == [False, False]


def test_same_group_is_no_permission(bed: Testbed) -> None:
    """SG-66; SG-69: a reference does not copy the referenced group's rules."""
    flush(bed)
    both = members(*[f for f in pair() if type(f).__name__ not in ("Interface", "GroupMembers")],
                   group("sg-both"), eni(A, 1, 1, 10, ["sg-both"]), eni(B, 2, 2, 10, ["sg-both"]))  # fmt: skip
    bed.apply(both)
    assert arrives(bed, tcp(A4, B4, 80)) == [False]
    own = group("sg-both", [allow("all", "", "sg-both")])
    bed.change(own)
    assert arrives(bed, tcp(A4, B4, 80), udp(A6, B6, 1), other(A4, B4, 99)) == [True, True, True]


def test_sg_70_an_associated_group_filters_like_a_group_of_the_vpc(bed: Testbed) -> None:
    """Its rules, references from it and to it, and their change and end."""
    flush(bed)

    def associated(*rules: Allow) -> list[Fragment]:
        parts = pair(rules)
        return [
            replace(part, associated=True)
            if isinstance(part, Group | GroupMembers) and part.group_id == "sg-b"
            else part
            for part in parts
        ]

    bed.apply(associated(allow("tcp", "80", "sg-a")))
    assert arrives(bed, tcp(A4, B4, 80), tcp(A4, B4, 81)) == [True, False]
    bed.apply(associated(allow("tcp", "81", "sg-a")))
    assert arrives(bed, tcp(A4, B4, 80, sport=40001), tcp(A4, B4, 81, sport=40001)) == [False, True]
    bed.apply(associated())
    assert arrives(bed, tcp(A4, B4, 81, sport=40002)) == [False]


def test_several_groups_are_united(bed: Testbed) -> None:
    """SG-65."""
    flush(bed)
    extra = [group("sg-x", [allow("tcp", "81", "10.0.0.0/8")]), group("sg-y", [allow("udp", "7", "sg-a")])]
    bed.apply(pair([allow("tcp", "80", "10.0.0.0/8")], *extra, eni(B, 2, 2, 10, ["sg-b", "sg-x", "sg-y"])))
    packets = [tcp(A4, B4, 80), tcp(A4, B4, 81), udp(A4, B4, 7), tcp(A4, B4, 82), udp(A4, B4, 8)]
    assert arrives(bed, *packets) == [True, True, True, False, False]


def test_new_member_is_admitted_without_rule_change(bed: Testbed) -> None:
    """SG-74, SG-76: and refused again once it leaves the group; the group's chains are not touched."""
    flush(bed)
    standing: list[Fragment] = [group("sg-other")]
    bed.apply(pair([allow("udp", "80", "sg-a")], *standing, eni(A, 1, 1, 10, ["sg-other"])))
    assert arrives(bed, udp(A4, B4, 80)) == [False]
    bed.apply(pair([allow("udp", "80", "sg-a")], *standing, eni(A, 1, 1, 10, ["sg-a", "sg-other"])))
    assert arrives(bed, udp(A4, B4, 80, sport=41000)) == [True]
    bed.apply(pair([allow("udp", "80", "sg-a")], *standing, eni(A, 1, 1, 10, ["sg-other"])))
    assert arrives(bed, udp(A4, B4, 80, sport=42000)) == [False]


def test_within_a_subnet_groups_apply(bed: Testbed) -> None:
    """A group filters between two ENIs of one subnet as well."""
    flush(bed)
    near = eni("eni-near", 7, 1, 70, ["sg-b"])
    bed.apply(pair([allow("tcp", "80", "10.0.0.0/8")], near))
    assert arrives(bed, tcp(A4, "10.0.1.70", 80), tcp(A4, "10.0.1.70", 81), to="eni-near") == [True, False]
