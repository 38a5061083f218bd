"""Rows as JSON and back: frozen dataclasses, addresses, networks, enums, tuples, frozensets, bytes.

Encoders and decoders are built once per type from its annotations. A field missing in stored data takes its default, so
that rows may grow; an unknown field is an error, so that nothing is lost silently by an older version.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import types
import typing
from collections.abc import Callable
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

_Code = Callable[[Any], Any]
_ADDRESSES = {IPv4Address, IPv6Address}
_NETWORKS = {IPv4Network, IPv6Network}


def encode(row: Any) -> str:
    """A dataclass instance as compact JSON."""
    return json.dumps(encoder(row.__class__)(row), separators=(",", ":"))


def decode(kind: Any, text: str) -> Any:
    """The instance of `kind` that `encode` wrote. ValueError for an unknown field, TypeError for a missing or wrong one."""
    return decoder(kind)(json.loads(text))


def _same(value: Any) -> Any:
    return value


@cache
def encoder(kind: Any) -> _Code:
    """The encoder of a type."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_encoder(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _optional(args, encoder)
    if origin in (tuple, frozenset):
        return _sequence_encoder(origin, args)
    if kind in _ADDRESSES or kind in _NETWORKS:
        return str
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode()
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return lambda value: value.value
    if kind in (str, int, bool, float):
        return _same
    raise TypeError(f"no encoder for {kind!r}")


def _dataclass_encoder(kind: Any) -> _Code:
    hints = typing.get_type_hints(kind)
    fields = [(field.name, encoder(hints[field.name]), _default(field)) for field in dataclasses.fields(kind)]

    def encode_row(row: Any) -> dict[str, Any]:
        out = {}
        for name, code, default in fields:
            value = getattr(row, name)
            if value is not default:
                out[name] = value if code is _same else code(value)
        return out

    return encode_row


_NO_DEFAULT = object()


def _default(field: Any) -> Any:
    """A default worth leaving out: only immutable singletons, compared by identity."""
    if field.default in (None, True, False, ()) and field.default is not dataclasses.MISSING:
        return field.default
    return _NO_DEFAULT


def _optional(args: tuple[Any, ...], build: Callable[[Any], _Code]) -> _Code:
    kinds = [arg for arg in args if arg is not type(None)]
    if set(kinds) <= _ADDRESSES:
        inner: _Code = str if build is encoder else _from_text(ip_address)
    elif set(kinds) <= _NETWORKS:
        inner = str if build is encoder else _from_text(ip_network)
    elif len(kinds) == 1:
        inner = build(kinds[0])
    else:
        raise TypeError(f"no code for a union of {kinds}")
    if len(kinds) == len(args) or inner is _same:
        return inner
    return lambda value: None if value is None else inner(value)


def _sequence_encoder(origin: Any, args: tuple[Any, ...]) -> _Code:
    if origin is frozenset:
        inner = encoder(args[0])
        return lambda value: sorted((inner(item) for item in value), key=str)
    if len(args) == 2 and args[1] is ...:
        inner = encoder(args[0])
        return (lambda value: list(value)) if inner is _same else (lambda value: [inner(item) for item in value])
    codes = [encoder(arg) for arg in args]
    return lambda value: [code(item) for code, item in zip(codes, value, strict=True)]


@cache
def decoder(kind: Any) -> _Code:
    """The decoder of a type."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_decoder(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _optional(args, decoder)
    if origin is frozenset:
        inner = decoder(args[0])
        return lambda value: frozenset(inner(item) for item in _list(value))
    if origin is tuple:
        return _tuple_decoder(args)
    if kind is bytes:
        return _from_text(lambda text: base64.b64decode(text, validate=True))
    if kind in _ADDRESSES or kind in _NETWORKS:
        return _from_text(kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind
    if kind in (str, int, bool, float):
        return _exactly(kind)
    raise TypeError(f"no decoder for {kind!r}")


def _exactly(kind: type) -> _Code:
    """JSON's own types pass as they are; a value of another type is damage and must not get in."""
    kinds = (int, float) if kind is float else (kind,)

    def check(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"{value!r} is not of type {kind.__name__}")
        return value

    return check


def _from_text(parse: _Code) -> _Code:
    """Only text is parsed: the constructors of addresses take numbers as well."""
    check = _exactly(str)
    return lambda value: parse(check(value))


def _list(value: Any) -> Any:
    if type(value) is not list:
        raise TypeError(f"{value!r} is no list")
    return value


def _tuple_decoder(args: tuple[Any, ...]) -> _Code:
    if len(args) == 2 and args[1] is ...:
        inner = decoder(args[0])
        return lambda value: tuple(inner(item) for item in _list(value))
    codes = [decoder(arg) for arg in args]
    return lambda value: tuple(code(item) for code, item in zip(codes, _list(value), strict=True))


def _dataclass_decoder(kind: Any) -> _Code:
    hints = typing.get_type_hints(kind)
    codes = {field.name: decoder(hints[field.name]) for field in dataclasses.fields(kind)}

    def decode_row(data: dict[str, Any]) -> Any:
        if type(data) is not dict:
            raise TypeError(f"{data!r} is no {kind.__name__}")
        unknown = data.keys() - codes.keys()
        if unknown:
            raise ValueError(f"{kind.__name__} has no field {sorted(unknown)}: written by a newer version?")
        return kind(**{name: codes[name](value) for name, value in data.items()})

    return decode_row
