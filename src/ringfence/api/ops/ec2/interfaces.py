"""Making and showing network interfaces: shared by CreateNetworkInterface, RunInstances and the Describes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from ringfence.api.ops.context import Call, Params
from ringfence.api.ops.ec2.addressing import allocate_ipv4, allocate_ipv6, next_number
from ringfence.api.ops.tagging import tag_list
from ringfence.model.errors import fault
from ringfence.model.invariants import usable
from ringfence.model.kinds import ELASTIC_IP, NETWORK_INTERFACE, SECURITY_GROUP, SUBNET, VPC
from ringfence.model.nouns.network import Subnet, Vpc
from ringfence.model.nouns.network_interface import Attachment, ConnectionTimeouts, ElasticIp, NetworkInterface
from ringfence.model.regions import REGIONS
from ringfence.model.row import Tags
from ringfence.model.world import World

MAX_ADDRESSES = 50  # private IPv4 addresses per interface: the largest instance types' limit


# ---------------------------------------------------------------------- parts of a request
def groups_of(call: Call, world: World, vpc_id: str, ids: Sequence[str], *, instance: bool = False) -> tuple[str, ...]:
    """The groups for an interface: those named, of this VPC, or its default group (SG-12, SG-30, SG-61)."""
    if not ids:
        return (world.get(VPC, vpc_id).default_security_group_id,)
    wanted = tuple(dict.fromkeys(ids))
    for id in wanted:
        group = call.get(world, SECURITY_GROUP, id)
        if not usable(world, group, vpc_id):
            raise fault(
                "InvalidGroup.NotFound",
                message=f"You have specified two resources that belong to different networks: {id} and {vpc_id}",
            )
    if len(wanted) > call.limits["security-groups-per-interface"]:
        if instance:
            raise fault(
                "SecurityGroupsPerInstanceLimitExceeded",
                message="The maximum number of security groups per instance has been reached.",
            )
        raise fault("SecurityGroupsPerInterfaceLimitExceeded")
    return wanted


_TIMEOUTS = (
    ("TcpEstablishedTimeout", "tcp_established", 60, 432000),
    ("UdpStreamTimeout", "udp_stream", 60, 180),
    ("UdpTimeout", "udp", 30, 60),
)


def parse_timeouts(given: Params | None, current: ConnectionTimeouts | None = None) -> ConnectionTimeouts | None:
    """Connection tracking timeouts, each within its range (CT-13..CT-16)."""
    if not given:
        return current
    values = {field: getattr(current or ConnectionTimeouts(), field) for _, field, _l, _h in _TIMEOUTS}
    for name, field, low, high in _TIMEOUTS:
        value = given.get(name)
        if value is None:
            continue
        if not low <= value <= high:
            raise fault("InvalidParameterValue", message=f"{name} must be between {low} and {high} seconds")
        values[field] = value
    return ConnectionTimeouts(**values)


def refuse_managed(eni: NetworkInterface) -> None:
    """What a service made and manages is its own to change (NET-23). OperationNotPermitted."""
    if eni.requester_managed:
        raise fault("OperationNotPermitted", message=f"You do not have permission to change {eni.id}: it is managed")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The addresses a request asks for: named IPv4 ones (primary first), how many in all, named and counted IPv6."""

    ipv4: tuple[str, ...]
    count: int
    ipv6: tuple[str, ...]
    ipv6_count: int


def wanted_addresses(params: Params, subnet: Subnet) -> Wanted:
    """Reads PrivateIpAddress, PrivateIpAddresses, SecondaryPrivateIpAddressCount, Ipv6Addresses, Ipv6AddressCount."""
    listed = params.get("PrivateIpAddresses") or ()
    primaries = [item["PrivateIpAddress"] for item in listed if item.get("Primary")]
    if params.get("PrivateIpAddress"):
        primaries.insert(0, params["PrivateIpAddress"])
    if len(set(primaries)) > 1:
        raise fault("InvalidParameterCombination", message="Only one primary private IP address can be specified.")
    others = [item["PrivateIpAddress"] for item in listed if not item.get("Primary")]
    if not primaries and others:
        primaries, others = others[:1], others[1:]
    extra = params.get("SecondaryPrivateIpAddressCount") or 0
    named = tuple(dict.fromkeys([*primaries, *others]))
    count = max(len(named), 1) + extra
    if count > MAX_ADDRESSES:
        raise fault("PrivateIpAddressLimitExceeded", message=f"At most {MAX_ADDRESSES} private addresses per interface")
    ipv6 = tuple(item["Ipv6Address"] for item in params.get("Ipv6Addresses") or ())
    ipv6_count = len(ipv6) + (params.get("Ipv6AddressCount") or 0)
    if not ipv6_count and subnet.assign_ipv6_address_on_creation:
        ipv6_count = 1
    return Wanted(named, count, ipv6, ipv6_count)


def new_interface(
    call: Call, world: World, subnet: Subnet, params: Params, *, groups: tuple[str, ...], tags: Tags = (),
) -> NetworkInterface:  # fmt: skip
    """A new, unattached interface with addresses of its own. `world` must hold what this call made before."""
    refuse_prefixes(params)
    call.check_quota("network-interfaces", world.count_owned(NETWORK_INTERFACE, call.account_id, call.region) + 1)
    wanted = wanted_addresses(params, subnet)
    return NetworkInterface(
        id=call.ids.new("eni-"),
        **call.owned(),
        tags=tags,
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.id,
        availability_zone=subnet.availability_zone,
        number=next_number(world, NETWORK_INTERFACE, subnet.vpc_id),
        mac=_new_mac(call),
        addresses=allocate_ipv4(world, subnet, wanted.count, wanted=wanted.ipv4),
        ipv6=allocate_ipv6(call, world, subnet, wanted.ipv6_count, wanted=wanted.ipv6),
        groups=groups,
        description=params.get("Description") or "",
        timeouts=parse_timeouts(params.get("ConnectionTrackingSpecification")),
    )


def refuse_prefixes(params: Params) -> None:
    """Delegated prefixes and special interface types are not supported."""
    for name in ("Ipv4Prefixes", "Ipv4PrefixCount", "Ipv6Prefixes", "Ipv6PrefixCount", "EnaSrdSpecification",
                 "AssociateCarrierIpAddress", "EnablePrimaryIpv6", "PrimaryIpv6"):  # fmt: skip
        if params.get(name):
            raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")
    refuse_hardware(params)
    if params.get("InterfaceType") not in (None, "interface"):
        raise fault("UnsupportedOperation", message=f"InterfaceType {params['InterfaceType']} is not supported")


def refuse_hardware(params: Params) -> None:
    """Network cards, queues and transports of particular hardware, and interfaces run by a service."""
    for name in ("NetworkCardIndex", "EnaQueueCount", "EnaSrdSpecification", "Operator"):
        if params.get(name):
            raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")


def _new_mac(call: Call) -> str:
    """A locally administered unicast address."""
    raw = call.ids.number(40)
    return "02:" + ":".join(f"{raw >> shift & 255:02x}" for shift in (32, 24, 16, 8, 0))


# ---------------------------------------------------------------------- names
def private_dns_name(region: str, address: IPv4Address) -> str:
    """`ip-10-0-0-5.ec2.internal`."""
    return f"ip-{str(address).replace('.', '-')}.{REGIONS[region].private_domain}"


def public_dns_name(vpc: Vpc, address: IPv4Address) -> str:
    """`ec2-198-18-1-2.compute-1.amazonaws.com`; empty unless the VPC has DNS hostnames (DNS-02)."""
    if not (vpc.dns_hostnames and vpc.dns_support):
        return ""
    place = "compute-1" if vpc.region == "us-east-1" else f"{vpc.region}.compute"
    return f"ec2-{str(address).replace('.', '-')}.{place}.amazonaws.com"


# ---------------------------------------------------------------------- view
def elastic_ip_of(world: World, eni: NetworkInterface, address: IPv4Address) -> ElasticIp | None:
    """The Elastic IP on one private address."""
    return next((e for e in world.by(ELASTIC_IP, "interface", eni.id) if e.private_ip == address), None)


def public_address(world: World, eni: NetworkInterface, address: IPv4Address) -> IPv4Address | None:
    """The public address of a private one: its Elastic IP, or, for the primary, the lent one (IGW-13)."""
    elastic = elastic_ip_of(world, eni, address)
    if elastic is not None:
        return elastic.public_ip
    return eni.auto_public_ip if address == eni.addresses[0] else None


def association_view(world: World, eni: NetworkInterface, address: IPv4Address, *, full: bool) -> dict[str, Any] | None:
    """The Association member; `full` adds the ids that DescribeInstances leaves out."""
    elastic = elastic_ip_of(world, eni, address)
    lent = eni.auto_public_ip if address is eni.addresses[0] or address == eni.addresses[0] else None
    public = elastic.public_ip if elastic is not None else lent
    if public is None:
        return None
    out: dict[str, Any] = {
        "PublicIp": str(public),
        "PublicDnsName": public_dns_name(world.get(VPC, eni.vpc_id), public),
        "IpOwnerId": eni.owner_id if elastic else "amazon",
    }
    if full and elastic:
        out |= {"AllocationId": elastic.id, "AssociationId": elastic.association_id}
    return out


def group_identifiers(world: World, ids: Iterable[str]) -> list[dict[str, str]]:
    """GroupId and GroupName of each group."""
    return [{"GroupId": id, "GroupName": world.get(SECURITY_GROUP, id).name} for id in ids]


def attachment_view(attachment: Attachment, owner_id: str | None = None) -> dict[str, Any]:
    """The Attachment member; with the instance when its owner is given."""
    out: dict[str, Any] = {
        "AttachmentId": attachment.id,
        "DeviceIndex": attachment.device_index,
        "NetworkCardIndex": attachment.network_card_index,
        "AttachTime": attachment.attach_time,
        "DeleteOnTermination": attachment.delete_on_termination,
        "Status": "attached",
    }
    if owner_id is not None:
        out |= {"InstanceId": attachment.instance_id, "InstanceOwnerId": owner_id}
    return out


def common_view(world: World, eni: NetworkInterface, *, full: bool) -> dict[str, Any]:
    """What DescribeNetworkInterfaces (`full`) and DescribeInstances show alike."""
    out: dict[str, Any] = {
        "NetworkInterfaceId": eni.id,
        "OwnerId": eni.owner_id,
        "VpcId": eni.vpc_id,
        "SubnetId": eni.subnet_id,
        "Description": eni.description,
        "MacAddress": eni.mac,
        "InterfaceType": eni.interface_type,
        "SourceDestCheck": eni.source_dest_check,
        "Status": "in-use" if eni.attachment else "available",
        "Groups": group_identifiers(world, eni.groups),
        "PrivateIpAddress": str(eni.addresses[0]),
        "PrivateIpAddresses": list(_private_views(world, eni, full=full)),
        "Ipv6Addresses": [{"Ipv6Address": str(address)} for address in eni.ipv6],
    }
    if world.get(VPC, eni.vpc_id).dns_hostnames:
        out["PrivateDnsName"] = private_dns_name(eni.region, eni.addresses[0])
    association = association_view(world, eni, eni.addresses[0], full=full)
    if association:
        out["Association"] = association
    if eni.timeouts is not None:
        out["ConnectionTrackingConfiguration"] = {
            name: getattr(eni.timeouts, field) for name, field, _low, _high in _TIMEOUTS
        }
    return out


def _private_views(world: World, eni: NetworkInterface, *, full: bool) -> Iterator[dict[str, Any]]:
    hostnames = world.get(VPC, eni.vpc_id).dns_hostnames
    for number, address in enumerate(eni.addresses):
        item: dict[str, Any] = {"PrivateIpAddress": str(address), "Primary": number == 0}
        if hostnames:
            item["PrivateDnsName"] = private_dns_name(eni.region, address)
        association = association_view(world, eni, address, full=full)
        yield item | ({"Association": association} if association else {})


def interface_view(world: World, eni: NetworkInterface) -> Params:
    """An interface as DescribeNetworkInterfaces shows it."""
    out = common_view(world, eni, full=True) | {
        "AvailabilityZone": eni.availability_zone,
        "AvailabilityZoneId": world.get(SUBNET, eni.subnet_id).availability_zone_id,
        "RequesterManaged": eni.requester_managed,
        "RequesterId": eni.requester_id or eni.owner_id,
        "TagSet": tag_list(eni.tags),
    }
    if eni.attachment:
        out["Attachment"] = attachment_view(eni.attachment, eni.owner_id)
    if "Association" in out and out["Association"].get("PublicDnsName"):
        out["PublicDnsName"] = out["Association"]["PublicDnsName"]
    return out
