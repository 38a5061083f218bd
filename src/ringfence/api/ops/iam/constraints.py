"""The constraints that IAM's service model puts on parameters: lengths, ranges and patterns, in AWS's words.

IAM API Reference, "Common Errors": ValidationError. Values the model marks as sensitive are never quoted (DATA-03).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any

from ringfence.api.ops.context import Params
from ringfence.model.errors import fault

_SHOWN = 300  # characters of a value that are quoted
#: AWS: names and paths have sentences of their own
_NAME = (
    "The specified value for {} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
)
_PATH = (
    "The specified value for {} is invalid. "
    "It must begin and end with / and contain only alphanumeric characters and/or / characters."
)
_SENTENCES = {
    r"[\w+=,.@-]+": _NAME,
    r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)": _PATH,
    r"((/[A-Za-z0-9\.,\+@=_-]+)*)/": _PATH,
}
_CLASS = re.compile(r"\\p\{([A-Z])\}")


def check(shape: Any, params: Params) -> None:
    """ApiError ValidationError that names every value which breaks a constraint of the model."""
    wrong = list(broken(shape, params))
    if wrong:
        count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} detected"
        raise fault("ValidationError", message=f"{count}: {'; '.join(wrong)}")


def broken(shape: Any, params: Params) -> Iterator[str]:
    """Every constraint that a value breaks, as a sentence."""
    return _structure(shape, params, "")


def _structure(shape: Any, value: Params, path: str) -> Iterator[str]:
    for name, inner in value.items():
        member = shape.members.get(name)
        if member is not None:
            yield from _value(member, inner, f"{path}{name[0].lower()}{name[1:]}")


def _value(shape: Any, value: Any, path: str) -> Iterator[str]:
    kind = shape.type_name
    if kind == "structure":
        yield from _structure(shape, value, path + ".")
    elif kind == "list":
        yield from _size(shape, value, path)
        for position, item in enumerate(value, 1):
            yield from _value(shape.member, item, f"{path}.{position}.member")
    elif kind == "string":
        yield from _text(shape, value, path)
    elif kind in ("integer", "long"):
        yield from _number(shape, value, path)


def _shown(shape: Any, value: Any, path: str) -> str:
    if shape.metadata.get("sensitive"):
        return f"Value at '{path}'"
    text = str(value)
    return f"Value '{text[:_SHOWN]}' at '{path}'"


def _size(shape: Any, value: Any, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    what = (
        _shown(shape, "[…]" if shape.type_name == "list" else value, path)
        + " failed to satisfy constraint: Member must"
    )
    if low is not None and len(value) < low:
        yield f"{what} have length greater than or equal to {low}"
    if high is not None and len(value) > high:
        yield f"{what} have length less than or equal to {high}"


def _text(shape: Any, value: str, path: str) -> Iterator[str]:
    yield from _size(shape, value, path)
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        if pattern in _SENTENCES:
            raise fault("ValidationError", message=_SENTENCES[pattern].format(path))
        yield (
            f"{_shown(shape, value, path)} failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {pattern}"
        )


def _number(shape: Any, value: int, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    what = f"{_shown(shape, value, path)} failed to satisfy constraint: Member must have value"
    if low is not None and value < low:
        yield f"{what} greater than or equal to {low}"
    if high is not None and value > high:
        yield f"{what} less than or equal to {high}"


@cache
def _compiled(pattern: str) -> tuple[re.Pattern[str], str]:
    """A Java pattern as one of Python's. The Unicode classes in it (`\\p{L}`) become one letter of the private use area."""
    classes = "".join(_CLASS.findall(pattern))
    return re.compile(
        _CLASS.sub("", pattern).replace("[_", "[" + ("\ue000" if classes else "") + "_"), re.ASCII
    ), classes


def _matches(pattern: str, value: str) -> bool:
    compiled, classes = _compiled(pattern)
    if classes:
        value = "".join("\ue000" if unicodedata.category(char)[0] in classes else char for char in value)
    return compiled.fullmatch(value) is not None
