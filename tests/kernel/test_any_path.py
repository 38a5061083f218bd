"""Property: any order and split of API calls and any agent restart end in the same kernel state."""

from __future__ import annotations

import difflib
from functools import cache

import pytest

from tests.kernel.any_path import straying
from tests.sampling import part

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]


@cache
def straight() -> dict[str, list[str]]:
    """Every call in the order they are written, one delta, one agent."""
    return straying(0)


@pytest.mark.parametrize("seed", part(range(1, 7), 2))
def test_any_order_split_and_restart_end_in_the_same_state(seed: int) -> None:
    """Random orders, deltas of several calls, agents that end or are killed in between: rules, sets, maps, routes, policy
    rules, links, addresses and neighbours of every namespace are those of the straight way."""
    found, wanted = straying(seed), straight()
    assert found.keys() == wanted.keys()
    for namespace, lines in wanted.items():
        assert len(lines) > 3, "a readback that reads nothing"
        assert namespace.startswith("vpc-") == any("counts.links" in line for line in lines)  # flow logs are on
        assert not list(difflib.unified_diff(lines, found[namespace], "straight", f"seed {seed}", lineterm="", n=0))
