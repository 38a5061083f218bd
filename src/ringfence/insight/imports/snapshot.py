"""Our own form of a network: every row of it as JSON, versioned, stable. `ringfence snapshot` writes it."""

from __future__ import annotations

import json
from typing import Any

from ringfence.insight.imports.notes import ImportProblem
from ringfence.model.codec import decoder, encoder
from ringfence.model.kinds import (
    DHCP_OPTIONS,
    ELASTIC_IP,
    GAP,
    GROUP_ASSOCIATION,
    INSTANCE,
    INTERNET_GATEWAY,
    NETWORK_ACL,
    NETWORK_INTERFACE,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SUBNET,
    SUBNET_CIDR_RESERVATION,
    VPC,
    Kind,
)
from ringfence.model.world import World, world_of

FORMAT, VERSION = "ringfence-snapshot", 1
#: what makes a network, and nothing secret: an instance goes without its user data
KINDS: tuple[Kind[Any], ...] = (
    VPC, DHCP_OPTIONS, SUBNET, SUBNET_CIDR_RESERVATION, SECURITY_GROUP, GROUP_ASSOCIATION, NETWORK_ACL, INTERNET_GATEWAY,
    ROUTE_TABLE, INSTANCE, NETWORK_INTERFACE, ELASTIC_IP, GAP,
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
    return world_of(found)


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
