"""PutCompositeAlarm (CloudWatch API Reference)."""

from __future__ import annotations

from ringfence.api.ops.cloudwatch import history
from ringfence.api.ops.cloudwatch.alarms import actions, alarm_arn, check_number, kept_state, plain
from ringfence.api.ops.cloudwatch.composite import children, find, parents, rule_of, suppressor_of
from ringfence.api.ops.cloudwatch.serve import cloudwatch, invalid, not_served
from ringfence.api.ops.cloudwatch.tags import checked_tags, pairs
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.insight.metrics.rules import RuleError
from ringfence.model.kinds import COMPOSITE_ALARM, METRIC_ALARM
from ringfence.model.nouns.alarm import CompositeAlarm
from ringfence.model.world import World, put

MAX_PARENTS = 150
_NOT_HERE = ("ActionConfiguration",)
_PERIODS = ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
MAX_PERIOD = 86_400  # seconds; AWS names no bound
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
    _check_suppressor(world, made)
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
    wait, extension = _periods(params)
    made = CompositeAlarm(
        id=id, **call.owned(), name=params["AlarmName"], rule=params["AlarmRule"], updated=now, state_updated=now,
        description=params.get("AlarmDescription"), actions_enabled=params.get("ActionsEnabled", True),
        ok_actions=ok, alarm_actions=alarm, insufficient_actions=insufficient,
        suppressor=params.get("ActionsSuppressor"), wait=wait, extension=extension,
        held_by=before.held_by if before is not None else None,
        held_since=before.held_since if before is not None else None,
        tags=checked_tags((), pairs(params.get("Tags") or ())) if before is None else before.tags,
    )  # fmt: skip
    return kept_state(made, before)


def _periods(params: Params) -> tuple[int | None, int | None]:
    """AWS: both are required with a suppressor. ApiError ValidationError."""
    wait, extension = (params.get(name) for name in _PERIODS)
    for name, value in zip(_PERIODS, (wait, extension), strict=True):
        if (value is None) != (params.get("ActionsSuppressor") is None):
            raise invalid(f"ActionsSuppressor and {name} must be specified together.")
        if value is not None and not 0 <= value <= MAX_PERIOD:
            raise invalid(f"{name} must be between 0 and {MAX_PERIOD} seconds.")
    return wait, extension


def _check_suppressor(world: World, made: CompositeAlarm) -> None:
    """ApiError ValidationError: it is another alarm of the account in the Region."""
    arn = suppressor_of(made)
    if arn is not None and (
        arn == made.id or find(world, arn) is None or not arn.startswith(made.id.removesuffix(made.name))
    ):
        raise invalid(f"The alarm {made.suppressor} of ActionsSuppressor does not exist, or is this one.")


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
