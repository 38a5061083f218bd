"""Managed prefix lists (Amazon VPC User Guide: "Consolidate and manage network CIDR blocks with managed prefix lists")."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.net import Network
from ringfence.model.row import Row

#: the owner of the lists that AWS manages (PL-10)
AWS = "AWS"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixListEntry:
    """One block of a list, host bits zero."""

    cidr: Network
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixList(Row):
    """A list of blocks of one family (PL-01). INVARIANT: no block twice; at most `max_entries` of them.

    `entries` are those of the newest version, which is what rules and routes mean (PL-08). Lists of AWS have no version
    that could be seen.
    """

    name: str
    family: int  # 4 or 6
    max_entries: int
    entries: tuple[PrefixListEntry, ...] = ()
    version: int = 1
    state: str = "create-complete"  # create-in-progress create-complete create-failed modify-... restore-... delete-...
    state_message: str | None = None

    @property
    def of_aws(self) -> bool:
        return self.owner_id == AWS


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixListVersion(Row):
    """What a list held in an earlier version (PL-03, PL-07). `id` is `list@version`."""

    list_id: str
    version: int
    entries: tuple[PrefixListEntry, ...]

    @staticmethod
    def id_of(list_id: str, version: int) -> str:
        return f"{list_id}@{version}"
