"""Network ACLs: the API (Amazon VPC User Guide: "Network ACLs"; spec ACL-01..ACL-28)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ringfence.api.ops.context import Call, Outcome, Params
from ringfence.api.ops.describe import Values, describe
from ringfence.api.ops.ec2.permissions import parse_cidr
from ringfence.api.ops.registry import operation
from ringfence.api.ops.tagging import tag_list, tags_on_create
from ringfence.model.errors import fault
from ringfence.model.kinds import NETWORK_ACL, SUBNET, VPC
from ringfence.model.net import ANY_IPV4, ANY_IPV6, PORTED, Network, PortRange, Protocol, parse_protocol
from ringfence.model.nouns.network import Subnet
from ringfence.model.nouns.network_acl import FINAL_RULE_IPV4, FINAL_RULE_IPV6, NetworkAcl, NetworkAclEntry
from ringfence.model.world import World, delete, put


# ---------------------------------------------------------------------- view
def _entry_view(entry: NetworkAclEntry) -> dict[str, Any]:
    out: dict[str, Any] = {
        "RuleNumber": entry.number,
        "Protocol": str(entry.protocol),
        "RuleAction": "allow" if entry.allow else "deny",
        "Egress": entry.egress,
        "CidrBlock" if entry.cidr.version == 4 else "Ipv6CidrBlock": str(entry.cidr),
    }
    if entry.ports is not None:
        out["PortRange"] = {"From": entry.ports.first, "To": entry.ports.last}
    if entry.icmp is not None:
        out["IcmpTypeCode"] = {"Type": entry.icmp[0], "Code": entry.icmp[1]}
    return out


def _shown_entries(world: World, acl: NetworkAcl) -> list[NetworkAclEntry]:
    """Stored entries and the final denies that AWS shows: 32767, and 32768 if the VPC has IPv6 (ACL-03, ACL-06)."""
    vpc = world.find(VPC, acl.vpc_id)
    finals: list[tuple[int, Network]] = [(FINAL_RULE_IPV4, ANY_IPV4)]
    if vpc is not None and vpc.ipv6:
        finals.append((FINAL_RULE_IPV6, ANY_IPV6))
    shown: list[NetworkAclEntry] = []
    for egress in (True, False):
        shown.extend(sorted((e for e in acl.entries if e.egress is egress), key=lambda e: e.number))
        shown.extend(
            NetworkAclEntry(number=number, egress=egress, protocol=Protocol.ALL, allow=False, cidr=cidr)
            for number, cidr in finals
        )
    return shown


def _association(subnet: Subnet) -> dict[str, str]:
    return {
        "NetworkAclAssociationId": subnet.network_acl_association_id,
        "NetworkAclId": subnet.network_acl_id,
        "SubnetId": subnet.id,
    }


def _view(world: World, acl: NetworkAcl) -> Params:
    return {
        "NetworkAclId": acl.id,
        "VpcId": acl.vpc_id,
        "OwnerId": acl.owner_id,
        "IsDefault": acl.is_default,
        "Entries": [_entry_view(entry) for entry in _shown_entries(world, acl)],
        "Associations": [_association(subnet) for subnet in world.by(SUBNET, "acl", acl.id)],
        "Tags": tag_list(acl.tags),
    }


def _of_entries(value: Callable[[NetworkAclEntry], Any]) -> Values:
    def values(world: World, acl: NetworkAcl) -> Iterable[Any]:
        return (value(entry) for entry in _shown_entries(world, acl))

    return values


def _of_subnets(value: Callable[[Subnet], Any]) -> Values:
    def values(world: World, acl: NetworkAcl) -> Iterable[Any]:
        return (value(subnet) for subnet in world.by(SUBNET, "acl", acl.id))

    return values


_PROTOCOL_FILTER = {6: "tcp", 17: "udp", 1: "icmp"}

describe(
    "ec2:DescribeNetworkAcls",
    NETWORK_ACL,
    ids="NetworkAclIds",
    result="NetworkAcls",
    view=_view,
    indexed={"vpc-id": "vpc"},
    filters={
        "network-acl-id": lambda _, acl: (acl.id,),
        "vpc-id": lambda _, acl: (acl.vpc_id,),
        "owner-id": lambda _, acl: (acl.owner_id,),
        "default": lambda _, acl: (acl.is_default,),
        "association.association-id": _of_subnets(lambda subnet: subnet.network_acl_association_id),
        "association.network-acl-id": _of_subnets(lambda subnet: subnet.network_acl_id),
        "association.subnet-id": _of_subnets(lambda subnet: subnet.id),
        "entry.cidr": _of_entries(lambda entry: str(entry.cidr) if entry.cidr.version == 4 else None),
        "entry.ipv6-cidr": _of_entries(lambda entry: str(entry.cidr) if entry.cidr.version == 6 else None),
        "entry.egress": _of_entries(lambda entry: entry.egress),
        "entry.icmp.type": _of_entries(lambda entry: entry.icmp[0] if entry.icmp else None),
        "entry.icmp.code": _of_entries(lambda entry: entry.icmp[1] if entry.icmp else None),
        "entry.port-range.from": _of_entries(lambda entry: entry.ports.first if entry.ports else None),
        "entry.port-range.to": _of_entries(lambda entry: entry.ports.last if entry.ports else None),
        "entry.protocol": lambda world, acl: (
            text
            for entry in _shown_entries(world, acl)
            for text in (str(entry.protocol), _PROTOCOL_FILTER.get(entry.protocol))
        ),
        "entry.rule-action": _of_entries(lambda entry: "allow" if entry.allow else "deny"),
        "entry.rule-number": _of_entries(lambda entry: entry.number),
    },
)


# ---------------------------------------------------------------------- ACLs
@operation("ec2:CreateNetworkAcl")
def create_network_acl(call: Call, world: World, params: Params) -> Outcome:
    """A custom ACL denies everything until entries are added (ACL-05, ACL-19)."""
    vpc = call.get(world, VPC, params["VpcId"])
    call.check_quota("network-acls-per-vpc", world.count(NETWORK_ACL, "vpc", vpc.id) + 1)
    acl = NetworkAcl(
        id=call.ids.new("acl-"),
        **call.owned(),
        tags=tags_on_create(call, params, NETWORK_ACL),
        vpc_id=vpc.id,
        ingress_unmodified=False,
        egress_unmodified=False,
    )
    change = put(NETWORK_ACL, acl)
    reply: dict[str, Any] = {"NetworkAcl": _view(world.apply(change), acl)}
    if params.get("ClientToken"):
        reply["ClientToken"] = params["ClientToken"]
    return Outcome(reply, change)


@operation("ec2:DeleteNetworkAcl")
def delete_network_acl(call: Call, world: World, params: Params) -> Outcome:
    """ACL-25."""
    acl = call.get(world, NETWORK_ACL, params["NetworkAclId"])
    if acl.is_default:
        raise fault("InvalidParameterValue", message=f"cannot delete default network ACL {acl.id}")
    if world.count(SUBNET, "acl", acl.id):
        raise fault(
            "DependencyViolation",
            message=f"The network ACL '{acl.id}' has dependencies and cannot be deleted.",
        )
    return Outcome({}, delete(NETWORK_ACL, acl.id))


@operation("ec2:ReplaceNetworkAclAssociation")
def replace_network_acl_association(call: Call, world: World, params: Params) -> Outcome:
    """Moves a subnet to another ACL of its VPC; asked again, it changes nothing (ACL-21, ACL-22, ACL-24)."""
    id = params["AssociationId"]
    subnet = next((s for s in call.mine(world, SUBNET) if s.network_acl_association_id == id), None)
    if subnet is None:
        raise fault("InvalidAssociationID.NotFound", id=id)
    acl = call.get(world, NETWORK_ACL, params["NetworkAclId"])
    if acl.vpc_id != subnet.vpc_id:
        raise fault(
            "InvalidParameterValue",
            message=f"The networkAcl '{acl.id}' and subnet '{subnet.id}' belong to different networks.",
        )
    if subnet.network_acl_id == acl.id:
        return Outcome({"NewAssociationId": id})
    new_id = call.ids.new("aclassoc-")
    moved = replace(subnet, network_acl_id=acl.id, network_acl_association_id=new_id)
    return Outcome({"NewAssociationId": new_id}, put(SUBNET, moved))


# ---------------------------------------------------------------------- entries
@operation("ec2:CreateNetworkAclEntry")
def create_network_acl_entry(call: Call, world: World, params: Params) -> Outcome:
    """ACL-07..ACL-09, ACL-12..ACL-18."""
    acl = call.get(world, NETWORK_ACL, params["NetworkAclId"])
    entry = _parse_entry(params)
    if _find(acl, entry.number, entry.egress):
        raise fault("NetworkAclEntryAlreadyExists", number=entry.number)
    family = [e for e in acl.entries if e.egress is entry.egress and e.cidr.version == entry.cidr.version]
    call.check_quota("rules-per-network-acl", len(family) + 1)  # ACL-18, D-12: per direction and family
    return Outcome({}, put(NETWORK_ACL, _with_entries(acl, (*acl.entries, entry), entry.egress)))


@operation("ec2:ReplaceNetworkAclEntry")
def replace_network_acl_entry(call: Call, world: World, params: Params) -> Outcome:
    """ACL-10."""
    acl = call.get(world, NETWORK_ACL, params["NetworkAclId"])
    entry = _parse_entry(params)
    old = _find(acl, entry.number, entry.egress)
    if old is None:
        raise fault("InvalidNetworkAclEntry.NotFound", number=entry.number)
    entries = tuple(entry if e is old else e for e in acl.entries)
    return Outcome({}, put(NETWORK_ACL, _with_entries(acl, entries, entry.egress)))


@operation("ec2:DeleteNetworkAclEntry")
def delete_network_acl_entry(call: Call, world: World, params: Params) -> Outcome:
    """ACL-11. The final deny cannot be removed (ACL-06)."""
    acl = call.get(world, NETWORK_ACL, params["NetworkAclId"])
    egress, number = bool(params.get("Egress")), params["RuleNumber"]
    old = _find(acl, _rule_number(number), egress)
    if old is None:
        raise fault("InvalidNetworkAclEntry.NotFound", number=number)
    entries = tuple(e for e in acl.entries if e is not old)
    return Outcome({}, put(NETWORK_ACL, _with_entries(acl, entries, egress)))


def _find(acl: NetworkAcl, number: int, egress: bool) -> NetworkAclEntry | None:
    return next((e for e in acl.entries if e.number == number and e.egress is egress), None)


def _with_entries(acl: NetworkAcl, entries: tuple[NetworkAclEntry, ...], egress: bool) -> NetworkAcl:
    """The ACL with these entries; the touched direction no longer counts as unmodified (ACL-04, D-19)."""
    return replace(
        acl,
        entries=entries,
        ingress_unmodified=acl.ingress_unmodified and egress,
        egress_unmodified=acl.egress_unmodified and not egress,
    )


def _rule_number(number: int) -> int:
    if not 1 <= number <= 32766:  # ACL-07
        raise fault(
            "InvalidParameterValue",
            message=f"Invalid value '{number}' for ruleNumber. Rule numbers are 1 to 32766.",
        )
    return number


def _parse_entry(params: Params) -> NetworkAclEntry:
    number = _rule_number(params["RuleNumber"])
    protocol, cidr = _protocol(params["Protocol"]), _cidr(params)
    return NetworkAclEntry(
        number=number,
        egress=bool(params.get("Egress")),
        protocol=protocol,
        allow=params["RuleAction"] == "allow",
        cidr=cidr,
        ports=_port_range(params) if protocol in PORTED else None,
        icmp=_icmp(params, protocol, cidr) if protocol in (Protocol.ICMP, Protocol.ICMPV6) else None,
    )


def _protocol(text: str) -> int:
    try:
        return parse_protocol(text)
    except ValueError:
        raise fault(
            "InvalidParameterValue", message=f"Invalid value '{text}' for IP protocol. Unknown protocol."
        ) from None


def _cidr(params: Params) -> Network:
    """Exactly one of CidrBlock and Ipv6CidrBlock (ACL-12), canonical (ACL-16)."""
    ipv4, ipv6 = params.get("CidrBlock"), params.get("Ipv6CidrBlock")
    if bool(ipv4) == bool(ipv6):
        if ipv4:
            raise fault(
                "InvalidParameterCombination",
                message="The parameters CidrBlock and Ipv6CidrBlock cannot be used together",
            )
        raise fault("MissingParameter", message="Either 'cidrBlock' or 'ipv6CidrBlock' should be provided.")
    return parse_cidr(str(ipv6 or ipv4), ipv6=bool(ipv6))


def _port_range(params: Params) -> PortRange:
    given = params.get("PortRange") or {}
    first, last = given.get("From"), given.get("To")
    if first is None or last is None:  # ACL-13
        raise fault("MissingParameter", name="PortRange")
    try:
        return PortRange(first, last)
    except ValueError:
        raise fault("InvalidParameterValue", message=f"Invalid TCP/UDP port range ({first}:{last})") from None


def _icmp(params: Params, protocol: int, cidr: Network) -> tuple[int, int]:
    if protocol == Protocol.ICMPV6 and cidr.version == 4:
        return (-1, -1)  # ACL-15: all types, whatever is given
    given = params.get("IcmpTypeCode") or {}
    icmp_type, code = given.get("Type"), given.get("Code")
    if icmp_type is None or code is None:  # ACL-13
        raise fault("MissingParameter", name="Icmp.Type" if icmp_type is None else "Icmp.Code")
    if not (-1 <= icmp_type <= 255 and -1 <= code <= 255):
        raise fault("InvalidParameterValue", message=f"ICMP type/code ({icmp_type}/{code}) out of range")
    return (icmp_type, -1 if icmp_type == -1 else code)
