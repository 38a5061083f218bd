"""Rules by what they mean: each kind of finding in a table, and the proof that what is called needless is."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli.main import main
from ringfence.insight.hygiene.cover import Cover
from ringfence.insight.hygiene.findings import REMOVABLE, Problem
from ringfence.insight.hygiene.report import examine, without
from ringfence.insight.imports import snapshot
from ringfence.insight.reach.atoms import code_of
from ringfence.model.net import parse_network
from ringfence.model.nouns.security_group import SecurityGroupRule
from ringfence.model.world import World
from ringfence.policy.spec import verdict as spec
from tests import builders as b
from tests.differential import generator
from tests.differential.compare import Run

ANY, ANY6 = b.ANY, b.ANY6
G = b.ident("sg", "g")
Found = list[tuple[str, str, str]]


def site(*rules: SecurityGroupRule, rows: Any = (), ipv6: bool = False) -> World:
    """x carries g, y carries h and names nobody."""
    return b.world(
        b.vpc(ipv6=("fd52:4946:0:100::/56",) if ipv6 else ()), b.subnet("a", "10.0.0.0/24"), b.gateway(), b.table(b.MAIN, *b.to_gateway()),
        b.group("g", *rules, b.egress(ANY)), b.group("h", b.egress(ANY)), b.host("x", "10.0.0.10", groups=["g"], public="198.18.0.10"),
        b.host("y", "10.0.0.11", groups=["h"]), rows,
    )  # fmt: skip


def rule(peer: str, protocol: str = "-1", ports: Any = None, **fields: Any) -> SecurityGroupRule:
    return b.ingress(peer, protocol, ports, **fields)


def found(world: World, component: str = G) -> list[tuple[Problem, str, tuple[str, ...]]]:
    """(problem, the rule's peer and service, those that do its work) of a group; rule ids read as their peers."""
    report = examine(world)
    assert report.proof == (), "removing what is removable must change nothing"
    names = {r.id: _name(r) for r in world.get(b._KIND_OF[type(world.find(_sg(), G))], G).rules}
    return [
        (f.problem, names.get(f.element, f.element), tuple(sorted(names.get(id, id) for id in f.by)))
        for f in report.findings if f.component == component
    ]  # fmt: skip


def _sg() -> Any:
    from ringfence.model.kinds import SECURITY_GROUP

    return SECURITY_GROUP


def _name(r: SecurityGroupRule) -> str:
    peer = str(r.cidr) if r.cidr else r.group.group_id if r.group else ""
    return f"{peer} {r.protocol} {r.from_port}-{r.to_port}"


WIDE = "0.0.0.0/0 6 0-1000"
CASES: dict[str, tuple[tuple[SecurityGroupRule, ...], list[tuple[Problem, str, tuple[str, ...]]]]] = {
    "nothing": ((rule(ANY, "tcp", 80), rule("10.0.0.0/8", "tcp", 22)), []),
    "shadowed by a wider block": (
        (rule("10.0.0.0/8", "tcp", 22), rule("10.1.0.0/16", "tcp", 22)),
        [(Problem.SHADOWED, "10.1.0.0/16 6 22-22", ("10.0.0.0/8 6 22-22",))],
    ),
    "shadowed by a wider range": (
        (rule(ANY, "tcp", (0, 1000)), rule("10.1.0.0/16", "tcp", 22)), [(Problem.SHADOWED, "10.1.0.0/16 6 22-22", (WIDE,))],
    ),
    "shadowed by all protocols": (
        (rule("10.0.0.0/8"), rule("10.0.0.0/8", "icmp"), rule("10.0.0.0/9", "udp", 53)),
        [(Problem.SHADOWED, "10.0.0.0/9 17 53-53", ("10.0.0.0/8 -1 -1--1",)),
         (Problem.SHADOWED, "10.0.0.0/8 1 -1--1", ("10.0.0.0/8 -1 -1--1",))],
    ),
    "redundant by two halves": (
        (rule("10.0.0.0/9", "tcp", 22), rule("10.128.0.0/9", "tcp", 22), rule("10.0.0.0/8", "tcp", 22)),
        [(Problem.SHADOWED, "10.0.0.0/9 6 22-22", ("10.0.0.0/8 6 22-22",)),
         (Problem.SHADOWED, "10.128.0.0/9 6 22-22", ("10.0.0.0/8 6 22-22",))],
    ),
    "redundant by ranges side by side": (
        (rule("10.0.0.0/8", "tcp", (1, 50)), rule("10.0.0.0/8", "tcp", (51, 99)), rule("10.0.0.0/16", "tcp", (40, 60))),
        [(Problem.REDUNDANT, "10.0.0.0/16 6 40-60", ("10.0.0.0/8 6 1-50", "10.0.0.0/8 6 51-99"))],
    ),
    "redundant by halves of the space": (
        (rule("10.0.0.0/9", "tcp", (1, 90)), rule("10.128.0.0/9", "tcp", (1, 90)), rule("10.0.0.0/8", "tcp", 22)),
        [(Problem.REDUNDANT, "10.0.0.0/8 6 22-22", ("10.0.0.0/9 6 1-90", "10.128.0.0/9 6 1-90"))],
    ),
    "one block is missing": (
        (rule("10.0.0.0/9", "tcp", 22), rule("10.128.0.0/10", "tcp", 22), rule("10.0.0.0/8", "tcp", 23)), [],
    ),
    "a group within the VPC's block": (
        (rule("10.0.0.0/16", "tcp", 22), rule(b.ident("sg", "h"), "tcp", 22)),
        [(Problem.SHADOWED, f"{b.ident('sg', 'h')} 6 22-22", ("10.0.0.0/16 6 22-22",))],
    ),
    "a group outside the block": ((rule("10.0.0.0/17", "tcp", 22), rule(b.ident("sg", "h"), "tcp", 22)), []),
    "stale": ((rule(b.ident("sg", "gone"), "tcp", 22),), [(Problem.STALE, f"{b.ident('sg', 'gone')} 6 22-22", ())]),
    "named and carried by none": (
        (rule(b.ident("sg", b.MAIN), "tcp", 22),), [(Problem.NEVER_MATCHES, f"{b.ident('sg', b.MAIN)} 6 22-22", ())],
    ),
    "IPv6 in a VPC without": ((rule(ANY6, "tcp", 22),), [(Problem.NEVER_MATCHES, "::/0 6 22-22", ())]),
    "the world in two": (
        (rule("0.0.0.0/1", "tcp", 22), rule("128.0.0.0/1", "tcp", (20, 30))),
        [(Problem.WORLD_IN_PIECES, "0.0.0.0/1 6 22-22", ("128.0.0.0/1 6 20-30",))],
    ),
    "the world without what is nobody's": (
        tuple(rule(block, "tcp", 22) for block in ("0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2", "192.0.0.0/3")),
        [(Problem.WORLD_IN_PIECES, "0.0.0.0/2 6 22-22", ("128.0.0.0/2 6 22-22", "192.0.0.0/3 6 22-22", "64.0.0.0/2 6 22-22"))],
    ),
    "half the world": ((rule("0.0.0.0/1", "tcp", 22), rule("128.0.0.0/2", "tcp", 22)), []),
    "different halves for different ports": ((rule("0.0.0.0/1", "tcp", 22), rule("128.0.0.0/1", "tcp", 23)), []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_groups(case: str) -> None:
    """SG-82, SG-87, CMP-04."""
    rules, expected = CASES[case]
    assert found(site(*rules)) == expected


def test_tracking_is_kept() -> None:
    """CT-03: a rule for everyone makes flows untracked; two halves do not, so they do not make it needless."""
    halves = (rule("0.0.0.0/1", "tcp"), rule("128.0.0.0/1", "tcp"))
    problems = {problem for problem, _, _ in found(site(rule(ANY, "tcp"), *halves))}
    assert problems == {Problem.SHADOWED}, "the halves are needless, the whole is not"
    wider = (rule("0.0.0.0/1"), rule("128.0.0.0/1"))
    problems = {problem for problem, _, _ in found(site(rule(ANY, "tcp"), *wider))}
    assert problems == {Problem.WORLD_IN_PIECES}, "the whole is let through by the halves, and tracked by them"


def test_unused_groups_and_acls_and_blackholes() -> None:
    world = site(
        rule(b.ident("sg", "named"), "tcp", 22),
        rows=(
            b.group("idle"), b.group("itself", rule(b.ident("sg", "itself"), "tcp", 1)), b.group("named"), b.acl("idle"),
            b.table("t", b.route("10.9.0.0/16", b.ident("eni", "gone"))),
        ),
    )  # fmt: skip
    seen = {(f.problem, f.component) for f in examine(world).findings}
    assert (Problem.UNUSED_GROUP, b.ident("sg", "idle")) in seen
    assert (Problem.UNUSED_GROUP, b.ident("sg", "itself")) in seen
    assert (Problem.UNUSED_GROUP, b.ident("sg", "named")) not in seen
    assert (Problem.UNUSED_GROUP, b.ident("sg", b.MAIN)) not in seen, "a default group cannot be deleted (SG-22)"
    assert (Problem.UNUSED_ACL, b.ident("acl", "idle")) in seen
    assert (Problem.BLACKHOLE, b.ident("rtb", "t")) in seen
    assert not examine(world).proof


ENTRIES: dict[str, tuple[tuple[Any, ...], list[tuple[Problem, str, tuple[str, ...]]]]] = {
    "in order": ((b.entry(1, ANY, "tcp", 22, allow=False), b.entry(2, ANY)), []),
    "the wrong order": (
        (b.entry(1, ANY), b.entry(2, "10.0.0.0/8", "tcp", 22, allow=False)), [(Problem.NEVER_DECIDES, "ingress 2", ("1",))],
    ),
    "two before it": (
        (b.entry(1, "0.0.0.0/1"), b.entry(2, "128.0.0.0/1"), b.entry(3, ANY, allow=False), b.entry(4, ANY, "tcp", 80)),
        [(Problem.NEVER_DECIDES, "ingress 4", ("1", "2", "3")), (Problem.NEVER_DECIDES, "ingress 3", ("1", "2"))],
    ),
    "a deny before the final one": (
        (b.entry(1, ANY, "tcp", 22), b.entry(2, ANY, allow=False)), [(Problem.REDUNDANT_ENTRY, "ingress 2", ())],
    ),
    "an allow before a wider one": (
        (b.entry(1, "10.0.0.0/8", "tcp", 80), b.entry(2, ANY)), [(Problem.REDUNDANT_ENTRY, "ingress 1", ())],
    ),
    "an exception is needed": (
        (b.entry(1, "10.1.0.0/16"), b.entry(2, "10.0.0.0/8", allow=False), b.entry(3, ANY)), [],
    ),
    "IPv6 in a VPC without": ((b.entry(1, ANY), b.entry(2, ANY6)), [(Problem.NEVER_DECIDES, "ingress 2", ())]),
}  # fmt: skip


@pytest.mark.parametrize("case", ENTRIES)
def test_network_acls(case: str) -> None:
    entries, expected = ENTRIES[case]
    out = b.entry(100, ANY, egress=True)
    world = site(
        rows=(
            b.acl("n", *entries, out),
            b.subnet("b", "10.0.1.0/24", acl="n"),
            b.host("z", "10.0.1.9", subnet="b", groups=["h"]),
        )
    )
    assert found(world, b.ident("acl", "n")) == expected


def test_rules_without_effect() -> None:
    """CMP-06: open on paper, and no packet arrives: the network ACL says no."""
    closed = b.acl("n", b.entry(1, ANY, "tcp", 22, allow=False), b.entry(2, ANY), b.entry(1, ANY, egress=True))
    world = b.world(
        b.vpc(), b.subnet("a", "10.0.0.0/24", acl="n"), b.gateway(), b.table(b.MAIN, *b.to_gateway()), closed,
        b.group("g", rule("198.51.100.0/24", "tcp", 22), rule("198.51.100.0/24", "tcp", 80), b.egress(ANY)),
        b.host("x", "10.0.0.10", groups=["g"], public="198.18.0.10"),
    )  # fmt: skip
    report = examine(world, effects=True)
    ids = {r.id: _name(r) for r in world.get(_sg(), G).rules}
    assert [ids[f.element] for f in report.findings if (f.problem, f.component) == (Problem.NO_EFFECT, G)] == [
        "198.51.100.0/24 6 22-22"
    ]


# ---------------------------------------------------------------------- proof
@pytest.mark.parametrize("seed", range(10))
def test_what_is_needless_changes_no_packet(seed: int) -> None:
    """Random VPCs: without all that is removable, the engine finds no difference and the specification says the same of random packets."""
    run = Run(seed)
    for _ in range(12):
        generator.change(run.api.call, run.chance, run.site)
    world = run.api.world
    report = examine(world)
    assert report.proof == ()
    after = without(world, [f for f in report.findings if f.problem in REMOVABLE])
    chance = random.Random(seed)
    for _ in range(150):
        source, packet = generator.packet(chance, run.site, odd=True)
        said = [spec.send(w, spec.Tables(), packet, source) for w in (world, after)]
        assert (said[0].at, said[0].packet) == (said[1].at, said[1].packet)


@pytest.mark.parametrize("seed", range(40))
def test_cover_is_what_addresses_say(seed: int) -> None:
    """On a space of 64 addresses: a block is covered by exactly the services that every address in it has."""
    chance = random.Random(seed)
    pieces = []
    for _ in range(chance.randint(0, 7)):
        length = chance.randint(0, 6)
        pieces.append((1 << length | chance.getrandbits(length) if length else 1, chance.getrandbits(3)))
    idle = [1 << 3 | chance.getrandbits(3)] if chance.random() < 0.4 else []
    length = chance.randint(0, 6)
    code = 1 << length | (chance.getrandbits(length) if length else 0)
    expected = 7
    for address in range(64):
        whole = 64 | address
        ups = [whole >> n for n in range(7)]
        if code in ups and not any(up in idle for up in ups):
            services = 0
            for block, mask in pieces:
                services |= mask if block in ups else 0
            expected &= services
    assert Cover(pieces, idle).within(code) & 7 == expected


def test_codes() -> None:
    assert code_of(parse_network("128.0.0.0/1")) == 3


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.json"
    file.write_text(snapshot.text(site(rule("10.0.0.0/8", "tcp", 22), rule("10.1.0.0/16", "tcp", 22))))
    assert main(["hygiene", "--from", str(file)]) == 0
    out = capsys.readouterr().out
    assert "shadowed: " in out
    assert "e.g. 10.1.0.1 -> 10.0.0.10 tcp port 22" in out
    assert out.splitlines()[-1].endswith("needless, all at once, is proved to change no conversation")
    assert main(["hygiene", "--from", str(file), "--strict", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["equivalent"], report["findings"][0]["problem"]) == (True, "shadowed")
    tidy = b.world(b.vpc(ipv6=("fd52:4946:0:100::/56",)), b.subnet("a", "10.0.0.0/24"), b.host("x", "10.0.0.10"))
    file.write_text(snapshot.text(tidy))
    assert main(["hygiene", "--from", str(file), "--strict"]) == 0
    assert capsys.readouterr().out == "nothing found\n"
