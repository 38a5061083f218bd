"""The pairs of addresses that a question is about, the plainest first.

Outside hosts are asked about by address atom (`reach/exposure.py`): nothing here tells the addresses of an atom apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.insight.analyzer.beyond import By
from ringfence.insight.analyzer.question import Question
from ringfence.insight.reach.classes import classes
from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.insight.reach.exposure import Outside
from ringfence.insight.reach.places import WIDTH, Crossing, Gateway, Place, inside
from ringfence.model.net import Address
from ringfence.policy.evaluate import INTERNET, SERVICE


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pair. `end`: the interface it should arrive at, INTERNET, SERVICE, a connection, or None: anywhere. `atom`: the outside
    address's, or that beyond a connection. `by`: the connection it begins or ends at; `alike`: sources that nothing tells apart."""

    source: str
    src: Address
    dst: Address
    end: str | None
    atom: int | None = None
    by: By | None = None
    alike: tuple[Address, ...] = ()


class Candidates:
    """Of one question to one engine."""

    def __init__(self, engine: Engine, question: Question) -> None:
        self.engine, self.question = engine, question
        self._outside: Outside | None = None
        self._beyond: dict[tuple[str, str, int], list[tuple[int, int]]] = {}

    @property
    def outside(self) -> Outside:
        """The atoms of the internet."""
        if self._outside is None:
            self._outside = Outside(self.engine)
        return self._outside

    def __iter__(self) -> Iterator[Candidate]:
        source = self.question.source
        if source.gateway is not None:
            yield from self._from_outside(source.gateway)
            return
        if source.peering is not None:
            for place in self.engine.places.vpcs.values():
                if source.peering in place.crossings:
                    yield from self._from_peer(place, place.crossings[source.peering])
            return
        for eni in source.interfaces:
            for src in self._sources(eni):
                yield from self._from(eni, src)

    # ------------------------------------------------------------------ from interfaces
    def _sources(self, eni: str) -> list[Address]:
        wanted = self.question.at_source.source_address
        if wanted is not None:
            return [wanted]
        port = self.engine.places.ports[eni]
        return [
            number_to_address(family, a) for family in self.question.families for a in sorted(port.addresses[family])
        ]

    def _from(self, eni: str, src: Address) -> Iterator[Candidate]:
        destination, port = self.question.destination, self.engine.places.ports[eni]
        if destination is None:
            yield from (Candidate(eni, src, dst, None) for dst in self._given(src.version))
        elif destination.gateway is not None:
            yield from self._to_outside(eni, src)
        elif destination.endpoint is not None:
            yield from self._to_service(destination.endpoint, eni, src)
        elif destination.peering is not None:
            yield from self._to_peer(destination.peering, eni, src)
        else:
            for there in destination.interfaces:
                if there != eni:
                    yield from (
                        Candidate(eni, src, dst, there) for dst in self._addresses(there, src.version, port.vpc_id)
                    )

    def _given(self, family: int) -> Iterator[Address]:
        """The destination address of a question without a destination."""
        question = self.question
        given = (
            question.at_source.destination_address, question.destination_ip, question.at_destination.destination_address
        )  # fmt: skip
        yield from (address for address in dict.fromkeys(given) if address is not None and address.version == family)

    def _to_outside(self, eni: str, src: Address) -> Iterator[Candidate]:
        given = list(self._given(src.version))
        if given:
            yield from (Candidate(eni, src, dst, INTERNET) for dst in given)
            return
        for atom, address in self.outside.atoms[src.version]:
            yield Candidate(eni, src, number_to_address(src.version, address), INTERNET, atom)

    def _to_service(self, endpoint_id: str, eni: str, src: Address) -> Iterator[Candidate]:
        """Nothing tells the addresses of an atom of its blocks apart."""
        gate = self.engine.places.endpoints[endpoint_id]
        given: list[tuple[int | None, Address]] = [(None, address) for address in self._given(src.version)]
        inner = self.engine.prefixes[src.version].within(gate.blocks[src.version])
        for atom, dst in given or [(code, number_to_address(src.version, at)) for code, at in inner]:
            yield Candidate(eni, src, dst, SERVICE, atom)

    def _to_peer(self, peering_id: str, eni: str, src: Address) -> Iterator[Candidate]:
        """To every address of the far VPC's blocks."""
        place = self.engine.places.vpcs[self.engine.places.ports[eni].vpc_id]
        way = place.crossings.get(peering_id)
        if way is None:
            return
        by = By(peering_id, place.vpc_id, into=False)
        given = list(self._given(src.version))
        yield from (Candidate(eni, src, dst, peering_id, None, by) for dst in given)
        for atom, at in () if given else self.beyond(way, src.version):
            yield Candidate(eni, src, number_to_address(src.version, at), peering_id, atom, by)

    def beyond(self, way: Crossing, family: int) -> list[tuple[int, int]]:
        """The atoms of the far VPC's blocks, each with an address that stands for it."""
        key = (way.vpc_id, way.peering_id, family)
        found = self._beyond.get(key)
        if found is None:
            found = self._beyond[key] = list(self.engine.prefixes[family].within(way.blocks[family]))
        return found

    def like(self, candidate: Candidate) -> tuple[list[tuple[int, int]], set[int]]:
        """The atoms that a candidate stands in for, each with an address, and what of them is not meant."""
        places, family = self.engine.places, candidate.src.version
        if candidate.by is not None:
            return self.beyond(places.vpcs[candidate.by.vpc_id].crossings[candidate.by.peering_id], family), set()
        if candidate.end == SERVICE and self.question.destination is not None:
            gate = places.endpoints[self.question.destination.endpoint or ""]
            return list(self.engine.prefixes[family].within(gate.blocks[family])), set()
        return self.outside.atoms[family], ours(self.engine, family)

    # ------------------------------------------------------------------ to interfaces
    def _addresses(self, eni: str, family: int, vpc_id: str | None, *, published: bool = True) -> list[Address]:
        """The addresses a sender may use for an interface: its own, and public ones; from outside (no VPC) public ones.

        One that a filter names and that the interface does not have is asked for all the same: it tells why not.
        """
        question, port = self.question, self.engine.places.ports[eni]
        gate = self.engine.places.vpcs[port.vpc_id].gateway
        own = {number_to_address(family, a): number_to_address(family, a) for a in sorted(port.addresses[family])}
        known = dict(own) if vpc_id is not None or family == 6 else {}
        if family == 4 and gate is not None and published:
            known |= _public(gate, port.addresses[4])
        if not known:
            known = own  # asked for at its private address, which no route from outside leads to
        wanted = question.at_source.destination_address
        if wanted is not None:
            return [wanted] if wanted.version == family else []
        kept = dict(known)
        if question.destination_ip is not None:
            kept = {a: arrives for a, arrives in kept.items() if question.destination_ip in (a, arrives)}
        if question.at_destination.destination_address is not None:
            kept = {a: arrives for a, arrives in kept.items() if arrives == question.at_destination.destination_address}
        return list(kept) or list(self._given(family))

    # ------------------------------------------------------------------ from a peer VPC
    def _from_peer(self, near: Place, way: Crossing) -> Iterator[Candidate]:
        """From the interfaces of the far VPC, at their addresses; those that nothing tells apart together."""
        by, wanted = By(way.peering_id, near.vpc_id, into=True), self._sender_wanted
        far = classes(self.engine, only={way.far_vpc_id})
        for family in self.question.families:
            targets = list(self._reached(near, family))
            for each in far.get((way.far_vpc_id, family), ()) if targets else ():
                held = [(eni, number_to_address(family, at)) for eni, at in each.members]
                held = [(eni, src) for eni, src in held if wanted in (None, src)]
                for end, dst in targets if held else ():
                    alike = tuple(src for _, src in held)
                    yield Candidate(*held[0], dst, end, None, by, alike)

    @property
    def _sender_wanted(self) -> Address | None:
        return self.question.at_source.source_address or self.question.at_destination.source_address

    def _reached(self, near: Place, family: int) -> Iterator[tuple[str | None, Address]]:
        """What of a VPC is asked about."""
        destination = self.question.destination
        if destination is None:
            blocks = near.blocks[family]
            yield from ((None, a) for a in self._given(family) if inside(blocks, WIDTH[family], int(a)))
            return
        for eni in destination.interfaces:
            if self.engine.places.ports[eni].vpc_id == near.vpc_id:
                for dst in self._addresses(eni, family, near.vpc_id, published=False):
                    yield eni, dst

    # ------------------------------------------------------------------ from outside
    def _from_outside(self, gateway_id: str) -> Iterator[Candidate]:
        gate = next(gate for gate in self.engine.places.gateways if gate.gateway_id == gateway_id)
        for end, dst in self._targets(gate):
            wanted = self._sender_wanted
            if wanted is not None:
                if wanted.version == dst.version:
                    yield Candidate(INTERNET, wanted, dst, end)
                continue
            for atom, address in self.outside.atoms[dst.version]:
                yield Candidate(INTERNET, number_to_address(dst.version, address), dst, end, atom)

    def _targets(self, gate: Gateway) -> Iterator[tuple[str | None, Address]]:
        destination = self.question.destination
        if destination is None:
            for family in self.question.families:
                for address in self._given(family):
                    exact = address == self.question.at_source.destination_address  # as the sender writes it
                    yield None, address if exact else _published(gate, address)
            return
        for eni in destination.interfaces:
            for family in self.question.families:
                yield from ((eni, dst) for dst in self._addresses(eni, family, None))


def _public(gate: Gateway, addresses: frozenset[int]) -> dict[Address, Address]:
    """Public address -> private one."""
    return {
        number_to_address(4, gate.outward[a]): number_to_address(4, a) for a in sorted(addresses) if a in gate.outward
    }


def _published(gate: Gateway, address: Address) -> Address:
    """The public address of a private one, if it has any."""
    outward = gate.outward.get(int(address)) if address.version == 4 else None
    return address if outward is None else number_to_address(4, outward)


def ours(engine: Engine, family: int) -> set[int]:
    """The addresses that gateways here lead to, as atoms' codes."""
    if family == 4:
        return {1 << WIDTH[4] | a for a in engine.places.published}
    return {code for gate in engine.places.gateways for code in gate.ipv6[6]}
