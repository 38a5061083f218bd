"""Conditions: operators, keys and values."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator

from ringfence.identity.validation.findings import Finding, finding
from ringfence.identity.validation.positions import Node
from ringfence.identity.validation.vocabulary import FITTING, Vocabulary

_ORDER = ("equals", "notequals", "lessthan", "lessthanequals", "greaterthan", "greaterthanequals")
OPERATORS = frozenset((
    *(f"string{n}{e}" for n in ("", "not") for e in ("equals", "equalsignorecase", "like")),
    *(f"{kind}{name}" for kind in ("numeric", "date") for name in _ORDER),
    *(f"arn{n}{e}" for n in ("", "not") for e in ("equals", "like")),
    "bool", "binaryequals", "ipaddress", "notipaddress", "null",
))  # fmt: skip
_SETS = ("", "forallvalues", "foranyvalue")
_TAGS = ("aws:principaltag", "aws:requesttag", "aws:resourcetag", "ec2:resourcetag", "iam:resourcetag")


def check(statement: Node, vocabulary: Vocabulary) -> Iterator[Finding]:
    """Every finding about the Condition of a statement."""
    condition = statement.get("Condition")
    if condition is None:
        return
    if condition.value == {}:
        yield finding("EMPTY_OBJECT_CONDITION", condition)
    for operator, keys in condition.members():
        yield from _operator(operator, keys)
        yield from _same_key(keys)
        for key, values in keys.members():
            yield from _test(operator, key, values, vocabulary)


def split(operator: str) -> tuple[str, str, bool]:
    """(set operator, plain operator, IfExists?), all in small letters."""
    before, _, plain = operator.lower().rpartition(":")
    return before, plain.removesuffix("ifexists"), plain.endswith("ifexists")


def _operator(operator: Node, keys: Node) -> Iterator[Finding]:
    qualifier, plain, if_exists = split(operator.value)
    if plain not in OPERATORS or qualifier not in _SETS:
        yield finding("INVALID_CONDITION_OPERATOR", operator, operator=operator.value)
    elif plain == "null" and if_exists:
        yield finding("NULL_WITH_IF_EXISTS", operator)
    elif plain == "null" and qualifier:
        yield finding("NULL_WITH_QUALIFIER", operator)
    if keys.kind != "Object":
        yield finding("DATA_TYPE_MISMATCH", keys, data_type="Object")
    elif not keys.members():
        yield finding("EMPTY_OBJECT_CONDITION", keys)


def _same_key(keys: Node) -> Iterator[Finding]:
    seen: dict[str, Node] = {}
    for key, _ in keys.members():
        first = seen.setdefault(key.value.lower(), key)
        if first is not key:
            yield finding("DUPLICATE_KEYS_WITH_DIFFERENT_CASE", first, key, key=key.value)


def _test(operator: Node, key: Node, values: Node, vocabulary: Vocabulary) -> Iterator[Finding]:
    qualifier, plain, if_exists = split(operator.value)
    if not values.items():
        suffix = {"forallvalues": "_FORALLVALUES", "foranyvalue": "_FORANYVALUE"}.get(
            qualifier, "_IFEXISTS" if if_exists else ""
        )
        yield finding(f"EMPTY_ARRAY_CONDITION{suffix}", values, key=key.value)
        return
    yield from _key(key, vocabulary)
    bad = [one for one in values.items() if one.kind not in ("String", "Number", "Boolean")]
    for one in bad:
        yield finding("DATA_TYPE_MISMATCH", one, data_type="String")
    if bad or plain not in OPERATORS:
        return
    if len({one.kind for one in values.items()}) > 1:
        yield finding("INVALID_CONDITION_DATA_TYPE", values)
    yield from _fits(operator, key, vocabulary)
    yield from _values(operator, key, values)
    yield from _regions(plain, key, values, vocabulary)


# ------------------------------------------------------------------------------------------------------------------ keys
def _key(key: Node, vocabulary: Vocabulary) -> Iterator[Finding]:
    name = key.value.lower()
    service, colon, rest = name.partition(":")
    if not colon or not service or not rest:
        yield finding("INVALID_CONDITION_KEY_FORMAT", key)
    elif name == "aws:arn":
        yield finding("UNSUPPORTED_GLOBAL_CONDITION_KEY", key)
    elif name.rstrip("/") in _TAGS:
        yield finding("MISSING_TAG_KEY_IN_CONDITION", key, conditionKeyName=key.value.rstrip("/") + "/")
    elif vocabulary.type_of(name) is None:
        if service == "aws":
            yield finding("INVALID_GLOBAL_CONDITION_KEY", key, key=key.value)
        elif service in vocabulary.keys:
            yield finding("INVALID_SERVICE_CONDITION_KEY", key, key=key.value, service=service)


def _fits(operator: Node, key: Node, vocabulary: Vocabulary) -> Iterator[Finding]:
    qualifier, plain, _ = split(operator.value)
    kind = vocabulary.type_of(key.value)
    if kind is None or plain == "null":
        return
    many, single = kind.startswith("ArrayOf"), kind.removeprefix("ArrayOf")
    fitting = FITTING.get(single, ("string",))
    if not plain.startswith(fitting):
        allowed = {"ipaddress": "IpAddress"}.get(fitting[0], fitting[0].capitalize())
        yield finding("TYPE_MISMATCH", operator, allowed=allowed, operator=operator.value, key=key.value)
    if many and not qualifier:
        yield finding("MISSING_QUALIFIER", operator, key=key.value)
    if not many and qualifier == "forallvalues":
        yield finding("FORALLVALUES_WITH_SINGLE_VALUED_KEY", operator, key=key.value)


# ---------------------------------------------------------------------------------------------------------------- values
def _text(node: Node) -> str:
    return str(node.value).lower() if node.kind == "Boolean" else str(node.value)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?|\d{5,}", re.ASCII)
#: start of an operator -> the code when a value is none of its kind, and whether it is
_READABLE: dict[str, tuple[str, Callable[[str], bool]]] = {
    "numeric": ("TYPE_MISMATCH_NUMBER", lambda text: re.fullmatch(r"[+-]?\d+(\.\d+)?", text, re.ASCII) is not None),
    "date": ("TYPE_MISMATCH_DATE", lambda text: _DATE.fullmatch(text) is not None),
    "bool": ("TYPE_MISMATCH_BOOLEAN", lambda text: text.lower() in ("true", "false") or "${" in text),
    "null": ("TYPE_MISMATCH_BOOLEAN", lambda text: text.lower() in ("true", "false")),
    "binary": ("TYPE_MISMATCH_STRING", _is_base64),
    "ipaddress": ("TYPE_MISMATCH_IP_RANGE", _is_network),
    "notipaddress": ("TYPE_MISMATCH_IP_RANGE", _is_network),
}


def _values(operator: Node, key: Node, values: Node) -> Iterator[Finding]:
    _, plain, _ = split(operator.value)
    code, readable = next(
        (found for start, found in _READABLE.items() if plain.startswith(start)), ("", lambda _: True)
    )
    unreadable = [one for one in values.items() if not readable(_text(one))]
    for one in unreadable:
        yield finding(code, one, operator=operator.value)
    if unreadable:
        return
    if plain in ("bool", "null") and len({_text(one).lower() for one in values.items()}) > 1:
        yield finding("INVALID_CONDITION_MULTIPLE_BOOLEAN", values)
    if plain.startswith("date"):
        for one in values.items():
            if re.fullmatch(r"\d{4}", _text(one)):
                yield finding("INVALID_DATE_VALUE", one, date=_text(one))
    if plain.startswith("string") and "like" not in plain:
        for one in values.items():
            if re.search(r"[*?]", re.sub(r"\$\{[^}]*\}", "", _text(one))):
                yield finding("WILDCARD_WITHOUT_LIKE_OPERATOR", one)
    if plain.startswith("numeric") and "than" in plain and len(values.items()) > 1:
        which = "greatest" if "less" in plain else "least"
        yield finding("REDUNDANT_CONDITION_VALUE_NUM", values, operator=operator.value, which=which, key=key.value)
    if plain.endswith("ipaddress"):
        yield from _blocks(plain, key, values)
    yield from _identifiers(key, values)


def _blocks(plain: str, key: Node, values: Node) -> Iterator[Finding]:
    blocks = [(one, ipaddress.ip_network(_text(one), strict=False)) for one in values.items()]
    for one, block in blocks:
        if "/" in _text(one) and str(block.network_address) != str(ipaddress.ip_address(_text(one).partition("/")[0])):
            yield finding("IMPROVE_IP_RANGE", one, addr=block)
    if key.value.lower() != "aws:sourceip":
        return
    private = [one for one, block in blocks if any(_within(block, text) for text in _PRIVATE)]
    base = "PRIVATE_NOT_IP_ADDRESS" if plain.startswith("not") else "PRIVATE_IP_ADDRESS"
    if len(private) == len(blocks):
        yield finding(base, *private)
    elif private:
        yield finding(base + "_SUBSET", *private)


_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")


def _within(block: ipaddress.IPv4Network | ipaddress.IPv6Network, text: str) -> bool:
    outer = ipaddress.ip_network(text)
    return block.version == outer.version and block.subnet_of(outer)  # type: ignore[arg-type]


def _regions(plain: str, key: Node, values: Node, vocabulary: Vocabulary) -> Iterator[Finding]:
    if key.value.lower() == "aws:requestedregion" and vocabulary.regions and plain.startswith("string"):
        for one in values.items():
            if not re.search(r"[*?]|\$\{", _text(one)) and _text(one) not in vocabulary.regions:
                yield finding("INVALID_REGION", one, region=_text(one))


def _identifiers(key: Node, values: Node) -> Iterator[Finding]:
    for name, prefix in (("aws:sourcevpc", "vpc"), ("aws:sourcevpce", "vpce")):
        if key.value.lower() == name:
            for one in values.items():
                if not re.fullmatch(rf"{prefix}-([0-9a-z]{{8}}|[0-9a-z]{{17}})|.*[*?$].*", _text(one)):
                    yield finding(f"INVALID_{prefix.upper()}_FORMAT", one)
