"""Security groups used in a second VPC: what their rules and references match there (SG-12, SG-67, SG-70, SG-75)."""

from __future__ import annotations

import pytest

from ringfence.model.invariants import check
from ringfence.model.world import World
from ringfence.policy.compile import Compiler, compile_world
from ringfence.policy.ir import Group, GroupMembers, key_of
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.builders import (
    OPEN,
    association,
    changed,
    egress,
    eni,
    group,
    host,
    ident,
    ingress,
    packet,
    subnet,
    vpc,
    without,
    world,
)
from tests.policy.asking import dropped

CLIENT, SERVER, OTHER = "10.0.0.10", "10.0.0.20", "10.0.0.30"


def twin() -> World:
    """Two VPCs of the same addresses. `web` admits members of `clients`; both live in main and are used in second."""
    return world(
        vpc(), vpc("second"),
        subnet("a", "10.0.0.0/24"), subnet("b", "10.0.0.0/24", vpc="second", acl="second"),
        group("clients", *OPEN), group("web", ingress("clients", "tcp", 80), egress("10.0.0.0/8")),
        group("local", *OPEN, vpc="second"),
        association("clients", "second"), association("web", "second"),
        host("c1", CLIENT, groups=["clients"]), host("s1", SERVER, groups=["web"]),
        # in the second VPC the addresses are dealt out the other way: OTHER carries `clients`, CLIENT does not
        host("c2", OTHER, subnet="b", vpc="second", groups=["clients"]),
        host("x2", CLIENT, subnet="b", vpc="second", groups=["local"]),
        host("s2", SERVER, subnet="b", vpc="second", groups=["web"]),
    )  # fmt: skip


def both(w: World, source: str, sent: Packet) -> str:
    """What the evaluator says, after making sure that the specification says the same."""
    said = dropped(w, source, sent)
    assert spec.converse(w, sent, ident("eni", source)) == said
    return said


def test_the_world_is_sound() -> None:
    assert check(twin()) == []


@pytest.mark.parametrize(
    ("source", "sent", "expected"),
    [
        ("c1", packet(CLIENT, SERVER, "tcp", 80), "ok"),  # in its own VPC, as ever
        ("c2", packet(OTHER, SERVER, "tcp", 80), "ok"),  # SG-70: rules and reference hold in the second VPC
        ("c2", packet(OTHER, SERVER, "tcp", 81), "sg-ingress"),
        ("x2", packet(CLIENT, SERVER, "tcp", 80), "sg-ingress"),  # SG-67: the member with this address is elsewhere
    ],
)
def test_sg_70_rules_and_references_in_both_vpcs(source: str, sent: Packet, expected: str) -> None:
    assert both(twin(), source, sent) == expected


def test_sg_12_without_the_association_the_group_is_no_group_of_the_vpc() -> None:
    wrong = without(twin(), association("web", "second"))
    assert [text for text in check(wrong) if ident("sg", "web") in text]


def test_sg_74_a_rule_change_reaches_both_vpcs() -> None:
    w, compiler = twin(), Compiler()
    compiler.compile(w)
    later = changed(w, group("web", ingress("clients", "tcp", 81), egress("10.0.0.0/8")))
    assert both(later, "c2", packet(OTHER, SERVER, "tcp", 81)) == "ok"
    assert both(later, "c1", packet(CLIENT, SERVER, "tcp", 80)) == "sg-ingress"
    assert compiler.compile(later).fragments == compile_world(later).fragments


def test_sg_76_a_new_member_in_the_second_vpc_is_admitted_there_only() -> None:
    w, compiler = twin(), Compiler()
    compiler.compile(w)
    later = changed(w, eni("x2", CLIENT, subnet="b", vpc="second", groups=["clients"], instance="x2"))
    assert both(later, "x2", packet(CLIENT, SERVER, "tcp", 80)) == "ok"
    assert compiler.compile(later).fragments == compile_world(later).fragments


def test_disassociation_takes_the_groups_fragments_out_of_the_vpc() -> None:
    w, compiler = twin(), Compiler()
    compiler.compile(w)
    later = without(w, association("clients", "second"), eni("c2", OTHER, subnet="b", vpc="second"))
    fragments = compiler.compile(later).fragments
    assert fragments == compile_world(later).fragments
    used = {(f.group_id, f.vpc_id) for f in fragments.values() if isinstance(f, Group | GroupMembers)}
    assert (ident("sg", "clients"), ident("vpc", "second")) not in used
    assert (ident("sg", "web"), ident("vpc", "second")) in used


def test_the_fragments_of_one_group_have_keys_of_their_own() -> None:
    fragments = compile_world(twin()).fragments
    groups = [f for f in fragments.values() if isinstance(f, Group) and f.group_id == ident("sg", "web")]
    assert {g.vpc_id for g in groups} == {ident("vpc", "main"), ident("vpc", "second")}
    assert len({key_of(g) for g in groups}) == 2
