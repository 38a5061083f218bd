"""Links that an earlier version made, when rules knew links by name: the next agent puts each into its group (docs/adr/0006)."""

from __future__ import annotations

import json
import os

import pytest

from ringfence.dataplane import topology
from ringfence.dataplane.network import Network
from ringfence.dataplane.plan import GATEWAY, LOOP_IN, LOOP_OUT, link_group, vpc_ns
from ringfence.dataplane.topology import run_batch
from ringfence.policy.compile import compile_world
from tests import builders as b
from tests.kernel.any_path import BareGuests
from tests.kernel.isolation import isolated

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]
WORLD = b.world(
    b.vpc(), b.gateway(), b.subnet("s", "10.0.0.0/24"), b.table("t", *b.to_gateway(), subnets=["s"]),
    b.group("web", b.ingress(b.ANY)), b.eni("x", "10.0.0.10", subnet="s", groups=["web"]),
)  # fmt: skip


def groups(vpc: str) -> dict[str, object]:
    return {each["ifname"]: each.get("group") for each in topology.listed(vpc, "link", "show")}


def agent() -> None:
    """An agent that brings everything and dies."""
    pid = os.fork()
    if pid == 0:
        list(Network(BareGuests()).bring(compile_world(WORLD)))  # type: ignore[arg-type]
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def scenario() -> dict[str, dict[str, object]]:
    """Groups as an agent makes them; taken away; as the next agent leaves them."""
    vpc = vpc_ns(b.vpc().id)
    agent()
    out = {"made": groups(vpc)}
    run_batch(vpc, [f"link set {name} group 0" for name in out["made"]])
    out["taken"] = groups(vpc)
    agent()
    return out | {"adopted": groups(vpc)}


def test_links_without_a_group_get_theirs() -> None:
    found = isolated("test_adopted")
    interface = next(name for name in found["made"] if name.startswith("e"))
    links = (LOOP_OUT, LOOP_IN, GATEWAY, interface)
    assert {name: found["made"][name] for name in links} == {name: str(link_group(name)) for name in links}
    assert {found["taken"][name] for name in links} == {"default"}
    assert found["adopted"] == found["made"]


if __name__ == "__main__":
    print(json.dumps(scenario()))
