"""Gateway endpoints in the packet path: specification, evaluator and analysis agree (VPE-01 … VPE-06, RT-07)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ringfence.insight.reach.engine import Engine
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import SERVICE, exchange
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.builders import (
    ANY,
    acl,
    changed,
    egress,
    elastic_ip,
    entry,
    gateway,
    gateway_endpoint,
    group,
    host,
    ident,
    ingress,
    list_route,
    packet,
    prefix_list,
    route,
    subnet,
    table,
    vpc,
    world,
)

S3, FAR, VPCE = "198.18.0.65", "198.18.0.99", ident("vpce", "s3")
TO_S3 = list_route("s3", VPCE)


@pytest.fixture
def site() -> World:
    """A private subnet with an endpoint, a second one without, and an appliance in the first that may forge sources."""
    return world(
        vpc(), gateway(), prefix_list("s3", "198.18.0.64/30"), gateway_endpoint("s3", "s3", ["private"]),
        *(acl(name, entry(100, ANY), entry(100, ANY, egress=True)) for name in ("private", "other")),
        subnet("private", "10.0.0.0/24", acl="private"), subnet("other", "10.0.1.0/24", acl="other"),
        table("private", TO_S3, subnets=["private"]), table("other", subnets=["other"]),
        group("out", egress(ANY)), host("x", "10.0.0.10", subnet="private", groups=["out"]),
        host("y", "10.0.1.10", subnet="other", groups=["out"]),
        host("box", "10.0.0.20", subnet="private", groups=["out"], check=False),
    )  # fmt: skip


def asked(site: World, source: str, asks: Packet) -> str:
    """`ok`, or the layer that drops the packet or its answer; all three must say the same."""
    id, ir = ident("eni", source), compile_world(site)
    done = exchange(ir, asks, id)
    told = done.verdict.dropped_at or "ok"
    tables = spec.Tables()
    there = spec.send(site, tables, asks, id)
    said = there.dropped_at
    if there.at is not None:
        home = spec.send(site, tables, there.packet.reply(), there.through or there.at)
        said = None if home.dropped_at is None else f"reply-{home.dropped_at}"
    assert (said or "ok") == told
    space = Engine(ir).conversations(id, asks.src, asks.dst).space
    assert (asks in space) == (told == "ok")
    return told


@pytest.mark.parametrize(
    ("row", "source", "asks", "expected"),
    [
        ("VPE-01", "x", packet("10.0.0.10", S3, "tcp", 443), "ok"),
        ("VPE-01", "x", packet("10.0.0.10", "198.18.0.67", "tcp", 443), "ok"),
        ("VPE-01", "x", packet("10.0.0.10", FAR, "tcp", 443), "no-route"),
        ("VPE-01", "y", packet("10.0.1.10", S3, "tcp", 443), "no-route"),
        ("VPE-06", "x", packet("10.0.0.10", S3, "icmp"), "ok"),
        ("VPE-06", "x", packet("10.0.0.10", S3, "icmp", icmp=(13, 0)), "endpoint"),
        ("VPE-06", "x", packet("10.0.0.10", S3, "tcp", 80), "endpoint"),
        ("VPE-06", "x", packet("10.0.0.10", S3, "udp", 443), "endpoint"),
        ("VPE-04", "box", packet("10.0.1.10", S3, "tcp", 443), "reply-nacl-in"),  # y's address: the answer is y's
        ("VPE-04", "box", packet("192.0.2.9", S3, "tcp", 443), "endpoint"),
        ("VPE-04", "box", packet("10.0.0.99", S3, "tcp", 443), "endpoint"),
    ],
)  # fmt: skip
def test_who_reaches_what(site: World, row: str, source: str, asks: Packet, expected: str) -> None:
    if expected == "reply-nacl-in":
        site = changed(site, acl("other", entry(100, ANY, egress=True)))
    assert asked(site, source, asks) == expected, row


def test_the_answer_meets_network_acl_and_state(site: World) -> None:
    """VPE-05: it comes from the service's address, to the private one."""
    asks = packet("10.0.0.10", S3, "tcp", 443)
    shut = changed(site, acl("private", entry(100, ANY, egress=True)))
    assert asked(shut, "x", asks) == "reply-nacl-in"
    narrow = entry(100, "198.18.0.64/30", "tcp", (1024, 65535))
    assert asked(changed(site, acl("private", narrow, entry(100, ANY, egress=True))), "x", asks) == "ok"
    for rules, expected in (
        ([egress("198.18.0.64/30", "tcp", 443)], "ok"), ([egress("198.18.0.64/31", "tcp", 80)], "sg-egress"), ([ingress(ANY)], "sg-egress"),
    ):  # fmt: skip
        assert asked(changed(site, group("out", *rules)), "x", asks) == expected
    done = exchange(compile_world(site), asks, ident("eni", "x"))
    assert (done.there.at, done.there.endpoint) == (SERVICE, VPCE)
    assert done.there.packet.src == ip_address("10.0.0.10")


def test_vpe_03_a_longer_prefix_wins_and_rt_07_a_route_of_the_same_block(site: World) -> None:
    """The way by the internet gateway has a public source; there is no service behind an outside host here."""
    asks = packet("10.0.0.10", S3, "tcp", 443)
    igw = ident("igw", "igw")
    for destination, wins in (
        (ANY, False),
        ("198.18.0.0/16", False),
        ("198.18.0.64/30", True),
        ("198.18.0.64/31", True),
    ):
        there = changed(site, table("private", route(destination, igw), TO_S3, subnets=["private"]))
        assert (asked(there, "x", asks) == "gateway") is wins, destination  # x has no public address
        assert asked(changed(there, elastic_ip("198.18.9.9", "x", "10.0.0.10")), "x", asks) == "ok"


def test_a_route_to_an_endpoint_of_another_vpc_leads_nowhere(site: World) -> None:
    """RT-12."""
    there = changed(site, gateway_endpoint("s3", "s3", vpc="elsewhere"))
    assert (
        exchange(compile_world(there), packet("10.0.0.10", S3, "tcp", 443), ident("eni", "x")).verdict.dropped_at
        == "no-route"
    )


def test_two_endpoints_of_a_vpc_keep_apart(site: World) -> None:
    """VPE-02: the table decides through which one."""
    two = ident("vpce", "two")
    both = changed(
        site, gateway_endpoint("two", "s3", ["other"]), table("other", list_route("s3", two), subnets=["other"])
    )  # fmt: skip
    for source, address, expected in (("x", "10.0.0.10", VPCE), ("y", "10.0.1.10", two)):
        done = exchange(compile_world(both), packet(address, S3, "tcp", 443), ident("eni", source))
        assert (done.verdict.allowed, done.there.endpoint) == (True, expected)
