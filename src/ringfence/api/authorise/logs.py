"""CloudWatch Logs' calls as policies see them (Service Authorization Reference: "Amazon CloudWatch Logs"; CloudWatch Logs
User Guide, "CloudWatch Logs resources and operations").

AWS asks for actions on a group with the ARN `…:log-group:NAME:log-stream:`, which `…:NAME:*` allows and `…:NAME` does not; only the
tagging of resources asks for the ARN without a tail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.api.authorise.ask import Ask, Values, request_tags, tag_keys
from ringfence.api.ops.context import Call, Params
from ringfence.identity import actions, log_policies
from ringfence.identity.question import Target
from ringfence.model.kinds import LOG_GROUP
from ringfence.model.world import World

#: asked about one stream
_STREAM = frozenset({"PutLogEvents", "GetLogEvents", "DeleteLogStream"})
#: asked about every group of the Region, whatever they are narrowed down to
_ALL_GROUPS = frozenset({"DescribeLogGroups", "ListLogGroups"})
_TAGGING = frozenset({"TagResource", "UntagResource", "ListTagsForResource"})


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """One question, about every group that is named; without targets, so that it is refused, for an action that nobody published."""
    name = f"logs:{call.action}"
    about = actions.action("logs", call.action)
    if about is None:
        yield Ask(name, ())
        return
    policy = log_policies.policy_of(world, call.account_id, call.region) if about.resources else None
    named = params.get("logGroupIdentifiers") if call.action == "StartLiveTail" else None
    targets = []
    for one in [params] if named is None else [{"logGroupIdentifier": each} for each in named]:
        arn, row = _arn(call, one) if about.resources else "*", world.find(LOG_GROUP, _group(call, one))
        context = (
            tag_keys(("aws:resourcetag",), row.tags) if row is not None and row.owner_id == call.account_id else {}
        )
        targets.append(Target(arn=arn, account_id=call.account_id, context=context, policy=policy))
    yield Ask(name, tuple(targets), _request(params))


def _group(call: Call, params: Params) -> str:
    """The ARN of the group that a request names; of all of them when it names none."""
    named = params.get("logGroupName") or params.get("logGroupIdentifier") or params.get("resourceArn")
    named = named or params.get("resourceIdentifier") or "*"
    if str(named).startswith("arn:"):
        return str(named).removesuffix(":*")
    return f"arn:aws:logs:{call.region}:{call.account_id}:log-group:{named}"


def _arn(call: Call, params: Params) -> str:
    group = _group(call, {} if call.action in _ALL_GROUPS else params)
    if call.action in _TAGGING:
        return group
    stream = params.get("logStreamName", "*") if call.action in _STREAM else ""
    return f"{group}:log-stream:{stream}"


def _request(params: Params) -> Values:
    given: Any = params.get("tags")
    if isinstance(given, dict):
        return request_tags(given.items())
    keys = given or params.get("tagKeys")
    return {"aws:tagkeys": tuple(dict.fromkeys(keys))} if keys else {}
