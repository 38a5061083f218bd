"""Every seeded fault of the engine is noticed by the comparison with the specification."""

from __future__ import annotations

import pytest

from tests.differential.reach_compare import run
from tests.insight.reach.faults import FAULTS
from tests.sampling import part


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 20


@pytest.mark.parametrize("name", part(FAULTS))
def test_fault_is_killed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[name](monkeypatch)
    tally = run(range(150), 40, stop_at=1)
    assert tally.differences, f"{name} lived through {tally.cases} cases"
