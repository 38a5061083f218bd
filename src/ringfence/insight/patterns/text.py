"""Unstructured text ("Using filter patterns to match terms in unstructured log events").

`ERROR`: the message has it anywhere, letter case counts; several: all of them; `"exact phrase"`; `-TERM`: has it not;
`?ONE ?OTHER`: one of them; `%regex%`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ringfence.insight.patterns import batches
from ringfence.insight.patterns.parts import EVERYTHING, PatternError, Scanner, Sieve, Value, needle_in, regex

_BARE = re.compile(r"[^\s\"%]+")


@dataclass(frozen=True, slots=True)
class TextPattern:
    """Terms."""

    test: Callable[[str], bool]
    regexes: int = 0
    sieve: Sieve = EVERYTHING

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
        test = _all(required, excluded, [] if required or excluded else optional)
        return TextPattern(test, count, _sieve(terms))

    def matches(self, message: str) -> bool:
        return self.test(message)

    def extract(self, message: str) -> dict[str, str] | None:
        """No values, None where the message does not match."""
        return {} if self.test(message) else None

    def field(self, message: str, reference: str) -> str | None:
        """Unstructured text has no fields."""
        del message, reference
        return None


def _sieve(terms: Mapping[str, list[Value]]) -> Sieve:
    texts = {kind: tuple(value.text for value in values if not value.regex) for kind, values in terms.items()}
    exact = sum(map(len, texts.values())) == sum(map(len, terms.values()))
    inside = [needle_in(value.text) for value in terms[""] if value.regex]
    alone = not terms[""] and not terms["-"]
    whole = len(texts["?"]) == len(terms["?"])  # an expression among them: nothing is known of any
    every = (*texts[""], *(needle for needle in inside if needle))
    inner = next((value.text for value in terms[""] if value.regex), None)
    among = batches.expression(inner) if inner is not None else None
    return Sieve(every, texts["?"] if alone and whole else (), texts["-"], exact=exact, among=among)


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
