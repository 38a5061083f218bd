"""All pairs, exposure and differences say what the walk says pair by pair, and the walk is held to the specification."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_address
from typing import Any

import pytest

from ringfence.insight.reach import matrix, strips
from ringfence.insight.reach.atoms import END, Services
from ringfence.insight.reach.diff import diff
from ringfence.insight.reach.engine import Engine, Unknown, number_to_address
from ringfence.insight.reach.exposure import exposure
from ringfence.insight.reach.matrix import Grid, all_pairs
from ringfence.insight.reach.report import Reporter
from ringfence.insight.reach.space import Space
from ringfence.model.kinds import SECURITY_GROUP
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import INTERNET
from ringfence.policy.ir import Ir
from ringfence.policy.spec import verdict as spec
from tests import builders as b
from tests.differential import generator
from tests.differential.compare import Run
from tests.differential.reach_compare import AIMS, corners

Pairs = dict[tuple[str, str], Space]


def brute(engine: Engine) -> Pairs:
    """What each address may say to each of another interface, walked one by one."""
    out: Pairs = {}
    for a in engine.places.ports:
        for c in engine.places.ports:
            if a == c or engine.places.ports[a].vpc_id != engine.places.ports[c].vpc_id:
                continue
            for answer in engine.allowed(a, c):
                if answer.space and answer.arrives == c:
                    out[f"{a} {answer.src}", f"{c} {answer.dst}"] = answer.space
    return out


def by_matrix(engine: Engine) -> Pairs:
    out: Pairs = {}
    for cell in all_pairs(engine):
        family = cell.source.family
        for a, src in cell.source.members:
            for c, dst in cell.destination.members:
                if a != c:
                    pair = f"{a} {number_to_address(family, src)}", f"{c} {number_to_address(family, dst)}"
                    assert pair not in out
                    out[pair] = cell.conversations(engine.services)
    return out


def aimed(seed: int) -> Run:
    run = Run(seed)
    aim = AIMS[seed % 3]
    if aim is not None:
        aim(run.api.call, run.chance, run.site)
    return run


@pytest.mark.parametrize("seed", range(18))
def test_matrix_is_what_the_walk_says(seed: int) -> None:
    engine = Engine(aimed(seed)._compiled())
    assert by_matrix(engine) == brute(engine)


@pytest.mark.parametrize("seed", range(4))
def test_strips_of_any_length_say_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One source in a block, or a few; slots set one by one, or joined."""
    run = aimed(seed)
    before = Engine(run._compiled())
    for _ in range(6):
        generator.change(run.api.call, run.chance, run.site)
    after = before.update(run._compiled())
    cells, shifts = by_matrix(after), _shifts(before, after)
    assert cells
    for block, few in ((1, 8), (2, 0), (5, 1), (7, 0)):
        monkeypatch.setattr(matrix, "BLOCK", block)
        monkeypatch.setattr(strips, "_FEW", few)
        assert by_matrix(after) == cells
        assert _shifts(before, after) == shifts


@pytest.mark.parametrize("seed", range(18))
def test_diff_is_what_the_walk_says(seed: int) -> None:
    """And going back is the opposite (a change undone leaves nothing)."""
    run = aimed(seed)
    before = Engine(run._compiled())
    for _ in range(4):
        generator.change(run.api.call, run.chance, run.site)
        after = before.update(run._compiled())
        assert by_matrix(after) == brute(Engine(run._compiled()).on(after.services, after.prefixes)), "update != anew"
        was, now = brute(before.on(after.services, after.prefixes)), brute(after)
        found: dict[tuple[str, str], tuple[Space, Space]] = {}
        for shift in diff(before, after):
            for a, src in shift.source.members:
                for c, dst in shift.destination.members:
                    if a != c:
                        text = [str(number_to_address(shift.source.family, n)) for n in (src, dst)]
                        found[f"{a} {text[0]}", f"{c} {text[1]}"] = shift.opened, shift.closed
        nothing = Space(after.services)
        for pair in {*was, *now}:
            old, new = was.get(pair, nothing), now.get(pair, nothing)
            assert found.pop(pair, (nothing, nothing)) == (new.minus(old), old.minus(new)), pair
        assert not found
        assert not list(diff(after, after.update(run._compiled())))
        back = {(s.opened, s.closed) for s in diff(after, before)}
        assert back == {(s.closed, s.opened) for s in diff(before, after)}
        before = after


def test_a_change_of_rules_alone_takes_the_short_way_to_the_same_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rows and columns of the changed groups are looked at: what the long way finds, and nothing else."""
    seen = 0
    for seed in range(12):
        run = aimed(seed)
        before = Engine(run._compiled())
        for _ in range(15):
            generator.change(run.api.call, run.chance, run.site)
            after = before.update(run._compiled())
            short = _shifts(before, after)
            with monkeypatch.context() as long_way:
                long_way.setattr(Grid, "plain", False)
                assert short == _shifts(before, after)
            seen += len(short)
            before = after
    assert seen > 20


def _shifts(before: Engine, after: Engine) -> dict[tuple[str, int, str, int], tuple[Space, Space]]:
    """The difference by the first pair of addresses of each pair of classes."""
    return {(*s.source.members[0], *s.destination.members[0]): (s.opened, s.closed) for s in diff(before, after)}


def test_sets_are_moved_to_finer_atoms() -> None:
    coarse = Services({22, 80, 443, 65536 + 53})
    fine = coarse.with_cuts({443, 444, 1024, 3 * 65536 + (128 << 8) + 7})
    move = fine.finer(coarse)
    assert move is not None
    assert coarse.finer(fine) is None
    for first, last in [(0, END - 1), (22, 79), (443, 65535), (65536 + 53, 2 * 65536 - 1), (2 * 65536, 4 * 65536 - 1)]:
        assert move(coarse.mask(first, last)) == fine.mask(first, last)
        assert move(coarse.mask(first, last) & coarse.full) == fine.mask(first, last) & fine.full


def test_a_change_has_witnesses() -> None:
    run = aimed(2)
    before, seen = Engine(run._compiled()), 0
    for _ in range(25):
        world = run.api.world
        generator.change(run.api.call, run.chance, run.site)
        after = before.update(run._compiled())
        for shift in diff(before, after):
            for opened, (shut, open_) in ((True, (world, run.api.world)), (False, (run.api.world, world))):
                found = shift.witness(opened=opened)
                if found is not None:
                    seen += 1
                    assert spec.converse(open_, found[1], found[0]) == "ok"
                    assert spec.converse(shut, found[1], found[0]) != "ok"
        before = after
    assert seen > 20


@pytest.mark.parametrize("inbound", [True, False])
@pytest.mark.parametrize("seed", range(9))
def test_exposure_is_what_the_specification_says(seed: int, inbound: bool) -> None:
    run, chance = aimed(seed), random.Random(seed)
    engine = Engine(run._compiled())
    seen = set()
    for found in exposure(engine, inbound=inbound):
        seen.add((found.eni_id, found.address.version, found.outside))
        packet = found.witness()
        assert packet is not None
        sender = INTERNET if inbound else found.eni_id
        assert spec.converse(run.api.world, packet, sender) == "ok"
        answer = engine.conversations(sender, packet.src, packet.dst)
        assert answer.space == found.space
        for probe in corners(answer, chance, 8):
            assert (spec.converse(run.api.world, probe, sender) == "ok") is (probe in found.space)
    for eni in run.site.interfaces:  # nothing is missed: an outside address that may be heard is in some block
        for text in generator.OUTSIDE4:
            for private in eni["PrivateIpAddresses"]:
                known = private.get("Association", {}).get("PublicIp")
                if known is not None:
                    pair = (ip_address(text), ip_address(known if inbound else private["PrivateIpAddress"]))
                    src, dst = pair if inbound else pair[::-1]
                    id = eni["NetworkInterfaceId"]
                    reachable = bool(engine.conversations(INTERNET if inbound else id, src, dst).space)
                    blocks = [n for e, v, outside in seen if (e, v) == (id, 4) for n in outside]
                    assert reachable <= any(ip_address(text) in block for block in blocks)


# ---------------------------------------------------------------------- by hand
def _two(*rules: Any) -> World:
    return b.world(
        b.vpc(), b.gateway(), b.table("main", *b.to_gateway()), b.subnet("a", "10.0.0.0/24"),
        b.group("web", *rules, *b.OPEN), b.group("out", *b.OPEN),
        b.host("client", "10.0.0.10", groups=["out"]), b.host("server", "10.0.0.11", groups=["web"], public="198.18.0.5"),
    )  # fmt: skip


def test_exposure_to_a_block_only() -> None:
    world = _two(b.ingress("203.0.113.0/25", "tcp", 443), b.ingress("198.51.100.0/24", "tcp", 22))
    engine = Engine(compile_world(world))
    found = list(exposure(engine, within=IPv4Network("203.0.113.0/24")))
    assert [[str(block) for block in each.outside] for each in found] == [["203.0.113.0/25"]]
    assert [(p.protocol, p.dport) for each in found if (p := each.witness())] == [(6, 443)]
    assert list(exposure(engine, within=IPv4Network("203.0.113.128/25"))) == []


def test_more_rules_never_allow_less() -> None:
    """Security groups only allow: whatever rule is added, no pair loses anything."""
    run = aimed(2)
    before = Engine(run._compiled())
    for _ in range(30):
        group = run.chance.choice(run.site.groups)
        permission = generator.permission(run.chance, run.site)
        verb = run.chance.choice(("AuthorizeSecurityGroupIngress", "AuthorizeSecurityGroupEgress"))
        generator.tolerant(run.api.call, verb, GroupId=group, IpPermissions=[permission])
        after = before.update(run._compiled())
        assert all(not shift.closed for shift in diff(before, after))
        before = after


@dataclass(frozen=True, slots=True)
class Novelty:
    """A kind of element that the engine has never heard of."""

    vpc_id: str


def test_what_is_not_modelled_is_unknown_with_its_id() -> None:
    world = _two(b.ingress(b.ANY, "tcp", 443))
    ir = compile_world(world)
    odd = Ir(ir.generation, {**ir.fragments, ("Novelty", "nat-1"): Novelty(b.ident("vpc", "main"))})  # type: ignore[dict-item]
    engine = Engine(odd)
    client = b.ident("eni", "client")
    said = engine.ask(client, b.packet("10.0.0.10", "10.0.0.11", dport=443))
    assert isinstance(said, Unknown)
    assert said.component == "nat-1"
    assert {cell.unknown and cell.unknown.component for cell in all_pairs(engine)} == {"nat-1"}
    assert Engine(ir).ask(client, b.packet("10.0.0.10", "10.0.0.11", dport=443)) is True


def test_an_interface_that_talks_to_its_own_public_address_is_unknown() -> None:
    engine = Engine(compile_world(_two(b.ingress(b.ANY))))
    said = engine.ask(b.ident("eni", "server"), b.packet("10.0.0.11", "198.18.0.5", dport=443))
    assert isinstance(said, Unknown)
    assert said.component == b.ident("eni", "server")


def test_every_blocking_element_is_named() -> None:
    """Not the first one only: a closed group and a closed ACL there, and the ACL on the way back."""
    world = b.world(
        b.vpc(), b.subnet("a", "10.0.0.0/24"), b.subnet("c", "10.0.1.0/24", acl="shut"), b.acl("shut"),
        b.group("closed"), b.group("out", *b.OPEN), b.host("client", "10.0.0.10", groups=["out"]),
        b.host("server", "10.0.1.11", groups=["closed"], subnet="c"),
    )  # fmt: skip
    packet = b.packet("10.0.0.10", "10.0.1.11", dport=443)
    answer = Engine(compile_world(world)).conversations(b.ident("eni", "client"), packet.src, packet.dst)
    assert [(step.layer.value, step.reply) for step in answer.blocking(packet)] == [
        ("nacl-in", False), ("sg-ingress", False), ("nacl-out", True),
    ]  # fmt: skip


def test_update_keeps_what_did_not_change() -> None:
    world = _two(b.ingress(b.ANY, "tcp", 443))
    engine = Engine(compile_world(world))
    group = world.get(SECURITY_GROUP, b.ident("sg", "web"))
    other = b.changed(world, replace(group, rules=(*group.rules, b.ingress(b.ANY, "tcp", 443, id="sgr-again"))))
    ir = compile_world(other)
    same = Ir(
        ir.generation,
        {k: (old if (old := engine.ir.fragments.get(k)) == f and old else f) for k, f in ir.fragments.items()},
    )
    key = b.ident("vpc", "main"), (b.ident("sg", "out"),)
    held = engine.group_set(*key)
    after = engine.update(same)
    assert after.services is engine.services
    assert after.places is engine.places
    assert after.group_set(*key) is held


# ---------------------------------------------------------------------- what the commands show
def test_reach_and_exposure_for_people() -> None:
    reporter, web, out = Reporter(), b.ident("sg", "web"), b.ident("sg", "out")
    world = _two(b.ingress("out", "tcp", 443), b.ingress("203.0.113.0/24", "udp", (500, 600)))
    rows = reporter.reach(world, {"vpc": None})["rows"]
    (row,) = [row for row in rows if (row["from_groups"], row["to_groups"]) == ([out], [web])]
    assert row["allowed"] == [{"protocol": "tcp", "ports": "443", "source_ports": ["0-65535"]}]
    assert (row["pairs"], row["example"]["source"], row["example"]["port"]) == (1, "10.0.0.10", 443)
    assert not [row for row in rows if row["to_groups"] == [out]], "nothing may reach the client"
    assert reporter.reach(world, {"vpc": "vpc-other"})["rows"] == []
    (door,) = reporter.exposure(world, {})["rows"]
    assert (door["public"], door["outside"]) == ("198.18.0.5", ["203.0.113.0/24"])
    assert [(part["protocol"], part["ports"]) for part in door["allowed"]] == [("udp", "500-600")]
    assert reporter.exposure(world, {"within": "198.51.100.0/24"})["rows"] == []
    assert reporter.exposure(world, {"within": "203.0.113.9/24"})["status"] == 2
    assert {row["interface"] for row in reporter.exposure(world, {"outbound": True})["rows"]} == {
        b.ident("eni", "server")
    }
