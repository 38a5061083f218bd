"""The journal: what each generation changed, when, and on whose behalf.

An entry holds the rows as they were written, so that a World can be followed from one generation to the next; but for rows of
kinds that are `erased` (`model/kinds.py`), of which nothing may be left once they are deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ringfence.model.codec import decoder
from ringfence.model.kinds import KINDS
from ringfence.model.world import Change, Delete, Put, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One generation. `at` = seconds since 1970, UTC. No account and request id = the installation's own doing."""

    generation: int
    at: float
    account_id: str
    request_id: str
    change: Change


def steps_text(steps: Iterable[tuple[str, str, str | None]]) -> str:
    """Steps as stored, from (noun, id, the row's JSON or None for a deletion): the bodies are not encoded again."""
    return "[" + ",".join(_step_text(*step) for step in steps) + "]"


def _step_text(noun: str, id: str, body: str | None) -> str:
    name = json.dumps([noun, id])
    return name if body is None else f"{name[:-1]},{body}]"


def change_of(text: str) -> Change:
    """The change that `steps_text` wrote. ValueError for a kind or field this version does not know."""
    return Change(tuple(_step(*step) for step in json.loads(text)))


def _step(noun: str, id: str, body: dict[str, Any] | None = None) -> Step:
    kind = KINDS.get(noun)
    if kind is None:
        raise ValueError(f"unknown kind {noun!r}")
    if body is None:
        return Delete(kind, id)
    row_type: Any = kind.row
    return Put(kind, decoder(row_type)(body))
