"""Amazon's event stream encoding, `application/vnd.amazon.eventstream`: replies that come in messages (Smithy: "Amazon Event Stream
Specification"; AWS JSON 1.1 protocol, "Event streams").

A message is its length, the length of its headers and a checksum of both; headers, payload, and a checksum of all that. botocore's
parser is the other side in the tests.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Mapping
from typing import Any

from ringfence.api.wire import values
from ringfence.api.wire.rpc import json_text
from ringfence.api.wire.values import Writer

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_TWO, _ONE, _HEADER = struct.Struct(">II"), struct.Struct(">I"), struct.Struct(">BH")
_STRING = 7  # the type of a header's value
_OVERHEAD = 16  # two lengths, two checksums


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message. Headers are ASCII."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    lengths = _TWO.pack(_OVERHEAD + len(head) + len(payload), len(head))
    whole = lengths + _ONE.pack(crc32(lengths)) + head + payload
    return whole + _ONE.pack(crc32(whole))


def _header(name: str, value: str) -> bytes:
    raw = value.encode("ascii")
    return bytes((len(name),)) + name.encode("ascii") + _HEADER.pack(_STRING, len(raw)) + raw


class Messages:
    """The messages of an operation of AWS JSON 1.1, by the shape of its stream."""

    def __init__(self, operation: Any) -> None:
        """`operation`: botocore's OperationModel, of a reply with one event stream."""
        shape = operation.output_shape
        self._members: Mapping[str, Any] = shape.members[shape.event_stream_name].members
        self._type = f"application/x-amz-json-{operation.service_model.metadata['jsonVersion']}"
        self._writer = Writer(values.JSON)

    def initial(self) -> bytes:
        """What an RPC protocol begins with: the reply's other members, of which there are none."""
        return message(self._headers("event", "initial-response"), b"{}")

    def event(self, name: str, members: Mapping[str, Any]) -> bytes:
        """KeyError for what the model does not have."""
        return message(self._headers("event", name), self._payload(name, members))

    def exception(self, name: str, text: str) -> bytes:
        """The last message of a stream that ends with an error."""
        return message(self._headers("exception", name), self._payload(name, {"message": text}))

    def _headers(self, kind: str, name: str) -> dict[str, str]:
        return {":message-type": kind, f":{kind}-type": name, ":content-type": self._type}

    def _payload(self, name: str, members: Mapping[str, Any]) -> bytes:
        return json_text(self._writer.structure(self._members[name], members)).encode()
