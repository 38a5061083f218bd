"""How instances come and go: what a settled transition changes (Amazon EC2 User Guide: "Instance lifecycle").

Operations leave an instance in a transitional state; the data plane (or, without one, the API process itself) reports
when the transition is done.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from ringfence.api.ops.ec2 import flow_logs
from ringfence.api.ops.ec2.addresses import unassociated
from ringfence.model.kinds import ELASTIC_IP, INSTANCE, NETWORK_INTERFACE
from ringfence.model.nouns.instance import Instance, InstanceState
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.world import NOTHING, Change, World, delete, put

FORGOTTEN_AFTER = timedelta(hours=1)
_SETTLED = {
    InstanceState.PENDING: InstanceState.RUNNING,
    InstanceState.STOPPING: InstanceState.STOPPED,
    InstanceState.SHUTTING_DOWN: InstanceState.TERMINATED,
}


def transitional(world: World) -> list[Instance]:
    """Instances on their way to another state."""
    return [instance for instance in world.all(INSTANCE) if instance.state in _SETTLED]


def settled(world: World, instance_id: str, reached: InstanceState) -> Change:
    """The change when an instance has reached a state; nothing if it was on its way elsewhere by then."""
    instance = world.find(INSTANCE, instance_id)
    if instance is None or _SETTLED.get(instance.state) is not reached:
        return NOTHING
    return put(INSTANCE, replace(instance, state=reached))


def failed(world: World, instance_id: str, message: str, now: datetime) -> Change:
    """An instance that could not be started ends terminated, and says why (StateReason)."""
    instance = world.find(INSTANCE, instance_id)
    if instance is None or instance.state is not InstanceState.PENDING:
        return NOTHING
    reason = ("Server.InternalError", message[:255])
    return released(world, instance) + put(
        INSTANCE,
        replace(instance, state=InstanceState.TERMINATED, state_reason=reason, terminated=now.isoformat()),
    )


def released(world: World, instance: Instance) -> Change:
    """What happens to the interfaces of a terminated instance: deleted, or detached."""
    change = Change()
    for eni in world.by(NETWORK_INTERFACE, "instance", instance.id):
        assert eni.attachment is not None
        if eni.attachment.delete_on_termination:
            change += interface_gone(world, eni)
        else:
            change += put(NETWORK_INTERFACE, replace(eni, attachment=None, auto_public_ip=None))
    return change


def interface_gone(world: World, eni: NetworkInterface) -> Change:
    """An interface is deleted: its Elastic IPs are free again."""
    freed = tuple(unassociated(address) for address in world.by(ELASTIC_IP, "interface", eni.id))
    return put(ELASTIC_IP, *freed) + flow_logs.gone_with(world, eni.id) + delete(NETWORK_INTERFACE, eni.id)


def forgotten(world: World, now: datetime) -> Change:
    """Terminated instances are forgotten after an hour."""
    old = [
        instance.id
        for instance in world.all(INSTANCE)
        if instance.state is InstanceState.TERMINATED
        and instance.terminated is not None
        and datetime.fromisoformat(instance.terminated) + FORGOTTEN_AFTER < now
    ]
    return delete(INSTANCE, *old)


def destination(instance: Instance) -> InstanceState:
    """Where a transitional instance is going. KeyError for one that is not in transition."""
    return _SETTLED[instance.state]
