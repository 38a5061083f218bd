"""Analyses and the specification say the same (a sample; `python -m tests.insight.analyzer.agreement FIRST LAST ROUNDS` runs more)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.insight.analyzer import search, ways
from ringfence.policy.packet import Layer
from tests.insight.analyzer.agreement import run


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


def test_layers_are_explained() -> None:
    """No element refuses without an explanation."""
    from ringfence.insight.analyzer.explain import _EXPLAIN

    assert set(_EXPLAIN) == set(Layer)
