"""Security groups, network ACLs and prefix lists of an import (SG-30..SG-48, ACL-01..ACL-28)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ringfence.insight.imports.draft import Draft, Source, made_id
from ringfence.insight.imports.record import Damaged, Record
from ringfence.model.aws_prefix_lists import AWS_LISTS
from ringfence.model.net import ICMP_FAMILY, PORTED, Network, PortRange, parse_network, parse_protocol
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.network_acl import FINAL_RULE_IPV4, NetworkAcl, NetworkAclEntry
from ringfence.model.nouns.prefix_list import AWS, PrefixList, PrefixListEntry
from ringfence.model.nouns.security_group import GroupAssociation, GroupReference, SecurityGroup, SecurityGroupRule
from ringfence.model.regions import REGIONS

#: prefix lists whose entries are known
Lists = frozenset[str]


def prefix_lists(draft: Draft) -> Lists:
    """Prefix lists whose entries are known: `describe-prefix-lists` has AWS's own ones with theirs, recordings of
    `get-managed-prefix-list-entries` those of others; those of AWS's lists in a Ringfence installation need no recording.

    `describe-managed-prefix-lists` tells of the same lists, without entries.
    """
    entries: dict[str, tuple[PrefixListEntry, ...]] = {}
    about: dict[str, dict[str, Any]] = {}
    for record, source in draft.archive.records.get("PrefixLists", []):
        try:
            id = record.need("PrefixListId")
            blocks = tuple(PrefixListEntry(cidr=_block(text)) for text in dict.fromkeys(record.texts("Cidrs")))
            if record.has("Cidrs") and entries.setdefault(id, blocks) != blocks:
                draft.problem(None, id, "it is recorded twice, with different entries")
            held = about.setdefault(id, {"region": source.region or draft.options.region or "us-east-1"})
            known = {"name": record.text("PrefixListName"), "owner_id": record.text("OwnerId"), "tags": record.tags(),
                     "max_entries": record.number("MaxEntries"), "version": record.number("Version")}  # fmt: skip
            held.update({name: value for name, value in known.items() if value})
            draft.notes.read["PrefixLists"] += 1
        except Damaged as problem:
            draft.problem(None, source.name, str(problem))
        record.ignore(*_LIST_IGNORED).done(draft.notes)
    for id, blocks in entries.items():
        made = _list(draft, id, blocks, about[id])
        if AWS_LISTS.get(id) != made:
            draft.put(made)
    return frozenset(entries) | AWS_LISTS.keys()


def _list(draft: Draft, id: str, entries: tuple[PrefixListEntry, ...], about: dict[str, Any]) -> PrefixList:
    of_aws = str(about.get("name", "")).startswith("com.amazonaws.")
    owner = AWS if of_aws else draft.account or "000000000000"
    defaults = {"owner_id": owner, "name": id, "max_entries": max(1, len(entries))}
    family = entries[0].cidr.version if entries else 4
    if of_aws:  # `com.amazonaws.REGION.SERVICE` tells the Region, and such a list has neither size nor version (PL-10)
        told = str(about["name"]).split(".")[2:3]
        about |= {"max_entries": defaults["max_entries"], "version": 1} | (
            {"region": told[0]} if told[0] in REGIONS else {}
        )
    return PrefixList(id=id, family=family, entries=entries, **{**defaults, **about})


_LIST_IGNORED = (
    "AddressFamily", "State", "StateMessage", "PrefixListArn", "IpamPrefixListResolverTargetId",
    "IpamPrefixListResolverSyncEnabled",
)  # fmt: skip


def _block(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as problem:
        raise Damaged(str(problem)) from None


# ---------------------------------------------------------------------- security groups
def groups(draft: Draft, lists: Lists) -> None:
    """Groups with their rules; rule ids from `describe-security-group-rules` where they are recorded."""
    ids = _rule_ids(draft)

    def make(record: Record, source: Source) -> None:
        id, vpc_id = record.need("GroupId"), record.text("VpcId")
        vpc = draft.find(Vpc, vpc_id)
        if vpc is None:
            why = f"its VPC {vpc_id} is not in the import" if vpc_id else "EC2-Classic is not modelled"
            draft.leave_out(id, why)
            record.ignore(*record.data)
            return
        rules: dict[Any, SecurityGroupRule] = {}
        record.need_list("IpPermissions")
        record.need_list("IpPermissionsEgress")
        for key, egress in (("IpPermissions", False), ("IpPermissionsEgress", True)):
            for permission in record.items(key):
                for rule in _rules(draft, permission, id, vpc.owner_id, egress, lists):
                    named = ids.get((id, rule.permission))
                    if named is None:
                        draft.notes.made_up["ids of security group rules (describe-security-group-rules has them)"] += 1
                    rules.setdefault(rule.permission, rule if named is None else named)
        record.ignore("SecurityGroupArn")
        draft.put(
            SecurityGroup(
                id=id, **draft.owned(record, source, vpc.region, vpc.owner_id), tags=record.tags(), vpc_id=vpc.id,
                name=record.text("GroupName") or id, description=record.text("Description") or "",
                rules=tuple(rules.values()), egress_unmodified=False,
            )
        )  # fmt: skip

    draft.each("SecurityGroups", "GroupId", make)
    for group_id in {group_id for group_id, _ in ids} - {group.id for group in draft.all(SecurityGroup)}:
        draft.leave_out(group_id, "its rules are in the import, the group is not (describe-security-groups)")
    _missing_rules(draft, ids)


def _missing_rules(draft: Draft, ids: dict[Any, SecurityGroupRule]) -> None:
    """Two recordings of the same rules must agree."""
    for (group_id, permission), rule in ids.items():
        group = draft.find(SecurityGroup, group_id)
        if group is not None and permission not in {each.permission for each in group.rules}:
            draft.problem(
                group.vpc_id, rule.id, f"it is not among the permissions of {group_id}: recorded at another time?"
            )


def _rules(
    draft: Draft, record: Record, group_id: str, owner: str, egress: bool, lists: Lists
) -> Iterator[SecurityGroupRule]:
    """A permission is a service with peers (SG-30)."""
    service = _service(record)
    if not any(record.data.get(key) for key in ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")):
        raise Damaged(f"{record.shape} has no peers")

    def rule(peer: Record, **fields: Any) -> SecurityGroupRule:
        named = fields.get("cidr") or fields.get("prefix_list_id") or fields["group"].group_id
        id = fields.pop("id", None) or made_id("sgr-", group_id, egress, *service, named)
        protocol, first, last = service
        return SecurityGroupRule(
            id=id, egress=egress, protocol=protocol, from_port=first, to_port=last,
            description=peer.text("Description"), **fields,
        )  # fmt: skip

    for key, field in (("IpRanges", "CidrIp"), ("Ipv6Ranges", "CidrIpv6")):
        for peer in record.items(key):
            block = peer.block(field)
            if block is None:
                raise Damaged(f"{peer.shape} has no {field}")
            yield rule(peer, cidr=block)
    for peer in record.items("PrefixListIds"):
        list_id = peer.need("PrefixListId")
        if list_id not in lists:
            draft.notes.not_modelled[list_id] = "a prefix list without its entries"
        yield rule(peer, prefix_list_id=list_id)
    for peer in record.items("UserIdGroupPairs"):
        yield rule(peer, group=_reference(draft, peer, owner, group_id))


def _reference(draft: Draft, peer: Record, owner: str, group_id: str) -> GroupReference:
    peer.ignore("PeeringStatus", "GroupName")
    id, account = peer.text("GroupId"), peer.text("UserId") or owner
    if id is None:
        id = _by_name(draft, str(peer.data.get("GroupName")), group_id)
    return GroupReference(
        group_id=id, owner_id=account, vpc_id=peer.text("VpcId"),
        peering_connection_id=peer.text("VpcPeeringConnectionId"),
    )  # fmt: skip


def _by_name(draft: Draft, name: str, group_id: str) -> str:
    """Old recordings name the groups of rules instead of giving their ids."""
    records = [record.data for record, _ in draft.archive.records.get("SecurityGroups", [])]
    vpc_id = next((data.get("VpcId") for data in records if data.get("GroupId") == group_id), None)
    found = {d["GroupId"] for d in records if (d.get("GroupName"), d.get("VpcId")) == (name, vpc_id) and "GroupId" in d}
    if len(found) != 1:
        raise Damaged(f"a rule names the group {name!r}, and the import has {len(found)} of that name")
    return str(found.pop())


def _service(record: Record) -> tuple[int, int, int]:
    """Protocol and ports, or ICMP type and code (SG-39..SG-42)."""
    protocol = _protocol(record, "IpProtocol")
    first, last = record.number("FromPort"), record.number("ToPort")
    if protocol in PORTED:
        if first is None or last is None or not 0 <= first <= last <= 65535:
            raise Damaged(f"{record.shape} has the ports {first} to {last}")
        return protocol, first, last
    if protocol in ICMP_FAMILY:
        if first is None or last is None or not (-1 <= first <= 255 and -1 <= last <= 255):
            raise Damaged(f"{record.shape} has the ICMP type {first} and code {last}")
        return protocol, first, last
    return protocol, -1, -1


def _protocol(record: Record, key: str) -> int:
    text = record.number(key) if isinstance(record.data.get(key), int) else record.need(key)
    try:
        return parse_protocol({"all": "-1", "icmpv6": "58"}.get(str(text).lower(), str(text)))
    except ValueError as problem:
        raise Damaged(f"{record.shape}.{key}: {problem}") from None


def _rule_ids(draft: Draft) -> dict[Any, SecurityGroupRule]:
    """(group, permission) → the rule of `describe-security-group-rules`."""
    found: dict[Any, SecurityGroupRule] = {}

    def make(record: Record, _: Source) -> None:
        group_id, owner = record.need("GroupId"), record.text("GroupOwnerId") or ""
        protocol, first, last = _service(record)
        record.ignore("SecurityGroupRuleArn")
        peer = record.child("ReferencedGroupInfo")
        rule = SecurityGroupRule(
            id=record.need("SecurityGroupRuleId"), egress=record.flag("IsEgress"), protocol=protocol, from_port=first,
            to_port=last, cidr=record.block("CidrIpv4") or record.block("CidrIpv6"),
            prefix_list_id=record.text("PrefixListId"), description=record.text("Description"), tags=record.tags(),
            group=_reference(draft, peer, owner, group_id) if peer is not None else None,
        )  # fmt: skip
        found[group_id, rule.permission] = rule

    draft.each("SecurityGroupRules", "SecurityGroupRuleId", make)
    return found


def associations(draft: Draft) -> None:
    """Groups that further VPCs may use (SG-70)."""

    def make(record: Record, source: Source) -> None:
        group_id, vpc_id = record.need("GroupId"), record.need("VpcId")
        record.ignore("VpcOwnerId", "StateReason")
        state = record.text("State") or "associated"
        group, vpc = draft.find(SecurityGroup, group_id), draft.find(Vpc, vpc_id)
        own = draft.owned(record, source, vpc.region if vpc else None, vpc.owner_id if vpc else None)
        owner = record.text("GroupOwnerId")
        if group is None or vpc is None:
            draft.leave_out(f"{group_id}@{vpc_id}", "the group or the VPC of this association is not in the import")
        elif state == "associated":
            id = GroupAssociation.id_of(group_id, vpc_id)
            draft.put(
                GroupAssociation(
                    id=id, **{**own, "owner_id": owner or own["owner_id"]}, group_id=group_id, vpc_id=vpc_id
                )
            )

    draft.each("SecurityGroupVpcAssociations", None, make)


# ---------------------------------------------------------------------- network ACLs
def acls(draft: Draft) -> dict[str, tuple[str, str]]:
    """Network ACLs; subnet → its ACL and the association's id."""
    found: dict[str, tuple[str, str]] = {}

    def make(record: Record, source: Source) -> None:
        id = record.need("NetworkAclId")
        vpc = draft.vpc_of(record, id)
        if vpc is None:
            return
        vpc_id = vpc.id
        record.need_list("Associations")
        record.need_list("Entries")
        for each in record.items("Associations"):
            each.ignore("NetworkAclId")
            subnet_id = each.need("SubnetId")
            association = each.text("NetworkAclAssociationId") or draft.made(
                "aclassoc-", subnet_id, what="ids of associations"
            )
            if found.setdefault(subnet_id, (id, association))[0] != id:
                draft.problem(vpc_id, subnet_id, f"it is associated with {found[subnet_id][0]} and {id}")
        entries = [entry for each in record.items("Entries") if (entry := _entry(each)) is not None]
        places = [(entry.number, entry.egress) for entry in entries]
        if len(set(places)) != len(places):
            raise Damaged("two entries have the same number")
        draft.put(
            NetworkAcl(
                id=id, **draft.owned(record, source, vpc.region, vpc.owner_id), tags=record.tags(), vpc_id=vpc_id,
                is_default=record.flag("IsDefault"), entries=tuple(entries), ingress_unmodified=False,
                egress_unmodified=False,
            )
        )  # fmt: skip

    draft.each("NetworkAcls", "NetworkAclId", make)
    return found


def _entry(record: Record) -> NetworkAclEntry | None:
    """None for the final one, which always denies (ACL-06)."""
    number = record.number("RuleNumber")
    if number is None:
        raise Damaged("an entry has no RuleNumber")
    protocol, action = _protocol(record, "Protocol"), record.need("RuleAction").lower()
    egress = record.need_flag("Egress")
    block = record.block("CidrBlock") or record.block("Ipv6CidrBlock")
    ports, icmp = record.child("PortRange"), record.child("IcmpTypeCode")
    span = (ports.number("From"), ports.number("To")) if ports is not None else (None, None)
    kind = (icmp.number("Type"), icmp.number("Code")) if icmp is not None else (None, None)
    if number >= FINAL_RULE_IPV4:
        return None
    if action not in ("allow", "deny") or block is None:
        raise Damaged(f"entry {number} has the action {action!r} and the block {block}")
    if protocol in PORTED and (span[0] is None or span[1] is None or not 0 <= span[0] <= span[1] <= 65535):
        raise Damaged(f"entry {number} has the ports {span[0]} to {span[1]}")
    if protocol in ICMP_FAMILY and None in kind:
        raise Damaged(f"entry {number} has the ICMP type {kind[0]} and code {kind[1]}")
    return NetworkAclEntry(
        number=number, egress=egress, protocol=protocol, allow=action == "allow", cidr=block,
        ports=PortRange(span[0] or 0, span[1] or 0) if protocol in PORTED else None,
        icmp=(kind[0], kind[1]) if kind[0] is not None and kind[1] is not None and protocol in ICMP_FAMILY else None,
    )  # fmt: skip
