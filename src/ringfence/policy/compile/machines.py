"""Instances that should run, and what the metadata service tells them (Amazon EC2 User Guide: "Instance metadata")."""

from __future__ import annotations

import base64
import json
from operator import attrgetter

from ringfence.model.kinds import IMAGE, KEY_PAIR, NETWORK_INTERFACE, SECURITY_GROUP, SUBNET, VPC
from ringfence.model.nouns.instance import RUNNABLE, Image, Instance, KeyPair
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.policy.compile.edge import public_addresses
from ringfence.policy.compile.names import private_name, public_name
from ringfence.policy.compile.rows import Parts, Rows
from ringfence.policy.ir import Machine


def _interfaces(rows: Rows, instance: Instance) -> list[NetworkInterface]:
    found = rows.by(NETWORK_INTERFACE, "instance", instance.id)
    return sorted(found, key=lambda eni: eni.attachment.device_index if eni.attachment else 0)


def _key(rows: Rows, instance: Instance) -> KeyPair | None:
    keys = rows.by(KEY_PAIR, "name", instance.key_name) if instance.key_name else []
    return next((key for key in keys if key.owner_id == instance.owner_id and key.region == instance.region), None)


def machine(rows: Parts, instance: Instance) -> Machine | None:
    """The instance as the data plane starts it; None unless it is pending or running, with its primary interface."""
    if instance.state not in RUNNABLE:
        return None
    interfaces = _interfaces(rows, instance)
    if not interfaces:
        return None
    image = rows.find(IMAGE, instance.image_id)
    options = instance.metadata_options
    hostname = private_name(instance.region, interfaces[0].addresses[0])
    return Machine(
        instance_id=instance.id,
        vpc_id=instance.vpc_id,
        root=image.root if image else "builtin",
        hostname=hostname,
        boots=instance.boots,
        user_data=base64.b64decode(instance.user_data) if instance.user_data else None,
        imds_enabled=options.http_endpoint == "enabled",
        imds_v1=options.http_tokens == "optional",
        imds_hop_limit=options.hop_limit,
        imds_ipv6=options.http_protocol_ipv6 == "enabled",
        metadata=tuple(sorted(_metadata(rows, instance, interfaces, image, hostname).items())),
    )


def _metadata(
    rows: Parts, instance: Instance, interfaces: list[NetworkInterface], image: Image | None, hostname: str
) -> dict[str, str]:
    """Path under /latest/ → text."""
    primary = interfaces[0]
    subnet = rows.get(SUBNET, primary.subnet_id)
    out = {
        "meta-data/ami-id": instance.image_id,
        "meta-data/ami-launch-index": str(instance.launch_index),
        "meta-data/hostname": hostname,
        "meta-data/local-hostname": hostname,
        "meta-data/instance-action": "none",
        "meta-data/instance-id": instance.id,
        "meta-data/instance-life-cycle": "on-demand",
        "meta-data/instance-type": instance.instance_type,
        "meta-data/local-ipv4": str(primary.addresses[0]),
        "meta-data/mac": primary.mac,
        "meta-data/placement/availability-zone": instance.availability_zone,
        "meta-data/placement/availability-zone-id": subnet.availability_zone_id,
        "meta-data/placement/region": instance.region,
        "meta-data/reservation-id": instance.reservation_id,
        "meta-data/security-groups": _group_names(rows, primary),
        "meta-data/services/domain": "amazonaws.com",
        "meta-data/services/partition": "aws",
    }
    if primary.ipv6:
        out["meta-data/ipv6"] = str(primary.ipv6[0])
    for outside, inside in public_addresses(rows, primary):
        if inside == primary.addresses[0]:
            out["meta-data/public-ipv4"] = str(outside)
            if rows.get(VPC, primary.vpc_id).dns_hostnames:
                out["meta-data/public-hostname"] = public_name(instance.region, outside)
    key = _key(rows, instance)
    if key is not None:
        out["meta-data/public-keys/"] = f"0={key.name}"
        out["meta-data/public-keys/0/openssh-key"] = key.public_key
    if instance.metadata_options.instance_metadata_tags == "enabled":
        out |= {f"meta-data/tags/instance/{name}": value for name, value in instance.tags}
    for eni in interfaces:
        out |= _interface_metadata(rows, eni)
    out["dynamic/instance-identity/document"] = _identity(instance, primary, image)
    return out


def _group_names(rows: Parts, eni: NetworkInterface) -> str:
    """The names alone: a change of their rules is nothing to the instance."""
    return "\n".join(rows.part(SECURITY_GROUP, id, _NAME) for id in eni.groups)


_NAME = attrgetter("name")


def _interface_metadata(rows: Parts, eni: NetworkInterface) -> dict[str, str]:
    at = f"meta-data/network/interfaces/macs/{eni.mac}/"
    vpc, subnet = rows.get(VPC, eni.vpc_id), rows.get(SUBNET, eni.subnet_id)
    out = {
        "device-number": str(eni.attachment.device_index if eni.attachment else 0),
        "interface-id": eni.id,
        "local-hostname": private_name(eni.region, eni.addresses[0]),
        "local-ipv4s": "\n".join(map(str, eni.addresses)),
        "mac": eni.mac,
        "owner-id": eni.owner_id,
        "security-group-ids": "\n".join(eni.groups),
        "security-groups": _group_names(rows, eni),
        "subnet-id": eni.subnet_id,
        "subnet-ipv4-cidr-block": str(subnet.cidr),
        "vpc-id": eni.vpc_id,
        "vpc-ipv4-cidr-block": str(vpc.cidr),
        "vpc-ipv4-cidr-blocks": "\n".join(str(a.block) for a in vpc.ipv4),
    }
    public = [str(outside) for outside, _ in public_addresses(rows, eni)]
    if public:
        out["public-ipv4s"] = "\n".join(public)
    if eni.ipv6:
        out["ipv6s"] = "\n".join(map(str, eni.ipv6))
    return {at + name: value for name, value in out.items()}


def _identity(instance: Instance, primary: NetworkInterface, image: Image | None) -> str:
    return json.dumps(
        {
            "accountId": instance.owner_id,
            "architecture": image.architecture if image else "x86_64",
            "availabilityZone": instance.availability_zone,
            "imageId": instance.image_id,
            "instanceId": instance.id,
            "instanceType": instance.instance_type,
            "pendingTime": instance.launch_time,
            "privateIp": str(primary.addresses[0]),
            "region": instance.region,
            "version": "2017-09-30",
        },
        indent=2,
    )
