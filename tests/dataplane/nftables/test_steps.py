"""No transaction leads packets to what is not there yet for them (docs/adr/0004): what is new comes before the switch to it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables import steps, wire
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.readback import Kernel, definition_of, hook_of, wanted
from ringfence.dataplane.nftables.steps import Unit
from ringfence.policy.ir import Fragment, key_of
from tests.dataplane.nftables.test_assembly import VARIANTS
from tests.kernel.worlds import B, acl, allow, eni, entry, group, pair

NAME_OF = {nl.NEWCHAIN: 3, nl.NEWRULE: 2, nl.DELRULE: 2, nl.NEWSETELEM: 2, nl.DELSETELEM: 2}  # attribute with the name
SHORT = acl(ingress=[entry(90, "deny", "udp", "54"), entry(100, "allow")])
LONG = acl(ingress=[*(entry(n, "deny", "tcp", str(n)) for n in range(1, 30)), entry(100, "allow")])
TENS, ADDRESSES = [allow("tcp", "80", "10.0.0.0/8")], [allow("tcp", "80", "sg-a")]


def touched(phase: Iterable[Unit], *kinds: int) -> set[str]:
    """The names that messages of these kinds are about."""
    found = set()
    for message in steps.flat(phase):
        kind = message.kind & 0xFF
        if kind in kinds:
            found.add(dict(wire.attributes(message.body))[NAME_OF[kind]])
    return {name.rstrip(b"\0").decode() for name in found}


def ranges_of(plan: VpcTables) -> set[str]:
    return {s.name for t in plan.desired.tables() for s in t.sets.values() if s.interval}


def check(phase: list[Unit], ranges: set[str]) -> None:
    """One transaction does not both bring something that the kernel shows late, and lead packets to it."""
    new = touched(phase, nl.NEWCHAIN)
    shown_late = touched(phase, nl.NEWSETELEM) & ranges - touched(phase, nl.DELSETELEM)
    switched = (touched(phase, nl.DELRULE, nl.NEWRULE) - new) | touched(phase, nl.DELSETELEM)
    assert not (switched and (new or shown_late)), (switched, new, shown_late)


def changed(plan: VpcTables, put: Iterable[Fragment]) -> int:
    """Every phase of the change; how many there are."""
    ranges = ranges_of(plan)
    (*changes,) = plan.change(put, ())
    ranges |= ranges_of(plan)
    longest = 0
    for change in changes:
        phases = steps.units_of(change)
        longest = max(longest, len(phases))
        for phase in phases:
            check(phase, ranges)
    return longest


def converged(before: VpcTables, after: VpcTables) -> int:
    """The same when an agent finds what another left; how many phases the larger table takes."""
    left, longest = {table.family: table for table in before.desired.tables()}, 0
    for table in after.desired.tables():
        was = left[table.family]
        kernel = Kernel(
            {name: hook_of(table.family, chain) for name, chain in was.chains.items()},
            {name: definition_of(kind) for name, kind in was.sets.items()}, set(was.timeouts),
        )  # fmt: skip
        assert steps.fits(table, kernel)
        held = {
            name: {w[0] + w[1]: w for w in (wanted(table.sets[name], e) for e in was.elements.get(name, {}))}
            for name in was.sets
            if name in table.sets
        }
        phases = steps.converging(table, kernel, held)
        for phase in phases:
            check(phase, ranges_of(before) | ranges_of(after))
        longest = max(longest, len(phases))
    return longest


@pytest.mark.parametrize(
    ("before", "after", "phases"),
    [
        ([SHORT], [LONG], 2),
        ([LONG], [SHORT], 1),
        ([group("sg-b", TENS)], [group("sg-b", ADDRESSES)], 2),
        ([eni(B, 2, 2, 10, ["sg-b"])], [eni(B, 2, 2, 10, ["sg-a", "sg-b"])], 2),
        ([group("sg-b", TENS)], [group("sg-b", [allow("tcp", "80-81", "10.0.0.0/8"), *TENS])], 1),
    ],
    ids=["ACL grows into sets", "ACL shrinks to rules", "range to group", "another class of groups", "one set"],
)
def test_what_is_new_comes_first(before: list[Fragment], after: list[Fragment], phases: int) -> None:
    plan = VpcTables()
    plan.change([*pair(TENS), *before], ())
    assert changed(plan, after) == phases


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(VARIANTS), max_size=12))
def test_no_change_leads_to_what_is_not_there(puts: list[Fragment]) -> None:
    plan = VpcTables()
    plan.change(pair(TENS), ())
    for put in puts:
        changed(plan, [put])


@settings(max_examples=80, deadline=None)
@given(*(2 * [st.lists(st.sampled_from(VARIANTS), max_size=12)]))
def test_an_agent_that_starts_leads_to_nothing_that_is_not_there(one: list[Fragment], two: list[Fragment]) -> None:
    """What changed while no agent ran comes in the same phases."""
    before, after = VpcTables(), VpcTables(2)
    before.change([*pair(TENS), *one], ())
    after.change([*pair(TENS), *two], ())
    converged(before, after)


def test_an_acl_that_grew_while_no_agent_ran() -> None:
    before, after = VpcTables(), VpcTables(2)
    before.change([*pair(TENS), SHORT], ())
    after.change([*pair(TENS), LONG], ())
    assert converged(before, after) == 2  # its sets; then its chain
    assert converged(after, before) == 1


def test_a_new_interface_takes_one_transaction() -> None:
    """Nothing that packets pass already leads to it."""
    plan = VpcTables()
    plan.change([f for f in pair(TENS) if key_of(f) != ("Interface", B)], ())
    assert changed(plan, [eni(B, 2, 2, 10, ["sg-b"])]) == 1
