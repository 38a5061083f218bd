"""What refers to managed prefix lists, and how much a list counts there (Amazon VPC User Guide: "Prefix list quotas", "Security
group quotas"; SG-57, SG-58, PL-06, PL-11, PL-14)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringfence.api.ops.context import Call
from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.kinds import ROUTE_TABLE, SECURITY_GROUP
from ringfence.model.nouns.prefix_list import PrefixList
from ringfence.model.nouns.routing import RouteTable
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.world import World


def associations(world: World, list_id: str) -> list[tuple[str, str]]:
    """(id, owner) of every group and route table that refers to the list."""
    groups = world.by(SECURITY_GROUP, "prefix_list", list_id)
    tables = world.by(ROUTE_TABLE, "prefix_list", list_id)
    return [*((group.id, group.owner_id) for group in groups), *((table.id, table.owner_id) for table in tables)]


def rule_counts(world: World, rules: Iterable[SecurityGroupRule], sizes: Mapping[str, int] | None = None) -> int:
    """How many rules a group has as the quota counts them: the most of any direction and family (SG-55 … SG-58).

    A reference to a group counts in both families, a prefix list as its size; `sizes` stand in for those of the lists.
    """
    counts: dict[tuple[bool, int], int] = {}
    for rule in rules:
        for family, weight in _weights(world, rule, sizes or {}):
            counts[rule.egress, family] = counts.get((rule.egress, family), 0) + weight
    return max(counts.values(), default=0)


def _weights(world: World, rule: SecurityGroupRule, sizes: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    if rule.cidr is not None:
        return ((rule.cidr.version, 1),)
    if rule.group is not None:
        return ((4, 1), (6, 1))
    row = find_list(world, rule.prefix_list_id)
    return ((row.family, sizes.get(row.id, row.max_entries)),) if row is not None else ()


def route_count(world: World, table: RouteTable, family: int, sizes: Mapping[str, int] | None = None) -> int:
    """How many routes of a family a table has as the quota counts them: a prefix list as its size (PL-14)."""
    held = sum(1 for route in table.routes if route.destination.version == family)
    lists = (find_list(world, route.prefix_list_id) for route in table.listed)
    return held + sum(
        (sizes or {}).get(row.id, row.max_entries) for row in lists if row is not None and row.family == family
    )


def unfit(call: Call, world: World, row: PrefixList, size: int) -> list[str]:
    """The ids of groups and tables whose quota a list of that size would exceed (PL-06)."""
    sizes = {row.id: size}
    groups = [
        group.id
        for group in world.by(SECURITY_GROUP, "prefix_list", row.id)
        if rule_counts(world, group.rules, sizes) > call.limits["rules-per-security-group"]
    ]
    tables = [
        table.id
        for table in world.by(ROUTE_TABLE, "prefix_list", row.id)
        if route_count(world, table, row.family, sizes) > call.limits["routes-per-table"]
    ]
    return [*groups, *tables]


def check_rule_references(call: Call, world: World, list_id: str, added: int) -> None:
    """PL-14. ApiError PrefixListReferenceLimitExceeded when that many more rules may not refer to the list."""
    groups = world.by(SECURITY_GROUP, "prefix_list", list_id)
    held = sum(1 for group in groups for rule in group.rules if rule.prefix_list_id == list_id)
    call.check_quota("references-per-prefix-list", held + added)


def check_route_references(call: Call, world: World, list_id: str) -> None:
    """The same for one more route: a table has one route to a list."""
    call.check_quota("references-per-prefix-list", world.count(ROUTE_TABLE, "prefix_list", list_id) + 1)
