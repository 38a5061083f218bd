"""A record as a line of text, and back (Amazon VPC User Guide: "Flow log record examples")."""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.insight.flowlogs.fields import FIELDS, INT_32, INT_64, Value
from ringfence.insight.flowlogs.records import Record

NONE = "-"


def values(record: Record, names: Sequence[str]) -> list[Value]:
    """The values of these fields."""
    return [FIELDS[name].make(record) for name in names]


def line(record: Record, names: Sequence[str]) -> str:
    """Space separated, without a line end. White space in a value (a tag's) would shift the fields: it becomes `_`."""
    return " ".join(NONE if value in (None, "") else "_".join(str(value).split()) for value in values(record, names))


def parse(text: str, names: Sequence[str]) -> dict[str, Value]:
    """The fields of a line. ValueError when it does not have as many, or letters for a number."""
    words = text.split(" ")
    if len(words) != len(names):
        raise ValueError(f"{len(words)} values for {len(names)} fields")
    return {name: _value(name, word) for name, word in zip(names, words, strict=True)}


def _value(name: str, word: str) -> Value:
    if word == NONE:
        return None
    return int(word) if FIELDS[name].type in (INT_32, INT_64) else word
