"""What pieces tell, and the sums that follow from it (docs/adr/0016). That the kernel counts so: tests/kernel/test_segments.py."""

from __future__ import annotations

import struct

import pytest

from ringfence.dataplane import bpf, segments
from ringfence.dataplane.nftables import counts
from ringfence.dataplane.nftables.counting import Place
from ringfence.dataplane.nftables.counts import Counts

LINK = struct.pack("=I", 7)
ENDS = (bytes((10, 0, 1, 10)), bytes((10, 0, 2, 10)))


def _element(told: int, packets: int, octets: int, flags: int = 0) -> tuple[object, ...]:
    return (LINK, 6, flags, Place.LEFT, 40000, 80, struct.pack("=I", told), *ENDS, octets, packets, counts.KEEP_MS)


@pytest.mark.parametrize(
    ("told", "means"),
    [
        (0, (1, 0)), (52 << 16 | 1, (2, 52)), (40 << 16 | 0xFFFF, (65536, 40)), (segments.UNTOLD, None), (6, None),
        (52 << 16, None), (39 << 16 | 1, None),
    ],
)  # fmt: skip
def test_what_a_priority_means(told: int, means: tuple[int, int] | None) -> None:
    """6 is what the kernel makes of "low delay": nothing that the program says."""
    assert segments.told(told) == means


def test_pieces_become_packets_of_their_flow() -> None:
    """Two pieces of three segments: four headers more than the pieces had. What does not tell is lost, as so many packets."""
    found = Counts({}, {"e7": 1}, {}, {})
    elements = [_element(0, 5, 500), _element(52 << 16 | 2, 2, 6000), _element(segments.UNTOLD, 3, 9000)]
    counts._add(found, elements, at=2_000_000, span=(0, 3_000_000))
    assert found.flows == {(LINK, *ENDS, 40000, 80, 6, Place.LEFT): [5 + 6, 500 + 6000 + 4 * 52, 0, 2_000_000]}
    assert found.lost == {"e7": 4}


def test_a_program_is_what_its_lines_say() -> None:
    """Jumps count instructions, not labels; numbers are signed (linux/bpf.h: struct bpf_insn)."""
    lines: list[bpf.Line] = [bpf.jump_if(1, "==", 3, "end"), bpf.do(0, "=", 0xFFFFFFFF), bpf.Label("end"), bpf.leave()]
    assert bpf.assembled(lines) == b"".join(
        struct.pack("=BBhi", *each) for each in ((0x16, 1, 1, 3), (0xB4, 0, 0, -1), (0x95, 0, 0, 0))
    )
    with pytest.raises(KeyError):
        bpf.assembled([bpf.jump("nowhere")])
