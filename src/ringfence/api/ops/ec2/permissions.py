"""IpPermissions and security group rules: from the API's nested lists to single rules, and back.

One API permission with several ranges is several rules, each with an id of its own (SG-46).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from ringfence.api.ops.context import Call, Filled, Form, Params
from ringfence.api.ops.ec2 import peering_views
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import GROUP_ASSOCIATION, PREFIX_LIST, SECURITY_GROUP
from ringfence.model.net import (
    ANY_IPV4,
    ANY_IPV6,
    ICMP_FAMILY,
    PORTED,
    PROTOCOL_NAMES,
    Network,
    Protocol,
    network_text,
    parse_ipv4_network,
    parse_ipv6_network,
    parse_protocol,
    protocol_name,
)
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.security_group import GroupReference, SecurityGroup, SecurityGroupRule
from ringfence.model.row import Tags
from ringfence.model.world import World
from ringfence.policy.compile.peering import joining

_DESCRIPTION = re.compile(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=;{}!$*]{0,255}")  # SG-35: no `&`


@dataclass(frozen=True, slots=True)
class Service:
    """What a rule admits: protocol number and ports, or ICMP type and code (-1 = all)."""

    protocol: int
    from_port: int
    to_port: int


def parse_service(protocol_text: str | None, from_port: int | None, to_port: int | None) -> Service:
    """Protocol and ports of a permission. ApiError when they do not fit together (SG-38..SG-42)."""
    if protocol_text is None:
        raise fault(
            "InvalidParameterValue",
            message="Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
        )
    try:
        protocol = parse_protocol(protocol_text)
    except ValueError:
        raise fault(
            "InvalidParameterValue",
            message=f"Invalid value '{protocol_text}' for IP protocol. Unknown protocol.",
        ) from None
    if protocol in PORTED:
        return _ports(protocol, from_port, to_port)
    if protocol in ICMP_FAMILY:
        return _icmp(protocol, from_port, to_port)
    return Service(protocol, -1, -1)  # SG-40: ports are ignored


def _ports(protocol: int, first: int | None, last: int | None) -> Service:
    if first is None or last is None:
        raise fault(
            "InvalidParameterValue",
            message="Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
        )
    for port in (first, last):
        if not 0 <= port <= 65535:
            raise fault("InvalidParameterValue", message=f"TCP/UDP port ({port}) out of range")
    if first > last:
        raise fault("InvalidParameterValue", message=f"Invalid TCP/UDP port range ({first}:{last})")
    return Service(protocol, first, last)


def _icmp(protocol: int, icmp_type: int | None, code: int | None) -> Service:
    if icmp_type is None:
        raise fault("InvalidParameterValue", message="Invalid value 'Must specify the ICMP type.' for icmpType.")
    for name, value in (("type", icmp_type), ("code", -1 if code is None else code)):
        if not -1 <= value <= 255:
            raise fault("InvalidParameterValue", message=f"ICMP {name} ({value}) out of range")
    return Service(protocol, icmp_type, -1 if icmp_type == -1 or code is None else code)


def parse_description(text: str | None) -> str | None:
    """A rule description, or None. ApiError when it is too long or has a forbidden character (SG-35)."""
    if text is None or text == "":
        return None
    if not _DESCRIPTION.fullmatch(text):
        raise fault(
            "InvalidParameterValue",
            message="Invalid rule description. Valid descriptions are strings less than 256 characters from the "
            "following set:  a-zA-Z0-9. _-:/()#,@[]+=;{}!$*",
        )
    return text


def parse_cidr(text: str, *, ipv6: bool) -> Network:
    """A canonical block (SG-36). ApiError when malformed (SG-38)."""
    try:
        return parse_ipv6_network(text) if ipv6 else parse_ipv4_network(text)
    except ValueError:
        raise fault("InvalidParameterValue", message=f"CIDR block {text} is malformed") from None


class PermissionParser:
    """Turns the permissions of one call into rules without ids.

    `strict` (Authorize, Modify): a referenced group must exist in the group's VPC; Revoke and Update match what is
    stored, so a reference to a group that is gone is fine there.
    """

    def __init__(self, call: Call, world: World, group: SecurityGroup, *, egress: bool, strict: bool) -> None:
        self.call, self.world, self.group, self.egress, self.strict = call, world, group, egress, strict

    def parse(self, params: Params) -> list[SecurityGroupRule]:
        """All rules the call names, in its order; from IpPermissions or the flat parameters, never both."""
        flat = _FLAT & {name for name, value in params.items() if value is not None}
        permissions = params.get("IpPermissions")
        if permissions and flat:
            raise fault(
                "InvalidParameterCombination",
                message="The parameter ipPermissions may not be used in combination with " + ", ".join(sorted(flat)),
            )
        if permissions:
            return [rule for permission in permissions for rule in self._permission(permission)]
        if flat:
            return list(self._flat(params))
        raise fault("MissingParameter", name="ipPermissions")

    def _permission(self, permission: Params) -> list[SecurityGroupRule]:
        service = parse_service(permission.get("IpProtocol"), permission.get("FromPort"), permission.get("ToPort"))
        rules = list(self._peers(permission, service))
        if not rules:
            raise fault("MissingParameter", name="ipRanges")
        return rules

    def _peers(self, permission: Params, service: Service) -> Iterator[SecurityGroupRule]:
        for item in permission.get("IpRanges") or ():
            yield self._rule(item, service, cidr=parse_cidr(_need(item, "CidrIp"), ipv6=False))
        for item in permission.get("Ipv6Ranges") or ():
            yield self._rule(item, service, cidr=parse_cidr(_need(item, "CidrIpv6"), ipv6=True))
        for item in permission.get("PrefixListIds") or ():
            yield self._rule(item, service, prefix_list_id=self.prefix_list(_need(item, "PrefixListId")))
        for item in permission.get("UserIdGroupPairs") or ():
            yield self._rule(item, service, group=self.reference(item))

    def _rule(self, item: Params, service: Service, **peer: Any) -> SecurityGroupRule:
        description = parse_description(item.get("Description"))
        return SecurityGroupRule(
            id="", egress=self.egress, protocol=service.protocol, from_port=service.from_port,
            to_port=service.to_port, description=description, **peer,
        )  # fmt: skip

    def _flat(self, params: Params) -> Iterator[SecurityGroupRule]:
        if params.get("SourceSecurityGroupName") is not None:
            if {"CidrIp", "IpProtocol", "FromPort", "ToPort"} & {n for n, v in params.items() if v is not None}:
                raise fault(
                    "InvalidParameterCombination",
                    message="A source group cannot be combined with a protocol, ports or a CIDR; use ipPermissions",
                )
            owner = params.get("SourceSecurityGroupOwnerId")
            reference = self.reference({"GroupName": params["SourceSecurityGroupName"], "UserId": owner})
            for service in _SOURCE_GROUP_SERVICES:  # SG-44
                yield self._rule({}, service, group=reference)
            return
        if str(params.get("IpProtocol") or "").lower() in {"icmpv6", "58"}:  # SG-43
            raise fault(
                "InvalidParameterValue",
                message="Invalid value 'icmpv6' for IP protocol. Use ipPermissions to specify ICMPv6 rules.",
            )
        service = parse_service(params.get("IpProtocol"), params.get("FromPort"), params.get("ToPort"))
        if params.get("CidrIp") is None:
            raise fault("MissingParameter", name="CidrIp")
        yield self._rule({}, service, cidr=parse_cidr(params["CidrIp"], ipv6=False))

    def prefix_list(self, id: str) -> str:
        """A prefix list that the caller may see (PL-13), where a rule is made; any, where one is matched."""
        return self.call.get(self.world, PREFIX_LIST, id).id if self.strict else id

    def reference(self, item: Params) -> GroupReference:
        """The group a permission names: by id, `account/sg-id` (SG-52) or, in the default VPC, by name."""
        id, owner = item.get("GroupId"), item.get("UserId")
        if id and "/" in id:
            owner, _, id = id.partition("/")
        if not id:
            return self._named(item.get("GroupName"))
        if not self.strict:
            return GroupReference(group_id=id, owner_id=owner or self.call.account_id)
        return self._existing(id, owner, item.get("VpcPeeringConnectionId"))

    def _existing(self, id: str, owner: str | None, over: str | None) -> GroupReference:
        """A group of a VPC shared with this one's (SG-70), or of a peer VPC; `over`: the connection, if it was named."""
        connection = peering_views.find(self.call, self.world, over) if over else None
        target = self.world.get(SECURITY_GROUP, id)
        if (owner or self.call.account_id) != target.owner_id:
            raise self._elsewhere(id)
        if connection is None and self._share_a_vpc(target):
            home = target.vpc_id if target.vpc_id != self.group.vpc_id else None
            return GroupReference(group_id=target.id, owner_id=target.owner_id, vpc_id=home)
        found = joining(self.world, self.group.vpc_id, target.vpc_id)
        if found is None or not found.same_region or (connection is not None and connection.id != found.id):
            raise self._elsewhere(id)
        return GroupReference(
            group_id=target.id, owner_id=target.owner_id, vpc_id=target.vpc_id, peering_connection_id=found.id
        )

    @staticmethod
    def _elsewhere(id: str) -> ApiError:
        """AWS: another VPC's group needs an active peering connection in the Region (SG-53, SG-54) or an association (SG-70)."""
        text = f"You have specified two resources that belong to different networks: {id}"
        return fault("InvalidGroup.NotFound", message=text)

    def _share_a_vpc(self, target: SecurityGroup) -> bool:
        """Is there a VPC in which interfaces may carry both groups (SG-70)?"""
        return bool(vpcs_of(self.world, self.group) & vpcs_of(self.world, target))

    def _named(self, name: str | None) -> GroupReference:
        if not name:
            raise fault("MissingParameter", name="groupId")
        found = self.world.by(SECURITY_GROUP, "name", f"{self.group.vpc_id}/{name.lower()}")
        if not found:
            raise fault("InvalidGroup.NotFound", id=name)
        return GroupReference(group_id=found[0].id, owner_id=found[0].owner_id)


def vpcs_of(world: World, group: SecurityGroup) -> set[str]:
    """The VPCs whose interfaces may carry the group: its own and those associated with it (SG-12, SG-70)."""
    return {group.vpc_id, *(row.vpc_id for row in world.by(GROUP_ASSOCIATION, "group", group.id))}


_FLAT = {
    "CidrIp", "FromPort", "ToPort", "IpProtocol", "SourceSecurityGroupName", "SourceSecurityGroupOwnerId",
}  # fmt: skip
_SOURCE_GROUP_SERVICES = (Service(6, 0, 65535), Service(17, 0, 65535), Service(1, -1, -1))


def _need(item: Params, name: str) -> str:
    value = item.get(name)
    if not value:
        raise fault("MissingParameter", name=name)
    return str(value)


def new_rule(call: Call, rule: SecurityGroupRule, tags: Tags = ()) -> SecurityGroupRule:
    """The rule with an id of its own (SG-45)."""
    return SecurityGroupRule(
        id=call.ids.new("sgr-"), egress=rule.egress, protocol=rule.protocol, from_port=rule.from_port,
        to_port=rule.to_port, cidr=rule.cidr, prefix_list_id=rule.prefix_list_id, group=rule.group,
        description=rule.description, tags=tags,
    )  # fmt: skip


def open_egress(call: Call, vpc: Vpc) -> tuple[SecurityGroupRule, ...]:
    """The egress rules of a new group: all to 0.0.0.0/0, and to ::/0 if the VPC has an IPv6 block (SG-03)."""
    blocks = (ANY_IPV4, ANY_IPV6) if vpc.ipv6 else (ANY_IPV4,)
    return tuple(
        SecurityGroupRule(
            id=call.ids.new("sgr-"), egress=True, protocol=Protocol.ALL, from_port=-1, to_port=-1, cidr=block
        )
        for block in blocks
    )


def duplicate(rule: SecurityGroupRule) -> ApiError:
    """InvalidPermission.Duplicate that names the rule as AWS does."""
    name = PROTOCOL_NAMES.get(rule.protocol, str(rule.protocol))
    service = "ALL" if rule.protocol == Protocol.ALL else name.upper()
    ports = f", from port: {rule.from_port}, to port: {rule.to_port}" if rule.protocol in PORTED else ""
    return fault("InvalidPermission.Duplicate", rule=f"peer: {peer_text(rule)}, {service}{ports}, ALLOW")


def peer_text(rule: SecurityGroupRule) -> str:
    return str(rule.cidr or rule.prefix_list_id or (rule.group and rule.group.group_id))


# ---------------------------------------------------------------------- back to the API
def permission_list(rules: Iterable[SecurityGroupRule]) -> list[dict[str, Any]]:
    """IpPermissions: rules of the same protocol and ports are shown as one permission with several peers."""
    grouped: dict[tuple[int, int, int], dict[str, Any]] = {}
    for rule in rules:
        service = (rule.protocol, rule.from_port, rule.to_port)
        permission = grouped.get(service)
        if permission is None:
            permission = grouped[service] = _empty_permission(*service)
        name, peer = _peer_view(rule)
        permission[name].append(peer)
    return list(grouped.values())


_SHOWS_PORTS = frozenset(int(protocol) for protocol in PORTED | ICMP_FAMILY)


def _empty_permission(protocol: int, from_port: int, to_port: int) -> dict[str, Any]:
    peers: dict[str, Any] = {"UserIdGroupPairs": [], "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": []}
    name = protocol_name(protocol)
    if protocol not in _SHOWS_PORTS:
        return {"IpProtocol": name, **peers}
    return {"IpProtocol": name, "FromPort": from_port, "ToPort": to_port, **peers}


_PORTED_IPV4 = Form(
    4,
    lambda protocol, from_port, to_port, cidr: {
        "IpProtocol": protocol, "FromPort": from_port, "ToPort": to_port, "UserIdGroupPairs": [],
        "IpRanges": [{"CidrIp": cidr}], "Ipv6Ranges": [], "PrefixListIds": [],
    },
)  # fmt: skip


def permission_forms(rules: Iterable[SecurityGroupRule]) -> list[Params | Filled]:
    """`permission_list`, to be shown only: the commonest permission, of one IPv4 block alone, as a form."""
    rules = list(rules)
    if len({(rule.protocol, rule.from_port, rule.to_port) for rule in rules}) == len(rules):  # as nearly always
        return [_single(rule) for rule in rules]
    grouped: dict[tuple[int, int, int], list[SecurityGroupRule]] = {}
    for rule in rules:
        grouped.setdefault((rule.protocol, rule.from_port, rule.to_port), []).append(rule)
    return [_single(held[0]) if len(held) == 1 else permission_list(held)[0] for held in grouped.values()]


def _single(rule: SecurityGroupRule) -> Params | Filled:
    cidr = rule.cidr
    if type(cidr) is not IPv4Network or rule.description is not None or rule.protocol not in _SHOWS_PORTS:
        return permission_list((rule,))[0]
    return Filled(_PORTED_IPV4, (PROTOCOL_NAMES[rule.protocol], rule.from_port, rule.to_port, network_text(cidr)))


def _peer_view(rule: SecurityGroupRule) -> tuple[str, dict[str, Any]]:
    if rule.group is not None:
        name, peer = "UserIdGroupPairs", group_pair(rule.group)
    elif rule.prefix_list_id is not None:
        name, peer = "PrefixListIds", {"PrefixListId": rule.prefix_list_id}
    else:
        assert rule.cidr is not None
        text = network_text(rule.cidr)
        name, peer = ("IpRanges", {"CidrIp": text}) if rule.cidr.version == 4 else ("Ipv6Ranges", {"CidrIpv6": text})
    if rule.description is not None:
        peer = {"Description": rule.description, **peer}
    return name, peer


def group_pair(group: GroupReference) -> dict[str, Any]:
    out = {"GroupId": group.group_id, "UserId": group.owner_id}
    if group.vpc_id is not None:
        out["VpcId"] = group.vpc_id
    if group.peering_connection_id is not None:
        out["VpcPeeringConnectionId"] = group.peering_connection_id
    return out
