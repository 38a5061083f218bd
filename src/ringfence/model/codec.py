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
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from ringfence.model.net import network_text

_Code = Callable[[Any], Any]
_Write = Callable[[Any], str]
_ADDRESSES = {IPv4Address, IPv6Address}
_NETWORKS = {IPv4Network, IPv6Network}


def encode(row: Any) -> str:
    """A dataclass instance as compact JSON.

    The text of items in its tuples (rules, routes, entries) is remembered: the next version of a row has most of them again.
    """
    own, listed = _row_encoder(row.__class__)
    text = own(row)
    for name, code, default in listed:
        items = getattr(row, name)
        if items is not default:
            inner = ",".join([_texts.of(item, code) for item in items])
            text = f'{text[:-1]}{"," if len(text) > 2 else ""}"{name}":[{inner}]}}'
    return text


class _Texts:
    """JSON of immutable values by their identity: two generations, each of at most `limit`.

    INVARIANT: an entry holds its value, so the value's id() cannot become another's.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[int, tuple[Any, str]] = {}
        self._old: dict[int, tuple[Any, str]] = {}

    def of(self, value: Any, code: _Write) -> str:
        """Its text: remembered, or written now."""
        key = id(value)
        held = self._young.get(key)
        if held is None:
            held = self._old.get(key) or (value, code(value))
            if len(self._young) >= self._limit:
                self._old, self._young = self._young, {}
            self._young[key] = held
        return held[1]


_quoted: _Write = json.encoder.encode_basestring_ascii
_JSON = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_texts = _Texts(20_000)


@cache
def _row_encoder(kind: Any) -> tuple[_Write, list[tuple[str, _Write, Any]]]:
    """The writer of a dataclass but for its tuples of dataclasses, and the writers of their items by name."""
    hints = typing.get_type_hints(kind)
    listed = {name: item for name, hint in hints.items() if (item := _item_type(hint)) is not None}
    fields = dataclasses.fields(kind)
    own = _dataclass_writer(kind, [field.name for field in fields if field.name not in listed])
    return own, [(f.name, _item_writer(listed[f.name]), _default(f)) for f in fields if f.name in listed]


@cache
def _item_writer(kind: Any) -> _Write:
    return _dataclass_writer(kind, [field.name for field in dataclasses.fields(kind)])


def _dataclass_writer(kind: Any, names: list[str]) -> _Write:
    """What `_JSON(_dataclass_encoder(kind, names)(row))` gives, without the dictionary in between."""
    hints = typing.get_type_hints(kind)
    fields = [
        (field.name, f'"{field.name}":', _writer(hints[field.name]), _default(field))
        for field in dataclasses.fields(kind)
        if field.name in names
    ]

    def write(row: Any) -> str:
        out = []
        for name, key, code, default in fields:
            value = getattr(row, name)
            if value is not default:
                out.append(key + code(value))
        return "{" + ",".join(out) + "}"

    return write


def _writer(kind: Any) -> _Write:
    """The JSON of a field's value."""
    args = typing.get_args(kind)
    optional = typing.get_origin(kind) in (typing.Union, types.UnionType) and type(None) in args
    members = (
        set(args) - {type(None)} if args and typing.get_origin(kind) in (typing.Union, types.UnionType) else {kind}
    )
    if members == {str}:
        write: _Write = _quoted
    elif members == {int}:
        write = int.__repr__
    elif members == {bool}:
        write = {False: "false", True: "true"}.__getitem__
    elif members <= _NETWORKS:
        write = _quoted_network  # digits, letters, dots, colons and a slash: nothing to escape
    else:
        code = encoder(kind)
        return lambda value: _JSON(code(value))
    return (lambda value: "null" if value is None else write(value)) if optional else write


def _quoted_network(network: Any) -> str:
    return f'"{network_text(network)}"'


def _item_type(hint: Any) -> Any | None:
    """X of `tuple[X, ...]` when X is a dataclass."""
    args = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and len(args) == 2 and args[1] is ... and dataclasses.is_dataclass(args[0]):
        return args[0]
    return None


def decode(kind: Any, text: str) -> Any:
    """The instance of `kind` that `encode` wrote. ValueError for an unknown field, TypeError for a missing or wrong one."""
    return decoder(kind)(json.loads(text))


def _same(value: Any) -> Any:
    return value


@cache
def encoder(kind: Any) -> _Code:
    """The encoder of a type."""
    if dataclasses.is_dataclass(kind):
        return _dataclass_encoder(kind, [field.name for field in dataclasses.fields(kind)])
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _optional(args, encoder)
    if origin in (tuple, frozenset):
        return _sequence_encoder(origin, args)
    if kind in _NETWORKS:
        return network_text
    if kind in _ADDRESSES:
        return str
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode()
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return lambda value: value.value
    if kind in (str, int, bool, float):
        return _same
    raise TypeError(f"no encoder for {kind!r}")


def _dataclass_encoder(kind: Any, names: list[str]) -> _Code:
    hints = typing.get_type_hints(kind)
    fields = [
        (field.name, encoder(hints[field.name]), _default(field))
        for field in dataclasses.fields(kind)
        if field.name in names
    ]

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
        inner = network_text if build is encoder else _from_text(_block(ip_network))
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
    if kind in _ADDRESSES:
        return _from_text(kind)
    if kind in _NETWORKS:
        return _from_text(_block(kind))
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


@cache
def _block(parse: Any) -> _Code:
    """The same few blocks stand in most rules."""
    return lru_cache(8192)(parse)


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
