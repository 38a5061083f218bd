"""Condition operators, variables and set operators (IAM-26 … IAM-28; IAM User Guide: "Condition operators")."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.compiled import compiled
from ringfence.identity.question import Context
from tests.identity.policies import ARN, allow, ask, deny, policy, statement

Rows = list[tuple[str, Any, Any, bool]]

#: operator, policy's value(s), request's value (None = key absent), does it hold
OPERATORS: Rows = [
    ("StringEquals", "a", "a", True),
    ("StringEquals", "a", "A", False),
    ("StringEquals", ["b", "a"], "a", True),
    ("StringEquals", "a*", "ab", False),
    ("StringEquals", "a", None, False),
    ("StringNotEquals", "a", "b", True),
    ("StringNotEquals", ["a", "b"], "b", False),
    ("StringNotEquals", "a", None, True),
    ("StringEqualsIgnoreCase", "aB", "Ab", True),
    ("StringNotEqualsIgnoreCase", "aB", "Ab", False),
    ("StringLike", "a*c?", "abbbcd", True),
    ("StringLike", "a*c?", "abbbc", False),
    ("StringLike", "*", "", True),
    ("StringLike", "a.c", "abc", False),
    ("StringLike", "a\nb*", "a\nbc\nd", True),
    ("StringNotLike", "a*", "abc", False),
    ("StringNotLike", "a*", None, True),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", "9007199254740993", "9007199254740992", False),
    ("NumericNotEquals", "10", "11", True),
    ("NumericLessThan", "10", "9.99", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericGreaterThan", "-1", "0", True),
    ("NumericGreaterThanEquals", "1e3", "1000", True),
    ("NumericEquals", "10", "ten", False),
    ("NumericEquals", "10", "inf", False),
    ("DateEquals", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", True),
    ("DateEquals", "2026-01-01", "1767225600", True),
    ("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.001Z", True),
    ("DateLessThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", False),
    ("DateLessThanEquals", "2026", "2026-01-01T00:00:00Z", True),
    ("DateNotEquals", "2026-01-01", "2026-01-02", True),
    ("DateGreaterThanEquals", "1767225600", "2026-01-01T00:00:00Z", True),
    ("DateEquals", "2026-01-01", "2026-02-30", False),
    ("Bool", "true", "True", True),
    ("Bool", True, "true", True),
    ("Bool", False, "true", False),
    ("Bool", "yes", "yes", False),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ4", False),
    ("BinaryEquals", "!", "!", False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.7", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.7", False),
    ("IpAddress", "203.0.113.9/24", "203.0.113.7", True),
    ("IpAddress", "203.0.113.7", "203.0.113.7", True),
    ("IpAddress", "203.0.113.0/24", "::ffff:203.0.113.7", True),
    ("IpAddress", "2001:db8::/32", "2001:db8:1::1", True),
    ("IpAddress", "2001:db8::/32", "203.0.113.7", False),
    ("IpAddress", "not an address", "203.0.113.7", False),
    ("NotIpAddress", "203.0.113.0/24", "203.0.114.7", True),
    ("NotIpAddress", ["203.0.113.0/24", "203.0.114.0/24"], "203.0.114.7", False),
    ("NotIpAddress", "203.0.113.0/24", None, True),
    ("ArnEquals", ARN, ARN, True),
    ("ArnEquals", "arn:aws:ec2:*:*:vpc/vpc-*", ARN, True),
    ("ArnLike", "arn:aws:ec2:*:vpc/vpc-1", ARN, False),  # fewer than the six components that are compared
    ("ArnLike", "arn:aws:ec2:vpc/vpc-1", ARN, False),
    ("ArnLike", "arn:aws:*:*:*:*", "arn:aws:ec2:x:y", False),
    ("ArnLike", "arn:aws:ec2:us-*1:*:vpc/*", "arn:aws:ec2:us-east:1:vpc/x", False),
    ("ArnNotLike", "arn:aws:ec2:*:*:vpc/*", ARN, False),
    ("ArnNotEquals", "arn:aws:ec2:*:*:vpc/*", None, True),
    ("Null", "true", None, True),
    ("Null", "true", "x", False),
    ("Null", "false", "x", True),
    ("Null", False, None, False),
    ("Null", "true", (), True),  # AWS: false = "the key exists and its value is not null"
    ("StringEqualsIfExists", "a", None, True),
    ("StringEqualsIfExists", "a", "b", False),
    ("StringNotEqualsIfExists", "a", None, True),
    ("NumericLessThanIfExists", "3", None, True),
    ("ForAllValues:StringEquals", ["a", "b"], ("a", "b"), True),
    ("ForAllValues:StringEquals", ["a", "b"], ("a", "c"), False),
    ("ForAllValues:StringEquals", "a", (), True),
    ("ForAllValues:StringEquals", "a", None, True),
    ("ForAllValues:StringEquals", "a", "a", True),
    ("ForAllValues:StringNotEquals", "a", ("b", "a"), False),
    ("ForAnyValue:StringEquals", "a", ("b", "a"), True),
    ("ForAnyValue:StringEquals", "a", ("b",), False),
    ("ForAnyValue:StringEquals", "a", None, False),
    ("ForAnyValue:StringEquals", "a", (), False),
    ("ForAnyValue:StringNotEquals", "a", ("a", "b"), True),
    ("ForAnyValue:StringNotEquals", "a", None, False),
    ("ForAnyValue:StringEqualsIfExists", "a", None, True),
    ("ForAnyValue:StringLike", "a*", ("b", "ab"), True),
    ("forallvalues:stringlike", "A*", ("A1",), True),
    ("StringEquals", "a", ("a",), True),
    ("StringEquals", "a", ("a", "a"), False),  # no set operator on several values: never
    ("StringNotEquals", "a", ("b", "c"), False),
]  # fmt: skip


def holds(operator: str, values: Any, context: Context, *, effect: str = "Allow", version: str = "2012-10-17") -> bool:
    text = policy(statement(effect, Condition={operator: {"Ns:Key": values}}), version=version)
    (only,) = compiled(text).statements
    return only.holds(ARN, context)


@pytest.mark.parametrize(("operator", "values", "held", "expected"), OPERATORS)
def test_operators(operator: str, values: Any, held: Any, expected: bool) -> None:
    context = {} if held is None else {"ns:key": held}
    assert holds(operator, values, context) is expected


#: policy's value, does `StringLike` hold for the value, the rest of the request
VARIABLES: list[tuple[str, str, dict[str, Any], bool]] = [
    ("home/${aws:username}", "home/ann", {"aws:username": "ann"}, True),
    ("home/${AWS:UserName}/*", "home/ann/x", {"aws:username": "ann"}, True),
    ("home/${aws:username}", "home/bob", {"aws:username": "*"}, False),  # what a variable stands for is literal
    ("home/${aws:username}", "home/*", {"aws:username": "*"}, True),
    ("home/${aws:username}", "home/", {}, False),
    ("home/${aws:username, 'guest'}", "home/guest", {}, True),
    ("home/${aws:username, 'guest'}", "home/ann", {"aws:username": "ann"}, True),
    ("home/${aws:username, 'gu*'}", "home/guest", {}, False),
    ("${aws:a}${aws:b}", "xy", {"aws:a": "x", "aws:b": "y"}, True),
    ("${aws:a}", "x", {"aws:a": ("x", "y")}, False),  # AWS: not a multi-valued key
    ("${*}${?}${$}", "*?$", {}, True),
    ("${*}", "x", {}, False),
    ("${aws:a}", "${aws:b}", {"aws:a": "${aws:b}", "aws:b": "x"}, True),
    ("${aws:a", "${aws:a", {"aws:a": "x"}, True),  # no closing brace: plain text
]


@pytest.mark.parametrize(("pattern", "value", "context", "expected"), VARIABLES)
def test_variables(pattern: str, value: str, context: dict[str, Any], expected: bool) -> None:
    assert holds("StringLike", pattern, {"ns:key": value, **context}) is expected


def test_variables_belong_to_the_newer_version() -> None:
    context = {"ns:key": "${aws:username}", "aws:username": "ann"}
    assert holds("StringEquals", "${aws:username}", context, version="2008-10-17")
    assert not holds("StringEquals", "${aws:username}", context)


@pytest.mark.parametrize("operator", ["NumericEquals", "DateEquals", "IpAddress", "BinaryEquals"])
def test_operators_that_take_no_variables(operator: str) -> None:
    assert not holds(operator, "${ns:key}", {"ns:key": "10"})


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_nothing_is_like_a_variable_without_a_value(effect: str) -> None:
    """AWS, "Policy variables with no value": inverted operators match against it, the others do not."""
    context = {"ns:key": "x"}
    assert holds("StringNotEquals", "${aws:username}", context, effect=effect)
    assert not holds("StringEquals", "${aws:username}", context, effect=effect)


def test_an_operator_nobody_knows_never_allows_and_always_denies() -> None:
    assert not holds("StringIs", "x", {"ns:key": "x"}, effect="Allow")
    assert holds("StringIs", "x", {}, effect="Deny")


def test_keys_are_anded_and_values_ored() -> None:
    """IAM-26."""
    both = allow(Condition={"StringEquals": {"a:x": ["1", "2"], "a:y": "3"}, "Bool": {"a:z": "true"}})
    whole = {"a:x": "2", "a:y": "3", "a:z": "true"}
    assert ask(identity=both, context=whole).allowed
    for key in whole:
        assert not ask(identity=both, context=whole | {key: "no"}).allowed
        assert not ask(identity=both, context={k: v for k, v in whole.items() if k != key}).allowed


def test_not_ip_address_denies_when_the_key_is_absent() -> None:
    """POL-29: an address condition does not see through an endpoint, where aws:SourceIp is absent. Evaluator only."""
    guard = (allow("*"), deny("*", Condition={"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}))
    assert ask(identity=guard, context={"aws:sourceip": "203.0.113.5"}).allowed
    assert not ask(identity=guard, context={"aws:sourceip": "198.51.100.1"}).allowed
    assert not ask(identity=guard, context={"aws:vpcsourceip": "203.0.113.5"}).allowed


_TEXT = st.text(alphabet="ab*?${}:, '", max_size=12)


@given(_TEXT, _TEXT)
def test_a_pattern_matches_as_its_obvious_definition_says(pattern: str, value: str) -> None:
    """The linear matcher against the quadratic textbook one."""
    expected = _textbook(pattern, value)
    assert holds("StringLike", pattern, {"ns:key": value}, version="2008-10-17") is expected


def _textbook(pattern: str, value: str) -> bool:
    row = [True] + [False] * len(value)
    for character in pattern:
        new = [row[0] and character == "*"] + [False] * len(value)
        for n, held in enumerate(value, 1):
            if character == "*":
                new[n] = row[n] or new[n - 1]
            else:
                new[n] = row[n - 1] and character in ("?", held)
        row = new
    return row[-1]
