"""What a check finds, named by the rule it concerns."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


class Drift(enum.StrEnum):
    """How what is there differs from what should be."""

    MISSING = "missing"
    EXTRA = "extra"
    CHANGED = "changed"
    #: the proof's words: packets that pass and should not; that do not pass and should; whose fate cannot be told
    ADMITS = "admits"
    REFUSES = "refuses"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `place`: the VPC or gateway; `component`: the id whose rule, route or zone it is; `what`: rule, element,
    route, …; `name`: the chain, set or table it is in; `shut`: whatever it does, it lets no packet through that should not."""

    drift: Drift
    what: str
    place: str
    component: str
    name: str
    detail: str
    shut: bool = False

    def __str__(self) -> str:
        return f"{self.drift}: {self.what} of {self.component} in {self.name} ({self.place}): {self.detail}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"drift": self.drift.value}


def finding_of(data: dict[str, Any]) -> Finding:
    """The finding `as_json` told of."""
    return Finding(**{**data, "drift": Drift(data["drift"])})


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many of each kind."""
    return dict(Counter(finding.drift.value for finding in findings))
