"""Texts with wildcards and policy variables, compiled once (IAM User Guide: "IAM policy elements: Variables and tags",
"IAM JSON policy elements: Resource"; spec IAM-21, IAM-23, IAM-28).

A matcher answers True, False, or None when a variable in the pattern has no value. What a variable stands for is
literal: wildcards and further variables in it mean nothing.

INVARIANT: matching takes time linear in the value for each piece of the pattern (atomic groups, no back-tracking over
more than the last `*`; positions as bits where runs differ), so that no policy makes a decision slow.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Sequence

from ringfence.identity.question import Context

Matcher = Callable[[str, Context], bool | None]
Text = Callable[[Context], str | None]

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_DEFAULT = re.compile(r"\s*'(.*)'\s*", re.DOTALL)
_WILD = re.compile(r"([*?])")


class _Wild(enum.Enum):
    """A wildcard of a pattern; no text, so that no variable's value can be taken for one."""

    STAR = "*"
    ANY = "?"


_Fixed = str | _Wild
#: one piece of a pattern: literal text, a wildcard, or a variable `(name, default)`
_Piece = _Fixed | tuple[str, str | None]
_ARN_FIELDS = 6


def has_wildcards(text: str) -> bool:
    return "*" in text or "?" in text


def _split(text: str, *, variables: bool, wild: bool) -> list[_Piece]:
    """The pieces of a pattern; neighbouring literals are not merged."""
    pieces: list[_Piece] = []
    end = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        pieces += _literal(text[end : found.start()], wild)
        pieces.append(_variable(found[1]))
        end = found.end()
    return pieces + _literal(text[end:], wild)


def _literal(text: str, wild: bool) -> list[_Piece]:
    if not wild:
        return [text] if text else []
    return [_Wild(part) if part in ("*", "?") else part for part in _WILD.split(text) if part]


def _variable(body: str) -> _Piece:
    """`${*}`, `${?}`, `${$}` stand for the characters themselves; else a key with, maybe, a default."""
    if body in ("*", "?", "$"):
        return body
    name, comma, rest = body.partition(",")
    default = _DEFAULT.fullmatch(rest) if comma else None
    return name.strip().lower(), default[1] if default else None


def _value(piece: _Piece, context: Context) -> _Fixed | None:
    """What a piece stands for; None when a variable has no single value."""
    if not isinstance(piece, tuple):
        return piece
    name, default = piece
    held = context.get(name)
    return held if isinstance(held, str) else default  # AWS: "You can't use a multivalued condition key as a variable"


def _fixed(pieces: list[_Piece]) -> list[_Fixed] | None:
    """The pieces, when none is a variable."""
    texts = [piece for piece in pieces if not isinstance(piece, tuple)]
    return texts if len(texts) == len(pieces) else None


def _expression(pieces: list[_Fixed], star: str, any: str) -> str:
    """A regular expression in which every `*` but the last takes the first place that fits and never another."""
    groups: list[str] = [""]  # the text between stars
    for piece in pieces:
        if piece is _Wild.STAR:
            groups.append("")
        else:
            groups[-1] += any if isinstance(piece, _Wild) else re.escape(piece)
    first, *others = groups
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>{star}?{part})" for part in middle if part) + star + last


# ---------------------------------------------------------------------- whole texts
def text(pattern: str, *, variables: bool) -> Text:
    """The text a pattern without wildcards stands for."""
    pieces = _split(pattern, variables=variables, wild=False)
    fixed = _fixed(pieces)
    if fixed is not None:
        whole = "".join(map(str, fixed))
        return lambda _context: whole

    def resolve(context: Context) -> str | None:
        parts = [_value(piece, context) for piece in pieces]
        return None if None in parts else "".join(map(str, parts))

    return resolve


def glob(pattern: str, *, variables: bool, star: str = ".*", any: str = ".") -> Matcher:
    """Matches the whole of a value; `*` is any text, `?` any one character."""
    pieces = _split(pattern, variables=variables, wild=True)
    fixed = _fixed(pieces)
    if fixed is not None:
        if not has_wildcards(pattern):
            whole = "".join(map(str, fixed))
            return lambda value, _context: value == whole
        match = re.compile(_expression(fixed, star, any), re.DOTALL).fullmatch
        return lambda value, _context: match(value) is not None

    def compare(value: str, context: Context) -> bool | None:
        parts = [_value(piece, context) for piece in pieces]
        if None in parts:
            return None
        expression = _expression(parts, star, any)  # type: ignore[arg-type]
        return re.fullmatch(expression, value, re.DOTALL) is not None

    return compare


# ---------------------------------------------------------------------- ARNs
def _anything(_value: str, _context: Context) -> bool:
    return True


def _all_stars(pattern: str) -> bool:
    return bool(pattern) and not pattern.strip("*")


def arn(pattern: str, *, variables: bool) -> Matcher:
    """Matches an ARN field by field: a wildcard never crosses one of the first five colons (AWS, "Amazon Resource Name
    (ARN) condition operators": "Each of the six colon-delimited components of the ARN is checked separately").
    `*` alone matches anything, also what is no ARN."""
    if _all_stars(pattern):
        return _anything
    fields = _fields(pattern) if variables else pattern.split(":", _ARN_FIELDS - 1)
    if len(fields) < _ARN_FIELDS:
        return lambda _value, _context: False
    pieces = [_split(field, variables=variables, wild=True) for field in fields]
    fixed = [_fixed(field) for field in pieces]
    if all(field is not None for field in fixed):
        *head, tail = fixed
        parts = [_expression(field, "[^:]*", "[^:]") for field in head if field is not None]
        match = re.compile(":".join([*parts, _expression(tail or [], ".*", ".")]), re.DOTALL).fullmatch
        return lambda value, _context: match(value) is not None
    matchers = [glob(field, variables=variables) for field in fields]

    def compare(value: str, context: Context) -> bool | None:
        given = value.split(":", _ARN_FIELDS - 1)
        if len(given) != _ARN_FIELDS:
            return False
        unresolved = False
        for matcher, field in zip(matchers, given, strict=True):
            answer = matcher(field, context)
            if answer is False:
                return False
            unresolved = unresolved or answer is None
        return None if unresolved else True

    return compare


def resource(pattern: str, *, variables: bool) -> Matcher:
    """Matches a resource: as `arn`, but a `*` at the end of a field "can expand to match beyond the colon boundaries"
    (AWS, "IAM JSON policy elements: Resource"), so that a pattern may have fewer than six fields."""
    fields = _fields(pattern) if variables else pattern.split(":", _ARN_FIELDS - 1)
    by_field = arn(pattern, variables=variables)
    crossing = len(fields) < _ARN_FIELDS or any(field.endswith("*") for field in fields[:-1])
    if _all_stars(pattern) or not crossing:
        return by_field
    pieces = [_split(field, variables=variables, wild=True) for field in fields]

    def compare(value: str, context: Context) -> bool | None:
        if len(fields) == _ARN_FIELDS and value.count(":") < _ARN_FIELDS:
            return by_field(value, context)  # as many colons as the pattern: there is none to cross
        parts = [[_value(piece, context) for piece in field] for field in pieces]
        if not _crossing(parts).matches(value):
            return False
        return None if any(None in field for field in parts) else True

    return compare


def _crossing(fields: Sequence[Sequence[_Fixed | None]]) -> _Automaton:
    """The fields with colons between them. A variable without a value may be anything."""
    steps = _Automaton()
    for number, field in enumerate(fields):
        free = number == _ARN_FIELDS - 1  # the resource's own part has colons of its own
        if number:
            steps.text(":")
        for place, piece in enumerate(field, 1):
            if isinstance(piece, str):
                steps.text(piece)
            elif piece is _Wild.ANY:
                steps.one(colon=free)
            else:
                steps.run(colon=free or piece is None or place == len(field))
    return steps


class _Automaton:
    """Positions in a pattern as bits of one number, so that a step costs the same whatever the pattern."""

    def __init__(self) -> None:
        self.size = 0
        self.runs = {True: 0, False: 0}  # positions of runs, by whether a colon may be in them
        self.ones = {True: 0, False: 0}
        self.chars: dict[str, int] = {}

    def text(self, text: str) -> None:
        for char in text:
            self.chars[char] = self.chars.get(char, 0) | 1 << self.size
            self.size += 1

    def one(self, *, colon: bool) -> None:
        self.ones[colon] |= 1 << self.size
        self.size += 1

    def run(self, *, colon: bool) -> None:
        self.runs[colon] |= 1 << self.size
        self.size += 1

    def _skip(self, at: int) -> int:
        """Runs may be empty."""
        every = self.runs[True] | self.runs[False]
        while more := (at & every) << 1 & ~at:
            at |= more
        return at

    def matches(self, value: str) -> bool:
        at = self._skip(1)
        for char in value:
            colon = char == ":"
            stay = self.runs[True] | (0 if colon else self.runs[False])
            take = self.chars.get(char, 0) | self.ones[True] | (0 if colon else self.ones[False])
            at = self._skip((at & stay) | (at & take) << 1)
            if not at:
                return False
        return bool(at >> self.size & 1)


def _fields(pattern: str) -> list[str]:
    """The fields of an ARN pattern; colons inside `${…}` separate nothing."""
    fields: list[str] = []
    start, depth = 0, 0
    for place, character in enumerate(pattern):
        if pattern.startswith("${", place):
            depth = 1
        elif character == "}":
            depth = 0
        elif character == ":" and not depth and len(fields) < _ARN_FIELDS - 1:
            fields.append(pattern[start:place])
            start = place + 1
    return [*fields, pattern[start:]]
