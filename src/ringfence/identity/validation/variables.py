"""Policy variables: where they may stand and how they are written (IAM User Guide, "Variables and tags")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ringfence.identity.validation.findings import Finding, finding
from ringfence.identity.validation.positions import Node

_VARIABLE = re.compile(r"\$\{([^}]*)(\}?)")
_SPECIAL = ("*", "?", "$")


def check(statement: Node, *, modern: bool) -> Iterator[Finding]:
    """`modern`: the policy is in the version of the language that has variables."""
    for key, value in statement.members():
        if key.value in ("Resource", "NotResource"):
            yield from (f for one in value.items() for f in _text(one, modern))
        elif key.value == "Condition":
            yield from _condition(value, modern)
        elif key.value in ("Action", "NotAction", "Effect", "Sid"):
            for one in value.items():
                for found in _VARIABLE.finditer(one.value) if one.kind == "String" else ():
                    yield finding("VARIABLE_UNSUPPORTED_IN_ELEMENT", one, variable=found[0])


def _condition(condition: Node, modern: bool) -> Iterator[Finding]:
    for operator, keys in condition.members():
        plain = operator.value.lower().rpartition(":")[2]
        for _, values in keys.members():
            for one in values.items():
                if (
                    one.kind == "String"
                    and _VARIABLE.search(one.value)
                    and not plain.startswith(("string", "arn", "bool"))
                ):
                    yield finding("INVALID_VARIABLE_FOR_OPERATOR", one)
                else:
                    yield from _text(one, modern)


def _text(node: Node, modern: bool) -> Iterator[Finding]:
    for found in _VARIABLE.finditer(node.value) if node.kind == "String" else ():
        name, brace = found.groups()
        if not brace:
            yield finding("MISSING_BRACE_IN_VARIABLE", node)
        elif not name:
            yield finding("EMPTY_VARIABLE", node)
        elif not modern:
            yield finding("VARIABLE_UNSUPPORTED_IN_VERSION", node)
        elif name not in _SPECIAL:
            key, comma, default = name.partition(",")
            if comma and not re.fullmatch(r"\s*'[^']*'", default):
                yield finding("MISSING_QUOTE_IN_VARIABLE", node)
            elif " " in key and "tag/" not in key.lower():
                yield finding("UNSUPPORTED_SPACE_IN_VARIABLE", node)
