"""Security groups → groups of allow rules and their members (SG-63..SG-81, CT-03)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from ringfence.model.aws_prefix_lists import Finder, find_list
from ringfence.model.kinds import NETWORK_INTERFACE, SECURITY_GROUP
from ringfence.model.net import ICMP_FAMILY, PORTED, PortRange, Protocol
from ringfence.model.nouns.security_group import GroupAssociation, SecurityGroup, SecurityGroupRule
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Allow, Group, GroupMembers, Match, Opening, Unread


def group(rows: Rows, row: SecurityGroup) -> Group:
    """A group's rules of both directions."""
    return _used_in(rows, row, row.vpc_id)


def _used_in(rows: Rows, row: SecurityGroup, vpc_id: str) -> Group:
    """The rules as a VPC uses them: it decides whose members a rule may mean besides its own."""
    homes = {rule.id: _home(rule, row.vpc_id, vpc_id) for rule in row.rules if rule.group is not None}
    ingress = tuple(allow for rule in row.ingress_rules for allow in _allows(rows, rule, homes))
    egress = tuple(allow for rule in row.egress_rules for allow in _allows(rows, rule, homes))
    return Group(
        group_id=row.id,
        vpc_id=vpc_id,
        ingress=ingress,
        egress=egress,
        opens_ingress=_opening(ingress),
        opens_egress=_opening(egress),
        unread=tuple(
            Unread(list_id=rule.prefix_list_id, egress=rule.egress, match=_match(rule))
            for rule in row.rules
            if rule.prefix_list_id is not None and find_list(rows, rule.prefix_list_id) is None
        ),
    )


def _allows(rows: Finder, rule: SecurityGroupRule, homes: Mapping[str, str | None]) -> Iterator[Allow]:
    """What a rule allows: one for each entry of the prefix list it names (PL-08, SG-77).

    A list that does not exist matches nothing (SG-87); one whose entries are not known has its place in `Group.unread`.
    """
    match = _match(rule, homes.get(rule.id))
    if rule.prefix_list_id is None:
        yield Allow(rule_id=rule.id, match=match, wide=rule.cidr is not None and rule.cidr.prefixlen == 0)
        return
    held = find_list(rows, rule.prefix_list_id)
    for entry in held.entries if held is not None else ():  # a thousand, maybe: nothing is worked out twice
        block = Match(
            family=entry.cidr.version, remote=entry.cidr, protocol=match.protocol, ports=match.ports,
            icmp_type=match.icmp_type, icmp_code=match.icmp_code,
        )  # fmt: skip
        yield Allow(rule_id=rule.id, match=block, wide=entry.cidr.prefixlen == 0)


def _home(rule: SecurityGroupRule, own: str, vpc_id: str) -> str | None:
    """The VPC of the group that a rule names, if it is another: then a peer's (SG-52, PCX-09)."""
    named = (rule.group.vpc_id if rule.group is not None else None) or own
    return named if named != vpc_id else None


def _match(rule: SecurityGroupRule, peer: str | None = None) -> Match:
    ports = icmp_type = icmp_code = None
    if rule.protocol in PORTED:
        ports = PortRange(rule.from_port, rule.to_port)
    elif rule.protocol in ICMP_FAMILY:
        icmp_type = None if rule.from_port == -1 else rule.from_port
        icmp_code = None if rule.to_port == -1 or icmp_type is None else rule.to_port
    return Match(
        family=rule.cidr.version if rule.cidr is not None else None,
        remote=rule.cidr,
        group=rule.group.group_id if rule.group is not None else None,
        peer=peer,
        protocol=None if rule.protocol == Protocol.ALL else rule.protocol,
        ports=ports,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
    )


def _opening(allows: Iterable[Allow]) -> Opening:
    """The (family, protocol) pairs that rules open to everyone on all ports (CT-03)."""
    pairs: set[tuple[int, int]] = set()
    for allow in allows:
        family, protocol = allow.match.family, allow.match.protocol
        if not allow.wide or family is None:
            continue
        if protocol is None:
            pairs |= {(family, ported) for ported in PORTED}
        elif protocol in PORTED and allow.match.ports == _ALL_PORTS:
            pairs.add((family, protocol))
    return Opening(pairs=frozenset(pairs))


_ALL_PORTS = PortRange(0, 65535)


def members(rows: Rows, row: SecurityGroup) -> GroupMembers:
    """The private addresses of the interfaces of the group's VPC that carry it (SG-67, SG-76)."""
    return members_of(rows, row.id, row.vpc_id)


def members_of(rows: Rows, group_id: str, vpc_id: str) -> GroupMembers:
    """The members of one VPC only: another VPC may have the same addresses."""
    ipv4: list[IPv4Address] = []
    ipv6: list[IPv6Address] = []
    for eni in rows.by(NETWORK_INTERFACE, "group", group_id):
        if eni.vpc_id == vpc_id:
            ipv4 += eni.addresses
            ipv6 += eni.ipv6
    return GroupMembers(group_id=group_id, vpc_id=vpc_id, ipv4=tuple(sorted(ipv4)), ipv6=tuple(sorted(ipv6)))


# ---------------------------------------------------------------------- in associated VPCs
def associated_group(rows: Rows, row: GroupAssociation) -> Group:
    """The group's rules in a VPC associated with it (SG-70)."""
    return replace(_used_in(rows, rows.get(SECURITY_GROUP, row.group_id), row.vpc_id), associated=True)


def associated_members(rows: Rows, row: GroupAssociation) -> GroupMembers:
    """The group's members in a VPC associated with it (SG-67, SG-70)."""
    return replace(members_of(rows, row.group_id, row.vpc_id), associated=True)
