"""All paths between two ends: every sequence of elements and rules, there and back, each with exactly the packets that take it.

For one pair of addresses the sets are disjoint, and together they are all conversations that the engine allows
(`Engine.conversations`). Addresses outside, or beyond a connection or endpoint, that the same rules let the same packets from or to
are one path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import collapse_addresses
from typing import Any

from ringfence.insight.analyzer import views
from ringfence.insight.analyzer.beyond import aimed, converse, follow
from ringfence.insight.analyzer.candidates import Candidate, Candidates
from ringfence.insight.analyzer.findings import pieces
from ringfence.insight.analyzer.question import Question
from ringfence.insight.analyzer.search import leads
from ringfence.insight.analyzer.ways import cuts, own_blocks, signature
from ringfence.insight.reach.atoms import BASES, OTHER, Interval
from ringfence.insight.reach.engine import Answer, Engine, Unknown
from ringfence.insight.reach.space import Space, packet_at
from ringfence.model.net import Network, Protocol
from ringfence.policy.evaluate import INTERNET, Exchange
from ringfence.policy.packet import Packet


@dataclass(frozen=True, slots=True)
class Taken:
    """One path. `source`: the interface that sends, INTERNET or a connection; `end`: where it arrives; `packet`, `done`: one of its
    packets and what becomes of it."""

    source: str
    end: str
    sources: tuple[Network, ...]
    destinations: tuple[Network, ...]
    space: Space
    packet: Packet
    done: Exchange


@dataclass(slots=True)
class Every:
    """All paths of a question. `unknown`: an element that leaves open whether there are more."""

    paths: list[Taken] = field(default_factory=list)
    unknown: Unknown | None = None


def every(engine: Engine, question: Question, wanted: Interval | None = None) -> Every:
    """Every path of a question, whatever its protocol. `wanted`: only these services."""
    engine, out = aimed(engine, question), Every()
    if wanted is not None:
        engine = engine.on(engine.services.with_cuts({wanted[0], wanted[1] + 1}), engine.prefixes)
    candidates = Candidates(engine, question)
    found: dict[Any, tuple[Candidate, Space, Packet, Exchange, list[int]]] = {}
    for candidate in candidates:
        answer = converse(engine, candidate.source, candidate.src, candidate.dst, candidate.by)
        out.unknown = out.unknown or answer.unknown
        if answer.unknown is not None or not leads(question, candidate, answer):
            continue
        for packet, done, space in partition(engine, candidate, answer, wanted):
            own = (
                (candidate.src, candidate.dst)
                if candidate.atom is None
                else candidate.dst
                if _outer(candidate)
                else candidate.src
            )
            key = (candidate.source, candidate.end, own, signature(done), space.ports, space.plain)
            atoms = found.setdefault(key, (candidate, space, packet, done, []))[-1]
            atoms += [candidate.atom] if candidate.atom is not None else []
    out.paths = [_taken(engine, candidates, *each) for each in found.values()]
    return out


def _outer(candidate: Candidate) -> bool:
    """Is the source the address that stands for others?"""
    return candidate.source == INTERNET


def _taken(
    engine: Engine, candidates: Candidates, candidate: Candidate, space: Space, packet: Packet, done: Exchange, atoms: list[int]
) -> Taken:  # fmt: skip
    sources: tuple[Network, ...] = (views.host(candidate.src),)
    destinations: tuple[Network, ...] = (views.host(candidate.dst),)
    if candidate.alike:
        sources = tuple(collapse_addresses(views.host(a) for a in candidate.alike))  # type: ignore[type-var]
    if atoms:
        _, without = candidates.like(candidate)
        blocks = (block for atom in atoms for block in own_blocks(engine, packet.family, atom, without))
        held: tuple[Network, ...] = tuple(collapse_addresses(blocks))  # type: ignore[type-var]
        sources, destinations = (held, destinations) if _outer(candidate) else (sources, held)
    by = candidate.by
    source = by.peering_id if by is not None and by.into else candidate.source
    return Taken(source, done.there.endpoint or done.there.at or "", sources, destinations, space, packet, done)


# ---------------------------------------------------------------------- one pair of addresses
def partition(
    engine: Engine, candidate: Candidate, answer: Answer, wanted: Interval | None = None
) -> Iterator[tuple[Packet, Exchange, Space]]:
    """The set of a pair of addresses by the rules that decide: between the bounds of rules on the way all packets meet the same.

    Of ICMP, which types are answered, and by which, decides as well: there every atom is looked at.
    """
    services = engine.services
    icmp = {start for start in services.starts if BASES[Protocol.ICMP] <= start < OTHER}
    bounds = sorted(cuts(engine, answer.steps) | icmp)
    asked = services.full if wanted is None else services.mask(*wanted)
    found: dict[Any, tuple[Packet, Exchange, list[tuple[int, int]]]] = {}
    for at, source in _products(answer.space, asked, bounds):
        packet = packet_at(candidate.src, candidate.dst, at[0], None if source is None else source[0])
        done = follow(engine, candidate.source, packet, candidate.by)
        assert done.verdict.allowed, "the engine and the evaluator disagree"
        held = found.setdefault(signature(done), (packet, done, []))[2]
        held.append((services.mask(*at), 0 if source is None else services.mask(*source)))
    for packet, done, products in found.values():
        yield packet, done, _space(engine, products)


def _products(space: Space, asked: int, bounds: list[int]) -> Iterator[tuple[Interval, Interval | None]]:
    """A set in pieces: services, and source ports where there are any."""
    services = space.services
    for held, sources in space.ports:
        across = [piece for whole in services.intervals(sources) for piece in pieces(whole, bounds)]
        for whole in services.intervals(held & asked):
            yield from ((piece, source) for piece in pieces(whole, bounds) for source in across)
    for whole in services.intervals(space.plain & asked):
        yield from ((piece, None) for piece in pieces(whole, bounds))


def _space(engine: Engine, products: list[tuple[int, int]]) -> Space:
    """Disjoint products as a set in which services are."""
    services, by_service = engine.services, dict[int, int]()
    for held, sources in products:
        by_service[held] = by_service.get(held, 0) | sources
    ported = [(held & services.ported, sources) for held, sources in by_service.items() if held & services.ported]
    plain = 0
    for held in by_service:
        plain |= held & ~services.ported
    return Space.of(services, ported, plain)
