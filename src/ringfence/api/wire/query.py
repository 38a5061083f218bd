"""The EC2 Query and AWS Query protocols, driven by the botocore service model for every operation.

Parsing: flat form parameters (`IpPermissions.1.FromPort=22`) → nested Python values by member name.
Serialising: a reply by member name → XML. Nothing here knows a particular operation.
Source: AWS query protocol and EC2 query protocol of the service models; botocore is the other side in the tests.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

from ringfence.api.ops.context import Memo, Params
from ringfence.model.errors import fault

# ---------------------------------------------------------------------- parsing
_Tree = dict[str, Any]  # path segment -> subtree; the key "" holds a leaf's text
#: characters XML 1.0 cannot carry: they could never be shown back
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
MAX_DEPTH = 16


def build_tree(pairs: list[tuple[str, str]]) -> _Tree:
    """Dotted parameter names as a tree. ApiError for a name given twice or nested too deep."""
    root: _Tree = {}
    for name, value in pairs:
        node, parts = root, name.split(".")
        if len(parts) > MAX_DEPTH:
            raise fault("UnknownParameter", name=name[:200])
        for part in parts:
            node = node.setdefault(part, {})
        if "" in node:
            raise fault("MalformedQueryString", message=f"The parameter {name[:200]} is given more than once")
        node[""] = value
    return root


class QueryParser:
    """Parses the requests of one service. `ec2` selects the EC2 flavour of names and lists."""

    def __init__(self, *, ec2: bool) -> None:
        self.ec2 = ec2
        self._tables: dict[int, tuple[Any, dict[str, tuple[str, Any]], dict[str, str]]] = {}

    def parse(self, shape: Any | None, tree: _Tree) -> dict[str, Any]:
        """Parameters by member name. ApiError: UnknownParameter, MissingParameter, InvalidParameterValue."""
        if shape is None:
            if tree:
                raise fault("UnknownParameter", name=next(iter(tree)))
            return {}
        parsed: dict[str, Any] = self._structure(shape, tree, "")
        return parsed

    def _members(self, shape: Any) -> tuple[dict[str, tuple[str, Any]], dict[str, str]]:
        """wire name -> (member, shape), and member -> wire name."""
        known = self._tables.get(id(shape))
        if known is None:
            by_wire = {self._wire_name(member, name): (name, member) for name, member in shape.members.items()}
            known = (shape, by_wire, {name: wire for wire, (name, _) in by_wire.items()})
            self._tables[id(shape)] = known
        return known[1], known[2]

    def _wire_name(self, shape: Any, default: str) -> str:
        serialization = shape.serialization
        if not self.ec2:
            return str(serialization.get("name", default))
        if "queryName" in serialization:
            return str(serialization["queryName"])
        name = serialization.get("name")
        return name[0].upper() + name[1:] if name else default

    def _structure(self, shape: Any, tree: _Tree, path: str) -> dict[str, Any]:
        by_wire, wire_names = self._members(shape)
        out: dict[str, Any] = {}
        for wire, subtree in tree.items():
            if wire == "" and tree[""] == "" and path:
                continue  # an empty structure is sent as `Name=`
            if wire not in by_wire:
                raise fault("UnknownParameter", name=(path + wire).rstrip(".")[:200])
            name, member = by_wire[wire]
            out[name] = self._value(member, subtree, f"{path}{wire}")
        for name in shape.required_members:
            if name not in out:
                raise fault("MissingParameter", name=path + wire_names[name])
        return out

    def _value(self, shape: Any, tree: _Tree, path: str) -> Any:
        kind = shape.type_name
        if kind == "structure":
            return self._structure(shape, tree, path + ".")
        if kind == "list":
            return self._list(shape, tree, path)
        if kind == "map":
            return self._map(shape, tree, path)
        if set(tree) != {""}:
            raise fault("UnknownParameter", name=f"{path}.{next(k for k in tree if k)}"[:200])
        return _SCALARS[kind](tree[""], path, shape)

    def _list(self, shape: Any, tree: _Tree, path: str) -> list[Any]:
        if set(tree) == {""}:
            if tree[""] == "":
                return []
            raise fault("UnknownParameter", name=path)
        if not self.ec2 and not shape.serialization.get("flattened"):
            inner = shape.member.serialization.get("name", "member")
            if set(tree) != {inner}:
                raise fault("UnknownParameter", name=f"{path}.{next(k for k in tree if k != inner)}"[:200])
            tree, path = tree[inner], f"{path}.{inner}"
        return [self._value(shape.member, tree[index], f"{path}.{index}") for index in _indices(tree, path)]

    def _map(self, shape: Any, tree: _Tree, path: str) -> dict[str, Any]:
        if not shape.serialization.get("flattened"):
            if set(tree) != {"entry"}:
                raise fault("UnknownParameter", name=f"{path}.{next(k for k in tree if k != 'entry')}"[:200])
            tree, path = tree["entry"], f"{path}.entry"
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        out: dict[str, Any] = {}
        for index in _indices(tree, path):
            entry = tree[index]
            if not set(entry) <= {key_name, value_name} or key_name not in entry:
                raise fault("UnknownParameter", name=f"{path}.{index}"[:200])
            key = self._value(shape.key, entry[key_name], f"{path}.{index}.{key_name}")
            out[key] = self._value(shape.value, entry.get(value_name, {"": ""}), f"{path}.{index}.{value_name}")
        return out


def _indices(tree: _Tree, path: str) -> list[str]:
    """List indices in numeric order."""
    for index in tree:
        if not (index.isascii() and index.isdigit() and len(index) <= 9):
            raise fault("UnknownParameter", name=f"{path}.{index}".rstrip(".")[:200])
    return sorted(tree, key=int)


def _invalid(path: str, text: str, what: str) -> Exception:
    shown = _UNPRINTABLE.sub("?", text[:100])
    return fault("InvalidParameterValue", message=f"Invalid value '{shown}' for parameter {path}: {what}")


def _string(text: str, path: str, shape: Any) -> str:
    if _UNPRINTABLE.search(text):
        raise _invalid(path, text, "it contains characters that are not allowed")
    enum = shape.metadata.get("enum")
    if enum and text not in enum:
        raise fault("InvalidParameterValue", message=f"Value ({text[:200]}) for parameter {path} is invalid.")
    return text


def _integer(text: str, path: str, shape: Any) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise _invalid(path, text, "an integer is expected")
    value = int(text)
    bits = 31 if shape.type_name == "integer" else 63
    if not -(1 << bits) <= value < (1 << bits):
        raise _invalid(path, text, "the integer is out of range")
    return value


def _float(text: str, path: str, _shape: Any) -> float:
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text):
        raise _invalid(path, text, "a number is expected")
    return float(text)


def _boolean(text: str, path: str, _shape: Any) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise _invalid(path, text, "a boolean is expected")
    return lowered == "true"


def _timestamp(text: str, path: str, _shape: Any) -> datetime:
    try:
        value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise _invalid(path, text, "a timestamp is expected") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _blob(text: str, path: str, _shape: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid(path, text, "base64 is expected") from None


_SCALARS: dict[str, Callable[[str, str, Any], Any]] = {
    "string": _string, "character": _string, "integer": _integer, "long": _integer, "float": _float,
    "double": _float, "boolean": _boolean, "timestamp": _timestamp, "blob": _blob,
}  # fmt: skip

# ---------------------------------------------------------------------- serialising
_Write = Callable[[Any, list[str]], None]  # (value, pieces)


class XmlSerializer:
    """Serialises replies of one service; writers are compiled once per shape. Memo structures are remembered.

    KeyError for a member the model does not have: a bug of the operation, found by its tests.
    """

    def __init__(self, *, memo_bytes: int = 64 << 20) -> None:
        self._writers: dict[int, tuple[Any, _Write]] = {}
        self._memo: OrderedDict[tuple[int, str, int], tuple[Any, str]] = OrderedDict()
        self._memo_size, self._memo_limit = 0, memo_bytes

    def members(self, shape: Any | None, reply: Params) -> str:
        """The XML of a reply's members, without an enclosing element."""
        if shape is None:
            if reply:
                raise KeyError(next(iter(reply)))
            return ""
        pieces: list[str] = []
        self._writer(shape)(reply, pieces)
        return "".join(pieces)

    def _writer(self, shape: Any) -> _Write:
        known = self._writers.get(id(shape))
        if known is None:
            # recursion in shapes: enter a forwarding writer first
            box: list[_Write] = []
            self._writers[id(shape)] = (shape, lambda value, pieces: box[0](value, pieces))
            box.append(self._compile(shape))
            known = self._writers[id(shape)] = (shape, box[0])
        return known[1]

    def _compile(self, shape: Any) -> _Write:
        kind = shape.type_name
        if kind == "structure":
            return self._structure(shape)
        if kind == "list":
            return self._list(shape)
        if kind == "map":
            return self._map(shape)
        text = _TEXTS[kind]
        return lambda value, pieces: pieces.append(text(value))

    def _structure(self, shape: Any) -> _Write:
        table: dict[str, tuple[str, str, _Write]] = {}
        for name, member in shape.members.items():
            flat = member.type_name in ("list", "map") and member.serialization.get("flattened")
            tag = member.serialization.get("name", name)
            opening, closing = ("", "") if flat else (f"<{tag}>", f"</{tag}>")
            table[name] = (opening, closing, self._flat(member, name) if flat else self._writer(member))
        remember = self._remembered

        def write(value: Any, pieces: list[str]) -> None:
            if type(value) is Memo:
                pieces.append(remember(shape, value, write))
                return
            for name, item in value.items():
                opening, closing, inner = table[name]
                if item is None:
                    continue
                pieces.append(opening)
                inner(item, pieces)
                pieces.append(closing)

        return write

    def _list(self, shape: Any) -> _Write:
        tag = shape.member.serialization.get("name", "member")
        opening, closing, inner = f"<{tag}>", f"</{tag}>", self._writer(shape.member)

        def write(value: Any, pieces: list[str]) -> None:
            for item in value:
                pieces.append(opening)
                inner(item, pieces)
                pieces.append(closing)

        return write

    def _flat(self, shape: Any, name: str) -> _Write:
        """A flattened list or map: its items stand directly in the enclosing structure."""
        if shape.type_name == "list":
            tag = shape.member.serialization.get("name", shape.serialization.get("name", name))
            opening, closing, inner = f"<{tag}>", f"</{tag}>", self._writer(shape.member)

            def write(value: Any, pieces: list[str]) -> None:
                for item in value:
                    pieces.append(opening)
                    inner(item, pieces)
                    pieces.append(closing)

            return write
        return self._entries(shape, shape.serialization.get("name", name))

    def _map(self, shape: Any) -> _Write:
        return self._entries(shape, "entry")

    def _entries(self, shape: Any, tag: str) -> _Write:
        key_tag = shape.key.serialization.get("name", "key")
        value_tag = shape.value.serialization.get("name", "value")
        key_writer, value_writer = self._writer(shape.key), self._writer(shape.value)

        def write(value: Any, pieces: list[str]) -> None:
            for key, item in value.items():
                pieces.append(f"<{tag}><{key_tag}>")
                key_writer(key, pieces)
                pieces.append(f"</{key_tag}><{value_tag}>")
                value_writer(item, pieces)
                pieces.append(f"</{value_tag}></{tag}>")

        return write

    def _remembered(self, shape: Any, memo: Memo, write: _Write) -> str:
        key = (id(shape), memo.tag, id(memo.row))
        held = self._memo.get(key)
        if held is not None:
            return held[1]
        pieces: list[str] = []
        write(memo.fill(), pieces)
        text = "".join(pieces)
        # the row is held with its text: while it is, its id() cannot be another row's
        self._memo[key] = (memo.row, text)
        self._memo_size += len(text)
        while self._memo_size > self._memo_limit:
            try:
                _, (_, old) = self._memo.popitem(last=False)
            except KeyError:  # another thread emptied it first
                break
            self._memo_size -= len(old)
        return text


def _time_text(value: datetime | str) -> str:
    if isinstance(value, str):
        return escape(value)
    value = value.astimezone(UTC)
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def _blob_text(value: bytes | str) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return base64.b64encode(raw).decode()


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


_TEXTS: dict[str, Callable[[Any], str]] = {
    "string": lambda value: escape(str(value)), "character": escape, "integer": str, "long": str, "float": repr,
    "double": repr, "boolean": _bool_text, "timestamp": _time_text, "blob": _blob_text,
}  # fmt: skip
