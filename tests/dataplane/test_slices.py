"""The IR by VPC: whatever was taken before, the slices are those of the IR taken last; what did not change is the same."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.dataplane.slices import Slices
from ringfence.policy.compile import compile_world
from ringfence.policy.ir import Acl, Edge, Group, GroupMembers, Interface, Ir, Machine, RouteTable, Subnet, Vpc
from tests.builders import acl, changed, entry, group, ingress, vpc
from tests.policy.compile.test_incremental import START, apply, steps

BASE = compile_world(START)
V1, V2 = vpc().id, vpc("v2", "10.9.0.0/16").id


def seen(ir: Ir) -> tuple[object, ...]:
    """What slices of an IR are, said another way: no order counts."""
    vpcs = {each.vpc_id for each in ir.fragments.values() if isinstance(each, Vpc)}
    kinds = (Interface, Subnet, RouteTable)
    filtered = (*kinds, Group, GroupMembers, Acl, Edge, Vpc)

    def of(vpc_id: str, kind: type | tuple[type, ...]) -> frozenset[object]:
        return frozenset(f for f in ir.fragments.values() if f.vpc_id == vpc_id and isinstance(f, kind))

    parts = {v: (*(of(v, kind) for kind in kinds), of(v, Edge)) for v in vpcs}
    machines = {f.instance_id: f for f in ir.fragments.values() if isinstance(f, Machine)}
    return parts, {v: of(v, filtered) for v in {f.vpc_id for f in ir.fragments.values()}}, machines


def taken(slices: Slices) -> tuple[object, ...]:
    parts = {
        vpc_id: (*map(frozenset, (p.interfaces, p.subnets, p.tables)), frozenset([p.edge] if p.edge else []))
        for vpc_id, p in slices.parts.items()
    }
    return parts, {v: frozenset(held.values()) for v, held in slices.filtered.items()}, slices.machines


@given(st.lists(steps, max_size=4))
@settings(max_examples=60, deadline=None)
def test_any_irs_in_any_order(batches: list[list[tuple[str, object]]]) -> None:
    """Also an IR that is no descendant of the one before, as after a full load."""
    slices, w = Slices(), START
    for batch in batches:
        for step in batch:
            w = apply(w, step)  # type: ignore[arg-type]
        ir = compile_world(w)
        slices.take(ir)
        assert taken(slices) == seen(ir)
        slices.take(BASE)
        assert taken(slices) == seen(BASE)
        slices.take(ir)
    slices.take(Ir(9, {}))
    assert (slices.parts, slices.filtered, slices.machines) == ({}, {}, {})


def test_rules_leave_the_layout_alone() -> None:
    """A change of groups or network ACLs makes new rules of their VPC, and nothing else of any."""
    slices = Slices()
    slices.take(BASE)
    parts, filtered, machines = dict(slices.parts), dict(slices.filtered), slices.machines
    w = changed(START, group("web", ingress("10.7.0.0/16")), acl("strict", entry(7, "10.7.0.0/16")))
    slices.take(compile_world(w))
    assert slices.filtered[V1] != filtered[V1]
    assert slices.filtered[V2] is filtered[V2]
    assert all(slices.parts[each] is parts[each] for each in parts)
    assert slices.machines is machines


def test_what_was_given_away_does_not_change() -> None:
    slices = Slices()
    slices.take(BASE)
    filtered, machines = slices.filtered[V1], slices.machines
    before = dict(filtered), dict(machines)
    slices.take(compile_world(changed(START, group("web"), vpc(dns_support=False))))
    slices.take(Ir(9, {}))
    assert (filtered, machines) == before


def test_a_fragment_that_moves() -> None:
    """A gateway attached to another VPC keeps its key."""
    slices = Slices()
    slices.take(BASE)
    edge = next(each for each in BASE.fragments.values() if isinstance(each, Edge))
    moved = replace(edge, vpc_id=V2)
    slices.take(Ir(9, {**BASE.fragments, ("Edge", edge.gateway_id): moved}))
    assert slices.parts[V1].edge is None
    assert slices.parts[V2].edge is moved
