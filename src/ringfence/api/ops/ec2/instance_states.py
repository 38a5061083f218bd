"""Stop, start, reboot and terminate (Amazon EC2 User Guide: "Instance lifecycle")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ec2 import lifecycle
from ringfence.api.ops.ec2.addressing import new_public_ip
from ringfence.api.ops.ec2.instance_describe import named_instances
from ringfence.api.ops.ec2.instance_views import interfaces_of
from ringfence.api.ops.ec2.interfaces import public_address
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.kinds import INSTANCE, INTERNET_GATEWAY, NETWORK_INTERFACE
from ringfence.model.nouns.instance import Instance, InstanceState
from ringfence.model.world import Change, World, put


@dataclass(frozen=True, slots=True)
class _Verb:
    """A state-changing verb: from which states to which, which state needs no change, and the reply's member."""

    reply: str
    to: InstanceState
    needs: frozenset[InstanceState]
    done: frozenset[InstanceState]


_STOP = _Verb("StoppingInstances", InstanceState.STOPPING, frozenset({InstanceState.RUNNING, InstanceState.PENDING}),
              frozenset({InstanceState.STOPPING, InstanceState.STOPPED}))  # fmt: skip
_START = _Verb("StartingInstances", InstanceState.PENDING, frozenset({InstanceState.STOPPED}),
               frozenset({InstanceState.PENDING, InstanceState.RUNNING}))  # fmt: skip
_TERMINATE = _Verb("TerminatingInstances", InstanceState.SHUTTING_DOWN,
                   frozenset({InstanceState.PENDING, InstanceState.RUNNING, InstanceState.STOPPING, InstanceState.STOPPED}),
                   frozenset({InstanceState.SHUTTING_DOWN, InstanceState.TERMINATED}))  # fmt: skip


def _moved(call: Call, world: World, ids: Sequence[str], verb: _Verb) -> tuple[list[Instance], Outcome]:
    """Instances in their next state, and the outcome so far; ApiError if one of them cannot go there."""
    changed, shown = [], []
    for instance in named_instances(call, world, ids):
        after = instance
        if instance.state in verb.needs:
            after = _next_state(call, instance, verb)
            changed.append(after)
        elif instance.state not in verb.done:
            raise fault(
                "IncorrectInstanceState",
                message=f"The instance '{instance.id}' is not in a state from which it can be "
                f"{verb.to.label}: {instance.state.label}",
            )
        shown.append(_state_change(instance, after))
    return changed, Outcome({verb.reply: shown}, put(INSTANCE, *changed))


def _next_state(call: Call, instance: Instance, verb: _Verb) -> Instance:
    if verb is _START:
        return replace(
            instance, state=verb.to, state_reason=None, state_transition_reason="", launch_time=call.timestamp,
            boots=instance.boots + 1,
        )  # fmt: skip
    reason = f"User initiated ({call.now.strftime('%Y-%m-%d %H:%M:%S')} GMT)"
    code = "Client.UserInitiatedShutdown"
    return replace(
        instance, state=verb.to, state_reason=(code, f"{code}: User initiated shutdown"), state_transition_reason=reason
    )


def _state_change(before: Instance, after: Instance) -> Params:
    return {
        "InstanceId": before.id,
        "PreviousState": {"Code": int(before.state), "Name": before.state.label},
        "CurrentState": {"Code": int(after.state), "Name": after.state.label},
    }


@operation("ec2:StopInstances")
def stop_instances(call: Call, world: World, params: Params) -> Outcome:
    """A stopped instance gives back its lent public address."""
    changed, outcome = _moved(call, world, params["InstanceIds"], _STOP)
    for instance in changed:
        if instance.disable_api_stop:
            raise fault(
                "OperationNotPermitted",
                message=f"The instance '{instance.id}' may not be stopped. Modify its 'disableApiStop' instance attribute "
                "and try again.",
            )
    lent = [e for i in changed for e in world.by(NETWORK_INTERFACE, "instance", i.id) if e.auto_public_ip]
    change = put(NETWORK_INTERFACE, *(replace(eni, auto_public_ip=None) for eni in lent))
    return Outcome(outcome.reply, outcome.change + change)


@operation("ec2:StartInstances")
def start_instances(call: Call, world: World, params: Params) -> Outcome:
    """A started instance gets a public address again where its launch gave it one (NET-15)."""
    changed, outcome = _moved(call, world, params["InstanceIds"], _START)
    change = outcome.change
    for instance in changed:
        for eni in interfaces_of(world, instance)[:1]:
            attached = world.count(INTERNET_GATEWAY, "vpc", eni.vpc_id)
            if eni.associate_public_ip and attached and public_address(world, eni, eni.addresses[0]) is None:
                lent = replace(eni, auto_public_ip=new_public_ip(call, world.apply(change)))
                change += put(NETWORK_INTERFACE, lent)
    return Outcome(outcome.reply, change)


@operation("ec2:RebootInstances")
def reboot_instances(call: Call, world: World, params: Params) -> Outcome:
    """Running instances start anew."""
    rows = named_instances(call, world, params["InstanceIds"])
    for row in rows:
        if row.state is not InstanceState.RUNNING:
            raise fault(
                "IncorrectInstanceState",
                message=f"The instance '{row.id}' is not in the 'running' state.",
            )
    return Outcome({}, put(INSTANCE, *(replace(row, boots=row.boots + 1) for row in rows)))


@operation("ec2:TerminateInstances")
def terminate_instances(call: Call, world: World, params: Params) -> Outcome:
    """Interfaces made at launch go with the instance, at once: nothing of it can send any more."""
    changed, outcome = _moved(call, world, params["InstanceIds"], _TERMINATE)
    change = Change()
    for instance in changed:
        if instance.disable_api_termination:
            raise fault(
                "OperationNotPermitted",
                message=f"The instance '{instance.id}' may not be terminated. Modify its 'disableApiTermination' instance "
                "attribute and try again.",
            )
        gone = replace(instance, terminated=call.now.isoformat(), tags=instance.tags)
        change += lifecycle.released(world, instance) + put(INSTANCE, gone)
    return Outcome(outcome.reply, change)
