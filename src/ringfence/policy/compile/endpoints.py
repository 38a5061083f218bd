"""Gateway endpoints → where their services answer (VPE-01, VPE-04, VPE-06)."""

from __future__ import annotations

from ipaddress import IPv4Network

from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.nouns.vpc_endpoint import VpcEndpoint
from ringfence.policy.compile.rows import Rows
from ringfence.policy.ir import Endpoint


def endpoint(rows: Rows, row: VpcEndpoint) -> Endpoint:
    """The service's addresses are those of its list."""
    held = find_list(rows, row.prefix_list_id)
    entries = held.entries if held is not None else ()
    blocks = tuple(entry.cidr for entry in entries if isinstance(entry.cidr, IPv4Network))
    return Endpoint(endpoint_id=row.id, vpc_id=row.vpc_id, blocks=blocks)
