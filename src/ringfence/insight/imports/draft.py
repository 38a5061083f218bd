"""Rows as they are put together, and the rules for what cannot be: named, and answers about it unknown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ringfence.insight.imports.notes import Notes, Problem
from ringfence.insight.imports.record import Damaged, Record
from ringfence.model.kinds import GAP, KINDS, Kind
from ringfence.model.nouns.gap import OUTSIDE, Gap
from ringfence.model.nouns.network import Vpc
from ringfence.model.regions import REGIONS
from ringfence.model.row import Row
from ringfence.model.world import World, world_of

_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx|cn)(-(gov|iso|isob|isoe|isof))?-[a-z]+-[0-9]+")
_ACCOUNT = re.compile(r"[0-9]{12}")
KIND_OF: dict[type, Kind[Any]] = {kind.row: kind for kind in KINDS.values()}


@dataclass(frozen=True, slots=True)
class Source:
    """Where records come from: a file, and what its path tells."""

    name: str
    account: str | None = None
    region: str | None = None

    @staticmethod
    def of(name: str) -> Source:
        """Directories of recordings are often named after accounts and Regions."""
        parts = re.split(r"[/\\]", name)
        account = next((part for part in reversed(parts) if _ACCOUNT.fullmatch(part)), None)
        return Source(name, account, next((part for part in reversed(parts) if is_region(part)), None))


def is_region(text: str) -> bool:
    """Does it name a Region?"""
    return text in REGIONS or _REGION.fullmatch(text) is not None


def region_of_zone(zone: str) -> str | None:
    """`us-east-1a`, `us-west-2-lax-1a` → the Region."""
    found = _REGION.match(zone)
    return found.group() if found else None


@dataclass(frozen=True, slots=True)
class Options:
    """What the user says about an import. `assume_defaults`: what AWS makes by itself is as it was made; `assume_locals`: a
    local value of Terraform that names a VPC names the only one of its module (a plan does not tell local values)."""

    account: str | None = None
    region: str | None = None
    assume_defaults: bool = False
    assume_locals: bool = False


Given = tuple[Record, Source]


@dataclass(slots=True)
class Archive:
    """Everything read: records in the shape of EC2's API by the name of their list, with their sources."""

    notes: Notes
    options: Options
    records: dict[str, list[Given]] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)  # sources that say there is more
    lent: set[str] = field(default_factory=set)  # public addresses that were made up

    def add(self, key: str, data: Any, source: Source, element: str = "") -> None:
        """One record. A damaged one is a problem."""
        try:
            self.records.setdefault(key, []).append((Record(data, key, element), source))
        except Damaged as problem:
            self.notes.problems.append(Problem(source.name, str(problem)))
            self.cut.append(source.name)


class Draft:
    """The rows so far."""

    def __init__(self, archive: Archive) -> None:
        self.archive, self.notes, self.options = archive, archive.notes, archive.options
        self.rows: dict[type, dict[str, Any]] = {}
        self._gaps: dict[tuple[str, str], str] = {}
        #: routes that EC2 said lead nowhere: (table, destination)
        self.blackholes: set[tuple[str, str]] = set()
        accounts = _accounts(archive)
        #: the account that records name, if it is one
        self._owner = accounts.pop() if len(accounts) == 1 else None

    @property
    def account(self) -> str | None:
        """The account that the user or the records name."""
        return self.options.account or self._owner

    # ------------------------------------------------------------------ rows
    def put(self, row: Row) -> None:
        """A row, or a later version of it."""
        self.rows.setdefault(type(row), {})[row.id] = row

    def find(self, kind: type[Any], id: str | None) -> Any:
        """The row, or None."""
        return None if id is None else self.rows.get(kind, {}).get(id)

    def all(self, kind: type[Any]) -> list[Any]:
        """Rows of a type in order of reading."""
        return list(self.rows.get(kind, {}).values())

    # ------------------------------------------------------------------ what is not known
    def gap(self, vpc_id: str | None, element: str, why: str) -> None:
        """Answers about a VPC are unknown; of all VPCs when it is not told which."""
        self._gaps.setdefault((vpc_id or "", element), why)

    def problem(self, vpc_id: str | None, element: str, why: str) -> None:
        """Something inconsistent, damaged or missing."""
        self.notes.problems.append(Problem(element, why))
        self.gap(vpc_id, element, why)

    def leave_out(self, element: str, why: str) -> None:
        """An element that cannot be placed; packets from outside might be for it."""
        self.notes.left_out.append(Problem(element, why))
        self.gap(OUTSIDE, element, why)

    def vpc_of(self, record: Record, id: str) -> Vpc | None:
        """The VPC that an element says it is in; without it the element is left out."""
        vpc_id = record.need("VpcId")
        found: Vpc | None = self.find(Vpc, vpc_id)
        if found is None:
            self.leave_out(id, f"its VPC {vpc_id} is not in the import")
            record.ignore(*record.data)
        return found

    # ------------------------------------------------------------------ records
    def each(self, key: str, id_field: str | None, make: Callable[[Record, Source], None]) -> None:
        """`make` for every record of a list, once per id (None: they have none). A damaged record is a problem of its VPC."""
        seen: dict[str, dict[str, Any]] = {}
        for record, source in self.archive.records.get(key, []):
            id, vpc_id = record.data.get(id_field or ""), record.data.get("VpcId")
            vpc_id = vpc_id if isinstance(vpc_id, str) else None
            element = record.element = str(id or source.name)
            if id and element in seen:
                if seen[element] != record.data:
                    self.problem(vpc_id, element, "it is recorded twice, with different contents")
                record.ignore(*record.data)
                continue
            seen[element] = record.data
            try:
                make(record, source)
            except Damaged as problem:
                self.problem(vpc_id, element, str(problem))
            else:
                self.notes.read[key] += 1
            record.done(self.notes)

    def owned(
        self, record: Record, source: Source, region: str | None = None, owner: str | None = None
    ) -> dict[str, Any]:
        """Account and Region of a record; `region`, `owner`: those of what it is in."""
        owner = record.text("OwnerId") or source.account or self.options.account or owner or self._owner
        region = region or source.region or self.options.region
        if owner is None:
            owner = "000000000000"
            self.notes.made_up["account ids (--account-id names one)"] += 1
        if region is None:
            region = "us-east-1"
            self.notes.made_up["Regions (--region names one)"] += 1
        return {"owner_id": owner, "region": region}

    def made(self, prefix: str, *of: object, what: str) -> str:
        """A well-formed id for what has none in the source; the same every time."""
        self.notes.made_up[what] += 1
        return made_id(prefix, *of)

    # ------------------------------------------------------------------ the end
    def world(self) -> World:
        """The World of all rows."""
        return world_of(self._everything())

    def _everything(self) -> Iterator[tuple[Kind[Any], Row]]:
        for kind, rows in self.rows.items():
            for row in rows.values():
                yield KIND_OF[kind], row
        everywhere = [*self.rows.get(Vpc, {}), OUTSIDE]
        for (vpc_id, element), why in self._gaps.items():
            for place in [vpc_id] if vpc_id in everywhere else everywhere:
                yield (
                    GAP,
                    Gap(id=f"{element}@{place}", owner_id="", region="", vpc_id=place, element=element, why=why),
                )


def _accounts(archive: Archive) -> set[str]:
    named = (record.data.get("OwnerId") for records in archive.records.values() for record, _ in records)
    return {owner for owner in named if isinstance(owner, str) and _ACCOUNT.fullmatch(owner)}


def made_id(prefix: str, *of: object) -> str:
    """`sg-0…`: a well-formed id made from a name."""
    return f"{prefix}0{hashlib.sha256('/'.join(map(str, of)).encode()).hexdigest()[:16]}"


def first(values: Iterable[Any]) -> Any:
    """The first that is something, or None."""
    return next((value for value in values if value is not None), None)
