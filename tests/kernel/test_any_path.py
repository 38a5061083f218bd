"""Property: any order and split of API calls and any agent restart end in the same kernel state."""

from __future__ import annotations

import difflib
from functools import cache

import pytest

from tests.kernel.any_path import JOINED, steps_of, straying
from tests.sampling import part

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]


@cache
def straight(seed: int) -> dict[str, list[str]]:
    """Every call of the site in the order they are written, one delta, one agent."""
    return straying(seed)


@pytest.mark.parametrize("seed", part((1, 2, 3, 4, 5, 6), 3))
def test_any_order_split_and_restart_end_in_the_same_state(seed: int) -> None:
    """Random orders, deltas of several calls, agents that end or are killed in between: rules, sets, maps, routes, policy
    rules, links, addresses and neighbours of every namespace are those of the straight way."""
    found, wanted = straying(seed), straight(-2 if steps_of(seed) is JOINED else 0)
    assert found.keys() == wanted.keys()
    for namespace, lines in wanted.items():
        assert len(lines) > 3, "a readback that reads nothing"
        assert namespace.startswith("vpc-") == any("counts.links" in line for line in lines)  # flow logs are on
        assert not list(difflib.unified_diff(lines, found[namespace], "straight", f"seed {seed}", lineterm="", n=0))
