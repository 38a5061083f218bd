"""Specification against the reachability engine: random packets, and the corners of the engine's own sets.

A set is probed at both ends of each of its intervals and just outside, for services and for source ports alike: a set
that is too large or too small by one port is noticed. After each change the engine is updated, not made anew.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ringfence.insight.reach.atoms import BASES, END, OTHER
from ringfence.insight.reach.engine import Answer, Engine, Unknown
from ringfence.insight.reach.space import packet_at
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.differential import directed
from tests.differential.compare import Neighbours, Run

PORTED_END = BASES[1]  # TCP and UDP come first on the line
USUAL_SOURCES = (40000, 1024, 443)
AIMS = (directed.strict, directed.referring, None)


@dataclass
class Tally:
    """What a run saw. `unknown`: packets the engine does not answer for, by element."""

    cases: int = 0
    delivered: int = 0
    unknown: int = 0
    differences: list[str] = field(default_factory=list)


def corners(answer: Answer, chance: random.Random, most: int = 40) -> Iterator[Packet]:
    """Packets at the ends of every interval of a set and just outside."""
    points: set[int] = set()
    sources: set[int] = {BASES[6] + port for port in USUAL_SOURCES}
    for (first, last), ports in answer.space.ranges():
        points |= {first - 1, first, last, last + 1}
        for low, high in ports or ():
            sources |= {low - 1, low, high, high + 1}
    starts = answer.space.services.starts
    points |= {chance.choice(starts) for _ in range(6)}
    usable = [p for p in points if 0 <= p < END and p - OTHER not in BASES]
    for at in chance.sample(usable, min(most, len(usable))):
        if at < PORTED_END:
            for source in chance.sample(sorted(sources), min(3, len(sources))):
                yield packet_at(answer.src, answer.dst, at, source & 0xFFFF)
        else:
            yield packet_at(answer.src, answer.dst, at, None)


class Reach:
    """One random VPC, or neighbouring ones, by both."""

    def __init__(self, seed: int, tally: Tally, *, make: Any = Engine, aim: Any = None) -> None:
        self.run, self.tally = (aim(seed) if aim is Neighbours else Run(seed)), tally
        if aim not in (None, Neighbours):
            aim(self.run.api.call, self.run.chance, self.run.site)
        self.engine = make(self.run._compiled())

    @property
    def chance(self) -> random.Random:
        return self.run.chance

    def judge(self, source: str, packet: Packet) -> None:
        """One packet and its answer, on fresh connection tables."""
        said = self.engine.ask(source, packet)
        self.tally.cases += 1
        if isinstance(said, Unknown):
            self.tally.unknown += 1
            return
        truth = spec.converse(self.run.rows, packet, source)
        self.tally.delivered += truth == "ok"
        walked = packet in self.engine.conversations(source, packet.src, packet.dst).space
        if {said, walked} != {truth == "ok"}:
            self.tally.differences.append(
                f"{source} sends {packet}: specification {truth}, engine {said}, walk {walked}"
            )

    def play(self, packets: int) -> None:
        """Random packets, each with the corners of the set it falls into; a change now and then."""
        for _ in range(packets):
            source, packet = self.run.packet()
            self.judge(source, packet)
            answer = self.engine.conversations(source, packet.src, packet.dst)
            for probe in corners(answer, self.chance):
                self.judge(source, probe)
            if self.chance.random() < 0.1:
                self.run.change()
                self.engine = self.engine.update(self.run._compiled())


def run(seeds: range, packets: int, *, make: Any = Engine, stop_at: int | None = None) -> Tally:
    """Play these seeds, every fourth among neighbours, half of them with directed rules; `stop_at`: give up after so many differences."""
    tally = Tally()
    for seed in seeds:
        Reach(seed, tally, make=make, aim=Neighbours if seed % 4 == 0 else AIMS[seed % 3]).play(packets)
        if stop_at is not None and len(tally.differences) >= stop_at:
            break
    return tally
