"""Instances as Describe shows them (Amazon EC2 API Reference: Instance, Reservation)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ringfence.api.ops.ec2.instance_metadata import metadata_view
from ringfence.api.ops.ec2.instance_profiles import profile_view
from ringfence.api.ops.ec2.interfaces import (
    attachment_view,
    common_view,
    group_identifiers,
    private_dns_name,
    public_address,
    public_dns_name,
)
from ringfence.api.ops.tagging import tag_list
from ringfence.api.ops.views import Views
from ringfence.model.kinds import IMAGE, INSTANCE, NETWORK_INTERFACE, VPC
from ringfence.model.nouns.instance import Instance, InstanceState
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.world import World


def interfaces_of(world: World, instance: Instance) -> list[NetworkInterface]:
    """Its interfaces in the order of their device indexes."""
    found = world.by(NETWORK_INTERFACE, "instance", instance.id)
    return sorted(found, key=lambda eni: eni.attachment.device_index if eni.attachment else 0)


def _interface_view(world: World, eni: NetworkInterface) -> dict[str, Any]:
    assert eni.attachment is not None
    return common_view(world, eni, full=False) | {"Attachment": attachment_view(eni.attachment)}


def instance_view(world: World, instance: Instance) -> dict[str, Any]:
    """An instance as DescribeInstances shows it."""
    interfaces = interfaces_of(world, instance)
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
        "VirtualizationType": image.virtualization_type if image else "hvm",
        "PlatformDetails": image.platform_details if image else "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "ProductCodes": [],
        "MetadataOptions": metadata_view(instance.metadata_options),
        "HibernationOptions": {"Configured": False},
        "EnclaveOptions": {"Enabled": False},
        "MaintenanceOptions": {"AutoRecovery": "default"},
        "CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 1},
        "NetworkInterfaces": [_interface_view(world, eni) for eni in interfaces],
        "SecurityGroups": group_identifiers(world, interfaces[0].groups) if interfaces else [],
        **({"Tags": tag_list(instance.tags)} if instance.tags else {}),  # AWS shows none where there are none
        "PrivateDnsName": "",
        "PublicDnsName": "",
    }
    platform = image.platform if image else None
    optional = {
        "Platform": platform,
        "KeyName": instance.key_name,
        "KernelId": instance.kernel_id,
        "RamdiskId": instance.ramdisk_id,
    }
    out |= {member: value for member, value in optional.items() if value} | profile_view(instance)
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


def reservation_view(world: World, owner_id: str, id: str, instances: Iterable[Instance]) -> dict[str, Any]:
    """Instances of one RunInstances call."""
    return {
        "ReservationId": id,
        "OwnerId": owner_id,
        "Groups": [],
        "Instances": _VIEWS.of(world, instances),
    }


_VIEWS = Views(INSTANCE, instance_view)
