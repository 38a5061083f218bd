"""Texts with wildcards and policy variables, compiled once (IAM User Guide: "IAM policy elements: Variables and tags",
"IAM JSON policy elements: Resource"; spec IAM-21, IAM-23, IAM-28).

A matcher answers True, False, or None when a variable in the pattern has no value. What a variable stands for is
literal: wildcards and further variables in it mean nothing.

INVARIANT: matching takes time linear in the value for each piece of the pattern (atomic groups, no back-tracking over
more than the last `*`), so that no policy makes a decision slow.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable

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
    if isinstance(held, tuple):  # AWS: "You can't use a multivalued condition key as a variable"
        held = held[0] if len(held) == 1 else None
    return default if held is None else held


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
def arn(pattern: str, *, variables: bool) -> Matcher:
    """Matches an ARN field by field: a wildcard never crosses one of the first five colons.

    A pattern of fewer than six fields matches as a whole (AWS: a `*` at the end of a segment "can expand to match beyond
    the colon boundaries"); `*` alone matches anything, also what is no ARN.
    """
    if pattern.strip("*") == "" and pattern:
        return lambda _value, _context: True
    fields = _fields(pattern) if variables else pattern.split(":", _ARN_FIELDS - 1)
    if len(fields) < _ARN_FIELDS:
        return glob(pattern, variables=variables)
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
