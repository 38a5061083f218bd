"""Metric math (CloudWatch User Guide: "Using math expressions with CloudWatch metrics")."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.insight.metrics.expressions import ExpressionError
from ringfence.insight.metrics.math import NOT_SERVED, Frame, Line, NotServed, check, uses

M1 = Line({0: 1.0, 60: 2.0, 120: 4.0}, 60, "one")
M2 = Line({0: 10.0, 120: 0.0, 180: 5.0}, 60, "two")
FRAME = Frame({"m1": M1, "m2": M2, "n": 3.0}, {"m1": M1, "m2": M2}, (0, 60, 120, 180), 60)


def worked(text: str) -> Any:
    value = FRAME.work_out(check(text))
    if isinstance(value, Line):
        return dict(value.points)
    return [dict(line.points) for line in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7.0), ("(1 + 2) * 3", 9.0), ("-2 ^ 2", -4.0), ("2 ^ 3 ^ 2", 512.0), ("10 - 4 - 3", 3.0),
        ("2 * -3", -6.0), ("1 < 2 && 2 < 1 || 1 == 1", 1.0), ("1 AND 0 OR 0", 0.0), (".5 + 1e1", 10.5),
        ("m1 + 1", {0: 2.0, 60: 3.0, 120: 5.0}), ("2 - m1", {0: 1.0, 60: 0.0, 120: -2.0}),
        ("m1 * m2", {0: 10.0, 120: 0.0}), ("m1 / m2", {0: 0.1}), ("m1 > 1", {0: 0.0, 60: 1.0, 120: 1.0}),
        ("-m1", {0: -1.0, 60: -2.0, 120: -4.0}), ("ABS(2 - m1)", {0: 1.0, 60: 0.0, 120: 2.0}),
        ("SUM(m1)", 7.0), ("AVG(m1)", 7 / 3), ("MAX(m1) - MIN(m1)", 3.0), ("STDDEV(m2 * 0)", 0.0),
        ("SUM(METRICS())", {0: 11.0, 60: 2.0, 120: 4.0, 180: 5.0}), ('MAX(METRICS("m1"))', {0: 1.0, 60: 2.0, 120: 4.0}),
        ("MAX([m1, m2])", {0: 10.0, 60: 2.0, 120: 4.0, 180: 5.0}), ("METRIC_COUNT([m1, m2])", 2.0),
        ("[m1, m2] * 2", [{0: 2.0, 60: 4.0, 120: 8.0}, {0: 20.0, 120: 0.0, 180: 10.0}]),
        ("DATAPOINT_COUNT(m1)", 3.0), ("PERIOD(m1)", 60.0), ("DIFF(m1)", {60: 1.0, 120: 2.0}),
        ("RATE(m2)", {120: -10 / 120, 180: 5 / 60}), ("DIFF_TIME(m2)", {120: 120.0, 180: 60.0}),
        ("RUNNING_SUM(m1)", {0: 1.0, 60: 3.0, 120: 7.0}), ("FILL(m2, 7)", {0: 10.0, 60: 7.0, 120: 0.0, 180: 5.0}),
        ("FILL(m2, REPEAT)", {0: 10.0, 60: 10.0, 120: 0.0, 180: 5.0}),
        ("FILL(m2, LINEAR)", {0: 10.0, 60: 5.0, 120: 0.0, 180: 5.0}),
        ("FILL(m2, m1)", {0: 10.0, 60: 2.0, 120: 0.0, 180: 5.0}),
        ("IF(m1 > 1, m2, 9)", {0: 9.0, 120: 0.0}), ("IF(m1 > 1, 5)", {60: 5.0, 120: 5.0}), ("IF(0, 1, m1)", dict(M1.points)),
        ("TIME_SERIES(n)", dict.fromkeys((0, 60, 120, 180), 3.0)), ("FIRST([m1, m2])", dict(M1.points)),
        ("LAST([m1, m2])", dict(M2.points)), ("SORT([m1, m2], MAX, DESC, 1)", [dict(M2.points)]),
        ("SLICE([m1, m2], 1)", [dict(M2.points)]), ("REMOVE_EMPTY([m1, m1 / 0])", [dict(M1.points)]),
        ("MINUTE(m1)", {0: 0.0, 60: 1.0, 120: 2.0}), ("YEAR(m1) - 1970 + DAY(m1)", {0: 4.0, 60: 4.0, 120: 4.0}),
        ("LOG10(m2)", {0: 1.0, 180: math.log10(5)}), ("CEIL(m1 / 3)", {0: 1.0, 60: 1.0, 120: 2.0}),
        ("EPOCH(m1)", {0: 0.0, 60: 60.0, 120: 120.0}), ("m1 / SUM(m2 - m2 + m2 * 0)", {}), ("SUM(m1 / 0) + m1", {}),
    ],
)  # fmt: skip
def test_expressions(text: str, expected: Any) -> None:
    assert worked(text) == pytest.approx(expected) if isinstance(expected, float) else worked(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "m1 +", "(m1", "m3", "m1 m2", "SUM(", "SUM(m1, m2)", "NOPE(m1)", "[m1] + [m2]", "1 / 0", "FILL(m1)", "IF(m1)",
     "SORT(m1, X, ASC)", "'a' + 1", "TIME_SERIES(m1)", "RATE(1)", "m1 $ 2", "SLICE(m1, m2)", "IF([m1, m2], 1, 0)",
     "(" * 60 + "1" + ")" * 60, "1" + "+1" * 300, "-" * 200 + "1", "METRICS(m1)"],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        worked(text)


@pytest.mark.parametrize("name", sorted(NOT_SERVED - {"SELECT"}))
def test_functions_that_do_not_exist_here_are_refused_as_such(name: str) -> None:
    with pytest.raises(NotServed):
        check(f"1 + {name}(m1)")
    with pytest.raises(NotServed):
        check("SELECT AVG(CPU) FROM X")


def test_what_an_expression_stands_on() -> None:
    assert uses(check("IF(m1 > e2, FILL(m3, REPEAT), [a, 1])")) == {"m1", "e2", "m3", "a"}


@given(st.text(alphabet="m12+-*/^()[],<>=&|. SUMFILGA'\"", max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        worked(text)
