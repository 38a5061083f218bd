"""What an imported network lacks."""

from __future__ import annotations

from ringfence.model.nouns.gap import Gap as GapRow
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Gap


def gap(_: Rows, row: GapRow) -> Gap:
    """Passed on to whoever answers questions; the data plane has nothing to do for it."""
    return Gap(gap_id=row.id, vpc_id=row.vpc_id, element=row.element, why=row.why)
