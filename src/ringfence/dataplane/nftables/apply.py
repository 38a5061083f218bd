"""Bringing the kernel's tables of one network namespace to what the IR asks for.

`update` follows a change of fragments; `converge` starts from whatever the kernel holds: after a restart it rewrites chains,
corrects sets, and leaves base chains and the connections of ENIs that are still the same alone (CT-20).
What a change is made of, and why it may take several transactions: steps.py and docs/adr/0004-nft-updates.md.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from ringfence.dataplane import linux
from ringfence.dataplane.nftables import base, conntrack, counts, readback, steps
from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables.assembly import Tables, VpcTables
from ringfence.dataplane.nftables.base import LINKS
from ringfence.dataplane.nftables.counting import FLAGS, FLOWS, KINDS, Epoch, Room, epoch_of, set_of
from ringfence.dataplane.nftables.counts import Counts
from ringfence.dataplane.nftables.netlink import Netlink, NetlinkError
from ringfence.dataplane.nftables.objects import INET, Table
from ringfence.dataplane.nftables.pieces import Named
from ringfence.dataplane.nftables.steps import Unit
from ringfence.policy.compile import differences
from ringfence.policy.ir import Fragment, Interface, Key, key_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """Sockets inside the namespace."""

    tables: Netlink
    connections: Netlink
    counts: Netlink  # what has been counted is read while rules change


@dataclass(frozen=True, slots=True)
class Sealed:
    """When an epoch ended (ms since 1970). `last`: then counting ended, because no flow log asked for it any more."""

    end: int
    last: bool = False


def _now() -> int:
    return round(time.time() * 1000)


def _next_epoch(before: Epoch | None, *, continued: bool) -> Epoch:
    """Begins now, and after the one before in any case. `continued`: it counts from where that one stops."""
    begin = max(_now(), before.begin + 1 if before else 0)
    return Epoch(begin, before.begin if before and continued else 0)


class Filter:
    """The tables of one namespace, kept as its fragments ask. Not for use by two threads at once."""

    def __init__(self, namespace: int, tables: type[Tables]) -> None:
        """`namespace`: an open file descriptor of the network namespace; it may be closed afterwards.

        Call `converge`, or `sync`, first. Raises OSError when the namespace cannot be entered.
        """
        self._new_plan = tables
        self._plan: Tables = tables()
        self._generation = base.CLOSED
        self._converged = False
        self._fragments: dict[Key, Fragment] = {}
        self._owners: dict[int, str] = {}  # ENI number → ENI id
        self._sealed: dict[Epoch, Sealed] = {}
        self._reading = threading.Lock()
        self.room = Room()
        self._namespace = os.dup(namespace)
        with linux.inside(namespace):
            self._open = Opened(Netlink(), Netlink(), Netlink())
            if tables is VpcTables:
                conntrack.tune()

    def close(self) -> None:
        """Forget the namespace; its tables stay as they are."""
        self._open.tables.close()
        self._open.connections.close()
        self._open.counts.close()
        os.close(self._namespace)

    def tables(self) -> list[Table]:
        """What the tables should hold now."""
        return self._plan.desired.tables()

    @property
    def transactions(self) -> int:
        """How many changes of its tables the kernel has taken from this filter."""
        return self._open.tables.transactions + self._open.counts.transactions

    def restore(self, *, replace: bool = False) -> None:
        """Make the tables again what they should be, whoever changed them; also what `converge` takes for granted: policies,
        tables that are switched off. `replace`: write them from nothing. Raises NetlinkError."""
        messages = []
        for table in self.tables():
            present = readback.read(self._open.tables, table.family)
            if replace and (present.chains or present.sets):
                messages += steps.flat(steps.from_scratch(table, replace=True))
            elif present.chains:
                messages += steps.policies(table, present)
        self._open.tables.transaction(messages)
        self.converge(list(self._fragments.values()))

    def sync(self, fragments: Iterable[Fragment]) -> None:
        """`follow` these fragments."""
        self.follow({key_of(fragment): fragment for fragment in fragments})

    def follow(self, wanted: Mapping[Key, Fragment]) -> None:
        """Bring the tables to these fragments: the first time, and after a failure, from whatever there is; then by what
        changed."""
        if not self._converged:
            self.converge(wanted.values())
            return
        put, drop = differences(self._fragments, wanted)
        if put or drop:
            self.update(put, drop)

    def forget(self, number: int) -> None:
        """Delete the connections of an ENI, as when it is unplugged."""
        conntrack.empty(self._open.connections, frozenset((number,)))

    def converge(self, fragments: Iterable[Fragment]) -> None:
        """Make the tables what the fragments ask for, whatever they are now. Raises NetlinkError.

        An ENI number that passed from one ENI to another is taken out first, its connections deleted, then put back.
        """
        fragments = list(fragments)
        before = self._known_interfaces()
        passed_on = {
            f.eni_id for f in fragments if isinstance(f, Interface) and before.get(f.number, f.eni_id) != f.eni_id
        }
        if passed_on:
            self._converge([f for f in fragments if not (isinstance(f, Interface) and f.eni_id in passed_on)], before)
            before = self._known_interfaces()
        self._converge(fragments, before)

    def _converge(self, fragments: list[Fragment], before: dict[int, str]) -> None:
        plan = self._new_plan()
        found = self._epochs_found() if isinstance(plan, VpcTables) else []
        if isinstance(plan, VpcTables):
            plan.count_in(_next_epoch(found[-1] if found else None, continued=bool(found)), self.room)
            self._generation = max(self._generation, self._known_generation())
            plan.renew(self._next_generation())
        plan.change(fragments, ())
        owners = {interface.number: interface.eni_id for interface in plan.interfaces()}
        same = frozenset(number for number, owner in owners.items() if before.get(number) == owner)
        if isinstance(plan, VpcTables):
            conntrack.sweep(self._open.connections, same | frozenset(before))
            conntrack.empty(self._open.connections, frozenset(owners) - frozenset(before))
        left: list[Unit] = []
        for table in plan.desired.tables():
            phases, superfluous = self._phases(table)
            for phase in phases:
                self._send(phase)
            left += steps.deletions(table.family, superfluous)
        if isinstance(plan, VpcTables):
            conntrack.empty(self._open.connections, frozenset(before) - same)
        plan.desired.changes()
        self._plan, self._owners = plan, owners
        self._seal_found(found)
        self._ask_again(left)
        self._fragments = {key_of(fragment): fragment for fragment in fragments}
        self._converged = True

    def _phases(self, table: Table) -> tuple[list[list[Unit]], list[Named]]:
        """How the kernel's table becomes ours, and what is then left over."""
        kernel = readback.read(self._open.tables, table.family)
        if not kernel.chains and not kernel.sets:
            return [steps.from_scratch(table, replace=False)], []
        if not steps.fits(table, kernel):
            log.warning("the %s table found in the kernel does not fit this version: replaced", table.family)
            return [steps.from_scratch(table, replace=True)], []
        held = {n: readback.held(self._open.tables, table.family, n) for n in kernel.sets if n in table.sets}
        return steps.converging(table, kernel, held), steps.superfluous(table, kernel)

    def _known_interfaces(self) -> dict[int, str]:
        """Number → ENI id, as the kernel's zone map remembers them."""
        known = {}
        if readback.read(self._open.tables, INET).sets.get(LINKS.name) == readback.definition_of(LINKS):
            for key, _, _, comment in readback.held(self._open.tables, INET, LINKS.name).values():
                known[struct.unpack_from("=I", key)[0]] = comment.decode()
        return known

    def _known_generation(self) -> int:
        """The highest that the kernel's rules or connections know: no other must ever be confused with it."""
        known = [conntrack.highest(self._open.connections, base.GENERATIONS) >> base.GENERATION_SHIFT]
        if base.GENERATION.name in readback.read(self._open.tables, INET).sets:
            held = readback.held(self._open.tables, INET, base.GENERATION.name).values()
            known += [struct.unpack("=I", key)[0] for key, _, _, _ in held]
        return max(known)

    def _next_generation(self) -> int:
        """One that no connection carries. Past the last: nothing is remembered any more until all have forgotten."""
        if self._generation >= base.LAST_GENERATION:
            self._plan_closed()
            self._generation = base.CLOSED
        self._generation += 1
        return self._generation

    def _plan_closed(self) -> None:
        """Put the rules of no generation in force, then clear what connections remember."""
        table = Table(INET, chains={chain.name: chain for chain in base.flow_chains(base.CLOSED)})
        if readback.read(self._open.tables, INET).chains.keys() >= table.chains.keys():
            self._send([steps.refill(INET, chain) for chain in table.chains.values()])
            self._wait()
        conntrack.unmark(self._open.connections, base.GENERATIONS | base.FLAGS)

    def _ask_again(self, tidying: Iterable[Unit] = ()) -> None:
        """A new generation, once no packet is under way that was judged, or is being judged, by what was before; and away
        with what only such packets could look at.

        What marked a flow while the rules changed may have seen some of them in the old and some in the new state.
        """
        renewal: list[Unit] = []
        if isinstance(self._plan, VpcTables):
            self._wait()
            self._plan.renew(self._next_generation())
            renewal = [unit for c in self._plan.desired.changes() for phase in steps.units_of(c) for unit in phase]
        self._send([*renewal, *tidying])

    def _wait(self) -> None:
        with linux.inside(self._namespace):
            linux.packets_in_flight_pass()

    def update(self, put: Iterable[Fragment], drop: Iterable[Key]) -> None:
        """Follow a change. Raises NetlinkError when the kernel refuses even after starting over from what it holds.

        Connections: none is touched by a change of rules (D-06). An ENI's entries go with it, and before another ENI
        gets its number.
        """
        put, drop = list(put), list(drop)
        for key in drop:
            self._fragments.pop(key, None)
        self._fragments.update((key_of(fragment), fragment) for fragment in put)
        self._converged = False  # until this is done: whatever stops it half-way, the next attempt looks what there is
        try:
            coming = [f for f in put if isinstance(f, Interface) and self._owners.get(f.number) != f.eni_id]
            if isinstance(self._plan, VpcTables) and self._plan.passes_on(put):
                self.seal()
            if any(interface.number in self._owners for interface in coming):
                self._step([], [key for key in drop if key[0] == "Interface"])
            self._step(put, drop)
            self._converged = True
        except NetlinkError:
            log.exception("an update was refused: starting over from what the kernel holds")
            self.converge(self._fragments.values())

    def _step(self, put: list[Fragment], drop: list[Key]) -> None:
        counting = self._plan.counting if isinstance(self._plan, VpcTables) else None
        if isinstance(self._plan, VpcTables) and counting is None:  # should this change be the first to want counts
            self._plan.count_in(_next_epoch(max(self._sealed, default=None), continued=False), self.room)
        again = isinstance(self._plan, VpcTables) and self._plan.concerns_flows(put, drop)
        if again and isinstance(self._plan, VpcTables):
            self._plan.renew(self._next_generation())
        changes = self._plan.change(put, drop)
        owners = self._owners
        if self._concerns_interfaces(put, drop):
            owners = {interface.number: interface.eni_id for interface in self._plan.interfaces()}
        conntrack.empty(self._open.connections, frozenset(owners.keys() - self._owners.keys()))
        for phase in zip_longest(*(steps.units_of(change, tidy=not again) for change in changes), fillvalue=[]):
            self._send([unit for units in phase for unit in units])
        gone = frozenset(self._owners.keys() - owners.keys())
        self._owners = owners
        conntrack.empty(self._open.connections, gone)
        if counting is not None and isinstance(self._plan, VpcTables) and self._plan.counting is None:
            self._sealed[counting] = Sealed(_now(), last=True)
        if again:
            self._ask_again([unit for change in changes for unit in steps.deletions(change.family, change.delete)])

    @staticmethod
    def _concerns_interfaces(put: list[Fragment], drop: list[Key]) -> bool:
        return any(isinstance(fragment, Interface) for fragment in put) or any(kind == "Interface" for kind, _ in drop)

    # ------------------------------------------------------------------ counts of flow logs
    @property
    def counting(self) -> Epoch | None:
        """The epoch that packets are being counted in."""
        return self._plan.counting if isinstance(self._plan, VpcTables) else None

    def seal(self) -> None:
        """Let packets be counted in the sets of a new epoch from now on. Raises NetlinkError."""
        plan, epoch = self._plan, self.counting
        if epoch is None or not isinstance(plan, VpcTables):
            return
        following = _next_epoch(epoch, continued=True)
        self.room = self.room.after(self.fullness())
        plan.count_in(following, self.room)
        for change in plan.desired.changes():
            for phase in steps.units_of(change, tidy=False):
                self._send(phase)
        self._sealed[epoch] = Sealed(following.begin)

    def sealed(self) -> dict[Epoch, Sealed]:
        """Closed epochs that are not forgotten yet, in order."""
        return dict(sorted(self._sealed.items()))

    def counted(self, epoch: Epoch) -> Counts:
        """What a closed epoch counted. May run beside the other methods. Raises OSError."""
        with self._reading:
            self._wait()
            return counts.read(self._open.counts, epoch, self._sealed[epoch].end)

    def forget_counts(self, epoch: Epoch) -> None:
        """Delete a closed epoch's sets; none that is unknown."""
        with self._reading:
            if self._sealed.pop(epoch, None) is not None:
                there = counts.there(self._open.counts, [epoch.name(kind) for kind in KINDS])
                self._open.counts.transaction([nl.del_set(INET, name) for name in there])

    def fullness(self) -> float:
        """How full the fullest of the sets being counted in is, 0 to 1."""
        epoch = self.counting
        if epoch is None:
            return 0.0
        sets = [set_of(epoch, kind, self.room) for kind in (*FLOWS, *FLAGS)]
        with self._reading:
            return max((counts.number_of_elements(self._open.counts, s.name) or 0) / (s.room or 1) for s in sets)

    def _epochs_found(self) -> list[Epoch]:
        names = readback.read(self._open.tables, INET).sets
        return sorted({epoch for name in names if (epoch := epoch_of(name)) is not None})

    def _seal_found(self, found: list[Epoch]) -> None:
        """Every epoch that was in the kernel before is closed now: at the begin of the one after it."""
        present = set(self._epochs_found())
        ends = [epoch.begin for epoch in found[1:]] + [self.counting.begin if self.counting else _now()]
        self._sealed = {
            epoch: self._sealed.get(epoch) or Sealed(end)
            for epoch, end in zip(found, ends, strict=False)
            if epoch in present
        }

    def _send(self, units: list[Unit]) -> None:
        for part in steps.cut(units, self._open.tables.largest):
            self._open.tables.transaction(part)
