"""What the two analyzers' lists of analyses share (Amazon EC2 API Reference: DescribeNetworkInsightsAnalyses,
DescribeNetworkInsightsAccessScopeAnalyses)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from ringfence.api.ops.context import Call, Params
from ringfence.model.kinds import Kind
from ringfence.model.world import World

R = TypeVar("R", bound=Any)


def of_subject(
    call: Call, world: World, analyses: Kind[R], named: list[str] | None, subject: Kind[Any], id: str | None,
    subject_of: Callable[[R], str],
) -> list[R]:  # fmt: skip
    """Those named, or all; of one path or scope, if its `id` is given. The kinds' NotFound and Malformed."""
    if named:
        rows = [call.get(world, analyses, each) for each in dict.fromkeys(named)]
    else:
        rows = call.mine(world, analyses)
    if id:
        wanted = call.get(world, subject, id).id
        rows = [row for row in rows if subject_of(row) == wanted]
    return rows


def started_within(rows: list[R], params: Params, begin: str, end: str) -> list[R]:
    """Started between two times of the request, which are to the millisecond; either may be missing."""
    after: datetime | None = params.get(begin)
    before: datetime | None = params.get(end)
    return [
        row for row in rows
        if (after is None or round(row.started, 3) >= after.timestamp())
        and (before is None or round(row.started, 3) <= before.timestamp())
    ]  # fmt: skip
