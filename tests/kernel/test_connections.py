"""Connection tracking on real packets: CT-01..11, 13..15, 20..24, D-06."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.base import BEGUN
from ringfence.policy.ir import Fragment, Interface, Timeouts
from tests.kernel import frames
from tests.kernel.streams import alive, asks, connect, datagram, tcp_echo, udp_echo
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
    group,
    icmp,
    other,
    pair,
    tcp,
    udp,
)

pytestmark = pytest.mark.netns

HERE = "10.0.0.0/8"
OPEN = [allow(), allow(peer="::/0")]


@pytest.fixture(scope="module")
def bed() -> Iterator[Testbed]:
    with Testbed(pair()) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(bed: Testbed) -> None:
    bed.vpc.command("conntrack", "-F")


def test_replies_need_no_rule(bed: Testbed) -> None:
    """CT-01: B has no egress rule. CT-02: A has no ingress rule."""
    bed.apply(pair([allow("tcp", "80", HERE)], b_egress=[], a_egress=[allow("tcp", "80", HERE)]))
    with tcp_echo(bed.guests[B], B4, 80):
        assert alive(connect(bed.guests[A], A4, B4, 80))
    with tcp_echo(bed.guests[A], A4, 80):
        assert connect(bed.guests[B], B4, A4, 80) is None


def _wide(port: str = "80", family: str = "0.0.0.0/0") -> list[Fragment]:
    return pair([allow("tcp", port, family)])


TRACKED = [
    ("CT-06 a narrow rule", pair([allow("tcp", "80", HERE)]), pair([]), True),
    ("CT-05 a wide rule, egress open", _wide(), pair([]), False),
    ("CT-05 narrowed to others", _wide(), pair([allow("tcp", "80", "192.0.2.0/24")]), False),
    ("CT-05 the wide rule covers every protocol", pair([allow()]), pair([]), False),
    ("CT-07 a wide rule, egress closed", pair([allow("tcp", "80")], b_egress=[]), pair([], b_egress=[]), True),
    ("CT-07 a wide rule, egress open for UDP only", pair([allow("tcp", "80")], b_egress=[allow("udp", "0-65535")]),
     pair([], b_egress=[allow("udp", "0-65535")]), True),
    ("CT-03 a wide rule, egress open on some ports", pair([allow("tcp", "80")], b_egress=[allow("tcp", "0-65534")]),
     pair([], b_egress=[allow("tcp", "0-65534")]), True),
    ("CT-03 a wide rule, egress open by TCP on all ports", pair([allow("tcp", "80")], b_egress=[allow("tcp", "0-65535")]),
     pair([], b_egress=[allow("tcp", "0-65535")]), False),
    ("CT-07 per family: only IPv6 egress open", pair([allow("tcp", "80")], b_egress=[allow(peer="::/0")]),
     pair([], b_egress=[allow(peer="::/0")]), True),
    ("CT-05 a wide rule beside a narrow one", pair([allow("tcp", "80"), allow("tcp", "80", HERE)]), pair([]), False),
    ("CT-06 a group reference", pair([allow("tcp", "80", "sg-a")]), pair([]), True),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "survives"), [row[1:] for row in TRACKED], ids=[row[0] for row in TRACKED])
def test_an_open_connection_after_its_rule_is_gone(
    bed: Testbed, before: list[Fragment], after: list[Fragment], survives: bool
) -> None:
    """CT-03..07, D-06: tracked connections live on, untracked ones are cut at once; new ones are refused either way."""
    bed.apply(before)
    with tcp_echo(bed.guests[B], B4, 80):
        standing = connect(bed.guests[A], A4, B4, 80)
        assert alive(standing)
        bed.apply(after)
        assert alive(standing) == survives
        assert connect(bed.guests[A], A4, B4, 80) is None


def test_untracked_ipv6(bed: Testbed) -> None:
    """CT-07: the same, independently, for IPv6."""
    bed.apply(pair([allow("tcp", "80", "::/0")], b_egress=[allow(peer="::/0")]))
    with tcp_echo(bed.guests[B], B6, 80):
        standing = connect(bed.guests[A], A6, B6, 80)
        assert alive(standing)
        bed.apply(pair([], b_egress=[allow(peer="::/0")]))
        assert not alive(standing)


def test_closing_egress_first_makes_it_tracked(bed: Testbed) -> None:
    """E2E-J J3: the flow becomes tracked by its next packet and outlives its ingress rule."""
    bed.apply(pair([allow("tcp", "80")]))
    with tcp_echo(bed.guests[B], B4, 80):
        standing = connect(bed.guests[A], A4, B4, 80)
        assert alive(standing)
        bed.apply(pair([allow("tcp", "80")], b_egress=[]))
        assert alive(standing, 2.0)
        bed.apply(pair([], b_egress=[]))
        assert alive(standing, 2.0)


def test_untracked_replies_pass_by_rule_not_by_state(bed: Testbed) -> None:
    """CT-04: an entry of an untracked flow carries no mark, so nothing is admitted by it."""
    bed.apply(pair([allow("udp", "53")]))
    with udp_echo(bed.guests[B], B4, 53):
        sock = datagram(bed.guests[A], A4)
        assert asks(sock, B4, 53)
    towards_b = [line for line in bed.connections() if "zone=2" in line and "dport=53" in line]
    assert towards_b
    assert all("mark=0" in line for line in towards_b)


def test_icmp_is_always_tracked(bed: Testbed) -> None:
    """CT-08: even under rules that would leave TCP untracked."""
    bed.apply(pair(OPEN))
    assert bed.delivered([Shot(A, icmp(A4, B4))]) == [True]
    time.sleep(0.05)
    assert [line for line in bed.connections() if line.startswith("icmp") and "zone=2" in line and "mark=2 " in line]


def test_other_protocols_are_tracked_by_addresses(bed: Testbed) -> None:
    """CT-09: packets of the same protocol from the peer are accepted, of another protocol not."""
    bed.apply(pair([allow(99, "", HERE)], b_egress=[], a_rules=[], a_egress=[allow(99, "", HERE)]))
    assert bed.delivered([Shot(B, other(B4, A4, 99))]) == [False]
    assert bed.delivered([Shot(A, other(A4, B4, 99)), Shot(B, other(B4, A4, 99)), Shot(B, other(B4, A4, 98))]) == [
        True, True, False]  # fmt: skip
    entries = [line for line in bed.connections() if " 99 " in line]
    assert entries
    assert all(590 <= int(line.split()[2]) <= 600 for line in entries), entries


@pytest.mark.parametrize(
    "deny",
    [
        {"ingress": [entry(90, "deny", "tcp", "80"), entry(100, "allow")]},
        {"egress": [entry(90, "deny", "tcp", "1024-65535"), entry(100, "allow")]},
    ],
    ids=["inbound", "outbound"],
)
def test_network_acl_cuts_tracked_connections(bed: Testbed, deny: dict[str, list[object]]) -> None:
    """CT-11, ACL-36."""
    bed.apply(pair([allow("tcp", "80", HERE)]))
    with tcp_echo(bed.guests[B], B4, 80):
        standing = connect(bed.guests[A], A4, B4, 80)
        assert alive(standing)
        bed.apply(pair([allow("tcp", "80", HERE)], acl(**deny)))  # type: ignore[arg-type]
        assert not alive(standing)
        bed.apply(pair([allow("tcp", "80", HERE)]))
        assert alive(standing, 3.0)  # TCP retries


def test_idle_times(bed: Testbed) -> None:
    """CT-13..15: the entry of each ENI ends after that ENI's own idle time."""
    short = Timeouts(tcp_established=1, udp_stream=2, udp=1)
    bed.apply(pair([allow("tcp", "80", HERE), allow("udp", "53", HERE)],
                   eni(B, 2, 2, 10, ["sg-b"], timeouts=short), b_egress=[]))  # fmt: skip
    with tcp_echo(bed.guests[B], B4, 80):
        standing = connect(bed.guests[A], A4, B4, 80)
        assert standing is not None
        assert alive(standing)
        mine = [line for line in bed.connections() if f"sport={standing.getsockname()[1]}" in line]
        (zone_b,) = [line for line in mine if "zone=2" in line and "ESTABLISHED" in line]
        (zone_a,) = [line for line in mine if "zone=1" in line and "ESTABLISHED" in line]
        assert int(zone_b.split()[2]) <= 1
        assert int(zone_a.split()[2]) > 400000
        bed.change(group("sg-b", [], []))
        time.sleep(2.2)
        assert not alive(standing)  # J6: the entry is gone, no rule admits the next packet


def test_udp_idle_times(bed: Testbed) -> None:
    """CT-15 unanswered, CT-14 answered: different times."""
    short = Timeouts(tcp_established=60, udp_stream=40, udp=1)
    bed.apply(pair([allow("udp", "53", HERE)], eni(B, 2, 2, 10, ["sg-b"], timeouts=short), b_egress=[]))
    assert bed.delivered([Shot(A, udp(A4, B4, 53, sport=4001))]) == [True]
    assert [line for line in bed.connections() if "zone=2" in line and "sport=4001" in line]
    time.sleep(1.4)
    assert not [line for line in bed.connections() if "zone=2" in line and "sport=4001" in line]
    with udp_echo(bed.guests[B], B4, 53):
        sock = datagram(bed.guests[A], A4, 4002)
        asks(sock, B4, 53)
        time.sleep(0.1)
        asks(sock, B4, 53)
    (answered,) = [line for line in bed.connections() if "zone=2" in line and "sport=4002" in line]
    assert "ASSURED" in answered or int(answered.split()[2]) <= 40


def test_restart_keeps_connections(bed: Testbed) -> None:
    """CT-20: another process takes over, knowing only the IR; base chains and entries stay."""
    fragments = pair([allow("tcp", "80", HERE)])
    bed.apply(fragments)
    with tcp_echo(bed.guests[B], B4, 80):
        standing = connect(bed.guests[A], A4, B4, 80)
        assert alive(standing)
        before = identities(bed, standing)
        assert len(before) == 2
        bed.filter.close()
        bed.filter = Filter(bed.vpc.fd, VpcTables)
        bed.filter.converge(pair([]))  # meanwhile the rule was removed
        bed.current = {k: f for k, f in bed.current.items() if k[0] != "Group"} | {
            ("Group", f.group_id): f for f in pair([]) if type(f).__name__ == "Group"}  # type: ignore[union-attr]  # fmt: skip
        assert alive(standing)
        assert identities(bed, standing) == before
        assert connect(bed.guests[A], A4, B4, 80) is None


def test_normal_close_frees_the_entry(bed: Testbed) -> None:
    """CT-21: no waiting for the idle time; the entry is on its way out."""
    bed.apply(pair([allow("tcp", "80", HERE)]))
    with tcp_echo(bed.guests[B], B4, 80):
        standing = connect(bed.guests[A], A4, B4, 80)
        assert standing is not None
        standing.close()
        time.sleep(0.2)
        entries = [line for line in bed.connections() if "dport=80" in line and "tcp" in line]
        assert entries
        assert all(int(line.split()[2]) <= 120 for line in entries), entries


def test_mid_stream_packet_without_entry(bed: Testbed) -> None:
    """CT-22: an ACK out of nowhere passes by a rule or not at all."""
    bed.apply(pair([allow("tcp", "81", HERE)]))
    shots = [Shot(A, tcp(A4, B4, 80, sport=n), flags=f) for n, f in ((1, frames.ACK), (2, frames.RST), (3, frames.FIN))]
    assert bed.delivered(shots) == [False, False, False]
    assert bed.delivered([Shot(A, tcp(A4, B4, 80, sport=9), flags=frames.SYN | frames.ACK)]) == [False]


def test_changing_groups_is_like_changing_rules(bed: Testbed) -> None:
    """CT-23: a tracked connection survives losing the group, an untracked one does not."""
    for rule, survives in ((allow("tcp", "80", HERE), True), (allow("tcp", "80"), False)):
        bed.vpc.command("conntrack", "-F")
        extra = group("sg-x", [rule])
        bed.apply(pair([], extra, eni(B, 2, 2, 10, ["sg-b", "sg-x"])))
        with tcp_echo(bed.guests[B], B4, 80):
            standing = connect(bed.guests[A], A4, B4, 80)
            assert alive(standing)
            bed.apply(pair([], extra, eni(B, 2, 2, 10, ["sg-b"])))
            assert alive(standing) == survives


def test_state_of_one_interface_is_not_anothers(bed: Testbed) -> None:
    """CT-24: in by one ENI, out by another: B2 cannot answer for what B let in."""
    second = eni("eni-b2", 9, 2, 11, ["sg-b"], check=False)
    bed.apply(pair([allow("udp", "53", HERE)], second, b_egress=[]))
    assert bed.delivered([Shot(A, udp(A4, B4, 53))]) == [True]
    answer = udp(B4, A4, 40000, sport=53)
    assert bed.delivered([Shot("eni-b2", answer)]) == [False]
    assert bed.delivered([Shot(B, answer)]) == [True]


def test_rules_never_touch_connections_of_others(bed: Testbed) -> None:
    """D-06: no flush on change."""
    bed.apply(pair([allow("tcp", "80", HERE), allow("tcp", "81", HERE)]))
    with tcp_echo(bed.guests[B], B4, 80):
        standing = connect(bed.guests[A], A4, B4, 80)
        assert alive(standing)
        entries = identities(bed, standing)
        assert len(entries) == 2
        bed.apply(pair([allow("tcp", "80", HERE)]))
        bed.apply(pair([]))
        assert identities(bed, standing) == entries


def identities(bed: Testbed, sock: socket.socket | None) -> list[str]:
    """The entries of a connection without what changes by itself: idle time, state, use count, what was judged when."""
    assert sock is not None
    mine = f"sport={sock.getsockname()[1]} dport=80 "
    lines = (re.sub(r"^.*?(?=src=)|use=\d+|\[\w+\]", "", line) for line in bed.connections() if mine in line)
    return sorted(re.sub(r"mark=(\d+)", lambda m: f"mark={int(m[1]) & BEGUN}", line) for line in lines)


def test_number_reuse_inherits_nothing(bed: Testbed) -> None:
    """An ENI that gets a freed number starts with an empty table, and the old ENI's entries are gone."""
    bed.apply(pair([allow("udp", "53", HERE)]))
    assert bed.delivered([Shot(A, udp(A4, B4, 53))]) == [True]
    assert [line for line in bed.connections() if "zone=2" in line]
    without = [f for f in pair([]) if not (isinstance(f, Interface) and f.eni_id == B)]
    bed.apply(without)
    assert not [line for line in bed.connections() if "zone=2" in line]


def test_number_passed_on_in_one_change(bed: Testbed) -> None:
    """The same when old and new ENI come in a single update, and when a restart finds the number in other hands."""
    bed.apply(pair([allow("udp", "53", HERE)]))
    assert bed.delivered([Shot(A, udp(A4, B4, 53))]) == [True]
    old = next(f for f in bed.current.values() if isinstance(f, Interface) and f.eni_id == B)
    new = replace(old, eni_id="eni-new", mac="02:00:00:00:99:99")
    bed.filter.update([new], [("Interface", B)])
    assert not [line for line in bed.connections() if "zone=2" in line]
    bed.filter.update([old], [("Interface", "eni-new")])
    assert bed.delivered([Shot(A, udp(A4, B4, 53))]) == [True]
    second = Filter(bed.vpc.fd, VpcTables)
    try:
        second.converge([f for f in bed.current.values() if f is not old] + [new])
        assert not [line for line in bed.connections() if "zone=2" in line]
        second.converge(list(bed.current.values()))
    finally:
        second.close()


def test_marks_are_set_by_the_first_direction_only(bed: Testbed) -> None:
    """A reply that the opposite rules admit must not begin a tracked flow (else CT-05 would not cut)."""
    bed.apply(pair([allow("udp", "53")]))
    with udp_echo(bed.guests[B], B4, 53):
        sock = datagram(bed.guests[A], A4)
        assert asks(sock, B4, 53)
        bed.apply(pair([]))
        assert not asks(sock, B4, 53)
    reply = Shot(B, udp(B4, A4, sock.getsockname()[1], sport=53))
    bed.delivered([reply])
    assert bed.delivered([Shot(A, udp(A4, B4, 53, sport=sock.getsockname()[1]))]) == [False]


def test_related_errors_of_tracked_flows(bed: Testbed) -> None:
    """CT-12: an ICMP error about a tracked flow arrives without a rule; about an untracked or unknown one it does not."""
    bed.apply(pair([allow("udp", "53", HERE)], a_egress=[allow("udp", "53", HERE)]))
    assert bed.delivered([Shot(A, udp(A4, B4, 53))]) == [True]
    bed.drain()
    quoted = frames.datagram(udp(A4, B4, 53))[:28]
    error = frames.network(icmp(B4, A4, 3, 4), frames.transport(icmp(B4, A4, 3, 4), quoted + b"RF\0\0\xff\xff"))
    bed.inject(B, error)
    time.sleep(0.1)
    assert [seen for where, seen in bed.captured() if where == A and seen.protocol == 1]
    unknown = frames.datagram(udp(A4, B4, 54))[:28]
    bed.inject(B, frames.network(icmp(B4, A4, 3, 4), frames.transport(icmp(B4, A4, 3, 4), unknown)))
    time.sleep(0.1)
    assert not [seen for where, seen in bed.captured() if where == A and seen.protocol == 1]


def test_denied_packets_leave_no_entry_at_the_receiver(bed: Testbed) -> None:
    bed.apply(pair([]))
    assert bed.delivered([Shot(A, tcp(A4, B4, 80))]) == [False]
    assert not [line for line in bed.connections() if "zone=2" in line]
