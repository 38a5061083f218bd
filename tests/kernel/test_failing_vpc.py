"""A VPC whose reconfiguration fails, and fails again, stops no other VPC, opens nothing, and heals by itself later."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ringfence.dataplane import topology
from ringfence.dataplane.network import Network
from ringfence.dataplane.plan import link, vpc_ns
from ringfence.dataplane.topology import TopologyError, run_batch
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.policy.compile import compile_world
from tests.api.ops.harness import Api
from tests.kernel.any_path import STEPS, BareGuests, Site
from tests.kernel.isolation import isolated

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]
ADDRESS = "10.1.1.99"
BEFORE = ("v1", "v2", "s1", "s3", "web", "far", "web rule", "a", "d")


def scenario(failing: str) -> dict[str, Any]:
    """Somebody occupies the name of the link that an interface of one VPC is to get; meanwhile the other gets one too."""
    site, steps = Site(Api(defaults=True)), {step.name: step for step in STEPS}
    for name in BEFORE:
        steps[name].run(site)
    network = Network(BareGuests())  # type: ignore[arg-type]
    list(network.bring(compile_world(site.api.world)))
    links = {}
    for vpc, subnet in (("v1", "s1"), ("v2", "s3")):
        made = site.call("CreateNetworkInterface", SubnetId=site.ids[subnet], PrivateIpAddress=ADDRESS)
        row = site.api.world.get(NETWORK_INTERFACE, made["NetworkInterface"]["NetworkInterfaceId"])
        links[vpc] = link(row.number)
    (other,) = {"v1", "v2"} - {failing}
    here, there = vpc_ns(site.ids[failing]), vpc_ns(site.ids[other])
    run_batch(here, [f"link add {links[failing]} type veth peer name q0"])
    out: dict[str, Any] = {"problems": []}
    for _ in range(2):
        try:
            list(network.bring(compile_world(site.api.world)))
        except TopologyError as problem:
            out["problems"].append(str(problem))
    out["other reaches it"] = _leads(there) == [links[other]]
    out["still filtered"] = "1 . 0x00000001" in _rules(here)
    run_batch(here, [f"link del {links[failing]}"])
    list(network.bring(compile_world(site.api.world)))
    out["healed"] = _leads(here) == [links[failing]]
    return out


def _leads(namespace: str) -> list[str]:
    """The link that the new address is routed to."""
    return [route.get("dev", "") for route in topology.listed(namespace, "route", "get", ADDRESS)]


def _rules(namespace: str) -> str:
    words = ["ip", "netns", "exec", namespace, "nft", "list", "set", "inet", "ringfence", "links"]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.mark.parametrize("failing", ["v1", "v2"])
def test_a_vpc_that_fails_twice_stops_no_other(failing: str) -> None:
    found = isolated("test_failing_vpc", failing)
    assert len(found["problems"]) == 2
    assert all("File exists" in problem for problem in found["problems"])
    assert found["other reaches it"]
    assert found["still filtered"]
    assert found["healed"]


if __name__ == "__main__":
    print(json.dumps(scenario(sys.argv[1])), flush=True)
    os._exit(0)  # the services' threads wait for questions for ever
