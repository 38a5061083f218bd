"""Findings are all packets that match, and no others (a sample; `python -m tests.insight.analyzer.scopes FIRST LAST SCOPES` runs more)."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.insight.analyzer import scope, ways
from ringfence.insight.reach.exposure import block_of
from tests.insight.analyzer.scopes import run


def test_findings_and_specification_agree() -> None:
    tally = run(range(12), 3)
    assert tally.differences == []
    assert tally.cases > 800
    assert 0.1 < tally.inside / tally.cases < 0.8, "the generator has lost its balance"
    assert tally.unknown == 0


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


@pytest.mark.parametrize("fault", [_no_excludes, _every_resource, _no_addresses, _blocks_whole])
def test_seeded_faults_are_found(fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert run(range(12), 3).differences
