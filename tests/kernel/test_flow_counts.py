"""Counting for flow logs in the kernel: every packet once, where it belongs, whatever happens meanwhile (docs/adr/0010)."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from threading import Thread

import pytest

from ringfence.dataplane import offloads
from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.counting import UNSEEN, Place, Room
from ringfence.dataplane.nftables.counts import name_of
from ringfence.dataplane.nftables.netlink import Netlink
from ringfence.dataplane.nftables.objects import FAMILY_NUMBERS, NAME
from ringfence.dataplane.nftables.terms import rule_wire
from ringfence.dataplane.plan import EDGE_VPC, LOOP_OUT
from ringfence.dataplane.verify import snapshot
from ringfence.dataplane.verify.program import program
from ringfence.policy.ir import Counting, Fragment, Interface
from ringfence.policy.packet import Packet
from tests.kernel import frames
from tests.kernel.testbed import GUEST_LINK, INTERNET, Shot, Testbed
from tests.kernel.worlds import (
    A4,
    A6,
    B4,
    B6,
    OPEN_ENTRIES,
    A,
    B,
    acl,
    allow,
    edge,
    eni,
    entry,
    icmp,
    icmp6,
    other,
    pair,
    subnet,
    tcp,
    udp,
)

pytestmark = pytest.mark.netns

RULES = [
    allow("tcp", "80", "10.0.0.0/8"), allow("udp", "53", "10.0.0.0/8"), allow("icmp", peer="10.0.0.0/8"),
    allow("tcp", "80", "2001:db8:1::/56"), allow("icmpv6", peer="2001:db8:1::/56"), allow(47, peer="10.0.0.0/8"),
    allow("tcp", "443", "203.0.113.0/24"),
]  # fmt: skip
#: (ENI, place, source, destination, ports, protocol) → packets, bytes, TCP flags
Counted = dict[tuple[str, Place, str, str, tuple[int, int], int], tuple[int, int, int]]


def covered(fragments: Iterable[Fragment], *whom: str, flags: bool = True, **what: bool) -> list[Fragment]:
    counting = Counting(flags=flags, **what)
    return [
        replace(f, counted=counting) if isinstance(f, Interface) and (f.eni_id in whom or not whom) else f
        for f in fragments
    ]


def taken(
    bed: Testbed, filter_: Filter | None = None, unasked: Counter[str] | None = None
) -> tuple[Counted, Counter[str]]:
    """Close the epoch, read all there are, and forget them. What found no room: packets by link. `unasked`: takes up, by
    link, packets that no flow log asks for."""
    filter_ = filter_ or bed.filter
    filter_.seal()
    found: Counted = {}
    lost: Counter[str] = Counter()
    for epoch in filter_.sealed():
        counts = filter_.counted(epoch)
        lost.update(counts.lost)
        if unasked is not None:
            unasked.update(counts.unasked)
        for (link, source, target, sport, dport, protocol, place), (packets, octets, flags, _) in counts.flows.items():
            ends = str(ip_address(source)), str(ip_address(target))
            key = (counts.links[name_of(link)], Place(place), *ends, (sport, dport), protocol)
            held = found.get(key, (0, 0, 0))
            found[key] = held[0] + packets, held[1] + octets, held[2] | flags
        filter_.forget_counts(epoch)
    return found, lost


def size_of(shot: Shot) -> int:
    return len(frames.datagram(shot.packet, 1, flags=shot.flags, size=shot.size))


DENIED = {
    Place.ACL_OUT: acl("acl-open", egress=[entry(90, "deny", "tcp", "80"), *OPEN_ENTRIES]),
    Place.ACL_IN: acl("acl-open", ingress=[entry(90, "deny", "tcp", "80"), *OPEN_ENTRIES]),
}


@pytest.mark.parametrize(
    "packet", [tcp(A4, B4, 80), udp(A4, B4, 53), icmp(A4, B4), other(A4, B4, 47), tcp(A6, B6, 80), icmp6(A6, B6)]
)
def test_what_passes_is_counted_once_at_each_end(packet: Packet) -> None:
    """FL-23, FL-25, FL-36: at the sender as it leaves, at the receiver as it arrives; ICMP shows no ports, only type and code."""
    shot = Shot(A, packet, size=100)
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        assert bed.delivered([shot] * 3) == [True] * 3
        found, lost = taken(bed)
    ports = {6: (packet.sport, packet.dport), 17: (packet.sport, packet.dport), 47: (0, 0)}
    ends = (str(packet.src), str(packet.dst), ports.get(packet.protocol, (packet.icmp_type << 8, 0)), packet.protocol)
    counts = (3, 3 * size_of(shot), 2 if packet.protocol == 6 else 0)
    assert found == {(A, Place.LEFT, *ends): counts, (B, Place.ARRIVED, *ends): counts}
    assert not lost


@pytest.mark.parametrize("place", [Place.SG_OUT, Place.ACL_OUT, Place.ACL_IN, Place.SG_IN, Place.DESTINATION])
def test_what_is_refused_says_by_which_layer(place: Place) -> None:
    """FL-27: a refusal is counted at the interface whose layer refuses; the sender's flow passed what its own layers asked."""
    world: list[Fragment] = pair(
        RULES if place is not Place.SG_IN else [], *([DENIED[place]] if place in DENIED else []),
        a_egress=[] if place is Place.SG_OUT else [allow(), allow(peer="::/0")],
    )  # fmt: skip
    with Testbed(covered(world), answering=False) as bed:
        if place is Place.DESTINATION:  # an owner by the map of owners, but not by the destination check
            bed.vpc.command("nft", "delete", "element", "inet", "ringfence", "destination4", f"{{ 2 . {B4} }}")
        shot = Shot(A, tcp(A4, B4, 80))
        assert bed.delivered([shot]) == [False]
        found, _ = taken(bed)
    ends, counts = (A4, B4, (40000, 80), 6), (1, size_of(shot), 2)
    if place in (Place.SG_OUT, Place.ACL_OUT):
        assert found == {(A, place, *ends): counts}
    else:
        assert found == {(A, Place.LEFT, *ends): counts, (B, place, *ends): counts}


def test_only_covered_interfaces_count_and_only_their_own_side() -> None:
    with Testbed(covered(pair(RULES), B), answering=False) as bed:
        assert bed.delivered([Shot(A, tcp(A4, B4, 80)), Shot(B, udp(B4, A4, 9))]) == [True, False]
        found, _ = taken(bed)
        assert {(who, place) for who, place, *_ in found} == {(B, Place.ARRIVED), (B, Place.LEFT)}
        bed.apply(pair(RULES))  # no flow log any more
        assert bed.filter.counting is None
        assert bed.delivered([Shot(A, tcp(A4, B4, 80))]) == [True]
        assert taken(bed) == ({}, Counter())
        assert "counts." not in bed.listing()


@pytest.mark.parametrize("of_a", ["passed", "refused"])
def test_only_what_some_flow_log_asks_for_is_counted(of_a: str) -> None:
    """FL-02, FL-87: exactly the packets with that verdict, in both directions; that there were others is known by number, and
    an interface beside that no flow log covers has neither."""
    half = {"passed": {"refused": False}, "refused": {"passed": False}}
    of_b = "refused" if of_a == "passed" else "passed"
    to_b, denied, back = udp(A4, B4, 53), udp(A4, B4, 9), udp(B4, A4, 9)
    third = eni("eni-c", 9, 1, 90, ["sg-a"])
    world = covered(covered(pair(RULES, third), A, **half[of_a]), B, **half[of_b])
    unasked: Counter[str] = Counter()
    with Testbed(world, answering=False) as bed:
        shots = [(to_b, 3), (denied, 4), (back, 5)]
        came = bed.delivered([Shot(B if p is back else A, p, size=80) for p, times in shots for _ in range(times)])
        assert came == [True] * 3 + [False] * 9
        bed.delivered([Shot("eni-c", udp("10.0.1.90", B4, 53))])
        found, lost = taken(bed, unasked=unasked)
    size = size_of(Shot(A, to_b, size=80))
    passed = {
        A: {(Place.LEFT, A4, B4, 53): 3, (Place.LEFT, A4, B4, 9): 4},
        B: {(Place.ARRIVED, A4, B4, 53): 3, (Place.LEFT, B4, A4, 9): 5, (Place.ARRIVED, "10.0.1.90", B4, 53): 1},
    }
    refused: dict[str, dict[tuple[Place, str, str, int], int]] = {
        A: {(Place.SG_IN, B4, A4, 9): 5}, B: {(Place.SG_IN, A4, B4, 9): 4},
    }  # fmt: skip
    expected = {who: (passed if how == "passed" else refused)[who] for who, how in ((A, of_a), (B, of_b))}
    assert {key: n[0] for key, n in found.items()} == {
        (who, place, source, target, (40000, port), 17): packets
        for who, flows in expected.items()
        for (place, source, target, port), packets in flows.items()
    }
    assert all(octets == packets * size for key, (packets, octets, _) in found.items() if key[2] != "10.0.1.90")
    others = {who: (refused if how == "passed" else passed)[who] for who, how in ((A, of_a), (B, of_b))}
    assert unasked == {"e1": sum(others[A].values()), "e2": sum(others[B].values())}
    assert not lost


@pytest.mark.parametrize("passed", [True, False])
def test_flags_of_half_a_log(passed: bool) -> None:
    """FL-30, FL-87: flags of a log of one traffic type, refused flows' too."""
    world = covered(pair(RULES), passed=passed, refused=not passed)
    with Testbed(world, answering=False) as bed:
        shots = [tcp(A4, B4, 80), tcp(A4, B4, 81)]
        bed.delivered([Shot(A, each, flags=flags) for each in shots for flags in (frames.SYN, frames.RST | frames.ACK)])
        found, _ = taken(bed)
    here = {key[1]: counts[2] for key, counts in found.items() if key[4] == (40000, 80 if passed else 81)}
    assert here == ({Place.LEFT: 6, Place.ARRIVED: 6} if passed else {Place.SG_IN: 6})
    assert {key[1] for key in found} == set(here)


def test_services_of_the_router_are_no_flows() -> None:
    """FL-60, FL-62, FL-63: they never reach what counts; nor does a spoofed source, which is no flow of the interface."""
    asked = [
        udp(A4, "169.254.169.253", 53), udp(A4, "10.0.0.2", 53), tcp(A4, "169.254.169.254", 80),
        udp(A4, "169.254.169.123", 123),
    ]  # fmt: skip
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        bed.delivered([*(Shot(A, each) for each in asked), Shot(A, tcp("10.0.1.99", B4, 80))])
        assert taken(bed)[0] == {}


def test_the_gateway_side() -> None:
    """IGW traffic is counted with the interface's private address, once (FL-32)."""
    world = pair(RULES, edge({"54.10.0.1": B4}))
    with Testbed(covered(world), answering=False) as bed:
        came, left = tcp("203.0.113.77", "54.10.0.1", 443), tcp(B4, "203.0.113.77", 40000, sport=443)
        assert bed.delivered([Shot(INTERNET, came, to=B)]) == [True]
        assert bed.delivered([Shot(B, left, to=INTERNET, flags=frames.SYN | frames.ACK)]) == [True]
        found, _ = taken(bed)
    assert {key: counts[0::2] for key, counts in found.items()} == {
        (B, Place.ARRIVED, "203.0.113.77", B4, (40000, 443), 6): (1, 2),
        (B, Place.LEFT, B4, "203.0.113.77", (443, 40000), 6): (1, 18),
    }


def test_flags_are_gathered() -> None:
    """FL-30: FIN, SYN and RST of all packets of a flow, or'ed; ACK counts only where it came with SYN, PSH and ECE never."""
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        for flags in (frames.SYN, frames.ACK, frames.ACK | 0x08, frames.FIN | frames.ACK, 0xC2):
            bed.delivered([Shot(A, tcp(A4, B4, 80), flags=flags)])
        found, _ = taken(bed)
        assert found[A, Place.LEFT, A4, B4, (40000, 80), 6][::2] == (5, 3)
        bed.apply(covered(pair(RULES), flags=False))  # nobody asks for flags: one element for each flow
        bed.delivered([Shot(A, tcp(A4, B4, 80), flags=frames.ACK)])
        assert taken(bed)[0][A, Place.LEFT, A4, B4, (40000, 80), 6][::2] == (1, UNSEEN)


def test_a_thousand_random_flows_across_epochs() -> None:
    """Sums per flow equal what was sent and what arrived, packet for packet and byte for byte, while epochs close under way."""
    dice = random.Random(20)
    shots = []
    for number in range(1_000):
        port = dice.choice([80, 53, 9])
        make = tcp if port == 80 else udp
        packet = make(A4, B4, port, sport=1024 + number)
        size = dice.randrange(6, 1400)
        shots += [Shot(A, packet, size=size)] * dice.randrange(1, 5)
    dice.shuffle(shots)
    total: Counter[tuple[str, Place, int, int]] = Counter()
    octets: Counter[tuple[str, Place, int, int]] = Counter()
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        arrived = Counter[int]()
        for at in range(0, len(shots), 200):
            part = shots[at : at + 200]
            for shot, came in zip(part, bed.delivered(part, settle=1.0), strict=True):
                arrived[shot.packet.sport] += came
            found, lost = taken(bed)
            assert not lost
            for (who, place, _, _, (sport, dport), _), (packets, size, _) in found.items():
                total[who, place, sport, dport] += packets
                octets[who, place, sport, dport] += size
    sent = Counter((shot.packet.sport, shot.packet.dport) for shot in shots)
    weight: Counter[tuple[int, int]] = Counter()
    for shot in shots:
        weight[shot.packet.sport, shot.packet.dport] += size_of(shot)
    for (sport, dport), packets in sent.items():
        there = Place.SG_IN if dport == 9 else Place.ARRIVED
        for where in ((A, Place.LEFT), (B, there)):
            assert (total[*where, sport, dport], octets[*where, sport, dport]) == (packets, weight[sport, dport])
        assert arrived[sport] == (0 if dport == 9 else packets)
    assert sum(total.values()) == 2 * len(shots)


def test_under_load_no_packet_is_lost_or_doubled_at_the_edge_of_an_epoch() -> None:
    """A flood of known size, judged flows among it, while epochs close as fast as they can."""
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        number, sums = 60_000, Counter[Place]()
        frame = frames.ethernet(bed.router_macs[A], "02:00:00:00:00:01", frames.datagram(udp(A4, B4, 53)))
        bed.unwatch()
        raw = bed.guests[A].run(lambda: frames.packet_socket(GUEST_LINK))
        raw.setblocking(True)

        def flood() -> None:
            for _ in range(number):
                raw.send(frame)

        thread = Thread(target=flood)
        thread.start()
        epochs = 0
        while thread.is_alive():
            for (_, place, *_), (packets, _, _) in taken(bed)[0].items():
                sums[place] += packets
            epochs += 1
        time.sleep(0.2)
        for (_, place, *_), (packets, _, _) in taken(bed)[0].items():
            sums[place] += packets
        raw.close()
    assert epochs >= 5
    assert sums == {Place.LEFT: number, Place.ARRIVED: number}


def _told(sock: socket.socket) -> tuple[int, int, int]:
    """What a TCP socket sent and got, in segments, and the bytes it sent, repeated ones too (linux/tcp.h: tcp_info)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    return (*struct.unpack_from("=II", info, 136), *struct.unpack_from("=Q", info, 200))


@pytest.mark.parametrize("cut", [True, False])
def test_segments_are_counted_as_the_wire_carries_them(cut: bool) -> None:
    """The sender's stack hands over up to 64 KiB in one piece. Sender's and receiver's sockets know how many segments that
    is: with links that cut, so do we. Without, the same test sees the difference."""
    with Testbed(covered(pair(RULES))) as bed:
        for guest in (bed.guests[A], bed.guests[B]):
            guest.set(ipv4__tcp_sack=0, ipv4__tcp_dsack=0)  # so that every header but the first has 52 bytes
        if cut:
            guests = ((bed.guests[each], GUEST_LINK) for each in (A, B))
            for namespace, device in ((bed.vpc, LOOP_OUT), (bed.edge, EDGE_VPC), *guests):
                offloads.cut_to_packets(namespace.fd, device)
                assert offloads.cuts_to_packets(namespace.fd, device)
        listener = bed.guests[B].run(lambda: socket.create_server((B4, 80)))
        client = bed.guests[A].run(lambda: socket.create_connection((B4, 80), timeout=10))
        server, _ = listener.accept()
        size, port = 8 << 20, client.getsockname()[1]
        ways = [Thread(target=one.sendall, args=(bytes(size),)) for one in (client, server)]
        ways += [Thread(target=_swallow, args=(one, size)) for one in (client, server)]
        for thread in ways:
            thread.start()
        for thread in ways:
            thread.join()
        time.sleep(0.3)  # the last acknowledgements
        sent, received, octets_sent = _told(client)
        octets_received = _told(server)[2]
        found, _ = taken(bed)
        for each in (client, server, listener):
            each.close()
    there, back = (A4, B4, (port, 80), 6), (B4, A4, (80, port), 6)
    wire_there, wire_back = octets_sent + 52 * sent + 8, octets_received + 52 * received + 8
    expected = [(sent, wire_there), (sent, wire_there), (received, wire_back), (received, wire_back)]
    keys = [(A, Place.LEFT, *there), (B, Place.ARRIVED, *there), (B, Place.LEFT, *back), (A, Place.ARRIVED, *back)]
    assert ([found[key][:2] for key in keys] == expected) is cut


def _swallow(sock: socket.socket, size: int) -> None:
    while size:
        size -= len(sock.recv(1 << 20))


def test_overflow_is_counted_to_the_packet() -> None:
    """FL-28, FL-73: what finds no room is known by number and interface."""
    with Testbed(pair(RULES), answering=False) as bed:
        bed.filter.room = Room(passed=64, refused=16)
        bed.apply(covered(pair(RULES)))
        shots = [Shot(A, udp(A4, B4, 53, sport=2000 + n)) for n in range(200)] * 2
        shots += [Shot(A, udp(A4, B4, 9, sport=2000 + n)) for n in range(100)]
        bed.delivered(shots, settle=0.5)
        found, lost = taken(bed)
    counted = Counter[str]()
    for (who, *_), (packets, _, _) in found.items():
        counted[who] += packets
    assert counted[A] + lost["e1"] == counted[B] + lost["e2"] == len(shots)
    assert lost["e1"] > 0
    assert lost["e2"] > 0
    assert sum(1 for key in found if key[1] in (Place.LEFT, Place.ARRIVED)) == 64
    assert sum(1 for key in found if key[1] is Place.SG_IN) == 16


def test_flags_that_find_no_room_are_lost_with_their_packet() -> None:
    """FL-28, FL-30: never a flow whose flags lack what was seen, but SKIPDATA; packets without flags need no such room."""
    with Testbed(pair(RULES), answering=False) as bed:
        bed.filter.room = Room(passed=64, refused=16)  # half as many flags
        bed.apply(covered(pair(RULES)))
        shots = [
            Shot(A, tcp(A4, B4, 80, sport=2000 + n), flags=flags)
            for n in range(20)
            for flags in (frames.SYN, frames.ACK)
        ]
        bed.delivered(shots, settle=0.5)
        found, lost = taken(bed)
    whole = {key for key, (_, _, flags) in found.items() if flags == frames.SYN}
    assert len(whole) == 32
    assert all(counts[0] == (2 if key in whole else 1) for key, counts in found.items())
    assert len(found) == 40
    assert lost["e1"] + lost["e2"] == 8


def test_an_agent_that_starts_anew_finds_what_was_counted() -> None:
    """Nothing lost, nothing twice, and the chain of epochs shows that none is missing."""
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        bed.delivered([Shot(A, udp(A4, B4, 53))] * 3)
        bed.filter.seal()
        bed.delivered([Shot(A, udp(A4, B4, 53))] * 2)
        first = bed.filter.counting
        other_agent = Filter(bed.vpc.fd, VpcTables)
        try:
            other_agent.converge(bed.current.values())
            epochs = list(other_agent.sealed())
            assert first in epochs
            assert len(epochs) == 2
            assert other_agent.counting is not None
            begins = [0, *(epoch.begin for epoch in epochs), other_agent.counting.begin]
            assert [epoch.previous for epoch in (*epochs, other_agent.counting)] == begins[:-1]
            bed.delivered([Shot(A, udp(A4, B4, 53))])
            found, _ = taken(bed, other_agent)
            assert found[A, Place.LEFT, A4, B4, (40000, 53), 17][0] == 6
            assert taken(bed, other_agent)[0] == {}
        finally:
            other_agent.close()


def test_a_number_that_passes_on_takes_no_counts_with_it() -> None:
    """The interface's counts are its own, though another has its link before they are read."""
    with Testbed(covered(pair(RULES, eni("eni-old", 7, 1, 70, ["sg-a"]))), answering=False) as bed:
        bed.delivered([Shot("eni-old", udp("10.0.1.70", B4, 53))])
        bed.apply(covered(pair(RULES)))
        bed.apply(covered(pair(RULES, eni("eni-new", 7, 1, 71, ["sg-a"]))))
        bed.delivered([Shot("eni-new", udp("10.0.1.71", B4, 53))] * 2)
        found, _ = taken(bed)
    left = {who: counts[0] for (who, place, *_), counts in found.items() if place is Place.LEFT}
    assert left == {"eni-old": 1, "eni-new": 2}


def test_an_interface_covered_from_its_birth_misses_nothing() -> None:
    """FL-14: another interface of a covered subnet is counted from its first packet."""
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        bed.apply(covered(pair(RULES, subnet("subnet-2", 2), eni("eni-c", 9, 1, 90, ["sg-a"]))))
        assert bed.delivered([Shot("eni-c", udp("10.0.1.90", B4, 53))]) == [True]
        assert ("eni-c", Place.LEFT) in {key[:2] for key in taken(bed)[0]}


def test_nft_can_list_it() -> None:
    """nft(8) of Debian 12 aborts at rules whose parts it cannot name: an operator must be able to look."""
    with Testbed(covered(pair(RULES))) as bed:
        listing = bed.listing()
    assert "chain lost-left" in listing
    assert '"e2" comment "eni-b"' in listing


@pytest.mark.parametrize(("flags", "refused"), [(True, True), (False, True), (True, False)])
def test_what_counts_reads_back_as_it_was_written(flags: bool, refused: bool) -> None:
    """Else `ringfence verify` takes it for drift, and closes the VPC until it is repaired."""
    with Testbed(covered(pair(RULES), flags=flags, refused=refused), answering=False) as bed:
        bed.delivered([Shot(A, udp(A4, B4, 53))])
        bed.filter.seal()
        netlink = bed.vpc.run(Netlink)
        try:
            there = snapshot.read(netlink, bed.vpc.fd).tables[FAMILY_NUMBERS["inet"], NAME].chains
        finally:
            netlink.close()
        (table,) = (each for each in bed.filter.tables() if each.family == "inet")
        for name, chain in table.chains.items():
            assert there[name].programs == [program(rule_wire(rule)) for rule in chain.rules], name


def test_counts_that_are_gone_are_not_read_as_none() -> None:
    """Somebody deleted the sets: that is a failure, never an empty epoch."""
    with Testbed(covered(pair(RULES)), answering=False) as bed:
        bed.delivered([Shot(A, udp(A4, B4, 53))])
        bed.filter.seal()
        (epoch,) = bed.filter.sealed()
        bed.vpc.command("nft", "delete", "set", "inet", "ringfence", epoch.name("passed4"))
        with pytest.raises(OSError, match="No such file"):
            bed.filter.counted(epoch)
        bed.filter.forget_counts(epoch)  # what is left of it
        assert epoch.name("refused4") not in bed.listing()
