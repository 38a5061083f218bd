"""Rules of composite alarms (CloudWatch API Reference: PutCompositeAlarm, `AlarmRule`; User Guide: "Combining alarms").

`ALARM(x)`, `OK(x)`, `INSUFFICIENT_DATA(x)`: is the alarm of that name or ARN in that state? `TRUE`, `FALSE`; `NOT` before `AND`
before `OR`, and parentheses. A name may stand in double quotes; it must where it has a parenthesis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_ELEMENTS, MAX_ALARMS, _MAX_DEPTH = 500, 100, 50
_STATE = re.compile(r'\s*(ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]*)"|([^"()]*?))\s*\)')
_WORD = re.compile(r"\s*(AND|OR|NOT|TRUE|FALSE|\(|\))(?:(?<=[()])|(?![\w]))")
#: alarm → its state
States = Mapping[str, str]
Holds = Callable[[States], bool]


class RuleError(Exception):
    """The text is no rule; the message says why."""


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """`alarms`: as the rule names them, each once, in order."""

    holds: Holds
    alarms: tuple[str, ...]


def parse_rule(text: str) -> AlarmRule:
    """RuleError."""
    parser = _Parser(text)
    holds = parser.either(0)
    if text[parser.at :].strip():
        raise parser.wrong()
    if len(parser.alarms) > MAX_ALARMS:
        raise RuleError(f"The rule refers to more than {MAX_ALARMS} alarms")
    return AlarmRule(holds, tuple(parser.alarms))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self.at, self._elements = text, 0, 0
        self.alarms: dict[str, None] = {}

    def wrong(self) -> RuleError:
        return RuleError(f"Invalid syntax at '{self._text[self.at :].strip()[:40]}'")

    def _take(self, *words: str) -> str:
        found = _WORD.match(self._text, self.at)
        if found is None or found[1] not in words:
            return ""
        self.at = found.end()
        if found[1] not in "()":
            self._element()
        return found[1]

    def _element(self) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise RuleError(f"The rule has more than {MAX_ELEMENTS} elements")

    def either(self, depth: int) -> Holds:
        parts = [self._both(depth)]
        while self._take("OR"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda states: any(part(states) for part in parts)

    def _both(self, depth: int) -> Holds:
        parts = [self._one(depth)]
        while self._take("AND"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda states: all(part(states) for part in parts)

    def _one(self, depth: int) -> Holds:
        negated = False
        while self._take("NOT"):
            negated = not negated
        inner = self._plain(depth)
        return (lambda states: not inner(states)) if negated else inner

    def _plain(self, depth: int) -> Holds:
        found = _STATE.match(self._text, self.at)
        if found is not None:
            self.at = found.end()
            self._element()
            state, name = found[1], found[2] or found[3]
            if not name:
                raise RuleError(f"{state}() names no alarm")
            self.alarms[name] = None
            return lambda states: states.get(name) == state
        word = self._take("TRUE", "FALSE", "(")
        if word == "(":
            if depth >= _MAX_DEPTH:
                raise RuleError("Parentheses are nested too deeply")
            inner = self.either(depth + 1)
            if not self._take(")"):
                raise self.wrong()
            return inner
        if not word:
            raise self.wrong()
        return lambda _: word == "TRUE"
