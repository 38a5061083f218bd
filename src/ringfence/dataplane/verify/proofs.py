"""A proof under way, of any namespace: what it found, and the questions that every gate is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.findings import Drift, Finding
from ringfence.dataplane.verify.outcomes import ACCEPT, DROP, POSSIBLE, Effects, Outcomes
from ringfence.dataplane.verify.roads import NOWHERE, UNCLEAR
from ringfence.dataplane.verify.snapshot import Snapshot

SHUT = (1, "ringfence-shut")
#: table → base chain → (hook, priority); NF_INET_* and NF_ARP_*
Hooks = Mapping[tuple[int, str], Mapping[str, tuple[int, int]]]


@dataclass(slots=True)
class Proof:
    """What came of it. `gates`: how many were proven."""

    place: str
    findings: list[Finding] = field(default_factory=list)
    gates: int = 0

    def note(self, drift: Drift, what: str, component: str, name: str, detail: str) -> None:
        self.findings.append(Finding(drift, what, self.place, component, name, detail))

    def equal(self, got: int, asked: int, what: str, component: str, name: str, within: int = POSSIBLE) -> None:
        """The same packets, of those that can be."""
        self.gates += 1
        got, asked = p.both(got, within), p.both(asked, within)
        if got == asked:
            return
        for drift, some in ((Drift.ADMITS, p.without(got, asked)), (Drift.REFUSES, p.without(asked, got))):
            if some != p.NONE:
                self.note(drift, what, component, name, p.shown(some))

    def none(self, packets: int, what: str, component: str, name: str, why: str) -> None:
        """There is no such packet."""
        if packets != p.NONE:
            self.note(Drift.ADMITS, what, component, name, f"{why}: {p.shown(packets)}")


def inventory(proof: Proof, found: Snapshot, hooks: Hooks) -> None:
    """Only the hooks that the proof is about: whatever else the kernel calls may do anything."""
    for key, content in found.tables.items():
        if key == SHUT:
            continue
        asked = hooks.get(key, {})
        for name, chain in content.chains.items():
            if chain.hook is not None and asked.get(name) != (chain.hook.number, chain.hook.priority):
                proof.note(
                    Drift.UNKNOWN, "hook", proof.place, f"{key[1]} {name}", f"the kernel calls it at {chain.hook}"
                )
        for name in content.flowtables:
            proof.note(Drift.UNKNOWN, "flowtable", proof.place, name, "packets go past the rules")
        if content.asleep and key in hooks:
            proof.note(Drift.ADMITS, "table", proof.place, key[1], "it is switched off: everything passes")
    for key, names in hooks.items():
        chains = found.tables[key].chains if key in found.tables else {}
        for name in names:
            if name not in chains or chains[name].hook is None:
                proof.note(Drift.ADMITS, "hook", proof.place, f"{key[1]} {name}", "the kernel does not call it")


def accepted_of(proof: Proof, outcomes: Outcomes, what: str, component: str, name: str) -> list[tuple[Effects, int]]:
    """What is accepted, by effects; what cannot be told is reported."""
    for outcome, some in outcomes.items():
        if outcome.verdict not in (ACCEPT, DROP):
            detail = f"{outcome.why or outcome.verdict}, for {p.shown(some)}"
            proof.note(Drift.UNKNOWN, what, component, name, detail)
    accepted = [(outcome.effects, some) for outcome, some in outcomes.items() if outcome.verdict == ACCEPT]
    refused = p.union(some for outcome, some in outcomes.items() if outcome.verdict == DROP)
    twice = p.both(refused, p.union(some for _, some in accepted))
    if twice != p.NONE:
        proof.note(Drift.UNKNOWN, what, component, name, f"it depends on what is not looked into, for {p.shown(twice)}")
    return accepted


def led_as_asked(proof: Proof, led: Mapping[str, int], asked: Mapping[str, int], within: int, component: str) -> None:
    """Each packet by the link that the model says; what cannot be told is reported."""
    unclear = p.both(led.get(UNCLEAR, p.NONE), within)
    if unclear != p.NONE:
        proof.note(Drift.UNKNOWN, "route", component, "", f"a route not known, for {p.shown(unclear)}")
    for place in dict.fromkeys((*led, *asked)):
        if place not in (NOWHERE, UNCLEAR):
            proof.equal(
                led.get(place, p.NONE), asked.get(place, p.NONE), "route", component, f"to {place}", within=within
            )
