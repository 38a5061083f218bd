"""From one configuration to another: what became possible, what became impossible, each with a packet as witness.

Both engines are put on the same atoms, and addresses into classes that neither tells apart. Only what a changed fragment
can touch is worked out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from ringfence.insight.reach.classes import Cell, Endpoints, classes
from ringfence.insight.reach.engine import Engine, Unknown, number_to_address, replaced
from ringfence.insight.reach.matrix import Grid
from ringfence.insight.reach.peers import cell_between, joined
from ringfence.insight.reach.space import Space
from ringfence.insight.reach.strips import Lazy
from ringfence.policy.ir import Acl, Group, RouteTable, key_of
from ringfence.policy.packet import Packet


class Shift(NamedTuple):
    """What changed from a class of sources to a class of destinations. `unknown`: one side cannot be told."""

    source: Endpoints
    destination: Endpoints
    opened: Space
    closed: Space
    unknown: Unknown | None = None

    def witness(self, *, opened: bool = True) -> tuple[str, Packet] | None:
        """(sender, packet) that became possible, or impossible; None when there is none."""
        pair = self.source.two(self.destination)
        if pair is None:
            return None
        (eni, src), (_, dst) = pair
        family = self.source.family
        space = self.opened if opened else self.closed
        packet = space.witness(number_to_address(family, src), number_to_address(family, dst))
        return None if packet is None else (eni, packet)


#: a Shift, without the way through its constructor: there are thousands
shift_of = partial(tuple.__new__, Shift)


@dataclass(slots=True)
class _Changed:
    """The ids of what differs."""

    groups: set[str]
    acls: set[str]
    tables: set[str]
    vpcs: set[str]  # where anything differs
    ingress: set[str]  # of the groups, those whose rules of this direction let through something else,
    egress: set[str]
    silent: bool  # ... also of what opens no flow


def diff(before: Engine, after: Engine) -> Iterator[Shift]:
    """Every difference between interfaces of one VPC or of peer VPCs, in private and IPv6 addresses."""
    services = after.services.with_cuts(set(before.services.starts))
    prefixes = {family: after.prefixes[family].with_codes(set(before.prefixes[family].codes)) for family in (4, 6)}
    after = after.on(services, prefixes)
    before = before.on(services, prefixes, beside=after)
    changed = _changed(before, after)
    alone = before.appliances | after.appliances
    new = classes(after, alone, changed.vpcs)
    old = new if before.places is after.places else classes(before, alone, changed.vpcs)
    for key in dict.fromkeys((*old, *new)):
        yield from _within(before, after, changed, old.get(key, []), new.get(key, []))
    yield from _across(before, after, changed, alone)


def _across(before: Engine, after: Engine, changed: _Changed, alone: frozenset[str]) -> Iterator[Shift]:
    """Between peer VPCs, where anything of either differs."""
    ways = dict.fromkeys((*joined(before), *joined(after)))
    asked = [way for way in ways if not changed.vpcs.isdisjoint(way)]
    only = {vpc_id for way in asked for vpc_id in way}
    old, new = (classes(engine, alone, only) if asked else {} for engine in (before, after))
    memo: Memo = {}
    for near, far in asked:
        for family in (4, 6):
            sources, ends = (
                _joint(old.get((vpc_id, family), []), new.get((vpc_id, family), [])) for vpc_id in (near, far)
            )
            for source in sources:
                for end in ends:
                    was, now = (
                        cell_between(engine, a, b) if a is not None and b is not None else None
                        for engine, a, b in ((before, source[0], end[0]), (after, source[1], end[1]))
                    )
                    shift = _shift(after, memo, was, now) if was or now else None
                    if shift is not None:
                        yield shift


def _changed(before: Engine, after: Engine) -> _Changed:
    fresh, gone = replaced(before.ir, after.ir)
    found = [*fresh, *gone]
    ids: dict[type, set[str]] = {Group: set(), Acl: set(), RouteTable: set()}
    for fragment in found:
        if isinstance(fragment, Group | Acl | RouteTable):
            ids[type(fragment)].add(_id(fragment))
    ingress, egress, silent = _directions(before, after, [f for f in found if isinstance(f, Group)])
    vpcs = {fragment.vpc_id for fragment in found}
    return _Changed(ids[Group], ids[Acl], ids[RouteTable], vpcs, ingress, egress, silent)


def _directions(before: Engine, after: Engine, found: list[Group]) -> tuple[set[str], set[str], bool]:
    """The groups that let in, and let out, something else; and whether any of that opens no flow."""
    ways: dict[bool, set[str]] = {False: set(), True: set()}
    silent = False
    for group in found:
        was, now = before.ir.fragments.get(key_of(group)), after.ir.fragments.get(key_of(group))
        if not isinstance(was, Group) or not isinstance(now, Group):
            return {g.group_id for g in found}, {g.group_id for g in found}, True
        old, new = before.table(was), after.table(now)
        for egress, a, b in ((False, old.ingress, new.ingress), (True, old.egress, new.egress)):
            services = a.differs(b)
            if services:
                ways[egress].add(group.group_id)
                silent |= bool(services & after.services.silent)
    return ways[False], ways[True], silent


def _id(fragment: Any) -> str:
    id: str = (
        fragment.group_id if isinstance(fragment, Group) else getattr(fragment, "acl_id", None) or fragment.table_id
    )
    return id


# ---------------------------------------------------------------------- classes of both
Pair = tuple[Endpoints | None, Endpoints | None]


def _joint(old: list[Endpoints], new: list[Endpoints]) -> list[Pair]:
    """Classes that neither engine tells apart: what each takes its members for, or None where it has none."""
    was = {member: n for n, each in enumerate(old) for member in each.members}
    now = {member: n for n, each in enumerate(new) for member in each.members}
    found: dict[tuple[int | None, int | None], list[tuple[str, int]]] = {}
    for member in dict.fromkeys((*was, *now)):
        found.setdefault((was.get(member), now.get(member)), []).append(member)
    return [
        (None if a is None else _with(old[a], members), None if b is None else _with(new[b], members))
        for (a, b), members in found.items()
    ]


def _with(of: Endpoints, members: list[tuple[str, int]]) -> Endpoints:
    return Endpoints(of.vpc_id, of.family, of.net, of.groups, of.atom, members)


def _touched(pair: Pair, changed: _Changed) -> bool:
    """May anything about this class differ?"""
    was, now = pair
    if was is None or now is None:
        return True
    a, b = was.net, now.net
    moved = was.groups != now.groups or (a.acl_id, a.table_id, a.blocks) != (b.acl_id, b.table_id, b.blocks)
    return (
        moved or not changed.groups.isdisjoint(now.groups) or a.acl_id in changed.acls or a.table_id in changed.tables
    )


def _within(
    before: Engine, after: Engine, changed: _Changed, old: list[Endpoints], new: list[Endpoints]
) -> Iterator[Shift]:
    """One VPC and family."""
    if old is new and not (changed.silent or changed.acls or changed.tables):
        grid, held = Grid(after, new), Grid(before, new)
        if grid.plain and held.known:
            yield from _rules_alone(held, grid, changed)
            return
    pairs: list[Pair] = [(each, each) for each in new] if old is new else _joint(old, new)
    detours = any(each.members[0][0] in (before.appliances | after.appliances) for each in (*old, *new))
    # what an appliance lets through may change every pair; so does what becomes known, or is no longer
    everything = detours or _doubts(before, old or new) != _doubts(after, old or new)
    touched = [n for n, pair in enumerate(pairs) if everything or _touched(pair, changed)]
    if not touched:
        return
    was = _cells(before, [a for a, _ in pairs], touched)
    now = _cells(after, [b for _, b in pairs], touched)
    memo: Memo = {}
    for key in dict.fromkeys((*was, *now)):
        shift = _shift(after, memo, was.get(key), now.get(key))
        if shift is not None:
            yield shift


def _doubts(engine: Engine, of: list[Endpoints]) -> object:
    """What is not known about a VPC and its interfaces."""
    vpc_id = of[0].vpc_id
    ports = (port for port in engine.places.ports.values() if port.vpc_id == vpc_id and port.doubt is not None)
    return engine.unknown_of(vpc_id), {(port.eni_id, port.doubt) for port in ports}


def _rules_alone(was: Grid, grid: Grid, changed: _Changed) -> Iterator[Shift]:
    """Where nothing but rules of groups changed, only cells whose groups do."""

    def touched(ids: set[str]) -> list[int]:
        return [n for n, each in enumerate(grid.everyone) if not ids.isdisjoint(each.groups)]

    services = grid.engine.services

    def space(wanted: int, sources: int) -> Space:
        return Space.of(services, [(wanted & services.ported, sources)], wanted & ~services.ported)

    def both(key: tuple[int, int, int]) -> tuple[Space, Space] | None:
        opened, closed = (space(wanted, key[2]) for wanted in key[:2])
        return (opened, closed) if opened or closed else None

    found: Lazy[tuple[int, int, int], tuple[Space, Space] | None] = Lazy(both)
    rows, columns = touched(changed.ingress), touched(changed.egress)
    for number, moves in grid.changed(was, rows, columns):
        there, told = grid.everyone[number], [found[key] for key in zip(*moves[1:], strict=True)]
        row = [shift_of((source, there, *pair, None)) for source, pair in zip(moves.sources, told, strict=True) if pair]
        yield from grid.talking(number, row)


def _cells(engine: Engine, everyone: list[Endpoints | None], touched: list[int]) -> dict[tuple[int, int], Cell]:
    """The cells of rows and columns that are touched, by the numbers of their classes."""
    here = [n for n, each in enumerate(everyone) if each is not None]
    present = [each for each in everyone if each is not None]
    if not present:
        return {}
    number = {n: at for at, n in enumerate(here)}
    names = {id(each): n for n, each in enumerate(everyone)}
    grid, hit = Grid(engine, present), [number[n] for n in touched if n in number]
    rows, every = set(hit), range(len(present))
    cells = chain(grid.cells(hit, every), grid.cells([at for at in every if at not in rows], hit))
    return {(names[id(cell.source)], names[id(cell.destination)]): cell for cell in cells}


#: the differences of two cells' sets: most cells that change, change alike
Memo = dict[tuple[object, object], tuple[Space, Space]]


def _shift(engine: Engine, memo: Memo, was: Cell | None, now: Cell | None) -> Shift | None:
    """None when nothing changed."""
    key = (None if was is None else was[2:], None if now is None else now[2:])
    if key[0] == key[1]:
        return None
    found = memo.get(key)
    if found is None:
        services, nothing = engine.services, Space(engine.services)
        a = nothing if was is None else was.conversations(services)
        b = nothing if now is None else now.conversations(services)
        found = memo[key] = b.minus(a), a.minus(b)
    one = now or was
    assert one is not None
    unknown = (was and was.unknown) or (now and now.unknown) or None
    opened, closed = found
    return Shift(one.source, one.destination, opened, closed, unknown) if opened or closed or unknown else None
