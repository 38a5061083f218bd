"""VPC peering connections between VPCs of the import; one whose other VPC is not in it stays an element that is not modelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from ringfence.insight.imports.draft import Draft, Source
from ringfence.insight.imports.record import Damaged, Record
from ringfence.model.nouns.network import Vpc
from ringfence.model.nouns.peering import PeeringConnection, PeeringSide, PeeringStatus
from ringfence.model.nouns.security_group import SecurityGroup, SecurityGroupRule

LIST = "VpcPeeringConnections"


def connections(draft: Draft) -> None:
    """Both sides may have recorded it, each with tags of its own. After groups, which refer over them."""

    def make(record: Record, source: Source) -> None:
        id = record.element = record.need("VpcPeeringConnectionId")
        row = _row(draft, record, source, id)
        before = draft.find(PeeringConnection, id)
        if before is not None and before.status is not row.status:
            draft.problem(row.requester.vpc_id, id, f"it is recorded as {before.status} and as {row.status}")
        known = [draft.find(Vpc, side.vpc_id) for side in (row.requester, row.accepter)]
        if row.status is PeeringStatus.ACTIVE and None in known:
            draft.notes.not_modelled[id] = "a peering connection with a VPC that is not in the import"
        else:
            draft.put(row)

    draft.each(LIST, None, make)
    _homes(draft)


def _row(draft: Draft, record: Record, source: Source, id: str) -> PeeringConnection:
    status = record.child("Status")
    if status is None:
        raise Damaged(f"{id} has no Status")
    code = status.need("Code")
    if code not in set(PeeringStatus):
        raise Damaged(f"{id} has the unknown status {code}")
    status.ignore("Message")
    sides = [_side(draft, record, name, source) for name in ("RequesterVpcInfo", "AccepterVpcInfo")]
    record.ignore("ExpirationTime")
    return PeeringConnection(
        id=id, owner_id=sides[0].owner_id, region=sides[0].region, tags=record.tags(), requester=sides[0],
        accepter=sides[1], status=PeeringStatus(code), message=code, created=0.0, expires=_never(),
    )  # fmt: skip


def _never() -> float:
    """What is recorded as pending stays so: nothing passes either way."""
    return datetime.max.year * 3.2e7


def _side(draft: Draft, record: Record, name: str, source: Source) -> PeeringSide:
    info = record.child(name)
    if info is None:
        raise Damaged(f"it has no {name}")
    vpc_id = info.need("VpcId")
    vpc: Vpc | None = draft.find(Vpc, vpc_id)
    options = info.child("PeeringOptions")
    resolves = options is not None and options.flag("AllowDnsResolutionFromRemoteVpc")
    if options is not None:
        options.ignore(*options.data)
    info.ignore("CidrBlock", "CidrBlockSet", "Ipv6CidrBlockSet")
    owned: dict[str, Any] = draft.owned(
        info, source, vpc.region if vpc else info.text("Region"), vpc.owner_id if vpc else None
    )
    info.ignore("Region")
    return PeeringSide(vpc_id=vpc_id, owner_id=owned["owner_id"], region=owned["region"], resolve_names=resolves)


def _homes(draft: Draft) -> None:
    """Rules that refer over a connection without saying to which VPC: the group tells (SG-52)."""
    for group in draft.all(SecurityGroup):
        rules = tuple(_with_home(draft, group, rule) for rule in group.rules)
        if rules != group.rules:
            draft.put(replace(group, rules=rules))


def _with_home(draft: Draft, group: SecurityGroup, rule: SecurityGroupRule) -> SecurityGroupRule:
    named = rule.group
    found: SecurityGroup | None = draft.find(SecurityGroup, named.group_id) if named is not None else None
    if named is None or found is None or named.vpc_id is not None or found.vpc_id == group.vpc_id:
        return rule
    return replace(rule, group=replace(named, vpc_id=found.vpc_id))
