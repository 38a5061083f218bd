"""Analyses and the specification say the same (a sample; `python -m tests.insight.analyzer.agreement FIRST LAST ROUNDS` runs more)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.insight.analyzer import analyse, beyond, search, ways
from ringfence.policy.packet import Layer
from tests.insight.analyzer import ends
from tests.insight.analyzer.agreement import run
from tests.sampling import part


def test_analyses_and_specification_agree() -> None:
    tally = run(range(24), 8)
    assert tally.differences == []
    assert tally.cases > 600
    assert tally.headers > 150
    assert tally.unknown < tally.cases * 0.03, "the engine gives up too often"
    assert 0.08 < tally.found / tally.cases < 0.8, "the generator has lost its balance"


def _first_candidate_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        search.Candidates, "__iter__", lambda self, whole=search.Candidates.__iter__: iter([*whole(self)][:1])
    )


def _wide_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers claim every port of the question."""
    monkeypatch.setattr(ways._Spread, "_same", lambda *_: True)


@pytest.mark.parametrize("fault", [_first_candidate_only, _wide_headers])
def test_seeded_faults_are_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert run(range(24), 8).differences


def test_connections_and_endpoints_as_ends() -> None:
    """PCX-05..PCX-09, SG-52, VPE-04..VPE-06: one packet, and all of a protocol, out by a connection, in by it, and to a service."""
    tally = ends.run(range(8), 3)
    assert tally.differences == []
    assert tally.cases > 200
    assert tally.headers > 20
    assert tally.unknown < tally.cases * 0.03
    assert 0.08 < tally.found / tally.cases < 0.8, "the generator has lost its balance"


def _no_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom rules name beyond the connection is not told from what is around it."""
    monkeypatch.setattr(analyse, "aimed", lambda engine, _: engine)


def _any_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves needs no answer."""
    monkeypatch.setattr(beyond.Walk, "_from_peer", lambda self, way, *, direct: self.tables.places.vpcs[way.far_vpc_id].owners[
        self.family][self.dst].eni_id)  # fmt: skip


def _anybody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the connection there is somebody only where the far VPC has an interface."""
    monkeypatch.setattr(beyond._Leaving, "_from_peer", lambda self, way, *, direct: (
        None if self.tables.places.vpcs[way.far_vpc_id].owners[self.family].get(self.dst) is None else way.peering_id))  # fmt: skip


@pytest.mark.parametrize("fault", part([_any_way_back, _anybody_answers, _no_members]))
def test_seeded_faults_at_the_ends_are_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    try:
        found = ends.run(range(20, 28), 3).differences
    except AssertionError as problem:  # the evaluator knows another way
        found = [repr(problem)]
    assert found


def test_layers_are_explained() -> None:
    """No element refuses without an explanation."""
    from ringfence.insight.analyzer.explain import _EXPLAIN

    assert set(_EXPLAIN) == set(Layer)
