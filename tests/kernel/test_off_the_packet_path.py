"""What flow logs cost a packet: nothing that decides whether it arrives (Amazon VPC User Guide, "Logging IP traffic using VPC Flow
Logs": they do not affect throughput or latency). What they cost in CPU is measured (docs/benchmarks.md)."""

from __future__ import annotations

from ringfence.dataplane.nftables.counting import Room
from tests.kernel.test_flow_counts import RULES, covered
from tests.kernel.testbed import Shot, Testbed
from tests.kernel.worlds import A4, B4, A, pair, tcp, udp


def test_counted_or_not_and_with_no_room_left_the_same_packets_arrive() -> None:
    """FL-17: without flow logs, with them, and where nobody reads the counters until they are full."""
    shots = [Shot(A, udp(A4, B4, port, sport=2000 + n)) for n in range(150) for port in (53, 9)]
    shots += [Shot(A, tcp(A4, B4, 80, sport=4000 + n)) for n in range(100)]
    with Testbed(pair(RULES), answering=False) as bed:
        plain = bed.delivered(shots, settle=0.5)
        bed.apply(covered(pair(RULES)))
        counted = bed.delivered(shots, settle=0.5)
    with Testbed(pair(RULES), answering=False) as bed:
        bed.filter.room = Room(passed=16, refused=4)
        bed.apply(covered(pair(RULES)))
        full = bed.delivered(shots, settle=0.5)
    assert plain == counted == full
    assert sum(map(bool, plain)) == 250
