"""The reachability engine: an IR as atoms and sets of services, and exact answers for every packet at once.

An `Engine` never changes; `update` gives the next one and keeps every table whose fragment is still the same object. What
the engine does not model makes the answer unknown, with the element's id, never "unreachable".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from itertools import compress
from operator import is_not
from typing import Any

from ringfence.insight.reach import local
from ringfence.insight.reach.acls import AclTable
from ringfence.insight.reach.atoms import END, Prefixes, Services, code_of, interval, point
from ringfence.insight.reach.groups import GroupSet, GroupTable, Move, far_name
from ringfence.insight.reach.journey import Back, Step, There, Unmodelled
from ringfence.insight.reach.places import STRUCTURE, WIDTH, Crossing, Places, public
from ringfence.insight.reach.routes import Routes
from ringfence.insight.reach.space import Space
from ringfence.insight.reach.walk import Walk
from ringfence.model.net import IPV6_POOL, UNROUTABLE, Address, Network, PortRange, Protocol
from ringfence.model.nouns.gap import OUTSIDE
from ringfence.policy.evaluate import ECHO, INTERNET, SERVICE, SERVICE_PORT, UNROUTED, Index
from ringfence.policy.ir import (
    Acl,
    Edge,
    Endpoint,
    Fragment,
    Gap,
    Group,
    GroupMembers,
    Interface,
    Ir,
    Machine,
    Match,
    Names,
    Peering,
    PeerMembers,
    RouteTable,
    Subnet,
    Vpc,
    associated_key,
    key_of,
)
from ringfence.policy.packet import Packet

#: what the engine understands; any other kind of fragment makes answers about its VPC unknown
MODELLED: frozenset[type] = frozenset(
    (Acl, Edge, Endpoint, Group, GroupMembers, Interface, Machine, Names, Peering, PeerMembers, RouteTable, Subnet, Vpc)
)


#: answers that an engine keeps at most
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why there is no answer: an element that the engine does not model."""

    component: str
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """All conversations between a source and a destination address.

    `arrives`: the interface (INTERNET, SERVICE) that the address leads to, whatever is let through; None: nowhere.
    `steps`: every element there and back, with what each lets through. `unknown`: the set says nothing.
    """

    source: str
    src: Address
    dst: Address
    space: Space
    arrives: str | None = None
    steps: tuple[Step, ...] = ()
    through: tuple[str, ...] = ()
    unknown: Unknown | None = None

    def witness(self) -> Packet | None:
        """One packet that arrives and whose answer comes back."""
        return self.space.witness(self.src, self.dst)

    def blocking(self, packet: Packet) -> list[Step]:
        """Every element that refuses the packet or its answer by itself, in order."""
        services = self.space.services
        question = services.bit(point(packet))
        answer = services.bit(point(packet.reply()))
        return [
            step for step in self.steps
            if not step.lets >> (answer if step.reply else question) & 1 and not step.held >> question & 1
        ]  # fmt: skip


def number_to_address(family: int, number: int) -> Address:
    """An address of a family."""
    return IPv4Address(number) if family == 4 else IPv6Address(number)


@dataclass(slots=True)
class _Tables:
    """What was worked out of fragments, by their identity; holds the fragment, so that its id stays its own."""

    groups: dict[int, tuple[Group, GroupTable]]
    acls: dict[int, tuple[Acl, AclTable]]
    routes: dict[int, tuple[RouteTable, Routes]]
    coarser: _Tables | None = None  # on the atoms before these,
    move: Move | None = None  # from there to here

    @staticmethod
    def empty() -> _Tables:
        """None yet."""
        return _Tables({}, {}, {})

    def on(self, services: Services, was: Services) -> _Tables:
        """These on other atoms: routes do not ask for services; the others are moved when asked for, or made anew."""
        if services is was:
            return self
        move = services.finer(was)
        if move is None:
            return _Tables({}, {}, self.routes)
        return _Tables({}, {}, self.routes, _Tables(self.groups, self.acls, {}), move)

    def group(self, services: Services, group: Group) -> GroupTable:
        """The table of a group."""
        held = self.groups.get(id(group))
        if held is None:
            older = self.coarser.groups.get(id(group)) if self.coarser else None
            table = older[1].moved(self.move) if older and self.move else GroupTable(services, group)
            held = self.groups[id(group)] = (group, table)
        return held[1]

    def acl(self, services: Services, acl: Acl) -> AclTable:
        """The table of a network ACL."""
        held = self.acls.get(id(acl))
        if held is None:
            older = self.coarser.acls.get(id(acl)) if self.coarser else None
            held = self.acls[id(acl)] = (
                acl,
                older[1].moved(self.move) if older and self.move else AclTable(services, acl),
            )
        return held[1]

    def size(self) -> int:
        """How many tables there are."""
        return len(self.groups) + len(self.acls) + len(self.routes)


class Engine:
    """Answers about one IR."""

    def __init__(self, ir: Ir) -> None:
        self.ir = ir
        self.services = Services(_cuts(ir.fragments.values()))
        blocks = _blocks(ir.fragments.values())
        self.prefixes = {family: Prefixes(WIDTH[family], blocks[family]) for family in (4, 6)}
        self.places = Places(ir)
        self._tables = _Tables.empty()
        self._sets: dict[tuple[str, tuple[str, ...]], GroupSet] = {}
        self._atoms: dict[int, dict[int, int]] = {4: {}, 6: {}}
        self._foreign, self.appliances = _foreign(ir), _appliances(ir)
        self._answers: dict[tuple[str, int, int, int], Answer] = {}
        self._pairs: dict[tuple[str, int, int, int], local.Pair] = {}
        #: what `matrix.classes` found; it asks for places, appliances and address atoms alone
        self.grouping: dict[Any, Any] = {}

    @cached_property
    def index(self) -> Index:
        """The IR as the evaluator reads it."""
        return Index(self.ir)

    # ------------------------------------------------------------------ after a change
    def update(self, ir: Ir) -> Engine:
        """The engine of another IR, quick when most of its fragments are the same objects."""
        fresh, gone = replaced(self.ir, ir)
        new = object.__new__(Engine)
        new.ir = ir
        new.services = self.services.with_cuts(_cuts(fresh))
        blocks = _blocks(fresh)
        new.prefixes = {family: atoms.with_codes(blocks[family]) for family, atoms in self.prefixes.items()}
        same_atoms = all(new.prefixes[family] is self.prefixes[family] for family in (4, 6))
        structural = any(type(fragment) in STRUCTURE for fragment in (*fresh, *gone))
        new.places = Places(ir) if structural else self.places
        new._tables = self._tables.on(new.services, self.services)
        if new._tables.size() > 2 * len(ir.fragments):  # most are of fragments long gone
            new._tables = _Tables.empty()
        new._sets, new._answers, new._pairs = {}, {}, {}
        if new.services is self.services:
            changed = {f.group_id for f in (*fresh, *gone) if isinstance(f, Group)}
            new._sets = {key: held for key, held in self._sets.items() if changed.isdisjoint(key[1])}
        new._atoms = self._atoms if same_atoms else {4: {}, 6: {}}
        kinds = {type(fragment) for fragment in (*fresh, *gone)}
        new._foreign = self._foreign if not self._foreign and kinds <= MODELLED else _foreign(ir)
        new.appliances = _appliances(ir) if RouteTable in kinds else self.appliances
        new.grouping = self.grouping if same_atoms and not structural and new.appliances == self.appliances else {}
        return new

    def on(self, services: Services, prefixes: dict[int, Prefixes], *, beside: Engine | None = None) -> Engine:
        """The same answers on finer atoms, so that they compare with those of an engine `beside`, which may stand on them already."""
        if services is self.services and all(prefixes[family] is self.prefixes[family] for family in (4, 6)):
            return self
        new = object.__new__(Engine)
        new.ir, new.services, new.prefixes, new.places = self.ir, services, prefixes, self.places
        if beside is not None and services is beside.services:  # of the same fragments, the same tables
            new._tables = beside._tables
        else:
            new._tables = self._tables.on(services, self.services)
        new._sets = dict(self._sets) if services is self.services else {}
        new._answers, new._pairs, new._atoms = {}, {}, {4: {}, 6: {}}
        new._foreign, new.appliances = self._foreign, self.appliances
        new.grouping = self.grouping if all(prefixes[family] is self.prefixes[family] for family in (4, 6)) else {}
        return new

    # ------------------------------------------------------------------ what the walk looks up
    def atom(self, family: int, address: int) -> int:
        """The address atom."""
        known = self._atoms[family]
        found = known.get(address)
        if found is None:
            found = known[address] = self.prefixes[family].of_number(address)
        return found

    def group_set(self, vpc_id: str, groups: tuple[str, ...]) -> GroupSet:
        """The groups of an interface together, as its VPC uses them (SG-70)."""
        found = self._sets.get((vpc_id, groups))
        if found is None:
            tables = tuple(self._group(id, vpc_id) for id in groups)
            found = self._sets[vpc_id, groups] = GroupSet(tables)
        return found

    def _group(self, group_id: str, vpc_id: str) -> GroupTable:
        group = self.ir.fragments.get(("Group", group_id))
        if not isinstance(group, Group) or group.vpc_id != vpc_id:
            group = self.ir.fragments[("Group", associated_key(group_id, vpc_id))]
            assert isinstance(group, Group)
        return self.table(group)

    def table(self, group: Group) -> GroupTable:
        """One security group of this IR."""
        return self._tables.group(self.services, group)

    def acl(self, acl_id: str) -> AclTable:
        """A network ACL."""
        acl = self.ir.fragments[("Acl", acl_id)]
        assert isinstance(acl, Acl)
        return self._tables.acl(self.services, acl)

    def routes(self, table_id: str) -> Routes:
        """A route table."""
        table = self.ir.fragments[("RouteTable", table_id)]
        held = self._tables.routes.get(id(table))
        if held is None:
            assert isinstance(table, RouteTable)
            held = self._tables.routes[id(table)] = (table, Routes(table))
        return held[1]

    def carried(self, vpc_id: str, family: int, address: int) -> tuple[str, ...]:
        """The groups carried by the interface of a VPC that has an address, running or not (SG-67)."""
        owner = self.places.vpcs[vpc_id].owners[family].get(address)
        return () if owner is None else owner.groups

    def carried_there(self, way: Crossing, family: int, address: int) -> tuple[str, ...]:
        """The same in a peer VPC, as rules of this one name them (SG-52, PCX-09)."""
        if not way.same_region:
            return ()
        carried = self.carried(way.far_vpc_id, family, address)
        return tuple(far_name(group, way.far_vpc_id) for group in carried)

    def has_unknown(self, vpc_id: str) -> bool:
        """Has the VPC an element the engine does not know?"""
        return vpc_id in self._foreign or None in self._foreign

    def unknown_of(self, vpc_id: str) -> tuple[str, str] | None:
        """The element of the VPC that the engine does not know, and why."""
        return self._foreign.get(vpc_id) or self._foreign.get(None)

    def refuse_unknown(self, vpc_id: str) -> None:
        """Unmodelled when `has_unknown`."""
        found = self.unknown_of(vpc_id)
        if found is not None:
            raise Unmodelled(*found)

    def refuse_unknown_outside(self, family: int, address: int) -> None:
        """Unmodelled when a public address that nobody is known to have may be somebody's all the same."""
        if self._foreign and public(family, address):
            raise Unmodelled(*(self._foreign.get(OUTSIDE) or next(iter(self._foreign.values()))))

    # ------------------------------------------------------------------ questions
    def conversations(self, source: str, src: Address, dst: Address) -> Answer:
        """Everything a source (an interface id or INTERNET) may say from one address to another. KeyError: no such source."""
        if src.version != dst.version:
            raise ValueError(f"{src} and {dst} are of different IP versions")
        key = (source, src.version, int(src), int(dst))
        found = self._answers.get(key)
        if found is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            found = self._answers[key] = self._converse(source, src, dst)
        return found

    def _converse(self, source: str, src: Address, dst: Address) -> Answer:
        there = There(self.services, self.services.full)
        try:
            return self._there_and_back(there, source, src, dst)
        except Unmodelled as problem:
            unknown = Unknown(problem.component, problem.why) if there.alive else None  # nothing gets as far as there
            return Answer(source, src, dst, Space(self.services), steps=tuple(there.steps), unknown=unknown)

    def _there_and_back(self, there: There, source: str, src: Address, dst: Address) -> Answer:
        walk = Walk(self, there, src.version, int(src), int(dst))
        end = walk.from_internet() if source == INTERNET else walk.from_interface(self.places.ports[source])
        nothing = Space(self.services)
        if end is None:
            return Answer(source, src, dst, nothing, None, tuple(there.steps), tuple(walk.through))
        back = Back.of(there)
        if end != SERVICE or walk.endpoint is not None:
            home = Walk(self, back, src.version, walk.dst, walk.src)
            if walk.endpoint is not None:
                at = home.from_endpoint(walk.endpoint)
            else:
                at = home.from_internet() if end == INTERNET else home.from_interface(self.places.ports[end])
            if (at, home.dst, home.src) != (source, int(src), int(dst)):
                return Answer(source, src, dst, nothing, end, tuple(there.steps), tuple(walk.through))
        space = Space.of(self.services, back.ports, back.plain)
        return Answer(source, src, dst, space, end, tuple(there.steps), tuple(walk.through))

    def allowed(self, source: str, destination: str) -> list[Answer]:
        """Everything one interface may say to another: an answer for each pair of their private and IPv6 addresses."""
        return [self.conversations(source, src, dst) for src, dst in self._addresses(source, destination)]

    def _addresses(self, source: str, destination: str) -> Iterator[tuple[Address, Address]]:
        ports = self.places.ports
        for family in (4, 6):
            for src in sorted(ports[source].addresses[family]):
                for dst in sorted(ports[destination].addresses[family]):
                    yield number_to_address(family, src), number_to_address(family, dst)

    def ask(self, source: str, packet: Packet) -> bool | Unknown:
        """Does a packet arrive, and its answer come back?"""
        key = (source, packet.src.version, int(packet.src), int(packet.dst))
        pair = self._pairs.get(key)
        if pair is None:
            pair = local.between(self, *key)
            if pair is None:
                answer = self.conversations(source, packet.src, packet.dst)
                if answer.unknown is None:
                    return packet in answer.space
                # refused before it comes to what is unknown, or else asked by itself: other packets may be what is unknown
                return False if answer.blocking(packet) else self._alone(source, packet)
            if len(self._pairs) >= _REMEMBERED:
                self._pairs.clear()
            self._pairs[key] = pair
        return local.allows(self.services, pair, packet)

    def _alone(self, source: str, packet: Packet) -> bool | Unknown:
        """`ask`, by a walk of the packet's own service: a rule that is not known is met by the services it is about alone."""
        there = There(self.services, 1 << self.services.bit(point(packet)))
        try:
            return packet in self._there_and_back(there, source, packet.src, packet.dst).space
        except Unmodelled as problem:
            return Unknown(problem.component, problem.why) if there.alive else False


def replaced(was: Ir, now: Ir) -> tuple[list[Fragment], list[Fragment]]:
    """(fragments that are not the same object any more, fragments whose key is gone): of thousands mostly one."""
    before, after = was.fragments, now.fragments
    fresh = list(compress(after.values(), map(is_not, after.values(), map(before.get, after))))
    new = sum(key_of(fragment) not in before for fragment in fresh)
    if len(after) - new == len(before):
        return fresh, []
    return fresh, [fragment for key, fragment in before.items() if key not in after]


# ---------------------------------------------------------------------- what fragments cut
def _matches(fragment: Any) -> Iterator[Match]:
    if isinstance(fragment, Group | Acl):
        for rule in (*fragment.ingress, *fragment.egress):
            yield rule.match
    if isinstance(fragment, Group):
        for unread in fragment.unread:
            yield unread.match
    if isinstance(fragment, Endpoint):  # what its service answers, and where
        for block in fragment.blocks:
            yield Match(remote=block, protocol=Protocol.TCP, ports=PortRange(SERVICE_PORT, SERVICE_PORT))
            yield Match(remote=block, protocol=Protocol.ICMP, icmp_type=ECHO)


def _cuts(fragments: Iterable[Fragment]) -> set[int]:
    """The boundaries of services that rules name."""
    found = {interval(match) for fragment in fragments for match in _matches(fragment)}
    return {cut for first, last in found for cut in (first, last + 1) if cut < END}


def _blocks(fragments: Iterable[Fragment]) -> dict[int, set[int]]:
    """The blocks that rules, routes, subnets and gateways name, and those that no gateway or router lets pass."""
    found: set[Network] = {*UNROUTED, *UNROUTABLE, IPV6_POOL}
    for fragment in fragments:
        if isinstance(fragment, RouteTable):
            found.update(route.destination for route in fragment.routes)
        elif isinstance(fragment, Subnet | Vpc):
            blocks = fragment.ipv4 if isinstance(fragment, Vpc) else (fragment.ipv4,)
            found.update(block for block in (*blocks, *fragment.ipv6) if block is not None)
        else:
            found.update(match.remote for match in _matches(fragment) if match.remote is not None)
    return {family: {code_of(block) for block in found if block.version == family} for family in (4, 6)}


def _foreign(ir: Ir) -> dict[str | None, tuple[str, str]]:
    """Elements that the engine does not know: VPC (None: any) -> the id of one, and why."""
    found: dict[str | None, tuple[str, str]] = {}
    for (_, id), fragment in ir.fragments.items():
        if isinstance(fragment, Gap):
            found[fragment.vpc_id] = fragment.element, fragment.why
        elif type(fragment) not in MODELLED:
            found[getattr(fragment, "vpc_id", None)] = id, "this kind of element is not modelled"
    return found


def _appliances(ir: Ir) -> frozenset[str]:
    """The interfaces that routes lead to."""
    tables = (fragment for fragment in ir.fragments.values() if isinstance(fragment, RouteTable))
    return frozenset(route.target for table in tables for route in table.routes if route.target is not None)
