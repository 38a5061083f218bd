"""Launching instances (Amazon EC2 API Reference: RunInstances; spec SG-12, SG-30, SG-61, NET-15, NET-24)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.ec2.addressing import new_public_ip
from ringfence.api.ops.ec2.images import visible_image
from ringfence.api.ops.ec2.instance_metadata import metadata_options, options_of_new
from ringfence.api.ops.ec2.instance_profiles import profile_of, with_profile
from ringfence.api.ops.ec2.instance_types import check_interfaces, check_type
from ringfence.api.ops.ec2.instance_views import reservation_view
from ringfence.api.ops.ec2.interfaces import (
    groups_of,
    new_interface,
    refuse_hardware,
)
from ringfence.api.ops.ec2.network_usage import within_address_usage
from ringfence.api.ops.ec2.security_groups import default_vpc, named_group
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import (
    INSTANCE,
    KEY_PAIR,
    NETWORK_INTERFACE,
    SUBNET,
)
from ringfence.model.nouns.instance import Instance, InstanceState
from ringfence.model.nouns.network import Subnet
from ringfence.model.nouns.network_interface import Attachment, NetworkInterface
from ringfence.model.regions import REGIONS
from ringfence.model.row import Tags
from ringfence.model.world import Change, World, put

MAX_USER_DATA = 16384  # bytes, before base64
#: parameters that would change what an instance may do, and that cannot be honoured
_UNSUPPORTED = (
    "LaunchTemplate", "InstanceMarketOptions", "ElasticGpuSpecification", "ElasticInferenceAccelerators",
    "SecondaryInterfaces", "LicenseSpecifications", "Operator", "EnablePrimaryIpv6",
)  # fmt: skip

#: places there are none of: hosts, placement groups
_NO_SUCH_PLACE = (
    "HostId",
    "HostResourceGroupArn",
    "Affinity",
    "GroupName",
    "GroupId",
    "PartitionNumber",
    "SpreadDomain",
)
#: (structure, member, the one value that can be honoured)
_ONLY: tuple[tuple[str, str, Any], ...] = (
    ("EnclaveOptions", "Enabled", False),
    ("HibernationOptions", "Configured", False),
    ("PrivateDnsNameOptions", "HostnameType", "ip-name"),
    ("PrivateDnsNameOptions", "EnableResourceNameDnsARecord", False),
    ("PrivateDnsNameOptions", "EnableResourceNameDnsAAAARecord", False),
)


DEFAULT_TYPE = "m1.small"  # EC2 API Reference, RunInstances: InstanceType


# ---------------------------------------------------------------------- running
@operation("ec2:RunInstances")
@within_address_usage
def run_instances(call: Call, world: World, params: Params) -> Outcome:
    """SG-12, SG-30, SG-61, NET-15, NET-24: all instances of the call are made, or none."""
    _refuse_unsupported(params)
    low, high = params["MinCount"], params["MaxCount"]
    if not 1 <= low <= high <= 1000:
        raise fault("InvalidParameterValue", message=f"Value ({low}/{high}) for MinCount/MaxCount is invalid.")
    if not params.get("ImageId"):
        raise fault("MissingParameter", name="ImageId")
    check_type(params.get("InstanceType") or DEFAULT_TYPE)
    template = _template(call, world, params)
    profile = profile_of(call, world, params.get("IamInstanceProfile"))
    change, now = Change(), world
    for index in range(high):
        step = _launch(call, now, params, with_profile(call, template, profile), index)
        change, now = change + step, now.apply(step)
    made = now.by(INSTANCE, "reservation", template.reservation_id)
    return Outcome(reservation_view(now, call.account_id, template.reservation_id, made), change)


def _refuse_unsupported(params: Params) -> None:
    """What cannot be honoured and matters to packets or security is refused, not dropped."""
    for name in _UNSUPPORTED:
        if params.get(name):
            raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")
    for member in _NO_SUCH_PLACE:
        if (params.get("Placement") or {}).get(member):
            raise fault("UnsupportedOperation", message=f"Placement.{member} is not supported by this installation")
    for name, member, harmless in _ONLY:
        value = (params.get(name) or {}).get(member)
        if value not in (None, harmless):
            raise fault("UnsupportedOperation", message=f"{name}.{member} can only be {str(harmless).lower()}")
    behavior = params.get("InstanceInitiatedShutdownBehavior")
    if behavior not in (None, "stop", "terminate"):
        raise fault(
            "InvalidParameterValue", message=f"Value ({behavior}) for instanceInitiatedShutdownBehavior is invalid."
        )


def _check_block_devices(mappings: Iterable[Params], root: str) -> None:
    """Each says what it maps to, or that it is left out. There are no volumes: an instance has its image's file system."""
    for mapping in mappings:
        if mapping.get("NoDevice"):  # AWS: an empty string omits the device
            raise fault("InvalidRequest", message="The request received was invalid")
        if all(mapping.get(name) is None for name in ("Ebs", "NoDevice", "VirtualName")):
            raise fault("MissingParameter", name="ebs")
        ebs = mapping.get("Ebs")
        if (
            ebs is not None
            and mapping.get("DeviceName") != root
            and not (ebs.get("VolumeSize") or ebs.get("SnapshotId"))
        ):
            raise fault("MissingParameter", name="size or snapshotId")


def _template(call: Call, world: World, params: Params) -> Instance:
    """What the instances of one call have in common; its network is filled in for each."""
    image = visible_image(call, world, params["ImageId"])
    if image.state != "available":
        raise fault("InvalidAMIID.Unavailable", id=image.id)
    _check_block_devices(params.get("BlockDeviceMappings") or (), image.root_device_name)
    if params.get("KeyName") and not any(k.name == params["KeyName"] for k in call.mine(world, KEY_PAIR)):
        raise fault("InvalidKeyPair.NotFound", id=params["KeyName"])
    placement = params.get("Placement") or {}
    return Instance(
        id="",
        **call.owned(),
        tags=tags_on_create(call, params, INSTANCE, NETWORK_INTERFACE, "volume"),
        reservation_id=call.ids.new("r-"),
        image_id=image.id,
        instance_type=params.get("InstanceType") or DEFAULT_TYPE,
        state=InstanceState.PENDING,
        launch_time=call.timestamp,
        vpc_id="",
        subnet_id="",
        availability_zone="",
        key_name=params.get("KeyName"),
        user_data=check_user_data(params.get("UserData")),
        metadata_options=metadata_options(params.get("MetadataOptions") or {}, options_of_new(call, world, image)),
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
    check_interfaces(template.instance_type, interfaces)
    primary = interfaces[0]
    if any(eni.availability_zone != primary.availability_zone for eni in interfaces):
        raise fault("InvalidParameterCombination", message="All interfaces must be in one Availability Zone")
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
    subnet = launch_subnet(call, world, params, specification)
    names = [named_group(call, world, {"GroupName": name}).id for name in specification.get("GroupNames") or ()]
    wanted = [*(specification.get("Groups") or ()), *names]
    groups = groups_of(call, world, subnet.vpc_id, wanted, instance=True)
    tags = _interface_tags(call, params)
    eni = new_interface(call, world, subnet, specification, groups=groups, tags=tags)
    eni = replace(eni, attachment=attachment)
    asked = specification.get("AssociatePublicIpAddress")
    if device == 0 and (subnet.map_public_ip_on_launch if asked is None else asked):  # NET-15
        eni = replace(eni, auto_public_ip=new_public_ip(call, world), associate_public_ip=True)
    return eni


def _interface_tags(call: Call, params: Params) -> Tags:
    return tags_on_create(call, params, NETWORK_INTERFACE, INSTANCE, "volume")


#: what describes an interface to be made; with one that exists AWS refuses it, and it must not be dropped in silence
_OF_NEW_INTERFACES = (
    "SubnetId", "Groups", "Description", "PrivateIpAddress", "PrivateIpAddresses", "SecondaryPrivateIpAddressCount",
    "Ipv6Addresses", "Ipv6AddressCount", "AssociatePublicIpAddress", "ConnectionTrackingSpecification",
    "Ipv4Prefixes", "Ipv4PrefixCount", "Ipv6Prefixes", "Ipv6PrefixCount", "PrimaryIpv6", "AssociateCarrierIpAddress",
)  # fmt: skip


def _existing(call: Call, world: World, specification: Params, attachment: Attachment) -> NetworkInterface:
    eni = call.get(world, NETWORK_INTERFACE, specification["NetworkInterfaceId"])
    if eni.attachment or eni.requester_managed:
        raise fault("InvalidNetworkInterface.InUse", message=f"interface {eni.id} is currently in use")
    given = [name for name in _OF_NEW_INTERFACES if specification.get(name)]
    if given:
        raise fault("InvalidParameterCombination", message=f"An existing interface does not take {given[0]} at launch")
    refuse_hardware(specification)
    return replace(eni, attachment=attachment)


def launch_subnet(call: Call, world: World, params: Params, specification: Params) -> Subnet:
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
    if zone and REGIONS[call.region].zone(zone) is None:
        raise fault("InvalidParameterValue", message=f"Invalid Availability Zone ({zone})")
    for subnet in world.by(SUBNET, "vpc", vpc.id):
        if subnet.default_for_az and zone in (None, "", subnet.availability_zone, subnet.availability_zone_id):
            return subnet
    raise fault("InvalidInput", message=f"No default subnet for availability zone: '{zone or 'any'}'.")
