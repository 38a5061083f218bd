"""Services without rules of their own here: a resource that the request names by its ARN, or all of a published type."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.api.authorise.ask import Ask
from ringfence.api.ops.context import Call, Params
from ringfence.identity import actions
from ringfence.identity.question import Target
from ringfence.model.world import World

#: the service's name in actions, where it is not that of its endpoint
PREFIXES = {"monitoring": "cloudwatch"}


def asks(call: Call, world: World, params: Params) -> Iterator[Ask]:
    """One question; without targets, so that it is refused, for an action that nobody published."""
    del world
    service = PREFIXES.get(call.service, call.service)
    about = actions.action(service, call.action)
    name = f"{service}:{call.action}"
    if about is None:
        yield Ask(name, ())
        return
    named = [str(value) for value in params.values() if isinstance(value, str) and value.startswith("arn:")]
    patterns = [actions.arn_pattern(service, use.type) or "*" for use in about.resources if use.required]
    arns = named if about.resources and named else [_any(call, pattern) for pattern in patterns]
    yield Ask(name, tuple(Target(arn=arn, account_id=call.account_id) for arn in arns or ["*"]))


def _any(call: Call, pattern: str) -> str:
    """Every resource of a type: `arn:aws:logs:us-east-1:123456789012:log-group:*`."""
    known = {"Partition": "aws", "Region": call.region, "Account": call.account_id}
    return re.sub(r"\$\{(\w+)\}", lambda found: known.get(found[1], "*"), pattern)
