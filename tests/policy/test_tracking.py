"""Connection tracking on packets: CT-01..CT-16, CT-22..CT-24 and the guide's example (E2E-J), with time passed in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ringfence.model.nouns.network_interface import ConnectionTimeouts
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.world import World
from ringfence.policy.evaluate import INTERNET
from ringfence.policy.packet import Packet
from tests.builders import (
    ANY,
    ANY6,
    OPEN,
    acl,
    changed,
    egress,
    elastic_ip,
    entry,
    gateway,
    group,
    host,
    ident,
    ingress,
    packet,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    world,
)
from tests.policy.asking import Session

SSH, HTTP, PING = ingress("203.0.113.1/32", "tcp", 22), ingress(ANY, "tcp", 80), ingress(ANY, "icmp")
ADMIN, CLIENT, PUBLIC, PRIVATE = "203.0.113.1", "203.0.113.9", "198.18.0.1", "10.0.0.10"
V6 = "2001:db8:1::"


def server(*rules: SecurityGroupRule, timeouts: ConnectionTimeouts | None = None) -> World:
    """One public server whose group has these rules (CT-07)."""
    return world(
        vpc(ipv6=[f"{V6}/56"]), subnet("a", "10.0.0.0/24", ipv6=[f"{V6}/64"]), gateway(),
        table("t", *to_gateway(), subnets=["a"]), group("g", *rules),
        host("server", PRIVATE, groups=["g"], ipv6=[f"{V6}10"], timeouts=timeouts), elastic_ip(PUBLIC, "server", PRIVATE),
    )  # fmt: skip


def rules(w: World, *now: SecurityGroupRule) -> World:
    return changed(w, group("g", *now))


def to_server(port: int, source: str = ADMIN, *, sport: int = 40000) -> Packet:
    return packet(source, PUBLIC, "tcp", port, sport=sport)


ALL_IN, ALL_OUT = ingress(ANY, "tcp"), egress(ANY)


@pytest.mark.parametrize(
    ("row", "ingress_rule", "egress_rules", "tracked"),
    [
        ("CT-07 from one address", SSH, (ALL_OUT,), True),
        ("CT-03 from anywhere", HTTP, (ALL_OUT,), False),
        ("CT-03 no answer rule", HTTP, (), True),
        ("CT-03 answers on some ports only", HTTP, (egress(ANY, "tcp", (1024, 65535)),), True),
        ("CT-03 answers on all ports", HTTP, (egress(ANY, "tcp", (0, 65535)),), False),
        ("CT-03 answers by another protocol", HTTP, (egress(ANY, "udp", (0, 65535)),), True),
        ("CT-03 answers to a part", HTTP, (egress("0.0.0.0/1"), egress("128.0.0.0/1")), True),
        ("CT-03 answers of the other family", HTTP, (egress(ANY6),), True),
        ("CT-03 nearly everyone", ingress("128.0.0.0/1", "tcp", 80), (ALL_OUT,), True),
    ],
)
def test_tracked_or_not(
    row: str, ingress_rule: SecurityGroupRule, egress_rules: tuple[SecurityGroupRule, ...], tracked: bool
) -> None:
    """A flow that is tracked outlives its rule, an untracked one ends with it (CT-05, CT-06, D-06)."""
    w = server(ingress_rule, *egress_rules)
    port = 22 if ingress_rule is SSH else 80
    session = Session(w)
    sent = to_server(port)
    assert session.round(INTERNET, sent) == "ok", row
    session.world = rules(w, *egress_rules)
    assert session.round(INTERNET, sent) == ("ok" if tracked else "sg-ingress"), row
    assert session.round(INTERNET, to_server(port, sport=40001)) == "sg-ingress", row  # a new connection


def test_ct_03_ipv6_is_decided_apart() -> None:
    """CT-07: removing the IPv4 egress rule makes IPv4 tracked and leaves IPv6 untracked."""
    both = (HTTP, ingress(ANY6, "tcp", 80))
    session = Session(server(*both, egress(ANY6)))
    four, six = to_server(80), packet("2001:db8:f::9", f"{V6}10", "tcp", 80)
    assert session.round(INTERNET, four) == session.round(INTERNET, six) == "ok"
    session.world = rules(session.world, egress(ANY6))
    assert session.round(INTERNET, four) == "ok"
    assert session.round(INTERNET, six) == "sg-ingress"


def test_ct_01_and_ct_02_answers_need_no_rule() -> None:
    session = Session(server(SSH))
    assert session.round(INTERNET, to_server(22)) == "ok"
    assert session.round("server", packet(PRIVATE, CLIENT, "tcp", 443)) == "sg-egress"
    session = Session(server(egress("203.0.113.9/32", "tcp", 443)))
    assert session.round("server", packet(PRIVATE, CLIENT, "tcp", 443)) == "ok"
    assert session.round(INTERNET, packet(CLIENT, PUBLIC, "tcp", 443)) == "sg-ingress"


def test_ct_04_untracked_answers_pass_by_the_opposite_rule() -> None:
    """CT-04: once that rule goes, the flow's answers stop, although the rule that admitted it is still there."""
    session = Session(server(HTTP, ALL_OUT))
    sent = to_server(80)
    there = session.send(INTERNET, sent)
    answer = there.packet.reply()
    assert session.send("server", answer).at == INTERNET
    session.world = rules(session.world, HTTP)
    assert session.send("server", answer).verdict.dropped_at == "sg-egress"


def test_j1_and_j5() -> None:
    """J1 (CT-06): the session goes on, a second is refused. J5 (CT-11): a network ACL deny cuts it, either way."""
    session = Session(server(SSH, HTTP, PING, *OPEN))
    assert session.round(INTERNET, to_server(22)) == "ok"
    session.world = rules(session.world, HTTP, PING, *OPEN)
    assert session.round(INTERNET, to_server(22)) == "ok"
    assert session.round(INTERNET, to_server(22, sport=40001)) == "sg-ingress"
    before = session.world
    allow = (entry(100, ANY), entry(100, ANY, egress=True))
    for out, layer in ((False, "nacl-in"), (True, "reply-nacl-out")):
        session.world = changed(before, acl("main", entry(90, "203.0.113.1/32", allow=False, egress=out), *allow))
        assert session.round(INTERNET, to_server(22)) == layer
    session.world = before
    assert session.round(INTERNET, to_server(22)) == "ok"


def test_j2_untracked_session_stalls_at_once() -> None:
    session = Session(server(SSH, HTTP, PING, *OPEN))
    assert session.round(INTERNET, to_server(80, CLIENT)) == "ok"
    session.world = rules(session.world, SSH, PING, *OPEN)
    assert session.round(INTERNET, to_server(80, CLIENT)) == "sg-ingress"


def test_j3_egress_removed_first() -> None:
    """J3: an untracked flow becomes tracked with its next packet, and then outlives the ingress rule."""
    session = Session(server(HTTP, ALL_OUT))
    sent = to_server(80, CLIENT)
    assert session.round(INTERNET, sent) == "ok"
    session.world = rules(session.world, HTTP)
    assert session.round(INTERNET, sent) == "ok"
    session.world = rules(session.world)
    assert session.round(INTERNET, sent) == "ok"


def test_tracked_flow_stays_tracked() -> None:
    """CT-03: a rule that opens answers to everyone later does not untrack what is tracked."""
    session = Session(server(HTTP))
    assert session.round(INTERNET, to_server(80)) == "ok"
    session.world = rules(session.world, HTTP, ALL_OUT)
    assert session.round(INTERNET, to_server(80)) == "ok"
    session.world = rules(session.world, ALL_OUT)
    assert session.round(INTERNET, to_server(80)) == "ok"


def test_j4_a_running_ping_goes_on_and_a_new_one_fails() -> None:
    """J4, CT-08: ICMP is tracked although everyone may ping and the server may answer anyone; its entry lasts 30 s."""
    session = Session(server(PING, *OPEN))
    ping = packet(CLIENT, PUBLIC, "icmp")
    assert session.round(INTERNET, ping) == "ok"
    session.world = rules(session.world, *OPEN)
    session.now = 29
    assert session.round(INTERNET, ping) == "ok"
    assert session.round(INTERNET, replace(ping, icmp_id=2)) == "sg-ingress"
    session.now = 29 + 30
    assert session.round(INTERNET, ping) == "sg-ingress"


@pytest.mark.parametrize(
    ("row", "protocol", "timeouts", "rounds", "idle"),
    [
        ("CT-13", "tcp", None, 1, 432000),
        ("CT-13 J6", "tcp", ConnectionTimeouts(tcp_established=60), 1, 60),
        ("CT-15", "udp", None, 1, 30),
        ("CT-15", "udp", ConnectionTimeouts(udp=60), 1, 60),
        ("CT-14", "udp", None, 2, 180),
        ("CT-14", "udp", ConnectionTimeouts(udp_stream=60), 2, 60),
        ("CT-09", "47", None, 1, 600),
        ("CT-08", "icmp", None, 2, 30),
    ],
)
def test_idle_timeouts(
    row: str, protocol: str, timeouts: ConnectionTimeouts | None, rounds: int, idle: int
) -> None:  # fmt: skip
    rule = ingress("203.0.113.0/24", protocol, 22)
    before = server(rule, timeouts=timeouts)
    sent = packet(ADMIN, PUBLIC, protocol, 22)
    for after, expected in ((idle - 1, "ok"), (idle, "sg-ingress")):
        session = Session(before)
        for _ in range(rounds):
            assert session.round(INTERNET, sent) == "ok", row
        session.world = rules(before)
        session.now = after
        assert session.round(INTERNET, sent) == expected, (row, after)


def test_every_packet_of_a_flow_renews_it() -> None:
    session = Session(server(SSH, timeouts=ConnectionTimeouts(tcp_established=60)))
    assert session.round(INTERNET, to_server(22)) == "ok"
    session.world = rules(session.world)
    for session.now in (50, 100, 150):
        assert session.round(INTERNET, to_server(22)) == "ok"
    session.now = 210
    assert session.round(INTERNET, to_server(22)) == "sg-ingress"


def test_one_way_udp_keeps_the_short_timeout() -> None:
    """CT-15: any number of packets one way, with no answer, is not a stream."""
    session = Session(server(ingress("203.0.113.0/24", "udp", 53)))
    sent = packet(ADMIN, PUBLIC, "udp", 53)
    for session.now in (0, 1, 2):
        assert session.send(INTERNET, sent).at == ident("eni", "server")
    session.world = rules(session.world)
    session.now = 2 + 30
    assert session.send(INTERNET, sent).at is None


def test_ct_09_any_packet_of_the_protocol_from_the_peer_is_accepted() -> None:
    """CT-09: only addresses and protocol number are tracked."""
    session = Session(server(egress("203.0.113.9/32", "47")))
    assert session.send("server", packet(PRIVATE, CLIENT, "47")).at == INTERNET
    assert session.send(INTERNET, packet(CLIENT, PUBLIC, "47")).at == ident("eni", "server")
    assert session.send(INTERNET, packet(CLIENT, PUBLIC, "50")).at is None
    assert session.send(INTERNET, packet(ADMIN, PUBLIC, "47")).at is None


def unreachable(cause: Packet, router: str = "203.0.113.254", kind: tuple[int, int] = (3, 4)) -> Packet:
    """An ICMP error of a router on the internet about a packet of the server's."""
    return replace(packet(router, str(cause.src), "icmp", icmp=kind), cause=cause)


@pytest.mark.parametrize(
    ("row", "egress_rules", "quoted", "kind", "expected"),
    [
        ("CT-12 tracked", (egress("203.0.113.9/32", "tcp", 443),), 443, (3, 4), "ok"),
        ("CT-12 TTL", (egress("203.0.113.9/32", "tcp", 443),), 443, (11, 0), "ok"),
        ("CT-12 no error", (egress("203.0.113.9/32", "tcp", 443),), 443, (8, 0), "sg-ingress"),
        ("CT-12 another flow", (egress("203.0.113.9/32", "tcp", 443),), 444, (3, 4), "sg-ingress"),
        ("SG-80 untracked", (ALL_OUT, ingress(ANY, "tcp")), 443, (3, 4), "sg-ingress"),
        ("SG-80 untracked, with a rule", (ALL_OUT, ingress(ANY, "tcp"), PING), 443, (3, 4), "ok"),
    ],
)
def test_ct_12_errors_of_tracked_flows(
    row: str, egress_rules: tuple[SecurityGroupRule, ...], quoted: int, kind: tuple[int, int], expected: str
) -> None:
    """The gateway exchanges the addresses of the quoted packet as well, so the interface knows its own flow again."""
    session = Session(server(*egress_rules))
    seen = session.send("server", packet(PRIVATE, CLIENT, "tcp", 443))
    assert seen.at == INTERNET
    error = unreachable(replace(seen.packet, dport=quoted), kind=kind)
    arrival = session.send(INTERNET, error)
    assert (arrival.verdict.dropped_at or "ok") == expected, row
    if expected == "ok":
        assert arrival.packet.cause is not None
        assert str(arrival.packet.cause.src) == PRIVATE


def test_ct_12_an_error_opens_nothing() -> None:
    session = Session(server(egress("203.0.113.9/32", "tcp", 443)))
    seen = session.send("server", packet(PRIVATE, CLIENT, "tcp", 443))
    before = session.flows
    session.send(INTERNET, unreachable(seen.packet))
    assert session.flows == before


def test_ct_22_stray_packets_are_dropped() -> None:
    """An answer to nothing is a packet like any other: it needs a rule."""
    session = Session(server(*OPEN))
    stray = packet(CLIENT, PUBLIC, "tcp", 40000, sport=443)
    assert session.send(INTERNET, stray).verdict.dropped_at == "sg-ingress"
    assert session.send(INTERNET, packet(CLIENT, PUBLIC, "icmp", icmp=(0, 0))).verdict.dropped_at == "sg-ingress"


def test_ct_23_changing_groups_is_like_changing_rules() -> None:
    w = changed(server(SSH, HTTP, *OPEN), group("none", *OPEN))
    session = Session(w)
    assert session.round(INTERNET, to_server(22)) == session.round(INTERNET, to_server(80)) == "ok"
    session.world = changed(w, host("server", PRIVATE, groups=["none"], ipv6=[f"{V6}10"]))
    assert session.round(INTERNET, to_server(22)) == "ok"
    assert session.round(INTERNET, to_server(80)) == "sg-ingress"


def test_ct_24_state_belongs_to_one_interface() -> None:
    """In by one interface of an instance, out by another: the other knows nothing of the flow."""
    client = packet("10.0.0.30", "10.0.0.10", "tcp", 80)
    w = world(
        vpc(), subnet("a", "10.0.0.0/24"), group("in", ingress("10.0.0.30/32", "tcp", 80)), group("free", *OPEN),
        host("first", "10.0.0.10", groups=["in"]), host("second", "10.0.0.11", groups=["in"], check=False),
        host("client", "10.0.0.30", groups=["free"]),
    )  # fmt: skip
    session = Session(w)
    assert session.send("client", client).at == ident("eni", "first")
    assert session.send("second", client.reply()).verdict.dropped_at == "sg-egress"
    assert session.send("first", client.reply()).at == ident("eni", "client")


def test_a_forged_answer_does_not_open_the_victim() -> None:
    """A source-check-off appliance that forges an answer makes no state at the victim (design decision 2)."""
    w = world(
        vpc(), subnet("a", "10.0.0.0/24"), subnet("b", "10.0.1.0/24"), group("open", ingress(ANY), *OPEN),
        group("closed"), table("t", route("10.0.1.0/24", ident("eni", "evil")), subnets=["b"]),
        host("evil", "10.0.0.66", groups=["open"], check=False), host("victim", "10.0.1.10", subnet="b", groups=["closed"]),
    )  # fmt: skip
    session = Session(w)
    forged = packet("10.0.1.10", "10.0.0.66", "tcp", 5555, sport=22)
    session.send("evil", forged)
    attack = packet("10.0.0.66", "10.0.1.10", "tcp", 22, sport=5555)
    assert session.send("evil", attack).verdict.dropped_at == "sg-ingress"


def test_refused_packets_leave_no_state() -> None:
    """A packet the sender's group admits but its network ACL denies opens nothing."""
    w = server(egress("203.0.113.0/24"))
    session = Session(changed(w, acl("main", entry(100, ANY), entry(90, ANY, "tcp", 443, allow=False, egress=True))))
    sent = packet(PRIVATE, CLIENT, "tcp", 443)
    assert session.send("server", sent).verdict.dropped_at == "nacl-out"
    session.world = w
    assert session.send(INTERNET, packet(CLIENT, PUBLIC, "tcp", 40000, sport=443)).verdict.dropped_at == "sg-ingress"


def test_answers_do_not_make_an_untracked_flow_tracked() -> None:
    """Only a packet of the opening direction marks the entry: an error about the flow is still judged by rules."""
    session = Session(server(HTTP, ALL_OUT))
    there = session.send(INTERNET, to_server(80))
    session.world = rules(session.world, HTTP, egress("203.0.113.0/24"))
    answer = session.send("server", there.packet.reply())
    assert answer.at == INTERNET
    assert session.send(INTERNET, unreachable(answer.packet)).verdict.dropped_at == "sg-ingress"
    assert session.round(INTERNET, to_server(80)) == "ok"  # now the client's packet has
    assert session.send(INTERNET, unreachable(answer.packet)).at == ident("eni", "server")


def test_an_appliance_keeps_what_it_tracks() -> None:
    """In tracked, out untracked, by one interface: passing a packet on does not untrack the flow that came in."""
    box = (ingress(ANY, "tcp"), egress(ANY, "tcp", 80))
    w = world(
        vpc(), *(subnet(n, f"10.0.{i}.0/24") for i, n in enumerate("abc")), group("open", ingress(ANY), *OPEN),
        table("t", route("10.0.2.0/24", ident("eni", "box")), subnets=["a"]), group("box", *box),
        host("left", "10.0.0.10", groups=["open"]), host("right", "10.0.2.10", subnet="c", groups=["open"]),
        host("box", "10.0.1.10", subnet="b", groups=["box"], check=False),
    )  # fmt: skip
    session = Session(w)
    sent = packet("10.0.0.10", "10.0.2.10", "tcp", 80)
    assert session.send("left", sent).at == ident("eni", "right")
    session.world = changed(w, group("box", egress(ANY, "tcp", 80)))
    assert session.send("left", sent).at == ident("eni", "right")
    assert session.send("left", replace(sent, sport=40001)).verdict.dropped_at == "sg-ingress"
