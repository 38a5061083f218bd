"""The algebra of packet sets, against sets that are written out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.dataplane.verify import packets as p

ASKED = (p.STATE, p.PROTOCOL, p.PORT, p.SOURCE)
VALUES = st.integers(0, 9)
SPANS = st.tuples(VALUES, VALUES).map(lambda pair: (min(pair), max(pair)))
BOXES = st.lists(st.dictionaries(st.sampled_from(ASKED), SPANS), max_size=5)
PACKETS = st.fixed_dictionaries(dict.fromkeys(ASKED, st.integers(0, 10)))


def inside(boxes: list[dict[int, p.Interval]], packet: dict[int, int]) -> bool:
    return any(all(low <= packet[field] <= high for field, (low, high) in box.items()) for box in boxes)


@given(BOXES, BOXES, PACKETS)
def test_operations_are_those_of_sets(
    one: list[dict[int, p.Interval]], two: list[dict[int, p.Interval]], at: dict[int, int]
) -> None:
    a, b, in_a, in_b = p.boxes(one), p.boxes(two), inside(one, at), inside(two, at)
    assert p.has(a, at) == in_a
    assert p.has(p.both(a, b), at) == (in_a and in_b)
    assert p.has(p.either(a, b), at) == (in_a or in_b)
    assert p.has(p.without(a, b), at) == (in_a and not in_b)
    assert p.has(p.outside(a), at) == (not in_a)


@given(BOXES, BOXES)
def test_equal_sets_are_the_same_number(one: list[dict[int, p.Interval]], two: list[dict[int, p.Interval]]) -> None:
    a, b = p.boxes(one), p.boxes(two)
    assert a == p.union(p.box(each) for each in reversed(one))
    assert p.either(a, b) == p.boxes([*two, *one])
    assert p.without(a, b) == p.outside(p.either(p.outside(a), b))
    assert p.both(a, p.outside(a)) == p.NONE


@given(BOXES)
def test_an_example_is_one_of_them(one: list[dict[int, p.Interval]]) -> None:
    found = p.example(p.boxes(one))
    assert (found is None) == (not one)
    assert found is None or p.has(p.boxes(one), found)
