"""`ringfence trace`: targets, the packet asked about, and the answer's shape (DESIGN section 5)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.insight.reach.trace import Tracer, trace_request
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.world import World
from tests.builders import (
    ANY,
    OPEN,
    acl,
    changed,
    elastic_ip,
    eni,
    entry,
    gateway,
    group,
    host,
    ident,
    ingress,
    instance,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    world,
)

CLI = "internet:203.0.113.9"
X, Y = ident("i", "x"), ident("i", "y")
RULE = ingress(ANY, "tcp", (80, 90))


def site() -> World:
    return world(
        vpc(ipv6=["2001:db8:1::/56"]), gateway(), subnet("a", "10.0.0.0/24", ipv6=["2001:db8:1::/64"]),
        subnet("b", "10.0.1.0/24", acl="strict"), table("t", *to_gateway(), subnets=["a"]),
        group("g", RULE, *OPEN),
        acl("strict", entry(90, "10.0.0.0/24", "tcp", 81, allow=False), entry(100, ANY), entry(100, ANY, egress=True)),
        host("x", "10.0.0.10", groups=["g"], ipv6=["2001:db8:1::10"], public="198.18.0.1"),
        host("y", "10.0.1.10", subnet="b", groups=["g"]), eni("loose", "10.0.0.30", groups=["g"]),
        host("off", "10.0.0.40", groups=["g"], state=InstanceState.STOPPED),
    )  # fmt: skip


def ask(source: str, destination: str, w: World | None = None, **more: Any) -> dict[str, Any]:
    answer = trace_request(w or site(), {"source": source, "destination": destination, "port": 80, **more})
    json.dumps(answer)  # it travels as JSON
    return answer


def test_ok() -> None:
    answer = ask(X, Y)
    assert answer["outcome"] == "ok"
    assert "dropped_at" not in answer
    assert answer["delivered_to"] == ident("eni", "y")
    assert [hop["layer"] for hop in answer["hops"]] == [
        "source-check", "sg-egress", "nacl-out", "no-route", "nacl-in", "sg-ingress",
        "reply-source-check", "reply-sg-egress", "reply-nacl-out", "reply-no-route", "reply-nacl-in", "reply-sg-ingress",
    ]  # fmt: skip
    assert all(hop["allowed"] and isinstance(hop["rule"], dict) for hop in answer["hops"])
    assert answer["packet"] == {
        "source": "10.0.0.10", "destination": "10.0.1.10", "protocol": "tcp", "source_port": 40000, "port": 80,
    }  # fmt: skip


def test_dropped_by_a_group() -> None:
    """The component is a group id; the rule says that nothing allows it, and which groups were asked."""
    answer = ask(X, Y, port=443)
    assert (answer["outcome"], answer["dropped_at"], answer["component"]) == ("dropped", "sg-ingress", ident("sg", "g"))
    assert answer["rule"] == {
        "id": None, "direction": "ingress", "action": "deny", "reason": "no rule allows it", "groups": [ident("sg", "g")],
    }  # fmt: skip


def test_allowed_by_a_group_rule() -> None:
    rule = next(r for r in ask(X, Y)["hops"] if r["layer"] == "sg-ingress")["rule"]
    assert rule | {"id": ""} == {
        "id": "", "direction": "ingress", "protocol": "tcp", "from_port": 80, "to_port": 90, "peer": ANY,
    }  # fmt: skip


def test_dropped_by_an_acl_entry() -> None:
    answer = ask(X, Y, port=81)
    assert (answer["dropped_at"], answer["component"]) == ("nacl-in", ident("acl", "strict"))
    assert answer["rule"] == {
        "number": 90, "egress": False, "action": "deny", "protocol": "6", "cidr": "10.0.0.0/24", "from_port": 81,
        "to_port": 81,
    }  # fmt: skip
    final = ask(X, Y, changed(site(), acl("strict")))
    assert final["rule"] == {"number": "*", "egress": False, "action": "deny"}


@pytest.mark.parametrize(
    ("routes", "rule"),
    [
        ((), {"destination": None}),
        ((route("203.0.0.0/8", ident("igw", "gone")),),
         {"destination": "203.0.0.0/8", "target": ident("igw", "gone"), "state": "blackhole"}),
    ],
)  # fmt: skip
def test_dropped_by_the_route_table(routes: Any, rule: dict[str, Any]) -> None:
    answer = ask(X, CLI, changed(site(), table("t", *routes, subnets=["a"])))
    assert (answer["dropped_at"], answer["component"], answer["rule"]) == ("no-route", ident("rtb", "t"), rule)


def test_dropped_at_the_gateway() -> None:
    answer = ask(ident("eni", "loose"), CLI)
    assert (answer["dropped_at"], answer["component"]) == ("gateway", ident("igw", "igw"))
    assert answer["rule"] == {"id": "no public address"}


@pytest.mark.parametrize(
    ("source", "destination", "more", "expected"),
    [
        (X, Y, {}, ("10.0.0.10", "10.0.1.10")),
        (CLI, X, {}, ("203.0.113.9", "198.18.0.1")),
        (CLI, ident("eni", "x"), {}, ("203.0.113.9", "198.18.0.1")),
        (CLI, Y, {}, ("203.0.113.9", "10.0.1.10")),  # no public address: there is no way to it
        (X, CLI, {}, ("10.0.0.10", "203.0.113.9")),
        (X, "198.18.0.7", {}, ("10.0.0.10", "198.18.0.7")),
        (ident("eni", "loose"), X, {}, ("10.0.0.30", "10.0.0.10")),
        ("internet:2001:db8:f::9", X, {}, ("2001:db8:f::9", "2001:db8:1::10")),
        (X, "internet:2001:db8:f::9", {"ipv6": True}, ("2001:db8:1::10", "2001:db8:f::9")),
    ],
)
def test_targets(source: str, destination: str, more: dict[str, Any], expected: tuple[str, str]) -> None:
    packet = ask(source, destination, **more)["packet"]
    assert (packet["source"], packet["destination"]) == expected


@pytest.mark.parametrize(
    ("source", "destination", "more", "message"),
    [
        (ident("i", "nobody"), Y, {}, "there is no instance"),
        (ident("eni", "nobody"), Y, {}, "there is no network interface"),
        ("10.0.0.10", Y, {}, "a source is"),
        ("internet:nowhere", Y, {}, "neither"),
        (X, "nowhere", {}, "neither"),
        (ident("i", "off"), X, {}, "not running"),
        (ident("eni", "off"), X, {}, "not running"),
        (Y, X, {"ipv6": True}, "no IPv6 address"),
        (X, Y, {"ipv6": True}, "no IPv6 address"),
        (CLI, "2001:db8:1::10", {}, "different IP versions"),
        (X, Y, {"protocol": "quic"}, "unknown protocol"),
        ("internet:198.18.0.1", Y, {}, "not an outside host"),
    ],
)
def test_what_makes_no_sense(source: str, destination: str, more: dict[str, Any], message: str) -> None:
    answer = ask(source, destination, **more)
    assert answer["status"] == 2
    assert message in answer["error"]


def test_an_elastic_ip_is_no_outside_host_either() -> None:
    answer = ask("internet:198.18.0.9", X, changed(site(), elastic_ip("198.18.0.9", "y", "10.0.1.10")))
    assert "not an outside host" in answer["error"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"protocol": "icmp"}, {"protocol": "icmp", "icmp_type": 8, "icmp_code": 0}),
        ({"protocol": "icmp", "icmp_type": 0, "icmp_code": 1}, {"protocol": "icmp", "icmp_type": 0, "icmp_code": 1}),
        ({"protocol": "udp", "source_port": 53}, {"protocol": "udp", "source_port": 53, "port": 80}),
        ({"protocol": "47"}, {"protocol": "47"}),
    ],
)
def test_packets(more: dict[str, Any], expected: dict[str, Any]) -> None:
    packet = ask(X, Y, **more)["packet"]
    assert {name: value for name, value in packet.items() if name not in ("source", "destination")} == expected


def test_icmp_over_ipv6_is_icmpv6() -> None:
    packet = ask("internet:2001:db8:f::9", X, protocol="icmp")["packet"]
    assert (packet["protocol"], packet["icmp_type"]) == ("icmpv6", 128)


def test_services_and_appliances_are_told() -> None:
    assert ask(X, "10.0.0.2", protocol="udp", port=53)["delivered_to"] == "service"
    w = changed(
        site(), table("t", route("10.0.1.0/24", ident("eni", "box")), subnets=["a"]),
        subnet("c", "10.0.2.0/24"), host("box", "10.0.2.66", subnet="c", groups=["g"], check=False),
    )  # fmt: skip
    answer = ask(X, Y, w)
    assert (answer["outcome"], answer["through"]) == ("ok", [ident("eni", "box")])


def test_tracer_follows_the_world() -> None:
    tracer, w = Tracer(), site()
    request = {"source": X, "destination": Y, "port": 80}
    assert tracer.answer(w, request) == trace_request(w, request)
    closed = changed(w, group("g", *OPEN))
    assert tracer.answer(closed, request)["dropped_at"] == "sg-ingress"
    assert "not running" in tracer.answer(changed(w, instance("x", InstanceState.STOPPED)), request)["error"]
    assert tracer.answer(w, request)["outcome"] == "ok"
