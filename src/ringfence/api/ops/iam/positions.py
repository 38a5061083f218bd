"""Where a statement stands in the text of a policy, as lines and columns from 1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_SPACE = re.compile(r"[ \t\n\r]*")
_JSON = json.JSONDecoder()
Position = dict[str, int]


def statement_span(text: str, number: int) -> tuple[Position, Position] | None:
    """Start and end of a statement, counted from 0; None when the text is no policy that has it."""
    try:
        spans = list(_spans(text))
    except (ValueError, IndexError):
        return None
    if number >= len(spans):
        return None
    start, end = spans[number]
    return _position(text, start), _position(text, end)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _position(text: str, at: int) -> Position:
    line = text.count("\n", 0, at)
    return {"Line": line + 1, "Column": at - (text.rfind("\n", 0, at) + 1) + 1}


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each statement. ValueError, IndexError for what is no JSON object."""
    at = _skip(text, 0) + 1
    while text[_skip(text, at)] != "}":
        key, at = _JSON.raw_decode(text, _skip(text, at))
        at = _skip(text, _skip(text, at) + 1)  # past the colon
        if key == "Statement":
            yield from _statements(text, at)
            return
        _, at = _JSON.raw_decode(text, at)
        at = _skip(text, at)
        if text[at] == ",":
            at += 1


def _statements(text: str, at: int) -> Iterator[tuple[int, int]]:
    if text[at] != "[":
        yield at, _JSON.raw_decode(text, at)[1]
        return
    at = _skip(text, at + 1)
    while text[at] != "]":
        start = at
        _, at = _JSON.raw_decode(text, at)
        yield start, at
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
