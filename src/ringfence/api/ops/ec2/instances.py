"""Instances: run, describe, stop, start, reboot, terminate (Amazon EC2 User Guide: "Instance lifecycle")."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2 import lifecycle
from ringfence.api.ops.ec2.addressing import new_public_ip
from ringfence.api.ops.ec2.images import visible_image
from ringfence.api.ops.ec2.interfaces import (
    attachment_view,
    common_view,
    group_identifiers,
    groups_of,
    new_interface,
    private_dns_name,
    public_address,
    public_dns_name,
)
from ringfence.api.ops.ec2.security_groups import default_vpc, named_group
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import (
    IMAGE,
    INSTANCE,
    INTERNET_GATEWAY,
    KEY_PAIR,
    NETWORK_INTERFACE,
    SECURITY_GROUP,
    SUBNET,
    VPC,
)
from ringfence.model.nouns.instance import Instance, InstanceState, MetadataOptions
from ringfence.model.nouns.network import Subnet
from ringfence.model.nouns.network_interface import Attachment, NetworkInterface
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, put

MAX_USER_DATA = 16384  # bytes, before base64
#: parameters that would change what an instance may do, and that cannot be honoured
_UNSUPPORTED = (
    "LaunchTemplate", "InstanceMarketOptions", "ElasticGpuSpecification", "ElasticInferenceAccelerators",
    "SecondaryInterfaces", "IamInstanceProfile", "LicenseSpecifications", "Operator", "EnablePrimaryIpv6",
)  # fmt: skip


# ---------------------------------------------------------------------- running
@operation("ec2:RunInstances")
def run_instances(call: Call, world: World, params: Params) -> Outcome:
    """SG-12, SG-30, SG-61, NET-15, NET-24: all instances of the call are made, or none."""
    for name in _UNSUPPORTED:
        if params.get(name):
            raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")
    low, high = params["MinCount"], params["MaxCount"]
    if not 1 <= low <= high <= 1000:
        raise fault("InvalidParameterValue", message=f"Value ({low}/{high}) for MinCount/MaxCount is invalid.")
    if not params.get("ImageId"):
        raise fault("MissingParameter", name="ImageId")
    template = _template(call, world, params)
    change, now = Change(), world
    for index in range(high):
        step = _launch(call, now, params, template, index)
        change, now = change + step, now.apply(step)
    made = now.by(INSTANCE, "reservation", template.reservation_id)
    return Outcome(_reservation_view(now, call.account_id, template.reservation_id, made), change)


def _template(call: Call, world: World, params: Params) -> Instance:
    """What the instances of one call have in common; its network is filled in for each."""
    image = visible_image(call, world, params["ImageId"])
    if params.get("KeyName") and not any(k.name == params["KeyName"] for k in call.mine(world, KEY_PAIR)):
        raise fault("InvalidKeyPair.NotFound", id=params["KeyName"])
    placement = params.get("Placement") or {}
    return Instance(
        id="",
        **call.owned(),
        tags=tags_on_create(call, params, INSTANCE, NETWORK_INTERFACE, "volume"),
        reservation_id=call.ids.new("r-"),
        image_id=image.id,
        instance_type=params.get("InstanceType") or "m1.small",
        state=InstanceState.PENDING,
        launch_time=call.timestamp,
        vpc_id="",
        subnet_id="",
        availability_zone="",
        key_name=params.get("KeyName"),
        user_data=check_user_data(params.get("UserData")),
        metadata_options=metadata_options(params.get("MetadataOptions") or {}, MetadataOptions()),
        disable_api_termination=bool(params.get("DisableApiTermination")),
        disable_api_stop=bool(params.get("DisableApiStop")),
        shutdown_behavior=params.get("InstanceInitiatedShutdownBehavior") or "stop",
        ebs_optimized=bool(params.get("EbsOptimized")),
        monitoring=bool((params.get("Monitoring") or {}).get("Enabled")),
        tenancy=placement.get("Tenancy") or "default",
        client_token=params.get("ClientToken"),
        kernel_id=params.get("KernelId"),
        ramdisk_id=params.get("RamdiskId"),
    )


def check_user_data(text: str | None) -> str | None:
    """Base64 of at most 16 KiB. ApiError InvalidUserData.Malformed."""
    if not text:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise fault("InvalidUserData.Malformed", message="Invalid BASE64 encoding of user data.") from None
    if len(raw) > MAX_USER_DATA:
        raise fault("InvalidParameterValue", message="User data is limited to 16384 bytes")
    return text


_METADATA = {
    "HttpTokens": "http_tokens",
    "HttpEndpoint": "http_endpoint",
    "HttpPutResponseHopLimit": "hop_limit",
    "HttpProtocolIpv6": "http_protocol_ipv6",
    "InstanceMetadataTags": "instance_metadata_tags",
}


def metadata_options(given: Params, current: MetadataOptions) -> MetadataOptions:
    """`current` overlaid with what a request gives (UF-11)."""
    values: dict[str, Any] = {field: given[name] for name, field in _METADATA.items() if given.get(name) is not None}
    if not 1 <= values.get("hop_limit", 1) <= 64:
        raise fault("InvalidParameterValue", message="HttpPutResponseHopLimit must be between 1 and 64")
    return replace(current, **values)


def metadata_view(options: MetadataOptions) -> dict[str, Any]:
    return {"State": "applied"} | {name: getattr(options, field) for name, field in _METADATA.items()}


def _launch(call: Call, world: World, params: Params, template: Instance, index: int) -> Change:
    """One instance with its interfaces."""
    specifications = _interface_specifications(params)
    id, change, now = call.ids.new("i-"), Change(), world
    interfaces: list[NetworkInterface] = []
    for device, specification in sorted(specifications.items()):
        eni = _interface(call, now, params, specification, id, device)
        interfaces.append(eni)
        step = put(NETWORK_INTERFACE, eni)
        change, now = change + step, now.apply(step)
    primary = interfaces[0]
    if any(eni.vpc_id != primary.vpc_id or eni.availability_zone != primary.availability_zone for eni in interfaces):
        raise fault("InvalidParameterCombination", message="All interfaces must be in one VPC and Availability Zone")
    instance = replace(
        template, id=id, launch_index=index, vpc_id=primary.vpc_id, subnet_id=primary.subnet_id,
        availability_zone=primary.availability_zone,
    )  # fmt: skip
    return change + put(INSTANCE, instance)


_INSTANCE_LEVEL = (
    "SubnetId", "SecurityGroupIds", "SecurityGroups", "PrivateIpAddress", "Ipv6AddressCount", "Ipv6Addresses",
)  # fmt: skip


def _interface_specifications(params: Params) -> dict[int, Params]:
    """Device index -> what the request says of that interface; index 0 is always there."""
    listed = params.get("NetworkInterfaces") or ()
    if not listed:
        single = {name: params[name] for name in _INSTANCE_LEVEL if params.get(name)}
        return {0: single | {"Groups": params.get("SecurityGroupIds"), "GroupNames": params.get("SecurityGroups")}}
    clash = [name for name in _INSTANCE_LEVEL if params.get(name)]
    if clash:
        raise fault(
            "InvalidParameterCombination",
            message="Network interfaces and an instance-level "
            + ("subnet ID" if "SubnetId" in clash else "security groups or addresses")
            + " may not be specified on the same request",
        )
    out: dict[int, Params] = {}
    for item in listed:
        device = item.get("DeviceIndex")
        if device is None:
            raise fault("MissingParameter", message="Each network interface requires a device index.")
        if device in out or device < 0:
            raise fault("InvalidParameterValue", message=f"Device index {device} is used more than once or negative")
        out[device] = item
    if 0 not in out:
        raise fault("InvalidParameterValue", message="A network interface of device index 0 is required.")
    if len(out) > 1 and any(item.get("AssociatePublicIpAddress") for item in out.values()):
        raise fault(
            "InvalidParameterCombination",
            message="The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
        )
    return out


def _interface(
    call: Call, world: World, params: Params, specification: Params, instance_id: str, device: int
) -> NetworkInterface:
    keep = specification.get("DeleteOnTermination")
    attachment = Attachment(
        id=call.ids.new("eni-attach-"), instance_id=instance_id, device_index=device, attach_time=call.timestamp,
        delete_on_termination=(keep if keep is not None else not specification.get("NetworkInterfaceId")),
    )  # fmt: skip
    if specification.get("NetworkInterfaceId"):
        return _existing(call, world, specification, attachment)
    subnet = _subnet(call, world, params, specification)
    names = [named_group(call, world, {"GroupName": name}).id for name in specification.get("GroupNames") or ()]
    wanted = [*(specification.get("Groups") or ()), *names]
    groups = groups_of(call, world, subnet.vpc_id, wanted, instance=True)
    tags = _interface_tags(call, params)
    eni = new_interface(call, world, subnet, specification, groups=groups, tags=tags)
    eni = replace(eni, attachment=attachment)
    asked = specification.get("AssociatePublicIpAddress")
    if device == 0 and (subnet.map_public_ip_on_launch if asked is None else asked):  # NET-15
        eni = replace(eni, auto_public_ip=new_public_ip(call, world))
    return eni


def _interface_tags(call: Call, params: Params) -> Tags:
    return tags_on_create(call, params, NETWORK_INTERFACE, INSTANCE, "volume")


def _existing(call: Call, world: World, specification: Params, attachment: Attachment) -> NetworkInterface:
    eni = call.get(world, NETWORK_INTERFACE, specification["NetworkInterfaceId"])
    if eni.attachment or eni.requester_managed:
        raise fault("InvalidNetworkInterface.InUse", message=f"interface {eni.id} is currently in use")
    if specification.get("Groups") or specification.get("SubnetId"):
        raise fault(
            "InvalidParameterCombination", message="An existing interface takes neither groups nor a subnet at launch"
        )
    return replace(eni, attachment=attachment)


def _subnet(call: Call, world: World, params: Params, specification: Params) -> Subnet:
    """The subnet named, or the default subnet of the zone asked for."""
    if specification.get("SubnetId"):
        return call.get(world, SUBNET, specification["SubnetId"])
    vpc = default_vpc(call, world)
    if vpc is None:
        raise fault(
            "VPCIdNotSpecified",
            message="No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.",
        )
    placement = params.get("Placement") or {}
    zone = placement.get("AvailabilityZone") or placement.get("AvailabilityZoneId")
    for subnet in world.by(SUBNET, "vpc", vpc.id):
        if subnet.default_for_az and zone in (None, "", subnet.availability_zone, subnet.availability_zone_id):
            return subnet
    raise fault("InvalidInput", message=f"No default subnet for availability zone: '{zone or 'any'}'.")


# ---------------------------------------------------------------------- showing
def _interfaces(world: World, instance: Instance) -> list[NetworkInterface]:
    found = world.by(NETWORK_INTERFACE, "instance", instance.id)
    return sorted(found, key=lambda eni: eni.attachment.device_index if eni.attachment else 0)


def _interface_view(world: World, eni: NetworkInterface) -> dict[str, Any]:
    assert eni.attachment is not None
    return common_view(world, eni, full=False) | {"Attachment": attachment_view(eni.attachment)}


def instance_view(world: World, instance: Instance) -> dict[str, Any]:
    """An instance as DescribeInstances shows it."""
    interfaces = _interfaces(world, instance)
    image = world.find(IMAGE, instance.image_id)
    out: dict[str, Any] = {
        "InstanceId": instance.id,
        "ImageId": instance.image_id,
        "InstanceType": instance.instance_type,
        "State": {"Code": int(instance.state), "Name": instance.state.label},
        "StateTransitionReason": instance.state_transition_reason,
        "LaunchTime": instance.launch_time,
        "AmiLaunchIndex": instance.launch_index,
        "Placement": {"AvailabilityZone": instance.availability_zone, "GroupName": "", "Tenancy": instance.tenancy},
        "Monitoring": {"State": "enabled" if instance.monitoring else "disabled"},
        "Architecture": image.architecture if image else "x86_64",
        "RootDeviceName": image.root_device_name if image else "/dev/xvda",
        "RootDeviceType": "instance-store",
        "BlockDeviceMappings": [],
        "ClientToken": instance.client_token or "",
        "EbsOptimized": instance.ebs_optimized,
        "EnaSupport": True,
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "ProductCodes": [],
        "MetadataOptions": metadata_view(instance.metadata_options),
        "HibernationOptions": {"Configured": False},
        "EnclaveOptions": {"Enabled": False},
        "MaintenanceOptions": {"AutoRecovery": "default"},
        "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 1},
        "NetworkInterfaces": [_interface_view(world, eni) for eni in interfaces],
        "SecurityGroups": group_identifiers(world, interfaces[0].groups) if interfaces else [],
        "Tags": tag_list(instance.tags),
        "PrivateDnsName": "",
        "PublicDnsName": "",
    }
    optional = {"KeyName": instance.key_name, "KernelId": instance.kernel_id, "RamdiskId": instance.ramdisk_id}
    out |= {member: value for member, value in optional.items() if value}
    if instance.state_reason:
        out["StateReason"] = {"Code": instance.state_reason[0], "Message": instance.state_reason[1]}
    return out | _network_view(world, instance, interfaces)


def _network_view(world: World, instance: Instance, interfaces: Sequence[NetworkInterface]) -> dict[str, Any]:
    """The primary interface's addresses; a terminated instance shows none."""
    if not interfaces:
        return {}
    primary = interfaces[0]
    out: dict[str, Any] = {
        "VpcId": primary.vpc_id,
        "SubnetId": primary.subnet_id,
        "PrivateIpAddress": str(primary.addresses[0]),
        "PrivateDnsName": private_dns_name(instance.region, primary.addresses[0]),
        "SourceDestCheck": primary.source_dest_check,
        "PrivateDnsNameOptions": {
            "HostnameType": instance.private_dns_hostname_type,
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
    }
    if primary.ipv6:
        out["Ipv6Address"] = str(primary.ipv6[0])
    public = public_address(world, primary, primary.addresses[0])
    if public is not None and instance.state is not InstanceState.STOPPED:
        out |= {
            "PublicIpAddress": str(public),
            "PublicDnsName": public_dns_name(world.get(VPC, primary.vpc_id), public),
        }
    return out


def _reservation_view(world: World, owner_id: str, id: str, instances: Iterable[Instance]) -> dict[str, Any]:
    return {
        "ReservationId": id,
        "OwnerId": owner_id,
        "Groups": [],
        "Instances": [instance_view(world, instance) for instance in instances],
    }


def _via_interfaces(value: Any) -> Values:
    return lambda world, instance: (item for eni in _interfaces(world, instance) for item in value(world, eni))


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
    "vpc-id": lambda world, i: (i.vpc_id,) if _interfaces(world, i) else (),
    "subnet-id": lambda world, i: (i.subnet_id,) if _interfaces(world, i) else (),
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
    "virtualization-type": lambda _, i: ("hvm",),
    "root-device-type": lambda _, i: ("instance-store",),
    "root-device-name": _of_view("RootDeviceName"),
    "monitoring-state": lambda _, i: ("enabled" if i.monitoring else "disabled",),
    "tenancy": lambda _, i: (i.tenancy,),
    "placement-group-name": lambda _, i: (),
    "platform": lambda _, i: (),
    "kernel-id": lambda _, i: (i.kernel_id,),
    "ramdisk-id": lambda _, i: (i.ramdisk_id,),
    "source-dest-check": lambda w, i: (e.source_dest_check for e in _interfaces(w, i)[:1]),
    "state-reason-code": lambda _, i: (i.state_reason[0] if i.state_reason else None,),
    "state-reason-message": lambda _, i: (i.state_reason[1] if i.state_reason else None,),
    "reason": lambda _, i: (i.state_transition_reason,),
    "iam-instance-profile.arn": lambda _, i: (),
    "iam-instance-profile.id": lambda _, i: (),
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
    found = [_reservation_view(world, call.account_id, id, held) for id, held in reservations.items()]
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


# ---------------------------------------------------------------------- stop, start, reboot, terminate
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
    """A started instance gets a public address again where its subnet gives them."""
    changed, outcome = _moved(call, world, params["InstanceIds"], _START)
    change = outcome.change
    for instance in changed:
        for eni in _interfaces(world, instance)[:1]:
            subnet = world.get(SUBNET, eni.subnet_id)
            attached = world.count(INTERNET_GATEWAY, "vpc", eni.vpc_id)
            if subnet.map_public_ip_on_launch and attached and public_address(world, eni, eni.addresses[0]) is None:
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
