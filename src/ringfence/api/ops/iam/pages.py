"""Lists of IAM: Marker, MaxItems and IsTruncated; path prefixes; and how times and documents are written."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from ringfence.api.ops.context import Call, Params
from ringfence.model.errors import fault
from ringfence.model.nouns.identity import IamEntity

T = TypeVar("T")
E = TypeVar("E", bound=IamEntity)
PAGE = 100  # AWS: without MaxItems


def page(items: Sequence[T], params: Params, *, key: Callable[[T], str]) -> tuple[Sequence[T], dict[str, Any]]:
    """The items that Marker and MaxItems ask for, and the members that say whether there are more.

    The marker is the `key` of the last item seen: a list that changed meanwhile goes on after it.
    """
    start, limit = 0, params.get("MaxItems") or PAGE
    if params.get("Marker"):
        start = _after(params["Marker"], [key(item) for item in items])
    end = start + limit
    if end >= len(items):
        return items[start:], {"IsTruncated": False}
    marker = base64.urlsafe_b64encode(f"{end}/{key(items[end - 1])}".encode()).decode()
    return items[start:end], {"IsTruncated": True, "Marker": marker}


def _after(marker: str, keys: list[str]) -> int:
    try:
        position, slash, last = base64.urlsafe_b64decode(marker.encode()).decode().partition("/")
        number = int(position)
    except (ValueError, binascii.Error):
        raise fault("ValidationError", message="Invalid Marker.") from None
    if not slash or number < 0:
        raise fault("ValidationError", message="Invalid Marker.")
    return keys.index(last) + 1 if last in keys else min(number, len(keys))


def by_name(entities: Sequence[E], params: Params) -> list[E]:
    """Entities under PathPrefix, in the order of their names."""
    prefix = params.get("PathPrefix") or "/"
    return sorted((e for e in entities if e.path.startswith(prefix)), key=lambda e: e.name.lower())


def instant(time: float) -> str:
    """A time as IAM shows it: whole seconds, UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now(call: Call) -> float:
    """The call's moment in whole seconds: what is stored is what every later read shows."""
    return float(int(call.now.timestamp()))


def encoded(document: str) -> str:
    """AWS: policy documents in replies are URL-encoded (RFC 3986)."""
    return quote(document, safe="-_.~")
