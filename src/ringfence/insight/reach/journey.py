"""A set of packets on its way, all at once: the walk of one source and destination address through every element.

Where a packet goes depends on its addresses alone; what is let through depends on its service. So one walk there and one
back judge every packet between two addresses: there, a set of services shrinks; back, what is left is asked for the
source ports too. Each element that can refuse adds a `Step` that says what it lets through by itself, and the walk
goes on behind a refusal as long as there is somewhere to go: all that blocks is found, not the first.

Connection tables (CT-01..CT-09) are sets too: per interface and address pair, the services whose flow the interface
began, was asked to begin, or does not track. What a group refuses counts as tracked: its answer is not blamed as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ringfence.insight.reach.atoms import Services
from ringfence.policy.packet import Layer

Form = tuple[str, int, int]  # an interface, and source and destination as it sees them
OUTWARD, INWARD = 1, 2


class Unmodelled(Exception):
    """The walk meets something that the engine does not know; `component` is its id."""

    def __init__(self, component: str, why: str) -> None:
        super().__init__(f"{component}: {why}")
        self.component, self.why = component, why


class Step(NamedTuple):
    """An element's answer. `lets`: the services of the packet it meets (the answer's, on the way back) that it lets
    through; `held`: on the way back, the services of the question that state lets through whatever the rules."""

    layer: Layer
    component: tuple[str, ...]
    interface: str | None
    reply: bool
    lets: int
    held: int = 0


@dataclass(slots=True)
class There:
    """The way there."""

    services: Services
    alive: int
    steps: list[Step] = field(default_factory=list)
    flows: dict[Form, list[int]] = field(default_factory=dict)  # form -> [untracked, begun outwards, begun inwards]

    reply = False

    def asks(self, form: Form, way: int) -> int:
        """The services of packets on their way that a group's rules decide."""
        state = self.flows.get(form)
        return self.alive & ~(state[way] if state else 0)

    def filter(self, layer: Layer, component: tuple[str, ...], lets: int, eni: str | None = None) -> None:
        """An element without memory."""
        self.steps.append(Step(layer, component, eni, False, lets))
        self.alive &= lets

    def group(self, layer: Layer, groups: tuple[str, ...], form: Form, way: int, rules: int, untracked: int) -> None:
        """A security group gate: what state holds and what rules allow; remembers what opens a flow."""
        _refuse_mirror(self.flows, form)
        state = self.flows.get(form)
        held = state[way] if state else 0
        self.filter(layer, groups, held | rules, form[0])
        _remember(self.flows, form, way, self.services.opening & ~held, rules & untracked)


def _refuse_mirror(flows: dict[Form, list[int]], form: Form) -> None:
    """An interface that sees a flow and its mirror image: which is which depends on both ports at once."""
    eni, src, dst = form
    if src == dst or (eni, dst, src) in flows:
        raise Unmodelled(eni, "the interface sees the same packets in both directions")


def _remember(flows: dict[Form, list[int]], form: Form, way: int, new: int, untracked: int) -> None:
    """Tracked overrides what was there; untracked only what was not."""
    state = flows.get(form)
    tracked = new & ~untracked
    if state is None:
        state = flows[form] = [0, 0, 0]
        state[0] = new & untracked
    for other in (0, OUTWARD, INWARD):
        state[other] = state[other] | tracked if other == way else state[other] & ~tracked


@dataclass(slots=True)
class Back:
    """The way back of what got there: `ports` as (services, source ports), `plain` what has no ports."""

    services: Services
    ports: list[tuple[int, int]]
    plain: int
    there: dict[Form, list[int]]
    steps: list[Step]
    flows: dict[Form, list[int]] = field(default_factory=dict)

    reply = True

    def asks(self, form: Form, way: int) -> int:
        """The services of answers on their way that a group's rules may decide: all, unless state holds every one."""
        eni, src, dst = form
        asked = self.there.get((eni, dst, src))
        held = asked[INWARD if way == OUTWARD else OUTWARD] if asked is not None else 0
        wanted = self.plain
        for services, _ in self.ports:
            wanted |= services
        return self.services.full if wanted & ~held else 0

    @staticmethod
    def of(there: There) -> Back:
        """The answers to what is alive."""
        services, alive = there.services, there.alive
        parts = [(alive & protocol, protocol) for protocol in (services.tcp, services.udp)]
        return Back(services, [p for p in parts if p[0]], alive & ~services.ported, there.flows, there.steps)

    def filter(self, layer: Layer, component: tuple[str, ...], lets: int, eni: str | None = None) -> None:
        """An element without memory."""
        self._ask(layer, component, lets, 0, eni)

    def group(self, layer: Layer, groups: tuple[str, ...], form: Form, way: int, rules: int, untracked: int) -> None:
        """A security group gate: answers of flows begun the other way pass; the rest is asked the rules."""
        eni, src, dst = form
        if form in self.there:
            raise Unmodelled(eni, "the answer comes back as the question")
        asked = self.there.get((eni, dst, src))
        if asked is not None:
            self._ask(layer, groups, rules, asked[INWARD if way == OUTWARD else OUTWARD], eni)
            return
        _refuse_mirror(self.flows, form)
        state = self.flows.get(form)
        held = state[way] if state else 0
        self._ask(layer, groups, held | rules, 0, eni)
        _remember(self.flows, form, way, self.services.opening & ~held, rules & untracked)

    def _ask(self, layer: Layer, component: tuple[str, ...], lets: int, held: int, eni: str | None) -> None:
        self.steps.append(Step(layer, component, eni, True, lets, held))
        kept: list[tuple[int, int]] = []
        for wanted, sources in self.ports:
            if wanted & held:
                kept.append((wanted & held, sources))
            if wanted & ~held and sources & lets:
                kept.append((wanted & ~held, sources & lets))
        self.ports = kept
        self.plain &= held | self.services.asking(lets)


Phase = There | Back
