"""Every seeded fault is noticed: a differential that cannot fail proves nothing."""

from __future__ import annotations

import pytest

from ringfence.policy.compile import Compiler
from tests.differential.compare import Neighbours, Run, run
from tests.differential.faults import FAULTS, NEIGHBOUR_FAULTS
from tests.sampling import part


def test_there_are_enough_faults() -> None:
    assert len(FAULTS | NEIGHBOUR_FAULTS) >= 50


#: few packets meet these; where such a packet is known to come, the search begins shortly before
FIRST = {"icmp-code-ignored": 175, "references-keep-to-their-connection": 40, "peering-is-transitive": 30}


@pytest.mark.parametrize("name", part([*FAULTS, *NEIGHBOUR_FAULTS]))
def test_fault_is_killed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = (FAULTS | NEIGHBOUR_FAULTS)[name](monkeypatch) or Compiler
    tally = run(range(FIRST.get(name, 0), 400), 60, make=make, stop_at=1, scene=Run if name in FAULTS else Neighbours)
    assert tally.differences, f"{name} lived through {tally.cases} cases"
