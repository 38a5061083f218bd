"""Statistics of a period (CloudWatch User Guide: "CloudWatch statistics definitions")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.insight.metrics.statistics import Bucket, statistic

HUNDRED = Bucket(count=100, total=5050, least=1, most=100, values={float(n): 1.0 for n in range(1, 101)})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SampleCount", 100), ("Sum", 5050), ("Average", 50.5), ("Minimum", 1), ("Maximum", 100), ("p50", 50), ("p99", 99),
        ("p99.9", 100), ("p0", 1), ("p100", 100), ("tm90", 45.5), ("TM(10%:90%)", 50.5), ("TM(:50%)", 25.5),
        ("TM(10:20)", 15.5), ("PR(:30)", 30), ("PR(20:30)", 10), ("PR(90:)", 10), ("tc90", 90), ("TC(0.5:10)", 10),
        ("ts10", 55), ("TS(80%:)", 1810), ("IQM", 50.5), ("wm90", (sum(range(1, 91)) + 10 * 90) / 100),
        ("WM(10%:90%)", (10 * 11 + sum(range(11, 91)) + 10 * 90) / 100),
    ],
)  # fmt: skip
def test_statistics(text: str, expected: float) -> None:
    work = statistic(text)
    assert work is not None
    assert work(HUNDRED) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["", "Median", "p", "p101", "tm101", "TM(:)", "TM(20%:10%)", "TM(1:2%)", "PR(1%:2%)", "p-1", "average"]
)
def test_what_is_no_statistic(text: str) -> None:
    assert statistic(text) is None


def test_percentiles_need_every_value() -> None:
    summed = Bucket(count=3, total=6, least=1, most=3, values={1.0: 1.0})
    assert statistic("p50")(summed) is None  # type: ignore[misc]
    assert statistic("Average")(summed) == 2  # type: ignore[misc]


@given(st.dictionaries(st.floats(-1e6, 1e6), st.integers(1, 9), min_size=1), st.floats(0, 100))
def test_as_many_values_as_asked_do_not_exceed_a_percentile(values: dict[float, int], percent: float) -> None:
    count = sum(values.values())
    bucket = Bucket(count, sum(v * n for v, n in values.items()), min(values), max(values), dict(values.items()))
    found = statistic(f"p{percent:.3f}")(bucket)  # type: ignore[misc]
    assert found in values
    assert sum(n for v, n in values.items() if v <= found) >= count * float(f"{percent:.3f}") / 100 - 1e-6
