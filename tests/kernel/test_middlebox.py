"""Traffic through an appliance: the bypass that a single connection table would open, and group references (D-05)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringfence.policy.ir import Allow, Fragment
from ringfence.policy.packet import Packet
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
    allow,
    edge,
    eni,
    group,
    pair,
    subnet,
    table,
    tcp,
    to_eni,
    udp,
)

pytestmark = pytest.mark.netns
C = "eni-c"
OPEN = [allow(), allow(peer="::/0")]


def world(b_rules: list[Allow], *more: Fragment, back: bool = True) -> list[Fragment]:
    """A's subnet routes B's block through C (check off) in subnet 3; B's subnet the other way, if `back`."""
    there = table("rtb-1", 1, (*LOCAL_ROUTES, to_eni("10.0.2.0/24", C)))
    home = table("rtb-2", 2, (*LOCAL_ROUTES, *([to_eni("10.0.1.0/24", C)] if back else [])))
    plain = table("rtb-3", 3, LOCAL_ROUTES)
    return pair(b_rules, there, home, plain, subnet("subnet-2", 2, table_id="rtb-2"), subnet("subnet-3", 3, table_id="rtb-3"),
                eni(C, 3, 3, 10, ["sg-c"], check=False), group("sg-c", OPEN), *more, a_rules=OPEN)  # fmt: skip


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(world([]), answering=False) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(bed: Testbed) -> None:
    bed.vpc.command("conntrack", "-F")


def through(bed: Testbed, packet: object, source: str = A, target: str = B) -> tuple[bool, bool]:
    """Does the packet reach the appliance; and, forwarded unchanged by it, the target?"""
    (at_c,) = bed.delivered([Shot(source, packet, C)])  # type: ignore[arg-type]
    (at_target,) = bed.delivered([Shot(C, packet, target)])  # type: ignore[arg-type]
    return at_c, at_target


def test_routes_lead_through_the_appliance(bed: Testbed) -> None:
    """RT-07: more specific than local, both ways."""
    bed.apply(world(OPEN))
    assert through(bed, udp(A4, B4, 53)) == (True, True)
    assert through(bed, udp(B4, A4, 40000, sport=53), B, A) == (True, True)
    assert bed.delivered([Shot(A, udp(A4, B4, 54))]) == [False]  # never directly


def test_group_reference_does_not_survive_the_appliance(bed: Testbed) -> None:
    """D-05, SG-78, E2E-L5: the reference does not match although the source address is a member's; the block does."""
    bed.apply(world([allow("udp", "53", "sg-a")]))
    assert through(bed, udp(A4, B4, 53)) == (True, False)
    bed.apply(world([allow("udp", "53", "10.0.1.0/24")]))
    assert through(bed, udp(A4, B4, 53)) == (True, True)


def test_the_appliances_own_packets_match_its_group(bed: Testbed) -> None:
    """With the check off, its own address still identifies it."""
    bed.apply(world([allow("udp", "53", "sg-c")]))
    assert bed.delivered([Shot(C, udp("10.0.3.10", B4, 53), B), Shot(C, udp(A4, B4, 53), B)]) == [True, False]


def test_a_reference_holds_up_to_the_appliance(bed: Testbed) -> None:
    """The appliance's own group may name A's: that hop is direct."""
    bed.apply(world(OPEN, group("sg-c", [allow("udp", "53", "sg-a")])))
    assert bed.delivered([Shot(A, udp(A4, B4, 53), C), Shot(A, udp(A4, B4, 54), C)]) == [True, False]


def test_no_bypass_by_a_forged_reply(bed: Testbed) -> None:
    """One connection table for both hops would let the appliance establish a flow for a target that denies all: A sends to
    B through C; C forges B's answer to A; A's further packets would then ride on the "established" entry. 0 of 10."""
    bed.apply(world([], group("sg-c", OPEN)))
    packet, forged = udp(A4, B4, 53), udp(B4, A4, 40000, sport=53)
    assert through(bed, packet) == (True, False)
    assert bed.delivered([Shot(C, forged, A)]) == [True]
    assert bed.delivered([Shot(C, packet, B)] * 10) == [False] * 10
    assert bed.delivered([Shot(A, packet, C)] * 3) == [True] * 3
    assert bed.delivered([Shot(C, packet, B)] * 10) == [False] * 10
    bed.apply(world([allow("udp", "53", "10.0.0.0/8")]))
    assert bed.delivered([Shot(C, packet, B)] * 10) == [True] * 10


def test_no_bypass_by_a_forged_handshake(bed: Testbed) -> None:
    """The same with TCP: SYN, forged SYN-ACK, ACK, data."""
    bed.apply(world([]))
    syn = tcp(A4, B4, 80)
    assert through(bed, syn) == (True, False)
    assert bed.delivered([Shot(C, tcp(B4, A4, 40000, sport=80), A, flags=0x12)]) == [True]
    assert bed.delivered([Shot(C, syn, B, flags=0x10), Shot(C, syn, B, flags=0x18)]) == [False, False]


def test_gateway_route_table_leads_inbound_traffic_through_the_appliance(bed: Testbed) -> None:
    """RT-13: from the internet gateway to C first; B accepts what C forwards by block."""
    public = "54.10.0.2"
    ingress = table("rtb-edge", 9, (*LOCAL_ROUTES, to_eni("10.0.2.0/24", C)))
    bed.apply(
        world(OPEN, ingress, edge({public: B4}, "rtb-edge"), table("rtb-3", 3, (*LOCAL_ROUTES, *INTERNET_ROUTES)))
    )
    arriving = udp("203.0.113.9", public, 53)
    inside = udp("203.0.113.9", B4, 53)
    assert bed.delivered([Shot("internet", arriving, C), Shot("internet", arriving, B)]) == [True, False]
    assert bed.delivered([Shot(C, inside, B)]) == [True]


@pytest.mark.parametrize("packet", [udp(A4, B4, 53), udp(A6, B6, 53)], ids=["IPv4", "IPv6"])
def test_an_appliance_without_its_link_is_not_bypassed(packet: Packet) -> None:
    """RT-12: the appliance's guest deletes its interface, and the kernel drops the routes through it with it. What they led
    to the appliance must not take the shorter local route then."""
    routes = (*LOCAL_ROUTES, to_eni("10.0.2.0/24", C), to_eni("2001:db8:1:2::/64", C))
    with Testbed(world(OPEN, table("rtb-1", 1, routes))) as own:
        assert own.delivered([Shot(A, packet, C), Shot(A, packet, B)]) == [True, False]
        own.guests[C].ip("link del eth0")
        assert own.delivered([Shot(A, packet, B)]) == [False]
