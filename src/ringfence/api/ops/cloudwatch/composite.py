"""What composite alarms rest on, and which states follow (CloudWatch User Guide: "Combining alarms").

As on AWS, alarms may be put into a cycle: then they are not evaluated, and cannot be deleted before a rule breaks it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ringfence.api.ops.cloudwatch.serve import invalid, moment
from ringfence.insight.metrics.rules import AlarmRule, parse_rule
from ringfence.model.kinds import COMPOSITE_ALARM, METRIC_ALARM
from ringfence.model.nouns.alarm import Alarm, CompositeAlarm
from ringfence.model.world import World


@lru_cache(maxsize=1024)
def rule_of(text: str) -> AlarmRule:
    """RuleError."""
    return parse_rule(text)


def arn_prefix(account: str, region: str) -> str:
    return f"arn:aws:cloudwatch:{region}:{account}:alarm:"


def children(alarm: CompositeAlarm) -> dict[str, str]:
    """ARN by the name that the rule gives it, which may be the ARN."""
    prefix = arn_prefix(alarm.owner_id, alarm.region)
    return {name: name if name.startswith("arn:") else prefix + name for name in rule_of(alarm.rule).alarms}


def suppressor_of(alarm: CompositeAlarm) -> str | None:
    """The ARN of the alarm that holds its actions back."""
    name = alarm.suppressor
    return name if name is None or name.startswith("arn:") else arn_prefix(alarm.owner_id, alarm.region) + name


def parents(world: World, arn: str) -> Iterator[CompositeAlarm]:
    """The composite alarms whose rules refer to an alarm."""
    return (alarm for alarm in world.all(COMPOSITE_ALARM) if arn in children(alarm).values())


def find(world: World, arn: str) -> Alarm | None:
    return world.find(METRIC_ALARM, arn) or world.find(COMPOSITE_ALARM, arn)


def check_not_needed(world: World, doomed: Iterable[Alarm]) -> None:
    """ApiError ValidationError: no alarm but those that go as well rests on one of them, or is held back by one."""
    going = {alarm.id: alarm for alarm in doomed}
    if sum(isinstance(alarm, CompositeAlarm) for alarm in going.values()) > 1:
        raise invalid("At most one composite alarm can be deleted at once.")
    for alarm in going.values():
        held = (other for other in world.all(COMPOSITE_ALARM) if suppressor_of(other) == alarm.id)
        if any(other.id not in going for other in (*parents(world, alarm.id), *held)):
            raise invalid(f"Cannot delete {alarm.name} as there are composite alarm(s) depending on it.")


# ---------------------------------------------------------------------- describing
def view(alarm: CompositeAlarm) -> dict[str, Any]:
    """`CompositeAlarm` of the API, but for what all alarms have."""
    return {
        "AlarmRule": alarm.rule, "ActionsSuppressor": alarm.suppressor, "ActionsSuppressorWaitPeriod": alarm.wait,
        "ActionsSuppressorExtensionPeriod": alarm.extension, "ActionsSuppressedBy": alarm.held_by,
        "ActionsSuppressedReason": held_reason(alarm),
    }  # fmt: skip


def held_reason(alarm: CompositeAlarm) -> str | None:
    """As AWS writes it."""
    return f"Actions suppressed by {alarm.held_by}" if alarm.held_by is not None else None


# ---------------------------------------------------------------------- evaluation
def evaluated(world: World) -> dict[str, tuple[str, str, str]]:
    """The composite alarms that now are in another state: state, reason, data. Those they rest on are evaluated first; what is in
    a cycle, or rests on one, stays as it is."""
    states: dict[str, str] = {alarm.id: alarm.state for alarm in world.all(METRIC_ALARM)}
    alarms = {alarm.id: alarm for alarm in world.all(COMPOSITE_ALARM)}
    named = {id: children(alarm) for id, alarm in alarms.items()}
    found: dict[str, tuple[str, str, str]] = {}
    for id in _in_order({id: [arn for arn in of.values() if arn in alarms] for id, of in named.items()}):
        alarm = alarms[id]
        holds = rule_of(alarm.rule).holds({name: states.get(arn, "") for name, arn in named[id].items()})
        states[id] = "ALARM" if holds else "OK"
        if states[id] != alarm.state:
            found[id] = (states[id], *_why(world, named[id].values(), states, holds=holds))
    return found


def _in_order(needs: Mapping[str, list[str]]) -> Iterator[str]:
    """Each after what it needs; none that is in a cycle or needs one that is."""
    left = {id: set(some) for id, some in needs.items()}
    while ready := [id for id, some in left.items() if not some]:
        yield from ready
        for id in ready:
            del left[id]
        for some in left.values():
            some.difference_update(ready)


def _why(world: World, arns: Iterable[str], states: Mapping[str, str], *, holds: bool) -> tuple[str, str]:
    """The alarm that changed last, as AWS writes it, and all that the rule refers to."""
    known = [alarm for arn in arns if (alarm := find(world, arn)) is not None]
    triggers = [
        {"arn": alarm.id, "state": {"value": states[alarm.id], "timestamp": f"{moment(alarm.state_updated):%Y-%m-%dT%H:%M:%S}.000+0000"}}
        for alarm in known[:20]
    ]  # fmt: skip
    data = json.dumps({"triggeringAlarms": triggers})
    if not known:
        return f"The alarm rule is {str(holds).upper()}", data
    newest = max(known, key=lambda alarm: alarm.state_updated)
    at = moment(newest.state_updated)
    return f"{newest.id} transitioned to {states[newest.id]} at {at:%A %d %B, %Y %H:%M:%S} UTC", data
