"""Long lists of which CI runs a part: the whole of them is `make faults`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def part(cases: Iterable[Any], every: int = 4) -> list[Any]:
    """One of so many cases as it is, the others marked slow."""
    return [
        case if number % every == 0 else pytest.param(case, marks=pytest.mark.slow) for number, case in enumerate(cases)
    ]
