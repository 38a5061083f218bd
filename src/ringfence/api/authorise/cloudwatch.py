"""CloudWatch's calls as policies see them (Service Authorization Reference: "Amazon CloudWatch").

Metrics are no resources: they are asked about with `*`, PutMetricData with the key `cloudwatch:namespace` besides. Alarms are
asked about by name; a call that names none is about all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.api.authorise.ask import Ask, Values, pairs, request_tags, tag_keys
from ringfence.api.ops.context import Call, Params
from ringfence.identity import actions
from ringfence.identity.question import Target
from ringfence.model.kinds import COMPOSITE_ALARM, METRIC_ALARM
from ringfence.model.world import World

_ACTIONS = ("OKActions", "AlarmActions", "InsufficientDataActions")


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """One question; without targets, so that it is refused, for an action that nobody published."""
    name = f"cloudwatch:{call.action}"
    about = actions.action("cloudwatch", call.action)
    if about is None:
        yield Ask(name, ())
        return
    of_alarms = any(use.type == "alarm" for use in about.resources)
    arns = _alarms(call, params) if of_alarms else ["*"]
    yield Ask(name, tuple(_target(call, world, arn) for arn in arns), _request(params))


def _alarms(call: Call, params: Params) -> list[str]:
    """The ARNs of the alarms that a request names; of all of them when it names none."""
    if params.get("ResourceARN"):
        return [str(params["ResourceARN"])]
    names = params.get("AlarmNames") or [
        str(params[name]) for name in ("ChildrenOfAlarmName", "ParentsOfAlarmName") if params.get(name)
    ]
    names = names or ([params["AlarmName"]] if params.get("AlarmName") else ["*"])
    return [f"arn:aws:cloudwatch:{call.region}:{call.account_id}:alarm:{name}" for name in dict.fromkeys(names)]


def _target(call: Call, world: World, arn: str) -> Target:
    row = world.find(METRIC_ALARM, arn) or world.find(COMPOSITE_ALARM, arn)
    context = tag_keys(("aws:resourcetag",), row.tags) if row is not None and row.owner_id == call.account_id else {}
    return Target(arn=arn, account_id=call.account_id, context=context)


def _request(params: Params) -> Values:
    held: Values = {}
    if params.get("Namespace") is not None:
        held["cloudwatch:namespace"] = str(params["Namespace"])
    called: list[Any] = [arn for name in _ACTIONS for arn in params.get(name) or ()]
    if called:
        held["cloudwatch:alarmactions"] = tuple(dict.fromkeys(called))
    if params.get("Tags"):
        held |= request_tags(pairs(params["Tags"]))
    if params.get("TagKeys"):
        held["aws:tagkeys"] = tuple(dict.fromkeys(params["TagKeys"]))
    return held
