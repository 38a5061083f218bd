"""100,000 flows at once, counted to the packet (docs/flowlogs.md); what reading them costs."""

from __future__ import annotations

import struct
import time
from collections import Counter

import pytest

from ringfence.dataplane.nftables.counting import Place, Room
from tests.kernel import frames
from tests.kernel.test_flow_counts import covered
from tests.kernel.testbed import GUEST_LINK, Testbed
from tests.kernel.worlds import A4, B4, A, allow, pair, udp

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(300)]

FLOWS, TIMES = 100_000, 2


def test_a_hundred_thousand_flows(capsys: pytest.CaptureFixture[str]) -> None:
    with Testbed(pair([allow("udp", "0-65535", "10.0.0.0/8")]), answering=False) as bed:
        bed.filter.room = Room(passed=1 << 19)
        bed.apply(covered(bed.current.values()))
        body = bytearray(frames.datagram(udp(A4, B4, 53), size=8))
        body[26:28] = b"\0\0"  # no checksum: every flow has the same frame but for its ports
        head = frames.ethernet(bed.router_macs[A], "02:00:00:00:00:01", b"\x45")[:14]
        bed.unwatch()
        raw = bed.guests[A].run(lambda: frames.packet_socket(GUEST_LINK))
        raw.setblocking(True)
        for _ in range(TIMES):
            for number in range(FLOWS):
                struct.pack_into(">HH", body, 20, 1024 + number % 50_000, 2000 + number // 50_000)
                raw.send(head + body)
        raw.close()
        epoch = bed.filter.counting
        assert epoch is not None
        bed.filter.seal()
        time.sleep(1)
        begin, cpu = time.perf_counter(), time.process_time()
        counts = bed.filter.counted(epoch)
        took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        bed.filter.forget_counts(epoch)
    by_place = Counter[int]()
    for (*_, place), (packets, octets, _, _) in counts.flows.items():
        by_place[place] += 1
        assert (packets, octets) == (TIMES, TIMES * len(body))
    assert by_place == {Place.LEFT: FLOWS, Place.ARRIVED: FLOWS}
    assert not counts.lost
    with capsys.disabled():
        print(f"\n{2 * FLOWS} elements read in {took:.2f} s, {cpu / FLOWS / 2 * 1e6:.1f} CPU µs each")
