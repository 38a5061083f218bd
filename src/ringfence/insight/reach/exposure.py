"""Exposure: what the internet, or a block of it, may say to interfaces, and what they may say to it.

The outside is every address that no gateway of the installation leads to and that may cross one, in address atoms: rules,
routes and gateways do not tell the addresses of an atom apart, so one of them stands for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from ringfence.insight.reach.atoms import code_of
from ringfence.insight.reach.engine import Answer, Engine, Unknown, number_to_address
from ringfence.insight.reach.journey import Unmodelled
from ringfence.insight.reach.places import WIDTH, Gateway, Port, public
from ringfence.insight.reach.space import Space
from ringfence.model.net import Address, Network
from ringfence.policy.evaluate import INTERNET
from ringfence.policy.packet import Packet


@dataclass(frozen=True, slots=True)
class Exposed:
    """What `outside` and an interface's address may say, one to the other. `public`: the address the outside knows.

    `outside`: blocks, each without what is inside it and has blocks of its own. `example`: an address of the first.
    """

    eni_id: str
    address: Address
    public: Address
    inbound: bool
    outside: tuple[Network, ...]
    example: Address
    space: Space
    unknown: Unknown | None = None

    def witness(self) -> Packet | None:
        """One packet that arrives and whose answer comes back."""
        if self.inbound:
            return self.space.witness(self.example, self.public)
        return self.space.witness(self.address, self.example)


def block_of(family: int, code: int) -> Network:
    """An atom's code as a block."""
    length, width = code.bit_length() - 1, WIDTH[family]
    first = number_to_address(family, (code << width - length) - (1 << width))
    return ip_network(f"{first}/{length}")


class Outside:
    """The atoms of the internet, within a block if one is given, each with an address that stands for it."""

    def __init__(self, engine: Engine, within: Network | None = None) -> None:
        if within is not None:
            prefixes = dict(engine.prefixes)
            prefixes[within.version] = prefixes[within.version].with_codes({code_of(within)})
            engine = engine.on(engine.services, prefixes)
        self.engine = engine
        self.atoms = {family: list(self._atoms(family, within)) for family in (4, 6)}

    def _atoms(self, family: int, within: Network | None) -> Iterator[tuple[int, int]]:
        """(atom, an address of it)."""
        if within is not None and within.version != family:
            return
        wanted = 1 if within is None else code_of(within)
        for code in sorted(self.engine.prefixes[family].codes):
            deeper = code.bit_length() - wanted.bit_length()
            address = self._example(family, code) if deeper >= 0 and code >> deeper == wanted else None
            if address is not None:
                yield code, address

    def _example(self, family: int, code: int) -> int | None:
        """The first address of an atom that is outside; None when there is none."""
        prefixes, places = self.engine.prefixes[family], self.engine.places
        width = WIDTH[family]
        away = width + 1 - code.bit_length()
        at, end = (code << away) - (1 << width), (code + 1 << away) - (1 << width)
        while at < end:
            inner = prefixes.of_number(at)
            if inner != code:
                at = (inner + 1 << width + 1 - inner.bit_length()) - (1 << width)
            elif family == 4 and at in places.published:
                at += 1
            else:
                ours = family == 6 and (places.behind(6, at) or places.closed(6, at))
                return at if public(family, at) and not ours else None
        return None


def exposure(
    engine: Engine, *, inbound: bool = True, within: Network | None = None, vpc_id: str | None = None
) -> Iterator[Exposed]:
    """Every interface that may hear the internet (`inbound`) or speak to it, with all it may hear or say."""
    outside = Outside(engine, within)
    memo: dict[tuple[object, ...], Answer] = {}
    for port in outside.engine.places.ports.values():
        if vpc_id not in (None, port.vpc_id):
            continue
        if outside.engine.has_unknown(port.vpc_id):
            yield from _not_known(outside.engine, port, inbound)
            continue
        if not port.running:
            continue
        gate = outside.engine.places.vpcs[port.vpc_id].gateway
        elsewhere = not inbound and outside.engine.routes(port.net.table_id).elsewhere
        for at in _addresses(port, gate, elsewhere):
            yield from _of(outside, memo, port, gate, at, inbound)


def _not_known(engine: Engine, port: Port, inbound: bool) -> Iterator[Exposed]:
    """An interface of a VPC of which something is not known: it may be exposed, by any gateway."""
    try:
        engine.refuse_unknown(port.vpc_id)
    except Unmodelled as problem:
        unknown = Unknown(problem.component, problem.why)
        for family in (4, 6):
            for own in sorted(port.addresses[family])[:1]:
                at = number_to_address(family, own)
                yield Exposed(port.eni_id, at, at, inbound, (), at, Space(engine.services), unknown)


def _addresses(port: Port, gate: Gateway | None, elsewhere: bool) -> Iterator[tuple[int, int, int]]:
    """(family, own address, the address that the outside knows). `elsewhere`: there are other ways out than the gateway."""
    outward = gate.outward if gate is not None else {}
    for own in sorted(port.addresses[4]):
        if own in outward or elsewhere:
            yield 4, own, outward.get(own, own)
    if gate is not None or elsewhere:
        for own in sorted(port.addresses[6]):
            yield 6, own, own


def _of(
    outside: Outside, memo: dict[tuple[object, ...], Answer], port: Port, gate: Gateway | None,
    at: tuple[int, int, int], inbound: bool,
) -> Iterator[Exposed]:  # fmt: skip
    """One address: the atoms of the outside by what they may say."""
    family, own, known = at
    by_space: dict[tuple[object, ...], tuple[Answer, int, list[int]]] = {}
    for code, address in outside.atoms[family]:
        answer = _asked(outside.engine, memo, port, gate, at, (code, address), inbound)
        if answer.unknown or answer.space:
            key = (answer.space.ports, answer.space.plain, answer.unknown)
            by_space.setdefault(key, (answer, address, []))[2].append(code)
    for answer, example, atoms in by_space.values():
        yield Exposed(
            port.eni_id, number_to_address(family, own), number_to_address(family, known), inbound,
            tuple(block_of(family, code) for code in atoms), number_to_address(family, example), answer.space,
            answer.unknown,
        )  # fmt: skip


def _asked(
    engine: Engine, memo: dict[tuple[object, ...], Answer], port: Port, gate: Gateway | None, at: tuple[int, int, int],
    there: tuple[int, int], inbound: bool,
) -> Answer:  # fmt: skip
    """Interfaces of one subnet with the same groups get the same answer, unless an appliance is on the way."""
    family, own, known = at
    code, address = there
    apart = engine.atom(family, own) if gate is not None and gate.table_id else None
    public_too = own != known
    key = (port.net.subnet_id, port.groups, port.doubt, family, code, inbound, apart, public_too)
    found = memo.get(key)
    if found is None or found.through or found.unknown or port.eni_id in engine.appliances:
        outer = number_to_address(family, address)
        found = (
            engine.conversations(INTERNET, outer, number_to_address(family, known))
            if inbound
            else engine.conversations(port.eni_id, number_to_address(family, own), outer)
        )
        if port.eni_id not in engine.appliances:
            memo[key] = found
    return found
