"""What holds a composite alarm's actions back, for any course of events (CloudWatch User Guide: "Composite alarm action suppression").

The guide's examples, over time and through the API: `tests/api/test_alarm_suppression.py`.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ringfence.insight.metrics.suppression import By, Held, Suppressor, at_change, later

#: seconds that pass, and what happens then: the alarm's state changes, the suppressor's does, or nothing
EVENTS = st.lists(st.tuples(st.integers(1, 200), st.sampled_from(["change", "suppressor", ""])), max_size=20)


@given(EVENTS, st.integers(0, 300), st.integers(0, 300))
def test_actions_are_held_back_only_as_long_as_something_holds_them_and_never_lost(
    events: list[tuple[int, str]], wait: int, extension: int
) -> None:
    suppressor = Suppressor(in_alarm=False, changed=0, wait=wait, extension=extension)
    now, due, held = 0.0, 0, None
    changes = called = 0
    for span, event in [*events, (1, "end")]:
        now += span
        if event == "suppressor" or (event == "end" and suppressor.in_alarm):
            suppressor = replace(suppressor, in_alarm=not suppressor.in_alarm, changed=now)
        if held is not None:
            held = later(held, suppressor, now)
            called += held is None
            due -= held is None
        if event == "change":
            changes += 1
            held, due = at_change(suppressor, now), 1
            called += held is None
            due -= held is None
        if held is not None:
            assert due == 1
            assert suppressor.in_alarm == (held.by is By.ALARM)
            assert now - held.since < {By.WAIT: wait, By.EXTENSION: extension}.get(held.by, float("inf"))
    if held is not None:  # the suppressor is out of ALARM for good
        assert later(held, suppressor, now + max(wait, extension)) is None
        called += 1
    assert called <= changes
    assert (called > 0) == (changes > 0)


def test_a_wait_begins_anew_with_each_change() -> None:
    quiet = Suppressor(in_alarm=False, changed=0, wait=120, extension=180)
    assert at_change(quiet, 100) == Held(By.WAIT, 100)
    assert later(Held(By.WAIT, 100), quiet, 219) == Held(By.WAIT, 100)
    assert later(Held(By.WAIT, 100), quiet, 220) is None


def test_an_extension_begins_when_the_suppressor_left() -> None:
    left = Suppressor(in_alarm=False, changed=300, wait=120, extension=180)
    assert later(Held(By.ALARM, 100), left, 310) == Held(By.EXTENSION, 300)
    assert later(Held(By.ALARM, 100), left, 480) is None
