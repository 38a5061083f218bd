"""Which state an alarm is in (CloudWatch User Guide: "Alarm evaluation", "Configuring how CloudWatch alarms treat missing data").

All ten rows of the guide's two tables hold (`tests/insight/metrics/test_alarms.py`). The guide says that more datapoints than
the evaluation periods are looked at and not how many; its example has two more, and so has every alarm here. It does not say
what follows when breaching datapoints alone are there, too few and too new: the state stays as it is.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: datapoints looked at beyond the evaluation periods, for those that are missing
EXTRA = 2


class State(enum.Enum):
    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


class Missing(enum.Enum):
    """`TreatMissingData`."""

    MISSING = "missing"
    IGNORE = "ignore"
    BREACHING = "breaching"
    NOT_BREACHING = "notBreaching"


COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` None: it stays as it is. `used`: how many slots from the newest on were looked at; `filled`: missing ones used."""

    state: State | None
    used: tuple[int, ...] = ()  # ages of the datapoints it rests on; 0 is the newest
    breaching: int = 0
    filled: int = 0


def verdict(slots: Sequence[bool | None], periods: int, to_alarm: int, missing: Missing) -> Verdict:
    """What datapoints say, the newest first: breaching, not breaching, or not there. As many as `periods` and EXTRA."""
    ages = [age for age, slot in enumerate(slots) if slot is not None][:periods]
    breaching = sum(1 for age in ages if slots[age])
    filled = periods - len(ages)
    state = _state(slots, ages, breaching, filled, to_alarm, missing)
    return Verdict(state, tuple(ages), breaching, filled)


def _state(
    slots: Sequence[bool | None], ages: list[int], breaching: int, filled: int, to_alarm: int, missing: Missing
) -> State | None:
    if missing is Missing.BREACHING:
        return State.ALARM if breaching + filled >= to_alarm else State.OK
    if breaching >= to_alarm:
        return State.ALARM
    if filled == 0 or missing is Missing.NOT_BREACHING or breaching < len(ages):
        return State.OK
    if missing is Missing.IGNORE:
        return None
    if not ages:
        return State.INSUFFICIENT_DATA
    # nothing but breaching datapoints, too few: an alarm only when the oldest is old enough ("premature alarm state")
    return State.ALARM if ages[-1] + 1 >= to_alarm else None
