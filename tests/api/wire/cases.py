"""Generated requests and replies for any shape of a service model, and botocore as the other side of the wire."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import botocore.parsers
import botocore.serialize

from ringfence.api.wire.query import QueryParser, build_tree
from ringfence.api.wire.xml import XmlSerializer, document

#: what breaks careless codecs: XML's own characters, line ends, spaces at the ends, several scripts, form separators
AWKWARD = (
    "plain",
    "a<b>&c;\"d'",
    " lead and trail ",
    "x=1&y=2+3%41",
    "ünïcødé 日本 🚀",
    "line\nfeed\ttab",
    "cr\r\nlf",
    ".dot.",
)


#: shapes with a pattern, and a text that fits it
PATTERNED = {
    "AccountID": "123456789012", "AllowedInstanceType": "t3.*", "ExcludedInstanceType": "t2.*",
    "FlexCostAllocationCidrLabel": "label", "FlexCostAllocationPolicyAssociationId": "fcapassoc-0123456789abcdef0",
    "FlexCostAllocationPolicyId": "fcap-0123456789abcdef0", "IpAddress": "192.0.2.1", "LaunchTemplateName": "template",
    "OutpostArn": "arn:aws:outposts:us-east-1:123456789012:outpost/op-0123456789abcdef0",
    "PlacementGroupArn": "arn:aws:ec2:us-east-1:123456789012:placement-group/name",
    "SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:name",
}  # fmt: skip


class Cases:
    """A deterministic source of values. Lists hold up to 13 items near the top (so that 10 and 11 must follow 9), deeper 2."""

    def __init__(self, seed: str, *, sparse: bool) -> None:
        self._random = random.Random(seed)
        self._sparse, self._count = sparse, 0

    def value(self, shape: Any, above: tuple[str, ...] = ()) -> Any:
        make = getattr(self, "_" + shape.type_name, None)
        return make(shape, above) if make else _SCALARS[shape.type_name](self, shape)

    def _structure(self, shape: Any, above: tuple[str, ...]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if shape.name in above or not shape.members:
            return out
        kept = {*shape.required_members, self._random.choice(list(shape.members))}  # never an empty structure
        for name, member in shape.members.items():
            if self._sparse and name not in kept and self._random.random() < 0.5:
                continue
            value = self.value(member, (*above, shape.name))
            if value not in ({}, []):  # nothing of these goes over the wire
                out[name] = value
        return out

    def _list(self, shape: Any, above: tuple[str, ...]) -> list[Any]:
        longest = 13 if len(above) <= 1 else 2
        longest = min(longest, shape.metadata.get("max", longest))
        count = self._random.choice((1, longest)) if self._sparse else longest
        items = [self.value(shape.member, above) for _ in range(max(count, shape.metadata.get("min", 0)))]
        return [item for item in items if item != {}]

    def _map(self, shape: Any, above: tuple[str, ...]) -> dict[str, Any]:
        return {self.value(shape.key, above): self.value(shape.value, above) for _ in range(12)}

    def serial(self) -> int:
        """A number no other value of this case has."""
        self._count += 1
        return self._count

    def text(self, shape: Any) -> str:
        if shape.metadata.get("enum"):
            return str(self._random.choice(shape.metadata["enum"]))
        if shape.metadata.get("pattern") and shape.name in PATTERNED:
            return PATTERNED[shape.name]
        text = f"{self._random.choice(AWKWARD)}{self.serial()}"
        return text.ljust(shape.metadata.get("min", 0), "x")[-shape.metadata.get("max", len(text) + 99) :]

    def pick(self, *values: Any) -> Any:
        return self._random.choice(values)

    def number(self, shape: Any, *values: Any) -> Any:
        """One of the values, moved into the range the model declares."""
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        value = self.pick(*values)
        value = value if low is None else max(value, low)
        return value if high is None else min(value, high)


_SCALARS: dict[str, Any] = {
    "string": Cases.text,
    "character": lambda cases, _: cases.pick("a", "&", "<"),
    "integer": lambda cases, shape: cases.number(shape, 0, -1, 2**31 - 1, -(2**31), cases.serial()),
    "long": lambda cases, shape: cases.number(shape, 0, 2**63 - 1, -(2**63), cases.serial()),
    "float": lambda cases, shape: cases.number(shape, 0.5, -1.25e-7, 3.0e20, cases.serial() + 0.25),
    "double": lambda cases, shape: cases.number(shape, 0.5, -1.25e-7, 3.0e20, cases.serial() + 0.25),
    "boolean": lambda cases, _: cases.pick(True, False),
    "timestamp": lambda cases, _: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(
        seconds=cases.serial(), milliseconds=cases.pick(0, 678)),
    "blob": lambda cases, _: f"\x00\xff{cases.serial()}".encode("latin-1"),
}  # fmt: skip


def protocol_of(operation: Any) -> str:
    return str(operation.service_model.metadata["protocol"])


def sent(operation: Any, params: dict[str, Any]) -> list[tuple[str, str]]:
    """The form parameters botocore sends, as text, in an order that is not that of the lists."""
    serializer = botocore.serialize.create_serializer(protocol_of(operation), include_validation=False)
    body = serializer.serialize_to_request(params, operation)["body"]
    pairs = [(name, str(value)) for name, value in body.items() if name not in ("Action", "Version")]
    return sorted(pairs, reverse=True)


def parsed(
    operation: Any, pairs: list[tuple[str, str]], parser: type[Any] = QueryParser, tree: Any = build_tree
) -> Any:
    """What our side makes of them."""
    ours = parser(ec2=protocol_of(operation) == "ec2", limits=False)
    return ours.parse(operation.input_shape, tree(pairs))


def written(
    operation: Any, reply: dict[str, Any], serializer: type[Any] = XmlSerializer, whole: Any = document
) -> bytes:
    """The reply our side sends."""
    protocol = protocol_of(operation)
    body = serializer().result(protocol, operation, reply)
    return bytes(whole(protocol, operation.name, "http://example.com/doc/", body, "request-1"))


def read(operation: Any, body: bytes) -> dict[str, Any]:
    """What botocore makes of it, request id included."""
    parser = botocore.parsers.create_parser(protocol_of(operation))
    response = {"status_code": 200, "headers": {}, "body": body}
    return dict(parser.parse(response, operation.output_shape))


def misnamed(operation: Any, body: bytes) -> list[str]:
    """List items whose element has another name than the model's: botocore takes any name, other SDKs do not."""
    root = ElementTree.fromstring(body)
    shape = operation.output_shape
    if shape is None:
        return []
    wrapper = shape.serialization.get("resultWrapper")
    node = root if wrapper is None else next(child for child in root if _bare(child) == wrapper)
    return _misnamed(shape, node)


def _bare(node: Any) -> str:
    return str(node.tag.rpartition("}")[2])


def _misnamed(shape: Any, node: Any) -> list[str]:
    if shape.type_name == "list":
        wanted = shape.member.serialization.get("name", "member")
        wrong = [_bare(child) for child in node if _bare(child) != wanted]
        return wrong + [bad for child in node for bad in _misnamed(shape.member, child)]
    if shape.type_name != "structure":
        return []
    found: list[str] = []
    for name, member in shape.members.items():
        flat = member.serialization.get("flattened")
        for child in node:
            if not flat and _bare(child) == member.serialization.get("name", name):
                found += _misnamed(member, child)
    return found
