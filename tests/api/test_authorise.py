"""How requests expand to the resources they touch, with the keys of each (IAM-23 … IAM-32, IAM-37)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.api.authorise.plan import plan
from ringfence.api.ops.registry import OPERATIONS
from ringfence.identity import actions


@pytest.mark.parametrize(("service", "action"), sorted(OPERATIONS))
def test_every_served_operation_has_a_plan_and_nothing_is_left_to_chance(service: str, action: str) -> None:
    """No served operation is unknown to the data, and every required resource type is named by a parameter, found through
    one, or made by the call."""
    held = plan(service, action)
    assert not held.gaps, f"{service}:{action}: nothing in the request tells which {held.gaps}"


def test_an_action_nobody_published_is_none() -> None:
    assert actions.action("ec2", "DoSomething") is None
    assert actions.action("nosuchservice", "Do") is None
    with pytest.raises(KeyError):
        plan("ec2", "DoSomething")


@pytest.mark.parametrize(
    ("action", "types"),
    [("RunInstances", {"image", "instance", "network-interface", "security-group", "subnet"}),
     ("CreateSubnet", {"subnet", "vpc"}), ("DeleteVpc", {"vpc"}), ("DescribeVpcs", set())],
)  # fmt: skip
def test_the_published_resource_types(action: str, types: set[str]) -> None:
    held = actions.action("ec2", action)
    assert held is not None
    assert {use.type for use in held.resources if use.required} == types


def test_keys_are_known_without_letter_case_and_with_open_ends() -> None:
    held = actions.action("ec2", "DeleteRouteTable")
    use: Any = held.on("route-table") if held else None
    assert "ec2:vpc" in use.keys
    assert "ec2:resourcetag/anything at all" in use.keys
    assert "ec2:subnetid" not in use.keys
    assert "aws:requesttag/x" not in use.keys
