"""Instances, network interfaces and public addresses of an import (NET-20..NET-24, IGW-10..IGW-13)."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ringfence.insight.imports.draft import Draft, Source
from ringfence.insight.imports.record import Damaged, Record
from ringfence.model.nouns.instance import Instance, InstanceState, MetadataOptions
from ringfence.model.nouns.network import Subnet, Vpc
from ringfence.model.nouns.network_interface import Attachment, ConnectionTimeouts, ElasticIp, NetworkInterface
from ringfence.model.nouns.security_group import GroupAssociation, SecurityGroup
from ringfence.model.row import Row

#: interfaces whose packets no group filters, or that pass packets on by rules of their own
_NOT_MODELLED = {
    "nat_gateway", "natGateway", "transit_gateway", "gateway_load_balancer", "gateway_load_balancer_endpoint",
    "global_accelerator_managed", "vpc_lattice",
}  # fmt: skip
_STATES = {state.label: state for state in InstanceState}
#: fields of instances that have no bearing on packets
_INSTANCE_IGNORED = (
    "Architecture", "BlockDeviceMappings", "EnaSupport", "Hypervisor", "IamInstanceProfile", "InstanceLifecycle",
    "ElasticGpuAssociations", "ElasticInferenceAcceleratorAssociations", "OutpostArn", "RootDeviceName", "RootDeviceType",
    "SpotInstanceRequestId", "SriovNetSupport", "StateReason", "VirtualizationType", "CpuOptions", "CapacityBlockId",
    "CapacityReservationId", "CapacityReservationSpecification", "HibernationOptions", "Licenses", "EnclaveOptions",
    "BootMode", "PlatformDetails", "UsageOperation", "UsageOperationUpdateTime", "PrivateDnsNameOptions", "TpmSupport",
    "MaintenanceOptions", "CurrentInstanceBootMode", "NetworkPerformanceOptions", "Operator", "PrivateDnsName",
    "PublicDnsName", "StateTransitionReason", "ProductCodes", "KernelId", "RamdiskId", "Platform", "Monitoring",
    "PublicIpAddress", "PrivateIpAddress", "Ipv6Address", "SecurityGroups", "SourceDestCheck", "ClientToken",
    "EbsOptimized",
)  # fmt: skip
_INTERFACE_IGNORED = (
    "PrivateDnsName", "PublicDnsName", "PublicIpDnsNameOptions", "PrivateIpAddress", "OutpostArn", "Status",
    "AvailabilityZoneId", "Operator", "Ipv6Address", "Ipv6Native",
)  # fmt: skip


# ---------------------------------------------------------------------- instances
def instances(draft: Draft) -> None:
    """Instances; their interfaces, where `describe-network-interfaces` was not recorded, become records of their own."""
    records = draft.archive.records
    known = {
        str(record.data.get("NetworkInterfaceId")): record.data for record, _ in records.get("NetworkInterfaces", [])
    }
    for reservation, source in records.get("Reservations", []):
        try:
            _of_reservation(draft, reservation, source)
        except Damaged as problem:
            draft.problem(None, source.name, str(problem))

    def make(record: Record, source: Source) -> None:
        _instance(draft, record, source, known)

    draft.each("Instances", "InstanceId", make)


def _of_reservation(draft: Draft, reservation: Record, source: Source) -> None:
    """Its instances, as records of their own."""
    owner, id = reservation.text("OwnerId"), reservation.text("ReservationId")
    for instance in reservation.items("Instances"):
        instance.data.setdefault("OwnerId", owner)
        instance.data.setdefault("ReservationId", id)
        draft.archive.records.setdefault("Instances", []).append((instance, source))
    for key in reservation.data.keys() - {"RequesterId", "Groups", "Instances", "OwnerId", "ReservationId"}:
        draft.notes.unknown_fields[f"{reservation.shape}.{key}"] += 1


def _instance(draft: Draft, record: Record, source: Source, known: dict[str, dict[str, Any]]) -> None:
    id = record.need("InstanceId")
    state_record = record.child("State")
    name = state_record.ignore("Code").need("Name") if state_record is not None else ""
    if name not in _STATES:
        raise Damaged(f"it is in the state {name!r}")
    if _STATES[name] is InstanceState.TERMINATED:
        record.ignore(*record.data)  # it has no interfaces
        return
    subnet, vpc = draft.find(Subnet, record.text("SubnetId")), draft.find(Vpc, record.text("VpcId"))
    if subnet is None or vpc is None:
        where = record.data.get("VpcId")
        draft.leave_out(
            id,
            f"its subnet {record.data.get('SubnetId')} is not in the import"
            if where
            else "EC2-Classic is not modelled",
        )
        record.ignore(*record.data)
        return
    placement, options = record.child("Placement"), record.child("MetadataOptions")
    own = draft.owned(record, source, vpc.region, vpc.owner_id)
    draft.put(
        Instance(
            id=id, **own, tags=record.tags(), state=_STATES[name], vpc_id=vpc.id, subnet_id=subnet.id,
            reservation_id=record.text("ReservationId") or draft.made("r-", id, what="ids of reservations"),
            image_id=record.text("ImageId") or "", instance_type=record.text("InstanceType") or "",
            launch_time=record.text("LaunchTime") or "1970-01-01T00:00:00.000Z",
            availability_zone=subnet.availability_zone, launch_index=record.number("AmiLaunchIndex") or 0,
            key_name=record.text("KeyName"), metadata_options=_metadata(options),
            tenancy=(placement.text("Tenancy") if placement else None) or "default",
        )
    )  # fmt: skip
    if placement is not None:
        placement.ignore("AvailabilityZone", "GroupName", "AvailabilityZoneId", "GroupId", "HostId", "Affinity", "PartitionNumber",
                         "SpreadDomain", "HostResourceGroupArn")  # fmt: skip
    for each in record.items("NetworkInterfaces"):
        attachment = each.data.get("Attachment")
        each.ignore(*each.data)
        told = known.get(str(each.data.get("NetworkInterfaceId")))
        if told is not None and (_facts(told) != _facts(each.data) or _holder(told) != id):
            why = f"describe-instances says otherwise of {id}: recorded at another time?"
            draft.problem(vpc.id, str(each.data.get("NetworkInterfaceId")), why)
        if told is None and isinstance(attachment, dict):
            data = {**each.data, "Attachment": {**attachment, "InstanceId": id, "InstanceOwnerId": own["owner_id"]}}
            draft.archive.add("NetworkInterfaces", data, source)
    if record.data.get("SecondaryInterfaces"):
        draft.gap(vpc.id, id, "secondary interfaces are not modelled")
    record.ignore("SecondaryInterfaces", *_INSTANCE_IGNORED)


def _facts(eni: dict[str, Any]) -> tuple[Any, ...]:
    """What two recordings of an interface must agree in."""
    return (
        _each(eni, "Groups", "GroupId"),
        eni.get("PrivateIpAddress"),
        eni.get("SourceDestCheck", True),
        eni.get("SubnetId"),
        _each(eni, "PrivateIpAddresses", "PrivateIpAddress"),
        _each(eni, "Ipv6Addresses", "Ipv6Address"),
        _each(eni, "Ipv4Prefixes", "Ipv4Prefix"),
    )


def _each(eni: dict[str, Any], key: str, field: str) -> list[str]:
    found = eni.get(key)
    return sorted(str(each.get(field)) for each in found if isinstance(each, dict)) if isinstance(found, list) else []


def _holder(eni: dict[str, Any]) -> Any:
    attachment = eni.get("Attachment")
    return attachment.get("InstanceId") if isinstance(attachment, dict) else None


def _metadata(options: Record | None) -> MetadataOptions:
    if options is None:
        return MetadataOptions()
    options.ignore("State")
    return MetadataOptions(
        http_tokens=options.text("HttpTokens") or "required", http_endpoint=options.text("HttpEndpoint") or "enabled",
        hop_limit=options.number("HttpPutResponseHopLimit") or 1,
        http_protocol_ipv6=options.text("HttpProtocolIpv6") or "disabled",
        instance_metadata_tags=options.text("InstanceMetadataTags") or "disabled",
    )  # fmt: skip


# ---------------------------------------------------------------------- interfaces
def interfaces(draft: Draft) -> None:
    """Interfaces, with the Elastic IPs that they tell of where `describe-addresses` was not recorded."""
    numbers: Counter[str] = Counter()

    def make(record: Record, source: Source) -> None:
        id, subnet = record.need("NetworkInterfaceId"), draft.find(Subnet, record.text("SubnetId"))
        if subnet is None:
            draft.leave_out(id, f"its subnet {record.data.get('SubnetId')} is not in the import")
            record.ignore(*record.data)
            return
        numbers[subnet.vpc_id] += 1
        _interface(draft, record, source, subnet, numbers[subnet.vpc_id])

    draft.each("NetworkInterfaces", "NetworkInterfaceId", make)
    _shared(draft)


def _interface(draft: Draft, record: Record, source: Source, subnet: Subnet, number: int) -> None:
    id, vpc_id = record.element, subnet.vpc_id
    record.ignore("VpcId", "AvailabilityZone", *_INTERFACE_IGNORED)
    if record.data.get("VpcId") not in (None, vpc_id):
        draft.problem(vpc_id, id, f"it says VPC {record.data['VpcId']}, its subnet says {vpc_id}")
    addresses, published = _addresses(record)
    addresses += [each for block in _prefixes(record) for each in block]
    attachment, doubt = _attachment(draft, record)
    kind = record.text("InterfaceType") or "interface"
    groups = _groups(draft, record, vpc_id)
    if kind in _NOT_MODELLED or not groups:
        doubt = doubt or f"an interface of type {kind}{'' if groups else ' without security groups'} is not modelled"
    if not record.has("SourceDestCheck"):
        doubt = doubt or "whether it checks addresses is not told (SourceDestCheck)"
    if record.flag("DenyAllIgwTraffic"):
        doubt = doubt or "DenyAllIgwTraffic is not modelled"
    if record.items("Ipv6Prefixes") or record.texts("AssociatedSubnets"):
        draft.gap(vpc_id, id, "delegated IPv6 prefixes and associated subnets are not modelled")
    ipv6 = [
        a
        for each in record.items("Ipv6Addresses")
        if (a := each.ignore("PublicIpv6DnsName", "IsPrimaryIpv6").ipv6("Ipv6Address"))
    ]
    for address in (*addresses, *ipv6):
        if not any(address in block for block in (subnet.cidr, *(a.block for a in subnet.ipv6))):
            draft.problem(vpc_id, id, f"its address {address} is not in its subnet's block {subnet.cidr}")
    if not addresses:
        raise Damaged("it has no IPv4 address")
    own = draft.owned(record, source, subnet.region, subnet.owner_id)
    lent = _public(draft, id, own, addresses[0], published)
    if doubt is not None:
        draft.notes.not_modelled.setdefault(id, doubt)
    draft.put(
        NetworkInterface(
            id=id, **own, tags=record.tags("TagSet") or record.tags(), vpc_id=vpc_id, subnet_id=subnet.id,
            availability_zone=subnet.availability_zone, number=number, mac=record.text("MacAddress") or _mac(draft, id),
            addresses=tuple(dict.fromkeys(addresses)), ipv6=tuple(dict.fromkeys(ipv6)), groups=groups,
            description=record.text("Description") or "", source_dest_check=record.flag("SourceDestCheck", default=True),
            interface_type=kind, requester_managed=record.flag("RequesterManaged"),
            requester_id=record.text("RequesterId"), attachment=attachment, auto_public_ip=lent,
            associate_public_ip=lent is not None, timeouts=_timeouts(record), doubt=doubt,
        )
    )  # fmt: skip


def _mac(draft: Draft, id: str) -> str:
    draft.notes.made_up["MAC addresses"] += 1
    digits = hashlib.sha256(id.encode()).hexdigest()
    return "02:" + ":".join(digits[n : n + 2] for n in range(0, 10, 2))


def _addresses(record: Record) -> tuple[list[IPv4Address], dict[IPv4Address, Record]]:
    """Private addresses, the primary first, and the associations of those that are public."""
    primary, published = record.ipv4("PrivateIpAddress"), {}
    found = [primary] if primary is not None else []
    own = record.child("Association")
    for each in record.items("PrivateIpAddresses"):
        address, association = each.ipv4("PrivateIpAddress"), each.child("Association")
        each.ignore("PrivateDnsName")
        if address is None:
            raise Damaged("it has a private address that is none")
        found = [address, *found] if each.flag("Primary") and primary is None else [*found, address]
        if association is not None:
            published[address] = association
    found = list(dict.fromkeys(found))
    if own is not None and found:
        published.setdefault(found[0], own)
        own.ignore(*own.data)
    return found, published


def _prefixes(record: Record) -> list[IPv4Network]:
    """Delegated blocks of 16 addresses: every one is the interface's."""
    found = []
    for each in record.items("Ipv4Prefixes"):
        block = each.ipv4_block("Ipv4Prefix")
        if block is None or block.prefixlen < 24:
            raise Damaged(f"it has the delegated block {block}")
        found.append(block)
    return found


def _groups(draft: Draft, record: Record, vpc_id: str) -> tuple[str, ...]:
    """The groups it carries that are in the import; the others are a problem."""
    found = []
    for each in record.items("Groups"):
        each.ignore("GroupName")
        id = each.need("GroupId")
        group = draft.find(SecurityGroup, id)
        if group is None:
            draft.problem(
                vpc_id, id, f"{record.element} carries it, and it is not in the import (describe-security-groups)"
            )
        elif group.vpc_id != vpc_id and draft.find(GroupAssociation, GroupAssociation.id_of(id, vpc_id)) is None:
            draft.problem(vpc_id, id, f"{record.element} carries it, and it is a group of another VPC")
        else:
            found.append(id)
    return tuple(dict.fromkeys(found))


def _attachment(draft: Draft, record: Record) -> tuple[Attachment | None, str | None]:
    """The attachment to an instance, and why nothing can be said. What services hold has no instance: it just works."""
    each = record.child("Attachment")
    if each is None:
        return None, None
    each.ignore("InstanceOwnerId", "Status", "EnaSrdSpecification", "EnaQueueCount")
    instance_id, id = each.text("InstanceId"), each.text("AttachmentId")
    index, card = each.number("DeviceIndex") or 0, each.number("NetworkCardIndex") or 0
    time, ends = each.text("AttachTime") or "1970-01-01T00:00:00.000Z", each.flag("DeleteOnTermination", default=True)
    if instance_id is None:
        return None, None
    if draft.find(Instance, instance_id) is None:
        return (
            None,
            f"its instance {instance_id} is not in the import: whether it runs is not known (describe-instances)",
        )
    return Attachment(
        id=id or draft.made("eni-attach-", record.element, what="ids of attachments"), instance_id=instance_id,
        device_index=index, attach_time=time, delete_on_termination=ends, network_card_index=card,
    ), None  # fmt: skip


def _timeouts(record: Record) -> ConnectionTimeouts | None:
    each = record.child("ConnectionTrackingConfiguration")
    if each is None:
        return None
    return ConnectionTimeouts(
        tcp_established=each.number("TcpEstablishedTimeout") or 432000,
        udp_stream=each.number("UdpStreamTimeout") or 180,
        udp=each.number("UdpTimeout") or 30,
    )


def _shared(draft: Draft) -> None:
    """Two interfaces of a VPC with one address: who gets the packets is not known."""
    held: dict[tuple[str, Any], str] = {}
    for eni in draft.all(NetworkInterface):
        for address in (*eni.addresses, *eni.ipv6):
            other = held.setdefault((eni.vpc_id, address), eni.id)
            if other != eni.id:
                draft.problem(eni.vpc_id, eni.id, f"{other} has its address {address}, too")


# ---------------------------------------------------------------------- public addresses
def _public(
    draft: Draft, id: str, own: dict[str, Any], primary: IPv4Address, published: dict[IPv4Address, Record]
) -> IPv4Address | None:
    """Elastic IPs become rows; the result is the address lent to the primary private one (IGW-13)."""
    lent = None
    for private, record in published.items():
        record.ignore("PublicDnsName", "CustomerOwnedIp")
        public, owner = record.ipv4("PublicIp"), record.text("IpOwnerId") or ""
        allocation, association = record.text("AllocationId"), record.text("AssociationId")
        if record.text("CarrierIp"):
            draft.problem(None, id, "carrier addresses are not modelled")
        if public is None:
            raise Damaged("it has an association without a PublicIp")
        if allocation is None and owner.startswith("amazon"):
            if private != primary:
                raise Damaged(f"its secondary address {private} has a public address that is lent")
            lent = public
        elif allocation is None and private == primary:
            lent = public
        else:
            draft.put(
                ElasticIp(
                    id=allocation or draft.made("eipalloc-", public, what="ids of allocations"), **own,
                    public_ip=public, network_border_group=own["region"], network_interface_id=id, private_ip=private,
                    association_id=association or draft.made("eipassoc-", public, what="ids of associations"),
                )
            )  # fmt: skip
    return lent


def addresses(draft: Draft) -> None:
    """Elastic IPs: the recording of them has the last word about tags; about what they lead to, both must agree."""

    def make(record: Record, source: Source) -> None:
        public = record.ipv4("PublicIp")
        record.ignore("Domain", "InstanceId", "NetworkInterfaceOwnerId", "PublicIpv4Pool", "CustomerOwnedIp",
                      "CustomerOwnedIpv4Pool", "CarrierIp", "SubnetId", "ServiceManaged")  # fmt: skip
        id, eni_id, private = (
            record.text("AllocationId"),
            record.text("NetworkInterfaceId"),
            record.ipv4("PrivateIpAddress"),
        )
        association, border = record.text("AssociationId"), record.text("NetworkBorderGroup")
        tags = record.tags()
        if public is None:
            raise Damaged("it has no PublicIp")
        if id is None:  # EC2-Classic
            draft.leave_out(str(public), "an address of EC2-Classic is not modelled")
            return
        eni = draft.find(NetworkInterface, eni_id)
        if eni is None and eni_id is not None:
            draft.leave_out(f"{id} ({public})", f"its network interface {eni_id} is not in the import")
            eni_id = None
        told = draft.find(ElasticIp, id)
        lent = next((e for e in draft.all(NetworkInterface) if e.auto_public_ip == public), None)
        if lent is not None and lent.id == eni_id:
            draft.put(replace(lent, auto_public_ip=None, associate_public_ip=False))
        if eni is not None and private not in eni.addresses:
            draft.problem(eni.vpc_id, id, f"it leads to {private}, which is no address of {eni_id}")
            return
        if told is not None and (told.network_interface_id, told.private_ip) != (eni_id, private if eni else None):
            draft.problem(
                eni.vpc_id if eni else None,
                id,
                f"{told.network_interface_id} says that it leads there, the address says {eni_id}",
            )
        own = draft.owned(record, source, eni.region if eni else None, eni.owner_id if eni else None)
        draft.put(
            ElasticIp(
                id=id, **own, tags=tags, public_ip=public, network_border_group=border or own["region"],
                network_interface_id=eni_id, private_ip=private if eni is not None else None,
                association_id=(association or draft.made("eipassoc-", public, what="ids of associations")) if eni else None,
            )
        )  # fmt: skip

    draft.each("Addresses", "AllocationId", make)
    _twice(draft)


def _twice(draft: Draft) -> None:
    """A public address belongs to one."""
    held: dict[IPv4Address, str] = {}
    every: list[tuple[IPv4Address, Row]] = [(row.public_ip, row) for row in draft.all(ElasticIp)]
    every += [(eni.auto_public_ip, eni) for eni in draft.all(NetworkInterface) if eni.auto_public_ip]
    for public, row in every:
        other = held.setdefault(public, row.id)
        if other != row.id:
            draft.problem(None, row.id, f"{other} has the public address {public}, too")
