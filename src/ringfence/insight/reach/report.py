"""What `ringfence reach` and `ringfence exposure` show: sets as ranges, by groups and by interfaces, with a packet for each."""

from __future__ import annotations

import threading
from ipaddress import ip_network
from itertools import chain
from typing import Any

from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.insight.reach.exposure import exposure
from ringfence.insight.reach.matrix import all_pairs
from ringfence.insight.reach.peers import across
from ringfence.insight.reach.space import Space, readable
from ringfence.insight.reach.trace import describe_packet
from ringfence.insight.reach.words import brief
from ringfence.model.net import Network
from ringfence.model.world import World
from ringfence.policy.compile import Compiler
from ringfence.policy.packet import Packet


class Reporter:
    """Answers one request after another; works out again only what changed in between."""

    def __init__(self) -> None:
        self._compiler, self._lock = Compiler(), threading.Lock()
        self._engine: Engine | None = None

    def _of(self, world: World) -> Engine:
        with self._lock:
            ir = self._compiler.compile(world)
            self._engine = Engine(ir) if self._engine is None else self._engine.update(ir)
            return self._engine

    def reach(self, world: World, request: dict[str, Any]) -> dict[str, Any]:
        """Who may say what to whom, by the groups they carry. `vpc`: of one VPC only."""
        engine, wanted = self._of(world), request.get("vpc")
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for cell in chain(all_pairs(engine), across(engine)):
            source, there = cell.source, cell.destination
            pair = source.two(there)
            if pair is None or wanted not in (None, source.vpc_id, there.vpc_id):
                continue
            space = cell.conversations(engine.services)
            key = (
                source.vpc_id,
                there.vpc_id,
                source.family,
                source.groups,
                there.groups,
                space.ports,
                space.plain,
                cell.unknown,
            )
            row = rows.get(key)
            if row is None:
                (_, src), (_, dst) = pair
                packet = space.witness(number_to_address(source.family, src), number_to_address(source.family, dst))
                row = rows[key] = {
                    "vpc": source.vpc_id, "family": source.family, "from_groups": list(source.groups),
                    "to_groups": list(there.groups), "pairs": 0, **_set(space, packet, cell.unknown),
                    **({"to_vpc": there.vpc_id} if there.vpc_id != source.vpc_id else {}),
                }  # fmt: skip
            row["pairs"] += source.pairs(there)
        return {"rows": list(rows.values())}

    def exposure(self, world: World, request: dict[str, Any]) -> dict[str, Any]:
        """What the outside may say to interfaces, or (`outbound`) hear from them. `within`: only this block of it."""
        try:
            within: Network | None = ip_network(str(request["within"])) if request.get("within") else None
        except ValueError as problem:
            return {"error": str(problem), "status": 2}
        inbound = not request.get("outbound")
        found = exposure(self._of(world), inbound=inbound, within=within, vpc_id=request.get("vpc"))
        rows = [
            {
                "interface": each.eni_id, "address": str(each.address), "public": str(each.public),
                "outside": [str(block) for block in each.outside],
                **_set(each.space, each.witness(), each.unknown),
            }
            for each in found
        ]  # fmt: skip
        return {"direction": "inbound" if inbound else "outbound", "rows": rows}


def _set(space: Space, packet: Packet | None, unknown: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"summary": brief(space), "allowed": readable(space)}
    if packet is not None:
        out["example"] = describe_packet(packet)
    if unknown is not None:
        out["unknown"] = {"component": unknown.component, "why": unknown.why}
    return out
