"""Our own form: a network written and read again is the same network; a damaged one is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ringfence.insight.imports import snapshot
from ringfence.insight.imports.draft import Options
from ringfence.insight.imports.load import load
from ringfence.insight.imports.notes import ImportProblem
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from tests import builders as b
from tests.differential.compare import Run
from tests.insight.imports.recording import imported, site
from tests.insight.imports.rich import NAT, UNREAD, rich


def again(world: World) -> World:
    return imported({"s": json.loads(snapshot.text(world))}).world


@pytest.mark.parametrize("seed", range(6))
def test_a_network_comes_back_as_it_was(seed: int) -> None:
    """CFG-08: every row of the network, and so every fragment that packets are judged by."""
    world = Run(seed).api.world
    read = again(world)
    for kind in snapshot.KINDS:
        assert read.all(kind) == world.all(kind)
    mine = {k: f for k, f in compile_world(world).fragments.items() if k[0] != "Machine"}  # images are not in it
    assert {k: f for k, f in compile_world(read).fragments.items() if k[0] != "Machine"} == mine
    assert snapshot.text(read) == snapshot.text(world), "stable"


def test_several_accounts_and_regions_come_back(tmp_path: Path) -> None:
    """A directory and its snapshot are one network: gateway endpoints, peering, lists of AWS, targets that are not modelled."""
    read = load(rich().write(tmp_path), Options(assume_defaults=True))
    assert (read.notes.problems, read.notes.left_out, list(read.notes.not_modelled)) == ([], [], [UNREAD, NAT])
    for kind in snapshot.KINDS:
        assert again(read.world).all(kind) == read.world.all(kind)
    assert compile_world(again(read.world)).fragments == compile_world(read.world).fragments


def test_an_import_comes_back_with_what_it_lacks() -> None:
    documents = site()
    del documents["acls"]
    documents["tables"]["RouteTables"][0]["Routes"][1] = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
    world = imported(documents).world
    assert compile_world(again(world)).fragments == compile_world(world).fragments


def test_nothing_secret_is_in_it() -> None:
    """User data may hold passwords."""
    world = b.world(b.vpc(), b.subnet("a", "10.0.0.0/24"), b.instance("x", user_data="aHVudGVyMg=="))
    assert "aHVudGVyMg" not in snapshot.text(world)
    assert '"i-' in snapshot.text(world)


def _whole() -> dict[str, Any]:
    return dict(json.loads(snapshot.text(b.world(b.vpc(), b.subnet("a", "10.0.0.0/24")))))


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda s: s.update(version=2), "version 2"),
        (lambda s: s.update(rows=[]), "no rows"),
        (lambda s: s["rows"].update(secret=[]), "unknown kind 'secret'"),
        (lambda s: s["rows"].update(vpc={}), "no list"),
        (lambda s: s["rows"]["vpc"][0].update(colour="blue"), "colour"),
        (lambda s: s["rows"]["vpc"][0].pop("ipv4"), "is damaged"),
        (lambda s: s["rows"]["subnet"][0].update(cidr="x"), "is damaged"),
        (lambda s: s["rows"]["vpc"].append(s["rows"]["vpc"][0]), "twice"),
        (lambda s: s["rows"]["vpc"].append(7), "is damaged"),
    ],
)
def test_damage_is_named(edit: Any, why: str) -> None:
    document = _whole()
    edit(document)
    with pytest.raises(ImportProblem, match=why):
        imported({"s": document})


def test_a_snapshot_stands_alone() -> None:
    with pytest.raises(ImportProblem, match="alone"):
        imported({"s": _whole(), **site()})
