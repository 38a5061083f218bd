"""Network interfaces, instances and public addresses of Terraform."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ringfence.insight.imports.draft import made_id
from ringfence.insight.imports.record import Damaged
from ringfence.insight.imports.tf.plan import Plan
from ringfence.insight.imports.tf.things import Thing
from ringfence.model.net import PUBLIC_POOL

_WHAT = "addresses that AWS will choose"


def _pick(plan: Plan, subnet_id: str, given: Any) -> str:
    """The address, or one that is free in the subnet where AWS will choose."""
    taken = plan.taken.setdefault(subnet_id, set())
    if not given:
        subnet = plan.subnets.get(subnet_id)
        if subnet is None:
            raise Damaged(f"its subnet {subnet_id} is not in the document")
        block = IPv4Network(subnet["CidrBlock"], strict=False)
        free = (block.network_address + n for n in range(4, block.num_addresses - 1))
        given = next((address for address in free if address not in taken and str(address) not in _fixed(plan)), None)
        if given is None:
            raise Damaged("its subnet has no free address")
        plan.notes.made_up[_WHAT] += 1
    taken.add(IPv4Address(str(given)))
    return str(given)


def _fixed(plan: Plan) -> set[str]:
    """The addresses that are given."""
    found: set[str] = set()
    for thing in plan.things.of_type("aws_instance", "aws_network_interface"):
        values = thing.values
        lists = (
            values.get("private_ips") or (),
            values.get("secondary_private_ips") or (),
            (values.get("private_ip"),),
        )
        found.update(str(address) for each in lists for address in each if address)
    return found


def default_group(plan: Plan, vpc_id: str) -> str:
    """The id of a VPC's default group, managed or not."""
    found = (g["GroupId"] for g in plan.groups.values() if (g["VpcId"], g["GroupName"]) == (vpc_id, "default"))
    return next(found, None) or made_id("sg-", vpc_id)


def interface(plan: Plan, thing: Thing) -> None:
    """`aws_network_interface`."""
    values, subnet_id = thing.values, plan.need(thing, "subnet_id")
    vpc_id = plan.subnets[subnet_id]["VpcId"] if subnet_id in plan.subnets else None
    given = sorted(values.get("private_ips") or [values.get("private_ip")], key=lambda a: a != values.get("private_ip"))
    addresses = [_pick(plan, subnet_id, each) for each in given]
    groups = plan.named(thing, "security_groups", "its groups") or ([default_group(plan, vpc_id)] if vpc_id else [])
    plan.enis[thing.id] = _eni(plan, thing, thing.id, subnet_id, addresses, groups, values)
    for block, inner, _ in plan.blocks(thing, "attachment"):
        instance = plan.things.one(thing, "instance", among=block, inner=inner)
        if instance:
            plan.enis[thing.id]["Attachment"] = {"InstanceId": instance, "DeviceIndex": block.get("device_index") or 0,
                                                "AttachmentId": block.get("attachment_id")}  # fmt: skip


def _eni(
    plan: Plan, thing: Thing, id: str, subnet_id: str, addresses: list[str], groups: list[str], values: dict[str, Any]
) -> dict[str, Any]:
    return {
        "NetworkInterfaceId": id, "SubnetId": subnet_id, "OwnerId": values.get("owner_id"), "TagSet": plan.tags(thing),
        "PrivateIpAddress": addresses[0],
        "PrivateIpAddresses": [{"PrivateIpAddress": a, "Primary": n == 0} for n, a in enumerate(addresses)],
        "Ipv6Addresses": [{"Ipv6Address": a} for a in values.get("ipv6_addresses") or []],
        "Groups": [{"GroupId": g} for g in groups], "SourceDestCheck": values.get("source_dest_check") is not False,
        "MacAddress": values.get("mac_address"), "Description": values.get("description"),
        "InterfaceType": values.get("interface_type") or "interface",
    }  # fmt: skip


def instance(plan: Plan, thing: Thing) -> None:
    """`aws_instance`, with the interface that AWS makes for it unless it is given one."""
    values = thing.values
    attached = [
        plan.things.one(thing, "network_interface_id", among=block, inner=inner)
        for block, inner, _ in plan.blocks(thing, "network_interface")
    ]
    named = [(n, id) for n, id in enumerate(attached) if id is not None and id in plan.enis]
    if named:
        subnet_id = plan.enis[named[0][1]]["SubnetId"]
        for n, eni_id in named:
            plan.enis[eni_id]["Attachment"] = {"InstanceId": thing.id, "DeviceIndex": n}
    else:
        subnet_id = plan.need(thing, "subnet_id")
    vpc_id = plan.subnets[subnet_id]["VpcId"] if subnet_id in plan.subnets else None
    state = values.get("instance_state") or "running"
    record = {
        "InstanceId": thing.id, "ImageId": values.get("ami"), "InstanceType": values.get("instance_type"), "SubnetId": subnet_id,
        "VpcId": vpc_id, "State": {"Name": state}, "Tags": plan.tags(thing), "KeyName": values.get("key_name") or None,
    }  # fmt: skip
    plan.add("Instances", record, thing.id)
    if named or state == "terminated":
        return
    addresses = [_pick(plan, subnet_id, values.get("private_ip")), *(values.get("secondary_private_ips") or ())]
    groups = plan.named(thing, "vpc_security_group_ids", "its groups") or (
        [default_group(plan, vpc_id)] if vpc_id else []
    )
    id = values.get("primary_network_interface_id") or made_id("eni-", thing.id)
    eni = _eni(plan, thing, id, subnet_id, addresses, groups, values)
    eni["Attachment"] = {"InstanceId": thing.id, "DeviceIndex": 0}
    public = values.get("public_ip") or None
    wanted = values.get("associate_public_ip_address")
    if wanted is None and subnet_id in plan.subnets:
        wanted = plan.subnets[subnet_id].get("MapPublicIpOnLaunch")
    if not public and wanted and thing.made:
        public = _public(plan, thing.id)
    if public and not _elastic(plan, thing, str(public)):
        eni["PrivateIpAddresses"][0]["Association"] = {"PublicIp": public, "IpOwnerId": "amazon"}
    plan.enis[id] = eni
    if (values.get("ipv6_address_count") or 0) and not values.get("ipv6_addresses"):
        plan.not_known(thing.address, "its IPv6 addresses are known after apply")


def _elastic(plan: Plan, thing: Thing, public: str) -> bool:
    return any(t.values.get("public_ip") == public for t in plan.things.of_type("aws_eip"))


def _public(plan: Plan, id: str) -> str:
    """A public address that AWS will choose: one of the block that is nobody's, but for the ends, where services are."""
    plan.notes.made_up[_WHAT] += 1
    lent, size = plan.archive.lent, PUBLIC_POOL.num_addresses - 512
    places = itertools.count(int(made_id("", id), 16))
    found = next(a for n in places if (a := str(PUBLIC_POOL.network_address + 256 + n % size)) not in lent)
    lent.add(found)
    return found


def attach(plan: Plan, thing: Thing) -> None:
    """`aws_network_interface_attachment`."""
    eni = plan.enis.get(plan.need(thing, "network_interface_id"))
    if eni is None:
        raise Damaged("its network interface is not in the document")
    eni["Attachment"] = {
        "InstanceId": plan.need(thing, "instance_id"),
        "DeviceIndex": thing.values.get("device_index") or 0,
    }


def attach_group(plan: Plan, thing: Thing) -> None:
    """`aws_network_interface_sg_attachment`."""
    eni, group = plan.enis.get(plan.need(thing, "network_interface_id")), plan.need(thing, "security_group_id")
    if eni is None:
        raise Damaged("its network interface is not in the document")
    eni["Groups"].append({"GroupId": group})


def address(plan: Plan, thing: Thing) -> None:
    """`aws_eip`, with what an `aws_eip_association` says of it."""
    public = thing.values.get("public_ip") or _public(plan, thing.id)
    record: dict[str, Any] = {
        "AllocationId": thing.values.get("allocation_id") or thing.id,
        "PublicIp": public,
        "Tags": plan.tags(thing),
    }
    for name in ("network_interface", "instance"):
        plan.named(thing, name, "what it leads to")
    eni = _elastic_target(plan, thing, "network_interface", "instance")
    if eni is not None:
        private = thing.values.get("associate_with_private_ip") or thing.values.get("private_ip")
        record |= _leads(eni, private)
        record["AssociationId"] = thing.values.get("association_id") or None
    for other in plan.things.of_type("aws_eip_association"):
        if thing.id in plan.things.several(other, "allocation_id"):
            eni = _elastic_target(plan, other, "network_interface_id", "instance_id")
            if eni is not None:
                record |= _leads(eni, other.values.get("private_ip_address"))
                record["AssociationId"] = other.id
    plan.add("Addresses", record, thing.id)


def _leads(eni: dict[str, Any], private: Any) -> dict[str, Any]:
    known = [a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]]
    eni["PrivateIpAddresses"][0].pop("Association", None)
    where = private if private in known else eni["PrivateIpAddress"]
    return {"NetworkInterfaceId": eni["NetworkInterfaceId"], "PrivateIpAddress": where}


def _elastic_target(plan: Plan, thing: Thing, eni: str, instance: str) -> dict[str, Any] | None:
    """The interface that an address leads to: named, or the first of an instance."""
    id, machine = plan.things.one(thing, eni), plan.things.one(thing, instance)
    if id in plan.enis:
        return plan.enis[id]
    attached = [(e, e.get("Attachment") or {}) for e in plan.enis.values()]
    wanted = (e for e, a in attached if machine and a.get("InstanceId") == machine and not a.get("DeviceIndex"))
    return next(wanted, None)


def address_association(plan: Plan, thing: Thing) -> None:
    """`aws_eip_association`: what it joins must be known; `address` has joined it."""
    for name in ("allocation_id", "network_interface_id", "instance_id"):
        plan.named(thing, name, "what it joins")
