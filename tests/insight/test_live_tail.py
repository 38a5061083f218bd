"""Which events a Live Tail session shows, and how many (CloudWatch Logs API Reference: StartLiveTail, LiveTailSessionUpdate)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ringfence.insight.live_tail import UPDATE_BYTES, UPDATE_EVENTS, Batch, Found, Wanted, sampled
from ringfence.insight.patterns import compile_pattern
from ringfence.model.nouns.log import LogStream


def stream(name: str = "eni-1", group: str = "flows") -> LogStream:
    return LogStream(id=name, owner_id="1", region="r", group=group, name=name, created=0, number=1)


@pytest.mark.parametrize(
    ("wanted", "name", "group", "shown"),
    [
        ({}, "eni-1", "flows", True),
        ({}, "eni-1", "other", False),
        ({"groups": ("flows", "other")}, "eni-1", "other", True),
        ({"names": ("eni-1",)}, "eni-1", "flows", True),
        ({"names": ("eni-1",)}, "eni-11", "flows", False),
        ({"names": ("eni-1",)}, "eni-1", "other", False),
        ({"prefixes": ("eni-",)}, "eni-11", "flows", True),
        ({"prefixes": ("a", "eni-1")}, "eni-11", "flows", True),
        ({"prefixes": ("a", "ni-1")}, "eni-1", "flows", False),
    ],
)
def test_streams(wanted: dict[str, Any], name: str, group: str, shown: bool) -> None:
    assert Wanted(**{"groups": ("flows",), **wanted}).has(stream(name, group)) is shown


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("", ["a 1", "b 2", "b 30\nlines"]),
        ("b", ["b 2", "b 30\nlines"]),
        ("[name, number>1]", ["b 2"]),
        ("%[23]%", ["b 2", "b 30\nlines"]),
        ("nothing", []),
    ],
)
def test_patterns_are_asked_about_each_event(pattern: str, shown: list[str]) -> None:
    wanted = Wanted(groups=("flows",), pattern=compile_pattern(pattern) if pattern else None)
    batch = Batch(1, [(n, text) for n, text in enumerate(["a 1", "b 2", "b 30\nlines"])], 9)
    assert [text for _, text in wanted.of(batch)] == shown


def some(count: int, size: int = 1) -> list[Found]:
    return [(stream(), Batch(1, (), 0), (n, "x" * size)) for n in range(count)]


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (500, 500), (501, 500), (1000, 500), (12_345, 500)])
def test_at_most_500_events_evenly_from_all_in_their_order(count: int, kept: int) -> None:
    found = [each.at for each in sampled(some(count))]
    assert len(found) == kept == min(count, UPDATE_EVENTS)
    assert found == sorted(set(found))
    if count > UPDATE_EVENTS:
        steps = [after - before for before, after in itertools.pairwise(found)]
        assert max(steps) - min(steps) <= 1


@pytest.mark.parametrize(("count", "size"), [(500, 100_000), (3, UPDATE_BYTES // 2), (1, UPDATE_BYTES * 2)])
def test_an_update_is_bounded_in_bytes_and_never_empty_for_it(count: int, size: int) -> None:
    kept = sampled(some(count, size))
    assert kept
    assert len(kept) == 1 or sum(len(each.message) for each in kept) <= UPDATE_BYTES
