"""VPCs, subnets, prefix lists, gateways and routes of Terraform."""

from __future__ import annotations

from typing import Any

from ringfence.insight.imports.record import Damaged
from ringfence.insight.imports.tf.plan import Plan
from ringfence.insight.imports.tf.things import Thing

#: attributes of a route that name its target → the field EC2 shows it in
_TARGETS: dict[str, str] = {
    "gateway_id": "GatewayId", "nat_gateway_id": "NatGatewayId", "network_interface_id": "NetworkInterfaceId",
    "transit_gateway_id": "TransitGatewayId", "vpc_peering_connection_id": "VpcPeeringConnectionId", "vpc_endpoint_id": "GatewayId",
    "egress_only_gateway_id": "EgressOnlyInternetGatewayId", "carrier_gateway_id": "CarrierGatewayId",
    "local_gateway_id": "LocalGatewayId", "core_network_arn": "CoreNetworkArn", "odb_network_arn": "OdbNetworkArn",
}  # fmt: skip


def vpc(plan: Plan, thing: Thing) -> None:
    """`aws_vpc`, `aws_default_vpc`, and VPCs that are read as data."""
    values = thing.values
    if thing.type.startswith("data.") and (thing.id in plan.vpcs or thing.made):
        return
    record: dict[str, Any] = {
        "VpcId": thing.id, "CidrBlock": values.get("cidr_block"), "OwnerId": values.get("owner_id"), "Tags": plan.tags(thing),
        "InstanceTenancy": values.get("instance_tenancy"), "DhcpOptionsId": values.get("dhcp_options_id"),
        "IsDefault": thing.type == "aws_default_vpc", "CidrBlockAssociationSet": [], "Ipv6CidrBlockAssociationSet": [],
    }  # fmt: skip
    if not isinstance(values.get("cidr_block"), str):
        raise Damaged("its cidr_block is not known")
    block = values.get("ipv6_cidr_block")
    if block:
        record["Ipv6CidrBlockAssociationSet"].append(
            {"Ipv6CidrBlock": block, "AssociationId": values.get("ipv6_association_id")}
        )
    elif values.get("assign_generated_ipv6_cidr_block"):
        plan.not_known(thing.address, "its IPv6 block is known after apply")
    for more in values.get("cidr_block_associations") or []:
        record["CidrBlockAssociationSet"].append(
            {"CidrBlock": more.get("cidr_block"), "AssociationId": more.get("association_id")}
        )
    plan.vpcs[thing.id] = record
    if thing.made:
        plan.made_vpcs.add(thing.id)
    attribute = {"VpcId": thing.id, "EnableDnsSupport": {"Value": values.get("enable_dns_support") is not False},
                 "EnableDnsHostnames": {"Value": bool(values.get("enable_dns_hostnames"))}}  # fmt: skip
    plan.add("VpcAttributes", attribute, thing.id)


def vpc_block(plan: Plan, thing: Thing) -> None:
    """Secondary blocks of a VPC."""
    vpc = plan.vpcs.get(plan.need(thing, "vpc_id"))
    block = thing.values.get("cidr_block") or thing.values.get("ipv6_cidr_block")
    if vpc is None or not block:
        raise Damaged("its VPC or its block is not known")
    kind = "Ipv6CidrBlock" if ":" in block else "CidrBlock"
    vpc[f"{kind}AssociationSet"].append({kind: block, "AssociationId": thing.id})


def subnet(plan: Plan, thing: Thing) -> None:
    """`aws_subnet`, `aws_default_subnet`, and subnets that are read as data."""
    values = thing.values
    if thing.type.startswith("data.") and (thing.id in plan.subnets or thing.made):
        return
    record: dict[str, Any] = {
        "SubnetId": thing.id, "VpcId": plan.need(thing, "vpc_id"), "CidrBlock": values.get("cidr_block"),
        "AvailabilityZone": values.get("availability_zone"), "AvailabilityZoneId": values.get("availability_zone_id"),
        "MapPublicIpOnLaunch": values.get("map_public_ip_on_launch"), "Tags": plan.tags(thing), "OwnerId": values.get("owner_id"),
        "AssignIpv6AddressOnCreation": values.get("assign_ipv6_address_on_creation"), "EnableDns64": values.get("enable_dns64"),
        "DefaultForAz": thing.type == "aws_default_subnet", "Ipv6CidrBlockAssociationSet": [],
    }  # fmt: skip
    if values.get("ipv6_cidr_block"):
        record["Ipv6CidrBlockAssociationSet"].append(
            {
                "Ipv6CidrBlock": values["ipv6_cidr_block"],
                "AssociationId": values.get("ipv6_cidr_block_association_id"),
            }
        )
    elif not plan.all_known(thing, "ipv6_cidr_block"):
        plan.not_known(thing.address, "its IPv6 block is known after apply")
    if not isinstance(values.get("cidr_block"), str):
        raise Damaged("its cidr_block is not known")
    plan.subnets[thing.id] = record


def prefix_list(plan: Plan, thing: Thing) -> None:
    """`aws_ec2_managed_prefix_list` with its entries."""
    plan.lists[thing.id] = [str(each.values["cidr"]) for each in plan.blocks(thing, "entry")]


def prefix_list_entry(plan: Plan, thing: Thing) -> None:
    """An entry that is a resource of its own."""
    plan.lists.setdefault(plan.need(thing, "prefix_list_id"), []).append(str(thing.values["cidr"]))


def data_list(plan: Plan, thing: Thing) -> None:
    """A list that is read as data, AWS's own too: with its blocks as far as the document tells them."""
    blocks = thing.values.get("cidr_blocks") or [each["cidr"] for each in thing.values.get("entries") or ()]
    if thing.id in plan.lists or thing.made or not blocks:
        return
    plan.lists[thing.id] = [str(block) for block in blocks]
    plan.list_names[thing.id] = str(thing.values.get("name") or thing.id)


def gateway(plan: Plan, thing: Thing) -> None:
    """`aws_internet_gateway`, attached by itself or by an attachment."""
    attached = [plan.need(t, "vpc_id") for t in plan.things.of_type("aws_internet_gateway_attachment")
                if plan.things.one(t, "internet_gateway_id") == thing.id]  # fmt: skip
    vpc_id = plan.things.one(thing, "vpc_id") or next(iter(attached), None)
    if vpc_id is None and plan.things.lost(thing, "vpc_id"):
        raise Damaged("the VPC it is attached to is not in the document")
    record = {"InternetGatewayId": thing.id, "OwnerId": thing.values.get("owner_id"), "Tags": plan.tags(thing),
              "Attachments": [{"VpcId": vpc_id, "State": "available"}] if vpc_id else []}  # fmt: skip
    plan.add("InternetGateways", record, thing.id)


def peering(plan: Plan, thing: Thing) -> None:
    """`aws_vpc_peering_connection`, accepted by itself or by another resource, with the options of either side."""
    near, far = plan.need(thing, "vpc_id"), plan.things.one(thing, "peer_vpc_id")
    if far is None:
        raise Damaged("the VPC it leads to is not in the document")
    values, status = thing.values, thing.values.get("accept_status")
    accepters = [t for t in plan.things.of_type("aws_vpc_peering_connection_accepter") if _about(plan, t, thing)]
    accepted = bool(values.get("auto_accept")) or any(t.values.get("auto_accept") for t in accepters)
    if not isinstance(status, str) or accepted:
        status = "active" if accepted else "pending-acceptance"
    options = [thing, *accepters]
    options += [t for t in plan.things.of_type("aws_vpc_peering_connection_options") if _about(plan, t, thing)]
    plan.add("VpcPeeringConnections", {
        "VpcPeeringConnectionId": thing.id, "Status": {"Code": status}, "Tags": plan.tags(thing),
        "RequesterVpcInfo": {"VpcId": near, "PeeringOptions": _resolves(options, "requester")},
        "AccepterVpcInfo": {"VpcId": far, "OwnerId": values.get("peer_owner_id"), "Region": values.get("peer_region"),
                            "PeeringOptions": _resolves(options, "accepter")},
    }, thing.id)  # fmt: skip


def _about(plan: Plan, thing: Thing, connection: Thing) -> bool:
    return plan.things.one(thing, "vpc_peering_connection_id") == connection.id


def _resolves(things: list[Thing], side: str) -> dict[str, Any]:
    given = [block for thing in things for block in thing.values.get(side) or []]
    allowed = any(block.get("allow_remote_vpc_dns_resolution") for block in given)
    return {"AllowDnsResolutionFromRemoteVpc": allowed}


def table(plan: Plan, thing: Thing) -> None:
    """`aws_route_table` with its routes inside; adopted main tables, too."""
    default = thing.type == "aws_default_route_table"
    vpc_id = plan.things.one(thing, "vpc_id") or owner_of(plan, thing, "default_route_table_id")
    id = thing.id
    if vpc_id is None:
        raise Damaged("its VPC is not in the document")
    record: dict[str, Any] = {"RouteTableId": id, "VpcId": vpc_id, "OwnerId": thing.values.get("owner_id"),
                              "Tags": plan.tags(thing), "Routes": [], "Associations": [{"Main": True}] if default else []}  # fmt: skip
    ways = plan.things.several(thing, "propagating_vgws")
    record |= {"PropagatingVgws": [{"GatewayId": way} for way in ways], "RoutesAreListed": not ways}
    if not plan.all_known(thing, "route"):
        plan.not_known(thing.address, "its routes are known after apply")
    for values, inner, _ in plan.blocks(thing, "route"):
        destination = _destination(values, ("cidr_block", "ipv6_cidr_block", "destination_prefix_list_id"))
        record["Routes"].append({**destination, **_target(plan, thing, values, inner)})
    plan.tables[id] = record


def route(plan: Plan, thing: Thing) -> None:
    """`aws_route`; it replaces one of the same destination."""
    table = plan.tables.get(plan.need(thing, "route_table_id"))
    if table is None:  # a VPC's main table, which is not managed
        raise Damaged("its route table is not in the document")
    names = ("destination_cidr_block", "destination_ipv6_cidr_block", "destination_prefix_list_id")
    destination = _destination(thing.values, names)
    listed = plan.things.one(thing, "destination_prefix_list_id")
    if not destination and listed is not None:
        destination = {"DestinationPrefixListId": listed}
    table["Routes"] = [r for r in table["Routes"] if not destination.items() <= r.items()]
    table["Routes"].append({**destination, **_target(plan, thing, thing.values, thing.expressions)})


def _target(plan: Plan, thing: Thing, values: dict[str, Any], inner: dict[str, Any]) -> dict[str, str]:
    for name, key in _TARGETS.items():
        if values.get(name) or inner.get(name):
            found = plan.things.one(thing, name, among=values, inner=inner)
            if found is not None:
                return {key: found}
            return {"NatGatewayId": f"{thing.address} ({name})"}  # known to lead somewhere, not where
    set_in = thing.unknown if values is thing.values else {}
    named = next((each for each in _TARGETS if set_in.get(each) and thing.expressions.get(each)), "target")
    return {"NatGatewayId": f"{thing.address} ({named})"}


def table_association(plan: Plan, thing: Thing) -> None:
    """A subnet, a gateway, or the VPC gets a table."""
    table = plan.tables.get(plan.need(thing, "route_table_id"))
    if table is None:
        raise Damaged("its route table is not in the document")
    if thing.type == "aws_main_route_table_association":
        for other in plan.tables.values():
            if other["VpcId"] == table["VpcId"]:
                other["Associations"] = [a for a in other["Associations"] if not a.get("Main")]
        table["Associations"].append({"Main": True, "RouteTableAssociationId": thing.id})
        return
    subnet, gateway = plan.things.one(thing, "subnet_id"), plan.things.one(thing, "gateway_id")
    if subnet is None and gateway is None:
        raise Damaged("what it associates is not in the document")
    table["Associations"].append({"RouteTableAssociationId": thing.id, "SubnetId": subnet, "GatewayId": gateway})


def owner_of(plan: Plan, thing: Thing, name: str) -> str | None:
    """The VPC that a default resource is adopted from: its attribute of that name."""
    value = thing.values.get(name)
    found = plan.things.several(thing, name)
    by_value = next(
        (t.id for t in plan.things.of_type("aws_vpc", "aws_default_vpc") if value and t.values.get(name) == value),
        None,
    )
    return by_value or next((id for id in found if id in plan.vpcs), None)


def _destination(values: dict[str, Any], names: tuple[str, str, str]) -> dict[str, str]:
    for name, key in zip(
        names, ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"), strict=True
    ):
        if values.get(name):
            return {key: values[name]}
    return {}
