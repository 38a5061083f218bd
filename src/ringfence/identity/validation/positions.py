"""JSON (RFC 8259) that remembers where everything stands, for findings that point at it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

DEPTH = 60  #: no policy nests deeper
_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")

#: one step of a path, as the API spells it: {"value": name of a member}, {"key": …} for the name itself, {"index": n}
Step = dict[str, str | int]


class SyntaxFault(Exception):
    """No JSON: `offset` is where it stops being so."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"no JSON at {offset}")
        self.offset = offset


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value. `value`: text, number, truth value, None, a list of nodes, or members as (name, value) pairs of nodes."""

    value: Any
    start: int
    end: int
    path: tuple[Step, ...]

    @property
    def kind(self) -> str:
        """The JSON data type."""
        if isinstance(self.value, dict):
            return "Object"
        names = {str: "String", bool: "Boolean", list: "Array", type(None): "Null"}
        return names.get(type(self.value), "Number")

    def items(self) -> list[Node]:
        """The elements; one that stands alone counts as a list of it."""
        return self.value if isinstance(self.value, list) else [self]

    def members(self) -> list[tuple[Node, Node]]:
        """(name, value) in the order of the text; none if this is no object."""
        return list(self.value.values()) if isinstance(self.value, dict) else []

    def get(self, name: str) -> Node | None:
        """The value of the member of that name."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        return None if found is None else found[1]

    def key(self, name: str) -> Node | None:
        """The name of the member, as a place."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        return None if found is None else found[0]


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def space(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]

    def take(self, char: str) -> bool:
        self.space()
        if self.text.startswith(char, self.at):
            self.at += 1
            return True
        return False

    def need(self, char: str) -> None:
        if not self.take(char):
            raise SyntaxFault(self.at)

    def scalar(self, pattern: re.Pattern[str], path: tuple[Step, ...]) -> Node:
        self.space()
        found = pattern.match(self.text, self.at)
        if found is None:
            raise SyntaxFault(self.at)
        start, self.at = self.at, found.end()
        return Node(json.loads(found[0]), start, self.at, path)

    def value(self, path: tuple[Step, ...], depth: int) -> Node:
        self.space()
        start = self.at
        if depth > DEPTH:
            raise SyntaxFault(start)
        if self.take("{"):
            return Node(self.object(path, depth), start, self.at, path)
        if self.take("["):
            return Node(self.array(path, depth), start, self.at, path)
        return self.scalar(_STRING if self.text.startswith('"', start) else _SCALAR, path)

    def object(self, path: tuple[Step, ...], depth: int) -> dict[str, tuple[Node, Node]]:
        found: dict[str, tuple[Node, Node]] = {}
        if self.take("}"):
            return found
        while True:
            name = self.scalar(_STRING, path)
            if name.value in found:
                raise SyntaxFault(
                    name.start
                )  # "Individual elements must not contain multiple instances of the same key"
            self.need(":")
            key = Node(name.value, name.start, name.end, (*path, {"key": name.value}))
            found[name.value] = (key, self.value((*path, {"value": name.value}), depth + 1))
            if self.take("}"):
                return found
            self.need(",")

    def array(self, path: tuple[Step, ...], depth: int) -> list[Node]:
        found: list[Node] = []
        if self.take("]"):
            return found
        while True:
            found.append(self.value((*path, {"index": len(found)}), depth + 1))
            if self.take("]"):
                return found
            self.need(",")


def read(text: str) -> Node:
    """The value that a text is. Raises SyntaxFault."""
    reader = _Reader(text)
    node = reader.value((), 0)
    reader.space()
    if reader.at != len(text):
        raise SyntaxFault(reader.at)
    return node


def position(text: str, offset: int) -> dict[str, int]:
    """Line from 1, column and offset from 0."""
    before = text[:offset]
    return {"line": before.count("\n") + 1, "column": offset - (before.rfind("\n") + 1), "offset": offset}


def location(text: str, node: Node) -> dict[str, Any]:
    """Path and span of a node, as the API spells them."""
    return {
        "path": list(node.path),
        "span": {"start": position(text, node.start), "end": position(text, node.end)},
    }
