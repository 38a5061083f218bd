"""Findings are all packets that match, and no others (a sample; `python -m tests.insight.analyzer.scopes FIRST LAST SCOPES` runs more)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.insight.analyzer import findings, oneway, scope, ways
from ringfence.insight.analyzer.scope import Path
from ringfence.insight.analyzer.statements import content_of
from ringfence.insight.reach.atoms import interval
from ringfence.insight.reach.exposure import block_of
from ringfence.insight.reach.journey import There
from ringfence.model.kinds import SECURITY_GROUP
from ringfence.policy.compile.security_groups import _match
from ringfence.policy.packet import Hop, Layer
from tests.api.ops.harness import ACCOUNT, REGION
from tests.insight.analyzer import peered_scopes
from tests.insight.analyzer.scopes import ENI, IGW, Scoped, Tally, run
from tests.sampling import part


def test_findings_and_specification_agree() -> None:
    tally = run(range(12), 3)
    assert tally.differences == []
    assert tally.cases > 800
    assert 0.1 < tally.inside / tally.cases < 0.8, "the generator has lost its balance"
    assert tally.unknown == 0


def test_findings_over_a_peering_connection_and_specification_agree() -> None:
    """PCX-05..PCX-09, SG-52: what leaves by it, enters by it and passes it."""
    tally = peered_scopes.run(range(10), 3)
    assert tally.differences == []
    assert tally.cases > 2000
    assert 0.1 < tally.inside / tally.cases < 0.8, "the generator has lost its balance"
    assert tally.unknown == 0


def _no_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that rules name by a group of the peer are taken for what is around them."""
    monkeypatch.setattr(scope, "_may_be_beyond", lambda _: False)


def _beyond_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves must arrive as well."""
    monkeypatch.setattr(oneway._ToPeer, "_from_peer", lambda self, way, *, direct: (
        None if super(oneway._ToPeer, self)._from_peer(way, direct=direct) is None else way.peering_id))  # fmt: skip


def _anybody_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the far VPC's network ACLs and groups keep back enters all the same."""
    whole = There.filter

    def filter(self: There, layer: Layer, *rest: Any) -> None:
        if layer not in (Layer.SG_EGRESS, Layer.NACL_OUT):
            whole(self, layer, *rest)

    monkeypatch.setattr(There, "filter", filter)


@pytest.mark.parametrize("fault", part([_no_members, _beyond_asked, _anybody_sends]))
def test_seeded_faults_over_a_peering_connection_are_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    try:
        found = peered_scopes.run(range(12, 16), 3).differences
    except (AssertionError, StopIteration, RuntimeError) as problem:  # the evaluator knows another way
        found = [repr(problem)]
    assert found


def _no_excludes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scope.Scope._of

    def of(self: Any, entry: Any, *rest: Any) -> Any:
        return [] if entry in self.content.exclude else whole(self, entry, *rest)

    monkeypatch.setattr(scope.Scope, "_of", of)


def _every_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope.Scope, "_is", lambda *_: True)


def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "_inside", lambda *_: True)


def _blocks_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block's addresses with those of the blocks inside it."""
    monkeypatch.setattr(ways, "own_blocks", lambda _, family, atom, __: [block_of(family, atom)])


@pytest.mark.parametrize("fault", part([_no_excludes, _every_resource, _no_addresses, _blocks_whole]))
def test_seeded_faults_are_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert run(range(12), 3).differences


def _admitted(path: Path, hops: tuple[Hop, ...], told: tuple[Hop, ...]) -> bool:
    """Are the elements the evaluator's, and the rules of groups ones that fit? Of several that fit it may name another."""
    asked, said = (
        [hop for hop in way if hop.layer is not Layer.NO_ROUTE or hop.by.rule not in (None, "local")]
        for way in (hops, told)
    )
    if [hop.layer for hop in asked] != [hop.layer for hop in said]:
        return False
    for a, b in zip(asked, said, strict=True):
        if a.layer is Layer.GATEWAY and a.by.component != b.by.component:
            return False
        if a.layer not in (Layer.SG_EGRESS, Layer.SG_INGRESS, Layer.GATEWAY) and a.by != b.by:
            return False
    return True


def test_the_rules_of_findings_are_those_that_decide() -> None:
    """Rules filed by address say what the evaluator says, packet by packet; and each group's rule lets that packet through."""
    assert sum(_compared(seed) for seed in range(8)) > 300


def _compared(seed: int) -> int:
    scoped = Scoped(seed, Tally())
    world = scoped.run.api.world
    everything = content_of({"MatchPaths": [{"Source": {"ResourceStatement": {"ResourceTypes": [IGW, ENI]}}}]}, world)
    held = scope.Scope(world, scoped.run.api.engines.of(world), everything, ACCOUNT, REGION)
    telling, seen = findings._Telling(held), 0
    for path in held.paths():
        for _, ranges, sources, told in telling._parts(path):
            for first, last in ranges:
                at = scoped.run.chance.choice((first, last))
                hops = findings.judged(held, path, at, list(sources) or None)
                assert _admitted(path, hops, told), (path, at, hops, told)
                for hop in told:
                    row = next((g for g in world.all(SECURITY_GROUP) if g.id == hop.by.component), None)
                    if row is not None:
                        rule = next(rule for rule in row.rules if rule.id == hop.by.rule)
                        low, high = interval(_match(rule))
                        assert low <= at <= high
                seen += 1
    return seen
