"""Specification against evaluator, packet by packet, with changes in the middle of conversations."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from ringfence.model.kinds import VPC_ENDPOINT
from ringfence.model.world import World
from ringfence.policy import evaluate
from ringfence.policy.compile import Compiler
from ringfence.policy.flows import Flows
from ringfence.policy.ir import Ir
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.api.ops.harness import Api
from tests.differential import directed, generator, neighbours


@dataclass
class Tally:
    """What a run saw."""

    cases: int = 0
    delivered: int = 0
    differences: list[str] | None = None


def judged(ir: Ir, flows: Flows, packet: Packet, source: str) -> tuple[str | None, str | None, Packet, Flows]:
    """(where it arrived, where it was dropped, how it looked, tables) by the evaluator."""
    arrival = evaluate.judge(ir, flows, packet, source)
    dropped = next((hop.layer.value for hop in arrival.hops if not hop.allowed), None)
    return arrival.at, dropped, arrival.packet, arrival.flows


class Run:
    """One random VPC and the packets sent in it, by both."""

    def __init__(self, seed: int, *, make: Any = Compiler) -> None:
        self.chance = random.Random(seed)
        self.build(seed)
        self.compiler = make()
        self.flows, self.tables = Flows(), spec.Tables()
        self.world: World | None = None
        self.ir: Ir | None = None

    def build(self, seed: int) -> None:
        """By the operations."""
        self.api = Api(defaults=True, seed=seed, quotas={"elastic-ips": 50})
        self.site = generator.build(self.api.call, self.chance, image=self.api.image())
        self.api.settle()

    @property
    def rows(self) -> World:
        """What there is now."""
        return self.api.world

    def packet(self) -> tuple[str, Packet]:
        return generator.packet(self.chance, self.site, odd=True)

    def change(self) -> None:
        generator.change(self.api.call, self.chance, self.site)

    def is_there(self, source: str) -> bool:
        """May it still send? An endpoint may have gone meanwhile."""
        return not source.startswith("vpce-") or self.rows.find(VPC_ENDPOINT, source) is not None

    def _compiled(self) -> Ir:
        if self.world is not self.rows or self.ir is None:
            self.world, self.ir = self.rows, self.compiler.compile(self.rows)
        return self.ir

    def step(self, source: str, packet: Packet, tally: Tally) -> tuple[str, Packet] | None:
        """Judge one packet by both; the answer to send next, if it arrived."""
        ir = self._compiled()
        at, dropped, seen, self.flows = judged(ir, self.flows, packet, source)
        said = spec.send(self.rows, self.tables, packet, source)
        tally.cases += 1
        tally.delivered += said.at is not None
        same = (at, dropped) == (said.at, said.dropped_at) and (said.at is None or seen == said.packet)
        if not same:
            assert tally.differences is not None
            tally.differences.append(f"{source} sends {packet}: specification {said}, evaluator {at or dropped} {seen}")
        if said.at is None or (said.at == "service" and said.through is None):
            return None
        return said.through or said.at, said.packet.reply()

    def play(self, packets: int, tally: Tally) -> None:
        """Random packets, most of them answered, with a change now and then; old packets come again after changes."""
        sent: list[tuple[str, Packet]] = []
        for _ in range(packets):
            again = [old for old in sent if self.is_there(old[0])] if self.chance.random() < 0.3 else []
            if again:
                source, packet = self.chance.choice(again)
            else:
                source, packet = self.packet()
            answer = self.step(source, packet, tally)
            sent.append((source, packet))
            if answer is not None and self.chance.random() < 0.9:
                self.step(*answer, tally)
                sent.append(answer)
            if self.chance.random() < 0.08:
                self.change()


class Listed(Run):
    """With prefix lists, by the operations."""

    def build(self, seed: int) -> None:
        super().build(seed)
        directed.listed(self.api.call, self.chance, self.site)


class Peered(Run):
    """With a second VPC that is peered, by the operations."""

    def build(self, seed: int) -> None:
        super().build(seed)
        directed.peered(self.api.call, self.chance, self.site)
        self.api.settle()


class Served(Run):
    """With a gateway endpoint, by the operations."""

    def build(self, seed: int) -> None:
        super().build(seed)
        directed.served(self.api.call, self.chance, self.site)


class Neighbours(Run):
    """Neighbouring VPCs made of rows."""

    def build(self, seed: int) -> None:
        self.scene = neighbours.scene(self.chance)

    @property
    def rows(self) -> World:
        return self.scene.world

    def packet(self) -> tuple[str, Packet]:
        return self.scene.packet()

    def change(self) -> None:
        self.scene.change()


def run(
    seeds: range, packets: int, *, make: Any = Compiler, stop_at: int | None = None, scene: type[Run] = Run
) -> Tally:
    """Play these seeds; `stop_at`: give up after so many differences."""
    tally = Tally(differences=[])
    assert tally.differences is not None
    for seed in seeds:
        scene(seed, make=make).play(packets, tally)
        if stop_at is not None and len(tally.differences) >= stop_at:
            break
    return tally
