"""Rules of composite alarms (PutCompositeAlarm, `AlarmRule`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.insight.metrics.rules import RuleError, parse_rule

STATES = {"a": "ALARM", "b": "OK", "c c": "INSUFFICIENT_DATA", "d)": "ALARM", "NOT": "OK"}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("ALARM(a)", True), ("ALARM(b)", False), (' OK ( b ) ', True), ("INSUFFICIENT_DATA(c c)", True), ('ALARM("d)")', True),
        ("NOT ALARM(a)", False), ("NOT NOT ALARM(a)", True), ("OK(NOT)", True), ("TRUE", True), ("FALSE", False),
        ("TRUE OR FALSE AND FALSE", True), ("(TRUE OR FALSE) AND FALSE", False), ("NOT FALSE AND FALSE", False),
        ("NOT(FALSE AND FALSE)", True), ("ALARM(a)AND OK(b)", True), ("ALARM(unknown)", False), ("NOT ALARM(unknown)", True),
    ],
)  # fmt: skip
def test_what_rules_say(rule: str, holds: bool) -> None:
    assert parse_rule(rule).holds(STATES) is holds


@pytest.mark.parametrize(
    "rule",
    [
        "", " ", "a", "ALARM", "ALARM(", "ALARM()", 'ALARM("")', "ALARM(a) AND", "AND ALARM(a)", "ALARM(a) OK(b)", "TRUEFALSE",
        "TRUE)", "(TRUE", "NOTALARM(a)", "alarm(a)", "TRUE XOR FALSE", "(" * 60 + "TRUE" + ")" * 60, " OR ".join(["TRUE"] * 251),
        " OR ".join(f"OK(a{n})" for n in range(101)), "ALARM(a)(b)",
    ],
)  # fmt: skip
def test_what_is_no_rule(rule: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(rule)


_RULES = st.recursive(
    st.sampled_from([("ALARM(a)", True), ("OK(a)", False), ("TRUE", True), ("FALSE", False), ('OK("b")', True)]),
    lambda inner: st.one_of(
        inner.map(lambda each: (f"NOT ({each[0]})", not each[1])),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) AND ({two[1][0]})", two[0][1] and two[1][1])),
        st.tuples(inner, inner).map(lambda two: (f"({two[0][0]}) OR ({two[1][0]})", two[0][1] or two[1][1])),
    ),
    max_leaves=12,
)


@given(_RULES)
def test_rules_of_rules(rule: tuple[str, bool]) -> None:
    text, holds = rule
    assert parse_rule(text).holds(STATES) is holds


def test_alarms_are_told_once_each_in_order() -> None:
    assert parse_rule("ALARM(b) OR OK(a) AND NOT ALARM(b)").alarms == ("b", "a")
