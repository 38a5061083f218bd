"""How instances come and go, as pure changes (Amazon EC2 User Guide: "Instance lifecycle")."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ringfence.api.ops.ec2 import lifecycle
from ringfence.model.kinds import ELASTIC_IP, INSTANCE, NETWORK_INTERFACE
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.world import NOTHING, put
from tests.api.ops.harness import Api


@pytest.fixture
def api() -> Api:
    return Api(defaults=True)


def run(api: Api, **params: Any) -> str:
    made = api.call("RunInstances", **{"ImageId": api.image(), "MinCount": 1, "MaxCount": 1} | params)
    return str(made["Instances"][0]["InstanceId"])


def state(api: Api, id: str) -> InstanceState:
    return api.world.get(INSTANCE, id).state


S = InstanceState


@pytest.mark.parametrize("now", list(S))
@pytest.mark.parametrize("reached", [S.RUNNING, S.STOPPED, S.TERMINATED])
def test_only_the_awaited_end_of_a_transition_is_recorded(api: Api, now: S, reached: S) -> None:
    """A late report (it runs!) about an instance that was stopped meanwhile changes nothing."""
    id = run(api)
    world = api.world.apply(put(INSTANCE, replace(api.world.get(INSTANCE, id), state=now)))
    awaited = {S.PENDING: S.RUNNING, S.STOPPING: S.STOPPED, S.SHUTTING_DOWN: S.TERMINATED}.get(now)
    change = lifecycle.settled(world, id, reached)
    assert bool(change) == (awaited is reached)
    if change:
        assert world.apply(change).get(INSTANCE, id).state is reached
    assert [i.id for i in lifecycle.transitional(world)] == ([id] if awaited else [])


def test_an_instance_nobody_knows_changes_nothing(api: Api) -> None:
    assert lifecycle.settled(api.world, "i-0", S.RUNNING) == NOTHING
    assert lifecycle.failed(api.world, "i-0", "why", api.clock.now()) == NOTHING


def test_termination_deletes_detaches_and_frees(api: Api) -> None:
    """delete_on_termination decides; Elastic IPs of a deleted interface are free, of a detached one stay with it."""
    vpc = api.vpc()
    subnet = api.subnet(vpc)
    api.gateway(vpc)
    interfaces = [{"DeviceIndex": n, "SubnetId": subnet, "DeleteOnTermination": n == 0} for n in range(2)]
    id = run(api, NetworkInterfaces=interfaces)
    first, second = (
        e.id
        for e in sorted(api.world.by(NETWORK_INTERFACE, "instance", id), key=lambda e: e.attachment.device_index)  # type: ignore[union-attr]
    )
    addresses = []
    for eni in (first, second):
        made = api.call("AllocateAddress")["AllocationId"]
        api.call("AssociateAddress", AllocationId=made, NetworkInterfaceId=eni)
        addresses.append(made)
    api.settle()
    api.call("TerminateInstances", InstanceIds=[id])
    assert api.world.find(NETWORK_INTERFACE, first) is None
    kept = api.world.get(NETWORK_INTERFACE, second)
    assert (kept.attachment, kept.auto_public_ip) == (None, None)
    freed, held = (api.world.get(ELASTIC_IP, address) for address in addresses)
    assert (freed.association_id, freed.network_interface_id, freed.private_ip) == (None, None, None)
    assert held.network_interface_id == second
    assert state(api, id) is S.SHUTTING_DOWN
    api.settle()
    assert state(api, id) is S.TERMINATED


def test_an_instance_that_cannot_start_says_why(api: Api) -> None:
    id = run(api)
    eni = api.world.by(NETWORK_INTERFACE, "instance", id)[0].id
    api.world = api.world.apply(lifecycle.failed(api.world, id, "no such root directory" + "!" * 300, api.clock.now()))
    shown = api.call("DescribeInstances", InstanceIds=[id])["Reservations"][0]["Instances"][0]
    assert shown["State"]["Name"] == "terminated"
    assert shown["StateReason"]["Code"] == "Server.InternalError"
    assert shown["StateReason"]["Message"].startswith("no such root directory!")
    assert api.world.find(NETWORK_INTERFACE, eni) is None
    forget_after_an_hour(api, id)


def test_terminated_instances_are_forgotten_after_an_hour(api: Api) -> None:
    id, other = run(api), run(api)
    api.settle()
    api.call("TerminateInstances", InstanceIds=[id])
    assert lifecycle.forgotten(api.world, api.clock.now() + timedelta(hours=2)) == NOTHING  # still shutting down
    api.settle()
    forget_after_an_hour(api, id)
    assert state(api, other) is S.RUNNING


def forget_after_an_hour(api: Api, id: str) -> None:
    api.clock.advance(3600)
    assert lifecycle.forgotten(api.world, api.clock.now()) == NOTHING
    api.clock.advance(1)
    api.world = api.world.apply(lifecycle.forgotten(api.world, api.clock.now()))
    assert api.error("DescribeInstances", InstanceIds=[id]) == "InvalidInstanceID.NotFound"
