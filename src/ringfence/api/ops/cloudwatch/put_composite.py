"""PutCompositeAlarm (CloudWatch API Reference). Suppression of actions is refused: nothing that an action could call exists here
(`alarm_states.py`)."""

from __future__ import annotations

from ringfence.api.ops.cloudwatch import history
from ringfence.api.ops.cloudwatch.alarms import actions, alarm_arn, check_number, kept_state, plain
from ringfence.api.ops.cloudwatch.composite import children, find, parents, rule_of
from ringfence.api.ops.cloudwatch.serve import cloudwatch, invalid, not_served
from ringfence.api.ops.cloudwatch.tags import checked_tags, pairs
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.insight.metrics.rules import RuleError
from ringfence.model.kinds import COMPOSITE_ALARM, METRIC_ALARM
from ringfence.model.nouns.alarm import CompositeAlarm
from ringfence.model.world import World, put

MAX_PARENTS = 150
_NOT_HERE = (
    "ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod", "ActionConfiguration",
)  # fmt: skip
_ACTIONS = ("arn:aws:sns:", "arn:aws:lambda:", "arn:aws:ssm:", "arn:aws:ssm-incidents:", "arn:aws:aiops:")


@cloudwatch("PutCompositeAlarm")
def put_composite_alarm(call: Call, world: World, params: Params) -> Outcome:
    """New, or in place of the one of that name, whose state stays. LimitExceeded, ValidationError, UnsupportedOperation."""
    for name in _NOT_HERE:
        if params.get(name) is not None:
            raise not_served(name)
    id = alarm_arn(call, params["AlarmName"])
    if world.find(METRIC_ALARM, id) is not None:
        raise invalid("An alarm of another type has this name.")
    before = world.find(COMPOSITE_ALARM, id)
    if before is None:
        check_number(call, world)
    made = _alarm(call, params, id, before)
    _check_rule(world, made)
    word = "created" if before is None else "updated"
    data = {"type": word.title()[:-1], f"{word}Alarm": plain(made)}
    text = f'Alarm "{made.name}" {word}'
    change = put(COMPOSITE_ALARM, made)
    return Outcome({}, change + history.entry(call.ids, made, made.updated, "ConfigurationUpdate", text, data))


def _alarm(call: Call, params: Params, id: str, before: CompositeAlarm | None) -> CompositeAlarm:
    now = call.now.timestamp()
    ok, alarm, insufficient = (
        actions(params, name) for name in ("OKActions", "AlarmActions", "InsufficientDataActions")
    )
    for arn in (*ok, *alarm, *insufficient):
        if not arn.startswith(_ACTIONS):
            raise invalid(f"Composite alarms cannot call {arn[:200]}")
    made = CompositeAlarm(
        id=id, **call.owned(), name=params["AlarmName"], rule=params["AlarmRule"], updated=now, state_updated=now,
        description=params.get("AlarmDescription"), actions_enabled=params.get("ActionsEnabled", True),
        ok_actions=ok, alarm_actions=alarm, insufficient_actions=insufficient,
        tags=checked_tags((), pairs(params.get("Tags") or ())) if before is None else before.tags,
    )  # fmt: skip
    return kept_state(made, before)


def _check_rule(world: World, made: CompositeAlarm) -> None:
    """ApiError ValidationError: the alarms it refers to are there, its own name among them is not."""
    try:
        rule_of(made.rule)
    except RuleError as problem:
        raise invalid(f"AlarmRule is invalid: {problem}") from None
    named = children(made)
    own = made.id.removesuffix(made.name)  # alarms of other accounts and Regions cannot be referred to
    missing = sorted(
        name for name, arn in named.items() if arn == made.id or not arn.startswith(own) or find(world, arn) is None
    )
    if missing:
        shown = ", ".join(missing)[:500]
        raise invalid(f"Could not save the composite alarm as alarms [{shown}] in the alarm rule do not exist")
    for arn in named.values():
        if sum(1 for alarm in parents(world, arn) if alarm.id != made.id) >= MAX_PARENTS:
            raise invalid(f"The alarm {arn} is in the rules of {MAX_PARENTS} composite alarms already.")
