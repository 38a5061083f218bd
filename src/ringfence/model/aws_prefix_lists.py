"""The prefix lists that AWS manages (Amazon VPC User Guide: "AWS-managed prefix lists"; PL-10).

They belong to the installation, not to an account, and never change: no rows. Of the services that have one only
Amazon S3 is served. Their ids are none of AWS's own, so that the list of an imported network is never taken for one of these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Protocol

from ringfence.model.endpoints import S3_BLOCKS
from ringfence.model.kinds import PREFIX_LIST, Kind
from ringfence.model.nouns.prefix_list import AWS, PrefixList, PrefixListEntry


class Finder(Protocol):
    """A World, or what reads one."""

    def find(self, kind: Kind[PrefixList], id: str | None) -> PrefixList | None: ...


def service_name(region: str, service: str) -> str:
    """`com.amazonaws.us-east-1.s3`: the name of a service for endpoints, and of its list."""
    return f"com.amazonaws.{region}.{service}"


def _list(region: str) -> PrefixList:
    name = service_name(region, "s3")
    return PrefixList(
        id=f"pl-{hashlib.sha256(name.encode()).hexdigest()[:17]}", owner_id=AWS, region=region, name=name, family=4,
        max_entries=1, entries=(PrefixListEntry(cidr=S3_BLOCKS[region]),),
    )  # fmt: skip


#: id -> list
AWS_LISTS: Mapping[str, PrefixList] = {made.id: made for made in map(_list, S3_BLOCKS)}
_BY_NAME: Mapping[str, PrefixList] = {made.name: made for made in AWS_LISTS.values()}


def service_list(region: str, service: str) -> PrefixList | None:
    """The list of a service's addresses in a Region; None when it has none here."""
    return _BY_NAME.get(service_name(region, service))


def find_list(rows: Finder, id: str | None) -> PrefixList | None:
    """A list by its id: a customer's, an imported one, or one of AWS's."""
    return rows.find(PREFIX_LIST, id) or AWS_LISTS.get(id or "")
