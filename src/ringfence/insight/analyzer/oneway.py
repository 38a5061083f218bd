"""One way through the network, from one end to another, as Network Access Analyzer looks at it: whether a packet can be
sent, not whether its answer comes back, and with internet gateways as ends: who is beyond does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.journey import Step, There
from ringfence.insight.reach.places import Gateway, Port
from ringfence.insight.reach.walk import Walk
from ringfence.policy.evaluate import INTERNET, SERVICE
from ringfence.policy.packet import Layer


@dataclass(frozen=True, slots=True)
class OneWay:
    """`lets`: the services that arrive at `end`, an interface, a gateway or a gateway endpoint. `src`, `dst`: as the packet is there.

    `through`: appliances that passed it on. `steps`: the elements asked.
    """

    end: str
    lets: int
    src: int
    dst: int
    through: tuple[str, ...]
    steps: tuple[Step, ...]


class _ToEnds(Walk):
    """A walk that ends at the first internet gateway it leaves by."""

    def _on_internet(self, *, outside: bool) -> str | None:
        return INTERNET


def from_interface(engine: Engine, port: Port, family: int, src: int, dst: int) -> OneWay | None:
    """What an interface may send to an address. None: it arrives nowhere. `Unmodelled`."""
    there = There(engine.services, engine.services.full)
    walk = _ToEnds(engine, there, family, src, dst)
    return _done(there, walk, walk.from_interface(port))


def from_gateway(engine: Engine, gate: Gateway, family: int, src: int, dst: int) -> OneWay | None:
    """What an outside host may send in by a gateway. None: it arrives nowhere. `Unmodelled`."""
    there = There(engine.services, engine.services.full)
    walk = _ToEnds(engine, there, family, src, dst)
    return _done(there, walk, walk._from_gateway(gate, outside=True))


def _done(there: There, walk: Walk, end: str | None) -> OneWay | None:
    if end is None or not there.alive:
        return None
    if end == SERVICE:
        if walk.endpoint is None:  # the router's own
            return None
        end = walk.endpoint.endpoint_id
    if end == INTERNET:
        end = next(step.component[0] for step in reversed(there.steps) if step.layer is Layer.GATEWAY)
    return OneWay(end, there.alive, walk.src, walk.dst, tuple(walk.through), tuple(there.steps))
