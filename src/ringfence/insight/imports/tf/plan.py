"""A document of Terraform on its way to records: what was gathered so far."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any, NamedTuple

from ringfence.insight.imports.draft import Archive, Source, is_region, region_of_zone
from ringfence.insight.imports.notes import Problem
from ringfence.insight.imports.record import Damaged
from ringfence.insight.imports.tf.things import Thing, Things


class Block(NamedTuple):
    """A nested block: values, expressions, and what will be known after apply."""

    values: dict[str, Any]
    expressions: dict[str, Any]
    unknown: dict[str, Any]


def _nth(given: Any, n: int, count: int) -> dict[str, Any]:
    """The part for the nth block."""
    found = given[n] if isinstance(given, list) and len(given) == count else given
    return found if isinstance(found, dict) else {}


def _expressions(given: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The expressions of a block: those whose constants are its values, for most blocks are sets, in no order.

    None when several would do (a dynamic block has none at all): then its references lead nowhere, and that is named.
    """
    if isinstance(given, dict):
        return given
    fitting = [each for each in given or [] if isinstance(each, dict) and _fits(each, values)]
    return fitting[0] if fitting and all(each == fitting[0] for each in fitting) else {}


def _fits(expressions: dict[str, Any], values: dict[str, Any]) -> bool:
    constants = {
        k: e["constant_value"] for k, e in expressions.items() if isinstance(e, dict) and "constant_value" in e
    }
    return all(str(values.get(name)).lower() == str(constant).lower() for name, constant in constants.items())


class Plan:
    """One document. Records are kept by id until all resources that add to them were seen."""

    def __init__(self, archive: Archive, things: Things, source: Source, region: str | None) -> None:
        self.archive, self.things, self.notes = archive, things, archive.notes
        zones = (region_of_zone(str(t.values.get("availability_zone") or "")) for t in things.of_type("aws_subnet"))
        arns = (str(t.values.get("arn") or "").split(":")[3:4] for t in things.all)
        region = (
            region or next((z for z in zones if z), None) or next((a[0] for a in arns if a and is_region(a[0])), None)
        )
        owners = (str(t.values.get("owner_id") or "") for t in things.all)
        account = next((owner for owner in owners if owner.isdecimal()), None)
        self.source = Source(source.name, source.account or account, region or source.region)
        self.vpcs: dict[str, dict[str, Any]] = {}
        self.made_vpcs: set[str] = set()
        self.subnets: dict[str, dict[str, Any]] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.acls: dict[str, dict[str, Any]] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self.enis: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, list[str]] = {}
        self.list_names: dict[str, str] = {}
        self.taken: dict[str, set[IPv4Address]] = {}

    def need(self, thing: Thing, name: str, **where: Any) -> str:
        """The id an attribute names; Damaged when it leads nowhere, or to several."""
        found = self.things.one(thing, name, **where)
        if found is None:
            raise Damaged(f"what its {name} names is not in the document")
        return found

    def named(self, thing: Thing, name: str, what: str) -> list[str]:
        """The values of an attribute that names resources; noted as not known where some of them are."""
        if self.things.lost(thing, name):
            self.not_known(thing.address, f"{what} are known after apply")
        return self.things.several(thing, name)

    def listed(self, found: list[str]) -> list[str]:
        """Prefix lists that an attribute names: a reference to an endpoint means the list of its service."""
        ends = {thing.id: thing for thing in self.things.of_type("aws_vpc_endpoint")}
        return [ends[id].list_id if id in ends else id for id in found]

    def tags(self, thing: Thing) -> list[dict[str, str]]:
        """Tags as EC2 lists them."""
        tags = thing.values.get("tags_all") or thing.values.get("tags") or {}
        return [{"Key": str(k), "Value": "" if v is None else str(v)} for k, v in tags.items()]

    def blocks(self, thing: Thing, name: str) -> list[Block]:
        """Nested blocks; an attribute that is a list of objects has one expression for all. Damaged when it is no such thing."""
        values = thing.values.get(name) or []
        given, unknown = thing.expressions.get(name), thing.unknown.get(name)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise Damaged(f"its {name} are no blocks")
        return [
            Block(value, _expressions(given, value), _nth(unknown, n, len(values))) for n, value in enumerate(values)
        ]

    def all_known(self, thing: Thing, name: str) -> bool:
        """Is an attribute given, or will it be known only after apply although the configuration sets it?"""
        return thing.values.get(name) is not None or not (thing.unknown.get(name) and thing.expressions.get(name))

    def add(self, key: str, data: dict[str, Any], element: str) -> None:
        """One record."""
        self.archive.add(key, data, self.source, element)

    def not_known(self, address: str, why: str) -> None:
        """Something that only the cloud will tell: answers depend on it."""
        self.notes.problems.append(Problem(address, why))
        self.archive.cut.append(address)
