"""Allow rules as boxes (address block x protocols x 16-bit range), arranged so that interval sets can hold them.

The kernel refuses overlapping elements in one interval set, so boxes that lie inside another are dropped and the rest
go to *layers*: sets within which nothing overlaps. Which layer a box is in never changes what the union allows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ringfence.model.net import Network

Range = tuple[int, int]
_Block = tuple[int, int, int]  # version, prefix length, the bits of the prefix
FULL: Range = (0, 65535)
ALL_PROTOCOLS: Range = (0, 255)


@dataclass(frozen=True, slots=True)
class Box:
    """Addresses of a block, an inclusive range of protocol numbers, an inclusive range of a 16-bit value."""

    block: Network
    protocols: Range
    values: Range = FULL


def layers(boxes: Iterable[Box]) -> tuple[tuple[Box, ...], ...]:
    """The boxes' union as layers of pairwise disjoint boxes; the same set of boxes always gives the same layers."""
    placed: dict[_Block, list[tuple[Box, int]]] = defaultdict(list)
    result: list[list[Box]] = []
    lengths: set[int] = set()
    for box in sorted(set(boxes), key=_widest_first):
        near = [entry for block in _supernets(box.block, lengths) for entry in placed.get(block, ())]
        if any(_contains(other, box) for other, _ in near):
            continue
        taken = {layer for other, layer in near if _overlap(other, box)}
        layer = next(n for n in range(len(taken) + 1) if n not in taken)
        if layer == len(result):
            result.append([])
        result[layer].append(box)
        placed[_block(box.block, box.block.prefixlen)].append((box, layer))
        lengths.add(box.block.prefixlen)
    return tuple(tuple(layer) for layer in result)


def _widest_first(box: Box) -> tuple[int, int, int, int, Range, Range]:
    protocols, values = box.protocols, box.values
    width = (protocols[1] - protocols[0], values[1] - values[0])
    return (box.block.prefixlen, -width[0], -width[1], int(box.block.network_address), protocols, values)


def _block(block: Network, length: int) -> _Block:
    """The block around this one that has that prefix length, as numbers: to make it an object takes a hundred times as long."""
    kept = block.max_prefixlen - length
    return block.version, length, int(block.network_address) >> kept


def _supernets(block: Network, lengths: set[int]) -> Iterator[_Block]:
    """The block itself and the blocks around it, of the prefix lengths that occur."""
    return (_block(block, length) for length in lengths if length <= block.prefixlen)


def _inside(inner: Range, outer: Range) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _meet(one: Range, other: Range) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _contains(outer: Box, inner: Box) -> bool:
    return _inside(inner.protocols, outer.protocols) and _inside(inner.values, outer.values)


def _overlap(one: Box, other: Box) -> bool:
    return _meet(one.protocols, other.protocols) and _meet(one.values, other.values)


def merge(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The union of ranges as sorted ranges that neither overlap nor touch."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)
