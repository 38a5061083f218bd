"""Changes of tables as netlink messages, in an order that is safe to cut. Pure.

A *unit* is a list of messages that must share a transaction. Units come as: remove elements, create objects, refill
chains, add elements (interface dispatch last), delete objects. Cut anywhere between units, the tables allow no more than
the state before or the state after, except that a network ACL is either the old or the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables.base import DISPATCH
from ringfence.dataplane.nftables.counting import epoch_of
from ringfence.dataplane.nftables.objects import Chain, Set, Table, Timeout
from ringfence.dataplane.nftables.pieces import Named, TableChange
from ringfence.dataplane.nftables.readback import Held, Kernel, definition_of, hook_of, wanted
from ringfence.dataplane.nftables.wire import Message

Unit = list[Message]


def units_of(change: TableChange, *, tidy: bool = True) -> list[list[Unit]]:
    """A change as one to three phases, each one transaction: build what is new, switch to it, clean up.

    A packet is never to be led to something that is not there yet for it (docs/adr/0004): when the kernel brings a
    transaction into force, rules and elements of hashed sets change with the generation, but a set with ranges shows its new
    ones a moment later, and a packet that began just before finds a new chain empty. So both come in a transaction of their
    own, if anything that packets pass already could lead there. Without `tidy` nothing is deleted: that is left to
    `deletions`, once no packet can be looking at it any more.
    """
    doomed = change.delete if tidy else []
    moves = [name for name, kind in change.kinds.items() if kind.interval]
    fills = {n for n in moves if n in change.add and n not in change.remove}
    clears = {n for n in moves if n in change.remove and n not in change.add}
    new = {named.name for named in change.create if isinstance(named, Chain)}
    turns = [chain for chain in change.fill if chain.name not in new]
    if not (fills or new) or not (turns or change.remove or doomed):
        return [list(_ordered(replace(change, delete=doomed), set(change.add), set(change.remove)))]
    first = TableChange(
        change.family,
        create=change.create,
        fill=[chain for chain in change.fill if chain.name in new],
        add=change.add, kinds=change.kinds,
    )  # fmt: skip
    second = TableChange(
        change.family, fill=turns, add=change.add, remove=change.remove, delete=doomed, kinds=change.kinds
    )
    third = TableChange(change.family, remove=change.remove, kinds=change.kinds)
    phases = [
        list(_ordered(first, fills, set())),
        list(_ordered(second, set(change.add) - fills, set(change.remove) - clears)),
        list(_ordered(third, set(), clears)),
    ]
    return [phase for phase in phases if phase]


def _ordered(change: TableChange, adding: set[str], removing: set[str]) -> Iterator[Unit]:
    family = change.family
    for name in sorted(removing):
        kind = change.kinds[name]
        yield from _each(nl.del_elements(family, name, nl.keys_of(kind, change.remove[name])))
    yield from _creations(family, change.create)
    for chain in change.fill:
        yield refill(family, chain)
    for name in sorted(adding, key=_dispatch_last):
        yield from _each(nl.add_elements(family, change.kinds[name], change.add[name]))
    yield from deletions(family, change.delete)


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


def converging(table: Table, kernel: Kernel, held: Mapping[str, dict[bytes, Held]]) -> list[Unit]:
    """From what the kernel holds to the table: all chains anew, elements by difference. `held`: elements of the sets
    that stay."""
    family = table.family
    units: list[Unit] = []
    additions: list[Unit] = []
    for name in sorted(table.sets, key=_dispatch_last):
        have = held.get(name, {})
        want = {(w := wanted(table.sets[name], e))[0] + w[1]: (w, e) for e in table.elements.get(name, {})}
        stale = [(have[key][0], have[key][1]) for key in have if key not in want or want[key][0] != have[key]]
        missing = [element for key, (form, element) in want.items() if have.get(key) != form]
        units += _each(nl.del_elements(family, name, stale))
        additions += _each(nl.add_elements(family, table.sets[name], missing))
    present = {*kernel.chains, *kernel.sets, *kernel.timeouts}
    units += _creations(family, (each for each in _named(table) if each.name not in present))
    units += [refill(family, chain) for chain in table.chains.values()]
    return [*units, *additions, *deletions(family, _superfluous(table, kernel))]


def _superfluous(table: Table, kernel: Kernel) -> list[Named]:
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
