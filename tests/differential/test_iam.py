"""Specification of decisions against the evaluator, a sample; `make iam-differential` asks 100,000 and more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringfence.identity import compiled, conditions
from ringfence.identity.question import Effect
from tests.differential.iam_compare import decided, run
from tests.differential.iam_faults import FAULTS
from tests.sampling import part


@pytest.fixture(autouse=True)
def _nothing_compiled() -> Iterator[None]:
    for remembered in (compiled.compiled, conditions._moment):
        remembered.cache_clear()
    yield
    for remembered in (compiled.compiled, conditions._moment):
        remembered.cache_clear()


@pytest.mark.parametrize("start", part(range(0, 8800, 2200), 2))
def test_specification_and_evaluator_agree(start: int) -> None:
    tally = run(range(start, start + 2200))
    assert tally.differences == []
    assert all(tally.effects[effect] > 200 for effect in Effect)  # the generator asks about all three answers


@pytest.mark.parametrize("name", part(FAULTS))
def test_a_seeded_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = FAULTS[name](monkeypatch) or decided
    assert run(range(20_000), decide=decide, stop_at=1).differences
