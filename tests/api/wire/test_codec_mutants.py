"""Seeded faults in the codec: the round trip must find every one of them, or it proves nothing.

A mutant is the codec's own source with one small change. Two of these once survived a weaker generator: list indices in
text order, and `queryName` ignored.
"""

from __future__ import annotations

import importlib.util
import inspect
from types import ModuleType
from typing import Any

import pytest

from ringfence.api.wire import model, query, xml
from tests.api.wire.cases import Cases, misnamed, parsed, read, sent, written
from tests.sampling import part

#: name -> (module, original text, changed text)
MUTANTS: dict[str, tuple[ModuleType, str, str]] = {
    "list indices in text order": (query, "return sorted(tree, key=int)", "return sorted(tree)"),
    "list order as sent": (query, "return sorted(tree, key=int)", "return list(tree)"),
    "queryName ignored": (query, 'if "queryName" in serialization:', "if False:"),
    "location names not capitalised": (query, "name[0].upper() + name[1:] if name else default", "name or default"),
    "Query lists without .member": (query, 'not self.ec2 and not shape.serialization.get("flattened")', "False"),
    "EC2 lists with .member": (query, "if not self.ec2 and not shape", "if not shape"),
    "map keys and values exchanged": (query, 'shape.key.serialization.get("name", "key")', '"value"'),
    "flattened lists under the wrong name": (query, "str(own or serialization", "str(serialization"),
    "timestamps lose their fraction": (
        query, "return value.astimezone(UTC) if", "return value.astimezone(UTC).replace(microsecond=0) if"),
    "blobs not decoded": (query, "return base64.b64decode(text, validate=True)", "return text.encode()"),
    "every boolean true": (query, 'return lowered == "true"', "return True"),
    "32-bit range for long": (query, 'bits = 31 if shape.type_name == "integer" else 63', "bits = 31"),
    "strings trimmed": (query, "    return text\n\n\ndef _integer", "    return text.strip()\n\n\ndef _integer"),
    "member names instead of location names in replies": (xml, 'tag = member.serialization.get("name", name)\n', "tag = name\n"),
    "list items always <member>": (xml, 'tag = shape.member.serialization.get("name", "member")\n', 'tag = "member"\n'),
    "list items always <item>": (xml, 'tag = shape.member.serialization.get("name", "member")\n', 'tag = "item"\n'),
    "text not escaped": (xml, "escaped(text) if _SPECIAL.search(text) else text", "text"),
    "blobs not encoded": (xml, "return base64.b64encode(raw).decode()", "return raw.decode('latin-1')"),
    "Python's booleans": (xml, 'return "true" if value else "false"', "return str(value)"),
    "reply timestamps lose their fraction": (xml, "value.microsecond // 1000:03d", "0:03d"),
    "last item of a list lost": (xml, "for item in value:", "for item in value[:-1] or value:"),
    "false members left out": (xml, "if item is None:", "if not item:"),
    "no result element": (xml, 'return [f"<{wrapper}>".encode(), *body, f"</{wrapper}>".encode()]', "return body"),
    "request id of EC2 in Query's place": (xml, 'if protocol == "ec2":\n        first', "if False:\n        first"),
    "flattened lists of replies nested": (
        xml, 'flat = member.type_name in ("list", "map") and member.serialization.get("flattened")', "flat = False"),
}  # fmt: skip


def _mutated(original: ModuleType, old: str, new: str) -> Any:
    source = inspect.getsource(original)
    assert old in source, f"the mutant no longer applies: {old!r}"
    spec = importlib.util.spec_from_loader("mutant", loader=None)
    assert spec is not None
    mutant = importlib.util.module_from_spec(spec)
    exec(compile(source.replace(old, new), f"{original.__name__} mutant", "exec"), mutant.__dict__)
    return mutant


def _agrees(operation: Any, reader: Any, writer: Any) -> bool:
    for sparse in (False, True):
        cases = Cases(operation.name, sparse=sparse)
        asked = cases.value(operation.input_shape) if operation.input_shape is not None else {}
        answered = cases.value(operation.output_shape) if operation.output_shape is not None else {}
        try:
            if parsed(operation, sent(operation, asked), reader.QueryParser, reader.build_tree) != asked:
                return False
            body = written(operation, answered, writer.XmlSerializer, writer.document)
            got = read(operation, body)
        except Exception:  # noqa: BLE001  a mutant may fail in any way; failing is being found
            return False
        if (
            got.pop("ResponseMetadata", {}).get("RequestId") != "request-1"
            or got != answered
            or misnamed(operation, body)
        ):
            return False
    return True


def _survives(reader: Any, writer: Any) -> bool:
    """Does the round trip of every operation agree? Ends at the first that does not."""
    return all(
        _agrees(model.operation(scope, name), reader, writer)
        for scope in ("sdb", "sns", "sts", "ec2")
        for name in model.service(scope).operation_names  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("name", part(MUTANTS))
def test_the_round_trip_kills_the_mutant(name: str) -> None:
    original, old, new = MUTANTS[name]
    mutant = _mutated(original, old, new)
    assert not _survives(mutant if original is query else query, mutant if original is xml else xml)


def test_the_codec_itself_survives() -> None:
    assert _survives(query, xml)
