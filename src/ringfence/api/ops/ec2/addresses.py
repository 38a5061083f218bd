"""Elastic IP addresses (Amazon EC2 User Guide: "Elastic IP addresses"; spec IGW-11..IGW-13)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, apply_filters, page
from ringfence.api.ops.ec2.addressing import new_public_ip
from ringfence.api.ops.ec2.interfaces import refuse_managed
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model import endpoints
from ringfence.model.errors import fault
from ringfence.model.kinds import ELASTIC_IP, INSTANCE, INTERNET_GATEWAY, NETWORK_INTERFACE, VPC
from ringfence.model.net import PUBLIC_POOL
from ringfence.model.nouns.instance import InstanceState
from ringfence.model.nouns.network_interface import ElasticIp, NetworkInterface
from ringfence.model.world import NOTHING, Change, World, delete, put


def _interface(world: World, address: ElasticIp) -> NetworkInterface | None:
    return world.find(NETWORK_INTERFACE, address.network_interface_id)


def _view(world: World, address: ElasticIp) -> dict[str, Any]:
    out: dict[str, Any] = {
        "AllocationId": address.id,
        "PublicIp": str(address.public_ip),
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": address.network_border_group,
        "Tags": tag_list(address.tags),
    }
    eni = _interface(world, address)
    if eni is not None:
        out |= {
            "AssociationId": address.association_id,
            "NetworkInterfaceId": eni.id,
            "NetworkInterfaceOwnerId": eni.owner_id,
            "PrivateIpAddress": str(address.private_ip),
        }
        out["InstanceId"] = eni.attachment.instance_id if eni.attachment else ""
    return out


def _instance(world: World, address: ElasticIp) -> Iterable[str | None]:
    eni = _interface(world, address)
    return (eni.attachment.instance_id if eni and eni.attachment else None,)


_FILTERS: dict[str, Values] = {
    "allocation-id": lambda _, address: (address.id,),
    "association-id": lambda _, address: (address.association_id,),
    "public-ip": lambda _, address: (str(address.public_ip),),
    "private-ip-address": lambda _, address: (str(address.private_ip) if address.private_ip else None,),
    "domain": lambda _, address: ("vpc",),
    "instance-id": _instance,
    "network-interface-id": lambda _, address: (address.network_interface_id,),
    "network-interface-owner-id": lambda _, a: (a.owner_id if a.network_interface_id else None,),
    "network-border-group": lambda _, address: (address.network_border_group,),
}


def _by_public_ip(call: Call, world: World, text: str) -> ElasticIp:
    for address in world.by(ELASTIC_IP, "public", text):
        if address.owner_id == call.account_id and address.region == call.region:
            return address
    raise fault("InvalidAddress.NotFound", id=text)


@operation("ec2:DescribeAddresses")
def describe_addresses(call: Call, world: World, params: Params) -> Outcome:
    """By allocation id, public address or filter."""
    named = [call.get(world, ELASTIC_IP, id) for id in params.get("AllocationIds") or ()]
    named += [_by_public_ip(call, world, text) for text in params.get("PublicIps") or ()]
    asked = params.get("AllocationIds") or params.get("PublicIps")
    rows = list({row.id: row for row in named}.values()) if asked else call.mine(world, ELASTIC_IP)
    rows = apply_filters(world, rows, params.get("Filters") or (), _FILTERS)
    return Outcome({"Addresses": [_view(world, row) for row in rows]})


@operation("ec2:DescribeAddressesAttribute")
def describe_addresses_attribute(call: Call, world: World, params: Params) -> Outcome:
    """Reverse DNS names; none can be set here, so addresses are listed without one."""
    ids = params.get("AllocationIds")
    rows = [call.get(world, ELASTIC_IP, id) for id in ids] if ids else call.mine(world, ELASTIC_IP)
    shown, token = page(rows, params, low=1)
    reply = {"Addresses": [{"PublicIp": str(row.public_ip), "AllocationId": row.id} for row in shown]}
    return Outcome(reply | ({"NextToken": token} if token else {}))


@operation("ec2:AllocateAddress")
def allocate_address(call: Call, world: World, params: Params) -> Outcome:
    """IGW-11, Q-08."""
    for name in ("PublicIpv4Pool", "CustomerOwnedIpv4Pool", "IpamPoolId"):
        if params.get(name) not in (None, "amazon"):
            raise fault("UnsupportedOperation", message=f"The parameter {name} is not supported by this installation")
    call.check_quota("elastic-ips", world.count_owned(ELASTIC_IP, call.account_id, call.region) + 1)
    address = ElasticIp(
        id=call.ids.new("eipalloc-"),
        **call.owned(),
        tags=tags_on_create(call, params, ELASTIC_IP),
        public_ip=_wanted(world, params["Address"]) if params.get("Address") else new_public_ip(call, world),
        network_border_group=params.get("NetworkBorderGroup") or call.region,
    )
    reply = {
        "AllocationId": address.id,
        "PublicIp": str(address.public_ip),
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": address.network_border_group,
        "Domain": "vpc",
    }
    return Outcome(reply, put(ELASTIC_IP, address))


def _wanted(world: World, text: str) -> IPv4Address:
    """A particular address, to recover one: it must be of the pool and free."""
    try:
        address = IPv4Address(text)
    except ValueError:
        raise fault("InvalidParameterValue", message=f"Invalid value '{text}' for address") from None
    if address not in PUBLIC_POOL or address in endpoints.SERVED_AT:
        raise fault("InvalidAddress.NotFound", id=text)
    if world.count(ELASTIC_IP, "public", text) or world.count(NETWORK_INTERFACE, "public", text):
        raise fault("InvalidAddress.InUse", message=f"Address '{text}' is in use.")
    return address


@operation("ec2:ReleaseAddress")
def release_address(call: Call, world: World, params: Params) -> Outcome:
    """An associated address must be disassociated first, unless it is in a default VPC (EC2 API Reference)."""
    address = _named(call, world, params)
    eni = _interface(world, address)
    if eni is not None and not world.get(VPC, eni.vpc_id).is_default:
        raise fault("InvalidIPAddress.InUse", message=f"Address {address.public_ip} is in use.")
    return Outcome({}, delete(ELASTIC_IP, address.id))


def _named(call: Call, world: World, params: Params) -> ElasticIp:
    if params.get("AllocationId"):
        return call.get(world, ELASTIC_IP, params["AllocationId"])
    if params.get("PublicIp"):
        return _by_public_ip(call, world, params["PublicIp"])
    raise fault("MissingParameter", message="Invalid request, expect PublicIp/AllocationId parameter.")


# ---------------------------------------------------------------------- association
@operation("ec2:AssociateAddress")
def associate_address(call: Call, world: World, params: Params) -> Outcome:
    """IGW-11..IGW-13."""
    address = _named(call, world, params)
    eni = _target(call, world, params)
    private = _private_address(eni, params.get("PrivateIpAddress"))
    if not world.count(INTERNET_GATEWAY, "vpc", eni.vpc_id):  # IGW-12
        raise fault("Gateway.NotAttached", message=f"Network {eni.vpc_id} is not attached to any internet gateway")
    may_move = params.get("AllowReassociation", True)  # AWS: on by default in a VPC unless the EIP API says otherwise
    if address.network_interface_id == eni.id and address.private_ip == private:
        return Outcome({"AssociationId": address.association_id})
    change = _displaced(world, eni, private, may_move=bool(may_move))
    if address.association_id and params.get("AllowReassociation") is False:
        raise fault(
            "Resource.AlreadyAssociated",
            message=f"resource {address.id} is already associated with associate-id {address.association_id}",
        )
    held = replace(address, association_id=call.ids.new("eipassoc-"), network_interface_id=eni.id, private_ip=private)
    change += put(ELASTIC_IP, held)
    if private == eni.addresses[0] and eni.auto_public_ip:  # IGW-13
        change += put(NETWORK_INTERFACE, replace(eni, auto_public_ip=None))
    return Outcome({"AssociationId": held.association_id}, change)


def _displaced(world: World, eni: NetworkInterface, private: IPv4Address, *, may_move: bool) -> Change:
    """Another Elastic IP on the same private address gives way, or the call is refused."""
    for other in world.by(ELASTIC_IP, "interface", eni.id):
        if other.private_ip == private:
            if not may_move:
                raise fault(
                    "Resource.AlreadyAssociated",
                    message=f"resource {eni.id} is already associated with associate-id {other.association_id}",
                )
            return put(ELASTIC_IP, unassociated(other))
    return NOTHING


def unassociated(address: ElasticIp) -> ElasticIp:
    """The address, free."""
    return replace(address, association_id=None, network_interface_id=None, private_ip=None)


def _target(call: Call, world: World, params: Params) -> NetworkInterface:
    if params.get("NetworkInterfaceId"):
        eni = call.get(world, NETWORK_INTERFACE, params["NetworkInterfaceId"])
        refuse_managed(eni)
        return eni
    if not params.get("InstanceId"):
        raise fault("MissingParameter", message="Invalid request, expect InstanceId/NetworkId parameter.")
    instance = call.get(world, INSTANCE, params["InstanceId"])
    if instance.state in (InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN):
        raise fault("InvalidInstanceID", message=f"The instance '{instance.id}' is not in a valid state")
    interfaces = world.by(NETWORK_INTERFACE, "instance", instance.id)
    return min(interfaces, key=lambda eni: eni.attachment.device_index if eni.attachment else 0)


def _private_address(eni: NetworkInterface, wanted: str | None) -> IPv4Address:
    if not wanted:
        return eni.addresses[0]
    for address in eni.addresses:
        if str(address) == wanted:
            return address
    raise fault(
        "InvalidParameterValue", message=f"Invalid value '{wanted}' for privateIpAddress: not an address of {eni.id}"
    )


@operation("ec2:DisassociateAddress")
def disassociate_address(call: Call, world: World, params: Params) -> Outcome:
    """By association id, or by public address."""
    if params.get("AssociationId"):
        wanted = params["AssociationId"]
        rows = [a for a in world.by(ELASTIC_IP, "association", wanted) if a.owner_id == call.account_id]
        if not rows:
            raise fault("InvalidAssociationID.NotFound", id=wanted)
        address = rows[0]
    elif params.get("PublicIp"):
        address = _by_public_ip(call, world, params["PublicIp"])
    else:
        raise fault("MissingParameter", message="Either public IP or association id must be specified")
    return Outcome({}, put(ELASTIC_IP, unassociated(address)) if address.association_id else NOTHING)
