"""One way through the network, from one end to another, as Network Access Analyzer looks at it: whether a packet can be
sent, not whether its answer comes back, and with internet gateways as ends: who is beyond does not matter. A peering
connection is passed, or is an end.
"""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.journey import Step, There, Unmodelled
from ringfence.insight.reach.places import Crossing, Gateway, Port
from ringfence.insight.reach.walk import Walk
from ringfence.policy.evaluate import INTERNET, SERVICE
from ringfence.policy.packet import Layer

#: of a connection to a VPC with elements that are not modelled
BEYOND = "what the VPC beyond it may send is not known"


@dataclass(frozen=True, slots=True)
class OneWay:
    """`lets`: the services that arrive at `end`, an interface, a gateway, a gateway endpoint or a peering connection. `src`, `dst`:
    as the packet is there.

    `through`: appliances that passed it on. `steps`: the elements asked. `crossed`: the connection it passes, begins or ends at.
    """

    end: str
    lets: int
    src: int
    dst: int
    through: tuple[str, ...]
    steps: tuple[Step, ...]
    crossed: str | None = None


class _ToEnds(Walk):
    """A walk that ends at the first internet gateway it leaves by. `crossed`: the connection it took, and after how many steps."""

    crossed: tuple[str, int] | None = None

    def _from_peer(self, way: Crossing, *, direct: bool) -> str | None:
        self.crossed = way.peering_id, len(self.phase.steps)
        return super()._from_peer(way, direct=direct)

    def _on_internet(self, *, outside: bool) -> str | None:
        return INTERNET


class _ToPeer(_ToEnds):
    """One that ends at a peering connection, too: whoever has the address beyond."""

    def _from_peer(self, way: Crossing, *, direct: bool) -> str | None:
        self.crossed = way.peering_id, len(self.phase.steps)
        return way.peering_id


def from_interface(engine: Engine, port: Port, family: int, src: int, dst: int) -> OneWay | None:
    """What an interface may send to an address. None: it arrives nowhere. `Unmodelled`."""
    there = There(engine.services, engine.services.full)
    walk = _ToEnds(engine, there, family, src, dst)
    return _done(there, walk, walk.from_interface(port))


def to_peer(engine: Engine, port: Port, family: int, src: int, dst: int) -> OneWay | None:
    """What an interface may send out by a peering connection. None: it does not get there. `Unmodelled`."""
    there = There(engine.services, engine.services.full)
    walk = _ToPeer(engine, there, family, src, dst)
    way = _done(there, walk, walk.from_interface(port))
    return way if way is not None and way.end == way.crossed else None


def from_peer(engine: Engine, peering_id: str, port: Port, family: int, src: int, dst: int) -> OneWay | None:
    """What an interface of the far VPC may send in by a connection, from where it enters. None: it does not. `Unmodelled`, which
    names nothing of the far VPC."""
    there = There(engine.services, engine.services.full)
    walk = _ToEnds(engine, there, family, src, dst)
    try:
        way = _done(there, walk, walk.from_interface(port))
    except Unmodelled:
        if walk.crossed is not None:
            raise
        raise Unmodelled(peering_id, BEYOND) from None
    if way is None or walk.crossed is None or walk.crossed[0] != peering_id:
        return None
    return OneWay(way.end, way.lets, way.src, way.dst, (), way.steps[walk.crossed[1] :], peering_id)


def from_gateway(engine: Engine, gate: Gateway, family: int, src: int, dst: int) -> OneWay | None:
    """What an outside host may send in by a gateway. None: it arrives nowhere. `Unmodelled`."""
    there = There(engine.services, engine.services.full)
    walk = _ToEnds(engine, there, family, src, dst)
    return _done(there, walk, walk._from_gateway(gate, outside=True))


def _done(there: There, walk: _ToEnds, end: str | None) -> OneWay | None:
    if end is None or not there.alive:
        return None
    if end == SERVICE:
        if walk.endpoint is None:  # the router's own
            return None
        end = walk.endpoint.endpoint_id
    if end == INTERNET:
        end = next(step.component[0] for step in reversed(there.steps) if step.layer is Layer.GATEWAY)
    crossed = walk.crossed[0] if walk.crossed is not None else None
    return OneWay(end, there.alive, walk.src, walk.dst, tuple(walk.through), tuple(there.steps), crossed)
