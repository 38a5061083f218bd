"""The desired state depends on the fragments, not on the way to them (path independence, revert)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.dataplane.nftables.objects import text_of
from ringfence.policy.ir import Fragment, GroupMembers, Interface, Key, key_of
from tests.kernel.worlds import A, acl, allow, eni, entry, group, pair, subnet, table

VARIANTS: list[Fragment] = [
    *pair([allow("tcp", "80"), allow("tcp", "443", "sg-a")]),
    group("sg-a", [allow("udp", "53", "10.0.0.0/8")], [allow("tcp", "0-65535")]),
    group("sg-b", [allow("tcp", "80-90", "10.0.0.0/8"), allow("tcp", "85-95", "10.0.0.0/16")]),
    group("sg-b", [], []),
    acl(ingress=[entry(n, "deny", "tcp", f"{n}") for n in range(1, 30)]),
    acl(ingress=[entry(1, "deny", "tcp", "22"), entry(2, "allow")]),
    subnet("subnet-1", 1, table_id="rtb-2"),
    table("rtb-2", 2),
    table("rtb-2", 3),
    eni(A, 1, 1, 10, ["sg-a", "sg-b"]),
    eni(A, 1, 1, 11, ["sg-b"], check=False),
    eni("eni-c", 3, 2, 30, []),
]
KEYS = sorted({key_of(fragment) for fragment in VARIANTS})
STEPS = st.lists(st.one_of(st.sampled_from(VARIANTS), st.sampled_from(KEYS)), max_size=25)


def text(plan: VpcTables) -> str:
    return "".join(text_of(each) for each in plan.desired.tables())


def state_after(steps: list[Fragment | Key]) -> dict[Key, Fragment]:
    state: dict[Key, Fragment] = {}
    for step in steps:
        if isinstance(step, tuple):
            state.pop(step, None)
        else:
            state[key_of(step)] = step
    return state


def scratch(fragments: dict[Key, Fragment]) -> VpcTables:
    plan = VpcTables()
    plan.change(fragments.values(), ())
    return plan


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_steps_equal_scratch(steps: list[Fragment | Key]) -> None:
    plan = VpcTables()
    for step in steps:
        if isinstance(step, tuple):
            plan.change((), (step,))
        else:
            plan.change((step,), ())
    assert text(plan) == text(scratch(state_after(steps)))


@settings(max_examples=60, deadline=None)
@given(STEPS, STEPS)
def test_revert_restores(before: list[Fragment | Key], after: list[Fragment | Key]) -> None:
    old = state_after(before)
    new = state_after([*old.values(), *after])
    plan = scratch(old)
    start = text(plan)
    plan.change([f for k, f in new.items() if old.get(k) != f], [k for k in old if k not in new])
    plan.change([f for k, f in old.items() if new.get(k) != f], [k for k in new if k not in old])
    assert text(plan) == start


def test_a_rule_change_touches_only_the_groups_sets() -> None:
    """What makes it fast (docs/adr/0004): one element, no chain, no matter how many ENIs carry the group."""
    plan = scratch(state_after(list(pair([allow("tcp", "80", "10.0.0.0/8")]))))
    plan.desired.changes()
    (change,) = plan.change([group("sg-b", [allow("tcp", "80", "10.0.0.0/8"), allow("tcp", "81", "10.0.0.0/8")])], ())
    assert (change.create, change.fill, change.delete, change.remove) == ([], [], [], {})
    assert list(change.add) == ["in.sg-b.ports4.0"]
    assert len(change.add["in.sg-b.ports4.0"]) == 1


def test_membership_touches_only_the_member_sets() -> None:
    """SG-76."""
    fragments = state_after(list(pair([allow("tcp", "80", "sg-a")])))
    plan = scratch(fragments)
    plan.desired.changes()
    members = fragments["GroupMembers", "sg-a"]
    assert isinstance(members, GroupMembers)
    grown = replace(members, ipv4=(*members.ipv4, IPv4Address("10.0.1.77")))
    (change,) = plan.change([grown], ())
    assert list(change.add) == ["members4.sg-a"]
    assert not change.fill


def test_interface_without_its_subnet_gets_nothing() -> None:
    fragments = state_after(list(pair()))
    del fragments["Subnet", "subnet-1"]
    shown = text(scratch(fragments))
    assert "own4-1" not in shown
    assert "own4-2" in shown
    assert isinstance(fragments["Interface", A], Interface)
