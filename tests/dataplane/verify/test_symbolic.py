"""The interpreter on small tables, written with the statements that the product writes; and what it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

import pytest

from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.fields import (
    CT_DIRECTION,
    CT_MARK,
    IIFNAME,
    IP_SADDR,
    IPV4,
    META_L4PROTO,
    META_MARK,
    PORT,
    PROTOCOL,
    TH_DPORT,
    expression,
    pack_key,
)
from ringfence.dataplane.nftables.objects import Element, Set
from ringfence.dataplane.nftables.terms import (
    ACCEPT,
    DROP,
    RETURN,
    Bits,
    ChangeMark,
    HasState,
    Is,
    Masked,
    Member,
    PutMark,
    Rule,
    SetConnectionMark,
    SetZone,
    Untrack,
    Within,
    goto,
    jump,
    rule_wire,
)
from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.outcomes import Gate, Outcome, Outcomes
from ringfence.dataplane.verify.program import Strange, program
from ringfence.dataplane.verify.snapshot import Elements, Entry, HookPoint, Rules, TableContent
from ringfence.dataplane.verify.symbolic import Machine

PORTS = Set("ports", (IPV4, PROTOCOL, PORT), interval=True)


def table(
    chains: Mapping[str, tuple[Rule, ...]], sets: Mapping[Set, tuple[Element, ...]] | None = None
) -> TableContent:
    made = TableContent(chains={
        name: Rules(HookPoint(2, 0, False, "filter") if name == "base" else None, [program(rule_wire(rule)) for rule in rules])
        for name, rules in chains.items()
    })  # fmt: skip
    for kind, elements in (sets or {}).items():
        entries = [
            Entry(pack_key(kind.key, e.key), pack_key(kind.key, e.end) if e.end else b"", e.data.data() if e.data else b"")  # type: ignore[union-attr]
            for e in elements
        ]  # fmt: skip
        made.sets[kind.name] = Elements(0, kind.key_size, 0, 0, (), entries)
    return made


def verdict(outcomes: Outcomes, **packet: int) -> Outcome:
    """The one outcome of a packet: IPv4, new, unless said otherwise."""
    numbers = {name: number for number, (name, _) in enumerate(p.FIELDS)}
    at = {p.FAMILY: 2, p.STATE: 8} | {numbers[name]: value for name, value in packet.items()}
    found = [outcome for outcome, some in outcomes.items() if p.has(some, at)]
    assert len(found) == 1, found
    return found[0]


def test_order_return_jump_and_goto() -> None:
    machine = Machine(table({
        "base": ((Is(META_L4PROTO, 6), jump("tcp")), (Is(META_L4PROTO, 17), goto("udp")), (ACCEPT,)),
        "tcp": ((Is(TH_DPORT, 22), DROP), (Is(TH_DPORT, 23), RETURN), (Is(TH_DPORT, 24), ACCEPT)),
        "udp": ((Is(TH_DPORT, 53), ACCEPT),),  # goto: what is left meets the policy, not the next rule
    }))  # fmt: skip
    out = machine.base("base", Gate())
    assert [verdict(out, protocol=6, port=port).verdict for port in (22, 23, 24, 25)] == [
        "drop",
        "accept",
        "accept",
        "accept",
    ]
    assert [verdict(out, protocol=17, port=port).verdict for port in (53, 54)] == ["accept", "drop"]


def test_sets_prefixes_and_families() -> None:
    low, high = (IPv4Address("10.0.0.0"), 6, 80), (IPv4Address("10.0.255.255"), 6, 89)
    rule: Rule = (Member((IP_SADDR, META_L4PROTO, TH_DPORT), "ports"), ACCEPT)
    content = table(
        {"base": (rule, (Within(IP_SADDR, IPv4Network("192.0.2.0/24")), ACCEPT))}, {PORTS: (Element(low, high),)}
    )
    out = Machine(content).base("base", Gate())
    inside, outside = int(IPv4Address("10.0.7.7")), int(IPv4Address("10.1.0.0"))
    assert verdict(out, source=inside, protocol=6, port=85).verdict == "accept"
    assert verdict(out, source=inside, protocol=6, port=90).verdict == "drop"
    assert verdict(out, source=inside, protocol=17, port=85).verdict == "drop"
    assert verdict(out, source=outside, protocol=6, port=85).verdict == "drop"
    assert verdict(out, source=int(IPv4Address("192.0.2.255"))).verdict == "accept"
    assert verdict(out, family=10, source=inside, protocol=6, port=85).verdict == "drop"


def test_marks_are_known_and_connections_are_sets() -> None:
    rules: tuple[Rule, ...] = (
        (Bits(META_MARK, 4, some=True), PutMark(1), SetZone(7), ACCEPT),
        (Masked(META_MARK, 0xFF, 3), ChangeMark(0xFE, 0x10), Untrack(), ACCEPT),
        (Masked(CT_MARK, 3, 1), HasState("related", some=False), SetConnectionMark(0x85), ACCEPT),
    )
    machine = Machine(table({"base": rules}))
    first = verdict(machine.base("base", Gate(mark=4)))
    assert (first.verdict, first.effects.mark, first.effects.zone) == ("accept", (0, 1), 7)
    second = verdict(machine.base("base", Gate(mark=3)))
    assert (second.effects.untracked, 3 & second.effects.mark[0] | second.effects.mark[1]) == (True, 0x12)
    third = machine.base("base", Gate())
    assert verdict(third, begun=1).effects.connection == (0, 0x85)
    assert verdict(third, begun=1, state=4).verdict == "drop"
    assert verdict(third, begun=2).verdict == "drop"
    assert verdict(third, state=64).verdict == "drop", "without an entry there is no mark to look at"
    marks = Machine(table({"base": ((Masked(CT_MARK, 3, 0), ACCEPT),)})).base("base", Gate())
    assert [verdict(marks, state=state).verdict for state in (2, 64)] == ["accept", "drop"], "not even to find it empty"
    never = Machine(table({"base": ((Masked(CT_MARK, 1, 2), ACCEPT),)})).base("base", Gate())
    assert verdict(never, begun=2).verdict == "drop", "bits that are masked away are never there"
    ways = Machine(table({"base": ((Is(CT_DIRECTION, 0), ACCEPT),)})).base("base", Gate())
    assert [verdict(ways, state=state).verdict for state in (2, 64)] == ["accept", "drop"], "nor a direction"


def test_a_shared_chain_is_run_for_every_gate_that_it_reads_differently() -> None:
    machine = Machine(table({"base": ((jump("inner"),), (ACCEPT,)), "inner": ((Is(IIFNAME, "e1"), DROP),)}))
    assert verdict(machine.base("base", Gate(iif="e1"))).verdict == "drop"
    assert verdict(machine.base("base", Gate(iif="e2"))).verdict == "accept"
    assert verdict(machine.base("base", Gate(iif="e1"))).verdict == "drop"


COUNTER = expression("counter", wire.be64(1, 7), wire.be64(2, 9))
LIMIT = expression("limit", wire.be64(1, 1))


def _raw(*parts: bytes) -> TableContent:
    end = [program(rule_wire((DROP,)))]
    return TableContent(chains={"base": Rules(HookPoint(2, 0, False, "filter"), [program(b"".join(parts)), *end])})


def test_counting_decides_nothing() -> None:
    content = _raw(COUNTER, rule_wire((Is(META_L4PROTO, 6), ACCEPT)))
    out = Machine(content).base("base", Gate())
    assert [verdict(out, protocol=n).verdict for n in (6, 17)] == ["accept", "drop"]


def test_what_is_not_known_is_unknown_for_the_packets_that_meet_it() -> None:
    content = _raw(rule_wire((Is(META_L4PROTO, 6),)), LIMIT, rule_wire((ACCEPT,)))
    assert any(isinstance(each, Strange) for each in content.chains["base"].programs[0])
    out = Machine(content).base("base", Gate())
    assert verdict(out, protocol=6).verdict == "unknown"
    assert verdict(out, protocol=17).verdict == "drop"


@pytest.mark.parametrize("kind", ["dynset", "nobody's"])
def test_a_rule_that_enters_elements_goes_both_ways(kind: str) -> None:
    """The set may be full: the packet is accepted or goes on. A set that is not packets' own to fill is not to be changed."""
    note = expression("dynset", wire.text(1, "counts"), wire.be32(4, 8), wire.be32(3, 0))
    content = _raw(note, rule_wire((ACCEPT,)))
    content.sets["counts"] = Elements(0x20 if kind == "dynset" else 0, 4, 0, 0)
    out = Machine(content).base("base", Gate())
    verdicts = {outcome.verdict for outcome in out}
    assert verdicts == ({"accept", "drop"} if kind == "dynset" else {"unknown"})


def test_a_chain_or_set_that_is_gone_is_not_passed_over() -> None:
    assert verdict(Machine(table({"base": ((goto("gone"),),)})).base("base", Gate())).verdict == "unknown"
    rule: Rule = (Member((IP_SADDR,), "gone"), ACCEPT)
    assert verdict(Machine(table({"base": (rule,)})).base("base", Gate())).verdict == "unknown"
    assert verdict(Machine(table({})).base("base", Gate())).verdict == "unknown"
