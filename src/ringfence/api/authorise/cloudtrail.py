"""CloudTrail's calls as policies see them (Service Authorization Reference: "AWS CloudTrail"): trails by name or ARN."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.api.authorise.ask import Ask
from ringfence.api.ops.context import Call, Params
from ringfence.identity import actions
from ringfence.identity.question import Target
from ringfence.model.world import World


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """One question; without targets, so that it is refused, for an action that nobody published."""
    del world
    name = f"cloudtrail:{call.action}"
    about = actions.action("cloudtrail", call.action)
    if about is None:
        yield Ask(name, ())
        return
    arns = _trails(call, params) if any(use.type == "trail" for use in about.resources) else ["*"]
    yield Ask(name, tuple(Target(arn=arn, account_id=call.account_id) for arn in arns))


def _trails(call: Call, params: Params) -> list[str]:
    """Those that a request names, by name or ARN; all of them when it names none."""
    named = params.get("ResourceIdList") or [
        params.get("Name") or params.get("TrailName") or params.get("ResourceId") or "*"
    ]
    start = f"arn:aws:cloudtrail:{call.region}:{call.account_id}:trail/"
    return [str(one) if str(one).startswith("arn:") else f"{start}{one}" for one in dict.fromkeys(named)]
