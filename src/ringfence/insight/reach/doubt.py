"""Is everything about a network known? Only imported ones are otherwise; then the evaluator's verdict is not asked alone."""

from __future__ import annotations

from typing import Any

from ringfence.policy.ir import Gap, Group, Interface, Ir, RouteTable, Via


def doubtful(ir: Ir) -> bool:
    """Is there anything whose answers may be unknown?"""
    return any(_MAYBE[type(f)](f) for f in ir.fragments.values() if type(f) in _MAYBE)


def _table(table: RouteTable) -> bool:
    return bool(table.unread) or any(route.via is Via.UNMODELLED for route in table.routes)


_MAYBE: dict[type, Any] = {
    Gap: lambda _: True,
    Group: lambda group: bool(group.unread),
    Interface: lambda eni: eni.doubt is not None,
    RouteTable: _table,
}
