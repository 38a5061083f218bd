"""Prefix lists in answers: what a packet met, why one is refused, what rules are needless, and what a change sends to the agent
(PL-08, SG-77, RT-07, CT-03; CMP-04)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables import steps
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.insight.hygiene.findings import Problem
from ringfence.insight.hygiene.report import examine
from ringfence.insight.reach.diff import diff as reach_diff
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.trace import trace_request
from ringfence.model.world import World
from ringfence.policy.compile import Compiler, compile_world, diff
from ringfence.policy.ir import Group, key_of
from tests import builders as b
from tests.insight.analyzer.test_explanations import Analyser, codes
from tests.policy.asking import dropped

PEERS, FAR, IGW = b.ident("pl", "peers"), b.ident("pl", "far"), b.ident("igw", "igw")
X, Y, CLIENT = b.ident("i", "x"), b.ident("i", "y"), "203.0.113.9"
INTO_Y, OUT_OF_X = b.packet("10.0.0.10", "10.0.1.10", "tcp", 443), b.packet("10.0.0.10", CLIENT, "tcp", 443)


def site(
    peers: tuple[str, ...] = ("10.0.0.0/28", "10.0.0.0/24"), far: tuple[str, ...] = ("203.0.113.0/24",), *rows: Any
) -> World:
    """y admits the blocks of `peers`; x's table leads to those of `far`."""
    return b.world(
        b.vpc(), b.gateway(), b.subnet("a", "10.0.0.0/24"), b.subnet("b", "10.0.1.0/24"),
        b.prefix_list("peers", *peers, family=4), b.prefix_list("far", *far, family=4),
        b.table("t", b.list_route("far", IGW), subnets=["a"]),
        b.group("open", *b.OPEN), b.group("listed", b.ingress(PEERS, "tcp", 443), b.egress(b.ANY)),
        b.host("x", "10.0.0.10", groups=["open"], public="198.18.0.1"),
        b.host("y", "10.0.1.10", subnet="b", groups=["listed"]), *rows,
    )  # fmt: skip


def traced(world: World, source: str, destination: str) -> dict[str, Any]:
    return trace_request(world, {"source": source, "destination": destination, "protocol": "tcp", "port": 443})


# ---------------------------------------------------------------------- what packets do
@pytest.mark.parametrize(
    ("row", "peers", "expected"),
    [
        ("PL-08", ("10.0.0.0/28",), "ok"),
        ("PL-08: none of its entries", ("10.0.9.0/24", "10.0.0.11/32"), "sg-ingress"),
        ("PL-08: no entry", (), "sg-ingress"),
        ("PL-01: of another family", ("::/0",), "sg-ingress"),
    ],
)
def test_what_a_list_admits(row: str, peers: tuple[str, ...], expected: str) -> None:
    world = site(peers)
    assert dropped(world, "x", INTO_Y) == expected, row
    assert (Engine(compile_world(world)).ask(b.ident("eni", "x"), INTO_Y) is True) == (expected == "ok"), row


@pytest.mark.parametrize(
    ("row", "far", "own", "expected"),
    [
        ("PL-12", ("203.0.113.0/24",), (), "ok"),
        ("RT-05: no entry leads there", ("198.51.100.0/24",), (), "no-route"),
        ("RT-07: the same block of the table's own", ("203.0.113.0/24",), (b.route("203.0.113.0/24", b.ident("eni", "none")),), "no-route"),
        ("RT-05: a longer one of the list", ("203.0.113.0/28",), (b.route("203.0.113.0/24", b.ident("eni", "none")),), "ok"),
        ("RT-09", ("169.254.168.0/24",), (), "no-route"),
    ],
)  # fmt: skip
def test_where_a_list_leads(row: str, far: tuple[str, ...], own: tuple[Any, ...], expected: str) -> None:
    start = site(far=far)
    world = b.changed(start, b.table("t", *own, b.list_route("far", IGW), subnets=["a"]))
    assert dropped(world, "x", OUT_OF_X) == expected, row
    assert (Engine(compile_world(world)).ask(b.ident("eni", "x"), OUT_OF_X) is True) == (expected == "ok"), row


def test_a_list_of_the_whole_world_is_wide() -> None:
    """CT-03."""
    world = b.changed(site(("0.0.0.0/0",)), b.group("listed", b.ingress(PEERS), b.egress(b.ANY)))
    held = compile_world(world).fragments["Group", b.ident("sg", "listed")]
    assert isinstance(held, Group)
    assert held.ingress[0].wide
    assert held.opens_ingress.pairs == {(4, 6), (4, 17)}


# ---------------------------------------------------------------------- what is said
def test_a_trace_names_the_list_and_the_entry() -> None:
    inside = traced(site(), X, Y)
    assert inside["rule"]["peer"] == PEERS
    assert inside["rule"]["entry"] == "10.0.0.0/28"  # the narrowest that holds the address
    out = traced(site(), X, f"internet:{CLIENT}")
    (route,) = [hop["rule"] for hop in out["hops"] if hop["layer"] == "no-route" and "prefix_list" in hop["rule"]]
    assert route == {"destination": "203.0.113.0/24", "prefix_list": FAR, "target": IGW, "state": "active"}
    cut = b.without(site(), b.gateway())
    assert f"(an entry of {FAR})" in traced(cut, X, f"internet:{CLIENT}")["reason"]


def test_an_analysis_shows_lists_in_rules_and_routes() -> None:
    """MON-17."""
    done = Analyser(site()).analyse(X, Y, DestinationPort=443)
    rules = [part["SecurityGroupRule"] for part in done["ForwardPathComponents"] if "SecurityGroupRule" in part]
    assert {"PrefixListId": PEERS, "Direction": "ingress"}.items() <= rules[-1].items()
    done = Analyser(site()).analyse(X, IGW, DestinationIp=CLIENT, DestinationPort=443)
    (route,) = [part["RouteTableRoute"] for part in done["ForwardPathComponents"] if "RouteTableRoute" in part]
    assert route == {"DestinationPrefixListId": FAR, "GatewayId": IGW, "Origin": "CreateRoute", "State": "active"}
    done = Analyser(site(far=("198.51.100.0/24",))).analyse(X, IGW, DestinationIp=CLIENT, DestinationPort=443)
    assert "CANNOT_ROUTE" in codes(done)
    done = Analyser(site(("10.0.9.0/24",))).analyse(X, Y, DestinationPort=443)
    assert codes(done) == ["ENI_SG_RULES_MISMATCH"]


def test_a_change_of_a_list_is_a_change_of_who_may_what() -> None:
    before, after = Engine(compile_world(site(("10.0.9.0/24",)))), Engine(compile_world(site()))
    assert list(reach_diff(before, after))
    assert not list(reach_diff(after, after))


# ---------------------------------------------------------------------- hygiene
def problems(*rules: Any, peers: tuple[str, ...]) -> list[tuple[Problem, int]]:
    """Problem, and which of the rules."""
    listed = b.group("listed", *rules, b.egress(b.ANY))
    report = examine(b.changed(site(peers), listed))
    assert report.proof == (), "removing what is removable must change nothing"
    place = {rule.id: n for n, rule in enumerate(listed.rules)}
    return [(f.problem, place[f.element]) for f in report.findings if f.component == listed.id]


def test_rules_about_lists() -> None:
    """CMP-04; a list may change, so that no other rule is needless because of it."""
    one, all_ports = b.ingress(PEERS, "tcp", 443), b.ingress(PEERS, "tcp")
    block = b.ingress("10.0.0.0/28", "tcp", 443)
    assert problems(one, all_ports, peers=("10.0.0.0/24",)) == [(Problem.SHADOWED, 0)]
    assert problems(one, block, peers=("10.0.0.0/24",)) == []
    assert problems(one, peers=()) == []
    assert problems(one, peers=("0.0.0.0/1", "128.0.0.0/1")) == [(Problem.WORLD_IN_PIECES, 0)]
    lost = b.without(site(), b.gateway())
    assert [(f.problem, f.element) for f in examine(lost).findings if f.component == b.ident("rtb", "t")] == [
        (Problem.BLACKHOLE, FAR)
    ]


# ---------------------------------------------------------------------- what a change sends
def test_one_entry_more_is_one_fragment_and_one_element() -> None:
    """PL-08: the other rules of the group, other groups, tables and interfaces are not sent or made again."""
    many = tuple(f"172.{n // 256}.{n % 256}.0/28" for n in range(500))
    before, compiler = site((*many, "10.0.9.0/24")), Compiler()
    first = compiler.compile(before)
    plan = VpcTables()
    plan.change(diff(None, first).put, ())
    second = compiler.compile(b.changed(before, b.prefix_list("peers", *many, "10.0.9.0/24", "10.0.0.0/24", family=4)))
    delta = diff(first, second)
    assert [key_of(fragment) for fragment in delta.put] == [("Group", b.ident("sg", "listed"))]
    assert (
        second.fragments
        == compile_world(b.changed(before, b.prefix_list("peers", *many, "10.0.9.0/24", "10.0.0.0/24"))).fragments
    )
    (change,) = plan.change(delta.put, ())
    messages = [message for phase in steps.units_of(change) for message in steps.flat(phase)]
    assert {message.kind & 0xFF for message in messages} == {nl.NEWSETELEM}
    assert sum(len(message.body) for message in messages) < 500
