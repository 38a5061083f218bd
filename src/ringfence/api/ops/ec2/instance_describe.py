"""DescribeInstances and DescribeInstanceStatus (Amazon EC2 API Reference, read 2026-11)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2.instance_views import instance_view, interfaces_of, reservation_view
from ringfence.api.ops.ec2.interfaces import private_dns_name, public_address
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.kinds import INSTANCE, SECURITY_GROUP
from ringfence.model.nouns.instance import Instance, InstanceState
from ringfence.model.world import World


def _via_interfaces(value: Any) -> Values:
    return lambda world, instance: (item for eni in interfaces_of(world, instance) for item in value(world, eni))


def _of_view(*path: str) -> Values:
    def values(world: World, instance: Instance) -> Iterable[Any]:
        value: Any = instance_view(world, instance)
        for member in path:
            value = value.get(member, {}) if isinstance(value, dict) else {}
        return (value,) if value not in ({}, "") else ()

    return values


FILTERS: dict[str, Values] = {
    "instance-id": lambda _, i: (i.id,),
    "image-id": lambda _, i: (i.image_id,),
    "instance-type": lambda _, i: (i.instance_type,),
    "instance-state-name": lambda _, i: (i.state.label,),
    "instance-state-code": lambda _, i: (int(i.state),),
    "instance-lifecycle": lambda _, i: (),
    "vpc-id": lambda world, i: (i.vpc_id,) if interfaces_of(world, i) else (),
    "subnet-id": lambda world, i: (i.subnet_id,) if interfaces_of(world, i) else (),
    "network-interface.vpc-id": _via_interfaces(lambda _, e: (e.vpc_id,)),
    "network-interface.subnet-id": _via_interfaces(lambda _, e: (e.subnet_id,)),
    "network-interface.network-interface-id": _via_interfaces(lambda _, e: (e.id,)),
    "network-interface.private-dns-name": _via_interfaces(lambda _, e: (private_dns_name(e.region, e.addresses[0]),)),
    "network-interface.addresses.private-ip-address": _via_interfaces(lambda _, e: (str(a) for a in e.addresses)),
    "network-interface.addresses.primary": _via_interfaces(lambda _, e: (True,)),
    "network-interface.ipv6-addresses.ipv6-address": _via_interfaces(lambda _, e: (str(a) for a in e.ipv6)),
    "network-interface.mac-address": _via_interfaces(lambda _, e: (e.mac,)),
    "network-interface.group-id": _via_interfaces(lambda _, e: e.groups),
    "network-interface.group-name": _via_interfaces(lambda w, e: (w.get(SECURITY_GROUP, id).name for id in e.groups)),
    "network-interface.status": _via_interfaces(lambda _, e: ("in-use",)),
    "network-interface.source-dest-check": _via_interfaces(lambda _, e: (e.source_dest_check,)),
    "network-interface.owner-id": _via_interfaces(lambda _, e: (e.owner_id,)),
    "network-interface.description": _via_interfaces(lambda _, e: (e.description,)),
    "network-interface.availability-zone": _via_interfaces(lambda _, e: (e.availability_zone,)),
    "network-interface.attachment.attachment-id": _via_interfaces(lambda _, e: (e.attachment.id,)),
    "network-interface.attachment.device-index": _via_interfaces(lambda _, e: (e.attachment.device_index,)),
    "network-interface.association.public-ip": _via_interfaces(
        lambda w, e: (str(p) for a in e.addresses if (p := public_address(w, e, a)) is not None)
    ),
    "instance.group-id": _via_interfaces(lambda _, e: e.groups),
    "group-id": _via_interfaces(lambda _, e: e.groups),
    "instance.group-name": _via_interfaces(lambda w, e: (w.get(SECURITY_GROUP, id).name for id in e.groups)),
    "group-name": _via_interfaces(lambda w, e: (w.get(SECURITY_GROUP, id).name for id in e.groups)),
    "private-ip-address": _of_view("PrivateIpAddress"),
    "private-dns-name": _of_view("PrivateDnsName"),
    "ip-address": _of_view("PublicIpAddress"),
    "dns-name": _of_view("PublicDnsName"),
    "ipv6-address": _of_view("Ipv6Address"),
    "availability-zone": lambda _, i: (i.availability_zone,),
    "key-name": lambda _, i: (i.key_name,),
    "launch-time": lambda _, i: (i.launch_time,),
    "launch-index": lambda _, i: (i.launch_index,),
    "reservation-id": lambda _, i: (i.reservation_id,),
    "owner-id": lambda _, i: (i.owner_id,),
    "client-token": lambda _, i: (i.client_token,),
    "architecture": _of_view("Architecture"),
    "hypervisor": lambda _, i: ("xen",),
    "virtualization-type": _of_view("VirtualizationType"),
    "root-device-type": lambda _, i: ("instance-store",),
    "root-device-name": _of_view("RootDeviceName"),
    "monitoring-state": lambda _, i: ("enabled" if i.monitoring else "disabled",),
    "tenancy": lambda _, i: (i.tenancy,),
    "placement-group-name": lambda _, i: (),
    "platform": _of_view("Platform"),
    "kernel-id": lambda _, i: (i.kernel_id,),
    "ramdisk-id": lambda _, i: (i.ramdisk_id,),
    "source-dest-check": lambda w, i: (e.source_dest_check for e in interfaces_of(w, i)[:1]),
    "state-reason-code": lambda _, i: (i.state_reason[0] if i.state_reason else None,),
    "state-reason-message": lambda _, i: (i.state_reason[1] if i.state_reason else None,),
    "reason": lambda _, i: (i.state_transition_reason,),
    "iam-instance-profile.arn": lambda _, i: (i.iam_instance_profile,),
    "iam-instance-profile.id": lambda _, i: (i.iam_instance_profile_id,),
    "metadata-options.http-tokens": lambda _, i: (i.metadata_options.http_tokens,),
    "metadata-options.http-endpoint": lambda _, i: (i.metadata_options.http_endpoint,),
    "metadata-options.http-put-response-hop-limit": lambda _, i: (i.metadata_options.hop_limit,),
}


@operation("ec2:DescribeInstances")
def describe_instances(call: Call, world: World, params: Params) -> Outcome:
    """Instances by reservation; pages hold instances, as MaxResults counts them."""
    if params.get("InstanceIds") and params.get("MaxResults") is not None:
        raise fault(
            "InvalidParameterCombination",
            message="The parameter instancesSet cannot be used with the parameter maxResults",
        )
    rows = apply_filters(world, _selected(call, world, params), params.get("Filters") or (), FILTERS)
    shown, token = page(rows, params)
    reservations: dict[str, list[Instance]] = {}
    for instance in shown:
        reservations.setdefault(instance.reservation_id, []).append(instance)
    found = [reservation_view(world, call.account_id, id, held) for id, held in reservations.items()]
    return Outcome({"Reservations": found} | ({"NextToken": token} if token else {}))


def _selected(call: Call, world: World, params: Params) -> list[Instance]:
    ids = params.get("InstanceIds")
    return named_instances(call, world, ids) if ids else call.mine(world, INSTANCE)


def named_instances(call: Call, world: World, ids: Sequence[str]) -> list[Instance]:
    """The instances of a list of ids. AWS names all that are missing in one error."""
    found = [(id, world.find(INSTANCE, id)) for id in dict.fromkeys(ids)]
    missing = [id for id, row in found if row is None or row.owner_id != call.account_id or row.region != call.region]
    if len(missing) == 1:
        call.get(world, INSTANCE, missing[0])
    if missing:
        raise fault("InvalidInstanceID.NotFound", message=f"The instance IDs '{', '.join(missing)}' do not exist")
    return [row for _, row in found if row is not None]


@operation("ec2:DescribeInstanceStatus")
def describe_instance_status(call: Call, world: World, params: Params) -> Outcome:
    """Running instances; all with IncludeAllInstances."""
    rows = _selected(call, world, params)
    if not params.get("IncludeAllInstances"):
        rows = [row for row in rows if row.state is InstanceState.RUNNING]
    known: dict[str, Values] = {
        "availability-zone": FILTERS["availability-zone"],
        "instance-state-name": FILTERS["instance-state-name"],
        "instance-state-code": FILTERS["instance-state-code"],
        "instance-status.status": lambda _, i: (_health(i),),
        "system-status.status": lambda _, i: (_health(i),),
        "instance-status.reachability": lambda _, i: ("passed" if _health(i) == "ok" else None,),
        "system-status.reachability": lambda _, i: ("passed" if _health(i) == "ok" else None,),
        "event.code": lambda _, i: (),
    }
    shown, token = page(apply_filters(world, rows, params.get("Filters") or (), known), params)
    reply = {"InstanceStatuses": [_status_view(instance) for instance in shown]}
    return Outcome(reply | ({"NextToken": token} if token else {}))


def _health(instance: Instance) -> str:
    return "ok" if instance.state is InstanceState.RUNNING else "not-applicable"


def _status_view(instance: Instance) -> Params:
    health = _health(instance)
    details = [{"Name": "reachability", "Status": "passed"}] if health == "ok" else []
    return {
        "InstanceId": instance.id,
        "AvailabilityZone": instance.availability_zone,
        "InstanceState": {"Code": int(instance.state), "Name": instance.state.label},
        "InstanceStatus": {"Status": health, "Details": details},
        "SystemStatus": {"Status": health, "Details": details},
        "Events": [],
    }
