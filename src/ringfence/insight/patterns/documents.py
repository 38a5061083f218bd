"""JSON events ("Using filter patterns to match terms in JSON log events").

`{ ($.user.id = 1) && ($.users[0].email = "a@b" || $.tags[*] = *x*) }`, `IS NULL`, `IS TRUE`, `NOT EXISTS`. A selector
that leads to an object, to an array or nowhere makes a comparison false, `!=` included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.insight.patterns.parts import (
    EVERYTHING,
    OPERATORS,
    Condition,
    PatternError,
    Scanner,
    Sieve,
    Test,
    needle_of,
    test_of,
)

_BARE = re.compile(r"[^\s()\"%&|{}=<>!]+")
_STEP = re.compile(
    r"\.?\[(?:(?P<index>[0-9]{1,9})|(?P<any>\*)|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\")\]"
    r"|\.(?P<name>[^\s.()\[\]\"%&|{}=<>!,]+)"
)
_WORDS = re.compile(r"[A-Za-z]+")
_ANY = object()
Step = str | int | object


@dataclass(frozen=True, slots=True)
class DocumentPattern:
    """A condition on the JSON document that a message is."""

    condition: Condition
    regexes: int
    sieve: Sieve = EVERYTHING

    @staticmethod
    def parse(text: str) -> DocumentPattern:
        """PatternError."""
        if not text.endswith("}") or len(text) < 2:
            raise PatternError("Missing } at the end of the pattern")
        parser = _Parser(text[1:-1])
        condition = parser.condition()
        needles = tuple(sorted(condition.needles))
        return DocumentPattern(condition.run, parser.regexes, Sieve(needles, escaped=True))

    def matches(self, message: str) -> bool:
        document = _document(message)
        return document is not None and self.condition(document)

    def extract(self, message: str) -> dict[str, str] | None:
        """AWS extracts values from space-delimited events only; None where the message does not match."""
        return {} if self.matches(message) else None

    def field(self, message: str, reference: str) -> str | None:
        """The text of the value at `$.a.b`, if there is one."""
        document = _document(message)
        if document is None:
            return None
        return next(
            (text for found in reach(document, selector(reference)) if (text := text_of(found)) is not None), None
        )


def _document(message: str) -> Any | None:
    if not message.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        return None


def selector(text: str) -> tuple[Step, ...]:
    """`$.a[0]['b.c'][*]` as steps. PatternError."""
    steps: list[Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise PatternError(f"Invalid selector '{text[:100]}'")
        steps.append(_step(found))
        at = found.end()
    if not text.startswith("$") or not steps:
        raise PatternError(f"Invalid selector '{text[:100]}'")
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return int(found["index"])
    if found["any"]:
        return _ANY
    return next(part for part in (found["name"], found["single"], found["double"]) if part is not None)


def reach(document: Any, steps: tuple[Step, ...]) -> Iterator[Any]:
    """Everything the steps lead to: one value at most, but for `[*]`."""
    if not steps:
        yield document
        return
    step, rest = steps[0], steps[1:]
    if step is _ANY:
        for item in document if isinstance(document, list) else ():
            yield from reach(item, rest)
    elif isinstance(step, int):
        if isinstance(document, list) and step < len(document):
            yield from reach(document[step], rest)
    elif isinstance(document, dict) and step in document:
        yield from reach(document[step], rest)


def text_of(value: Any) -> str | None:
    """A value node as text; None for objects, arrays and null."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, (int, float)) else None


class _Parser:
    def __init__(self, text: str) -> None:
        self._scanner = Scanner(text)
        self.regexes = 0

    def condition(self) -> Test:
        whole = self._scanner.logic(self._comparison)
        if not self._scanner.done:
            raise self._scanner.wrong()
        return whole

    def _comparison(self) -> Test:
        steps = self._selector()
        operator = self._scanner.take(*OPERATORS)
        if not operator:
            return self._keyword(steps)
        value = self._scanner.value(_BARE)
        self.regexes += value.regex
        test = test_of(operator, value)
        return Test(
            lambda document: any(
                (text := text_of(found)) is not None and test(text) for found in reach(document, steps)
            ),
            _certain(needle_of(operator, value)) | _names(steps),
        )

    def _selector(self) -> tuple[Step, ...]:
        if not self._scanner.take("$"):
            raise self._scanner.wrong()
        text = "$"
        while step := self._scanner.match(_STEP):
            text += step
        return selector(text)

    def _keyword(self, steps: tuple[Step, ...]) -> Test:
        words = " ".join([word.upper() for word in iter(lambda: self._scanner.match(_WORDS), "")])
        test = _KEYWORDS.get(words)
        if test is None:
            raise self._scanner.wrong()
        needles = _names(steps) if words != "NOT EXISTS" else frozenset[str]()
        return Test(lambda document: test(list(reach(document, steps))), needles)


#: what only a text can hold: a number in the message may be written otherwise than it is compared (5.00, 1e3)
_TEXTUAL = re.compile(r"[^0-9+\-.eE]")


def _certain(needles: frozenset[str]) -> frozenset[str]:
    return frozenset(needle for needle in needles if _TEXTUAL.search(needle))


def _names(steps: tuple[Step, ...]) -> frozenset[str]:
    """Names of members on the way: a document that it leads anywhere in has them."""
    return frozenset(step for step in steps if isinstance(step, str) and step)


_KEYWORDS: dict[str, Callable[[list[Any]], bool]] = {
    "IS NULL": lambda found: any(value is None for value in found),
    "IS NOT NULL": lambda found: any(value is not None for value in found),
    "IS TRUE": lambda found: any(value is True for value in found),
    "IS FALSE": lambda found: any(value is False for value in found),
    "EXISTS": bool,
    "NOT EXISTS": lambda found: not found,
}
