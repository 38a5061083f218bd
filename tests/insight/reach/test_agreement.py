"""The engine and the specification say the same of every packet (a sample; `make reach-differential` runs more)."""

from __future__ import annotations

from tests.differential.reach_compare import run


def test_specification_and_engine_agree() -> None:
    tally = run(range(24), 30)
    assert tally.differences == []
    assert tally.cases > 8000
    assert tally.unknown < tally.cases * 0.03, "the engine gives up too often"
    assert 0.08 < tally.delivered / tally.cases < 0.8, "the generator has lost its balance"
