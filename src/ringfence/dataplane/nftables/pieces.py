"""What one fragment contributes to the tables, and a desired state built from such pieces.

A piece owns its chains, sets and timeouts; several pieces may own equal ones (they are counted), and several pieces
put elements into shared sets. `Desired` remembers what was touched, so that a change costs what it changes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from ringfence.dataplane.nftables.objects import Chain, Element, Set, Table, Timeout

Named = Chain | Set | Timeout
Place = tuple[str, str]  # family, name


@dataclass(frozen=True, slots=True)
class Piece:
    """Objects and elements, each with the family of its table."""

    objects: tuple[tuple[str, Named], ...] = ()
    elements: tuple[tuple[str, str, Element], ...] = ()  # family, set, element


EMPTY = Piece()


@dataclass(slots=True)
class TableChange:
    """What to do to one table, by name; `fill` chains get their rules anew."""

    family: str
    create: list[Named] = field(default_factory=list)
    fill: list[Chain] = field(default_factory=list)
    add: dict[str, list[Element]] = field(default_factory=dict)
    remove: dict[str, list[Element]] = field(default_factory=dict)
    delete: list[Named] = field(default_factory=list)
    kinds: dict[str, Set] = field(default_factory=dict)  # definitions of the sets whose elements change

    def __bool__(self) -> bool:
        return bool(self.create or self.fill or self.add or self.remove or self.delete)


class Desired:
    """The state that the tables of one namespace should have: fixed tables plus pieces."""

    def __init__(self, *tables: Table) -> None:
        self._fixed = tables
        self._pieces: dict[Hashable, Piece] = {}
        self._objects: dict[str, dict[tuple[type, str], list[Named]]] = {table.family: {} for table in tables}
        self._elements: dict[Place, dict[Element, None]] = {}
        self._before: dict[tuple[str, type, str], Named | None] = {}
        self._moved: dict[Place, dict[Element, bool]] = {}  # True = was there before
        for table in tables:
            everything: list[Named] = [*table.chains.values(), *table.sets.values(), *table.timeouts.values()]
            for named in everything:
                self._objects[table.family][type(named), named.name] = [named]
            for name, elements in table.elements.items():
                self._elements[table.family, name] = dict(elements)

    def put(self, key: Hashable, piece: Piece) -> None:
        """Set the piece of a fragment; EMPTY removes it."""
        old = self._pieces.get(key, EMPTY)
        if old == piece:
            return
        self._remove(old)
        self._add(piece)
        if piece == EMPTY:
            self._pieces.pop(key, None)
        else:
            self._pieces[key] = piece

    def _add(self, piece: Piece) -> None:
        for family, named in piece.objects:
            owners = self._objects[family].setdefault((type(named), named.name), [])
            self._note(family, named, owners)
            owners.append(named)
        for family, name, element in piece.elements:
            held = self._elements.setdefault((family, name), {})
            self._moved.setdefault((family, name), {}).setdefault(element, element in held)
            held[element] = None

    def _remove(self, piece: Piece) -> None:
        for family, named in piece.objects:
            owners = self._objects[family][type(named), named.name]
            self._note(family, named, owners)
            owners.remove(named)
            if not owners:
                del self._objects[family][type(named), named.name]
        for family, name, element in piece.elements:
            held = self._elements[family, name]
            self._moved.setdefault((family, name), {}).setdefault(element, element in held)
            held.pop(element, None)

    def _note(self, family: str, named: Named, owners: list[Named]) -> None:
        self._before.setdefault((family, type(named), named.name), owners[-1] if owners else None)

    def changes(self) -> list[TableChange]:
        """What happened since the last call, one entry for each table that changed."""
        result = {family: TableChange(family) for family in self._objects}
        for (family, kind, name), before in self._before.items():
            owners = self._objects[family].get((kind, name))
            _object_change(result[family], before, owners[-1] if owners else None)
        for (family, name), moved in self._moved.items():
            self._element_change(result[family], name, moved)
        self._before, self._moved = {}, {}
        return [change for change in result.values() if change]

    def _element_change(self, change: TableChange, name: str, moved: dict[Element, bool]) -> None:
        owners = self._objects[change.family].get((Set, name))
        if owners is None or not isinstance(owners[-1], Set):
            return  # the set goes, its elements with it
        now = self._elements[change.family, name]
        add = [element for element, was in moved.items() if not was and element in now]
        remove = [element for element, was in moved.items() if was and element not in now]
        if add:
            change.add[name] = add
        if remove:
            change.remove[name] = remove
        if add or remove:
            change.kinds[name] = owners[-1]

    def tables(self) -> list[Table]:
        """The whole desired state."""
        result = []
        for family, objects in self._objects.items():
            table = Table(family)
            for owners in objects.values():
                _file(table, owners[-1])
            table.elements = {n: dict(e) for (f, n), e in self._elements.items() if f == family and n in table.sets}
            result.append(table)
        return result


def _file(table: Table, named: Named) -> None:
    if isinstance(named, Chain):
        table.chains[named.name] = named
    elif isinstance(named, Set):
        table.sets[named.name] = named
    else:
        table.timeouts[named.name] = named


def _object_change(change: TableChange, before: Named | None, now: Named | None) -> None:
    if before == now:
        return
    if before is None and now is not None:
        change.create.append(now)
        if isinstance(now, Chain):
            change.fill.append(now)
    elif now is None and before is not None:
        change.delete.append(before)
    elif isinstance(now, Chain):
        change.fill.append(now)
    else:
        raise ValueError(f"definition of {now.name if now else ''} changed: name it by its content")


def pieces_of(items: Iterable[tuple[Hashable, Piece]], *tables: Table) -> Desired:
    """A desired state from scratch."""
    desired = Desired(*tables)
    for key, piece in items:
        desired.put(key, piece)
    return desired
