"""What authorising a call asks: an action on targets, all of which must be allowed (IAM-25)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.identity.question import Context, Target
from ringfence.model.row import Tags

Values = dict[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One question. Without targets it is never allowed. `context`: keys beyond those of every request."""

    action: str
    targets: tuple[Target, ...]
    context: Context = field(default_factory=dict)


def truth(value: Any) -> str:
    return "true" if value else "false"


def tag_keys(prefixes: Iterable[str], tags: Iterable[tuple[str, str]]) -> Values:
    """`aws:resourcetag/stack` …; keys that differ in letter case only have several values, which no operator takes for one."""
    held: Values = {}
    for key, value in tags:
        for prefix in prefixes:
            name = f"{prefix}/{key}".lower()
            before = held.get(name)
            held[name] = value if before is None else (*((before,) if isinstance(before, str) else before), value)
    return held


def request_tags(tags: Iterable[tuple[str, str]]) -> Values:
    """`aws:requesttag/…` and `aws:tagkeys`; neither is there when no tag is given."""
    given = tuple(tags)
    if not given:
        return {}
    return {**tag_keys(("aws:requesttag",), given), "aws:tagkeys": tuple(dict.fromkeys(key for key, _ in given))}


def pairs(given: Iterable[Mapping[str, Any]]) -> Tags:
    """Tags as a request lists them; the last of a key counts."""
    return tuple({str(tag.get("Key") or ""): str(tag.get("Value") or "") for tag in given}.items())
