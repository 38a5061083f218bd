"""Guard rails: a call that would open a path of a preventive access scope is refused before anything is committed.

A scope is preventive while it carries the tag `ringfence:guard`. It guards its own account and Region, against every call of
whoever it is: what an account may reach depends on its interfaces, rules and routes alone. Only what a change opens is
refused: a path that is already there is for an analysis of the scope to tell. docs/analyzer.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from ringfence.api.ops.context import Call
from ringfence.insight.analyzer.engines import Engines
from ringfence.insight.analyzer.guard import opened
from ringfence.insight.analyzer.statements import content_of
from ringfence.model.errors import fault
from ringfence.model.kinds import ACCESS_SCOPE
from ringfence.model.nouns.network_insights import OVERRIDE_TAG, AccessScope
from ringfence.model.world import Change, World

#: how many paths a message or record tells of one scope
_TOLD = 3


def check(call: Call, world: World, change: Change, engines: Engines) -> dict[str, Any] | None:
    """What preventive scopes say to a change. ApiError OperationNotPermitted when one forbids what it opens.

    Returns what the audit record tells of scopes that forbid it and are overridden at this time.
    """
    scopes = world.by(ACCESS_SCOPE, "guard", "yes")
    if not scopes or all(step.kind.service != "ec2" for step in change.steps):
        return None
    after = world.apply(change)
    overridden = []
    for scope, paths in _forbidden(world, after, scopes, engines):
        if not _overridden(scope, call.now):
            engines.of(world)  # where the next call begins
            raise fault("OperationNotPermitted", message=_refusal(scope, paths))
        overridden.append({"accessScope": ACCESS_SCOPE.arn(scope), "until": scope.tag(OVERRIDE_TAG), "opened": paths})
    return {"guardOverrides": overridden} if overridden else None


def _forbidden(
    world: World, after: World, scopes: list[AccessScope], engines: Engines
) -> Iterator[tuple[AccessScope, list[str]]]:
    """The scopes that have paths which the change opens, with the first of these."""
    before = engines.of(world)
    now = engines.of(after)
    for scope in scopes:
        content = content_of(json.loads(scope.content), after)
        found = opened((world, before), (after, now), content, scope.owner_id, scope.region)
        paths = [path.text for path in islice(found, _TOLD + 1)]
        if paths:
            yield scope, paths


def _refusal(scope: AccessScope, paths: list[str]) -> str:
    name = scope.tag("Name")
    shown = f"{scope.id} ({name})" if name else scope.id
    told = "; ".join(paths[:_TOLD]) + ("; and more" if len(paths) > _TOLD else "")
    return f"The Network Access Scope {shown} forbids what this call would open: {told}."


def _overridden(scope: AccessScope, now: datetime) -> bool:
    """Is it overridden at this time? A tag that is no time overrides nothing."""
    given = scope.tag(OVERRIDE_TAG)
    try:
        until = datetime.fromisoformat(given) if given else None
    except ValueError:
        return False
    if until is None:
        return False
    return now <= (until if until.tzinfo is not None else until.replace(tzinfo=UTC))
