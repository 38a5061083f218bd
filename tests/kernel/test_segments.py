"""Pieces of many segments that stay whole are counted as what they would be cut to (docs/adr/0016).

Where the program may not be loaded, links are cut (test_flow_counts.py), and there is nothing to test here.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from threading import Thread

import pytest

from ringfence.dataplane import bpf, classifiers, offloads, segments
from ringfence.dataplane.nftables.counting import Place
from ringfence.dataplane.offloads import Cut
from ringfence.dataplane.plan import EDGE_VPC, GATEWAY, LOOP_IN, LOOP_OUT
from ringfence.policy.ir import Interface
from ringfence.policy.packet import Packet
from tests.kernel import frames
from tests.kernel.isolation import isolated
from tests.kernel.test_flow_counts import RULES, Counted, covered, taken
from tests.kernel.testbed import GUEST_LINK, Namespace, Testbed
from tests.kernel.worlds import A4, A6, B4, B6, A, B, allow, edge, pair, tcp, udp

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def program() -> int:
    try:
        loaded = bpf.load_classifier(segments.program(), segments.NAME)
    except OSError as problem:
        if problem.errno not in (errno.EPERM, errno.ENOSYS):
            raise
        pytest.skip(f"only who may load programs has them tell segments: {problem}")
    return loaded


def arranged(bed: Testbed, program: int | None) -> Testbed:
    """Links that cut, or with a program links where TCP's pieces tell."""
    if program is not None:
        with classifiers.links(bed.vpc.fd) as links:
            for entrance in ("e1", "e2", LOOP_IN):
                links.attach(entrance, program, segments.NAME)
                assert links.attached(entrance) == [classifiers.tag_of(program)]
    for namespace, device in ((bed.vpc, LOOP_OUT), (bed.guests[A], GUEST_LINK), (bed.guests[B], GUEST_LINK)):
        offloads.cut_to_packets(namespace.fd, device, Cut.ALL if program is None else Cut.UNTOLD)
    return bed


# ---------------------------------------------------------------------- streams
@dataclass(frozen=True)
class Stream:
    """One TCP connection with data both ways. `losing`: every so many packets one does not come."""

    ends: tuple[str, str]
    mtu: int = 9001
    timestamps: bool = True
    losing: int = 0

    @property
    def header(self) -> int:
        return (20 if "." in self.ends[0] else 40) + 20 + 12 * self.timestamps


STREAMS = (
    Stream((A4, B4)),
    Stream((A6, B6)),
    Stream((A4, B4), mtu=1500),
    Stream((A6, B6), mtu=1500, timestamps=False),
    Stream((A4, B4), timestamps=False, losing=60),
)


@dataclass(frozen=True)
class Told:
    """What a socket says: segments that it sent, and the bytes in them, repeated ones too (linux/tcp.h: tcp_info)."""

    segments: int
    octets: int


def _told(sock: socket.socket) -> Told:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    return Told(*struct.unpack_from("=I", info, 136), *struct.unpack_from("=Q", info, 200))


def _swallow(sock: socket.socket, size: int) -> None:
    while size:
        size -= len(sock.recv(1 << 20))


@contextmanager
def conversation(
    bed: Testbed, stream: Stream, asker: Namespace | None = None, asked: str | None = None, size: int = 3 << 20
) -> Iterator[tuple[tuple[int, Told], tuple[int, Told]]]:
    """Both ways at once; of client and server: the port, and what it sent. `asker`: the client's place; `asked`: whom it asks."""
    asker, asked = asker or bed.guests[A], asked or stream.ends[1]
    for guest in (asker, bed.guests[B]):
        # no blocks of selective acknowledgements: every header but the first has the same length
        guest.set(ipv4__tcp_sack=0, ipv4__tcp_dsack=0, ipv4__tcp_timestamps=int(stream.timestamps))
        guest.command("ip", "link", "set", GUEST_LINK, "mtu", str(stream.mtu), check=guest is not bed.internet)
        rule = f"numgen inc mod {stream.losing} {stream.losing - 1} drop" if stream.losing else "accept"
        guest.command("nft", "-f", "-", text="table inet loss { chain in { type filter hook input priority 0; }; }; "
                      f"flush chain inet loss in; add rule inet loss in {rule}")  # fmt: skip
    family = socket.AF_INET if "." in stream.ends[0] else socket.AF_INET6
    listener = bed.guests[B].run(lambda: socket.create_server((stream.ends[1], 80), family=family))
    bound = (stream.ends[0], 0)
    client = asker.run(lambda: socket.create_connection((asked, 80), timeout=20, source_address=bound))
    server, _ = listener.accept()
    ways = [Thread(target=one.sendall, args=(bytes(size),)) for one in (client, server)]
    ways += [Thread(target=_swallow, args=(one, size)) for one in (client, server)]
    for thread in ways:
        thread.start()
    for thread in ways:
        thread.join()
    time.sleep(0.5 if stream.losing else 0.4)  # the last acknowledgements
    answered = _told(server)  # but for the segment that accepted the connection, which was no socket's yet
    yield (client.getsockname()[1], _told(client)), (80, Told(answered.segments + 1, answered.octets))
    for each in (client, server, listener):
        each.close()


def test_streams_are_counted_to_the_segment_and_byte(program: int) -> None:
    """Each at both of its ends, with and without timestamps, at both MTUs, with segments sent again: as the sockets say."""
    with arranged(Testbed(covered(pair(RULES))), program) as bed:
        for stream in STREAMS:
            with conversation(bed, stream) as ((port, client), (_, server)):
                found, lost = taken(bed)
            assert not lost
            for ends, ports, sent, where in (
                (stream.ends, (port, 80), client, (A, B)),
                (stream.ends[::-1], (80, port), server, (B, A)),
            ):
                wire = sent.octets + stream.header * sent.segments + 8  # the first header has eight bytes more
                left, came = (
                    (who, p, *ends, ports, 6) for who, p in zip(where, (Place.LEFT, Place.ARRIVED), strict=True)
                )
                assert found[left][:2] == (sent.segments, wire), stream
                assert found[came][:2] == found[left][:2]
            assert sum(counts[0] for counts in found.values()) > 1000


def test_streams_through_the_gateway(program: int) -> None:
    """What comes from the internet has 1,500 bytes at most, and comes by another link; one interface counts it."""
    world = pair([*RULES, allow("tcp", "80", "203.0.113.0/24")], edge({"54.10.0.1": B4}))
    with arranged(Testbed(covered(world)), program) as bed:
        offloads.cut_to_packets(bed.edge.fd, EDGE_VPC, Cut.UNTOLD)
        with classifiers.links(bed.vpc.fd) as links:
            links.attach(GATEWAY, program, segments.NAME)
        stream = Stream(("203.0.113.9", B4), mtu=1500)
        with conversation(bed, stream, bed.internet, "54.10.0.1") as ((port, client), (_, server)):
            found, lost = taken(bed)
    there, back = ((*stream.ends, (port, 80), 6), client), ((*stream.ends[::-1], (80, port), 6), server)
    for place, ((*ends,), sent) in ((Place.ARRIVED, there), (Place.LEFT, back)):
        wire = sent.octets + stream.header * sent.segments + 8
        assert found[B, place, *ends][:2] == (sent.segments, wire)
    assert not lost
    assert len(found) == 2


# ---------------------------------------------------------------------- by hand
SOL_PACKET, VNET_HDR = 263, 15  # linux/if_packet.h
TCP4, TCP6, UDP = 1, 4, 5  # kinds of pieces of virtio's header (linux/virtio_net.h)


@dataclass(frozen=True)
class Piece:
    """A packet that a guest hands over as a piece, with a header of its own making. `before`: extension headers."""

    packet: Packet
    payload: int
    segment: int
    kind: int
    options: int = 0  # bytes, of TCP
    before: tuple[int, ...] = ()  # kinds of extension headers
    fragment: int = 0
    short: int = 0  # its header says so many bytes less than there are

    def frame(self, to: str, mac: str) -> bytes:
        head = struct.pack(
            "=BBHHHH",
            1,
            self.kind,
            self.ahead() + self.transport(),
            self.segment,
            self.ahead(),
            16 if self.kind != UDP else 6,
        )
        return head + frames.ethernet(to, mac, self.body())

    def transport(self) -> int:
        return 8 if self.kind == UDP else 20 + self.options

    def ahead(self) -> int:
        return 14 + (20 if self.kind == TCP4 or "." in str(self.packet.src) else 40) + 8 * len(self.before)

    def body(self) -> bytes:
        p = self.packet
        if self.kind == UDP:
            inner = struct.pack(">HHHH", p.sport, p.dport, 8 + self.payload, 0)
        else:
            inner = struct.pack(
                ">HHIIBBHHH", p.sport, p.dport, 1, 1, (self.transport() // 4) << 4, frames.ACK, 99, 0, 0
            )
            inner += b"\1" * self.options
        following = [*self.before[1:], p.protocol]
        chain = b"".join(struct.pack(">BB6B", kind, 0, 1, 4, 0, 0, 0, 0) for kind in following[: len(self.before)])
        inner = chain + inner + bytes(self.payload)
        made = frames.network(p, inner, fragment=self.fragment)
        if isinstance(p.src, IPv6Address):
            first = self.before[0] if self.before else p.protocol
            return made[:4] + struct.pack(">HB", len(inner) - self.short, first) + made[7:]
        if not self.short:
            return made
        head = made[:2] + struct.pack(">H", len(made) - self.short) + made[4:10] + bytes(2) + made[12:20]
        return head[:10] + struct.pack(">H", frames.checksum(head)) + head[12:] + made[20:]


def _pieces() -> list[Piece]:
    shapes = [
        (9000, 1000),
        (9001, 1000),
        (8999, 1000),
        (500, 499),
        (40, 1),
        (3000, 8),
        (60000, 1448),
        (1000, 1000),
        (1001, 1000),
    ]
    made = [Piece(tcp(A4, B4, 80, sport=2000 + n), *shape, TCP4) for n, shape in enumerate(shapes)]
    made += [Piece(tcp(A6, B6, 80, sport=2100 + n), *shape, TCP6) for n, shape in enumerate(shapes)]
    made += [Piece(tcp(A4, B4, 81, sport=2200), 5000, 1200, TCP4)]  # refused by the second pass
    made += [Piece(tcp(A4, B4, 80, sport=2300 + n), 5000, 1200, TCP4, options=n) for n in (12, 40)]
    for n, before in enumerate(((60,), (0, 60), (0, 43, 60), (60,) * 8)):
        made.append(Piece(tcp(A6, B6, 80, sport=2400 + n), 5000, 1200, TCP6, before=before))
    made += [Piece(udp(A4, B4, 53, sport=2500), 5000, 1200, UDP), Piece(udp(A6, B6, 53, sport=2501), 5000, 1200, UDP)]
    return made


def handed_over(bed: Testbed, pieces: list[Piece]) -> tuple[Counted, Counter[str], list[str]]:
    """What is counted of them, what is lost, and which of them the guest's own kernel took."""
    raw, sender = bed.guests[A].run(lambda: frames.packet_socket(GUEST_LINK)), bed.current["Interface", A]
    assert isinstance(sender, Interface)
    raw.setsockopt(SOL_PACKET, VNET_HDR, 1)
    took: list[str] = []
    for piece in pieces:
        try:
            raw.send(piece.frame(bed.router_macs[A], sender.mac))
        except OSError as problem:
            took.append(str(problem))
        else:
            took.append("")
    raw.close()
    time.sleep(0.3)
    return *taken(bed), took


def test_what_a_guest_makes_up_is_counted_as_links_would_cut_it(program: int) -> None:
    """Headers of pieces are the guest's to write (virtio's, by a packet socket): its kernel looks whether they make sense,
    and what comes through counts the same in both ways."""
    pieces = _pieces()
    with arranged(Testbed(covered(pair(RULES)), answering=False), None) as bed:
        cut = handed_over(bed, pieces)
    with arranged(Testbed(covered(pair(RULES)), answering=False), program) as bed:
        told = handed_over(bed, pieces)
    odd = {
        k: (cut[0].get(k), told[0].get(k)) for k in cut[0].keys() | told[0].keys() if cut[0].get(k) != told[0].get(k)
    }
    assert not odd
    assert told == cut
    assert cut[2].count("") >= len(pieces) - 2
    assert cut[0][A, Place.LEFT, A4, B4, (2001, 80), 6][0] == 10
    assert {key[4][0] for key in cut[0]} >= {2200, 2312, 2403, 2500}


def test_what_lies_behind_a_packets_end_is_no_part_of_it(program: int) -> None:
    """The kernel takes it away after the program has looked; what goes on is what counts."""
    short = [Piece(tcp(A4, B4, 80, sport=2000 + n), 5000, 1200, TCP4, short=n) for n in (900, 1900)]
    with arranged(Testbed(covered(pair(RULES)), answering=False), program) as bed:
        found, lost, _ = handed_over(bed, short)
    for piece, many in zip(short, (4, 3), strict=True):
        counts = many, 5000 - piece.short + 40 * many, 0
        ends = (A4, B4, (piece.packet.sport, 80), 6)
        assert found[A, Place.LEFT, *ends] == found[B, Place.ARRIVED, *ends] == counts
    assert not lost


def test_what_cannot_be_told_is_lost_by_number(program: int) -> None:
    """More extension headers than any stack sends, and a fragment: the interface has SKIPDATA, never a wrong number."""
    odd = [
        Piece(tcp(A6, B6, 80, sport=2000), 5000, 1200, TCP6, before=(60,) * 9),
        Piece(tcp(A4, B4, 80, sport=2001), 5000, 1200, TCP4),
    ]
    with arranged(Testbed(covered(pair(RULES)), answering=False), program) as bed:
        found, lost, took = handed_over(bed, odd)
    assert took == ["", ""]
    assert {key[4][0] for key in found} == {2001}
    assert lost == {"e1": 1, "e2": 1}


# ---------------------------------------------------------------------- agents
def test_agents_attach_look_and_fall_back(program: int) -> None:
    """The program is at every entrance; what was taken away or let loose is found and put back, and an agent that may not
    use it cuts what another left whole."""
    said = isolated("telling", str(program), keep=(program,))
    assert said == {
        "told": [True, []], "pieces": True, "taken away": sorted(said["covered"]), "back": [True, []],
        "foreign": sorted(said["covered"]), "alone": [True, []], "loose": [said["covered"][0]], "anew": [True, []],
        "without": [False, []], "cut": True, "again": [True, []], "covered": said["covered"], "off": [], "priority": "0",
        "laid": [True, *said["covered"]],
    }  # fmt: skip


def test_streams_between_peers_are_counted_by_both(program: int) -> None:
    """The whole data plane, which arranges its links itself; both VPCs count every segment once, and verification, with the
    proof, finds what it should."""
    said = isolated("telling", str(program), "peers", keep=(program,))
    assert said["told"] == [True, True]
    sent = said["sent"]
    assert sent["segments"] < 800  # 9,001 bytes at most
    wire = [sent["segments"], sent["octets"] + 52 * sent["segments"] + 8]
    assert said["counted"] == {"a": wire, "b": wire}
    assert said["pieces"] < sent["segments"] / 3  # or nothing was shown
    assert said["findings"] == []
    assert said["problems"] == []
