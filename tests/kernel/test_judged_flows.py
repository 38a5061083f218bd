"""What a flow may remember of its judgement, and what must make it forget (docs/adr/0006).

Every hazard is a scenario; every seeded fault of the memory must break the scenario it belongs to.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest

from ringfence.dataplane import linux
from ringfence.dataplane.nftables import base, conntrack, render
from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.terms import HasState, Member, Rule
from ringfence.policy.ir import Fragment
from tests.kernel import frames
from tests.kernel.streams import asks, datagram, flood, udp_echo
from tests.kernel.testbed import Shot, Testbed
from tests.kernel.worlds import (
    A4,
    A6,
    B4,
    B6,
    LOCAL_ROUTES,
    OPEN_ENTRIES,
    A,
    B,
    acl,
    allow,
    eni,
    entry,
    group,
    icmp,
    pair,
    subnet,
    table,
    tcp,
    to_eni,
    udp,
)

pytestmark = pytest.mark.netns

HERE = "10.0.0.0/8"
C = "eni-c"
NARROW = [allow("udp", "53", HERE), allow("udp", "53", "2001:db8:1::/56"), allow("tcp", "53", HERE)]
THERE, BACK = udp(A4, B4, 53), udp(B4, A4, 40000, sport=53)
DENIED_IN = acl(ingress=[entry(90, "deny", "udp", "53"), *OPEN_ENTRIES])
DENIED_OUT = acl(egress=[entry(90, "deny", "udp", "53"), *OPEN_ENTRIES])


def start(*more: Fragment) -> Testbed:
    return Testbed(pair(NARROW, *more), answering=False)


def delivered(bed: Testbed, shot: Shot, count: int = 3) -> list[bool]:
    return bed.delivered([shot] * count)


def judge(bed: Testbed) -> None:
    """A flow that everybody has let pass, both ways."""
    assert bed.delivered([Shot(A, THERE), Shot(B, BACK), Shot(A, THERE), Shot(B, BACK)]) == [True] * 4


def marks(bed: Testbed, needle: str = "dport=53") -> list[int]:
    """The connection marks of both zones' entries of a flow."""
    found = [re.search(r"mark=(\d+)", line) for line in bed.connections() if needle in line]
    return [int(each[1]) for each in found if each]


def generation(bed: Testbed) -> int:
    listed = bed.vpc.command("nft", "list", "set", "inet", "ringfence", "generation")
    (found,) = re.findall(r"0x[0-9a-f]+", listed)
    return int(found, 16)


def asked(bed: Testbed) -> int:
    """How many packets were asked again, since `count_asked`."""
    text = bed.vpc.command("nft", "list", "chain", "inet", "ringfence", "out-ask")
    text += bed.vpc.command("nft", "list", "chain", "inet", "ringfence", "in-ask")
    return sum(int(number) for number in re.findall(r"counter packets (\d+)", text))


def count_asked(bed: Testbed) -> None:
    for chain in ("out-ask", "in-ask"):
        bed.vpc.command("nft", "insert", "rule", "inet", "ringfence", chain, "counter")


# --- what is remembered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "back"),
    [(THERE, BACK), (udp(A6, B6, 53), udp(B6, A6, 40000, sport=53)), (tcp(A4, B4, 53), tcp(B4, A4, 40000, sport=53))],
    ids=["UDP", "IPv6", "TCP"],
)
def test_a_judged_flow_is_not_asked_again(there: object, back: object) -> None:
    """Two passes each way are asked once; then none, until something changes."""
    with start() as bed:
        count_asked(bed)
        first = Shot(A, there, flags=frames.SYN)  # type: ignore[arg-type]
        assert bed.delivered([first, Shot(B, back, flags=frames.SYN | frames.ACK)]) == [True, True]  # type: ignore[arg-type]
        assert asked(bed) == 4
        more = [Shot(A, there, flags=frames.ACK), Shot(B, back, flags=frames.ACK)]  # type: ignore[arg-type]
        assert bed.delivered(more * 5) == [True] * 10
        assert asked(bed) == 4
        bed.change(acl(ingress=OPEN_ENTRIES[::-1]))
        assert bed.delivered(more * 5) == [True] * 10
        assert asked(bed) == 8


def test_marks_say_what_was_judged() -> None:
    """Zone 1 began the flow outwards, zone 2 inwards; both directions are judged, under the present generation."""
    with start() as bed:
        judge(bed)
        flags = base.JUDGED[0] | base.JUDGED[1]
        dated = generation(bed) << base.GENERATION_SHIFT | flags
        assert sorted(marks(bed)) == [dated | base.BEGUN_OUT, dated | base.BEGUN_IN]


def test_untracked_flows_and_icmp_remember_nothing() -> None:
    """CT-03, CT-04: asked for every packet. ICMP: type and code are not the flow's."""
    with Testbed(pair([allow()]), answering=False) as bed:
        assert bed.delivered([Shot(A, THERE), Shot(A, icmp(A4, B4)), Shot(A, icmp(A4, B4))]) == [True] * 3
        zone2 = [line for line in bed.connections() if "zone=2" in line]
        assert sorted(int(re.findall(r"mark=(\d+)", line)[0]) for line in zone2) == [0, base.BEGUN_IN]


def test_rules_of_groups_do_not_make_flows_forget() -> None:
    """D-06: what a group's rules are now is no business of a flow that is tracked."""
    with start() as bed:
        judge(bed)
        before = generation(bed)
        bed.change(group("sg-b", []), group("sg-a", [], []))
        assert generation(bed) == before
        judge(bed)


def test_every_other_change_makes_flows_forget() -> None:
    with start() as bed:
        seen = [generation(bed)]
        for change in (acl(ingress=[]), subnet("subnet-2", 2, table_id="rtb-2"), eni(A, 1, 1, 11, ["sg-a"])):
            bed.change(table("rtb-2", 2), change)
            seen.append(generation(bed))
        bed.change(drop=[("Interface", B)])
        seen.append(generation(bed))
        assert all(one < other for one, other in pairwise(seen))


# --- hazards -----------------------------------------------------------------------------------------------------------


def an_acl_denies_from_now_on(bed: Testbed) -> None:
    """CT-11, ACL-36: the next packet of a judged flow is dropped; without the entry it passes again. Both directions,
    both sides."""
    for denied in (DENIED_IN, DENIED_OUT):
        judge(bed)
        bed.change(denied)
        assert delivered(bed, Shot(A, THERE)) == [False] * 3
        bed.change(acl())
        judge(bed)
    answers = acl(ingress=[entry(90, "deny", "udp", "40000"), *OPEN_ENTRIES])
    bed.change(answers)
    assert bed.delivered([Shot(A, THERE), Shot(B, BACK)]) == [True, False]


def another_agent_takes_over(bed: Testbed) -> None:
    """CT-20: while nobody looked, the ACL changed. What the flow remembers of the last agent's time counts for nothing."""
    judge(bed)
    before = generation(bed)
    bed.filter.close()
    bed.filter = Filter(bed.vpc.fd, VpcTables)
    bed.filter.converge(pair(NARROW, DENIED_IN))
    assert delivered(bed, Shot(A, THERE)) == [False] * 3
    assert generation(bed) > before
    bed.filter.converge(pair(NARROW))
    judge(bed)


def generations_begin_anew(bed: Testbed) -> None:
    """After the last generation comes the first; but no flow may remember the first from before."""
    judge(bed)
    (mark, _) = marks(bed)
    bed.filter._generation = base.LAST_GENERATION
    bed.change(DENIED_IN)
    assert generation(bed) == mark >> base.GENERATION_SHIFT, "the scenario proves something only then"
    assert delivered(bed, Shot(A, THERE)) == [False] * 3
    bed.change(acl())
    judge(bed)


def an_address_moves(bed: Testbed) -> None:
    """B's address goes to C, which lets nothing in: neither gets the flow's packets. Back again: B does."""
    judge(bed)
    bed.change(eni(B, 2, 2, 11, ["sg-b"]), eni(C, 3, 2, 10, ["sg-c"]), group("sg-c"))
    assert bed.delivered([Shot(A, THERE, B), Shot(A, THERE, C)] * 2) == [False] * 4
    bed.change(eni(B, 2, 2, 10, ["sg-b"]), drop=[("Interface", C)])
    judge(bed)


def a_route_leads_astray(bed: Testbed) -> None:
    """Routes and rules change one after the other: a packet that leaves by another link than its zone's is refused, however
    well its flow is known in that zone."""
    bed.change(eni(C, 3, 3, 10, ["sg-c"], check=False), group("sg-c"), subnet("subnet-3", 3))
    judge(bed)
    bed.vpc.ip(f"route replace {B4}/32 dev e3", f"neigh replace {B4} lladdr 02:00:00:00:00:03 dev e3 nud permanent")
    assert bed.delivered([Shot(A, THERE, C), Shot(A, THERE, B)]) == [False, False]
    bed.vpc.ip(f"route replace {B4}/32 dev e2")
    judge(bed)


def an_appliance_repeats_what_was_said_inside(bed: Testbed) -> None:
    """ACL-32: inside their subnet A and D speak without network ACL; the same packets from an appliance elsewhere cross the
    subnet's border, where the ACL denies them."""
    inside = udp(A4, "10.0.1.20", 53)
    closed = acl("acl-1", [], OPEN_ENTRIES)
    bed.change(
        closed, subnet("subnet-1", 1, "acl-1"), subnet("subnet-3", 3), eni("eni-d", 4, 1, 20, ["sg-b"]),
        eni(C, 3, 3, 10, ["sg-c"], check=False), group("sg-c"),
    )  # fmt: skip
    for _ in range(3):
        assert delivered(bed, Shot(A, inside)) == [True] * 3
        assert delivered(bed, Shot(C, inside, "eni-d")) == [False] * 3


def errors_are_asked_for_themselves(bed: Testbed) -> None:
    """An ICMP error belongs to the judged flow, but the network ACL denies ICMP (ACL-33, CT-12)."""
    bed.change(acl(ingress=[entry(90, "deny", "icmp"), *OPEN_ENTRIES]))
    judge(bed)
    bed.drain()
    quoted = frames.datagram(THERE)[:28]
    body = frames.transport(icmp(B4, A4, 3, 4), quoted + b"RF\0\0\xff\xff")
    bed.inject(B, frames.network(icmp(B4, A4, 3, 4), body))
    bed.send(Shot(B, BACK))
    time.sleep(0.1)
    assert {seen.protocol for where, seen in bed.captured() if where == A} == {17}


def one_direction_says_nothing_of_the_other(bed: Testbed) -> None:
    """A's packets are judged and pass, B's answers meet an ACL entry of their own."""
    bed.change(acl(egress=[entry(90, "deny", "udp", "40000"), *OPEN_ENTRIES]))
    assert delivered(bed, Shot(A, THERE)) == [True] * 3
    assert delivered(bed, Shot(B, BACK)) == [False] * 3


def the_destination_check_comes_back(bed: Testbed) -> None:
    """ENI-08: packets for addresses that are not its own no longer reach a former appliance."""
    far = udp(A4, "10.0.9.9", 53)
    routes = table(routes=(*LOCAL_ROUTES, to_eni("10.0.9.0/24", C)))
    appliance = eni(C, 3, 3, 10, ["sg-b"], check=False)
    bed.change(appliance, subnet("subnet-3", 3), routes)
    assert delivered(bed, Shot(A, far, C)) == [True] * 3
    bed.change(replace(appliance, source_dest_check=True))
    assert delivered(bed, Shot(A, far, C)) == [False] * 3


def a_spoofer_rides_no_flow(bed: Testbed) -> None:
    """B cannot send as A, nor A with another's MAC, however well A's flow is known."""
    judge(bed)
    assert bed.delivered([Shot(B, THERE)] * 3) == [False] * 3
    bed.drain()
    bed.inject(A, frames.datagram(THERE, 4242), mac="02:00:00:00:00:02")
    after = bed.send(Shot(A, THERE))
    time.sleep(0.1)
    assert {seen.marker for where, seen in bed.captured() if where == B} == {after}


Scenario = Callable[[Testbed], None]
SCENARIOS: tuple[Scenario, ...] = (
    an_acl_denies_from_now_on,
    another_agent_takes_over,
    generations_begin_anew,
    an_address_moves,
    a_route_leads_astray,
    an_appliance_repeats_what_was_said_inside,
    errors_are_asked_for_themselves,
    one_direction_says_nothing_of_the_other,
    the_destination_check_comes_back,
    a_spoofer_rides_no_flow,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__.replace("_", " "))
def test_scenario(scenario: Scenario) -> None:
    with start() as bed:
        scenario(bed)


# --- seeded faults -----------------------------------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def _without(patch: Patch, unwanted: Callable[[object], bool]) -> None:
    """`out` and `in` leave terms out."""
    true = base._judged

    def wrong(*args: object) -> tuple[Rule, ...]:
        return tuple(tuple(term for term in rule if not unwanted(term)) for rule in true(*args))  # type: ignore[arg-type]

    patch.setattr(base, "_judged", wrong)


def generation_not_renewed(patch: Patch) -> None:
    patch.setattr(VpcTables, "concerns_flows", lambda *_: False)


def generation_forgotten_by_the_next_agent(patch: Patch) -> None:
    patch.setattr(Filter, "_known_generation", lambda _: 0)


def marks_kept_when_generations_begin_anew(patch: Patch) -> None:
    patch.setattr(conntrack, "unmark", lambda *_: 0)


def link_not_compared_with_zone(patch: Patch) -> None:
    _without(patch, lambda term: isinstance(term, Member) and term.name == base.LINKS.name)


def inside_is_outside(patch: Patch) -> None:
    patch.setattr(base, "JUDGED_INSIDE", base.JUDGED)


def errors_ride_on_the_flow(patch: Patch) -> None:
    _without(patch, lambda term: isinstance(term, HasState))


def directions_share_a_flag(patch: Patch) -> None:
    patch.setattr(base, "JUDGED", (base.JUDGED[0], base.JUDGED[0]))


def interfaces_do_not_renew(patch: Patch) -> None:
    true = VpcTables.concerns_flows
    patch.setattr(
        VpcTables, "concerns_flows", lambda self, put, drop: true(self, [f for f in put if not hasattr(f, "mac")], drop)
    )


def any_source_passes(patch: Patch) -> None:
    true = render.interface_piece
    patch.setattr(
        render, "interface_piece", lambda interface, around: true(replace(interface, source_dest_check=False), around)
    )


FAULTS: tuple[tuple[Callable[[Patch], None], Scenario], ...] = (
    (generation_not_renewed, an_acl_denies_from_now_on),
    (generation_forgotten_by_the_next_agent, another_agent_takes_over),
    (marks_kept_when_generations_begin_anew, generations_begin_anew),
    (link_not_compared_with_zone, a_route_leads_astray),
    (inside_is_outside, an_appliance_repeats_what_was_said_inside),
    (errors_ride_on_the_flow, errors_are_asked_for_themselves),
    (directions_share_a_flag, one_direction_says_nothing_of_the_other),
    (interfaces_do_not_renew, the_destination_check_comes_back),
    (any_source_passes, a_spoofer_rides_no_flow),
)


@pytest.mark.parametrize(("fault", "scenario"), FAULTS, ids=[fault.__name__.replace("_", " ") for fault, _ in FAULTS])
def test_fault_is_killed(fault: Callable[[Patch], None], scenario: Scenario, monkeypatch: Patch) -> None:
    fault(monkeypatch)
    with start() as bed, pytest.raises(AssertionError):
        scenario(bed)


def test_waiting_for_packets_in_flight_waits(monkeypatch: Patch) -> None:
    """A change is renewed twice, with a wait in between: what was judged while it came into force is asked again."""
    order: list[object] = []
    with start() as bed:
        true = linux.packets_in_flight_pass

        def wait() -> None:
            order.append(generation(bed))
            true()

        monkeypatch.setattr(linux, "packets_in_flight_pass", wait)
        before = generation(bed)
        bed.change(DENIED_IN)
        assert [*order, generation(bed)] == [before + 1, before + 2]


def test_many_changes_under_a_flow() -> None:
    """After every change its rules hold for the very next packet."""
    with start() as bed:
        for _ in range(25):
            bed.change(DENIED_IN)
            assert delivered(bed, Shot(A, THERE), 2) == [False, False]
            bed.change(acl())
            assert delivered(bed, Shot(A, THERE), 2) == [True, True]


def test_200_acl_replacements_under_judged_flows() -> None:
    """A flow that every version allows loses nothing; one that the first version allowed and no later one does not get
    through again. Long and short ACLs in turn: sets and chains change."""
    long = [entry(n, "deny", "tcp", str(n)) for n in range(1, 30)]
    denies = entry(90, "deny", "udp", "54")
    versions = (acl(ingress=[denies, *OPEN_ENTRIES]), acl(ingress=[*long, denies, *OPEN_ENTRIES]))
    rules = [allow("udp", "53-54", HERE)]
    with (
        Testbed(pair(rules)) as bed,
        udp_echo(bed.guests[B], B4, 53) as allowed,
        udp_echo(bed.guests[B], B4, 54) as denied,
    ):
        good, bad = (datagram(bed.guests[A], A4, port) for port in (4053, 4054))
        assert asks(good, B4, 53)
        assert asks(bad, B4, 54)
        bed.change(versions[0])
        before, sent, running = len(denied), [0], [True]

        def traffic() -> None:
            while running:
                good.sendto(b"?", (B4, 53))
                bad.sendto(b"?", (B4, 54))
                sent[0] += 1
                time.sleep(0.001)

        heard = len(allowed)
        thread = Thread(target=traffic)
        thread.start()
        for number in range(200):
            bed.change(versions[(number + 1) % 2])
        running.clear()
        thread.join()
        time.sleep(0.5)
        assert sent[0] > 200
        assert len(denied) == before
        counts = bed.guests[B].run(lambda: Path("/proc/thread-self/net/snmp").read_text())
        assert len(allowed) - heard == sent[0], counts


def test_no_packet_meets_an_acl_without_its_sets() -> None:
    """Between the new chain of a long ACL and what its sets hold lie microseconds: enough for some of so many packets, were
    both one transaction (docs/adr/0004)."""
    long = acl(ingress=[*(entry(n, "deny", "tcp", str(n)) for n in range(1, 30)), *OPEN_ENTRIES])
    with Testbed(pair([allow("udp", "53", HERE)])) as bed:
        bed.unwatch()
        bed.vpc.command("nft", "insert", "rule", "inet", "ringfence", "refuse-acl-in", "counter")
        with flood(bed.guests[A], A4, B4, 53) as sent:
            time.sleep(0.2)
            for number in range(200):
                bed.change(acl() if number % 2 else long)
        assert sent[0] > 20_000
        assert "counter packets 0 " in bed.vpc.command("nft", "list", "chain", "inet", "ringfence", "refuse-acl-in")


def test_no_packet_meets_an_acl_without_its_sets_when_an_agent_starts() -> None:
    """The same when the ACL grew while no agent ran: the next finds the short one in the kernel, and writes every chain anew."""
    rules = [allow("udp", "53", HERE)]
    long = acl(ingress=[*(entry(n, "deny", "tcp", str(n)) for n in range(1, 30)), *OPEN_ENTRIES])
    with Testbed(pair(rules)) as bed:
        bed.unwatch()
        for command in ("add table ip heard", "add chain ip heard pre { type filter hook prerouting priority 0; }",
                        "add rule ip heard pre udp dport 53 counter"):  # fmt: skip
            bed.guests[B].command("nft", command)
        with flood(bed.guests[A], A4, B4, 53) as sent:
            time.sleep(0.2)
            for number in range(60):
                agent = Filter(bed.vpc.fd, VpcTables)
                agent.sync([*pair(rules), *([] if number % 2 else [long])])
                agent.close()
        assert sent[0] > 10_000
        assert f"counter packets {sent[0]} " in bed.guests[B].command("nft", "list", "chain", "ip", "heard", "pre")
