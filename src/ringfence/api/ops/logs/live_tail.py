"""Live Tail (CloudWatch Logs API Reference: StartLiveTail): events of groups as they are put.

The reply is a stream of messages for as long as the client stays, three hours at most; `live_tails.py` makes them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ringfence.api.live_tails import Permit
from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.logs import encryption
from ringfence.api.ops.logs.events import compiled
from ringfence.api.ops.logs.serve import group_by_arn, invalid, logs
from ringfence.api.wire import model
from ringfence.api.wire.event_stream import Messages
from ringfence.insight.live_tail import Wanted
from ringfence.model.errors import fault
from ringfence.model.nouns.log import LogGroup
from ringfence.model.world import World


@logs("StartLiveTail")
def start_live_tail(call: Call, world: World, params: Params) -> Outcome:
    """InvalidParameterException, ResourceNotFoundException; InvalidOperationException for a group of infrequent access;
    LimitExceededException; AccessDeniedException where a group's key does not let the service in."""
    _check_streams(params)
    groups = [_group(call, world, given) for given in dict.fromkeys(params["logGroupIdentifiers"])]
    wanted = Wanted(
        groups=tuple(group.id for group in groups), names=tuple(params.get("logStreamNames") or ()),
        prefixes=tuple(params.get("logStreamNamePrefixes") or ()), pattern=compiled(params.get("logEventFilterPattern")),
    )  # fmt: skip
    permit = _permit(call)
    for group in groups:
        permit(world, group, call.now)
    messages = Messages(model.operation("logs", "StartLiveTail"))
    begun = messages.event("sessionStart", _begun(call, params, wanted))
    if call.outside.live_tails is None:
        raise fault("ServiceUnavailableException", message="This installation keeps no log events.")
    flow = call.outside.live_tails.start(
        (call.account_id, call.region), wanted, messages, permit, (messages.initial(), begun), call.limits["live-tail-sessions"]
    )  # fmt: skip
    return Outcome({}, flow=flow)


def _check_streams(params: Params) -> None:
    names, prefixes = params.get("logStreamNames"), params.get("logStreamNamePrefixes")
    if names is not None and prefixes is not None:
        raise invalid("logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.")
    if (names or prefixes) and len(params["logGroupIdentifiers"]) > 1:
        raise invalid("Log streams can be specified only if exactly one log group is.")


def _group(call: Call, world: World, given: str) -> LogGroup:
    """AWS: by its ARN, which does not end with an asterisk."""
    group = group_by_arn(call, world, given, exact=True)
    if group.log_class != "STANDARD":
        text = f"Live Tail is not supported for log groups of the class {group.log_class}."
        raise fault("InvalidOperationException", message=text)
    return group


def _permit(call: Call) -> Permit:
    """Does the group's key open what is put now? Asked at the start and before each update with events."""
    return lambda world, group, now: encryption.check_readable(replace(call, now=now), world, group)


def _begun(call: Call, params: Params, wanted: Wanted) -> dict[str, Any]:
    return {
        "requestId": call.request_id, "sessionId": call.ids.uuid(), "logGroupIdentifiers": list(wanted.groups),
        "logStreamNames": list(wanted.names), "logStreamNamePrefixes": list(wanted.prefixes),
        "logEventFilterPattern": params.get("logEventFilterPattern") or "",
    }  # fmt: skip
