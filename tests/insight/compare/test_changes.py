"""Differences of two networks: every entry's example is judged by the specification in both; nothing that changed is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringfence.insight.compare.changes import Entry, Kind, compare
from ringfence.insight.compare.sides import sides
from ringfence.insight.imports import snapshot
from ringfence.model.world import World
from ringfence.policy.spec import verdict as spec
from tests import builders as b
from tests.differential import generator
from tests.differential.compare import Run
from tests.insight.imports.recording import imported, recorded, site

ANY = b.ANY
WEB = (b.vpc(), b.subnet("a", "10.0.0.0/24"), b.gateway(), b.table(b.MAIN, *b.to_gateway()))
HOSTS = (b.host("x", "10.0.0.10", groups=["g"], public="198.18.0.10"), b.host("y", "10.0.0.11", groups=["h"]))
G, H = b.ident("sg", "g"), b.ident("sg", "h")


def web(*rules: Any, hosts: Any = HOSTS, out: Any = b.OPEN) -> World:
    """x carries g and has a public address; y carries h."""
    return b.world(WEB, b.group("g", *rules, *out), b.group("h", b.ingress(ANY, "tcp", 80), *b.OPEN), hosts)


def titles(entries: list[Entry]) -> list[str]:
    return [entry.title() for entry in entries]


X = b.ident("eni", "x")
CASES: dict[str, tuple[World, World, list[str]]] = {
    "nothing": (web(), web(), []),
    "a rule for the world": (
        web(), web(b.ingress(ANY, "tcp", 22)),
        [f"opened: 0.0.0.0/0 -> {X} (198.18.0.10): tcp 22", f"opened: {H} -> {G}: tcp 22"],
    ),
    "a rule taken away": (
        web(b.ingress(ANY, "tcp", 22)), web(),
        [f"closed: 0.0.0.0/0 -> {X} (198.18.0.10): tcp 22", f"closed: {H} -> {G}: tcp 22"],
    ),
    "a range moved": (
        web(b.ingress("10.0.0.0/16", "udp", (100, 200))), web(b.ingress("10.0.0.0/16", "udp", (150, 250))),
        [f"opened: {H} -> {G}: udp 201-250", f"closed: {H} -> {G}: udp 100-149"],
    ),
    "written in two halves": (
        web(b.ingress(ANY, "tcp", 22)), web(b.ingress("0.0.0.0/1", "tcp", 22), b.ingress("128.0.0.0/1", "tcp", 22)), [],
    ),
    "a public address": (
        web(b.ingress(ANY, "tcp", 22), hosts=(b.host("x", "10.0.0.10", groups=["g"]), HOSTS[1])), web(b.ingress(ANY, "tcp", 22)),
        [f"opened: 0.0.0.0/0 -> {X} (198.18.0.10): tcp 22", f"opened: {X} (198.18.0.10) -> 0.0.0.0/0: everything"],
    ),
    "an interface is gone": (
        web(b.ingress(H, "tcp", 22)), web(b.ingress(H, "tcp", 22), hosts=HOSTS[0]),
        [f"closed: {G} -> {H}: tcp 80", f"closed: {H} -> {G}: tcp 22"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_changed(case: str) -> None:
    before, after, expected = CASES[case]
    assert titles(compare(before, after)) == expected


@pytest.mark.parametrize("case", CASES)
def test_back_again_is_the_opposite(case: str) -> None:
    before, after, _ = CASES[case]
    opposite = {Kind.OPENED: Kind.CLOSED, Kind.CLOSED: Kind.OPENED, Kind.UNKNOWN: Kind.UNKNOWN}
    there = {(e.kind, e.source, e.destination, e.what) for e in compare(before, after)}
    back = {(opposite[e.kind], e.source, e.destination, e.what) for e in compare(after, before)}
    assert there == back


def test_the_rules_that_decide() -> None:
    entry = compare(web(), web(b.ingress(ANY, "tcp", 22)))[0]
    assert entry.then == f"{G} has no inbound rules at all, so nothing allows tcp port 22 from {entry.example.src}"  # type: ignore[union-attr]
    assert f"of {G} lets it in" in entry.now
    assert entry.exposes


def delivered(world: World, sender: str, packet: Any) -> bool:
    """There and back, by the specification."""
    tables = spec.Tables()
    try:
        said = spec.send(world, tables, packet, sender)
    except (KeyError, ValueError):
        return False
    if said.at is None:
        return False
    back = spec.send(world, tables, said.packet.reply(), said.at)
    return (back.at, back.packet.dst, back.packet.src) == (sender, packet.src, packet.dst)


def runs(world: World, sender: str) -> bool:
    return sender == "internet" or any(sender in str(key) for key in sides(world, world)[0].engine.places.ports)


@pytest.mark.parametrize("seed", range(8))
def test_examples_are_what_the_specification_says(seed: int) -> None:
    """Random VPCs, changed at random: what is opened did not arrive and arrives; what is closed the other way round."""
    run = Run(seed)
    seen = 0
    for _ in range(5):
        before = run.api.world
        for _ in range(3):
            generator.change(run.api.call, run.chance, run.site)
        after = run.api.world
        for entry in compare(before, after):
            if entry.example is None or entry.sender is None:
                continue
            seen += 1
            then = runs(before, entry.sender) and delivered(before, entry.sender, entry.example)
            now = runs(after, entry.sender) and delivered(after, entry.sender, entry.example)
            assert (then, now) == ((False, True) if entry.kind is Kind.OPENED else (True, False)), entry
    assert seen, "the random changes changed nothing"


@pytest.mark.parametrize("seed", range(3))
def test_a_recording_and_a_snapshot_differ_in_nothing(seed: int) -> None:
    """However a network was written down."""
    run = Run(seed)
    read = imported(recorded(run.api.call)).world
    kept = snapshot.to_world(json.loads(snapshot.text(run.api.world)))
    assert compare(run.api.world, read) == []
    assert compare(read, kept) == []


def test_what_becomes_unknown_is_said() -> None:
    documents = site()
    documents["tables"]["RouteTables"][0]["Routes"][1] = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
    before, after = imported(site()).world, imported(documents).world
    entries = compare(before, after)
    assert {e.kind for e in entries} == {Kind.UNKNOWN}
    assert all("nat-1" in e.what for e in entries)
    assert compare(after, after) == [], "what is unknown in both did not change"


def test_what_is_missing_makes_its_vpc_unknown() -> None:
    documents = site()
    del documents["acls"]
    entries = compare(imported(site()).world, imported(documents).world)
    assert {e.kind for e in entries} == {Kind.UNKNOWN}
    assert {e.internet for e in entries} == {True, False}


def test_interfaces_alike_are_one_entry() -> None:
    """A rule for forty interfaces is one change, not forty."""
    hosts = [b.host(f"h{n}", f"10.0.0.{20 + n}", groups=["g"], public=f"198.18.0.{20 + n}") for n in range(40)]
    entries = [e for e in compare(web(hosts=hosts), web(b.ingress(ANY, "tcp", 22), hosts=hosts)) if e.internet]
    assert titles(entries) == [f"opened: 0.0.0.0/0 -> {G}: tcp 22 (40 interfaces)"]
    assert len(entries[0].interfaces) == 40
    assert entries[0].exposes


def test_examples_are_nobodys_addresses() -> None:
    """The example of a block is an address of the internet in both networks, whatever is published in it."""
    narrow = b.ingress("198.18.0.0/28", "tcp", 22)
    hosts = [b.host(f"h{n}", f"10.0.0.{20 + n}", groups=["g"], public=f"198.18.0.{n}") for n in range(15)]
    entries = [e for e in compare(web(hosts=hosts), web(narrow, hosts=hosts)) if e.internet and e.inbound]
    assert [str(e.example.src) for e in entries if e.example] == ["198.18.0.15"]
