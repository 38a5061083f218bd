"""Which interfaces are counted for flow logs (FL-14, FL-15)."""

from __future__ import annotations

import pytest

from ringfence.insight.flowlogs.fields import DEFAULT
from ringfence.model.kinds import FLOW_LOG
from ringfence.model.nouns.flow_log import FlowLog
from ringfence.model.world import Change, Delete, World, put
from ringfence.policy.compile import Compiler
from ringfence.policy.ir import Counting, Interface
from tests.api.ops.harness import ACCOUNT, REGION, Api


def flow_log(id: str, resource_type: str, resource_id: str, *fields: str, traffic: str = "ALL") -> FlowLog:
    return FlowLog(
        id=id, owner_id=ACCOUNT, region=REGION, resource_id=resource_id, resource_type=resource_type, traffic_type=traffic,
        destination_type="s3", destination="arn:aws:s3:::logs", fields=fields or DEFAULT, created=0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("resource_type", "counted"), [("VPC", ["a", "b"]), ("Subnet", ["a"]), ("NetworkInterface", ["a"])]
)
def test_covered_interfaces_and_no_others_are_counted(resource_type: str, counted: list[str]) -> None:
    api = Api()
    vpc, beside = api.vpc("10.0.0.0/16"), api.vpc("10.1.0.0/16")
    subnets = {
        "a": api.subnet(vpc, "10.0.1.0/24"),
        "b": api.subnet(vpc, "10.0.2.0/24"),
        "c": api.subnet(beside, "10.1.1.0/24"),
    }
    groups = {"a": api.group(vpc), "c": api.group(beside)}
    enis = {name: api.interface(subnet, groups.get(name, groups["a"])) for name, subnet in subnets.items()}
    resource = {"VPC": vpc, "Subnet": subnets["a"], "NetworkInterface": enis["a"]}[resource_type]
    compiler = Compiler()

    def now(world: World) -> dict[str, Counting | None]:
        fragments = compiler.compile(world).fragments.values()
        of = {f.eni_id: f.counted for f in fragments if isinstance(f, Interface)}
        return {name: of[id] for name, id in enis.items()}

    assert set(now(api.world).values()) == {None}
    world = api.world.apply(put(FLOW_LOG, flow_log("fl-1", resource_type, resource)))
    assert now(world) == {name: Counting(flags=False) if name in counted else None for name in enis}
    world = world.apply(put(FLOW_LOG, flow_log("fl-2", resource_type, resource, "srcaddr", "tcp-flags")))
    assert now(world) == {name: Counting(flags=True) if name in counted else None for name in enis}
    for id in ("fl-1", "fl-2"):
        world = world.apply(Change((Delete(FLOW_LOG, id),)))
    assert set(now(world).values()) == {None}


@pytest.mark.parametrize(
    ("types", "passed", "refused"),
    [
        (["ALL"], True, True), (["ACCEPT"], True, False), (["REJECT"], False, True), (["REJECT", "ACCEPT"], True, True),
        (["REJECT", "ALL"], True, True), (["ACCEPT", "ACCEPT"], True, False),
    ],
)  # fmt: skip
def test_only_the_verdicts_that_some_log_of_the_interface_wants(types: list[str], passed: bool, refused: bool) -> None:
    """FL-02, FL-15, FL-87: logs of the interface itself, of its subnet and of its VPC together."""
    api = Api()
    vpc = api.vpc("10.0.0.0/16")
    subnet = api.subnet(vpc, "10.0.1.0/24")
    api.interface(subnet, api.group(vpc))
    world = api.world
    for number, traffic in enumerate(types):
        resource = (("VPC", vpc), ("Subnet", subnet))[number]
        world = world.apply(put(FLOW_LOG, flow_log(f"fl-{number}", *resource, traffic=traffic)))
    (counted,) = (f.counted for f in Compiler().compile(world).fragments.values() if isinstance(f, Interface))
    assert counted == Counting(flags=False, passed=passed, refused=refused)
