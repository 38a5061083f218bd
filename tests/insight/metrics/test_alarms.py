"""States of alarms (CloudWatch User Guide: "Configuring how CloudWatch alarms treat missing data"; MON-04…06)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.insight.metrics.alarms import EXTRA, Missing, State, verdict

OK, ALARM, NO_DATA = State.OK, State.ALARM, State.INSUFFICIENT_DATA
ORDER = (Missing.MISSING, Missing.IGNORE, Missing.BREACHING, Missing.NOT_BREACHING)
SLOTS = {"0": False, "X": True, "-": None}

#: the guide's two tables: data points (the newest on the right), how many must be filled, and the state of each treatment
GUIDE: list[tuple[int, str, int, tuple[State | None, ...]]] = [
    (3, "0 - X - X", 0, (OK, OK, OK, OK)),
    (3, "0 - - - -", 2, (OK, OK, OK, OK)),
    (3, "- - - - -", 3, (NO_DATA, None, ALARM, OK)),
    (3, "0 X X - X", 0, (ALARM, ALARM, ALARM, ALARM)),
    (3, "- - X - -", 2, (ALARM, None, ALARM, OK)),
    (2, "0 - X - X", 0, (ALARM, ALARM, ALARM, ALARM)),
    (2, "0 0 X 0 X", 0, (ALARM, ALARM, ALARM, ALARM)),
    (2, "0 - X - -", 1, (OK, OK, ALARM, OK)),
    (2, "- - - - 0", 2, (OK, OK, ALARM, OK)),
    (2, "- - - X -", 2, (ALARM, None, ALARM, OK)),
]
#: what the guide says in words: no alarm yet, since the next datapoint may not be breaching
WORDS: list[tuple[int, str, int, tuple[State | None, ...]]] = [
    (3, "- - - - X", 2, (None, None, ALARM, OK)),
    (3, "- - - X -", 2, (None, None, ALARM, OK)),
    (1, "- - - - X", 2, (ALARM, ALARM, ALARM, ALARM)),
]


@pytest.mark.parametrize(("to_alarm", "data", "filled", "states"), GUIDE + WORDS)
def test_the_guides_tables(to_alarm: int, data: str, filled: int, states: tuple[State | None, ...]) -> None:
    slots = [SLOTS[one] for one in reversed(data.split())]
    if data == "0 - X - X" and to_alarm == 3:
        assert verdict(slots, 3, 3, Missing.MISSING).used == (0, 2, 4)
    found = [verdict(slots, 3, to_alarm, missing) for missing in ORDER]
    assert tuple(one.state for one in found) == states
    assert {one.filled for one in found} == {filled}


@given(st.integers(1, 6), st.data())
def test_whole_data_is_judged_by_the_newest_whatever_the_treatment(periods: int, data: st.DataObject) -> None:
    to_alarm = data.draw(st.integers(1, periods))
    slots = data.draw(st.lists(st.booleans(), min_size=periods + EXTRA, max_size=periods + EXTRA))
    expected = ALARM if sum(slots[:periods]) >= to_alarm else OK
    assert {verdict(slots, periods, to_alarm, missing).state for missing in Missing} == {expected}


@given(st.integers(1, 6), st.data())
def test_a_missing_datapoint_never_makes_an_alarm_of_good_ones(periods: int, data: st.DataObject) -> None:
    to_alarm = data.draw(st.integers(1, periods))
    size = periods + EXTRA
    slots = data.draw(st.lists(st.sampled_from([False, None]), min_size=size, max_size=size))
    assert verdict(slots, periods, to_alarm, Missing.NOT_BREACHING).state is OK
    assert verdict(slots, periods, to_alarm, Missing.MISSING).state in (OK, NO_DATA)
    assert verdict(slots, periods, to_alarm, Missing.IGNORE).state in (OK, None)
