"""Unstructured text ("Using filter patterns to match terms in unstructured log events").

`ERROR`: the message has it anywhere, letter case counts; several: all of them; `"exact phrase"`; `-TERM`: has it not;
`?ONE ?OTHER`: one of them; `%regex%`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ringfence.insight.patterns.parts import PatternError, Scanner, Value, regex

_BARE = re.compile(r"[^\s\"%]+")


@dataclass(frozen=True, slots=True)
class TextPattern:
    """Terms. `literal`: every match has this text, which a search may use to skip quickly."""

    test: Callable[[str], bool]
    regexes: int = 0

    @staticmethod
    def parse(text: str) -> TextPattern:
        """PatternError."""
        scanner = Scanner(text)
        terms: dict[str, list[Value]] = {"": [], "-": [], "?": []}
        while not scanner.done:
            kind = scanner.take("-", "?")
            terms[kind].append(_checked(scanner.value(_BARE)))
        required, excluded, optional = ([_term(value) for value in terms[kind]] for kind in ("", "-", "?"))
        count = sum(value.regex for values in terms.values() for value in values)
        # AWS: next to other terms, optional ones say nothing
        return TextPattern(_all(required, excluded, [] if required or excluded else optional), count)

    def matches(self, message: str) -> bool:
        return self.test(message)

    def extract(self, message: str) -> dict[str, str] | None:
        """No values, None where the message does not match."""
        return {} if self.test(message) else None

    def field(self, message: str, reference: str) -> str | None:
        """Unstructured text has no fields."""
        del message, reference
        return None


def _checked(value: Value) -> Value:
    if not value.quoted and not value.regex and not all(c.isalnum() or c == "_" for c in value.text):
        raise PatternError(f"Invalid character(s) in term '{value.text[:100]}'")
    return value


def _term(value: Value) -> Callable[[str], bool]:
    if value.regex:
        return regex(value.text)
    text = value.text
    return lambda message: text in message


def _all(
    required: list[Callable[[str], bool]], excluded: list[Callable[[str], bool]], optional: list[Callable[[str], bool]]
) -> Callable[[str], bool]:
    if len(required) == 1 and not excluded:
        return required[0]

    def test(message: str) -> bool:
        if optional and not any(term(message) for term in optional):
            return False
        return all(term(message) for term in required) and not any(term(message) for term in excluded)

    return test
