"""Attributes of instances (Amazon EC2 API Reference; spec SG-60, NET-21, UF-11)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ec2.instance_describe import named_instances
from ringfence.api.ops.ec2.instance_metadata import metadata_options, metadata_view
from ringfence.api.ops.ec2.instance_types import check_interfaces
from ringfence.api.ops.ec2.instances import check_user_data
from ringfence.api.ops.ec2.interfaces import group_identifiers, groups_of
from ringfence.api.ops.registry import operation
from ringfence.model.errors import fault
from ringfence.model.instance_types import instance_types
from ringfence.model.kinds import INSTANCE, NETWORK_INTERFACE
from ringfence.model.nouns.instance import Instance, InstanceState
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.world import Change, World, put


def _primary(world: World, instance: Instance) -> NetworkInterface:
    interfaces = world.by(NETWORK_INTERFACE, "instance", instance.id)
    if not interfaces:
        raise fault("IncorrectInstanceState", message=f"The instance '{instance.id}' has no network interface")
    return min(interfaces, key=lambda eni: eni.attachment.device_index if eni.attachment else 0)


def _single_interface(world: World, instance: Instance, what: str) -> NetworkInterface:
    if world.count(NETWORK_INTERFACE, "instance", instance.id) > 1:
        raise fault(
            "InvalidInstanceID",
            message=f"There are multiple interfaces attached to instance '{instance.id}'. "
            f"Please specify an interface ID to change its {what}.",
        )
    return _primary(world, instance)


_DESCRIBED: dict[str, Callable[[World, Instance], Params]] = {
    "instanceType": lambda _, i: {"InstanceType": {"Value": i.instance_type}},
    "kernel": lambda _, i: {"KernelId": {"Value": i.kernel_id} if i.kernel_id else {}},
    "ramdisk": lambda _, i: {"RamdiskId": {"Value": i.ramdisk_id} if i.ramdisk_id else {}},
    "userData": lambda _, i: {"UserData": {"Value": i.user_data} if i.user_data else {}},
    "disableApiTermination": lambda _, i: {"DisableApiTermination": {"Value": i.disable_api_termination}},
    "disableApiStop": lambda _, i: {"DisableApiStop": {"Value": i.disable_api_stop}},
    "instanceInitiatedShutdownBehavior": lambda _, i: {
        "InstanceInitiatedShutdownBehavior": {"Value": i.shutdown_behavior}
    },
    "rootDeviceName": lambda _, i: {"RootDeviceName": {"Value": "/dev/xvda"}},
    "blockDeviceMapping": lambda _, i: {"BlockDeviceMappings": []},
    "productCodes": lambda _, i: {"ProductCodes": []},
    "sourceDestCheck": lambda w, i: {"SourceDestCheck": {"Value": _primary(w, i).source_dest_check}},
    "groupSet": lambda w, i: {"Groups": group_identifiers(w, _primary(w, i).groups)},
    "ebsOptimized": lambda _, i: {"EbsOptimized": {"Value": i.ebs_optimized}},
    "sriovNetSupport": lambda _, i: {"SriovNetSupport": {}},
    "enaSupport": lambda _, i: {"EnaSupport": {"Value": True}},
    "enclaveOptions": lambda _, i: {"EnclaveOptions": {"Enabled": False}},
}


@operation("ec2:DescribeInstanceAttribute")
def describe_instance_attribute(call: Call, world: World, params: Params) -> Outcome:
    """One attribute."""
    instance = call.get(world, INSTANCE, params["InstanceId"])
    return Outcome({"InstanceId": instance.id, **_DESCRIBED[params["Attribute"]](world, instance)})


# ---------------------------------------------------------------------- modify
def _boolean(field: str) -> Callable[[Call, World, Instance, Any], Change]:
    def change(_call: Call, _world: World, instance: Instance, value: Any) -> Change:
        changed: dict[str, Any] = {field: bool(_plain(value) in (True, "true", "True"))}
        return put(INSTANCE, replace(instance, **changed))

    return change


def _plain(value: Any) -> Any:
    return value.get("Value") if isinstance(value, dict) else value


def _stopped(instance: Instance, what: str) -> None:
    if instance.state is not InstanceState.STOPPED:
        raise fault(
            "IncorrectInstanceState",
            message=f"The instance '{instance.id}' is not in the 'stopped' state: {what} cannot be changed.",
        )


def _groups(call: Call, world: World, instance: Instance, value: Any) -> Change:
    """SG-60: the list replaces that of the primary interface and must not be empty."""
    if not value:
        raise fault("InvalidParameterValue", message="At least one security group must be given")
    eni = _single_interface(world, instance, "security groups")
    groups = groups_of(call, world, eni.vpc_id, value, instance=True)
    return put(NETWORK_INTERFACE, replace(eni, groups=groups))


def _source_dest_check(_call: Call, world: World, instance: Instance, value: Any) -> Change:
    eni = _single_interface(world, instance, "source/destination check")
    return put(NETWORK_INTERFACE, replace(eni, source_dest_check=_plain(value) in (True, "true", "True")))


def _instance_type(_call: Call, world: World, instance: Instance, value: Any) -> Change:
    _stopped(instance, "instanceType")
    wanted = str(_plain(value))
    if wanted not in instance_types():
        raise fault("InvalidInstanceAttributeValue", message=f"Invalid value '{wanted}' for InstanceType.")
    check_interfaces(wanted, world.by(NETWORK_INTERFACE, "instance", instance.id))
    return put(INSTANCE, replace(instance, instance_type=wanted))


def _user_data(_call: Call, _world: World, instance: Instance, value: Any) -> Change:
    _stopped(instance, "userData")
    given = _plain(value)
    # the model types UserData.Value as a blob: it arrives decoded
    text = base64.b64encode(given).decode() if isinstance(given, bytes) else given
    return put(INSTANCE, replace(instance, user_data=check_user_data(text)))


def _shutdown_behavior(_call: Call, _world: World, instance: Instance, value: Any) -> Change:
    wanted = _plain(value)
    if wanted not in ("stop", "terminate"):
        raise fault(
            "InvalidParameterValue", message=f"Value ({wanted}) for instanceInitiatedShutdownBehavior is invalid."
        )
    return put(INSTANCE, replace(instance, shutdown_behavior=wanted))


def _text(field: str) -> Callable[[Call, World, Instance, Any], Change]:
    def change(_call: Call, _world: World, instance: Instance, value: Any) -> Change:
        _stopped(instance, field)
        changed: dict[str, Any] = {field: _plain(value)}
        return put(INSTANCE, replace(instance, **changed))

    return change


#: request member -> change; the flat Attribute/Value form uses the same names in lower camel case
_MODIFIED: dict[str, Callable[[Call, World, Instance, Any], Change]] = {
    "Groups": _groups,
    "SourceDestCheck": _source_dest_check,
    "DisableApiTermination": _boolean("disable_api_termination"),
    "DisableApiStop": _boolean("disable_api_stop"),
    "EbsOptimized": _boolean("ebs_optimized"),
    "InstanceType": _instance_type,
    "UserData": _user_data,
    "InstanceInitiatedShutdownBehavior": _shutdown_behavior,
    "Kernel": _text("kernel_id"),
    "Ramdisk": _text("ramdisk_id"),
}


@operation("ec2:ModifyInstanceAttribute")
def modify_instance_attribute(call: Call, world: World, params: Params) -> Outcome:
    """One attribute per call."""
    instance = call.get(world, INSTANCE, params["InstanceId"])
    given = [
        name for name, value in params.items() if name not in ("InstanceId", "Attribute", "Value") and value is not None
    ]
    if params.get("Attribute"):
        given.append(params["Attribute"][0].upper() + params["Attribute"][1:])
    if len(given) != 1:
        code = "InvalidParameterCombination" if given else "MissingParameter"
        raise fault(code, message="Exactly one instance attribute must be given.")
    modify = _MODIFIED.get(given[0])
    if modify is None:
        raise fault("UnsupportedOperation", message=f"The attribute {given[0]} is not supported by this installation")
    value = params.get("Value") if params.get("Attribute") else params[given[0]]
    return Outcome({}, modify(call, world, instance, value))


@operation("ec2:ResetInstanceAttribute")
def reset_instance_attribute(call: Call, world: World, params: Params) -> Outcome:
    """sourceDestCheck, kernel or ramdisk."""
    instance = call.get(world, INSTANCE, params["InstanceId"])
    if params["Attribute"] == "sourceDestCheck":
        return Outcome({}, _source_dest_check(call, world, instance, True))
    if params["Attribute"] in ("kernel", "ramdisk"):
        return Outcome({}, _text(f"{params['Attribute']}_id")(call, world, instance, None))
    raise fault("InvalidParameterValue", message=f"The attribute {params['Attribute']} cannot be reset")


@operation("ec2:ModifyInstanceMetadataOptions")
def modify_instance_metadata_options(call: Call, world: World, params: Params) -> Outcome:
    """UF-11."""
    instance = call.get(world, INSTANCE, params["InstanceId"])
    options = metadata_options(params, instance.metadata_options)
    reply = {"InstanceId": instance.id, "InstanceMetadataOptions": metadata_view(options)}
    return Outcome(reply, put(INSTANCE, replace(instance, metadata_options=options)))


def _monitoring(call: Call, world: World, params: Params, enabled: bool) -> Outcome:
    rows = named_instances(call, world, params["InstanceIds"])
    state = "pending" if enabled else "disabling"
    shown = [{"InstanceId": row.id, "Monitoring": {"State": state}} for row in rows]
    return Outcome({"InstanceMonitorings": shown}, put(INSTANCE, *(replace(row, monitoring=enabled) for row in rows)))


@operation("ec2:MonitorInstances")
def monitor_instances(call: Call, world: World, params: Params) -> Outcome:
    """Detailed monitoring on."""
    return _monitoring(call, world, params, True)


@operation("ec2:UnmonitorInstances")
def unmonitor_instances(call: Call, world: World, params: Params) -> Outcome:
    """Detailed monitoring off."""
    return _monitoring(call, world, params, False)
