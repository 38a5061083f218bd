"""What the executable specification says of prefix lists, peering and gateway endpoints, row by row.

Only the specification is asked: the differential tests hold everything else against it.
"""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.insight.reach.engine import Engine
from ringfence.model.invariants import check
from ringfence.model.kinds import PEERING_CONNECTION, VPC_ENDPOINT
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.peering import PeeringConnection, PeeringStatus
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    OTHER_ACCOUNT,
    OTHER_REGION,
    acl,
    changed,
    egress,
    elastic_ip,
    elsewhere,
    entry,
    gateway,
    gateway_endpoint,
    group,
    host,
    ident,
    ingress,
    list_route,
    packet,
    peer_group,
    peering,
    prefix_list,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    without,
    world,
)
from tests.policy.asking import dropped

A, BOX, OUTSIDE, PUBLIC = "10.0.0.10", "10.0.2.10", "203.0.113.9", "198.18.0.1"
IGW, TO_BOX, PCX, VPCE = ident("igw", "igw"), ident("eni", "box"), ident("pcx", "ab"), ident("vpce", "s3")


def said(made: World, source: str, sent: Packet, tables: spec.Tables | None = None) -> str:
    """What the specification says; where only peering is new, and the World is sound, compiled it must say the same."""
    expected = spec.converse(made, sent, source if source == spec.INTERNET else ident("eni", source), tables)
    if made.all(PEERING_CONNECTION) and not made.all(VPC_ENDPOINT) and not check(made):
        assert dropped(made, source, sent) == expected
        assert Engine(compile_world(made)).ask(ident("eni", source), sent) is (expected == "ok")
    return expected


# ---------------------------------------------------------------------- prefix lists
LISTS = (
    prefix_list("clients", "203.0.113.0/24", "198.51.100.7/32"), prefix_list("everyone", "10.9.0.0/16", ANY),
    prefix_list("six", "2001:db8:f::/48"), prefix_list("empty"), prefix_list("half", "203.0.113.0/25"),
)  # fmt: skip


def listed(*rules: Any, routes: Any = (), edge: Any = ()) -> World:
    """`a` with a public address and a group of these rules, behind a gateway; `box`, an open appliance elsewhere."""
    return world(
        vpc(ipv6=["2001:db8:1::/56"]), gateway(), *LISTS, group("g", *rules), group("open", ingress(ANY), *OPEN),
        subnet("a", "10.0.0.0/24", ipv6=["2001:db8:1::/64"]), subnet("c", "10.0.2.0/24"),
        table("t", *to_gateway(), *routes, subnets=["a"]), table("home", *to_gateway(), subnets=["c"]),
        host("a", A, groups=["g"], ipv6=["2001:db8:1::10"]), elastic_ip(PUBLIC, "a", A), *edge,
        host("box", BOX, subnet="c", groups=["open"], check=False), elastic_ip("198.18.0.2", "box", BOX),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "name", "source", "expected"),
    [
        ("SG-33", "clients", OUTSIDE, "ok"),
        ("SG-33", "clients", "198.51.100.7", "ok"),
        ("SG-33", "clients", "198.51.100.8", "sg-ingress"),
        ("PL-08", "empty", OUTSIDE, "sg-ingress"),
        ("SG-75", "six", OUTSIDE, "sg-ingress"),
        ("SG-75", "six", "2001:db8:f::9", "ok"),
        ("SG-75", "everyone", "2001:db8:f::9", "sg-ingress"),
        ("PL-08", "gone", OUTSIDE, "sg-ingress"),
    ],
)
def test_a_rule_with_a_list_is_a_rule_for_each_of_its_blocks(row: str, name: str, source: str, expected: str) -> None:
    made = listed(ingress(ident("pl", name), "tcp", 80))
    target = "2001:db8:1::10" if ":" in source else PUBLIC
    assert said(made, spec.INTERNET, packet(source, target, "tcp", 80)) == expected, row
    assert said(made, spec.INTERNET, packet(source, target, "tcp", 81)) == "sg-ingress", row


def test_a_list_opens_what_leaves() -> None:
    made = listed(egress(ident("pl", "clients"), "tcp", 443))
    assert said(made, "a", packet(A, OUTSIDE, "tcp", 443)) == "ok"
    assert said(made, "a", packet(A, "198.51.100.8", "tcp", 443)) == "sg-egress"


def test_packets_follow_the_newest_entries_without_a_rule_change() -> None:
    """PL-08, SG-77."""
    made = listed(ingress(ident("pl", "clients")), *OPEN)
    sent = packet("192.0.2.1", PUBLIC, "tcp", 80)
    assert said(made, spec.INTERNET, sent) == "sg-ingress"
    assert said(changed(made, prefix_list("clients", "192.0.2.0/24")), spec.INTERNET, sent) == "ok"


def test_everyone_in_a_list_is_not_tracked_either() -> None:
    """CT-03: when the rule goes, an untracked conversation goes with it and a tracked one stays (CT-05, CT-06)."""
    wide, narrow, tables = ingress(ident("pl", "everyone")), ingress(ident("pl", "half")), spec.Tables()
    sent, more = packet(OUTSIDE, PUBLIC, "tcp", 80), packet(OUTSIDE, PUBLIC, "tcp", 81)
    closed = changed(listed(), group("g"))
    assert said(listed(wide, *OPEN), spec.INTERNET, sent, tables) == "ok"
    assert said(listed(narrow, *OPEN), spec.INTERNET, more, tables) == "ok"
    assert said(closed, spec.INTERNET, sent, tables) == "sg-ingress"
    assert said(closed, spec.INTERNET, more, tables) == "ok"


GONE = ident("eni", "gone")  # a blackhole, so that a packet tells which of two routes it took


@pytest.mark.parametrize(
    ("row", "routes", "expected"),
    [
        ("RT-05 a list's longer prefix", [list_route("clients", GONE)], "no-route"),
        ("RT-07 a block before a list", [route("203.0.113.0/24", IGW), list_route("clients", GONE)], "ok"),
        ("RT-07 whatever the order", [list_route("clients", GONE), route("203.0.113.0/24", IGW)], "ok"),
        ("RT-07 a list before a shorter block", [route("203.0.112.0/20", IGW), list_route("clients", GONE)], "no-route"),
        ("RT-07 a longer block", [list_route("clients", GONE), route("203.0.113.8/31", IGW)], "ok"),
        ("RT-05 the longer of two lists", [list_route("half", IGW), list_route("clients", GONE)], "ok"),
        ("PL-08 an empty list leads nowhere", [list_route("empty", GONE)], "ok"),
        ("RT-05 the other family", [list_route("six", GONE)], "ok"),
        ("RT-07 everyone's block before everyone's list", [list_route("everyone", GONE)], "ok"),
    ],
)  # fmt: skip
def test_routes_by_list(row: str, routes: list[Any], expected: str) -> None:
    assert said(listed(*OPEN, routes=routes), "a", packet(A, OUTSIDE, "tcp", 443)) == expected, row


def test_a_list_leads_through_an_appliance_and_the_local_route_stays() -> None:
    """RT-07: the VPC's own block in a list changes nothing."""
    lists = prefix_list("own", "10.0.0.0/16", "10.0.2.0/24")
    made = changed(listed(*OPEN, routes=[list_route("own", GONE)]), lists)
    assert said(made, "a", packet(A, BOX, "tcp", 80)) == "no-route"  # a longer prefix than the local route
    assert said(changed(made, prefix_list("own", "10.0.0.0/16")), "a", packet(A, BOX, "tcp", 80)) == "ok"
    through = changed(made, prefix_list("own", "203.0.113.0/24"), table("t", list_route("own", TO_BOX), subnets=["a"]))
    assert spec.send(through, spec.Tables(), packet(A, OUTSIDE, "tcp", 80), ident("eni", "a")).at == spec.INTERNET


# ---------------------------------------------------------------------- peering
B, C, V6 = "10.1.0.10", "10.2.0.10", "fd52:4946:0:"


WIDE = (ingress(ANY), ingress(ANY6), *OPEN)


def far(name: str, number: int, *, rules: Any = WIDE, **place: str) -> tuple[Any, ...]:
    """A VPC with one subnet and one host, all of them called `name`; 10.NUMBER.0.0/16."""
    rows = (
        vpc(name, f"10.{number}.0.0/16", ipv6=[f"{V6}{number}00::/56"]),
        subnet(name, f"10.{number}.0.0/24", vpc=name, ipv6=[f"{V6}{number}00::/64"]), group(f"g{name}", *rules, vpc=name),
        host(name, f"10.{number}.0.10", subnet=name, vpc=name, groups=[f"g{name}"], ipv6=[f"{V6}{number}00::10"]),
    )  # fmt: skip
    return elsewhere(rows, **place)


def routed(name: str, *routes: Any) -> Any:
    return table(name, *routes, vpc=name)


TO_A, TO_B = route("10.0.0.0/16", PCX), route("10.1.0.0/16", PCX)


def peers(
    *more: Any,
    pcx: PeeringConnection | None = None,
    home: Any = (TO_B,),
    away: Any = (TO_A,),
    a: dict[str, Any] | None = None,
    b: dict[str, Any] | None = None,
) -> World:
    """VPCs `a` (with a gateway) and `b`, peered and routed both ways unless it says otherwise."""
    made = world(
        far("a", 0, **(a or {})), far("b", 1, **(b or {})), gateway(vpc="a"), elastic_ip(PUBLIC, "a", A),
        pcx or peering("ab", "a", "b"),
    )  # fmt: skip
    return changed(made, routed("a", *home), routed("b", *away), *more)


TO_IGW = route(ANY, IGW)


@pytest.mark.parametrize(
    ("row", "made", "sent", "expected"),
    [
        ("PCX-05", peers(), packet(A, B, "tcp", 80), "ok"),
        ("PCX-05 the accepter begins", peers(pcx=peering("ab", "b", "a")), packet(A, B, "udp", 53), "ok"),
        ("PCX-05 no route", peers(home=()), packet(A, B, "tcp", 80), "no-route"),
        ("PCX-05 no route back", peers(away=()), packet(A, B, "tcp", 80), "reply-no-route"),
        ("PCX-05 a part is routed", peers(home=(route("10.1.0.0/28", PCX),)), packet(A, B, "tcp", 80), "ok"),
        ("PCX-05 not that part", peers(home=(route("10.1.0.128/25", PCX),)), packet(A, B, "tcp", 80), "no-route"),
        ("RT-05", peers(home=(TO_IGW, TO_B)), packet(A, B, "icmp"), "ok"),
        ("RT-05 IPv6", peers(home=(route(f"{V6}100::/56", PCX),), away=(route(f"{V6}000::/56", PCX),)),
         packet(f"{V6}000::10", f"{V6}100::10", "tcp", 80), "ok"),
        ("RT-05 one family", peers(), packet(f"{V6}000::10", f"{V6}100::10", "tcp", 80), "no-route"),
        ("PCX-05 groups", peers(b={"rules": (ingress(f"{A}/32", "tcp", 80),)}), packet(A, B, "tcp", 81), "sg-ingress"),
        ("PCX-05 groups", peers(a={"rules": ()}), packet(A, B, "tcp", 81), "sg-egress"),
        ("PCX-05 another account", peers(b={"owner": OTHER_ACCOUNT}), packet(A, B, "tcp", 80), "ok"),
        ("PCX-10 another Region", peers(b={"region": OTHER_REGION}), packet(A, B, "tcp", 80), "ok"),
        ("PCX-05 by list", peers(prefix_list("far", "10.1.0.0/16"), home=(list_route("far", PCX),)),
         packet(A, B, "tcp", 80), "ok"),
        ("PCX-08 its resolver", peers(), packet(A, "10.1.0.2", "udp", 53), "no-route"),
        ("PCX-07 its router", peers(), packet(A, "10.1.0.1", "icmp"), "no-route"),
        ("RT-12 nobody there", peers(), packet(A, "10.1.0.99", "tcp", 80), "no-route"),
        ("PCX-07 not an address of it", peers(home=(route(ANY, PCX),)), packet(A, OUTSIDE, "tcp", 80), "no-route"),
    ],
)  # fmt: skip
def test_what_passes_over_peering(row: str, made: World, sent: Packet, expected: str) -> None:
    assert said(made, "a", sent) == expected, row


@pytest.mark.parametrize("status", PeeringStatus)
def test_packets_pass_while_the_connection_is_active(status: PeeringStatus) -> None:
    """PCX-05, RT-12: the routes of any other are blackholes."""
    made = peers(pcx=peering("ab", "a", "b", status))
    assert said(made, "a", packet(A, B, "tcp", 80)) == ("ok" if status is PeeringStatus.ACTIVE else "no-route")


def test_the_answer_does_not_come_over_a_connection_that_ended_meanwhile() -> None:
    made, tables = peers(), spec.Tables()
    sent = packet(A, B, "tcp", 80)
    assert said(made, "a", sent, tables) == "ok"
    ended = changed(made, peering("ab", "a", "b", PeeringStatus.DELETED))
    assert spec.send(ended, tables, sent.reply(), ident("eni", "b")).dropped_at == "no-route"


def test_network_acls_of_both_subnets_apply() -> None:
    """PCX-05: also where both would let anything through."""
    shut = [entry(10, ANY, "tcp", 80, allow=False, egress=out) for out in (False, True)]
    wide = [entry(100, ANY, egress=out) for out in (False, True)]
    for name, layers in (("a", ("reply-nacl-in", "nacl-out")), ("b", ("nacl-in", "reply-nacl-out"))):
        for entries, layer in zip(((shut[0], *wide), (shut[1], *wide)), layers, strict=True):
            made = changed(peers(), acl(name, *entries, vpc=name))
            sent = packet(A, B, "tcp", 80, sport=80)
            assert said(made, "a", sent) == layer


def test_peering_is_not_transitive() -> None:
    """PCX-06: a - b - c, with every route that could be asked for."""
    bc = ident("pcx", "bc")
    made = peers(
        far("c", 2), peering("bc", "b", "c"), routed("c", route("10.0.0.0/15", bc)),
        home=(route("10.0.0.0/8", PCX),), away=(TO_A, route("10.2.0.0/16", bc)),
    )  # fmt: skip
    assert said(made, "a", packet(A, B, "tcp", 80)) == "ok"
    assert said(made, "c", packet(C, B, "tcp", 80)) == "ok"
    assert said(made, "a", packet(A, C, "tcp", 80)) == "no-route"
    assert said(made, "c", packet(C, A, "tcp", 80)) == "no-route"


def test_no_gateway_appliance_or_endpoint_of_the_other_side() -> None:
    """PCX-07, VPE-04."""
    lists = (prefix_list("s3", "52.216.0.0/15"), gateway_endpoint("s3", "s3", ["a"], vpc="a"))
    home = (TO_B, TO_IGW, list_route("s3", VPCE))
    made = peers(*lists, home=home, away=(TO_A, route(ANY, PCX)))
    assert said(made, "b", packet(B, OUTSIDE, "tcp", 80)) == "no-route"
    assert said(made, "b", packet(B, "52.216.0.1", "tcp", 443)) == "no-route"
    assert said(made, "b", packet(B, PUBLIC, "tcp", 80)) == "no-route"
    assert said(made, "a", packet(A, "52.216.0.1", "tcp", 443)) == "ok"


def test_what_an_appliance_passes_on_must_come_from_its_own_vpc() -> None:
    """PCX-07: `box` of VPC `a` has its check off; from `a` its packets pass, with the outside's or the peer's addresses not."""
    box = (subnet("c", "10.0.2.0/24", vpc="a"), host("box", BOX, subnet="c", vpc="a", groups=["ga"], check=False),
           table("t", route("10.1.0.0/16", TO_BOX), subnets=["a"], vpc="a"))  # fmt: skip
    made = peers(box)
    assert spec.send(made, spec.Tables(), packet(A, B, "tcp", 80), ident("eni", "a")).at == ident("eni", "b")
    for source in (OUTSIDE, C, "10.1.0.77"):
        assert said(made, "box", packet(source, B, "tcp", 80)) == "no-route"


def test_the_far_routes_decide_for_the_answer_only() -> None:
    """PCX-05, PCX-06: in the far VPC a packet is delivered, whatever its tables say of the target's subnet."""
    box = (
        subnet("c", "10.1.2.0/24", vpc="b"),
        host("box", "10.1.2.10", subnet="c", vpc="b", groups=["gb"], check=False),
    )
    made = peers(box, away=(TO_A, route("10.1.0.0/24", TO_BOX)))
    assert said(made, "a", packet(A, B, "tcp", 80)) == "ok"


def test_a_stopped_target_does_not_answer() -> None:
    made = changed(peers(), host("b", B, subnet="b", vpc="b", groups=["gb"], state=InstanceState.STOPPED))
    assert said(made, "a", packet(A, B, "tcp", 80)) == "no-route"


OF_B, OF_A = peer_group("gb", vpc="b", over="ab"), peer_group("ga", vpc="a", over="ab")


@pytest.mark.parametrize(
    ("row", "sides", "expected"),
    [
        ("SG-52 in", {"b": {"rules": (ingress(OF_A, "tcp", 80),)}}, "ok"),
        ("SG-52 out", {"a": {"rules": (egress(OF_B, "tcp", 80),)}}, "ok"),
        ("SG-67 another group", {"b": {"rules": (ingress("gb"),)}}, "sg-ingress"),
        ("PCX-09 another Region, in", {"b": {"rules": (ingress(OF_A),), "region": OTHER_REGION}}, "sg-ingress"),
        ("PCX-09 another Region, out", {"a": {"rules": (egress(OF_B),), "region": OTHER_REGION}}, "sg-egress"),
        ("SG-52 another account", {"b": {"rules": (ingress(OF_A),), "owner": OTHER_ACCOUNT}}, "ok"),
    ],
)
def test_rules_that_name_a_group_of_the_peer(row: str, sides: dict[str, Any], expected: str) -> None:
    regions = tuple(sides.get(name, {}).get("region", "us-east-1") for name in ("a", "b"))
    owners = tuple(sides.get(name, {}).get("owner", "111122223333") for name in ("a", "b"))
    made = peers(pcx=peering("ab", "a", "b", owners=owners, regions=regions), **sides)
    assert said(made, "a", packet(A, B, "tcp", 80)) == expected, row
    six = changed(made, routed("a", route(f"{V6}100::/56", PCX)), routed("b", route(f"{V6}000::/56", PCX)))
    assert said(six, "a", packet(f"{V6}000::10", f"{V6}100::10", "tcp", 80)) == expected, (
        f"{row}: a reference has no family"
    )


def test_a_stale_reference_matches_nothing_until_the_vpcs_are_peered_again() -> None:
    """SG-54, SG-82, SG-84, SG-87: whichever connection the rule was made under."""
    rules: dict[str, Any] = {"b": {"rules": (ingress(OF_A),)}}
    again = (
        routed("a", route("10.1.0.0/16", ident("pcx", "new"))),
        routed("b", route("10.0.0.0/16", ident("pcx", "new"))),
    )
    made = changed(peers(**rules), peering("new", "b", "a", PeeringStatus.DELETED), *again)
    sent = packet(A, B, "tcp", 80)
    assert said(made, "a", sent) == "no-route"
    anew = changed(made, peering("ab", "a", "b", PeeringStatus.DELETED), peering("new", "b", "a"))
    assert said(anew, "a", sent) == "ok"
    ended = changed(made, peering("ab", "a", "b", PeeringStatus.DELETED), far("b", 1, rules=(egress(OF_A),))[2:3])
    assert said(ended, "b", packet(B, A, "tcp", 80)) == "sg-egress"
    assert said(without(peers(**rules), group("ga", vpc="a")), "b", packet(B, A, "tcp", 80)) == "sg-egress"


def test_a_reference_does_not_match_behind_an_appliance() -> None:
    """SG-78."""
    box = (subnet("c", "10.0.2.0/24", vpc="a"), host("box", BOX, subnet="c", vpc="a", groups=["ga"], check=False),
           table("t", route("10.1.0.0/16", TO_BOX), subnets=["a"], vpc="a"))  # fmt: skip
    assert said(peers(box, b={"rules": (ingress(OF_A),)}), "a", packet(A, B, "tcp", 80)) == "sg-ingress"


def test_a_group_used_in_two_vpcs_is_named_in_its_own() -> None:
    """SG-67, SG-70: an interface of a third VPC does not count because it may carry the group."""
    made = peers(far("c", 2), peering("cb", "c", "b"), b={"rules": (ingress("gc"),)},
                 away=(TO_A, route("10.2.0.0/16", ident("pcx", "cb"))))  # fmt: skip
    visitor = changed(made, host("a", A, subnet="a", vpc="a", groups=["ga", "gc"]))
    assert said(visitor, "a", packet(A, B, "tcp", 80)) == "sg-ingress"


def test_a_reference_names_interfaces_not_whoever_has_their_address() -> None:
    """SG-67, PCX-03: two peers of one block, which need not be peers of each other; the table chooses between them."""
    twin = (far("c", 1), peering("ac", "a", "c"), routed("c", route("10.0.0.0/16", ident("pcx", "ac"))))
    made = changed(changed(peers(a={"rules": (ingress(OF_B), *OPEN)}), *twin[:2]), twin[2])
    sent = packet(B, A, "tcp", 80)
    assert spec.send(made, spec.Tables(), sent, ident("eni", "b")).at == ident("eni", "a")
    assert spec.send(made, spec.Tables(), sent, ident("eni", "c")).dropped_at == "sg-ingress"


# ---------------------------------------------------------------------- gateway endpoints
S3 = "52.216.0.1"
TO_S3 = list_route("s3", VPCE)


def served(*rules: Any, routes: Any = (TO_S3,), more: Any = ()) -> World:
    """`a` without any public address, whose subnet's table leads to S3 by an endpoint."""
    return world(
        vpc(ipv6=["2001:db8:1::/56"]), gateway(), prefix_list("s3", "52.216.0.0/15", "198.18.128.0/24", owner_id="AWS"),
        group("g", *rules), gateway_endpoint("s3", "s3", ["t"]),
        subnet("a", "10.0.0.0/24", ipv6=["2001:db8:1::/64"]), table("t", *routes, subnets=["a"]),
        subnet("c", "10.0.2.0/24"), table("u", subnets=["c"]),
        host("a", A, groups=["g"], ipv6=["2001:db8:1::10"]), host("box", BOX, subnet="c", groups=["g"], check=False), *more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "sent", "expected"),
    [
        ("VPE-01", packet(A, S3, "tcp", 443), "ok"),
        ("VPE-01 every block", packet(A, "198.18.128.9", "tcp", 443), "ok"),
        ("VPE-06 echo", packet(A, S3, "icmp"), "ok"),
        ("VPE-06 only echo", packet(A, S3, "icmp", icmp=(13, 0)), "endpoint"),
        ("VPE-06 UDP", packet(A, S3, "udp", 443), "endpoint"),
        ("VPE-06 GRE", packet(A, S3, "47"), "endpoint"),
        ("VPE-06 another port", packet(A, S3, "tcp", 22), "endpoint"),
        ("VPE-01 beside the list", packet(A, "52.218.0.1", "tcp", 443), "no-route"),
        ("VPE-04 not IPv6", packet("2001:db8:1::10", "2001:db8:f::1", "tcp", 443), "no-route"),
    ],
)
def test_what_a_gateway_endpoint_serves(row: str, sent: Packet, expected: str) -> None:
    assert said(served(ingress(ANY), *OPEN), "a", sent) == expected, row


@pytest.mark.parametrize(
    ("row", "made", "expected"),
    [
        ("VPE-01 without the route", served(*OPEN, routes=()), "no-route"),
        ("VPE-03 a longer prefix", served(*OPEN, routes=(TO_S3, route("52.216.0.0/16", IGW))), "gateway"),
        ("VPE-03 a shorter one", served(*OPEN, routes=(TO_S3, route("52.0.0.0/8", IGW), route(ANY, IGW))), "ok"),
        ("RT-07 the same", served(*OPEN, routes=(TO_S3, route("52.216.0.0/15", IGW))), "gateway"),
        ("RT-12", without(served(*OPEN), gateway_endpoint("s3", "s3")), "no-route"),
        ("SG-33 groups", served(), "sg-egress"),
        ("SG-33 by its list", served(egress(ident("pl", "s3"), "tcp", 443)), "ok"),
        ("SG-33 by its list, another port", served(egress(ident("pl", "s3"), "tcp", 80)), "sg-egress"),
        ("ACL-32", served(*OPEN, more=[acl("main", entry(1, ANY))]), "nacl-out"),
        ("ACL-32 the answer", served(*OPEN, more=[acl("main", entry(1, ANY, egress=True))]), "reply-nacl-in"),
        ("CT-03 the answer", served(egress(ANY), ingress(ANY, "tcp")), "ok"),
    ],
)
def test_the_way_to_a_gateway_endpoint(row: str, made: World, expected: str) -> None:
    assert said(made, "a", packet(A, S3, "tcp", 443)) == expected, row


def test_an_endpoint_serves_the_interfaces_of_its_vpc_only() -> None:
    """VPE-04: an appliance may pass on what another interface sends, and nothing else; the answer goes to who asked."""
    through = (table("u", TO_S3, subnets=["c"]), table("t", route("52.216.0.0/15", TO_BOX), subnets=["a"]))
    made = changed(served(ingress(ANY), *OPEN), *through)
    assert said(made, "a", packet(A, S3, "tcp", 443)) == "ok"
    for source in (OUTSIDE, "10.0.0.99"):
        assert said(made, "box", packet(source, S3, "tcp", 443)) == "endpoint"


def test_the_answers_of_a_conversation_that_was_cut() -> None:
    """VPE-05, CT-05: an untracked conversation's answers need the rule; a tracked one's do not."""
    wide, narrow = served(ingress(ANY), egress(ANY)), served(egress(ident("pl", "s3")))
    for made, expected in ((wide, "sg-ingress"), (narrow, None)):
        tables, sent = spec.Tables(), packet(A, S3, "tcp", 443)
        assert spec.send(made, tables, sent, ident("eni", "a")).through == VPCE
        back = spec.send(changed(made, group("g")), tables, sent.reply(), VPCE)
        assert (back.dropped_at, back.at) == (expected, None if expected else ident("eni", "a"))
