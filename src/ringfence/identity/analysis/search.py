"""A point inside one region and outside others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringfence.identity.analysis.candidates import TooComplex

STEPS = 200_000
#: coordinate -> the candidates (bits) that are inside; a coordinate that is not named is free
Box = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Region:
    """A box without its holes."""

    box: Box
    holes: tuple[Box, ...] = ()


def meet(one: Box, other: Box) -> dict[str, int] | None:
    """What is in both; None if nothing is."""
    both = dict(one)
    for name, mask in other.items():
        both[name] = both.get(name, -1) & mask
        if not both[name]:
            return None
    return both


class Search:
    """One question; TooComplex after `STEPS` steps."""

    def __init__(self, whole: Box) -> None:
        self.whole, self.steps = whole, 0  # all candidates of all coordinates

    def point(self, inside: Sequence[Region], outside: Sequence[Region]) -> dict[str, int] | None:
        """A box of which every point lies in all of `inside` and in none of `outside`; None if there is none."""
        box: dict[str, int] | None = dict(self.whole)
        for region in inside:
            box = meet(box, region.box) if box is not None else None
        if box is None:
            return None
        return self._avoid(box, [*(Region(hole) for region in inside for hole in region.holes), *outside])

    def _avoid(self, box: dict[str, int], regions: Sequence[Region]) -> dict[str, int] | None:
        self.steps += 1
        if self.steps > STEPS:
            raise TooComplex("the policies have too many statements that overlap")
        choices: list[dict[str, int]] | None = None
        open_regions = []
        for region in regions:
            if meet(box, region.box) is None:
                continue
            ways = _ways_out(box, region)
            if not ways:
                return None
            open_regions.append(region)
            if choices is None or len(ways) < len(choices):
                choices, first = ways, region
        if choices is None:
            return box
        rest = [region for region in open_regions if region is not first]
        for choice in choices:
            found = self._avoid(choice, rest)
            if found is not None:
                return found
        return None


def _ways_out(box: dict[str, int], region: Region) -> list[dict[str, int]]:
    """The parts of the box that lie outside the region: past one of its sides, or in one of its holes.

    The sides are taken in turn, each with the ones before it held inside, so that the parts do not overlap.
    """
    ways = []
    held = dict(box)
    for name, mask in region.box.items():
        past = held[name] & ~mask
        if past:
            ways.append({**held, name: past})
        held[name] &= mask
        if not held[name]:
            return ways
    ways += [part for hole in region.holes if (part := meet(held, hole)) is not None]
    return ways
