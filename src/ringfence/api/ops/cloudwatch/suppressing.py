"""Composite alarms whose actions another alarm holds back, in the World (`insight/metrics/suppression.py` has the rules).

INVARIANT: actions that were held back are called when nothing holds them back any more, those of the state of then; also where the
suppressor was taken off the alarm, or is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from ringfence.api.ops.cloudwatch import composite, history
from ringfence.insight.metrics import suppression
from ringfence.insight.metrics.suppression import By, Held, Suppressor
from ringfence.model.ids import IdSource
from ringfence.model.kinds import COMPOSITE_ALARM
from ringfence.model.nouns.alarm import Alarm, CompositeAlarm
from ringfence.model.world import Change, World

A = TypeVar("A", bound=Alarm)


def at_change(world: World, alarm: Alarm, now: float, states: Mapping[str, str]) -> Held | None:
    """What holds back the actions of a state that an alarm comes into. `states`: of alarms that change at the same time."""
    suppressor = _suppressor(world, alarm, now, states)
    return suppression.at_change(suppressor, now) if suppressor is not None and alarm.actions_enabled else None


def later(world: World, now: float) -> dict[str, Held | None]:
    """The composite alarms whose actions are held back by something else than before; None: they are due."""
    found: dict[str, Held | None] = {}
    for alarm in world.all(COMPOSITE_ALARM):
        held = _held(alarm)
        if held is None:
            continue
        suppressor = _suppressor(world, alarm, now, {})
        after = suppression.later(held, suppressor, now) if suppressor is not None and alarm.actions_enabled else None
        if after != held:
            found[alarm.id] = after
    return found


def with_held(alarm: A, held: Held | None) -> A:
    if not isinstance(alarm, CompositeAlarm):
        return alarm
    return replace(alarm, held_by=held.by.value if held else None, held_since=held.since if held else None)


def told(ids: IdSource, alarm: Alarm, now: float) -> Change:
    """The item of its history that says what holds its actions back."""
    assert isinstance(alarm, CompositeAlarm)
    data = {
        "actionState": "Suppressed", "stateUpdateTimestamp": int(now * 1000), "actionsSuppressedBy": alarm.held_by,
        "actionsSuppressedReason": composite.held_reason(alarm),
    }  # fmt: skip
    return history.entry(ids, alarm, now, "Action", str(composite.held_reason(alarm)), data)


def _held(alarm: CompositeAlarm) -> Held | None:
    return None if alarm.held_by is None else Held(By(alarm.held_by), alarm.held_since or 0.0)


def _suppressor(world: World, alarm: Alarm, now: float, states: Mapping[str, str]) -> Suppressor | None:
    arn = composite.suppressor_of(alarm) if isinstance(alarm, CompositeAlarm) else None
    other = composite.find(world, arn) if arn is not None else None
    if other is None or not isinstance(alarm, CompositeAlarm):
        return None
    changes = states.get(other.id, other.state) != other.state
    return Suppressor(
        in_alarm=states.get(other.id, other.state) == "ALARM", wait=alarm.wait or 0, extension=alarm.extension or 0,
        changed=now if changes or other.transitioned is None else other.transitioned,
    )  # fmt: skip
