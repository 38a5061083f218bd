"""What an import says about itself: what was read, what was left aside, what was made up, what is not known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


class ImportProblem(Exception):
    """Nothing can be imported; the message says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something inconsistent, damaged or missing; `element`: its id or, without one, where it stands."""

    element: str
    why: str


@dataclass(slots=True)
class Notes:
    """The report. Keys of the counters are names as the source spells them: `NetworkInterfaces.OutpostArn`."""

    sources: list[str] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    unknown_resources: Counter[str] = field(default_factory=Counter)
    not_modelled: dict[str, str] = field(default_factory=dict)  # element -> what it is
    left_out: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    made_up: Counter[str] = field(default_factory=Counter)  # what the source does not tell and no answer depends on
    assumed: dict[str, str] = field(default_factory=dict)  # what was asked to be taken for granted
    names: dict[str, str] = field(default_factory=dict)  # the source's own name of an element -> its id

    @property
    def whole(self) -> bool:
        """Was everything understood?"""
        return not (
            self.unknown_fields or self.unknown_resources or self.not_modelled or self.left_out or self.problems
        )

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "sources": self.sources,
            "read": dict(sorted(self.read.items())),
            "unknown_fields": dict(sorted(self.unknown_fields.items())),
            "unknown_resources": dict(sorted(self.unknown_resources.items())),
            "not_modelled": dict(sorted(self.not_modelled.items())),
            "left_out": [{"element": each.element, "why": each.why} for each in self.left_out],
            "problems": [{"element": each.element, "why": each.why} for each in self.problems],
            "made_up": dict(sorted(self.made_up.items())),
            "assumed": dict(sorted(self.assumed.items())),
            "names": dict(sorted(self.names.items())),
        }
