"""What RunInstances touches: image, instance, and for every interface its subnet, security groups and volume, and the key
pair (IAM-25; EC2 User Guide, "Example policies to control access": "Launch instances (RunInstances)")."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ringfence.api.authorise.ask import Values, truth
from ringfence.api.authorise.resources import ANY, arn, find, placed
from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.ec2.instances import launch_subnet
from ringfence.api.ops.ec2.security_groups import default_vpc
from ringfence.model.errors import ApiError
from ringfence.model.kinds import SECURITY_GROUP, VPC
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.world import World

Wanted = list[tuple[str, str, Values]]
_DEFAULT_TYPE = "m1.small"  # AWS: of RunInstances without InstanceType


def run_instances(call: Call, world: World, params: Params) -> Wanted:
    """(type, id, keys the request gives it)."""
    wanted: Wanted = [("image", params.get("ImageId") or ANY, {})]
    place: Values = {}
    for specification in params.get("NetworkInterfaces") or [{}]:
        where, resources = _interface(call, world, params, specification)
        place = place or where
        wanted += resources
    wanted.append(("instance", ANY, place | _instance(call, params)))
    wanted.append(("volume", ANY, place | _volume(params)))
    if params.get("KeyName"):
        wanted.append(("key-pair", params["KeyName"], {}))
    return list({(type, id): (type, id, extra) for type, id, extra in wanted}.values())


def _interface(call: Call, world: World, params: Params, given: Params) -> tuple[Values, Wanted]:
    """One interface of the launch: where it is, and what it needs."""
    existing = given.get("NetworkInterfaceId")
    if existing:
        row = find(call, world, "network-interface", existing)
        held = (row.subnet_id, row.vpc_id, row.groups) if isinstance(row, NetworkInterface) else (ANY, None, (ANY,))
        subnet_id, vpc_id, groups = held
        place = placed(call, row) if row is not None else {}
        interface: Values = {}
    else:
        subnet_id, vpc_id, place = _subnet(call, world, params, given)
        groups = tuple(_groups(call, world, params, given, vpc_id)) or (ANY,)
        interface = place | {"ec2:associatepublicipaddress": truth(given.get("AssociatePublicIpAddress"))}
        interface = interface if given.get("AssociatePublicIpAddress") is not None else place
    wanted: Wanted = [("subnet", subnet_id, {}), ("network-interface", existing or ANY, interface)]
    return place, wanted + [("security-group", id, {}) for id in groups]


def _subnet(call: Call, world: World, params: Params, given: Params) -> tuple[str, str | None, Values]:
    """The subnet of a new interface: the one named, or the default subnet the launch would take."""
    id = given.get("SubnetId") or params.get("SubnetId")
    if id:
        row = find(call, world, "subnet", id)
    else:
        try:
            row = launch_subnet(call, world, params, {})
        except ApiError:
            return ANY, None, {}
    if row is None:
        return str(id), None, {}
    place = placed(call, row) | {"ec2:subnet": arn(call, "subnet", row.id, row.owner_id)}
    return row.id, row.vpc_id, place


def _groups(call: Call, world: World, params: Params, given: Params, vpc_id: str | None) -> Iterator[str]:
    """The groups named by id or by name; the default group of the VPC when there are none."""
    ids = [*(given.get("Groups") or ()), *(params.get("SecurityGroupIds") or ())]
    names = params.get("SecurityGroups") or ()
    default = default_vpc(call, world)
    for name in names:
        held = world.by(SECURITY_GROUP, "name", f"{default.id}/{name.lower()}") if default is not None else []
        ids += [group.id for group in held] or [ANY]
    vpc = world.find(VPC, vpc_id)
    if not ids and vpc is not None:
        ids.append(vpc.default_security_group_id)
    yield from ids


def _instance(call: Call, params: Params) -> Values:
    placement, options = params.get("Placement") or {}, params.get("MetadataOptions") or {}
    held: Values = {
        "ec2:instancetype": params.get("InstanceType") or _DEFAULT_TYPE,
        "ec2:tenancy": placement.get("Tenancy") or "default", "ec2:ebsoptimized": truth(params.get("EbsOptimized")),
        "ec2:rootdevicetype": "ebs", "ec2:instancemarkettype": "on-demand", "ec2:islaunchtemplateresource": "false",
    }  # fmt: skip
    for key, name in _METADATA.items():
        if options.get(name) is not None:
            held[key] = str(options[name])
    profile = params.get("IamInstanceProfile") or {}
    if profile.get("Arn") or profile.get("Name"):
        held["ec2:instanceprofile"] = (
            profile.get("Arn") or f"arn:aws:iam::{call.account_id}:instance-profile/{profile['Name']}"
        )
    return held


_METADATA = {
    "ec2:metadatahttptokens": "HttpTokens", "ec2:metadatahttpendpoint": "HttpEndpoint",
    "ec2:metadatahttpputresponsehoplimit": "HttpPutResponseHopLimit", "ec2:instancemetadatatags": "InstanceMetadataTags",
}  # fmt: skip


def _volume(params: Params) -> Values:
    """The root volume, as the first block device describes it."""
    disk: Any = next((one.get("Ebs") for one in params.get("BlockDeviceMappings") or () if one.get("Ebs")), {})
    held: Values = {"ec2:encrypted": truth(disk.get("Encrypted"))}
    for key, name in (("ec2:volumesize", "VolumeSize"), ("ec2:volumetype", "VolumeType"), ("ec2:volumeiops", "Iops")):
        if disk.get(name) is not None:
            held[key] = str(disk[name])
    return held


LAUNCHES: Mapping[str, Callable[[Call, World, Params], Wanted]] = {"RunInstances": run_instances}
