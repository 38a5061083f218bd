"""A record of an import, read field by field: what nobody reads is reported by its name."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from ringfence.insight.imports.notes import Notes
from ringfence.model.net import Network, parse_network


class Damaged(Exception):
    """A record that cannot be what it says it is."""


class Record:
    """One JSON object. `shape`: where it stands, as `SecurityGroups.IpPermissions`; `element`: whose it is.

    Values of another type than asked for are Damaged. `done` reports the fields that nobody asked for.
    """

    def __init__(self, data: Any, shape: str, element: str = "") -> None:
        self.shape, self.element = shape, element
        if not isinstance(data, dict):
            raise Damaged(f"{shape} is {_kind(data)}, not an object")
        self.data: dict[str, Any] = data
        self._read: set[str] = set()
        self._inner: list[Record] = []

    def _get(self, key: str) -> Any:
        self._read.add(key)
        return self.data.get(key)

    def ignore(self, *keys: str) -> Record:
        """Fields that have no bearing on packets."""
        self._read.update(keys)
        return self

    def has(self, key: str) -> bool:
        """Is it there, and not null?"""
        return self.data.get(key) is not None

    def text(self, key: str) -> str | None:
        """A text; an empty one is none."""
        value = self._get(key)
        if value is None or isinstance(value, str):
            return value or None
        raise self._damaged(key, value, "text")

    def need(self, key: str) -> str:
        """A text that must be there."""
        value = self.text(key)
        if value is None:
            raise Damaged(f"{self.shape} has no {key}")
        return value

    def need_flag(self, key: str) -> bool:
        """True or false, which must be there: either way would be a guess."""
        if not self.has(key):
            raise Damaged(f"{self.shape} has no {key}")
        return self.flag(key)

    def need_list(self, key: str) -> None:
        """A list must be there, if only an empty one: EC2 always shows it."""
        if not self.has(key):
            raise Damaged(f"{self.shape} has no {key}")

    def number(self, key: str) -> int | None:
        """A whole number; digits in a text will do."""
        value = self._get(key)
        if isinstance(value, str) and value.lstrip("-").isdecimal():
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or value == "" or (isinstance(value, int) and not isinstance(value, bool)):
            return None if value == "" else value
        raise self._damaged(key, value, "a number")

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self._get(key)
        if value is None:
            return default
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise self._damaged(key, value, "true or false")

    def ipv4(self, key: str) -> IPv4Address | None:
        """An IPv4 address."""
        text = self.text(key)
        return None if text is None else self._parsed(key, text, IPv4Address)

    def ipv6(self, key: str) -> IPv6Address | None:
        """An IPv6 address."""
        text = self.text(key)
        return None if text is None else self._parsed(key, text, IPv6Address)

    def block(self, key: str) -> Network | None:
        """A CIDR block."""
        text = self.text(key)
        return None if text is None else self._parsed(key, text, parse_network)

    def ipv4_block(self, key: str) -> IPv4Network | None:
        """An IPv4 block."""
        found = self.block(key)
        if isinstance(found, IPv6Network):
            raise self._damaged(key, str(found), "an IPv4 block")
        return found

    def child(self, key: str) -> Record | None:
        """An object inside."""
        value = self._get(key)
        return None if value is None else self._made(value, key)

    def items(self, key: str) -> list[Record]:
        """A list of objects; none when it is not there."""
        return [self._made(value, key) for value in self._list(key)]

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        found = self._list(key)
        for value in found:
            if not isinstance(value, str):
                raise self._damaged(key, value, "text")
        return found

    def tags(self, key: str = "Tags") -> tuple[tuple[str, str], ...]:
        """Tags as EC2 lists them."""
        return tuple((tag.need("Key"), tag.text("Value") or "") for tag in self.items(key))

    def done(self, notes: Notes) -> None:
        """Report what nobody asked for, here and in the objects inside."""
        for key in self.data.keys() - self._read:
            notes.unknown_fields[f"{self.shape}.{key}"] += 1
        for inner in self._inner:
            inner.done(notes)

    # ------------------------------------------------------------------ inside
    def _list(self, key: str) -> list[Any]:
        value = self._get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._damaged(key, value, "a list")
        return value

    def _made(self, value: Any, key: str) -> Record:
        made = Record(value, f"{self.shape}.{key}", self.element)
        self._inner.append(made)
        return made

    def _parsed(self, key: str, text: str, parse: Any) -> Any:
        try:
            return parse(text)
        except ValueError as problem:
            raise Damaged(f"{self.shape}.{key}: {problem}") from None

    def _damaged(self, key: str, value: Any, wanted: str) -> Damaged:
        return Damaged(f"{self.shape}.{key} is {_kind(value)}, not {wanted}")


def _kind(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def unread(records: Iterator[Record] | list[Record], notes: Notes) -> None:
    """`done` of several."""
    for record in records:
        record.done(notes)
