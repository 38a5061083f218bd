"""All pairs: every conversation between interfaces of one VPC, exactly, by classes of addresses that nothing tells apart.

A class is the addresses of one subnet whose interfaces carry the same groups and that lie in one address atom. Between two
classes with local routes both ways (or in one subnet) the answer is a short formula; what goes through an appliance
is walked, pair by pair. An interface's conversations with itself are not in the matrix: they do not leave its host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ringfence.insight.reach.atoms import Services
from ringfence.insight.reach.engine import Engine, Unknown, number_to_address
from ringfence.insight.reach.groups import GroupSet
from ringfence.insight.reach.places import UNROUTED_CODES, WIDTH, Net, inside
from ringfence.insight.reach.space import Space
from ringfence.policy.ir import Via


@dataclass(slots=True, eq=False)
class Endpoints:
    """A class. `members`: (interface, address)."""

    vpc_id: str
    family: int
    net: Net
    groups: tuple[str, ...]
    atom: int
    members: list[tuple[str, int]]

    def pairs(self, other: Endpoints) -> int:
        """How many pairs of addresses of different interfaces there are."""
        every = len(self.members) * len(other.members)
        mine = Counter(eni for eni, _ in self.members)
        return every - sum(mine[eni] for eni, _ in other.members)

    def two(self, other: Endpoints) -> tuple[tuple[str, int], tuple[str, int]] | None:
        """One member of each, of different interfaces; None when there is none."""
        return next(((a, b) for a in self.members for b in other.members if a[0] != b[0]), None)


class Cell(NamedTuple):
    """What sources may say to destinations. `wanted`: services; `sources`: source ports of TCP and UDP that answers allow.
    `space`: instead of both, where replies meet rules of several kinds; `unknown`: the set says nothing."""

    source: Endpoints
    destination: Endpoints
    wanted: int
    sources: int
    space: Space | None = None
    unknown: Unknown | None = None

    def conversations(self, services: Services) -> Space:
        """The set."""
        if self.space is not None:
            return self.space
        parts = [(self.wanted & services.ported, self.sources)]
        return Space.of(services, parts, self.wanted & ~services.ported)


def classes(engine: Engine, alone: frozenset[str] = frozenset()) -> dict[tuple[str, int], list[Endpoints]]:
    """All classes by VPC and family. An interface that routes lead to is a class of its own; so are those in `alone`."""
    found: dict[tuple[str, int, str, tuple[str, ...], int, str], Endpoints] = {}
    alone |= engine.appliances
    for port in engine.places.ports.values():
        if not port.running:
            continue
        for family, addresses in port.addresses.items():
            for address in addresses:
                atom = engine.atom(family, address)
                name = port.eni_id if port.eni_id in alone else ""
                key = (port.vpc_id, family, port.net.subnet_id, port.groups, atom, name)
                held = found.get(key)
                if held is None:
                    held = found[key] = Endpoints(port.vpc_id, family, port.net, port.groups, atom, [])
                held.members.append((port.eni_id, address))
    out: dict[tuple[str, int], list[Endpoints]] = {}
    for held in found.values():
        out.setdefault((held.vpc_id, held.family), []).append(held)
    return out


class Grid:
    """The classes of one VPC and family, numbered: row by row, one destination at a time."""

    def __init__(self, engine: Engine, everyone: Sequence[Endpoints]) -> None:
        self.engine, self.everyone = engine, everyone
        self.family, self.vpc_id = everyone[0].family, everyone[0].vpc_id
        sets = {key: n for n, key in enumerate(dict.fromkeys(c.groups for c in everyone))}
        atoms = {key: n for n, key in enumerate(dict.fromkeys(c.atom for c in everyone))}
        nets = {key: n for n, key in enumerate(dict.fromkeys(c.net.subnet_id for c in everyone))}
        self.carried = list(sets)
        self.sets: list[GroupSet] = [engine.group_set(self.vpc_id, groups) for groups in sets]
        self.atoms: list[int] = list(atoms)
        first = {c.net.subnet_id: c.net for c in everyone}
        self.nets = [first[id] for id in nets]
        self.places = [(sets[c.groups], atoms[c.atom], nets[c.net.subnet_id]) for c in everyone]
        seen = [eni for c in everyone for eni, _ in c.members]
        self._several = len(seen) > len(set(seen))  # some interface has several addresses
        self._local_rows: dict[str, list[bool]] = {}
        self._rows: dict[tuple[bool, int], list[int]] = {}
        self._columns: dict[tuple[bool, int], list[int]] = {}
        self._named: dict[tuple[bool, int], list[int]] = {}
        self._naming: dict[tuple[bool, int], list[int]] = {}

    # ------------------------------------------------------------------ tables made when asked for
    def _row(self, egress: bool, own: int) -> list[int]:
        """What one set lets through, by atom of the remote."""
        found = self._rows.get((egress, own))
        if found is None:
            toward, family = self.sets[own].toward, self.family
            found = self._rows[egress, own] = [toward(egress, family, atom) for atom in self.atoms]
        return found

    def _column(self, egress: bool, atom: int) -> list[int]:
        """What each set lets through for one atom of the remote."""
        found = self._columns.get((egress, atom))
        if found is None:
            code, family = self.atoms[atom], self.family
            found = self._columns[egress, atom] = [held.toward(egress, family, code) for held in self.sets]
        return found

    def _naming_of(self, egress: bool, own: int) -> list[int]:
        """What one set lets through by reference, by set of the remote."""
        found = self._naming.get((egress, own))
        if found is None:
            held, family = self.sets[own], self.family
            found = self._naming[egress, own] = [held.by_group(egress, family, remote) for remote in self.carried]
        return found

    def _named_by(self, egress: bool, remote: int) -> list[int]:
        """What each set lets through by reference to one set of the remote."""
        found = self._named.get((egress, remote))
        if found is None:
            groups, family = self.carried[remote], self.family
            found = self._named[egress, remote] = [held.by_group(egress, family, groups) for held in self.sets]
        return found

    def _local(self, net: Net, atom: int) -> bool:
        """Does a subnet's table lead to an atom by the local route?"""
        away = WIDTH[self.family] + 1 - atom.bit_length()
        if inside(UNROUTED_CODES[self.family], WIDTH[self.family], (atom << away) - (1 << WIDTH[self.family])):
            return False
        route = self.engine.routes(net.table_id).to(self.family, atom)
        return route is not None and route.via is Via.LOCAL

    def _locals(self, net: Net) -> list[bool]:
        """`_local` for every atom."""
        found = self._local_rows.get(net.table_id)
        if found is None:
            found = self._local_rows[net.table_id] = [self._local(net, atom) for atom in self.atoms]
        return found

    # ------------------------------------------------------------------ a row
    def row(self, number: int, sources: Iterable[int] | None = None) -> Iterator[Cell]:
        """Every cell of a destination that is not empty; of these sources only, if they are given."""
        there = self.everyone[number]
        own, atom, home = self.places[number]
        services, family = self.engine.services, self.family
        silent, ported, tcp, udp = services.silent, services.ported, services.tcp, services.udp
        in_block, in_named = self._row(False, own), self._naming_of(False, own)
        out_block, out_named = self._column(True, atom), self._named_by(True, own)
        back_out, back_out_named = self._row(True, own), self._naming_of(True, own)
        back_in, back_in_named = self._column(False, atom), self._named_by(False, own)
        acl = self.engine.acl(there.net.acl_id)
        gate_in = [acl.allowed(False, family, code) for code in self.atoms]
        gate_out = [acl.allowed(True, family, code) for code in self.atoms]
        lanes = [self._lane(net, there, n == home) for n, net in enumerate(self.nets)]
        homeward, several = self._locals(there.net), self._several
        everyone, places = self.everyone, self.places
        for source in range(len(everyone)) if sources is None else sources:
            mine, from_, net = places[source]
            lane = lanes[net]
            if lane is None or (net != home and not homeward[from_]):
                yield from self._walked(everyone[source], there)
                continue
            wanted = (in_block[from_] | in_named[mine]) & (out_block[mine] | out_named[mine]) & lane[0]
            if not wanted:
                continue
            answered = ported
            if net != home:
                wanted &= gate_in[from_]
                answers = gate_out[from_] & lane[1]
                if ported & ~answers:
                    answered = answers & ported
                    wanted &= (tcp if answers & tcp else 0) | (udp if answers & udp else 0) | ~ported
                wanted &= services.asking(answers) | ported
            if wanted & silent:
                wanted &= ~silent | (back_out[from_] | back_out_named[mine]) & (back_in[mine] | back_in_named[mine])
            if not wanted or (source == number and len(there.members) == 1):
                continue
            if not several or everyone[source].two(there):
                yield Cell(everyone[source], there, wanted, answered)

    def _lane(self, net: Net, there: Endpoints, same: bool) -> tuple[int, int] | None:
        """What a source subnet's ACL lets out, and lets back in; None where the route is not local."""
        full = self.engine.services.full
        address = there.members[0][1]
        if self.engine.has_unknown(self.vpc_id):
            return None
        if same:
            return full, full
        if inside(net.blocks[self.family], WIDTH[self.family], address) or not self._local(net, there.atom):
            return None
        acl = self.engine.acl(net.acl_id)
        return acl.allowed(True, self.family, there.atom), acl.allowed(False, self.family, there.atom)

    def _walked(self, source: Endpoints, there: Endpoints) -> Iterator[Cell]:
        """Through something else than the router: one pair stands for all."""
        pair = source.two(there)
        if pair is None:
            return
        (eni, src), (other, dst) = pair
        family = self.family
        answer = self.engine.conversations(eni, number_to_address(family, src), number_to_address(family, dst))
        if answer.unknown or (answer.space and answer.arrives == other):
            yield Cell(source, there, answer.space.reachable, 0, answer.space, answer.unknown)


def all_pairs(engine: Engine) -> Iterator[Cell]:
    """Every pair of classes that may say anything to each other, in all VPCs and both families."""
    for everyone in classes(engine).values():
        grid = Grid(engine, everyone)
        for number in range(len(everyone)):
            yield from grid.row(number)
