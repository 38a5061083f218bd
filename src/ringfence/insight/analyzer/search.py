"""Is there a packet that a question asks for, that arrives and whose answer comes back? If not: which elements refuse it?

Every pair of addresses has one way there and one back, so a path is a pair of addresses; the first pair that works, in the
order of `candidates.py`, is the shortest. Of the pairs that do not work, the one that the fewest elements refuse is explained,
by a packet that the fewest refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ringfence.insight.analyzer.beyond import converse, follow
from ringfence.insight.analyzer.candidates import Candidate, Candidates
from ringfence.insight.analyzer.question import Question
from ringfence.insight.reach.atoms import BASES, Interval, point
from ringfence.insight.reach.engine import Answer, Engine, Unknown, number_to_address
from ringfence.insight.reach.journey import Step
from ringfence.insight.reach.places import Port
from ringfence.insight.reach.space import Space, packet_at
from ringfence.model.net import Protocol
from ringfence.policy.evaluate import Exchange
from ringfence.policy.packet import Layer, Packet

#: source ports that witnesses have where they may choose
_USUAL = (40000, 50000, 1024)
_GATES = frozenset({Layer.GATEWAY, Layer.ENDPOINT})
#: where on the line of services the protocols without ports begin
_UNPORTED = BASES[Protocol.ICMP]


@dataclass(frozen=True, slots=True)
class Found:
    """A pair of addresses that works, with one packet of it and that packet's whole way."""

    candidate: Candidate
    answer: Answer
    packet: Packet
    done: Exchange


@dataclass(frozen=True, slots=True)
class Blocked:
    """A pair that does not: the packet that the fewest elements refuse, and these, in order. `end`: where it arrives."""

    candidate: Candidate
    answer: Answer
    packet: Packet
    steps: tuple[Step, ...]  # the answer's, and those of elements at the destination that it never came to
    refusing: tuple[Step, ...]


@dataclass(slots=True)
class Searched:
    """Everything about one question."""

    found: list[Found] = field(default_factory=list)
    blocked: Blocked | None = None
    unknown: Unknown | None = None
    #: pairs that work but that a filter on what arrives excludes
    elsewhere: Found | None = None
    #: outside hosts by atom that were asked about
    candidates: Candidates | None = None


#: says whether a path that was found is one that the analysis may use
Admit = Callable[[Found], bool]


def search(engine: Engine, question: Question, *, most: int | None = None, admit: Admit | None = None) -> Searched:
    """Every path, or the first `most`."""
    out = Searched(candidates=Candidates(engine, question))
    assert out.candidates is not None
    for candidate in out.candidates:
        answer = converse(engine, candidate.source, candidate.src, candidate.dst, candidate.by)
        if answer.unknown is not None:
            out.unknown = out.unknown or answer.unknown
            continue
        found = _found(engine, question, candidate, answer)
        if found is None:
            _refused(engine, question, candidate, answer, out)
        elif not _arrives(question, found) or (admit is not None and not admit(found)):
            out.elsewhere = out.elsewhere or found
        else:
            out.found.append(found)
            if most is not None and len(out.found) >= most:
                break
    return out


def _found(engine: Engine, question: Question, candidate: Candidate, answer: Answer) -> Found | None:
    packet = pick(answer.space, question, candidate)
    if packet is None or not leads(question, candidate, answer):
        return None
    done = follow(engine, candidate.source, packet, candidate.by)
    assert done.verdict.allowed, "the engine and the evaluator disagree"
    return Found(candidate, answer, packet, done)


def leads(question: Question, candidate: Candidate, answer: Answer) -> bool:
    """Does it arrive where it should; leave or enter by the gateway, leave by the endpoint that the question names?"""
    if candidate.end is not None and answer.arrives != candidate.end:
        return False
    ends = [end for end in (question.source, question.destination) if end is not None]
    named = [end.gateway or end.endpoint for end in ends if end.gateway or end.endpoint]
    crossed = [step.component[0] for step in answer.steps if step.layer in _GATES and not step.reply]
    return all(gate in crossed for gate in named)


def _arrives(question: Question, found: Found) -> bool:
    """Is what arrives as the filter at the destination wants it?"""
    wanted, arrived = question.at_destination, found.done.there.packet
    return wanted.source_address in (None, arrived.src) and wanted.destination_address in (None, arrived.dst)


# ---------------------------------------------------------------------- a packet that is let through
def pick(space: Space, question: Question, candidate: Candidate) -> Packet | None:
    """A packet of a set that a question asks about; None when there is none."""
    services, sources = question.services[candidate.src.version], question.sources
    if services is None or sources is None:
        return None
    for wanted, ports in space.ranges():
        first, last = max(wanted[0], services[0]), min(wanted[1], services[1])
        if first > last:
            continue
        if ports is None:
            return packet_at(candidate.src, candidate.dst, first, None)
        source = _source_port(ports, sources)
        if source is not None:
            return packet_at(candidate.src, candidate.dst, first, source)
    return None


def _source_port(ports: list[Interval], wanted: Interval) -> int | None:
    usable = [(max(a, wanted[0]), min(b, wanted[1])) for a, b in ports if max(a, wanted[0]) <= min(b, wanted[1])]
    if not usable:
        return None
    base = wanted[0] & ~0xFFFF
    usual = (base + port for port in _USUAL if any(a <= base + port <= b for a, b in usable))
    return next(usual, usable[0][0])


# ---------------------------------------------------------------------- who refuses
def _refused(engine: Engine, question: Question, candidate: Candidate, answer: Answer, out: Searched) -> None:
    """Keep the candidate if fewer elements refuse it than the one kept so far."""
    steps = (*answer.steps, *_beyond(engine, candidate, answer))
    packet = _nearest(question, candidate, answer, steps)
    if packet is None:
        return
    refusing = tuple(blocking(answer, steps, packet))
    if out.blocked is None or len(refusing) < len(out.blocked.refusing):
        out.blocked = Blocked(candidate, answer, packet, steps, refusing)


def blocking(answer: Answer, steps: tuple[Step, ...], packet: Packet) -> list[Step]:
    """The steps that refuse a packet or its answer, each by itself."""
    services = answer.space.services
    question, reply = services.bit(point(packet)), services.bit(point(packet.reply()))
    return [
        step for step in steps
        if not step.lets >> (reply if step.reply else question) & 1 and not step.held >> question & 1
    ]  # fmt: skip


def _nearest(question: Question, candidate: Candidate, answer: Answer, steps: tuple[Step, ...]) -> Packet | None:
    """The packet of the question that the fewest steps refuse. What no step tells apart is looked at once."""
    services, sources = question.services[candidate.src.version], question.sources
    if services is None or sources is None:
        return None
    space, best = answer.space.services, None
    ports = (
        [None]
        if services[0] >= _UNPORTED
        else _telling(list(_points(space.starts, sources, space.bit)), sources, steps, space.bit)
    )
    fewest = len(steps) + 1
    seen: set[tuple[int, ...]] = set()
    for at in _points(space.starts, services, space.bit):
        bit = space.bit(at)
        look = tuple(step.held >> bit & 1 if step.reply else step.lets >> bit & 1 for step in steps)
        if look in seen:
            continue
        seen.add(look)
        for source in ports:
            packet = packet_at(candidate.src, candidate.dst, at, source)
            count = len(blocking(answer, steps, packet))
            if count < fewest:
                best, fewest = packet, count
    return best


def _points(starts: list[int], wanted: Interval, bit: Callable[[int], int]) -> Iterator[int]:
    """One point of each atom of an interval."""
    for n in range(bit(wanted[0]), bit(wanted[1]) + 1):
        yield max(starts[n], wanted[0])


def _telling(
    ports: list[int], wanted: Interval, steps: tuple[Step, ...], bit: Callable[[int], int]
) -> list[int | None]:
    """One source port of each kind that the steps tell apart; a usual one where it stands for others as well."""
    base = wanted[0] & ~0xFFFF
    known: dict[tuple[int, ...], int | None] = {}
    usual = [base + port for port in _USUAL if wanted[0] <= base + port <= wanted[1]]
    for port in (*usual, *ports):
        known.setdefault(tuple(step.lets >> bit(port) & 1 for step in steps if step.reply), port)
    return list(known.values())


def _beyond(engine: Engine, candidate: Candidate, answer: Answer) -> Iterator[Step]:
    """What the destination's own elements would say to a packet that does not get so far (all that blocks, not the first)."""
    port = engine.places.ports.get(candidate.end or "")
    if answer.arrives is not None or port is None:
        return
    family, services = candidate.src.version, answer.space.services
    src, seen = int(candidate.src), {step.interface for step in answer.steps if not step.reply}
    source = engine.places.ports.get(candidate.source)
    if port.eni_id in seen or int(candidate.dst) not in _known(engine, port, family):
        return
    direct = source is not None and source.vpc_id == port.vpc_id and not answer.through
    if source is None or source.net is not port.net:
        table, atom = engine.acl(port.net.acl_id), engine.atom(family, src)
        yield Step(Layer.NACL_IN, (port.net.acl_id,), port.eni_id, False, table.allowed(False, family, atom))
    groups = engine.group_set(port.vpc_id, port.groups)
    lets = groups.by_block(False, family, engine.atom(family, src))
    if direct:
        lets |= groups.by_group(False, family, engine.carried(port.vpc_id, family, src))
    elif source is not None and not answer.through:
        for way in engine.places.vpcs[port.vpc_id].crossings.values():
            if way.far_vpc_id == source.vpc_id:
                lets |= groups.by_group(False, family, engine.carried_there(way, family, src))
    yield Step(Layer.SG_INGRESS, port.groups, port.eni_id, False, lets & services.full)
    own = _own(engine, port, int(candidate.dst), family)
    home = engine.conversations(port.eni_id, number_to_address(family, own), candidate.src)
    # groups admit the answer by state; everything else on its way home is asked
    yield from (step._replace(reply=True) for step in home.steps if not step.reply and step.layer in _STATELESS)


#: elements that know nothing of the question when the answer comes
_STATELESS = frozenset({Layer.NACL_OUT, Layer.NACL_IN, Layer.NO_ROUTE, Layer.GATEWAY})


def _own(engine: Engine, port: Port, address: int, family: int) -> int:
    """The interface's own address behind a public one."""
    gate = engine.places.vpcs[port.vpc_id].gateway
    return gate.inward.get(address, address) if gate is not None and family == 4 else address


def _known(engine: Engine, port: Port, family: int) -> set[int]:
    """The addresses that an interface is known by."""
    gate = engine.places.vpcs[port.vpc_id].gateway
    public = (
        {gate.outward[a] for a in port.addresses[4] if a in gate.outward} if gate is not None and family == 4 else set()
    )
    return set(port.addresses[family]) | public
