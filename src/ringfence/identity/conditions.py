"""Condition operators (IAM User Guide: "IAM JSON policy elements: Condition operators", "Creating a condition with
multiple keys or values"; spec IAM-26 … IAM-28).

The operators are a table: how one policy value becomes a comparison, whether it takes variables, what is a well-formed
value. A key that the request does not carry: positive operators are false, negated ones true, `…IfExists` true,
`ForAllValues` true, `ForAnyValue` false.

Two choices AWS's text leaves open, both taken to the safe side:
- A variable without a value equals nothing. A negated operator that needs it is then false in an Allow, true in a Deny.
- An operator without `ForAllValues`/`ForAnyValue` is false on a key that has not exactly one value.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

from ringfence.identity import patterns
from ringfence.identity.patterns import Matcher
from ringfence.identity.question import Context

Test = Callable[[Context], bool]


@dataclass(frozen=True, slots=True)
class Operator:
    """A family of operators: `matcher(value, variables=…)` compiles one policy value, `valid` tells a well-formed one."""

    matcher: Callable[..., Matcher]
    valid: Callable[[str], bool] = lambda _value: True


# ---------------------------------------------------------------------- texts
def _equals(value: str, *, variables: bool) -> Matcher:
    if variables and "${" in value:
        return _same(value, variables, str)
    return lambda given, _context: given == value


def _equals_ignoring_case(value: str, *, variables: bool) -> Matcher:
    return _same(value, variables, str.lower)


def _same(value: str, variables: bool, form: Callable[[str], Any]) -> Matcher:
    """Equal after both went through `form`; None from `form` equals nothing."""
    text = patterns.text(value, variables=variables)

    def compare(given: str, context: Context) -> bool | None:
        wanted = text(context)
        if wanted is None:
            return None
        formed = form(wanted)
        return formed is not None and formed == form(given)

    return compare


def _truth(value: str) -> bool | None:
    return {"true": True, "false": False}.get(value.lower())


def _bool(value: str, *, variables: bool) -> Matcher:
    return _same(value, variables, _truth)


def _bytes(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def _binary(value: str, *, variables: bool) -> Matcher:
    del variables  # AWS: not with the Binary operator
    return _same(value, False, _bytes)


# ---------------------------------------------------------------------- numbers and dates
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_EPOCH = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]{1,9})?")
_DATE = re.compile(
    r"(?P<year>[0-9]{4})(-(?P<month>[0-9]{1,2})(-(?P<day>[0-9]{1,2})"
    r"([Tt ](?P<hour>[0-9]{1,2})(:(?P<minute>[0-9]{2})(:(?P<second>[0-9]{2})(\.(?P<fraction>[0-9]{1,9}))?)?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?)?)?)?"
)
_ODD = re.compile(r"[0-9]{1,9}[Tt]")  # AWS stores such a date; it equals none


def _number(value: str) -> Fraction | None:
    """Exact: 2**53 and 2**53 + 1 are not the same number."""
    return Fraction(value) if _NUMBER.fullmatch(value) else None


@lru_cache(1024)
def _moment(value: str) -> Fraction | None:
    """Seconds since 1970: a W3C profile of ISO 8601, or the seconds themselves."""
    if _EPOCH.fullmatch(value) and len(value) != 4:  # four digits alone are a year
        seconds = Fraction(value)
        return seconds if abs(seconds) < 1 << 63 else None
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    part = {name: int(text) if text else None for name, text in found.groupdict().items() if name not in _TEXTUAL}
    try:
        moment = datetime(
            part["year"] or 0, part["month"] or 1, part["day"] or 1, part["hour"] or 0, part["minute"] or 0,
            part["second"] or 0, tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    since = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return since + Fraction(f"0.{found['fraction'] or 0}") - _offset(found["zone"])


_TEXTUAL = ("fraction", "zone")


def _offset(zone: str | None) -> int:
    """Seconds east of Greenwich."""
    if zone is None or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return -seconds if zone[0] == "-" else seconds


def _ordered(read: Callable[[str], Fraction | None], holds: Callable[[Fraction, Fraction], bool]) -> Operator:
    def matcher(value: str, *, variables: bool) -> Matcher:
        del variables  # AWS: not with Numeric and Date operators
        wanted = read(value)

        def compare(given: str, _context: Context) -> bool | None:
            held = read(given)
            return wanted is not None and held is not None and holds(held, wanted)

        return compare

    return Operator(matcher, lambda value: read(value) is not None or (read is _moment and bool(_ODD.fullmatch(value))))


_ORDERS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "equals": lambda held, wanted: held == wanted,
    "lessthan": lambda held, wanted: held < wanted,
    "lessthanequals": lambda held, wanted: held <= wanted,
    "greaterthan": lambda held, wanted: held > wanted,
    "greaterthanequals": lambda held, wanted: held >= wanted,
}


# ---------------------------------------------------------------------- addresses
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(4096)
def _network(value: str) -> _Network | None:
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen == 128:
        mapped = network.network_address.ipv4_mapped
        return ipaddress.IPv4Network(mapped) if mapped else network
    return network


def _address(value: str, *, variables: bool) -> Matcher:
    del variables  # AWS: not with the IpAddress operators
    wanted = _network(value)

    def compare(given: str, _context: Context) -> bool | None:
        held = _network(given)
        if wanted is None or held is None or wanted.version != held.version:
            return False
        return held.subnet_of(wanted)  # type: ignore[arg-type]

    return compare


# ---------------------------------------------------------------------- the table
_ARN = Operator(patterns.arn)
OPERATORS: dict[str, Operator] = {
    "stringequals": Operator(_equals),
    "stringequalsignorecase": Operator(_equals_ignoring_case),
    "stringlike": Operator(patterns.glob),
    "bool": Operator(_bool),
    "binaryequals": Operator(_binary),
    "ipaddress": Operator(_address),
    "arnequals": _ARN,
    "arnlike": _ARN,
    **{f"numeric{name}": _ordered(_number, holds) for name, holds in _ORDERS.items()},
    **{f"date{name}": _ordered(_moment, holds) for name, holds in _ORDERS.items()},
}
NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}
_SETS = {"forallvalues": all, "foranyvalue": any}


@dataclass(frozen=True, slots=True)
class Name:
    """The name of an operator, taken apart. `base` is the positive one; `every` None: no set operator."""

    base: str
    negated: bool = False
    if_exists: bool = False
    every: bool | None = None  # ForAllValues: True, ForAnyValue: False


def read_name(name: str) -> Name | None:
    """The operator of that name, letter case aside; None when there is none."""
    rest, every = name.lower(), None
    prefix, colon, tail = rest.partition(":")
    if colon:
        if prefix not in _SETS:
            return None
        rest, every = tail, prefix == "forallvalues"
    if rest == "null":
        return Name("null", every=every)
    if_exists = rest.endswith("ifexists")
    rest = rest.removesuffix("ifexists")
    base = NEGATED.get(rest, rest)
    return Name(base, base != rest, if_exists, every) if base in OPERATORS else None


def well_formed(name: Name, value: str) -> bool:
    """Whether a policy may have this value for the operator."""
    return name.base == "null" or OPERATORS[name.base].valid(value)


def compile_test(name: Name, key: str, values: Sequence[str], *, variables: bool) -> Test:
    """One operator on one key. A variable without a value is like nothing, so a negated operator holds against it."""
    key = key.lower()
    if name.base == "null":
        return _null(key, values)
    matchers = [OPERATORS[name.base].matcher(value, variables=variables) for value in values]
    one = _negated(matchers) if name.negated else _positive(matchers)
    absent = name.if_exists or (name.negated if name.every is None else name.every)
    if name.every is None:
        return _single(key, one, absent)
    combine = all if name.every else any

    def test(context: Context) -> bool:
        held = context.get(key)
        if held is None:
            return absent
        return combine(one(value, context) for value in ((held,) if isinstance(held, str) else held))

    return test


def _null(key: str, values: Sequence[str]) -> Test:
    """AWS: true = "the key doesn't exist", false = it "exists and its value is not null"; an empty set is null."""
    wanted = {_truth(value) for value in values}
    return lambda context: (context.get(key) in (None, ())) in wanted


def _single(key: str, one: Callable[[str, Context], bool], absent: bool) -> Test:
    def test(context: Context) -> bool:
        held = context.get(key)
        if held is None:
            return absent
        if isinstance(held, str):
            return one(held, context)
        return len(held) == 1 and one(held[0], context)

    return test


def _positive(matchers: Sequence[Matcher]) -> Callable[[str, Context], bool]:
    """Any of the values (IAM-26)."""
    if len(matchers) == 1:
        (only,) = matchers
        return lambda value, context: only(value, context) is True
    return lambda value, context: any(match(value, context) for match in matchers)


def _negated(matchers: Sequence[Matcher]) -> Callable[[str, Context], bool]:
    """None of the values (AWS, "Policy variables with no value": inverted operators "do match against a null value")."""
    return lambda value, context: not any(match(value, context) for match in matchers)
