"""Questions tests ask of the evaluator: where is this conversation dropped, and does an open one go on?"""

from __future__ import annotations

from typing import Any

from ringfence.insight.reach.trace import trace_request
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import INTERNET, Arrival, exchange, judge
from ringfence.policy.flows import Flows
from ringfence.policy.packet import Packet
from tests.builders import ident


def endpoint(name: str) -> str:
    """An interface by name, or the internet."""
    return INTERNET if name == INTERNET else ident("eni", name)


def dropped(world: World, source: str, packet: Packet) -> str:
    """`ok`, or the layer that drops the packet or its answer."""
    return exchange(compile_world(world), packet, endpoint(source)).verdict.dropped_at or "ok"


def asked(world: World, source: str, destination: str, protocol: str = "tcp", port: int = 0, **more: Any) -> str:
    """The same, as `ringfence trace` tells it; an instance is given by name, what holds a dot or colon as it is."""
    answer = trace_request(
        world, {"source": _target(source), "destination": _target(destination), "protocol": protocol, "port": port, **more}
    )  # fmt: skip
    assert "error" not in answer, answer
    assert (answer["outcome"] == "ok") == ("dropped_at" not in answer)
    return str(answer.get("dropped_at", "ok"))


def _target(name: str) -> str:
    return name if set(name) & set(".:") else ident("i", name)


class Session:
    """Packets and answers over Worlds that change: the connection tables stay, time passes only when told."""

    def __init__(self, world: World) -> None:
        self.world, self.flows, self.now = world, Flows(), 0.0

    def send(self, source: str, packet: Packet) -> Arrival:
        """One packet."""
        arrival = judge(compile_world(self.world), self.flows, packet, endpoint(source), now=self.now)
        self.flows = arrival.flows
        return arrival

    def round(self, source: str, packet: Packet) -> str:
        """A packet and its answer: `ok` or where it stops."""
        done = exchange(compile_world(self.world), packet, endpoint(source), self.flows, now=self.now)
        self.flows = done.flows
        return done.verdict.dropped_at or "ok"
