"""Layers of boxes: the same union, nothing overlapping within a layer, independent of the order of the rules."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.dataplane.nftables.boxes import FULL, Box, layers, merge

blocks = st.builds(
    lambda bits, length: IPv4Network((bits >> (32 - length) << (32 - length), length)),
    st.integers(0x0A000000, 0x0A00000F),
    st.sampled_from([0, 8, 28, 29, 30, 31, 32]),
)
spans = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: (min(pair), max(pair)))
boxes = st.lists(st.builds(Box, blocks, st.sampled_from([(6, 6), (17, 17), (0, 255), (5, 5)]), spans), max_size=12)


def holds(box: Box, address: int, protocol: int, value: int) -> bool:
    low, high = int(box.block.network_address), int(box.block.broadcast_address)
    inside = box.protocols[0] <= protocol <= box.protocols[1] and box.values[0] <= value <= box.values[1]
    return low <= address <= high and inside


@given(boxes, st.integers(0x0A000000, 0x0A00000F), st.sampled_from([5, 6, 17, 99]), st.integers(0, 12))
def test_union_is_kept(given_boxes: list[Box], address: int, protocol: int, value: int) -> None:
    """SG-65: all rules are considered; the most permissive wins."""
    expected = any(holds(box, address, protocol, value) for box in given_boxes)
    assert any(holds(box, address, protocol, value) for layer in layers(given_boxes) for box in layer) == expected


@given(boxes)
def test_no_overlap_within_a_layer(given_boxes: list[Box]) -> None:
    for layer in layers(given_boxes):
        for one, other in combinations(layer, 2):
            apart = (
                not one.block.overlaps(other.block)
                or one.protocols[1] < other.protocols[0]
                or other.protocols[1] < one.protocols[0]
                or one.values[1] < other.values[0]
                or other.values[1] < one.values[0]
            )
            assert apart, (one, other)


@given(boxes, st.randoms(use_true_random=False))
def test_order_does_not_matter(given_boxes: list[Box], random: object) -> None:
    shuffled = list(given_boxes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert layers(given_boxes) == layers(shuffled)


def test_contained_boxes_vanish_and_partial_overlaps_get_a_layer() -> None:
    wide = Box(IPv4Network("10.0.0.0/8"), (6, 6), (80, 90))
    inner = Box(IPv4Network("10.1.0.0/16"), (6, 6), (85, 86))
    across = Box(IPv4Network("10.1.0.0/16"), (6, 6), (88, 100))
    assert layers([inner, across, wide]) == ((wide,), (across,))


def test_ipv6_boxes() -> None:
    anything = Box(IPv6Network("::/0"), (0, 255), FULL)
    assert layers([Box(IPv6Network("2001:db8::/32"), (6, 6)), anything]) == ((anything,),)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [([(5, 9), (1, 4)], ((1, 9),)), ([(1, 2), (4, 5)], ((1, 2), (4, 5))), ([(1, 10), (2, 3)], ((1, 10),)), ([], ())],
)
def test_merge(ranges: list[tuple[int, int]], expected: tuple[tuple[int, int], ...]) -> None:
    assert merge(ranges) == expected
