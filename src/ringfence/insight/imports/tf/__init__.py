"""Terraform plans and states → records in the shape of EC2's API.

What AWS adds by itself to a VPC that a plan makes (main route table, default network ACL and group) is as AWS makes it. Of a VPC
that exists, a state tells those only if it manages them; then they are missing unless the user says to take them for granted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ringfence.insight.imports.draft import Archive, Source, is_region, made_id
from ringfence.insight.imports.notes import ImportProblem
from ringfence.insight.imports.record import Damaged
from ringfence.insight.imports.tf import endpoints, hosts, network, rules
from ringfence.insight.imports.tf.plan import Plan
from ringfence.insight.imports.tf.things import Thing, things_of
from ringfence.insight.imports.tf.types import GROUPS, NO_BEARING, NOT_MODELLED, PREFIXES


def recognises(document: Any) -> bool:
    """Is it a plan or a state?"""
    if not isinstance(document, dict):
        return False
    shown = "format_version" in document and bool({"planned_values", "values"} & document.keys())
    return shown or (
        "terraform_version" in document and "version" in document and bool({"resources", "modules"} & document.keys())
    )


def add(archive: Archive, document: dict[str, Any], source: Source) -> str:
    """Every resource as records. ImportProblem for a form that is not understood."""
    try:
        things = things_of(document, archive.notes, source.name, PREFIXES, assume_locals=archive.options.assume_locals)
        _run(Plan(archive, things, source, _region(document)))
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as problem:  # something is not where such documents have it
        raise ImportProblem(f"{source.name} is no sound Terraform document: {problem}") from problem
    return "Terraform plan" if things.planned else "Terraform state"


def _region(document: dict[str, Any]) -> str | None:
    """Of the provider, when the plan tells it."""
    config = (document.get("configuration") or {}).get("provider_config") or {}
    expressions = (config.get("aws") or {}).get("expressions") or {}
    region = expressions.get("region")
    value = region.get("constant_value") if isinstance(region, dict) else None
    if value is None and isinstance(region, dict):
        name = next((r.removeprefix("var.") for r in region.get("references") or [] if str(r).startswith("var.")), None)
        value = ((document.get("variables") or {}).get(name) or {}).get("value")
    return value if isinstance(value, str) and is_region(value) else None


#: what reads resources of which types, in the order they need each other
_STEPS: tuple[tuple[Callable[[Plan, Thing], None], tuple[str, ...]], ...] = (
    (network.vpc, ("aws_vpc", "aws_default_vpc", "data.aws_vpc")),
    (network.vpc_block, ("aws_vpc_ipv4_cidr_block_association", "aws_vpc_ipv6_cidr_block_association")),
    (network.prefix_list, ("aws_ec2_managed_prefix_list",)),
    (network.prefix_list_entry, ("aws_ec2_managed_prefix_list_entry",)),
    (network.data_list, ("data.aws_prefix_list", "data.aws_ec2_managed_prefix_list")),
    (network.subnet, ("aws_subnet", "aws_default_subnet", "data.aws_subnet")),
    (rules.group, GROUPS),
    (rules.group_rule, ("aws_security_group_rule",)),
    (rules.single_rule, ("aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule")),
    (rules.group_association, ("aws_vpc_security_group_vpc_association",)),
    (rules.acl, ("aws_network_acl", "aws_default_network_acl")),
    (rules.acl_rule, ("aws_network_acl_rule",)),
    (rules.acl_association, ("aws_network_acl_association",)),
    (network.gateway, ("aws_internet_gateway",)),
    (network.peering, ("aws_vpc_peering_connection",)),
    (network.table, ("aws_route_table", "aws_default_route_table")),
    (network.route, ("aws_route",)),
    (network.table_association, ("aws_route_table_association", "aws_main_route_table_association")),
    (endpoints.endpoint, ("aws_vpc_endpoint",)),
    (endpoints.association, ("aws_vpc_endpoint_route_table_association",)),
    (hosts.interface, ("aws_network_interface",)),
    (hosts.instance, ("aws_instance",)),
    (hosts.attach, ("aws_network_interface_attachment",)),
    (hosts.attach_group, ("aws_network_interface_sg_attachment",)),
    (hosts.address, ("aws_eip",)),
    (hosts.address_association, ("aws_eip_association",)),
)  # fmt: skip


def _run(plan: Plan) -> None:
    for step, types in _STEPS:
        for thing in plan.things.of_type(*types):
            try:
                step(plan, thing)
            except (Damaged, ValueError, TypeError, AttributeError, KeyError) as problem:
                plan.not_known(thing.address, f"it cannot be read: {problem}")
    _defaults(plan)
    _others(plan)
    _flush(plan)


def _defaults(plan: Plan) -> None:
    """Main route table, default network ACL and default group of each VPC."""
    for id in plan.vpcs:
        fresh = id in plan.made_vpcs
        if not fresh and not plan.archive.options.assume_defaults:
            continue
        if not fresh:
            plan.notes.assumed[id] = "its default network ACL, default group and main route table are as AWS made them"
        if not any(t["VpcId"] == id and any(a.get("Main") for a in t["Associations"]) for t in plan.tables.values()):
            table = made_id("rtb-", id)
            plan.tables[table] = {
                "RouteTableId": table,
                "VpcId": id,
                "Routes": [],
                "Associations": [{"Main": True}],
            }
        default = next((a for a in plan.acls.values() if a["VpcId"] == id and a["IsDefault"]), None)
        if default is None:
            acl = made_id("acl-", id)
            default = plan.acls[acl] = {"NetworkAclId": acl, "VpcId": id, "IsDefault": True, "Associations": [],
                                        "Entries": _open(ipv6=bool(plan.vpcs[id]["Ipv6CidrBlockAssociationSet"]))}  # fmt: skip
        group = hosts.default_group(plan, id)
        if group not in plan.groups:
            plan.groups[group] = {
                "GroupId": group, "VpcId": id, "GroupName": "default", "Description": "default VPC security group",
                "IpPermissions": [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}],
                "IpPermissionsEgress": [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
            }  # fmt: skip
    for id in plan.vpcs:
        _place(plan, id)


def _place(plan: Plan, vpc_id: str) -> None:
    """Subnets that no network ACL names use the default one (ACL-20)."""
    default = next((a for a in plan.acls.values() if a["VpcId"] == vpc_id and a["IsDefault"]), None)
    held = {a["SubnetId"] for acl in plan.acls.values() for a in acl["Associations"]}
    for id, subnet in plan.subnets.items():
        if default is not None and subnet["VpcId"] == vpc_id and id not in held:
            default["Associations"].append({"SubnetId": id})


def _others(plan: Plan) -> None:
    for thing in plan.things.all:
        if thing.type in NOT_MODELLED:
            plan.notes.not_modelled.setdefault(thing.id if not thing.id.startswith("x-") else thing.address, thing.type)
            if (
                thing.type.startswith("aws_vpc_block_public_access")
                or thing.type == "aws_vpn_gateway_route_propagation"
            ):
                plan.archive.cut.append(thing.address)
        elif thing.type not in PREFIXES and not thing.type.startswith(("data.", *NO_BEARING)):
            plan.notes.unknown_resources[thing.type] += 1


def _flush(plan: Plan) -> None:
    lists: tuple[tuple[str, dict[str, dict[str, Any]]], ...] = (
        ("Vpcs", plan.vpcs), ("Subnets", plan.subnets), ("SecurityGroups", plan.groups), ("NetworkAcls", plan.acls),
        ("RouteTables", plan.tables), ("NetworkInterfaces", plan.enis),
    )  # fmt: skip
    for key, records in lists:
        for id, record in records.items():
            plan.add(key, record, id)
    for id, blocks in plan.lists.items():
        plan.add("PrefixLists", {"PrefixListId": id, "PrefixListName": plan.list_names.get(id), "Cidrs": blocks}, id)


def _open(*, ipv6: bool) -> list[dict[str, Any]]:
    """ACL-02: a default network ACL lets everything through."""
    blocks = [(100, "CidrBlock", "0.0.0.0/0"), *([(101, "Ipv6CidrBlock", "::/0")] if ipv6 else [])]
    return [
        {"RuleNumber": number, key: block, "Egress": egress, "Protocol": "-1", "RuleAction": "allow"}
        for egress in (False, True)
        for number, key, block in blocks
    ]
