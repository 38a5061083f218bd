"""The paths that an access scope matches: all of them, and nothing else.

A path is a pair of addresses and a set of packets, services times source ports. Interfaces that nothing tells apart
(`reach/matrix.py`) and outside addresses of one atom are walked once. The blocks and ports that the scope names cut atoms too,
so that an atom is in or out of each statement as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ringfence.insight.analyzer.oneway import BEYOND, OneWay, from_gateway, from_interface, from_peer, to_peer
from ringfence.insight.analyzer.statements import EC2, ENI, IGW, PCX, VPCE, Content, Entry, Header, Statement
from ringfence.insight.reach.atoms import BASES, END, OTHER, code_of
from ringfence.insight.reach.classes import Endpoints, classes
from ringfence.insight.reach.engine import Engine, Unknown, number_to_address
from ringfence.insight.reach.journey import Unmodelled
from ringfence.insight.reach.peers import joined, leads, leads_to
from ringfence.insight.reach.places import WIDTH, Crossing, Gateway, Port, ServiceGate, public
from ringfence.insight.reach.space import Space
from ringfence.model.kinds import INTERNET_GATEWAY, NETWORK_INTERFACE, PEERING_CONNECTION
from ringfence.model.net import PORTED, Network, PortRange
from ringfence.model.world import World
from ringfence.policy.evaluate import within
from ringfence.policy.ir import PeerMembers

Addresses = tuple[int, int, int]  # family, source, destination
Product = tuple[int, int]  # services, source ports (meaningless for what has none)


@dataclass(frozen=True, slots=True)
class Path:
    """A path that matches. `source`, `end`: ids of interfaces, gateways or connections; `src`, `dst`: as sent.
    `atom`: of the address outside, or beyond the connection.

    `space`: the packets of it that the scope is about.
    """

    source: str
    family: int
    src: int
    dst: int
    way: OneWay
    space: Space
    atom: int | None = None

    @property
    def end(self) -> str:
        return self.way.end

    @property
    def key(self) -> tuple[object, ...]:
        """What tells paths of one configuration apart, and lets those of two on the same atoms be compared."""
        return self.source, self.end, self.family, self.atom, *self.own

    @property
    def own(self) -> tuple[int, ...]:
        """The addresses of interfaces: both, or the one that is not of an outside atom."""
        if self.atom is None:
            return self.src, self.dst
        return (self.dst,) if self.way.end.startswith("eni-") else (self.src,)


def refined(engine: Engine, content: Content) -> Engine:
    """The engine on atoms that respect what a scope names."""
    cuts: set[int] = set()
    blocks: dict[int, set[int]] = {4: set(), 6: set()}
    for header in content.headers():
        for ranges in (header.source_ports, header.destination_ports):
            for ports in ranges or ():
                for base in (BASES[protocol] for protocol in PORTED):
                    cuts |= {base + ports.first, base + ports.last + 1}
        for protocol in header.protocols or ():
            if protocol not in BASES:
                cuts |= {OTHER + protocol, OTHER + protocol + 1}
        for block in (*(header.sources or ()), *(header.destinations or ())):
            blocks[block.version].add(code_of(block))
    if any(_may_be_beyond(entry.destination) for entry in content.match):
        # whom the egress rules of a VPC name in a peer one, each an atom: what leaves a VPC is told by atoms
        for members in engine.ir.fragments.values():
            if isinstance(members, PeerMembers):
                for group in members.groups:
                    for address in (*group.ipv4, *group.ipv6):
                        blocks[address.version].add(_alone(address.version, int(address)))
    services = engine.services.with_cuts({cut for cut in cuts if cut < END})
    return engine.on(services, {family: engine.prefixes[family].with_codes(blocks[family]) for family in (4, 6)})


class Scope:
    """One scope over one configuration, as far as one account and Region may see it.

    `touched`: only paths that begin or end at one of these interfaces. `unknown`: an element that leaves some answer open.
    """

    def __init__(
        self, world: World, engine: Engine, content: Content, account_id: str, region: str,
        touched: Container[str] | None = None,
    ) -> None:  # fmt: skip
        self.world, self.content, self.touched, self.account_id = world, content, touched, account_id
        self.engine = refined(engine, content)
        self.unknown: Unknown | None = None
        rows = world.all(NETWORK_INTERFACE, account_id, region)
        self.analysed = len(rows)
        ports = [self.engine.places.ports.get(row.id) for row in rows]
        self.ports = {port.eni_id: port for port in ports if port is not None and port.running}
        self._services: dict[str, list[ServiceGate]] = {vpc_id: [] for vpc_id in self.engine.places.vpcs}
        for served in self.engine.places.endpoints.values():
            self._services[served.vpc_id].append(served)
        self._instances = {row.id: row.attachment.instance_id for row in rows if row.attachment is not None}
        self._bits: dict[tuple[str, bool], int] = {}
        self._masks: dict[Header, list[Product]] = {}
        asked = (_meet(self._mask(e.source.header), self._mask(e.destination.header)) for e in content.match)
        #: the services that match paths are about
        self._asked = _union(lets for products in asked for lets, _ in products)
        self._outside: dict[tuple[int, str], list[tuple[int, int]]] = {}

    def paths(self) -> Iterator[Path]:
        """Every path that matches, in the order of their ends."""
        yield from self._among_interfaces()
        yield from self._among_peers()
        for vpc_id in sorted({port.vpc_id for port in self.ports.values()}):
            yield from self._by_peerings(vpc_id)
        for port in self.ports.values():
            if not self._looked(port.eni_id):
                continue
            for served in self._services[port.vpc_id]:
                yield from self._served(port, served)
            gate = self.engine.places.vpcs[port.vpc_id].gateway
            if gate is not None and self._owned(gate):
                yield from self._leaving(port, gate)
                yield from self._entering(port, gate)

    def _looked(self, *enis: str) -> bool:
        return self.touched is None or any(eni in self.touched for eni in enis)

    def _owned(self, gate: Gateway) -> bool:
        return bool(self._wanted(gate.gateway_id, source=True) | self._wanted(gate.gateway_id, source=False))

    # ------------------------------------------------------------------ which ends matter
    def _wanted(self, end: str, *, source: bool) -> int:
        """The match paths, as bits, that may begin (or end) here."""
        found = self._bits.get((end, source))
        if found is None:
            entries = (entry.source if source else entry.destination for entry in self.content.match)
            found = sum(1 << n for n, statement in enumerate(entries) if self._is(statement, end))
            self._bits[end, source] = found
        return found

    def _is(self, statement: Statement, end: str) -> bool:
        """Does a resource statement name an end?"""
        port = self.engine.places.ports.get(end)
        if statement.types is not None:
            away = {VPCE} if end in self.engine.places.endpoints else {PCX} if _peering(end) else {IGW}
            own = away if port is None else {ENI, EC2} if end in self._instances else {ENI}
            return not own.isdisjoint(statement.types)
        if statement.resources is None:
            return True
        return not self._names(end).isdisjoint(statement.resources)

    def _names(self, end: str) -> set[str]:
        port = self.engine.places.ports.get(end)
        if port is None:
            return {end}
        return {
            end,
            port.vpc_id,
            port.net.subnet_id,
            *port.groups,
            *([self._instances[end]] if end in self._instances else []),
        }

    # ------------------------------------------------------------------ enumeration
    def _among_interfaces(self) -> Iterator[Path]:
        for everyone in classes(self.engine, only={port.vpc_id for port in self.ports.values()}).values():
            looked = [self._looked(*(eni for eni, _ in each.members)) for each in everyone]
            begins = [self._some(each, source=True) for each in everyone]
            ends = [self._some(each, source=False) for each in everyone]
            for one, first, here in zip(everyone, begins, looked, strict=True):
                if first:
                    for other, last, there in zip(everyone, ends, looked, strict=True):
                        if (here or there) and first & last and self._may(one, other):
                            yield from self._between(one, other)

    def _among_peers(self) -> Iterator[Path]:
        """Between interfaces of peer VPCs."""
        here = {port.vpc_id for port in self.ports.values()}
        ways = [way for way in joined(self.engine) if here.issuperset(way)]
        found = classes(self.engine, only=here) if ways else {}
        for near, far in ways:
            for family in (4, 6):
                for one in found.get((near, family), ()):
                    for other in found.get((far, family), ()):
                        if self._some(one, source=True) & self._some(other, source=False) and leads(
                            self.engine, one, other
                        ):
                            yield from self._between(one, other)

    def _may(self, one: Endpoints, other: Endpoints) -> bool:
        """Quickly: may anything that the scope asks for get past the groups at both ends? They bound every way between them."""
        mine, theirs = (self.engine.group_set(each.vpc_id, each.groups) for each in (one, other))
        if not (mine.certain and theirs.certain) or self._doubtful(one) or self._doubtful(other):
            return True
        family = one.family
        lets = mine.by_block(True, family, other.atom) | mine.by_group(True, family, other.groups)
        lets &= theirs.by_block(False, family, one.atom) | theirs.by_group(False, family, one.groups)
        return bool(lets & self._asked)

    def _doubtful(self, of: Endpoints) -> bool:
        """Is something not known about these interfaces, or their VPC (imported networks)? Then groups bound nothing."""
        return self.engine.has_unknown(of.vpc_id) or self.engine.places.ports[of.members[0][0]].doubt is not None

    def _some(self, of: Endpoints, *, source: bool) -> int:
        out = 0
        for eni, _ in of.members:
            if eni in self.ports:
                out |= self._wanted(eni, source=source)
        return out

    def _between(self, one: Endpoints, other: Endpoints) -> Iterator[Path]:
        """Two classes: walked for one pair of members, told for each."""
        pair = one.two(other)
        if pair is None:
            return
        (sender, src), (_, dst) = pair
        way = self._walk(self.engine.places.ports[sender], one.family, src, dst)
        if way is None:
            return
        for eni, a in one.members:
            for there, b in other.members:
                if eni == there or eni not in self.ports or there not in self.ports or not self._looked(eni, there):
                    continue
                if self._wanted(eni, source=True) & self._wanted(there, source=False):
                    own = OneWay(there, way.lets, a, b, way.through, way.steps, way.crossed)
                    if way.end == pair[1][0]:
                        yield from self._path(eni, one.family, a, b, own)

    def _walk(self, port: Port, family: int, src: int, dst: int) -> OneWay | None:
        return self._known(partial(from_interface, self.engine, port, family, src, dst))

    def _known(self, walk: Callable[[], OneWay | None]) -> OneWay | None:
        """Where a walk leads; one that meets what is not known leads nowhere, and leaves the scope's answer open."""
        try:
            return walk()
        except Unmodelled as problem:
            self.unknown = self.unknown or Unknown(problem.component, problem.why)
            return None

    def _atoms(self, family: int, gate: Gateway | None = None) -> list[tuple[int, int]]:
        """The atoms of public addresses, ours among them, each with an address that stands for it; none that `gate` publishes."""
        key = (family, gate.gateway_id if gate is not None else "")
        found = self._outside.get(key)
        if found is None:
            avoid = gate.inward if gate is not None and family == 4 else ()
            found = self._outside[key] = list(self._public_atoms(family, avoid))
        return found

    def _public_atoms(self, family: int, avoid: Container[int]) -> Iterator[tuple[int, int]]:
        width, prefixes = WIDTH[family], self.engine.prefixes[family]
        for code in sorted(prefixes.codes):
            away = width + 1 - code.bit_length()
            at, end = (code << away) - (1 << width), (code + 1 << away) - (1 << width)
            while at < end:
                inner = prefixes.of_number(at)
                if inner == code and at in avoid:
                    at += 1
                    continue
                if inner == code:
                    if public(family, at):
                        yield code, at
                    break
                at = (inner + 1 << width + 1 - inner.bit_length()) - (1 << width)

    def _leaving(self, port: Port, gate: Gateway) -> Iterator[Path]:
        """To the internet by a gateway, whoever has the address there."""
        if not self._wanted(port.eni_id, source=True) & self._wanted(gate.gateway_id, source=False):
            return
        for family, own, _ in _known(port, gate):
            for atom, address in self._atoms(family):
                if address in port.addresses[family]:  # its own, which stays
                    continue
                way = self._walk(port, family, own, address)
                if way is not None and way.end == gate.gateway_id:
                    yield from self._path(port.eni_id, family, own, address, way, atom)

    def _served(self, port: Port, gate: ServiceGate) -> Iterator[Path]:
        """To the service behind a gateway endpoint, at one address for each atom of its blocks."""
        if not self._wanted(port.eni_id, source=True) & self._wanted(gate.endpoint_id, source=False):
            return
        atoms = {self.engine.atom(4, address): address for code in gate.blocks[4] for address in _all(code)}
        for own in sorted(port.addresses[4]):
            for atom, address in sorted(atoms.items()):
                way = self._walk(port, 4, own, address)
                if way is not None and way.end == gate.endpoint_id:
                    yield from self._path(port.eni_id, 4, own, address, way, atom)

    def _entering(self, port: Port, gate: Gateway) -> Iterator[Path]:
        """From the internet by a gateway. Its own public addresses are nobody's there."""
        if not self._wanted(gate.gateway_id, source=True) & self._wanted(port.eni_id, source=False):
            return
        for family, _, known in _known(port, gate):
            for atom, address in self._atoms(family, gate):
                way = self._known(partial(from_gateway, self.engine, gate, family, address, known))
                if way is not None and way.end == port.eni_id:
                    yield from self._path(gate.gateway_id, family, address, known, way, atom)

    # ------------------------------------------------------------------ peering connections as ends
    def _by_peerings(self, vpc_id: str) -> Iterator[Path]:
        """What leaves a VPC by its connections, and what enters by them."""
        ways = self.engine.places.vpcs[vpc_id].crossings.values()
        if not ways and not self.engine.has_unknown(vpc_id):
            return
        found = classes(self.engine, only={vpc_id})
        for family in (4, 6):
            here = found.get((vpc_id, family), [])
            begins = [each for each in here if self._some(each, source=True)]
            ends = [each for each in here if self._some(each, source=False)]
            self._refuse_unknown_peering(vpc_id, begins, ends)
            for way in ways:
                out, into = (self._wanted(way.peering_id, source=source) for source in (False, True))
                for one in begins:
                    if self._some(one, source=True) & out:
                        yield from self._leaving_to(way, one)
                reached = [other for other in ends if into & self._some(other, source=False)]
                if reached:
                    yield from self._entering_from(way, family, reached)

    def _refuse_unknown_peering(self, vpc_id: str, begins: list[Endpoints], ends: list[Endpoints]) -> None:
        """A connection that the engine does not know may be an end as well: of a VPC with elements that are not modelled."""
        found = self.engine.unknown_of(vpc_id)
        if found is None or self.unknown is not None:
            return
        named = {id for e in self.content.match for s in (e.source, e.destination) for id in s.resources or ()}
        for end in ("pcx-", *filter(_peering, sorted(named))):
            out, into = (self._wanted(end, source=source) for source in (False, True))
            if any(self._some(one, source=True) & out for one in begins) or any(
                self._some(other, source=False) & into for other in ends
            ):
                self.unknown = Unknown(*found)

    def _leaving_to(self, way: Crossing, one: Endpoints) -> Iterator[Path]:
        """To the blocks of the far VPC, whoever has the address there."""
        if not self._looked(*(eni for eni, _ in one.members)):
            return
        sender, src = one.members[0]
        for atom, address in self._beyond(way, one.family):
            if not leads_to(self.engine, one, atom):
                continue
            port = self.engine.places.ports[sender]
            found = self._known(partial(to_peer, self.engine, port, one.family, src, address))
            if found is None or found.end != way.peering_id:
                continue
            for eni, own in one.members:
                if eni in self.ports and self._looked(eni) and self._wanted(eni, source=True):
                    yield from self._path(eni, one.family, own, address, replace(found, src=own), atom)

    def _entering_from(self, way: Crossing, family: int, ends: list[Endpoints]) -> Iterator[Path]:
        """From the interfaces of the far VPC, at their addresses."""
        if self.engine.has_unknown(way.far_vpc_id):
            self.unknown = self.unknown or Unknown(way.peering_id, BEYOND)
            return
        far = classes(self.engine, only={way.far_vpc_id}).get((way.far_vpc_id, family), [])
        for one in far:
            for other in ends:
                looked = self._looked(*(eni for eni, _ in (*one.members, *other.members)))
                if looked and leads(self.engine, one, other):
                    yield from self._entered(way, one, other)

    def _entered(self, way: Crossing, one: Endpoints, other: Endpoints) -> Iterator[Path]:
        """Two classes: walked for one pair of members, told for each."""
        (sender, src), (receiver, dst) = one.members[0], other.members[0]
        port = self.engine.places.ports[sender]
        found = self._known(partial(from_peer, self.engine, way.peering_id, port, one.family, src, dst))
        if found is None or found.end != receiver:
            return
        for there, b in other.members:
            if there not in self.ports or not self._wanted(there, source=False):
                continue
            for eni, a in one.members:
                if self._looked(eni, there):
                    own = replace(found, end=there, src=a, dst=b)
                    yield from self._path(way.peering_id, one.family, a, b, own, _alone(one.family, a))

    def _beyond(self, way: Crossing, family: int) -> list[tuple[int, int]]:
        """The atoms of the far VPC's blocks, each with an address that stands for it."""
        key = (family, f"{way.vpc_id}/{way.peering_id}")
        found = self._outside.get(key)
        if found is None:
            found = self._outside[key] = list(self.engine.prefixes[family].within(way.blocks[family]))
        return found

    # ------------------------------------------------------------------ statements about packets
    def _path(
        self, source: str, family: int, src: int, dst: int, way: OneWay, atom: int | None = None
    ) -> Iterator[Path]:
        """The path, if anything of it matches and is not excluded."""
        sent, arrived = (family, src, dst), (family, way.src, way.dst)
        kept: list[Product] = []
        for entry in self.content.match:
            for product in self._of(entry, source, way, sent, arrived):
                kept += _minus([product], kept)
        for entry in self.content.exclude:
            if kept:
                kept = _minus(kept, self._of(entry, source, way, sent, arrived))
        services = self.engine.services
        ported = [(lets & services.ported, ports) for lets, ports in kept]
        plain = 0
        for lets, _ in kept:
            plain |= lets & ~services.ported
        space = Space.of(services, ported, plain)
        if space:
            yield Path(source, family, src, dst, way, space, atom)

    def _of(self, entry: Entry, source: str, way: OneWay, sent: Addresses, arrived: Addresses) -> list[Product]:
        """What of a path an entry says."""
        if not self._is(entry.source, source) or not self._is(entry.destination, way.end):
            return []
        if not all(self._passes(statement, source, way) for statement in entry.through):
            return []
        out = [(way.lets, self.engine.services.ported)]
        for header, ends in ((entry.source.header, sent), (entry.destination.header, arrived)):
            family, src, dst = ends
            if not _inside(header.sources, family, src) or not _inside(header.destinations, family, dst):
                return []
            out = _meet(out, self._mask(header))
        return [product for product in out if product[0]]

    def _passes(self, statement: Statement, source: str, way: OneWay) -> bool:
        """Is it on the way? A resource anywhere, a type between the ends only: every path begins at something. A connection that
        is an end is passed as well: beyond it is another VPC."""
        if statement.types is not None:
            own = ({ENI, EC2} if way.through else set()) | ({PCX} if way.crossed else set())
            return not own.isdisjoint(statement.types)
        names = {id for step in way.steps for id in step.component} | ({way.crossed} if way.crossed else set())
        for eni in (source, way.end, *way.through):
            names |= self._names(eni)
        return not names.isdisjoint(statement.resources or ())

    def _mask(self, header: Header) -> list[Product]:
        """The services and source ports of a header statement, as products."""
        found = self._masks.get(header)
        if found is None:
            found = self._masks[header] = self._products(header)
        return found

    def _products(self, header: Header) -> list[Product]:
        services = self.engine.services
        lets = services.full
        if header.protocols is not None:
            lets = _union(self._protocol(protocol) for protocol in header.protocols)
        if header.destination_ports is not None:
            lets &= self._ports(header.destination_ports)
        if header.source_ports is None:
            return [(lets, services.ported)]
        return [(lets & services.ported, self._ports(header.source_ports))]

    def _protocol(self, protocol: int) -> int:
        services = self.engine.services
        base = BASES.get(protocol)
        if base is None:
            return services.mask(OTHER + protocol, OTHER + protocol)
        return services.mask(base, base + 0xFFFF)

    def _ports(self, ranges: Iterable[PortRange]) -> int:
        services = self.engine.services
        return _union(
            services.mask(BASES[protocol] + ports.first, BASES[protocol] + ports.last)
            for ports in ranges for protocol in PORTED
        )  # fmt: skip


# ---------------------------------------------------------------------- small parts
def _peering(id: str) -> bool:
    return id.startswith(PEERING_CONNECTION.prefix)


def _may_be_beyond(statement: Statement) -> bool:
    """Is a peering connection or an internet gateway an end that a statement allows?"""
    if statement.types is not None:
        return not statement.types.isdisjoint((PCX, IGW))
    beyond = (PEERING_CONNECTION.prefix, INTERNET_GATEWAY.prefix)
    return statement.resources is None or any(id.startswith(beyond) for id in statement.resources)


def _alone(family: int, address: int) -> int:
    """The code of one address."""
    return 1 << WIDTH[family] | address


def _known(port: Port, gate: Gateway) -> Iterator[tuple[int, int, int]]:
    """(family, own address, the address that the outside knows)."""
    for own in sorted(port.addresses[4]):
        if own in gate.outward:
            yield 4, own, gate.outward[own]
    for own in sorted(port.addresses[6]):
        yield 6, own, own


def _all(code: int) -> range:
    """The IPv4 addresses of a block."""
    away = WIDTH[4] + 1 - code.bit_length()
    return range((code << away) - (1 << WIDTH[4]), (code + 1 << away) - (1 << WIDTH[4]))


def _inside(blocks: tuple[Network, ...] | None, family: int, address: int) -> bool:
    return blocks is None or within(number_to_address(family, address), blocks)


def _union(masks: Iterable[int]) -> int:
    out = 0
    for mask in masks:
        out |= mask
    return out


def _meet(some: list[Product], others: list[Product]) -> list[Product]:
    return [(a & c, b & d) for a, b in some for c, d in others if a & c and b & d]


def _minus(parts: list[Product], others: list[Product]) -> list[Product]:
    """Products minus products; what has no ports has all source ports in every product that says nothing of them."""
    for lets, ports in others:
        kept: list[Product] = []
        for mine, from_ in parts:
            if mine & ~lets:
                kept.append((mine & ~lets, from_))
            if mine & lets and from_ & ~ports:
                kept.append((mine & lets, from_ & ~ports))
        parts = kept
    return parts
