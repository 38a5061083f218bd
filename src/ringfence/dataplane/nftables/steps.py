"""Changes of tables as netlink messages, in an order that is safe to cut. Pure.

A *unit* is a list of messages that must share a transaction. Units come as: remove elements, create objects, refill
chains, add elements (interface dispatch last), delete objects. Cut anywhere between units, the tables allow no more than
the state before or the state after, except that a network ACL is either the old or the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables.base import DISPATCH
from ringfence.dataplane.nftables.counting import epoch_of
from ringfence.dataplane.nftables.objects import Chain, Element, Set, Table, Timeout
from ringfence.dataplane.nftables.pieces import Named, TableChange
from ringfence.dataplane.nftables.readback import Held, Kernel, definition_of, hook_of, wanted
from ringfence.dataplane.nftables.wire import Message

Unit = list[Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moves:
    """What to do to a table's objects, rules and elements; what is to be removed, as the kernel knows it."""

    family: str
    create: Sequence[Named] = ()
    fill: Sequence[Chain] = ()
    add: Mapping[str, Sequence[Element]] = field(default_factory=dict)
    remove: Mapping[str, Sequence[tuple[bytes, bytes]]] = field(default_factory=dict)
    delete: Sequence[Named] = ()
    kinds: Mapping[str, Set]


def units_of(change: TableChange, *, tidy: bool = True) -> list[list[Unit]]:
    """A change as one to three phases: build what is new, switch to it, clean up.

    Without `tidy` nothing is deleted: that is left to `deletions`, once no packet can be looking at it any more.
    """
    remove = {name: list(nl.keys_of(change.kinds[name], elements)) for name, elements in change.remove.items()}
    return _phases(
        _Moves(
            family=change.family, create=change.create, fill=change.fill, add=change.add, remove=remove,
            delete=change.delete if tidy else (), kinds=change.kinds,
        )
    )  # fmt: skip


def _phases(moves: _Moves) -> list[list[Unit]]:
    """Each one transaction, where the kernel takes it.

    A packet is never to be led to something that is not there yet for it (docs/adr/0004): when the kernel brings a
    transaction into force, rules and elements of hashed sets change with the generation, but a set with ranges shows its new
    ones a moment later, and a packet that began just before finds a new chain empty. So both come in a transaction of their
    own, if anything that packets pass already could lead there.
    """
    ranges = [name for name, kind in moves.kinds.items() if kind.interval]
    fills = {n for n in ranges if n in moves.add and n not in moves.remove}
    clears = {n for n in ranges if n in moves.remove and n not in moves.add}
    new = {named.name for named in moves.create if isinstance(named, Chain)}
    turns = [chain for chain in moves.fill if chain.name not in new]
    if not (fills or new) or not (turns or moves.remove or moves.delete):
        return [list(_ordered(moves, set(moves.add), set(moves.remove)))]
    first = replace(moves, fill=[chain for chain in moves.fill if chain.name in new], delete=())
    second = replace(moves, create=(), fill=turns)
    third = replace(moves, create=(), fill=(), delete=())
    phases = [
        list(_ordered(first, fills, set())),
        list(_ordered(second, set(moves.add) - fills, set(moves.remove) - clears)),
        list(_ordered(third, set(), clears)),
    ]
    return [phase for phase in phases if phase]


def _ordered(moves: _Moves, adding: set[str], removing: set[str]) -> Iterator[Unit]:
    family = moves.family
    for name in sorted(removing):
        yield from _each(nl.del_elements(family, name, moves.remove[name]))
    yield from _creations(family, moves.create)
    for chain in moves.fill:
        yield refill(family, chain)
    for name in sorted(adding, key=_dispatch_last):
        yield from _each(nl.add_elements(family, moves.kinds[name], moves.add[name]))
    yield from deletions(family, moves.delete)


def _dispatch_last(name: str) -> tuple[bool, str]:
    return name in DISPATCH, name


def _each(messages: Iterable[Message]) -> Iterator[Unit]:
    return ([message] for message in messages)


def _creations(family: str, named: Iterable[Named]) -> Iterator[Unit]:
    for number, each in enumerate(named, 1):
        if isinstance(each, Chain):
            yield [nl.new_chain(family, each)]
        elif isinstance(each, Set):
            yield [nl.new_set(family, each, number)]
        else:
            yield [nl.new_timeout(each)]


def refill(family: str, chain: Chain) -> Unit:
    """A chain's rules anew."""
    return [nl.flush_chain(family, chain.name), *(nl.new_rule(family, chain.name, rule) for rule in chain.rules)]


def deletions(family: str, named: Iterable[Named]) -> Iterator[Unit]:
    """Chains are emptied first, so that none refers to another or to a set any more. Counts stay until they are read."""
    doomed = [each for each in named if epoch_of(each.name) is None]
    for each in doomed:
        if isinstance(each, Chain):
            yield [nl.flush_chain(family, each.name)]
    for each in sorted(doomed, key=lambda each: not isinstance(each, Chain)):
        if isinstance(each, Chain):
            yield [nl.del_chain(family, each.name)]
        elif isinstance(each, Set):
            yield [nl.del_set(family, each.name)]
        else:
            yield [nl.del_timeout(each.name)]


def fits(table: Table, kernel: Kernel) -> bool:
    """Can the kernel's table become ours without touching a base chain or a set's definition?"""
    for name, hook in kernel.chains.items():
        ours = table.chains.get(name)
        if (hook is not None and ours is None) or (ours is not None and hook_of(table.family, ours) != hook):
            return False
    return all(definition_of(table.sets[n]) == found for n, found in kernel.sets.items() if n in table.sets)


def policies(table: Table, kernel: Kernel) -> list[Message]:
    """The table switched on, and its base chains dropping what they leave undecided, where both are there."""
    chains = (chain for chain in table.chains.values() if chain.hook and kernel.chains.get(chain.name))
    fitting = (chain for chain in chains if hook_of(table.family, chain) == kernel.chains[chain.name])
    return [nl.wake_table(table.family), *(nl.new_chain(table.family, chain) for chain in fitting)]


def from_scratch(table: Table, *, replace: bool) -> list[Unit]:
    """The whole table; `replace`: after deleting one that does not fit. One unit: all or nothing."""
    units = [[nl.new_table(table.family)]]
    if replace:
        units.append([nl.del_table(table.family)])
        units.append([nl.new_table(table.family)])
    units += _creations(table.family, _named(table))
    units += [refill(table.family, chain) for chain in table.chains.values()]
    for name in sorted(table.elements, key=_dispatch_last):
        units += _each(nl.add_elements(table.family, table.sets[name], table.elements[name]))
    return [[message for unit in units for message in unit]] if replace else units


def _named(table: Table) -> list[Named]:
    return [*table.timeouts.values(), *table.sets.values(), *table.chains.values()]


def converging(table: Table, kernel: Kernel, held: Mapping[str, dict[bytes, Held]]) -> list[list[Unit]]:
    """From what the kernel holds to the table, in phases: all chains anew, elements by difference. `held`: elements of the
    sets that stay. What else the kernel holds is left to `deletions`: see `superfluous`."""
    add: dict[str, list[Element]] = {}
    remove: dict[str, list[tuple[bytes, bytes]]] = {}
    for name, kind in table.sets.items():
        have = held.get(name, {})
        want = {(w := wanted(kind, e))[0] + w[1]: (w, e) for e in table.elements.get(name, {})}
        add[name] = [element for key, (form, element) in want.items() if have.get(key) != form]
        remove[name] = [have[key][:2] for key in have if key not in want or want[key][0] != have[key]]
    present = {*kernel.chains, *kernel.sets, *kernel.timeouts}
    return _phases(
        _Moves(
            family=table.family, create=[each for each in _named(table) if each.name not in present],
            fill=list(table.chains.values()), add={n: e for n, e in add.items() if e},
            remove={n: k for n, k in remove.items() if k}, kinds=table.sets,
        )
    )  # fmt: skip


def superfluous(table: Table, kernel: Kernel) -> list[Named]:
    """What the kernel's table holds and ours does not."""
    chains: list[Named] = [Chain(name, ()) for name in kernel.chains if name not in table.chains]
    sets: list[Named] = [Set(name, ()) for name in kernel.sets if name not in table.sets]
    timeouts: list[Named] = [Timeout(name, 0, ()) for name in kernel.timeouts if name not in table.timeouts]
    return [*chains, *sets, *timeouts]


def flat(units: Iterable[Unit]) -> list[Message]:
    return [message for unit in units for message in unit]


def cut(units: Iterable[Unit], largest: int) -> Iterator[list[Message]]:
    """The units as few transactions of at most `largest` bytes; a unit that is larger stays whole."""
    part: list[Message] = []
    size = 0
    for unit in units:
        more = sum(len(message) + 4 for message in unit)
        if part and size + more > largest:
            yield part
            part, size = [], 0
        part.extend(unit)
        size += more
    if part:
        yield part
