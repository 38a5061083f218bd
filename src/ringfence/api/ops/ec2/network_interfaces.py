"""Network interfaces: the API (Amazon EC2 User Guide: "Elastic network interfaces"; spec SG-60, NET-21, NET-23, CT-16)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, describe
from ringfence.api.ops.ec2 import lifecycle
from ringfence.api.ops.ec2.addresses import unassociated
from ringfence.api.ops.ec2.addressing import allocate_ipv4, allocate_ipv6
from ringfence.api.ops.ec2.instance_types import check_interfaces
from ringfence.api.ops.ec2.interfaces import (
    MAX_ADDRESSES,
    attachment_view,
    group_identifiers,
    groups_of,
    interface_view,
    new_interface,
    parse_timeouts,
    refuse_hardware,
    refuse_managed,
    refuse_prefixes,
)
from ringfence.api.ops.ec2.network_usage import within_address_usage
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import ELASTIC_IP, INSTANCE, NETWORK_INTERFACE, SECURITY_GROUP, SUBNET
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.network_interface import Attachment, NetworkInterface
from ringfence.model.world import Change, World, put


def _attachment(name: str) -> Values:
    return lambda _, eni: (getattr(eni.attachment, name) if eni.attachment else None,)


def _elastic(name: str) -> Values:
    return lambda world, eni: (getattr(e, name) for e in world.by(ELASTIC_IP, "interface", eni.id))


def _public_ips(world: World, eni: NetworkInterface) -> list[str]:
    lent = [str(eni.auto_public_ip)] if eni.auto_public_ip else []
    return [str(e.public_ip) for e in world.by(ELASTIC_IP, "interface", eni.id)] + lent


describe(
    "ec2:DescribeNetworkInterfaces",
    NETWORK_INTERFACE,
    ids="NetworkInterfaceIds",
    result="NetworkInterfaces",
    view=interface_view,
    indexed={"vpc-id": "vpc", "subnet-id": "subnet", "group-id": "group"},
    filters={
        "network-interface-id": lambda _, eni: (eni.id,),
        "vpc-id": lambda _, eni: (eni.vpc_id,),
        "subnet-id": lambda _, eni: (eni.subnet_id,),
        "availability-zone": lambda _, eni: (eni.availability_zone,),
        "availability-zone-id": lambda world, eni: (world.get(SUBNET, eni.subnet_id).availability_zone_id,),
        "description": lambda _, eni: (eni.description,),
        "group-id": lambda _, eni: eni.groups,
        "group-name": lambda world, eni: (world.get(SECURITY_GROUP, id).name for id in eni.groups),
        "interface-type": lambda _, eni: (eni.interface_type,),
        "mac-address": lambda _, eni: (eni.mac,),
        "owner-id": lambda _, eni: (eni.owner_id,),
        "requester-id": lambda _, eni: (eni.requester_id or eni.owner_id,),
        "requester-managed": lambda _, eni: (eni.requester_managed,),
        "operator.managed": lambda _, eni: (False,),
        "operator.principal": lambda _, eni: (),
        "source-dest-check": lambda _, eni: (eni.source_dest_check,),
        "status": lambda _, eni: ("in-use" if eni.attachment else "available",),
        "private-ip-address": lambda _, eni: (str(eni.addresses[0]),),
        "private-dns-name": lambda world, eni: (interface_view(world, eni).get("PrivateDnsName"),),
        "addresses.private-ip-address": lambda _, eni: (str(address) for address in eni.addresses),
        "addresses.primary": lambda _, eni: (True, False) if len(eni.addresses) > 1 else (True,),
        "addresses.association.public-ip": _public_ips,
        "addresses.association.owner-id": lambda w, e: (
            "amazon" if e.auto_public_ip else None,
            *_elastic("owner_id")(w, e),
        ),
        "ipv6-addresses.ipv6-address": lambda _, eni: (str(address) for address in eni.ipv6),
        "association.public-ip": _public_ips,
        "association.allocation-id": _elastic("id"),
        "association.association-id": _elastic("association_id"),
        "association.ip-owner-id": lambda w, e: ("amazon" if e.auto_public_ip else None, *_elastic("owner_id")(w, e)),
        "association.public-dns-name": lambda world, eni: (interface_view(world, eni).get("PublicDnsName"),),
        "attachment.attachment-id": _attachment("id"),
        "attachment.instance-id": _attachment("instance_id"),
        "attachment.device-index": _attachment("device_index"),
        "attachment.attach-time": _attachment("attach_time"),
        "attachment.delete-on-termination": _attachment("delete_on_termination"),
        "attachment.instance-owner-id": lambda _, eni: (eni.owner_id if eni.attachment else None,),
        "attachment.status": lambda _, eni: ("attached" if eni.attachment else None,),
    },
)


def editable(call: Call, world: World, id: str) -> NetworkInterface:
    """The caller's interface, unless a service manages it (NET-23)."""
    eni = call.get(world, NETWORK_INTERFACE, id)
    refuse_managed(eni)
    return eni


# ---------------------------------------------------------------------- create and delete
@operation("ec2:CreateNetworkInterface")
def create_network_interface(call: Call, world: World, params: Params) -> Outcome:
    """SG-30, NET-24, NET-25."""
    subnet = call.get(world, SUBNET, params["SubnetId"])
    groups = groups_of(call, world, subnet.vpc_id, params.get("Groups") or ())
    tags = tags_on_create(call, params, NETWORK_INTERFACE)
    eni = new_interface(call, world, subnet, params, groups=groups, tags=tags)
    change = put(NETWORK_INTERFACE, eni)
    shown = dict(interface_view(world, eni)) | {"Status": "pending"}  # nothing in it depends on the change
    reply: dict[str, Any] = {"NetworkInterface": shown}
    if params.get("ClientToken"):
        reply["ClientToken"] = params["ClientToken"]
    return Outcome(reply, change)


@operation("ec2:DeleteNetworkInterface")
def delete_network_interface(call: Call, world: World, params: Params) -> Outcome:
    """Only detached interfaces."""
    eni = editable(call, world, params["NetworkInterfaceId"])
    if eni.attachment:
        raise fault(
            "InvalidParameterValue",
            message=f"Network interface '{eni.id}' is currently in use.",
        )
    return Outcome({}, lifecycle.interface_gone(world, eni))


# ---------------------------------------------------------------------- attributes
@operation("ec2:DescribeNetworkInterfaceAttribute")
def describe_network_interface_attribute(call: Call, world: World, params: Params) -> Outcome:
    """One attribute."""
    eni = call.get(world, NETWORK_INTERFACE, params["NetworkInterfaceId"])
    attribute = params.get("Attribute")
    values: dict[str, dict[str, Any]] = {
        "description": {"Description": {"Value": eni.description}},
        "groupSet": {"Groups": group_identifiers(world, eni.groups)},
        "sourceDestCheck": {"SourceDestCheck": {"Value": eni.source_dest_check}},
        "attachment": {"Attachment": attachment_view(eni.attachment, eni.owner_id)} if eni.attachment else {},
        "associatePublicIpAddress": {"AssociatePublicIpAddress": eni.associate_public_ip},
    }
    if attribute is None:
        raise fault("MissingParameter", name="attribute")
    return Outcome({"NetworkInterfaceId": eni.id, **values[attribute]})


@operation("ec2:ModifyNetworkInterfaceAttribute")
def modify_network_interface_attribute(call: Call, world: World, params: Params) -> Outcome:
    """One attribute per call, as AWS wants it (SG-60, NET-21, CT-16)."""
    eni = editable(call, world, params["NetworkInterfaceId"])
    given = [name for name, value in params.items() if name != "NetworkInterfaceId" and value is not None]
    if len(given) != 1:
        code = "InvalidParameterCombination" if given else "MissingParameter"
        raise fault(code, message="Exactly one attribute of the network interface must be given.")
    return Outcome({}, put(NETWORK_INTERFACE, _modified(call, world, eni, given[0], params[given[0]])))


def _modified(call: Call, world: World, eni: NetworkInterface, name: str, value: Any) -> NetworkInterface:
    if name == "Description":
        return replace(eni, description=value.get("Value") or "")
    if name == "SourceDestCheck":
        return replace(eni, source_dest_check=bool(value.get("Value")))
    if name == "Groups":
        if not value:
            raise fault("InvalidParameterValue", message="At least one security group must be given")
        return replace(eni, groups=groups_of(call, world, eni.vpc_id, value))
    if name == "ConnectionTrackingSpecification":
        return replace(eni, timeouts=parse_timeouts(value, eni.timeouts))
    if name == "Attachment":
        if eni.attachment is None or value.get("AttachmentId") not in (None, eni.attachment.id):
            raise fault("InvalidAttachmentID.NotFound", id=value.get("AttachmentId"))
        if value.get("DeleteOnTermination") is None:
            raise fault("UnsupportedOperation", message="Only DeleteOnTermination of an attachment can be changed")
        return replace(eni, attachment=replace(eni.attachment, delete_on_termination=value["DeleteOnTermination"]))
    raise fault("UnsupportedOperation", message=f"The attribute {name} is not supported by this installation")


@operation("ec2:ResetNetworkInterfaceAttribute")
def reset_network_interface_attribute(call: Call, world: World, params: Params) -> Outcome:
    """Source/destination checking, back on."""
    eni = editable(call, world, params["NetworkInterfaceId"])
    if params.get("SourceDestCheck") is None:
        raise fault("MissingParameter", name="sourceDestCheck")
    return Outcome({}, put(NETWORK_INTERFACE, replace(eni, source_dest_check=True)))


# ---------------------------------------------------------------------- attachment
@operation("ec2:AttachNetworkInterface")
@within_address_usage
def attach_network_interface(call: Call, world: World, params: Params) -> Outcome:
    """To a running or stopped instance of the same zone; its VPC may be another one than the instance's (EC2 User Guide)."""
    refuse_hardware(params)
    eni = editable(call, world, params["NetworkInterfaceId"])
    instance = call.get(world, INSTANCE, params["InstanceId"])
    if eni.attachment:
        raise fault("InvalidNetworkInterface.InUse", message=f"Interface: [{eni.id}] in use.")
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        raise fault("IncorrectState", message=f"Instance '{instance.id}' is not in a valid state for this operation")
    if instance.availability_zone != eni.availability_zone:
        raise fault(
            "InvalidParameterCombination",
            message="You may not attach a network interface to an instance if they are not in the same availability zone",
        )
    index = params["DeviceIndex"]
    others = world.by(NETWORK_INTERFACE, "instance", instance.id)
    if index < 0 or any(o.attachment and o.attachment.device_index == index for o in others):
        raise fault(
            "InvalidParameterValue",
            message=f"Instance '{instance.id}' already has an interface attached at device index '{index}'.",
        )
    attachment = Attachment(
        id=call.ids.new("eni-attach-"), instance_id=instance.id, device_index=index, attach_time=call.timestamp,
        delete_on_termination=False,
    )  # fmt: skip
    attached = replace(eni, attachment=attachment)
    check_interfaces(instance.instance_type, (*others, attached))
    reply = {"AttachmentId": attachment.id, "NetworkCardIndex": 0}
    return Outcome(reply, put(NETWORK_INTERFACE, attached))


@operation("ec2:DetachNetworkInterface")
def detach_network_interface(call: Call, world: World, params: Params) -> Outcome:
    """Not the primary interface."""
    id = params["AttachmentId"]
    found = world.by(NETWORK_INTERFACE, "attachment", id)
    if not found or (found[0].owner_id, found[0].region) != (call.account_id, call.region):
        raise fault("InvalidAttachmentID.NotFound", id=id)
    eni = editable(call, world, found[0].id)
    if eni.attachment and eni.attachment.device_index == 0:
        raise fault(
            "OperationNotPermitted",
            message="The network interface at device index 0 and networkCard index 0 cannot be detached.",
        )
    return Outcome({}, put(NETWORK_INTERFACE, replace(eni, attachment=None)))


# ---------------------------------------------------------------------- addresses
@operation("ec2:AssignPrivateIpAddresses")
@within_address_usage
def assign_private_ip_addresses(call: Call, world: World, params: Params) -> Outcome:
    """Secondary addresses, named or counted; AllowReassignment takes them from another interface of the subnet."""
    refuse_prefixes(params)
    eni = editable(call, world, params["NetworkInterfaceId"])
    subnet = world.get(SUBNET, eni.subnet_id)
    named = params.get("PrivateIpAddresses") or ()
    count = params.get("SecondaryPrivateIpAddressCount") or 0
    if bool(named) == bool(count):
        code = "InvalidParameterCombination" if named else "MissingParameter"
        raise fault(code, message="Exactly one of PrivateIpAddresses and SecondaryPrivateIpAddressCount must be given.")
    change = _taken_over(world, eni, named) if params.get("AllowReassignment") else Change()
    added = allocate_ipv4(world.apply(change) if change else world, subnet, count or len(set(named)), wanted=named)
    if len(eni.addresses) + len(added) > MAX_ADDRESSES:
        raise fault("PrivateIpAddressLimitExceeded", message=f"At most {MAX_ADDRESSES} private addresses per interface")
    _fits(world, replace(eni, addresses=(*eni.addresses, *added)))
    reply = {
        "NetworkInterfaceId": eni.id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": str(address)} for address in added],
    }
    return Outcome(reply, change + put(NETWORK_INTERFACE, replace(eni, addresses=(*eni.addresses, *added))))


def _fits(world: World, eni: NetworkInterface) -> None:
    """Its addresses, on the instance it is attached to. PrivateIpAddressLimitExceeded."""
    if eni.attachment is not None:
        check_interfaces(world.get(INSTANCE, eni.attachment.instance_id).instance_type, [eni])


def _taken_over(world: World, eni: NetworkInterface, named: Any) -> Change:
    change = Change()
    for other in world.by(NETWORK_INTERFACE, "subnet", eni.subnet_id):
        moved = {address for address in other.addresses[1:] if str(address) in named}
        if other.id != eni.id and moved:
            refuse_managed(other)
            change += put(
                NETWORK_INTERFACE, replace(other, addresses=tuple(a for a in other.addresses if a not in moved))
            )
            freed = [e for e in world.by(ELASTIC_IP, "interface", other.id) if e.private_ip in moved]
            change += put(ELASTIC_IP, *(unassociated(e) for e in freed))
    return change


@operation("ec2:UnassignPrivateIpAddresses")
def unassign_private_ip_addresses(call: Call, world: World, params: Params) -> Outcome:
    """Secondary addresses only."""
    refuse_prefixes(params)
    eni = editable(call, world, params["NetworkInterfaceId"])
    gone = set(params.get("PrivateIpAddresses") or ())
    if not gone:
        raise fault("MissingParameter", name="privateIpAddress")
    secondary = {str(address) for address in eni.addresses[1:]}
    if not gone <= secondary:
        raise fault(
            "InvalidParameterValue",
            message="Some of the specified addresses are not assigned to interface " + eni.id,
        )
    freed = [e for e in world.by(ELASTIC_IP, "interface", eni.id) if str(e.private_ip) in gone]
    change = put(ELASTIC_IP, *(unassociated(e) for e in freed))
    rest = tuple(address for address in eni.addresses if str(address) not in gone)
    return Outcome({}, change + put(NETWORK_INTERFACE, replace(eni, addresses=rest)))


@operation("ec2:AssignIpv6Addresses")
@within_address_usage
def assign_ipv6_addresses(call: Call, world: World, params: Params) -> Outcome:
    """Named or counted."""
    refuse_prefixes(params)
    eni = editable(call, world, params["NetworkInterfaceId"])
    named = params.get("Ipv6Addresses") or ()
    count = params.get("Ipv6AddressCount") or 0
    if not named and not count:
        raise fault("MissingParameter", message="Either ipv6Addresses or ipv6AddressCount must be given.")
    subnet = world.get(SUBNET, eni.subnet_id)
    added = allocate_ipv6(call, world, subnet, len(named) + count, wanted=named, taken=eni.ipv6)
    _fits(world, replace(eni, ipv6=(*eni.ipv6, *added)))
    reply = {"NetworkInterfaceId": eni.id, "AssignedIpv6Addresses": [str(address) for address in added]}
    return Outcome(reply, put(NETWORK_INTERFACE, replace(eni, ipv6=(*eni.ipv6, *added))))


@operation("ec2:UnassignIpv6Addresses")
def unassign_ipv6_addresses(call: Call, world: World, params: Params) -> Outcome:
    """The addresses must be the interface's."""
    refuse_prefixes(params)
    eni = editable(call, world, params["NetworkInterfaceId"])
    gone = {_ipv6(text) for text in params.get("Ipv6Addresses") or ()}
    if not gone:
        raise fault("MissingParameter", name="ipv6Addresses")
    if not gone <= set(eni.ipv6):
        raise fault(
            "InvalidParameterValue",
            message="Some of the specified IPv6 addresses are not assigned to interface " + eni.id,
        )
    rest = tuple(address for address in eni.ipv6 if address not in gone)
    reply = {"NetworkInterfaceId": eni.id, "UnassignedIpv6Addresses": [str(address) for address in sorted(gone)]}
    return Outcome(reply, put(NETWORK_INTERFACE, replace(eni, ipv6=rest)))


def _ipv6(text: str) -> IPv6Address:
    """However it is written: `2001:DB8:0::1` is `2001:db8::1`."""
    try:
        return IPv6Address(text)
    except ValueError:
        raise fault("InvalidParameterValue", message=f"Invalid value '{text}' for ipv6Address") from None
