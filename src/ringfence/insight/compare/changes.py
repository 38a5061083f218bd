"""What changed from one network to another, as entries: from whom to whom, which packets, an example, and why then and now."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ringfence.insight.compare.sides import Side, sides
from ringfence.insight.reach.diff import Shift, diff
from ringfence.insight.reach.engine import Engine, Unknown, number_to_address
from ringfence.insight.reach.exposure import Exposed, Outside, block_of, exposure
from ringfence.insight.reach.space import Space, readable
from ringfence.insight.reach.trace import describe_packet
from ringfence.insight.reach.words import brief
from ringfence.model.net import Address, Network
from ringfence.model.world import World
from ringfence.policy.evaluate import INTERNET
from ringfence.policy.packet import Packet


class Kind(enum.StrEnum):
    """What an entry says."""

    OPENED = "opened"  # possible now, and not before
    CLOSED = "closed"
    UNKNOWN = "unknown"  # one of the two cannot be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change. `source`, `destination`: the groups of interfaces, an interface and its address, or blocks of the internet.

    `pairs`: of how many pairs of addresses, or interfaces towards the internet, it is true; `then`, `now`: what each network
    says about the example.
    """

    kind: Kind
    vpc_id: str
    internet: bool
    inbound: bool = False  # from the internet
    source: tuple[str, ...]
    destination: tuple[str, ...]
    what: str
    allowed: tuple[dict[str, object], ...] = ()
    pairs: int = 1
    interfaces: tuple[str, ...] = ()  # towards the internet: which
    example: Packet | None = None
    sender: str | None = None
    then: str = ""
    now: str = ""

    @property
    def exposes(self) -> bool:
        """Does it let the internet say what it could not?"""
        return self.kind is Kind.OPENED and self.internet and self.inbound

    def title(self) -> str:
        """In one line."""
        many = f" ({self.pairs} {'interfaces' if self.internet else 'pairs'})" if self.pairs > 1 else ""
        return f"{self.kind}: {', '.join(self.source)} -> {', '.join(self.destination)}: {self.what}{many}"

    def view(self) -> dict[str, Any]:
        """As JSON."""
        out: dict[str, Any] = {
            "change": self.kind.value, "vpc": self.vpc_id, "internet": self.internet, "from": list(self.source),
            "to": list(self.destination), "interfaces": list(self.interfaces),
            "what": self.what, "allowed": list(self.allowed), "pairs": self.pairs,
            "before": self.then, "after": self.now,
        }  # fmt: skip
        if self.example is not None:
            out |= {"example": describe_packet(self.example), "sender": self.sender}
        return out


def compare(before: World, after: World) -> list[Entry]:
    """Every change: between interfaces of one VPC, and between interfaces and the internet, both ways."""
    old, new = sides(before, after)
    found = [*_pairs(old, new)]
    for inbound in (True, False):
        found += _outside(old, new, inbound)
    order = list(Kind)
    return sorted(found, key=lambda e: (order.index(e.kind), not e.internet, e.source, e.destination, e.what))


# ---------------------------------------------------------------------- interfaces
def _pairs(old: Side, new: Side) -> Iterator[Entry]:
    groups: dict[tuple[object, ...], list[Shift]] = {}
    for shift in diff(old.engine, new.engine):
        key = (shift.source.vpc_id, shift.source.family, shift.source.groups, shift.destination.groups, shift.opened,
               shift.closed, shift.unknown)  # fmt: skip
        groups.setdefault(key, []).append(shift)
    for shifts in groups.values():
        yield from _of_pair(old, new, shifts)


def _of_pair(old: Side, new: Side, shifts: list[Shift]) -> Iterator[Entry]:
    first = shifts[0]
    pairs = sum(shift.source.pairs(shift.destination) for shift in shifts)
    places: dict[str, Any] = {
        "vpc_id": first.source.vpc_id, "internet": False, "source": _named(first.source.groups),
        "destination": _named(first.destination.groups), "pairs": pairs,
    }  # fmt: skip
    if first.unknown is not None:
        yield _unknown(first.unknown, places)
        return
    for kind, space in ((Kind.OPENED, first.opened), (Kind.CLOSED, first.closed)):
        witness = first.witness(opened=kind is Kind.OPENED)
        if space and witness is not None:
            yield _entry(old, new, kind, space, *witness, places)


def _named(groups: tuple[str, ...]) -> tuple[str, ...]:
    return groups or ("interfaces without a group",)


def _entry(
    old: Side, new: Side, kind: Kind, space: Space, sender: str, packet: Packet, places: dict[str, Any]
) -> Entry:  # fmt: skip
    return Entry(
        kind=kind, what=brief(space), allowed=tuple(readable(space)), example=packet, sender=sender,
        then=old.says(sender, packet), now=new.says(sender, packet), **places,
    )  # fmt: skip


def _unknown(unknown: Unknown, places: dict[str, Any]) -> Entry:
    return Entry(kind=Kind.UNKNOWN, what=f"{unknown.component}: {unknown.why}", **places)


# ---------------------------------------------------------------------- the internet
Held = dict[tuple[str, Address, Address, Network | None], tuple[Exposed, Space]]


class _Moved(NamedTuple):
    """An interface's address, and what changed about it."""

    eni_id: str
    own: Address
    public: Address
    opened: Space
    closed: Space
    unknown: Unknown | None


class _Alike(NamedTuple):
    """What happens to interfaces of the same groups."""

    vpc_id: str
    groups: tuple[str, ...]
    blocks: tuple[Network, ...]
    opened: Space
    closed: Space
    unknown: Unknown | None


def _outside(old: Side, new: Side, inbound: bool) -> Iterator[Entry]:
    services = new.engine.services.with_cuts(set(old.engine.services.starts))
    prefixes = {
        family: new.engine.prefixes[family].with_codes(set(old.engine.prefixes[family].codes)) for family in (4, 6)
    }
    was_engine, now_engine = old.engine.on(services, prefixes), new.engine.on(services, prefixes)
    was, now = _held(was_engine, inbound), _held(now_engine, inbound)
    nothing = Space(services)
    groups: dict[_Moved, list[tuple[Network | None, Exposed]]] = {}
    blind = {
        eni for eni, _, _, block in (*was, *now) if block is None
    }  # nothing is known about their VPC in one of them
    for key in dict.fromkeys((*was, *now)):
        eni, own, public, block = key
        if block is not None and eni in blind:
            continue
        a, b = was.get(key), now.get(key)
        mine, theirs = (a[1] if a else nothing), (b[1] if b else nothing)
        unknown = _one(a, b)
        if mine == theirs and unknown is None:
            continue
        some = b or a
        assert some is not None
        place = _Moved(eni, own, public, theirs.minus(mine), mine.minus(theirs), unknown)
        groups.setdefault(place, []).append((block, some[0]))
    examples = _examples(was_engine, now_engine)
    alike: dict[_Alike, list[_Moved]] = {}
    for moved, found in groups.items():
        side = new if new.has(moved.eni_id) else old
        port = side.engine.places.ports[moved.eni_id]
        blocks = tuple(block for block, _ in found if block is not None)
        happens = _Alike(port.vpc_id, port.groups, blocks, moved.opened, moved.closed, moved.unknown)
        alike.setdefault(happens, []).append(moved)
    for happens, several in alike.items():
        yield from _of_outside(old, new, inbound, happens, several, examples)


Examples = dict[Network, Address]


def _examples(before: Engine, after: Engine) -> Examples:
    """An address of the internet for each block, that is nobody's in both."""
    out: Examples = {}
    for engine in (before, after):
        for family, atoms in Outside(engine).atoms.items():
            for code, address in atoms:
                if before.places.behind(family, address) is None and after.places.behind(family, address) is None:
                    out[block_of(family, code)] = number_to_address(family, address)
    return out


def _held(engine: Engine, inbound: bool) -> Held:
    out: Held = {}
    for each in exposure(engine, inbound=inbound):
        for block in each.outside or (None,):
            out[each.eni_id, each.address, each.public, block] = each, each.space
    return out


def _one(a: tuple[Exposed, Space] | None, b: tuple[Exposed, Space] | None) -> Unknown | None:
    """What is not known in one of them; None when both agree about that."""
    mine, theirs = (a[0].unknown if a else None), (b[0].unknown if b else None)
    return None if mine == theirs else theirs or mine


def _of_outside(
    old: Side, new: Side, inbound: bool, happens: _Alike, several: list[_Moved], examples: Examples
) -> Iterator[Entry]:
    """Interfaces of the same groups to which the same happens, as one entry."""
    moved, blocks = several[0], happens.blocks
    outside = tuple(map(str, blocks)) or ("the internet",)
    inner = (f"{moved.eni_id} ({moved.public})",) if len(several) == 1 else _named(happens.groups)
    places: dict[str, Any] = {
        "vpc_id": happens.vpc_id, "internet": True, "inbound": inbound, "pairs": len(several),
        "source": outside if inbound else inner, "destination": inner if inbound else outside,
        "interfaces": tuple(each.eni_id for each in several),
    }  # fmt: skip
    if moved.unknown is not None:
        yield _unknown(moved.unknown, places)
        return
    example = next((examples[block] for block in blocks if block in examples), None)
    for kind, space in ((Kind.OPENED, moved.opened), (Kind.CLOSED, moved.closed)):
        sender = INTERNET if inbound else moved.eni_id
        if space and example is not None:
            packet = space.witness(*((example, moved.public) if inbound else (moved.own, example)))
            if packet is not None:
                yield _entry(old, new, kind, space, sender, packet, places)
        elif space:  # no address of the blocks is nobody's in both: there is no packet to show
            yield Entry(kind=kind, what=brief(space), allowed=tuple(readable(space)), **places)
