"""Network ACLs on packets: ACL-29..ACL-50, and the subnet boundary (D-07)."""

from __future__ import annotations

import pytest

from ringfence.model.nouns.network_acl import NetworkAclEntry
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import exchange
from ringfence.policy.packet import Packet
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    acl,
    changed,
    entry,
    group,
    host,
    ident,
    ingress,
    packet,
    route,
    subnet,
    table,
    vpc,
    world,
)
from tests.policy.asking import dropped

V6 = "2001:db8:1:"
LEFT, RIGHT, NEAR = "10.0.0.10", "10.0.1.10", "10.0.0.11"
IN, OUT = entry(32000, ANY), entry(32000, ANY, egress=True)
IN6, OUT6 = entry(32001, ANY6), entry(32001, ANY6, egress=True)


def site(*entries: NetworkAclEntry) -> World:
    """Two subnets; the right one has a custom ACL; every group is open (ACL-39)."""
    everything = group("open", ingress(ANY), ingress(ANY6), *OPEN)
    return world(
        vpc(ipv6=[f"{V6}:/56"]), subnet("a", "10.0.0.0/24", ipv6=[f"{V6}:/64"]),
        subnet("b", "10.0.1.0/24", acl="custom", ipv6=[f"{V6}1::/64"]), acl("custom", *entries), everything,
        host("left", LEFT, groups=["open"], ipv6=[f"{V6}:10"]), host("near", NEAR, groups=["open"]),
        host("right", RIGHT, subnet="b", groups=["open"], ipv6=[f"{V6}1::10"]),
        host("peer", "10.0.1.11", subnet="b", groups=["open"]),
    )  # fmt: skip


def tcp(port: int, *, sport: int = 40000) -> Packet:
    return packet(LEFT, RIGHT, "tcp", port, sport=sport)


PING = packet(LEFT, RIGHT, "icmp")
WEB = (entry(100, ANY, "tcp", 80), entry(110, ANY, "tcp", 443), OUT)


@pytest.mark.parametrize(
    ("row", "entries", "sent", "expected"),
    [
        ("ACL-30", (), tcp(80), "nacl-in"),
        ("ACL-31", (IN,), tcp(80), "reply-nacl-out"),
        ("ACL-31", (IN, OUT), tcp(80), "ok"),
        ("ACL-29", (entry(100, ANY), entry(110, ANY, allow=False), OUT), tcp(80), "ok"),
        ("ACL-29", (entry(110, ANY), entry(100, ANY, allow=False), OUT), tcp(80), "nacl-in"),
        ("ACL-33", (IN6, OUT6), tcp(80), "nacl-in"),
        ("ACL-33", (IN, OUT), packet(f"{V6}:10", f"{V6}1::10", "tcp", 80), "nacl-in"),
        ("ACL-33", (IN6, OUT6), packet(f"{V6}:10", f"{V6}1::10", "tcp", 80), "ok"),
        ("ACL-34", (entry(100, ANY, "tcp", 40000), OUT), tcp(80), "nacl-in"),
        ("ACL-35", (entry(90, ANY, "tcp", 3389, allow=False), entry(100, ANY, "tcp", (1024, 65535)), OUT), tcp(3389), "nacl-in"),
        ("ACL-35", (entry(90, ANY, "tcp", 3389, allow=False), entry(100, ANY, "tcp", (1024, 65535)), OUT), tcp(3390), "ok"),
        ("ACL-41", WEB, tcp(443), "ok"),
        ("ACL-41", WEB, tcp(139), "nacl-in"),
        ("ACL-41", WEB, packet(LEFT, RIGHT, "udp", 443), "nacl-in"),
        ("ACL-14", (entry(100, ANY, "47"), OUT), packet(LEFT, RIGHT, "47"), "ok"),
        ("ACL-14", (entry(100, ANY, "47"), OUT), packet(LEFT, RIGHT, "50"), "nacl-in"),
        ("ACL-12", (entry(100, ANY, "icmp", icmp=(8, -1)), OUT), PING, "ok"),
        ("ACL-12", (entry(100, ANY, "icmp", icmp=(8, 0)), entry(100, ANY, "icmp", icmp=(8, -1), egress=True)), PING, "reply-nacl-out"),
        ("ACL-12", (entry(100, ANY, "icmp", icmp=(8, 0)), entry(100, ANY, "icmp", icmp=(0, -1), egress=True)), PING, "ok"),
        ("ACL-42", (entry(100, ANY, "icmp", icmp=(3, 4)), OUT), packet(LEFT, RIGHT, "icmp", icmp=(3, 4)), "ok"),
        ("ACL-42", (entry(100, ANY, "icmp", icmp=(3, 4)), OUT), packet(LEFT, RIGHT, "icmp", icmp=(3, 3)), "nacl-in"),
        ("ACL-43", (entry(100, ANY, "icmp", icmp=(11, 0)), OUT), packet(LEFT, RIGHT, "icmp", icmp=(11, 0)), "ok"),
        ("ACL-44", (entry(100, "10.0.0.0/24", allow=False), IN, OUT), tcp(80), "nacl-in"),
        ("ACL-44", (IN, entry(100, "10.0.0.0/24", allow=False, egress=True), OUT), tcp(80), "reply-nacl-out"),
    ],
)  # fmt: skip
def test_inbound(row: str, entries: tuple[NetworkAclEntry, ...], sent: Packet, expected: str) -> None:
    assert dropped(site(*entries), "left", sent) == expected, row


@pytest.mark.parametrize(
    ("ports", "sport", "expected"),
    [
        ((32768, 61000), 40000, "ok"),  # ACL-46
        ((32768, 61000), 2000, "reply-nacl-out"),
        ((1024, 65535), 2000, "ok"),  # ACL-47, ACL-50
        ((1024, 65535), 1023, "reply-nacl-out"),
        ((1025, 5000), 5000, "ok"),  # ACL-48
        ((1025, 5000), 5001, "reply-nacl-out"),
        ((49152, 65535), 65535, "ok"),  # ACL-49
        ((49152, 65535), 49151, "reply-nacl-out"),
    ],
)
def test_ephemeral_ports(ports: tuple[int, int], sport: int, expected: str) -> None:
    w = site(entry(100, ANY, "tcp", 80), entry(100, ANY, "tcp", ports, egress=True))
    assert dropped(w, "left", tcp(80, sport=sport)) == expected


def test_acl_32_not_inside_a_subnet() -> None:
    """ACL-32, D-07: an ACL that denies all does not touch neighbours, whoever of them asks."""
    w = site()
    assert dropped(w, "right", packet(RIGHT, "10.0.1.11", "tcp", 80)) == "ok"
    assert dropped(w, "peer", packet("10.0.1.11", RIGHT, "udp", 9)) == "ok"
    assert dropped(w, "right", packet(RIGHT, LEFT, "tcp", 80)) == "nacl-out"


def test_acl_37_and_acl_40_four_times_in_order() -> None:
    """ACL-37: four judgements per round trip. ACL-40: outbound group before ACL, inbound ACL before group."""
    w = site(IN, OUT)
    done = exchange(compile_world(w), tcp(80), ident("eni", "left"))
    assert [f"{'reply-' if hop.reply else ''}{hop.layer}" for hop in done.verdict.hops] == [
        "source-check", "sg-egress", "nacl-out", "no-route", "nacl-in", "sg-ingress",
        "reply-source-check", "reply-sg-egress", "reply-nacl-out", "reply-no-route", "reply-nacl-in", "reply-sg-ingress",
    ]  # fmt: skip
    closed = changed(w, group("open"))
    assert dropped(closed, "left", tcp(80)) == "sg-egress"
    assert dropped(changed(site(OUT), group("open", *OPEN)), "left", tcp(80)) == "nacl-in"


def test_the_deciding_entry_is_named() -> None:
    done = exchange(compile_world(site(entry(90, ANY, "tcp", 80, allow=False), IN, OUT)), tcp(80), ident("eni", "left"))
    assert done.verdict.by is not None
    assert (done.verdict.by.component, done.verdict.by.rule) == (ident("acl", "custom"), "90")
    final = exchange(compile_world(site()), tcp(80), ident("eni", "left")).verdict.by
    assert final is not None
    assert final.rule == "*"


def test_acl_of_the_appliance_is_asked_too() -> None:
    """Every subnet a packet enters or leaves on its way judges it (ACL-32)."""
    w = site(IN, OUT)
    box = host("box", "10.0.2.10", subnet="c", groups=["open"], check=False)
    through = (
        table("left", route("10.0.1.0/24", ident("eni", "box")), subnets=["a"]), subnet("c", "10.0.2.0/24", acl="mid"), box,
    )  # fmt: skip
    assert dropped(changed(w, *through, acl("mid", IN, OUT)), "left", tcp(80)) == "ok"
    assert dropped(changed(w, *through, acl("mid", IN)), "left", tcp(80)) == "nacl-out"
    assert dropped(changed(w, *through, acl("mid", OUT)), "left", tcp(80)) == "nacl-in"
