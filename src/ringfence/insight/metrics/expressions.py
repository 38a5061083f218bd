"""Metric math as text → tree (CloudWatch User Guide: "Using math expressions with CloudWatch metrics").

Grammar, loosest first: `||` or `OR`; `&&` or `AND`; comparisons; `+ -`; `* /`; unary `-`; `^`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_DEPTH, MAX_OPERATIONS = 50, 200


class ExpressionError(ValueError):
    """The text is no expression, or cannot be worked out."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """A metric or another expression by its Id, or a keyword of a function (`REPEAT`, `ASC`)."""

    name: str


@dataclass(frozen=True, slots=True)
class Array:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    node: Node


@dataclass(frozen=True, slots=True)
class Operation:
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arguments: tuple[Node, ...]


Node = Number | Text | Name | Array | Negated | Operation | Function

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)|(?P<name>[A-Za-z][A-Za-z0-9_]*)
    |(?P<text>"[^"]*"|'[^']*')|(?P<operator>\|\||&&|==|!=|<=|>=|[-+*/^<>(),\[\]]))""",
    re.VERBOSE,
)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||", "OR"), ("&&", "AND"), ("==", "!=", "<", ">", "<=", ">="), ("+", "-"), ("*", "/")
)  # fmt: skip
_WORDS = {"OR": "||", "AND": "&&"}


@lru_cache(256)
def parse(text: str) -> Node:
    """The tree of an expression. ExpressionError."""
    parser = _Parser(list(_tokens(text)))
    node = parser.level(0)
    if parser.at < len(parser.tokens):
        raise ExpressionError(f"Unexpected '{parser.tokens[parser.at][1][:20]}'")
    return node


def names(node: Node) -> Iterator[str]:
    """Every name in the tree."""
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, Array):
        for item in node.items:
            yield from names(item)
    elif isinstance(node, Negated):
        yield from names(node.node)
    elif isinstance(node, Operation):
        yield from names(node.left)
        yield from names(node.right)
    elif isinstance(node, Function):
        for argument in node.arguments:
            yield from names(argument)


def functions(node: Node) -> Iterator[Function]:
    """Every call of a function in the tree."""
    if isinstance(node, Function):
        yield node
        for argument in node.arguments:
            yield from functions(argument)
    elif isinstance(node, Array):
        for item in node.items:
            yield from functions(item)
    elif isinstance(node, Negated):
        yield from functions(node.node)
    elif isinstance(node, Operation):
        yield from functions(node.left)
        yield from functions(node.right)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise ExpressionError(f"Unexpected '{text[at : at + 20].strip()}'")
        at = found.end()
        yield found.lastgroup, found[found.lastgroup]


class _Parser:
    """Recursive descent over the tokens; `depth` bounds the recursion."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens, self.at, self.depth, self.operations = tokens, 0, 0, 0

    def _next(self) -> tuple[str, str]:
        if self.at >= len(self.tokens):
            raise ExpressionError("Unexpected end of the expression")
        self.at += 1
        return self.tokens[self.at - 1]

    def _peek(self) -> str:
        if self.at >= len(self.tokens):
            return ""
        kind, text = self.tokens[self.at]
        return _WORDS.get(text, text) if kind == "name" else text if kind == "operator" else ""

    def _take(self, *operators: str) -> str:
        found = self._peek()
        if found and found in operators:
            self.at += 1
            return found
        return ""

    def level(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        left = self.level(level + 1)
        while operator := self._take(*_LEVELS[level]):
            self.operations += 1
            if self.operations > MAX_OPERATIONS:
                raise ExpressionError("The expression has too many operations")
            left = Operation(operator, left, self.level(level + 1))
        return left

    def _unary(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ExpressionError("The expression is nested too deeply")
        try:
            if self._take("-"):
                return Negated(self._unary())
            if self._take("+"):
                return self._unary()
            left = self._primary()
            return Operation("^", left, self._unary()) if self._take("^") else left
        finally:
            self.depth -= 1

    def _primary(self) -> Node:
        kind, text = self._next()
        if kind == "number":
            return Number(float(text))
        if kind == "text":
            return Text(text[1:-1])
        if kind == "name":
            return Function(text.upper(), self._list(")")) if self._take("(") else Name(text)
        if text == "(":
            inside = self.level(0)
            if not self._take(")"):
                raise ExpressionError("A ')' is missing")
            return inside
        if text == "[":
            return Array(self._list("]"))
        raise ExpressionError(f"Unexpected '{text}'")

    def _list(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        if self._take(end):
            return ()
        while True:
            items.append(self.level(0))
            if self._take(end):
                return tuple(items)
            if not self._take(","):
                raise ExpressionError(f"A '{end}' is missing")
