"""The pairs of addresses that a question is about, the plainest first.

Outside hosts are asked about by address atom (`reach/exposure.py`): nothing here tells the addresses of an atom apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.insight.analyzer.question import Question
from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.insight.reach.exposure import Outside
from ringfence.insight.reach.places import Gateway
from ringfence.model.net import Address
from ringfence.policy.evaluate import INTERNET


@dataclass(frozen=True, slots=True)
class Candidate:
    """One pair. `end`: the interface it should arrive at, INTERNET, or None: anywhere. `atom`: the outside address's."""

    source: str
    src: Address
    dst: Address
    end: str | None
    atom: int | None = None


class Candidates:
    """Of one question to one engine."""

    def __init__(self, engine: Engine, question: Question) -> None:
        self.engine, self.question = engine, question
        self._outside: Outside | None = None

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

    # ------------------------------------------------------------------ to interfaces
    def _addresses(self, eni: str, family: int, vpc_id: str | None) -> list[Address]:
        """The addresses a sender may use for an interface: its own, and public ones; from outside (no VPC) public ones.

        One that a filter names and that the interface does not have is asked for all the same: it tells why not.
        """
        question, port = self.question, self.engine.places.ports[eni]
        gate = self.engine.places.vpcs[port.vpc_id].gateway
        own = {number_to_address(family, a): number_to_address(family, a) for a in sorted(port.addresses[family])}
        known = dict(own) if vpc_id is not None or family == 6 else {}
        if family == 4 and gate is not None:
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

    # ------------------------------------------------------------------ from outside
    def _from_outside(self, gateway_id: str) -> Iterator[Candidate]:
        gate = next(gate for gate in self.engine.places.gateways if gate.gateway_id == gateway_id)
        for end, dst in self._targets(gate):
            wanted = self.question.at_source.source_address or self.question.at_destination.source_address
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
