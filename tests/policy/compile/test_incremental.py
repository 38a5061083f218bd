"""Path independence: whatever way a World came about, and whatever was compiled before, its IR is the same.

And what did not change is the same object, so that the agent is sent only what did.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.errors import ApiError
from ringfence.model.kinds import NETWORK_INTERFACE, SECURITY_GROUP
from ringfence.model.nouns.instance import InstanceState, MetadataOptions
from ringfence.model.row import Row
from ringfence.model.world import World
from ringfence.policy.compile import Compiler, apply_delta, compile_world, diff, differences
from ringfence.policy.ir import Fragment, Ir, Key, key_of
from tests.builders import (
    ANY,
    OPEN,
    acl,
    changed,
    egress,
    elastic_ip,
    eni,
    entry,
    gateway,
    group,
    host,
    ident,
    image,
    ingress,
    instance,
    key_pair,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    without,
    world,
)

BASE = world(
    vpc(ipv6=["2001:db8:1::/56"]), vpc("v2", "10.9.0.0/16"), gateway(), image(),
    subnet("a", "10.0.0.0/24"), subnet("b", "10.0.1.0/24"), subnet("z", "10.9.0.0/24", vpc="v2"),
    table("t", *to_gateway(), subnets=["a"]), group("web", ingress(ANY, "tcp", 80), *OPEN), group("db", ingress("web")),
    host("x", "10.0.0.10", groups=["web"]), host("y", "10.0.1.10", subnet="b", groups=["db", "web"]),
    host("z", "10.9.0.10", subnet="z", vpc="v2"), elastic_ip("198.18.0.1", "x", "10.0.0.10"),
)  # fmt: skip

#: rows that may be put at any time: variants of every kind, two or more of each row
PUTS: list[Row] = [
    vpc(ipv6=["2001:db8:1::/56"]), vpc(), vpc(dns_hostnames=True), vpc(dns_support=False),
    vpc(secondary=["10.1.0.0/16"]), gateway(), gateway(vpc=None), gateway(vpc="v2"), gateway("g2", vpc=None),
    subnet("a", "10.0.0.0/24"), subnet("a", "10.0.0.0/24", acl="strict", ipv6=["2001:db8:1::/64"]),
    subnet("b", "10.0.1.0/24"), subnet("c", "10.0.2.0/24"), acl("strict"), acl("strict", entry(100, ANY)),
    acl("main", entry(90, "10.0.0.0/8", allow=False)),
    table("t", subnets=["a"]), table("t", *to_gateway(), subnets=["a", "b"]), table("t", edge="igw"),
    table("t", route("10.0.1.0/24", ident("eni", "x")), route(ANY, ident("igw", "igw"))),
    table("main", route(ANY, ident("eni", "loose"))), table("main"),
    group("web", *OPEN), group("web", ingress("db"), egress(ANY)), group("db"), group("db", ingress("new", "udp", 53)),
    group("new", ingress(ANY)), replace(group("web"), name="web by another name"), replace(group("db"), name="data"),
    eni("x", "10.0.0.10", groups=["db"], instance="x"), eni("x", ["10.0.0.10", "10.0.0.11"], groups=["web"], instance="x"),
    eni("x", "10.0.0.10", groups=["web"]), eni("x", "10.0.0.10", groups=["web", "db"], instance="x", check=False),
    eni("x", "10.0.0.10", groups=["web"], instance="x", public="198.18.7.7", ipv6=["2001:db8:1::10"]),
    eni("loose", "10.0.0.20", groups=["new"]), eni("loose", "10.0.0.20", groups=["web"], instance="y", device=1),
    instance("x", InstanceState.STOPPED), instance("x", InstanceState.PENDING), instance("x", InstanceState.TERMINATED),
    instance("x", boots=2), instance("x", key_name="k"), instance("x", tags=(("Name", "x"),)),
    instance("x", metadata_options=MetadataOptions(instance_metadata_tags="enabled")),
    elastic_ip("198.18.0.1"), elastic_ip("198.18.0.1", "y", "10.0.1.10"), elastic_ip("198.18.0.1", "x", "10.0.0.10"),
    elastic_ip("198.18.0.2", "x", "10.0.0.10"), image(), image(root="/srv/image"), key_pair("k"), key_pair("k", "other"),
]  # fmt: skip
#: rows nothing needs to find, so they may be deleted at any time
REMOVABLE: list[Row] = [
    gateway(), gateway("g2"), table("t"), eni("loose", "10.0.0.20"), elastic_ip("198.18.0.1"), elastic_ip("198.18.0.2"),
    image(), key_pair("k"), instance("x"), eni("z", "10.9.0.10", vpc="v2", subnet="z"),
]  # fmt: skip

puts = st.sampled_from(PUTS).map(lambda row: ("put", row))
deletes = st.sampled_from(REMOVABLE).map(lambda row: ("delete", row))
steps = st.lists(st.one_of(puts, puts, puts, deletes), max_size=12)


def apply(before: World, step: tuple[str, Row]) -> World:
    verb, row = step
    if verb == "put":
        return changed(before, row)
    held = next((found for kind, found in before if found.id == row.id), None)
    return before if held is None else without(before, row)


def complete(row: Row) -> bool:
    """A group another put refers to must exist from the start."""
    return row.id in {ident("sg", "new"), ident("acl", "strict")}


START = changed(BASE, *(row for row in PUTS if complete(row)), subnet("c", "10.0.2.0/24"))


@given(st.lists(st.tuples(steps, st.booleans()), max_size=4))
@settings(max_examples=150, deadline=None)
def test_incremental_is_from_scratch(batches: list[tuple[list[tuple[str, Row]], bool]]) -> None:
    """One compiler fed every World, or only some, gives what a fresh one gives; the agent's copy keeps up by deltas."""
    compiler, w = Compiler(), START
    sent = compiler.compile(w)
    agent = apply_delta(None, diff(None, sent))
    for batch, every in batches:
        for step in batch:
            w = apply(w, step)
            if every:
                compiler.compile(w)
        ir = compiler.compile(w)
        assert ir.fragments == compile_world(w).fragments
        assert ir.generation == w.generation
        agent = apply_delta(agent, diff(sent, ir))
        assert agent == ir
        sent = ir


@given(steps, steps)
@settings(max_examples=60, deadline=None)
def test_any_world_after_any_other(one: list[tuple[str, Row]], two: list[tuple[str, Row]]) -> None:
    """Worlds of different histories: the compiler must not take one for a descendant of the other."""
    left = right = START
    for step in one:
        left = apply(left, step)
    for step in two:
        right = apply(right, step)
    compiler = Compiler()
    for w in (left, right, left, START):
        assert compiler.compile(w).fragments == compile_world(w).fragments


@given(steps)
@settings(max_examples=40, deadline=None)
def test_undoing_everything_restores_the_ir(batch: list[tuple[str, Row]]) -> None:
    compiler, w = Compiler(), START
    before = compiler.compile(w)
    for step in batch:
        w = apply(w, step)
    compiler.compile(w)
    originals = {(kind.noun, row.id): row for kind, row in START}
    extra = [row for kind, row in w if (kind.noun, row.id) not in originals]
    w = changed(without(w, *extra), *originals.values())
    assert compiler.compile(w).fragments == before.fragments


def put_keys(before: Ir, after: Ir) -> set[Key]:
    return {key_of(fragment) for fragment in diff(before, after).put}


@pytest.mark.parametrize(
    ("what", "row", "expected"),
    [
        ("one rule", group("web", ingress(ANY, "tcp", 443), *OPEN), {("Group", ident("sg", "web"))}),
        ("one ACL entry", acl("main", entry(90, ANY)), {("Acl", ident("acl", "main"))}),
        ("timeouts and check only", eni("x", "10.0.0.10", groups=["web"], instance="x", check=False), {("Interface", ident("eni", "x"))}),
        ("nothing", eni("x", "10.0.0.10", groups=["web"], instance="x"), set()),
        ("Elastic IP", elastic_ip("198.18.0.2", "y", "10.0.1.10"),
         {("Edge", ident("igw", "igw")), ("Machine", ident("i", "y"))}),
        ("stop", instance("y", InstanceState.STOPPED, subnet="b"), set()),
    ],
)  # fmt: skip
def test_only_what_changes_is_sent(what: str, row: Row, expected: set[Key]) -> None:
    compiler = Compiler()
    before = compiler.compile(START)
    after = compiler.compile(changed(START, row))
    assert put_keys(before, after) == expected, what
    shared = before.fragments.keys() & after.fragments.keys() - expected
    assert all(before.fragments[key] is after.fragments[key] for key in shared)


def test_a_stopped_instance_is_dropped() -> None:
    compiler = Compiler()
    before = compiler.compile(START)
    after = compiler.compile(changed(START, instance("y", InstanceState.STOPPED, subnet="b")))
    assert diff(before, after).drop == (("Machine", ident("i", "y")),)


def test_an_ir_does_not_change_afterwards() -> None:
    compiler = Compiler()
    before = compiler.compile(START)
    copy = dict(before.fragments)
    compiler.compile(changed(START, group("web"), gateway(vpc=None)))
    assert before.fragments == copy


def test_a_failed_compilation_leaves_nothing_behind() -> None:
    """An unsound World (an interface with a group that is not there) is refused; the next sound one compiles right."""
    compiler = Compiler()
    compiler.compile(START)
    broken = changed(START, group("web"), eni("x", "10.0.0.10", groups=["nowhere"], instance="x"))
    with pytest.raises(ApiError):
        compiler.compile(broken)
    sound = changed(broken, eni("x", "10.0.0.10", groups=["db"], instance="x"))
    assert compiler.compile(sound).fragments == compile_world(sound).fragments


def test_apply_delta_refuses_another_base() -> None:
    one, two = compile_world(START), compile_world(changed(START, group("web")))
    delta = diff(one, two)
    assert apply_delta(one, delta) == two
    with pytest.raises(ValueError, match="generation"):
        apply_delta(two, delta)
    with pytest.raises(ValueError, match="generation"):
        apply_delta(None, delta)


def test_a_full_delta_replaces_everything() -> None:
    one, two = compile_world(START), compile_world(BASE)
    assert apply_delta(one, diff(None, two)) == two


def test_long_histories_are_compiled_anew() -> None:
    """More changes than the World remembers."""
    compiler, w = Compiler(), START
    compiler.compile(w)
    for turn in range(100):
        w = changed(w, group("web", ingress(f"10.7.{turn}.0/24")))
    assert w.touched_since(START) is None
    assert compiler.compile(w).fragments == compile_world(w).fragments


def test_one_rule_remakes_few_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a change does not grow with the World: 200 interfaces, and a rule remakes a handful of fragments."""
    groups = [group(f"g{n}", ingress(ANY)) for n in range(20)]
    hosts = [host(f"h{n}", f"10.0.3.{n + 10}", subnet="a", groups=[f"g{n % 20}"]) for n in range(200)]
    w = changed(world(vpc(), subnet("a", "10.0.0.0/22")), groups, hosts)
    compiler = Compiler()
    compiler.compile(w)
    made: list[Fragment | None] = []
    true = Compiler._make

    def counted(self: Compiler, at: World, node: tuple[object, str, str]) -> None:
        made.append(None)
        true(self, at, node)  # type: ignore[arg-type]

    monkeypatch.setattr(Compiler, "_make", counted)
    row = w.get(SECURITY_GROUP, ident("sg", "g3"))
    compiler.compile(changed(w, replace(row, rules=(*row.rules, ingress("10.1.0.0/16")))))
    assert len(made) == 2  # the group and its members; the machines tell its name, which is the same
    assert len(w.by(NETWORK_INTERFACE, "group", row.id)) == 10


def test_a_group_of_another_name_remakes_what_tells_it() -> None:
    """AWS never renames a group, but what is remembered of a part must notice when it is another."""
    compiler = Compiler()
    before = compiler.compile(START)
    w = changed(START, replace(START.get(SECURITY_GROUP, ident("sg", "db")), name="data"))
    after = compiler.compile(w)
    assert {key_of(fragment) for fragment in diff(before, after).put} == {("Machine", ident("i", "y"))}
    assert after.fragments == compile_world(w).fragments


def test_differences_of_fragments() -> None:
    """New, changed and gone; an equal one that is another object is none, whatever the sizes."""
    one, two = compile_world(BASE).fragments, compile_world(START).fragments
    same = compile_world(BASE).fragments
    assert differences(one, same) == ([], [])
    some = dict(list(one.items())[1:])
    assert differences(one, some) == ([], [next(iter(one))])
    assert differences(some, one) == ([next(iter(one.values()))], [])
    key, other = next((key, fragment) for key, fragment in two.items() if key not in one)
    assert differences(one, {**some, key: other}) == ([other], [next(iter(one))])  # as many as before
    for left, right in ((one, two), (two, one)):
        put, drop = differences(left, right)
        assert {key_of(f): f for f in put} == {key: f for key, f in right.items() if left.get(key) != f}
        assert set(drop) == left.keys() - right.keys()


def test_back_to_the_world_before_is_as_quick_as_forth(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that is looked at and not committed: nothing is compiled from scratch on the way back."""
    made = world(vpc(), subnet("a", "10.0.0.0/24"), group("g", *OPEN), host("x", "10.0.0.10", groups=["g"]))
    compiler = Compiler()
    before = compiler.compile(made)
    monkeypatch.setattr(Compiler, "_all", lambda *_: pytest.fail("from scratch"))
    after = compiler.compile(changed(made, group("g", ingress(ANY, "tcp", 80)), eni("new", "10.0.0.20", groups=["g"])))
    assert after.fragments != before.fragments
    again = compiler.compile(made)
    assert again.fragments == before.fragments
