"""Space-delimited events ("Using filter patterns to match terms in space-delimited log events"; MON-07).

`[a, b=10.0.2.*, c>=5, d="x" || d="y", ...]`: one column each, by position. A message has exactly as many fields, unless
`...` stands for any number of them. Text in brackets or double quotes is one field, without those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.insight.patterns import batches
from ringfence.insight.patterns.parts import (
    EVERYTHING,
    OPERATORS,
    Condition,
    PatternError,
    Scanner,
    Sieve,
    Test,
    all_of,
    needle_of,
    shapes_of,
    test_of,
)

_NAME = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9_$.\-]*")
_BARE = re.compile(r"[^\s,\"%&|()\[\]=<>!]+")
_TEXT = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class ColumnPattern:
    """`left`: names from the first field on; `right`: after the ellipsis, to the last; None: no ellipsis."""

    left: tuple[str, ...]
    right: tuple[str, ...] | None
    condition: Condition
    regexes: int
    sieve: Sieve = EVERYTHING

    @staticmethod
    def parse(text: str) -> ColumnPattern:
        """PatternError."""
        if not text.endswith("]") or len(text) < 2:
            raise PatternError("Missing ] at the end of the pattern")
        return _Parser(text[1:-1]).pattern()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name in (*self.left, *(self.right or ())) if name)

    def matches(self, message: str) -> bool:
        if self.right is not None or "[" in message or '"' in message:
            return self._fields(message) is not None
        tokens = message.split(None, len(self.left))  # no more than tell that there are too many
        if len(tokens) != len(self.left):
            return False
        return self.condition(dict(zip(self.left, tokens, strict=True)))

    def extract(self, message: str) -> dict[str, str] | None:
        """`$name` → text of every field, `$3` for those without a name; None where the message does not match."""
        found = self._fields(message)
        if found is None:
            return None
        tokens, named = found
        places = {place: name for name, place in named.items()}
        return {f"${places.get(n, n + 1)}": token for n, token in enumerate(tokens)}

    def field(self, message: str, reference: str) -> str | None:
        """The text of `$name` in a message that matches."""
        values = self.extract(message)
        return None if values is None else values.get(reference)

    def _fields(self, message: str) -> tuple[list[str], dict[str, int]] | None:
        """The message's fields and where the named ones are, if it matches."""
        fixed = len(self.left) + len(self.right or ())
        tokens: list[str] = []
        for token in _tokens(message):
            tokens.append(token)
            if self.right is None and len(tokens) > fixed:
                return None
        if len(tokens) < fixed or (self.right is None and len(tokens) != fixed):
            return None
        named = {name: n for n, name in enumerate(self.left) if name}
        for n, name in enumerate(self.right or ()):
            if name:
                named[name] = len(tokens) - len(self.right or ()) + n
        subject = {name: tokens[place] for name, place in named.items()}
        return (tokens, named) if self.condition(subject) else None


def _tokens(message: str) -> Iterator[str]:
    """The fields of a message. Linear: where a closing mark is, is looked up once."""
    if "[" not in message and '"' not in message:
        yield from message.split()
        return
    at, end = 0, len(message)
    closing = {"[": -1, '"': -1}
    while at < end:
        if message[at].isspace():
            at += 1
            continue
        mark = message[at]
        if mark in closing:
            other = "]" if mark == "[" else '"'
            if closing[mark] <= at:
                found = message.find(other, at + 1)
                closing[mark] = end if found < 0 else found
            if closing[mark] < end:
                yield message[at + 1 : closing[mark]]
                at = closing[mark] + 1
                continue
        word = _TEXT.match(message, at)
        assert word is not None
        yield word.group()
        at = word.end()


class _Parser:
    def __init__(self, text: str) -> None:
        self._scanner = Scanner(text)
        self._regexes = 0
        self._name = ""
        self._used: set[str] = set()

    def pattern(self) -> ColumnPattern:
        sides: list[list[str]] = [[]]
        conditions: list[Test] = []
        while True:
            if self._scanner.take("...", "…"):
                if len(sides) == 2:
                    raise PatternError("An ellipsis can stand only once in a pattern")
                sides.append([])
            else:
                name, condition = self._column()
                if name and any(name in side for side in sides):
                    raise PatternError(f"The field name '{name[:100]}' is given twice")
                sides[-1].append(name)
                if condition is not None:
                    conditions.append(condition)
            if self._scanner.done:
                break
            if not self._scanner.take(","):
                raise self._scanner.wrong()
        self._check({name for side in sides for name in side})
        left, right = tuple(sides[0]), tuple(sides[1]) if len(sides) == 2 else None
        both = all_of(conditions) if conditions else Test(_always)
        among = batches.columns(left, right or (), both.shapes, open_end=right is not None)
        sieve = Sieve(tuple(sorted(both.needles)), among=among)
        return ColumnPattern(left, right, both.run, self._regexes, sieve)

    def _check(self, names: set[str]) -> None:
        unknown = sorted(self._used - names)
        if unknown:
            raise PatternError(f"The field '{unknown[0][:100]}' of a condition is not in the pattern")

    def _column(self) -> tuple[str, Test | None]:
        """One column: nothing, a name, or conditions whose first field is the column's."""
        self._name = ""
        self._bare = False
        condition = self._scanner.logic(self._condition) if self._starts() else None
        return self._name, None if self._bare else condition

    def _starts(self) -> bool:
        return not self._scanner.done and not self._scanner.sees(",")

    def _condition(self) -> Test:
        name = self._scanner.match(_NAME)
        if not name:
            raise self._scanner.wrong()
        first = not self._name
        self._name = self._name or name
        operator = self._scanner.take(*OPERATORS)
        if not operator:
            if not first:
                raise self._scanner.wrong()
            self._bare = True
            return Test(_always)
        if self._bare:
            raise self._scanner.wrong()
        self._used.add(name)
        value = self._scanner.value(_BARE)
        self._regexes += value.regex
        test: Callable[[str], bool] = test_of(operator, value)
        return Test(lambda fields: test(fields[name]), needle_of(operator, value), shapes_of(name, operator, value))


def _always(_fields: Mapping[str, Any]) -> bool:
    return True
