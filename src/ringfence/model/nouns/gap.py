"""What an imported network lacks: nothing can be said about what depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.model.row import Row

#: the `vpc_id` of a gap that concerns only packets from the internet to addresses that nobody is known to have
OUTSIDE = "outside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Row):
    """An element that is missing, damaged or not modelled. Answers about its VPC are unknown."""

    vpc_id: str
    element: str
    why: str
