"""One of two networks that are compared: its World, IR and engine, and what it says about a packet."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.explain import reason, refusal_of
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import INTERNET, CannotSend, Index, exchange
from ringfence.policy.ir import Fragment, Interface, Ir, RouteTable
from ringfence.policy.packet import Hop, Layer, Packet

_SAID = {
    Layer.SG_EGRESS: "{rule} of {component} lets it out", Layer.SG_INGRESS: "{rule} of {component} lets it in",
    Layer.NACL_OUT: "entry {rule} of {component} lets it out", Layer.NACL_IN: "entry {rule} of {component} lets it in",
    Layer.NO_ROUTE: "route {rule} of {component}", Layer.ENDPOINT: "{component} leads it {rule}",
}  # fmt: skip


@dataclass(slots=True)
class Side:
    """One network."""

    world: World
    index: Index
    engine: Engine

    def has(self, eni_id: str) -> bool:
        """Does it have the interface?"""
        return eni_id == INTERNET or self.world.find(NETWORK_INTERFACE, eni_id) is not None

    def says(self, sender: str, packet: Packet) -> str:
        """Why a packet arrives, or does not: the rules that let it through, or the first that refuses."""
        if not self.has(sender):
            return f"there is no {sender}"
        unknown = self.engine.ask(sender, packet)
        if not isinstance(unknown, bool):
            return f"unknown: {unknown.component}: {unknown.why}"
        try:
            done = exchange(self.index, packet, sender)
        except CannotSend:
            return f"{sender} sends nothing: its instance does not run"
        refused = refusal_of(self.world, self.index, sender, packet, done.verdict.hops)
        if refused is not None:
            return reason(self.world, refused)
        found = [_said(hop) for hop in done.verdict.hops if not hop.reply and hop.by.rule is not None]
        return "; ".join(text for text in found if text) or "nothing is in the way"


def _said(hop: Hop) -> str:
    text = _SAID.get(hop.layer)
    return "" if text is None else text.format(rule=hop.by.rule, component=hop.by.component)


def sides(before: World, after: World) -> tuple[Side, Side]:
    """Both, with everything that is the same in both as the same objects, so that only the rest is worked out."""
    old, new = compile_world(before), compile_world(after)
    shared = {key: _shared(old.fragments.get(key), fragment) for key, fragment in new.fragments.items()}
    same = Ir(new.generation, shared)
    was = Engine(old)
    return Side(before, Index.of(old), was), Side(after, Index.of(same), was.update(same))


def _shared(old: Fragment | None, new: Fragment) -> Fragment:
    """Numbers are given by whoever made the network: no packet depends on them."""
    if old is None or type(old) is not type(new):
        return new
    if isinstance(new, Interface | RouteTable) and isinstance(old, Interface | RouteTable) and old.number != new.number:
        return old if replace(new, number=old.number) == old else new
    return old if old == new else new
