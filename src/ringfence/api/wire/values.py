"""Values of the JSON and CBOR protocols: what a document holds → parameters by member name, and replies back, driven by the model.

A dialect tells how the scalars look that JSON has no form of its own for: timestamps and binary data. Nothing here
knows a particular operation. botocore is the other side in the tests.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from ringfence.api.ops.context import Memo, Params
from ringfence.model.errors import ApiError, fault

MAX_DEPTH = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wire_name(member: Any, name: str) -> str:
    """The name a member has on the wire."""
    return str(member.serialization.get("name", name))


def invalid(path: str, what: str) -> ApiError:
    """A value of the wrong type."""
    return fault("SerializationException", message=f"The value of {path or 'the document'} is not valid: {what}")


# ---------------------------------------------------------------------- scalars
def timestamp_of(number: Any, path: str) -> datetime:
    """Seconds since 1970 → a moment. ApiError when it is no number or outside the years 1 to 9999."""
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise invalid(path, "seconds since 1970 are expected")
    try:
        return _EPOCH + timedelta(microseconds=round(number * 1_000_000))
    except OverflowError:
        raise invalid(path, "the time is out of range") from None


def epoch(moment: datetime) -> float | int:
    """A moment as seconds since 1970, to the millisecond; a whole number where it is one."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return milliseconds // 1000 if milliseconds % 1000 == 0 else milliseconds / 1000


def iso8601(moment: datetime) -> str:
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment.microsecond // 1000:03d}Z" if moment.microsecond >= 1000 else f"{text}Z"


def text_timestamp(text: Any, path: str) -> datetime:
    """ISO 8601 or RFC 7231 text → a moment."""
    if not isinstance(text, str):
        raise invalid(path, "a timestamp is expected")
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            value = read(text)
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        except (ValueError, OverflowError, TypeError, IndexError):
            continue
    raise invalid(path, "a timestamp is expected")


def timestamp_text(moment: datetime, form: str) -> str | float | int:
    """A moment in a `timestampFormat` of the models: `iso8601`, `rfc822` or `unixTimestamp`."""
    if form == "rfc822":
        return format_datetime(moment.astimezone(UTC), usegmt=True)
    return epoch(moment) if form == "unixTimestamp" else iso8601(moment)


def base64_bytes(text: Any, path: str) -> bytes:
    if not isinstance(text, str):
        raise invalid(path, "base64 is expected")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid(path, "base64 is expected") from None


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a protocol writes timestamps (by default) and binary data."""

    read_time: Callable[[Any, str], datetime]
    write_time: Callable[[datetime], Any]
    read_blob: Callable[[Any, str], bytes]
    write_blob: Callable[[bytes], Any]


JSON = Dialect(timestamp_of, epoch, base64_bytes, lambda raw: base64.b64encode(raw).decode())


# ---------------------------------------------------------------------- requests
class Reader:
    """Reads the values of one protocol. ApiError SerializationException (types) or ValidationException (members)."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def structure(
        self, shape: Any, document: Any, path: str = "", *, skip: frozenset[str] = frozenset()
    ) -> dict[str, Any]:
        """Parameters by member name. `skip`: members that stand elsewhere in the request; they are not asked for."""
        if not isinstance(document, dict):
            raise invalid(path, "a structure is expected")
        if path.count(".") > MAX_DEPTH:
            raise invalid(path[:100], "it is nested too deeply")
        by_wire = {
            wire_name(member, name): (name, member) for name, member in shape.members.items() if name not in skip
        }
        out: dict[str, Any] = {}
        for wire, value in document.items():
            if wire not in by_wire:
                raise fault(
                    "ValidationException", message=f"Unknown parameter in input: {f'{path}.{wire}'.lstrip('.')[:200]}"
                )
            name, member = by_wire[wire]
            if value is not None:
                out[name] = self.value(member, value, f"{path}.{wire}".lstrip("."))
        require(shape, out, path, skip)
        return out

    def value(self, shape: Any, value: Any, path: str) -> Any:
        """One value of any shape."""
        kind = shape.type_name
        if kind == "structure":
            return value if getattr(shape, "is_document_type", False) else self.structure(shape, value, path)
        if kind == "list":
            if not isinstance(value, list):
                raise invalid(path, "a list is expected")
            items = (
                self.value(shape.member, item, f"{path}.{n}") for n, item in enumerate(value, 1) if item is not None
            )
            return list(items)
        if kind == "map":
            if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
                raise invalid(path, "a map is expected")
            return {
                key: self.value(shape.value, item, f"{path}.{key[:64]}")
                for key, item in value.items()
                if item is not None
            }
        return self._scalar(kind, shape, value, path)

    def _scalar(self, kind: str, shape: Any, value: Any, path: str) -> Any:
        if kind == "timestamp":
            form = shape.serialization.get("timestampFormat")
            if form in ("iso8601", "rfc822"):
                return text_timestamp(value, path)
            return self._dialect.read_time(value, path)
        if kind == "blob":
            return self._dialect.read_blob(value, path)
        return _SCALARS[kind](value, path, shape)


def require(shape: Any, given: Params, path: str, skip: frozenset[str] = frozenset()) -> None:
    """ApiError ValidationException when a required member is missing."""
    missing = [name for name in shape.required_members if name not in given and name not in skip]
    if missing:
        place = f"{path}.{missing[0]}".lstrip(".")
        text = f"1 validation error detected: Value null at '{place}' failed to satisfy constraint: Member must not be null"
        raise fault("ValidationException", message=text)


def _string(value: Any, path: str, shape: Any) -> str:
    if not isinstance(value, str):
        raise invalid(path, "a string is expected")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise invalid(path, "it is not Unicode text")
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        text = (
            f"1 validation error detected: Value '{value[:100]}' at '{path}' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{', '.join(enum)}]"
        )
        raise fault("ValidationException", message=text)
    return value


def _integer(value: Any, path: str, shape: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value % 1 != 0:
        raise invalid(path, "an integer is expected")
    bits = 31 if shape.type_name == "integer" else 63
    if not -(1 << bits) <= value < (1 << bits):
        raise invalid(path, "the integer is out of range")
    return int(value)


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _float(value: Any, path: str, _shape: Any) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise invalid(path, "a number is expected")
    try:
        return float(value)
    except OverflowError:
        raise invalid(path, "the number is out of range") from None


def _boolean(value: Any, path: str, _shape: Any) -> bool:
    if not isinstance(value, bool):
        raise invalid(path, "a boolean is expected")
    return value


_SCALARS: dict[str, Callable[[Any, str, Any], Any]] = {
    "string": _string, "character": _string, "integer": _integer, "long": _integer, "float": _float,
    "double": _float, "boolean": _boolean,
}  # fmt: skip


# ---------------------------------------------------------------------- replies
class Writer:
    """Turns replies into what the protocol's encoder takes. KeyError for a member the model does not have."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def structure(self, shape: Any, reply: Any) -> dict[str, Any]:
        """A document by wire name; members that are None are left out."""
        members = reply.fill() if isinstance(reply, Memo) else reply
        return {
            wire_name(shape.members[name], name): self.value(shape.members[name], value)
            for name, value in members.items()
            if value is not None
        }

    def value(self, shape: Any, value: Any) -> Any:
        """One value of any shape."""
        kind = shape.type_name
        if kind == "structure":
            return value if getattr(shape, "is_document_type", False) else self.structure(shape, value)
        if kind == "list":
            return [self.value(shape.member, item) for item in value]
        if kind == "map":
            return {key: self.value(shape.value, item) for key, item in value.items()}
        if kind == "timestamp":
            form = shape.serialization.get("timestampFormat")
            return timestamp_text(value, form) if form else self._dialect.write_time(value)
        if kind == "blob":
            return self._dialect.write_blob(value)
        return value
