"""Describe operations: ids, filters, pagination and order, once for all (INF-13).

A Describe is one row: `describe("ec2:DescribeVpcs", VPC, ids="VpcIds", result="Vpcs", view=..., filters={...})`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from ringfence.api.ops.context import Call, Memo, Outcome, Params
from ringfence.api.ops.registry import register
from ringfence.api.ops.views import Views
from ringfence.model.errors import fault
from ringfence.model.kinds import Kind
from ringfence.model.row import Row, Tags
from ringfence.model.world import World

R = TypeVar("R", bound=Row)


class Listed(Protocol):
    """What filters and pages need of an item: a row, or anything that looks like one."""

    @property
    def id(self) -> str: ...
    @property
    def tags(self) -> Tags: ...
    def tag(self, key: str) -> str | None: ...


L = TypeVar("L", bound=Listed)
#: the values of a row that a filter compares with: any equal (or matching wildcard) value selects the row
Values = Callable[[World, Any], Iterable[str | bool | int | None]]
View = Callable[[World, Any], Params]
#: the caller's rows that a filter with this one exact value selects, in order of creation; None: look at all rows
Found = Callable[[Call, World, str], list[Any] | None]


@lru_cache(maxsize=4096)
def _pattern(wanted: str) -> re.Pattern[str]:
    """AWS: `*` is any text, `?` one character, backslash quotes; case matters."""
    out, quoted = "", False
    for char in wanted:
        if quoted:
            out, quoted = out + re.escape(char), False
        elif char == "\\":
            quoted = True
        else:
            out += {"*": ".*", "?": "."}.get(char, re.escape(char))
    return re.compile(out, re.DOTALL)


def _text(value: str | bool | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def matches(values: Iterable[str | bool | int | None], wanted: Sequence[str]) -> bool:
    """Does any value equal, or match as a wildcard, any of the wanted texts?"""
    texts = [_text(value) for value in values if value is not None]
    for want in wanted:
        if "*" in want or "?" in want or "\\" in want:
            if any(_pattern(want).fullmatch(text) for text in texts):
                return True
        elif want in texts:
            return True
    return False


TAG_FILTERS: dict[str, Values] = {
    "tag-key": lambda _, row: (key for key, _v in row.tags),
    "tag-value": lambda _, row: (value for _k, value in row.tags),
}


def apply_filters(world: World, rows: Iterable[L], given: Iterable[Params], known: Mapping[str, Values]) -> list[L]:
    """Rows that satisfy every filter. An unknown filter name is refused, never ignored (INF-13)."""
    kept = list(rows)
    for item in given:
        name, wanted = item.get("Name") or "", [str(value) for value in item.get("Values") or ()]
        if len(wanted) > 200:
            raise fault("FilterLimitExceeded")
        of = _filter(name, known)
        # no values: nothing is among them, so nothing is kept
        kept = [row for row in kept if matches(of(world, row), wanted)]
    return kept


def _filter(name: str, known: Mapping[str, Values]) -> Values:
    if name in known:
        return known[name]
    if name in TAG_FILTERS:
        return TAG_FILTERS[name]
    if name.startswith("tag:"):
        key = name[4:]
        return lambda _, row: (row.tag(key),)
    raise fault("InvalidParameterValue", message=f"The filter '{name}' is invalid")


def page(rows: Sequence[L], params: Params, *, low: int = 5, high: int = 1000) -> tuple[Sequence[L], str | None]:
    """The page that MaxResults and NextToken ask for, and the token of the next. The token names the last row seen."""
    limit, token = params.get("MaxResults"), params.get("NextToken")
    start = 0
    if token:
        start = _offset(token, rows)
    if limit is None:
        return rows[start:], None
    if not low <= limit <= high:
        raise fault(
            "InvalidParameterValue",
            message=f"Value ( {limit} ) for parameter maxResults is invalid. "
            f"Expecting a value between {low} and {high}.",
        )
    end = start + limit
    if end >= len(rows):
        return rows[start:end], None
    return rows[start:end], base64.urlsafe_b64encode(f"{end}/{rows[end - 1].id}".encode()).decode()


def _offset(token: str, rows: Sequence[Any]) -> int:
    try:
        position, _, last = base64.urlsafe_b64decode(token.encode()).decode().partition("/")
        end = int(position)
    except ValueError:
        raise fault("InvalidNextToken", token=token) from None
    for index, row in enumerate(rows):  # rows may have come or gone since: go on after the one last seen
        if row.id == last:
            return index + 1
    return min(end, len(rows))


def select(
    call: Call, world: World, kind: Kind[R], params: Params, *, ids: str | None, filters: Mapping[str, Values],
    indexed: Mapping[str, str | Found] | None = None,
) -> list[R]:  # fmt: skip
    """The rows the caller may see that the id list and the filters of `params` select, in order of creation."""
    wanted = params.get(ids) if ids else None
    given = params.get("Filters")
    if wanted:
        rows = [call.get(world, kind, id) for id in dict.fromkeys(wanted)]
    elif given and indexed and (found := _by_index(call, world, kind, given[0], indexed)) is not None:
        rows, given = found, given[1:]
    else:
        rows = call.visible(world, kind)
    return apply_filters(world, rows, given, filters) if given else rows


def _by_index(
    call: Call, world: World, kind: Kind[R], given: Params, indexed: Mapping[str, str | Found]
) -> list[R] | None:
    """What a filter selects, found by an index; None when no index answers it (several values, a wildcard)."""
    index = indexed.get(given.get("Name") or "")
    values: Sequence[str] = given.get("Values") or ()
    if index is None or len(values) != 1 or _WILD.search(values[0]):
        return None
    if not isinstance(index, str):
        return index(call, world, values[0])
    owner, region = call.account_id, call.region
    return [row for row in world.by(kind, index, values[0]) if row.owner_id == owner and row.region == region]


_WILD = re.compile(r"[*?\\]")


def describe(
    name: str,
    kind: Kind[Any],
    *,
    result: str,
    view: View,
    ids: str | None = None,
    filters: Mapping[str, Values] | None = None,
    pure: bool = False,
    indexed: Mapping[str, str | Found] | None = None,
    paginate: bool = True,
    page_sizes: tuple[int, int] = (5, 1000),
) -> None:
    """Serve a Describe. `view(world, row)` gives the members of one item, which are reused while what it read is the same.

    `pure=True` promises that the view depends on nothing but the row itself, so nobody need look at what it reads.
    `indexed`: filters that an index answers (filter -> index), so that not every row need be looked at. `page_sizes`: what
    MaxResults may be.
    """
    known = dict(filters or {})
    views = Views(kind, view)

    def handler(call: Call, world: World, params: Params) -> Outcome:
        rows: Sequence[Any] = select(call, world, kind, params, ids=ids, filters=known, indexed=indexed)
        token = None
        if paginate:
            if ids and params.get(ids) and params.get("MaxResults") is not None:
                raise fault(
                    "InvalidParameterCombination", message="The parameter MaxResults cannot be used with a list of ids"
                )
            rows, token = page(rows, params, low=page_sizes[0], high=page_sizes[1])
        pure_items = [Memo(row, name, lambda row=row: view(world, row)) for row in rows] if pure else None
        reply: dict[str, Any] = {result: views.of(world, rows) if pure_items is None else pure_items}
        if token:
            reply["NextToken"] = token
        return Outcome(reply)

    register(name, handler, mutating=False, module=view.__module__)
