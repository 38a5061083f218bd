"""What the three languages share: regular expressions between percent signs, values with wildcards, numbers, and the
logic of conditions.

"Supported regular expressions (regex) syntax": letters, digits, `_ # = @ / ; , -` and `:`, the operators
`^ $ ? [ ] { } | \\ * + .`, no groups, no multi-byte characters, at most two expressions in one pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import re2

from ringfence.insight.patterns.batches import Among, shape_of

MAX_REGEXES = 2
_REGEX = re.compile(r"(?:[A-Za-z0-9_#=@/;,:\- ^$?\[\]{}|*+.]|\\[\x20-\x7e])+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
#: a condition's operators, the longer ones first
OPERATORS = ("!=", ">=", "<=", "=", ">", "<")


class PatternError(Exception):
    """The text is no filter pattern; the message says why."""


def number_of(text: str) -> float | None:
    """The number a text is, if it is one."""
    if text.isdigit() and text.isascii():  # most are
        return float(text)
    return float(text) if _NUMBER.fullmatch(text) else None


def regex(source: str) -> Callable[[str], bool]:
    """Does the expression match anywhere in a text? In linear time, whatever the text (RE2). PatternError."""
    if not _REGEX.fullmatch(source):
        raise PatternError(f"Invalid character(s) in regular expression '{source[:100]}'")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        compiled = re2.compile(source, options)
    except re2.error:
        raise PatternError(f"Invalid regular expression '{source[:100]}'") from None
    search = compiled.search
    return lambda text: search(text) is not None


#: one piece of an expression, and how often it stands
_PIECE = re.compile(
    r"(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\(?P<escaped>[^A-Za-z0-9])|\\.|(?P<plain>[A-Za-z0-9_#=@/;,:\- ])|.)"
    r"(?P<times>[?*+]|\{[^}]*\})?"
)
#: alternatives, named classes, and escapes that go on past their letter (`\x41`, `\pL`, `\123`)
_UNCERTAIN = re.compile(r"\||\[:|\\[^dDwWsSbBAznrtfv\W_]")


def needle_in(source: str) -> str:
    """Text that everything has which an expression matches: its longest run of characters that must be there. "" if none."""
    if _UNCERTAIN.search(source):
        return ""
    runs = [""]
    for piece in _PIECE.finditer(source):
        character = piece["plain"] or piece["escaped"]
        if character and piece["times"] in (None, "+"):
            runs[-1] += character
        if not character or piece["times"]:  # what follows may be behind more of it, or behind anything
            runs.append("")
    return max(runs, key=len)


# ---------------------------------------------------------------------- values
@dataclass(frozen=True, slots=True)
class Value:
    """The right side of a condition. `quoted`: stands in double quotes, so that it is text even where it reads as a number."""

    text: str
    quoted: bool = False
    regex: bool = False


def test_of(operator: str, value: Value) -> Callable[[str], bool]:
    """The condition on a field's text. PatternError for an operator that such a value does not take."""
    if operator in ("=", "!="):
        equal = _equal(value)
        return equal if operator == "=" else lambda text: not equal(text)
    bound = None if value.regex or value.quoted else number_of(value.text)
    if bound is None:
        raise PatternError(f"'{operator}' takes a number, not '{value.text[:100]}'")
    compare = _COMPARE[operator]

    def test(text: str) -> bool:
        number = number_of(text)
        return number is not None and compare(number, bound)

    return test


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
}  # fmt: skip


def _equal(value: Value) -> Callable[[str], bool]:
    """AWS: an asterisk stands for any text before or after the rest; inside it is an asterisk."""
    if value.regex:
        return regex(value.text)
    text = value.text
    before, after = text.startswith("*"), text.endswith("*")
    inner = text[1 if before else 0 : len(text) - 1 if after else len(text)]
    if text in ("*", "**"):
        return lambda _: True
    if before and after:
        return lambda field: inner in field
    if before:
        return lambda field: field.endswith(inner)
    if after:
        return lambda field: field.startswith(inner)
    number = None if value.quoted else number_of(text)
    if number is None:
        return lambda field: field == text
    return lambda field: field == text or number_of(field) == number


def needle_of(operator: str, value: Value) -> frozenset[str]:
    """Text that every field has for which the condition holds."""
    if operator != "=" or (not value.quoted and not value.regex and number_of(value.text) is not None):
        return frozenset()
    if value.regex:
        return frozenset({found} if (found := needle_in(value.text)) else ())
    inner = value.text.removeprefix("*").removesuffix("*")
    return frozenset({inner} if inner else ())


def shapes_of(name: str, operator: str, value: Value) -> dict[str, str]:
    """What the column looks like where the condition holds, if it compares numbers."""
    bound = None if value.quoted or value.regex else number_of(value.text)
    shape = None if bound is None else shape_of(operator, bound)
    return {name: shape} if shape else {}


# ---------------------------------------------------------------------- conditions
Condition = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Sieve:
    """What a message has that matches, so that a search can pass over others without asking the pattern.

    `every`: all of these texts; `some`: one of them, if there are any; `none`: none of them. `escaped`: a message with a
    backslash may match without them, since JSON can write any character so. `exact`: what has all that, matches. `among`:
    which of many messages may match, where that is told faster of many at once.
    """

    every: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    escaped: bool = False
    exact: bool = False
    among: Among | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return bool(self.every or self.some or self.none)


#: nothing is known of what matches
EVERYTHING = Sieve()


@dataclass(frozen=True, slots=True)
class Test:
    """A condition, texts that every subject has for which it holds, and what its columns look like then (batches.py)."""

    run: Condition
    needles: frozenset[str] = frozenset()
    shapes: Mapping[str, str] = field(default_factory=dict)


def all_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    runs = [test.run for test in tests]
    needles: frozenset[str] = frozenset().union(*(test.needles for test in tests))
    shapes = {name: shape for test in tests for name, shape in test.shapes.items()}
    if len(runs) == 2:
        one, two = runs
        return Test(lambda subject: one(subject) and two(subject), needles, shapes)
    return Test(lambda subject: all(run(subject) for run in runs), needles, shapes)


def any_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    runs = [test.run for test in tests]
    needles = tests[0].needles.intersection(*(test.needles for test in tests))
    names = set(tests[0].shapes).intersection(*(test.shapes for test in tests))
    shapes = {name: "|".join(test.shapes[name] for test in tests) for name in names}
    return Test(lambda subject: any(run(subject) for run in runs), needles, shapes)


class Scanner:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._regexes = self._depth = 0

    @property
    def done(self) -> bool:
        self.skip()
        return self._at >= len(self._text)

    def skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1

    def take(self, *words: str) -> str:
        """The first of the words that stands here, read over; else the empty text."""
        self.skip()
        for word in words:
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return word
        return ""

    def sees(self, word: str) -> bool:
        """Does the word stand here?"""
        self.skip()
        return self._text.startswith(word, self._at)

    def match(self, pattern: re.Pattern[str]) -> str:
        """What the pattern matches here, read over; else the empty text."""
        self.skip()
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found.group()

    def wrong(self) -> PatternError:
        return PatternError(f"Invalid syntax at '{self._text[self._at : self._at + 40]}'")

    def value(self, bare: re.Pattern[str]) -> Value:
        """A quoted text, an expression between percent signs, or a bare word. PatternError."""
        self.skip()
        if self._text.startswith('"', self._at):
            return Value(self._delimited('"'), quoted=True)
        if self._text.startswith("%", self._at):
            self._regexes += 1
            if self._regexes > MAX_REGEXES:
                raise PatternError(f"A filter pattern can have at most {MAX_REGEXES} regular expressions")
            return Value(self._delimited("%"), regex=True)
        word = self.match(bare)
        if not word:
            raise self.wrong()
        return Value(word)

    def _delimited(self, mark: str) -> str:
        out: list[str] = []
        at = self._at + 1
        while at < len(self._text):
            character = self._text[at]
            if character == mark:
                self._at = at + 1
                return "".join(out)
            if character == "\\" and at + 1 < len(self._text):
                at += 1
                following = self._text[at]
                # in an expression a backslash is the expression's own, but for the percent sign that would end it
                out.append(following if mark == '"' or following == "%" else "\\" + following)
            else:
                out.append(character)
            at += 1
        raise PatternError(f"Missing {mark} at the end of '{self._text[self._at : self._at + 40]}'")

    def logic(self, condition: Callable[[], Test]) -> Test:
        """Conditions with `&&` before `||`, and parentheses. PatternError."""
        alternatives = [self._conjunction(condition)]
        while self.take("||"):
            alternatives.append(self._conjunction(condition))
        return any_of(alternatives)

    def _conjunction(self, condition: Callable[[], Test]) -> Test:
        parts = [self._primary(condition)]
        while self.take("&&"):
            parts.append(self._primary(condition))
        return all_of(parts)

    def _primary(self, condition: Callable[[], Test]) -> Test:
        if not self.take("("):
            return condition()
        self._depth += 1
        if self._depth > 50:
            raise PatternError("Parentheses are nested too deeply")
        inner = self.logic(condition)
        if not self.take(")"):
            raise self.wrong()
        self._depth -= 1
        return inner
