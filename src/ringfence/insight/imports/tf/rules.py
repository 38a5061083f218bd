"""Security groups and network ACLs of Terraform: rules inside the resource, and resources of their own."""

from __future__ import annotations

from typing import Any

from ringfence.insight.imports.draft import made_id
from ringfence.insight.imports.record import Damaged
from ringfence.insight.imports.tf.network import owner_of
from ringfence.insight.imports.tf.plan import Block, Plan
from ringfence.insight.imports.tf.things import Thing
from ringfence.insight.imports.tf.types import GROUPS


def group(plan: Plan, thing: Thing) -> None:
    """`aws_security_group` with its rules inside; adopted default groups, too."""
    values = thing.values
    default = thing.type == "aws_default_security_group"
    vpc_id = plan.things.one(thing, "vpc_id") or next((v["VpcId"] for v in plan.vpcs.values() if v["IsDefault"]), None)
    record: dict[str, Any] = {
        "GroupId": thing.id, "VpcId": vpc_id, "OwnerId": values.get("owner_id"), "Tags": plan.tags(thing),
        "GroupName": "default" if default else values.get("name") or thing.address,
        "Description": values.get("description") or "", "IpPermissions": [], "IpPermissionsEgress": [],
    }  # fmt: skip
    for name, key in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        if not plan.all_known(thing, name):
            plan.not_known(thing.address, f"its {name} rules are known after apply")
        for block in plan.blocks(thing, name):
            record[key] += _permissions(plan, thing, block, "security_groups")
    plan.groups[thing.id] = record


def _permissions(plan: Plan, thing: Thing, block: Block, groups: str) -> list[dict[str, Any]]:
    """One rule with lists of peers. Damaged when some of them are not known."""
    rule, inner = block.values, block.expressions
    about = {"Description": rule.get("description") or None}
    peers = {
        name: plan.things.several(thing, name, among=rule, inner=inner)
        for name in ("cidr_blocks", "ipv6_cidr_blocks", "prefix_list_ids", groups)
    }
    peers["prefix_list_ids"] = plan.listed(peers["prefix_list_ids"])
    for name, found in peers.items():
        lost = plan.things.lost(thing, name, among=rule, inner=inner, unknown=block.unknown)
        if lost or (not found and block.unknown.get(name) and (inner.get(name) or not block.expressions)):
            raise Damaged(f"the {name} of a rule are known after apply")
    if rule.get("self"):
        peers[groups] = [*peers[groups], _self(plan, thing)]
    if not any(peers.values()):
        raise Damaged("the peers of a rule are not known")
    return [{
        "FromPort": rule.get("from_port"), "ToPort": rule.get("to_port"), "IpProtocol": _protocol(rule.get("protocol")),
        "IpRanges": [{"CidrIp": b, **about} for b in peers["cidr_blocks"]],
        "Ipv6Ranges": [{"CidrIpv6": b, **about} for b in peers["ipv6_cidr_blocks"]],
        "PrefixListIds": [{"PrefixListId": p, **about} for p in peers["prefix_list_ids"]],
        "UserIdGroupPairs": [
            {"GroupId": id.rsplit("/", 1)[-1], **about, **({"UserId": id.split("/")[0]} if "/" in id else {})}
            for id in peers[groups]
        ],
    }]  # fmt: skip


def _self(plan: Plan, thing: Thing) -> str:
    return thing.id if thing.type in GROUPS else plan.need(thing, "security_group_id")


def group_rule(plan: Plan, thing: Thing) -> None:
    """`aws_security_group_rule`: one service, lists of peers."""
    group = plan.groups.get(plan.need(thing, "security_group_id"))
    if group is None:
        raise Damaged("its security group is not in the document")
    key = "IpPermissionsEgress" if thing.values.get("type") == "egress" else "IpPermissions"
    group[key] += _permissions(
        plan, thing, Block(thing.values, thing.expressions, thing.unknown), "source_security_group_id"
    )


def single_rule(plan: Plan, thing: Thing) -> None:
    """`aws_vpc_security_group_ingress_rule` and `_egress_rule`: one peer each."""
    group, values = plan.groups.get(plan.need(thing, "security_group_id")), thing.values
    if group is None:
        raise Damaged("its security group is not in the document")
    one: dict[str, Any] = {"FromPort": values.get("from_port"), "ToPort": values.get("to_port"),
                           "IpProtocol": _protocol(values.get("ip_protocol"))}  # fmt: skip
    about = {"Description": values.get("description") or None}
    referenced, listed = (
        plan.things.one(thing, "referenced_security_group_id"),
        plan.things.one(thing, "prefix_list_id"),
    )
    if values.get("cidr_ipv4"):
        one["IpRanges"] = [{"CidrIp": values["cidr_ipv4"], **about}]
    elif values.get("cidr_ipv6"):
        one["Ipv6Ranges"] = [{"CidrIpv6": values["cidr_ipv6"], **about}]
    elif referenced:
        one["UserIdGroupPairs"] = [{"GroupId": referenced.rsplit("/", 1)[-1], **about}]
    elif listed:
        one["PrefixListIds"] = [{"PrefixListId": id, **about} for id in plan.listed([listed])]
    else:
        raise Damaged("its peer is not known")
    group["IpPermissions" if "ingress" in thing.type else "IpPermissionsEgress"].append(one)


def group_association(plan: Plan, thing: Thing) -> None:
    """`aws_vpc_security_group_vpc_association` (SG-70)."""
    record = {
        "GroupId": plan.need(thing, "security_group_id"),
        "VpcId": plan.need(thing, "vpc_id"),
        "State": "associated",
    }
    plan.add("SecurityGroupVpcAssociations", record, thing.address)


def acl(plan: Plan, thing: Thing) -> None:
    """`aws_network_acl` with its entries inside; adopted default ones, too."""
    default = thing.type == "aws_default_network_acl"
    id = thing.values.get("id") or plan.things.one(thing, "default_network_acl_id") or thing.id
    vpc_id = plan.things.one(thing, "vpc_id") or (owner_of(plan, thing, "default_network_acl_id") if default else None)
    if vpc_id is None:
        raise Damaged("its VPC is not in the document")
    if vpc_id == id:  # the reference leads to the VPC, whose attribute it is
        id = made_id("acl-", thing.id, vpc_id)
    record: dict[str, Any] = {"NetworkAclId": id, "VpcId": vpc_id, "OwnerId": thing.values.get("owner_id"), "IsDefault": default,
                              "Tags": plan.tags(thing), "Entries": [], "Associations": []}  # fmt: skip
    plan.things.rename(thing, id)
    for name, egress in (("ingress", False), ("egress", True)):
        if not plan.all_known(thing, name):
            plan.not_known(thing.address, f"its {name} entries are known after apply")
        record["Entries"] += [_entry(block.values, egress, "rule_no", "action") for block in plan.blocks(thing, name)]
    record["Associations"] = [{"SubnetId": each} for each in plan.named(thing, "subnet_ids", "its subnets")]
    plan.acls[id] = record


def acl_rule(plan: Plan, thing: Thing) -> None:
    """`aws_network_acl_rule`; one that the ACL lists itself is not listed twice."""
    acl = plan.acls.get(plan.need(thing, "network_acl_id"))
    if acl is None:
        raise Damaged("its network ACL is not in the document")
    entry = _entry(thing.values, bool(thing.values.get("egress")), "rule_number", "rule_action")
    if not any((e["RuleNumber"], e["Egress"]) == (entry["RuleNumber"], entry["Egress"]) for e in acl["Entries"]):
        acl["Entries"].append(entry)


def acl_association(plan: Plan, thing: Thing) -> None:
    """`aws_network_acl_association`."""
    acl, subnet_id = plan.acls.get(plan.need(thing, "network_acl_id")), plan.need(thing, "subnet_id")
    if acl is None:
        raise Damaged("its network ACL is not in the document")
    if not any(a["SubnetId"] == subnet_id for a in acl["Associations"]):
        acl["Associations"].append({"SubnetId": subnet_id, "NetworkAclAssociationId": thing.id})


def _protocol(value: Any) -> str:
    text = str(value).lower()
    return {"all": "-1"}.get(text, text)


def _entry(values: dict[str, Any], egress: bool, number: str, action: str) -> dict[str, Any]:
    """An entry of a network ACL; ports of protocols without ports are zeros there."""
    protocol = _protocol(values.get("protocol"))
    protocol = {"tcp": "6", "udp": "17", "icmp": "1", "icmpv6": "58"}.get(protocol, protocol)
    entry: dict[str, Any] = {
        "RuleNumber": values.get(number), "Egress": egress, "Protocol": protocol, "RuleAction": values.get(action),
    }  # fmt: skip
    if values.get("ipv6_cidr_block"):
        entry["Ipv6CidrBlock"] = values["ipv6_cidr_block"]
    else:
        entry["CidrBlock"] = values.get("cidr_block")
    if protocol in ("6", "17"):
        entry["PortRange"] = {"From": values.get("from_port"), "To": values.get("to_port")}
    if protocol in ("1", "58"):
        kind, code = values.get("icmp_type"), values.get("icmp_code")
        entry["IcmpTypeCode"] = {"Type": -1 if kind is None else kind, "Code": -1 if code is None else code}
    return entry
