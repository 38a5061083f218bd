"""`World.touched_since`: what a compiler may skip. Saying too little would leave packets judged by old rules."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.kinds import KINDS
from ringfence.model.row import Row
from ringfence.model.world import Change, World, put
from tests.builders import changed, eni, group, subnet, vpc, without, world

ROWS: list[Row] = [
    group("a"), group("b"), eni("x", "10.0.0.10", groups=["a"]), eni("x", "10.0.0.10", groups=["b"]),
    eni("x", "10.0.0.11", groups=["a", "b"]), eni("y", "10.0.0.12", groups=["b"]), subnet("s", "10.0.0.0/24"),
]  # fmt: skip
START = world(vpc())


def places(w: World) -> dict[tuple[str, ...], list[Row]]:
    """Everything that can be read, and what it reads as."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for kind, row in w:
        found[kind.noun, row.id] = [row]
        for name, of in kind.indexes.items():
            for key in of(row):
                found[kind.noun, name, key] = w.by(kind, name, key)
    return found


@given(st.lists(st.tuples(st.sampled_from(ROWS), st.booleans()), max_size=8), st.integers(0, 8))
@settings(max_examples=200, deadline=None)
def test_every_place_that_reads_differently_is_touched(steps: list[tuple[Row, bool]], at: int) -> None:
    worlds = [START]
    for row, add in steps:
        w = worlds[-1]
        held = {found.id for kind, found in w if kind is KINDS[kind.noun]}
        worlds.append(changed(w, row) if add else without(w, row) if row.id in held else w)
    before, after = worlds[min(at, len(worlds) - 1)], worlds[-1]
    touched = after.touched_since(before)
    assert touched is not None
    old, new = places(before), places(after)
    differing = {place for place in old.keys() | new.keys() if not _same(old.get(place, []), new.get(place, []))}
    assert differing <= touched


def _same(one: list[Row], other: list[Row]) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def test_itself() -> None:
    assert START.touched_since(START) == frozenset()


def test_no_ancestor() -> None:
    """Siblings, descendants and Worlds without a history: None, never an empty set."""
    left, right = changed(START, group("a")), changed(START, group("b"))
    assert left.generation == right.generation
    assert left.touched_since(right) is None
    assert START.touched_since(left) is None
    assert left.touched_since(World()) is None
    assert World().touched_since(World()) is None


def test_large_changes_and_long_histories_are_not_told() -> None:
    many = [eni(f"e{n}", f"10.0.{n // 200}.{n % 200 + 1}") for n in range(300)]
    assert changed(START, many).touched_since(START) is None
    w = START
    for _ in range(70):
        w = changed(w, group("a"))
    assert w.touched_since(START) is None


@given(st.lists(st.tuples(st.sampled_from(ROWS), st.booleans()), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_change_applied_again_leads_to_the_same_world_and_only_from_there(steps: list[tuple[Row, bool]]) -> None:
    """What is remembered of the last application is never given to another World or another change."""
    w = START
    for row, _ in steps:
        change = put(next(kind for kind in KINDS.values() if kind.row is type(row)), row)
        once = w.apply(change)
        assert w.apply(change) is once
        elsewhere = once.apply(change)
        assert elsewhere.generation == once.generation + 1
        fresh = w.apply(Change(tuple(step for step in change.steps)))
        assert (places(fresh), fresh.generation) == (places(once), once.generation)
        assert places(w.apply(change)) == places(once)
        w = once
