"""Peering connections → the ways between two VPCs, and what groups of one mean in the other (PCX-05..PCX-10, SG-52..SG-54)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol, TypeVar

from ringfence.model.kinds import GROUP_ASSOCIATION, PEERING_CONNECTION, SECURITY_GROUP, VPC, Kind
from ringfence.model.nouns.peering import PeeringConnection, PeeringStatus
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule
from ringfence.model.row import Row
from ringfence.policy.compile.rows import Rows
from ringfence.policy.compile.security_groups import members_of
from ringfence.policy.ir import Peering, PeerMembers

R = TypeVar("R", bound=Row)


class Looking(Protocol):
    """What is asked of a World, or of one that notes what is read."""

    def find(self, kind: Kind[R], id: str | None) -> R | None: ...
    def by(self, kind: Kind[R], index: str, key: str) -> list[R]: ...


def joining(rows: Looking, one: str, other: str) -> PeeringConnection | None:
    """The active connection between two VPCs; there is at most one (PCX-04)."""
    for row in rows.by(PEERING_CONNECTION, "vpc", one):
        if row.status is PeeringStatus.ACTIVE and row.far_side(one).vpc_id == other:
            return row
    return None


def is_stale(rows: Looking, group: SecurityGroup, rule: SecurityGroupRule) -> bool:
    """Does the rule name a group that is gone, or one of a VPC that no connection joins with this one any more (SG-82)?

    A new connection between the same VPCs ends that (SG-84).
    """
    named = rule.group
    if named is None:
        return False
    if rows.find(SECURITY_GROUP, named.group_id) is None:
        return True
    if named.vpc_id is None or named.vpc_id == group.vpc_id:
        return False
    found = joining(rows, group.vpc_id, named.vpc_id)
    return found is None or not found.same_region


# ---------------------------------------------------------------------- one fragment for each side
def requester_way(rows: Rows, row: PeeringConnection) -> Peering | None:
    """What the requester's VPC sees."""
    return _way(rows, row, row.requester.vpc_id)


def accepter_way(rows: Rows, row: PeeringConnection) -> Peering | None:
    """What the accepter's VPC sees."""
    return _way(rows, row, row.accepter.vpc_id)


def _way(rows: Rows, row: PeeringConnection, near: str) -> Peering | None:
    far = rows.find(VPC, row.far_side(near).vpc_id)
    if row.status is not PeeringStatus.ACTIVE or far is None or rows.find(VPC, near) is None:
        return None
    return Peering(
        peering_id=row.id,
        vpc_id=near,
        far_vpc_id=far.id,
        ipv4=tuple(a.block for a in far.ipv4 if isinstance(a.block, IPv4Network)),
        ipv6=tuple(a.block for a in far.ipv6 if isinstance(a.block, IPv6Network)),
        same_region=row.same_region,
    )


def requester_members(rows: Rows, row: PeeringConnection) -> PeerMembers | None:
    """Groups of the accepter's VPC that the requester's names."""
    return _members(rows, row, row.requester.vpc_id)


def accepter_members(rows: Rows, row: PeeringConnection) -> PeerMembers | None:
    """Groups of the requester's VPC that the accepter's names."""
    return _members(rows, row, row.accepter.vpc_id)


def _members(rows: Rows, row: PeeringConnection, near: str) -> PeerMembers | None:
    if row.status is not PeeringStatus.ACTIVE or not row.same_region:
        return None
    far = row.far_side(near).vpc_id
    named = (members_of(rows, group.id, far) for group in _named(rows, near, far))
    held = sorted((each for each in named if each.ipv4 or each.ipv6), key=lambda each: each.group_id)
    return PeerMembers(peering_id=row.id, vpc_id=near, groups=tuple(held)) if held else None


def _named(rows: Rows, near: str, far: str) -> Iterator[SecurityGroup]:
    """The groups of the far VPC that rules in force in the near one name."""
    for group in rows.by(SECURITY_GROUP, "vpc", far):
        for naming in rows.by(SECURITY_GROUP, "references", group.id):
            here = naming.vpc_id == near or any(
                used.vpc_id == near for used in rows.by(GROUP_ASSOCIATION, "group", naming.id)
            )
            if here:
                yield group
                break
