"""Replies of the EC2 Query and AWS Query protocols: a reply by member name → XML, driven by the service model.

Nothing here knows a particular operation. botocore is the other side in the tests.
"""

from __future__ import annotations

import base64
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ringfence.api.ops.context import Filled, Form, Memo, Params
from ringfence.api.wire.text import escaped

#: text is str until it is remembered or sent; what is remembered is bytes, and is copied once, into the reply
_Pieces = list[str | bytes]
_Write = Callable[[Any, _Pieces], None]  # (value, pieces)


def joined(pieces: _Pieces) -> list[bytes]:
    """Pieces as bytes, neighbouring text made one."""
    out: list[bytes] = []
    run: list[str] = []
    for piece in pieces:
        if type(piece) is str:
            run.append(piece)
        else:
            if run:
                out.append("".join(run).encode())
                run.clear()
            out.append(piece)  # type: ignore[arg-type]
    if run:
        out.append("".join(run).encode())
    return out


class Fragments:
    """The text of Memo structures, least recently used out first; `limit` is in bytes.

    Keyed by the identity of the row. INVARIANT: an entry holds its row, so the row's id() cannot become another's.
    """

    def __init__(self, limit: int) -> None:
        self._held: OrderedDict[tuple[int, str, int], tuple[Any, bytes]] = OrderedDict()
        self._size, self._limit = 0, limit
        self._lock = threading.Lock()  # readers and the writer serialise at the same time

    def of(self, shape: Any, memo: Memo, write: _Write, opening: str = "", closing: str = "") -> bytes:
        """The structure's text between `opening` and `closing`, which belong to the shape: remembered, or written now."""
        key = (id(shape), memo.tag, id(memo.row))
        held = self._held.get(key)  # no lock: neither call runs any Python code, so nothing comes between
        if held is not None:
            with suppress(KeyError):  # it has just gone
                self._held.move_to_end(key)
            return held[1]
        pieces: _Pieces = [opening]
        write(memo.fill(), pieces)
        pieces.append(closing)
        text = b"".join(joined(pieces))
        with self._lock:
            self._keep(key, memo.row, text)
        return text

    def _keep(self, key: tuple[int, str, int], row: Any, text: bytes) -> None:
        old = self._held.pop(key, None)
        self._held[key] = (row, text)
        self._size += len(text) - (len(old[1]) if old else 0)
        while self._size > self._limit:
            _, (_, gone) = self._held.popitem(last=False)
            self._size -= len(gone)


class XmlSerializer:
    """Serialises replies of one service; writers are compiled once per shape. Memo structures are remembered.

    KeyError for a member the model does not have: a bug of the operation, found by its tests.
    """

    def __init__(self, *, memo_bytes: int = 64 << 20) -> None:
        self._writers: dict[int, tuple[Any, _Write]] = {}
        self._ready: dict[int, _Write] = {}  # complete writers: what a thread may use while another compiles
        self._compiling = threading.Lock()
        self._fragments = Fragments(memo_bytes)

    def members(self, shape: Any | None, reply: Params) -> list[bytes]:
        """The XML of a reply's members, without an enclosing element, in pieces."""
        if shape is None:
            if reply:
                raise KeyError(next(iter(reply)))
            return []
        write = self._ready.get(id(shape))
        if write is None:
            with self._compiling:
                write = self._ready[id(shape)] = self._writer(shape)
        pieces: _Pieces = []
        write(reply, pieces)
        return joined(pieces)

    def result(self, protocol: str, operation: Any, reply: Params) -> list[bytes]:
        """The part of a reply that depends on the operation: its members, in Query inside a result element; in pieces."""
        shape = operation.output_shape
        body = self.members(shape, reply)
        if protocol == "ec2":
            return body
        wrapper = (shape.serialization.get("resultWrapper") if shape is not None else None) or f"{operation.name}Result"
        return [f"<{wrapper}>".encode(), *body, f"</{wrapper}>".encode()]

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
        table: dict[str, tuple[str, str, _Write, Callable[[Any], str] | None]] = {}
        for name, member in shape.members.items():
            flat = member.type_name in ("list", "map") and member.serialization.get("flattened")
            tag = member.serialization.get("name", name)
            opening, closing = ("", "") if flat else (f"<{tag}>", f"</{tag}>")
            writer = self._flat(member, name) if flat else self._writer(member)
            table[name] = (opening, closing, writer, _TEXTS.get(member.type_name))
        fragments = self._fragments
        templates: dict[int, tuple[Form, str]] = {}  # forms are few and live as long as their module

        def write(value: Any, pieces: _Pieces) -> None:
            if type(value) is Filled:
                template = templates.get(id(value.form))
                if template is None:
                    template = templates[id(value.form)] = (value.form, _template(value.form, write))
                pieces.append(template[1] % value.values)
                return
            if type(value) is Memo:
                pieces.append(fragments.of(shape, value, write))
                return
            for name, item in value.items():
                opening, closing, inner, text = table[name]
                if item is None:
                    continue
                if text is not None:
                    pieces.append(opening + text(item) + closing)
                elif not item:  # an empty list or structure
                    pieces.append(opening + closing)
                else:
                    pieces.append(opening)
                    inner(item, pieces)
                    pieces.append(closing)

        return write

    def _list(self, shape: Any) -> _Write:
        tag = shape.member.serialization.get("name", "member")
        opening, closing, inner = f"<{tag}>", f"</{tag}>", self._writer(shape.member)
        fragments = self._fragments
        templates: dict[int, tuple[Form, str]] = {}

        def template_of(form: Form) -> str:
            held = templates[id(form)] = (form, opening + _template(form, inner) + closing)
            return held[1]

        def write(value: Any, pieces: _Pieces) -> None:
            for item in value:
                if type(item) is Filled:
                    held = templates.get(id(item.form))
                    pieces.append((held[1] if held is not None else template_of(item.form)) % item.values)
                    continue
                if type(item) is Memo:
                    written = item.written
                    if written is None or written[0] is not shape:
                        written = item.written = (shape, fragments.of(shape, item, inner, opening, closing))
                    pieces.append(written[1])
                    continue
                pieces.append(opening)
                inner(item, pieces)
                pieces.append(closing)

        return write

    def _flat(self, shape: Any, name: str) -> _Write:
        """A flattened list or map: its items stand directly in the enclosing structure."""
        if shape.type_name == "list":
            tag = shape.member.serialization.get("name", shape.serialization.get("name", name))
            opening, closing, inner = f"<{tag}>", f"</{tag}>", self._writer(shape.member)

            def write(value: Any, pieces: _Pieces) -> None:
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

        def write(value: Any, pieces: _Pieces) -> None:
            for key, item in value.items():
                pieces.append(f"<{tag}><{key_tag}>")
                key_writer(key, pieces)
                pieces.append(f"</{key_tag}><{value_tag}>")
                value_writer(item, pieces)
                pieces.append(f"</{value_tag}></{tag}>")

        return write


def _template(form: Form, write: _Write) -> str:
    """A form as the model has it, with `%s` for each value: written with marks in their place, in order."""
    marks = [f"\ue000{number}\ue001" for number in range(form.count)]
    pieces: _Pieces = []
    write(form.make(*marks), pieces)
    text = b"".join(joined(pieces)).decode().replace("%", "%%")
    if [int(mark) for mark in re.findall("\ue000([0-9]+)\ue001", text)] != list(range(form.count)):
        raise ValueError("a form must show each value once, in order")
    return re.sub("\ue000[0-9]+\ue001", "%s", text)


def _time_text(value: datetime | str) -> str:
    if isinstance(value, str):
        return escaped(value)
    value = value.astimezone(UTC)
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z"


def _blob_text(value: bytes | str) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return base64.b64encode(raw).decode()


def _string_text(value: Any) -> str:
    text = value if type(value) is str else str(value)
    return escaped(text) if _SPECIAL.search(text) else text


_SPECIAL = re.compile("[&<>\r]")


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


_TEXTS: dict[str, Callable[[Any], str]] = {
    "string": _string_text, "character": _string_text, "integer": str, "long": str, "float": repr,
    "double": repr, "boolean": _bool_text, "timestamp": _time_text, "blob": _blob_text,
}  # fmt: skip


def document(protocol: str, action: str, namespace: str, body: list[bytes], request_id: str) -> bytes:
    """The whole reply of an operation: `body` is what `XmlSerializer.result` gave."""
    if protocol == "ec2":
        first, last = f"<requestId>{request_id}</requestId>", ""
    else:
        first, last = "", f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{namespace}">{first}'
    return b"".join([head.encode(), *body, f"{last}</{action}Response>".encode()])
