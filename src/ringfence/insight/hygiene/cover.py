"""What blocks with services cover together: address space as a tree of prefixes, services as sets of atoms.

A block is an atom's code (`reach/atoms.py`): a one, then the bits of the prefix, so that the halves of `code` are `2 code` and
`2 code + 1`.
"""

from __future__ import annotations

from collections.abc import Iterable

Piece = tuple[int, int]  # a block's code, and services


class Cover:
    """Blocks of one family; `idle`: blocks that count as covered, for nobody is there."""

    def __init__(self, pieces: Iterable[Piece], idle: Iterable[int] = ()) -> None:
        self._at: dict[int, int] = {}
        for code, services in pieces:
            self._at[code] = self._at.get(code, 0) | services
        self._idle = frozenset(idle)
        #: every block around one: where the tree goes deeper
        self._inner = frozenset(up for code in (*self._at, *self._idle) for up in _around(code))

    def within(self, code: int) -> int:
        """The services that cover every address of a block."""
        out = 0
        for up in (code, *_around(code)):
            if up in self._idle:
                return -1
            out |= self._at.get(up, 0)
        return out | self._below(code)

    def _below(self, code: int) -> int:
        """What the blocks inside cover together."""
        if code not in self._inner:
            return 0
        out = -1
        for half in (2 * code, 2 * code + 1):
            mine = -1 if half in self._idle else self._at.get(half, 0)
            out &= mine if mine == -1 else mine | self._below(half)
            if not out:
                break
        return out


def _around(code: int) -> list[int]:
    """The blocks that hold a block, from the inside."""
    found = []
    code >>= 1
    while code:
        found.append(code)
        code >>= 1
    return found


def holds(outer: int, inner: int) -> bool:
    """Does one block hold another, or equal it?"""
    deeper = inner.bit_length() - outer.bit_length()
    return deeper >= 0 and inner >> deeper == outer
