"""Which actions of a composite alarm are held back, by what, and until when (CloudWatch User Guide: "Composite alarm action
suppression"; CloudWatch API Reference: PutCompositeAlarm, `ActionsSuppressor`).

A change of the composite alarm's state is what has actions. They are held back while the suppressor is in ALARM; for the wait period
after the change, in case it comes there; and for the extension period after it left. Another change begins anew, with a wait period
of its own. What ends without the suppressor in ALARM lets the actions of the state of then go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class By(StrEnum):
    """`ActionsSuppressedBy`."""

    WAIT = "WaitPeriod"
    EXTENSION = "ExtensionPeriod"
    ALARM = "Alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressor:
    """The suppressor as it stands. `changed`: when its state became what it is; periods in seconds."""

    in_alarm: bool
    changed: float
    wait: int
    extension: int


@dataclass(frozen=True, slots=True)
class Held:
    """What holds actions back, and since when."""

    by: By
    since: float


def at_change(suppressor: Suppressor, now: float) -> Held | None:
    """The composite alarm's state changes; None: its actions are due."""
    if suppressor.in_alarm:
        return Held(By.ALARM, now)
    return Held(By.WAIT, now) if suppressor.wait > 0 else None


def later(held: Held, suppressor: Suppressor, now: float) -> Held | None:
    """The same some time after; None: the actions are due."""
    if suppressor.in_alarm:
        return held if held.by is By.ALARM else Held(By.ALARM, now)
    if held.by is By.ALARM:
        held = Held(By.EXTENSION, max(held.since, suppressor.changed))
    period = suppressor.extension if held.by is By.EXTENSION else suppressor.wait
    return held if now < held.since + period else None
