"""Our own form of a network: every row of it as JSON, versioned, stable. `ringfence snapshot` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ringfence.insight.imports.notes import ImportProblem
from ringfence.model.codec import decoder, encoder
from ringfence.model.invariants import usable
from ringfence.model.kinds import (
    DHCP_OPTIONS,
    ELASTIC_IP,
    GAP,
    GROUP_ASSOCIATION,
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    PEERING_CONNECTION,
    PREFIX_LIST,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    SUBNET_CIDR_RESERVATION,
    VPC,
    VPC_ENDPOINT,
    Kind,
)
from ringfence.model.world import World, world_of

FORMAT, VERSION = "ringfence-snapshot", 1
#: what makes a network, and nothing secret: an instance goes without its user data
KINDS: tuple[Kind[Any], ...] = (
    PREFIX_LIST, VPC, DHCP_OPTIONS, SUBNET, SUBNET_CIDR_RESERVATION, SECURITY_GROUP, GROUP_ASSOCIATION, NETWORK_ACL, INTERNET_GATEWAY,
    PEERING_CONNECTION, ROUTE_TABLE, VPC_ENDPOINT, INSTANCE, NETWORK_INTERFACE, ELASTIC_IP, GAP,
)  # fmt: skip
_BY_NOUN = {kind.noun: kind for kind in KINDS}


def of_world(world: World) -> dict[str, Any]:
    """The snapshot of a World: the same for the same rows, in order of creation."""
    rows: dict[str, list[Any]] = {}
    for kind in KINDS:
        row_type: Any = kind.row
        encode = encoder(row_type)
        found = [_public(encode(row)) for row in world.all(kind)]
        if found:
            rows[kind.noun] = found
    return {"format": FORMAT, "version": VERSION, "rows": rows}


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("user_data", "client_token")}


def recognises(document: Any) -> bool:
    """Is it a snapshot, of whichever version?"""
    return isinstance(document, dict) and document.get("format") == FORMAT


def to_world(document: dict[str, Any]) -> World:
    """The World of a snapshot. ImportProblem for one of a newer version, or damaged."""
    if document.get("version") != VERSION:
        raise ImportProblem(f"the snapshot is of version {document.get('version')!r}; this is written for {VERSION}")
    rows = document.get("rows")
    if not isinstance(rows, dict):
        raise ImportProblem("the snapshot has no rows")
    found = []
    for noun, items in rows.items():
        kind = _BY_NOUN.get(noun)
        if kind is None:
            raise ImportProblem(f"the snapshot has rows of an unknown kind {noun!r}")
        found += [(kind, _row(kind, item)) for item in _list(noun, items)]
    names = [(kind.noun, row.id) for kind, row in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ImportProblem(f"the snapshot has {twice[0]} {twice[1]} twice")
    world = world_of(found)
    wrong = next(_dangling(world), None)
    if wrong is not None:
        raise ImportProblem(f"the snapshot is not sound: {wrong}")
    return world


#: what a row names must be there; a VPC with a gap may lack its route table and network ACLs
_NAMED: tuple[tuple[Kind[Any], str, Kind[Any], bool], ...] = (
    (VPC, "main_route_table_id", ROUTE_TABLE, True), (SUBNET, "vpc_id", VPC, False),
    (SUBNET, "network_acl_id", NETWORK_ACL, True), (SECURITY_GROUP, "vpc_id", VPC, False), (NETWORK_ACL, "vpc_id", VPC, False),
    (ROUTE_TABLE, "vpc_id", VPC, False), (VPC_ENDPOINT, "vpc_id", VPC, False),
    (INTERNET_GATEWAY, "vpc_id", VPC, False), (INSTANCE, "vpc_id", VPC, False),
    (INSTANCE, "subnet_id", SUBNET, False), (NETWORK_INTERFACE, "vpc_id", VPC, False),
    (NETWORK_INTERFACE, "subnet_id", SUBNET, False), (GROUP_ASSOCIATION, "group_id", SECURITY_GROUP, False),
    (GROUP_ASSOCIATION, "vpc_id", VPC, False), (ELASTIC_IP, "network_interface_id", NETWORK_INTERFACE, False),
)  # fmt: skip


def _dangling(world: World) -> Iterator[str]:
    """What names something that is not there, or not of the same VPC."""
    for kind, name, there, excused in _NAMED:
        for row in world.all(kind):
            id = getattr(row, name)
            vpc_id = row.id if kind is VPC else getattr(row, "vpc_id", "")
            if id is not None and world.find(there, id) is None and not (excused and world.count(GAP, "vpc", vpc_id)):
                yield f"{row.id} names the {there.noun} {id!r}, which is not in it"
    yield from (
        f"{vpc.id} has no IPv4 block" for vpc in world.all(VPC) if not vpc.ipv4 or vpc.ipv4[0].block.version != 4
    )
    for eni in world.all(NETWORK_INTERFACE):
        if not eni.addresses:
            yield f"{eni.id} has no address"
        groups = [world.find(SECURITY_GROUP, id) for id in eni.groups]
        if not all(group is not None and usable(world, group, eni.vpc_id) for group in groups):
            yield f"{eni.id} carries a group that is not of its VPC"
        if world.get(SUBNET, eni.subnet_id).vpc_id != eni.vpc_id:
            yield f"{eni.id} is not in the VPC of its subnet"


def _list(noun: str, items: Any) -> list[Any]:
    if not isinstance(items, list):
        raise ImportProblem(f"the snapshot's {noun} rows are no list")
    return items


def _row(kind: Kind[Any], item: Any) -> Any:
    try:
        row_type: Any = kind.row
        return decoder(row_type)(item)
    except (ValueError, TypeError, KeyError) as problem:
        id = item.get("id") if isinstance(item, dict) else None
        raise ImportProblem(f"the snapshot's {kind.noun} {id} is damaged: {problem}") from None


def text(world: World) -> str:
    """The snapshot as a file: one row a line, so that versions compare well."""
    body = of_world(world)
    blocks = []
    for noun, rows in body["rows"].items():
        lines = ",\n".join("   " + json.dumps(row, sort_keys=True, separators=(",", ":")) for row in rows)
        blocks.append(f"  {json.dumps(noun)}: [\n{lines}\n  ]")
    inner = ",\n".join(blocks)
    return f'{{"format": "{FORMAT}", "version": {VERSION}, "rows": {{\n{inner}\n}}}}\n'
