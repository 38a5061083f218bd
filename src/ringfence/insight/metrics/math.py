"""Metric math worked out (CloudWatch User Guide: "Using math expressions with CloudWatch metrics", "Metric math functions").

A value is a number, a time series, or an array of time series. What two series do together is done where both have a datapoint;
a result that is no number (a division by nought) is no datapoint.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ringfence.insight.metrics.expressions import (
    Array,
    ExpressionError,
    Function,
    Name,
    Negated,
    Node,
    Number,
    Operation,
    Text,
    functions,
    names,
    parse,
)


@dataclass(frozen=True, slots=True)
class Line:
    """A time series. `points`: time in seconds → value."""

    points: Mapping[int, float]
    period: int
    label: str = ""


Value = float | Line | list[Line]

#: in AWS's reference, not here: they need what is not there (anomaly models, Contributor Insights, quotas' usage, Performance
#: Insights, Lambda connectors, Metrics Insights)
NOT_SERVED = frozenset({
    "ANOMALY_DETECTION_BAND", "DB_PERF_INSIGHTS", "INSIGHT_RULE_METRIC", "LAMBDA", "SEARCH", "SERVICE_QUOTA", "SELECT",
})  # fmt: skip
#: words that functions take, so that they are no Ids
_WORDS = {
    "FILL": frozenset({"REPEAT", "LINEAR"}), "SORT": frozenset({"AVG", "MAX", "MIN", "SUM", "ASC", "DESC"})
}  # fmt: skip


class NotServed(ExpressionError):
    """A function of AWS's that does not exist here."""


def check(text: str) -> Node:
    """The tree of an expression that uses only what is served. ExpressionError, NotServed."""
    if text.lstrip().upper().startswith("SELECT "):
        raise NotServed("SELECT")
    node = parse(text)
    for call in functions(node):
        if call.name in NOT_SERVED:
            raise NotServed(call.name)
        if call.name not in _FUNCTIONS and call.name not in ("METRICS", "TIME_SERIES", "FILL", "IF", "SORT"):
            raise ExpressionError(f"Unsupported function '{call.name[:50]}'")
    return node


def uses(node: Node) -> set[str]:
    """The Ids that an expression stands on. With METRICS() it stands on all metrics, which the caller knows."""
    words = {word for call in functions(node) for word in _WORDS.get(call.name, frozenset())}
    return set(names(node)) - words


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an expression is worked out: Ids → values (of metrics only: `metrics`), and the times of datapoints."""

    values: Mapping[str, Value]
    metrics: Mapping[str, Line]
    times: Sequence[int]
    period: int

    def work_out(self, node: Node) -> Value:
        """ExpressionError."""
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Name):
            if node.name not in self.values:
                raise ExpressionError(f"Undefined variable '{node.name[:50]}'")
            return self.values[node.name]
        if isinstance(node, Array):
            return [line for item in node.items for line in _lines(self.work_out(item))]
        if isinstance(node, Negated):
            return _each(self.work_out(node.node), lambda x: -x)
        if isinstance(node, Operation):
            return _combined(node.operator, self.work_out(node.left), self.work_out(node.right))
        if isinstance(node, Function):
            return self._function(node)
        raise ExpressionError("A text is expected only in METRICS()")

    def _function(self, node: Function) -> Value:
        special = {
            "METRICS": self._metrics, "FILL": self._fill, "IF": self._if, "SORT": self._sort, "TIME_SERIES": self._series
        }  # fmt: skip
        if node.name in special:
            return special[node.name](node)
        least, most, work = _FUNCTIONS[node.name]
        if not least <= len(node.arguments) <= most:
            raise ExpressionError(f"{node.name} has the wrong number of arguments")
        return work(*(self.work_out(argument) for argument in node.arguments))

    def _metrics(self, node: Function) -> Value:
        match node.arguments:
            case ():
                return list(self.metrics.values())
            case (Text(part),):
                return [line for id, line in self.metrics.items() if part in id]
        raise ExpressionError("METRICS takes a text or nothing")

    def _series(self, node: Function) -> Value:
        if len(node.arguments) != 1:
            raise ExpressionError("TIME_SERIES takes a number")
        value = self.work_out(node.arguments[0])
        if not isinstance(value, float):
            raise ExpressionError("TIME_SERIES takes a number")
        return Line(dict.fromkeys(self.times, value), self.period)

    def _if(self, node: Function) -> Value:
        if not 2 <= len(node.arguments) <= 3:
            raise ExpressionError("IF takes two or three arguments")
        condition, *outcomes = (self.work_out(argument) for argument in node.arguments)
        chosen = [*outcomes, None] if len(outcomes) == 1 else outcomes
        if isinstance(condition, float):
            value = chosen[0] if condition else chosen[1]
            return Line({}, self.period) if value is None else value
        (line,) = _only(condition, "IF")
        points = {}
        for at, truth in line.points.items():
            value = _at(chosen[0] if truth else chosen[1], at)
            if value is not None:
                points[at] = value
        return Line(points, line.period, line.label)

    def _fill(self, node: Function) -> Value:
        if len(node.arguments) != 2:
            raise ExpressionError("FILL takes two arguments")
        value, with_ = self.work_out(node.arguments[0]), node.arguments[1]
        if isinstance(with_, Name) and with_.name in _WORDS["FILL"]:
            fill = _repeated if with_.name == "REPEAT" else _linear
            return _each_line(value, lambda line: fill(line, self.times))
        other = self.work_out(with_)

        def filled(line: Line) -> Line:
            found = {at: line.points.get(at, _at(other, at)) for at in self.times}
            return Line({at: v for at, v in found.items() if v is not None}, line.period, line.label)

        return _each_line(value, filled)

    def _sort(self, node: Function) -> Value:
        words = [argument.name if isinstance(argument, Name) else "" for argument in node.arguments[1:3]]
        by: dict[str, Callable[..., float]] = {"AVG": statistics.fmean, "MAX": max, "MIN": min, "SUM": math.fsum}
        if len(words) != 2 or words[0] not in by or words[1] not in ("ASC", "DESC") or len(node.arguments) > 4:
            raise ExpressionError("SORT takes series, AVG|MAX|MIN|SUM, ASC|DESC and a number")
        lines = [line for line in _lines(self.work_out(node.arguments[0])) if line.points]
        lines.sort(key=lambda line: by[words[0]](line.points.values()), reverse=words[1] == "DESC")
        if len(node.arguments) == 4:
            return lines[: int(_scalar(self.work_out(node.arguments[3]), "SORT"))]
        return lines


# ---------------------------------------------------------------------- values
def _lines(value: Value) -> list[Line]:
    if isinstance(value, float):
        raise ExpressionError("A time series is expected, not a number")
    return [value] if isinstance(value, Line) else value


def _only(value: Value, function: str) -> list[Line]:
    lines = _lines(value)
    if len(lines) != 1:
        raise ExpressionError(f"{function} takes one time series")
    return lines


def _scalar(value: Value, function: str) -> float:
    if not isinstance(value, float):
        raise ExpressionError(f"{function} takes a number there")
    return value


def _at(value: Value | None, at: int) -> float | None:
    if value is None or isinstance(value, float):
        return value
    (line,) = _only(value, "IF or FILL")
    return line.points.get(at)


def _kept(points: Mapping[int, float | None]) -> dict[int, float]:
    return {at: value for at, value in points.items() if value is not None and math.isfinite(value)}


def _each_line(value: Value, work: Callable[[Line], Line]) -> Value:
    if isinstance(value, float):
        raise ExpressionError("A time series is expected, not a number")
    return work(value) if isinstance(value, Line) else [work(line) for line in value]


def _each(value: Value, work: Callable[[float], float | None]) -> Value:
    """A function of single numbers on any value."""
    if isinstance(value, float):
        result = _safe(work, value)
        if result is None:
            raise ExpressionError("The result is not a number")
        return result
    return _each_line(
        value, lambda line: Line(_kept({at: _safe(work, x) for at, x in line.points.items()}), line.period, line.label)
    )


def _safe(work: Callable[..., float | None], *values: float) -> float | None:
    try:
        result = work(*values)
    except (ArithmeticError, ValueError):
        return None
    return result if isinstance(result, (float, int)) else None  # a negative number to a fraction is complex


_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "^": lambda a, b: a**b, "==": lambda a, b: float(a == b), "!=": lambda a, b: float(a != b),
    "<": lambda a, b: float(a < b), ">": lambda a, b: float(a > b), "<=": lambda a, b: float(a <= b),
    ">=": lambda a, b: float(a >= b), "&&": lambda a, b: float(bool(a) and bool(b)),
    "||": lambda a, b: float(bool(a) or bool(b)),
}  # fmt: skip


def _combined(operator: str, left: Value, right: Value) -> Value:
    work = _OPERATORS[operator]
    if isinstance(left, float) and isinstance(right, float):
        result = _safe(work, left, right)
        if result is None or not math.isfinite(result):
            raise ExpressionError("The result is not a number")
        return float(result)
    if isinstance(right, float):
        number = right
        return _each(left, lambda x: work(x, number))
    if isinstance(left, float):
        number = left
        return _each(right, lambda x: work(number, x))
    if isinstance(left, list) and isinstance(right, list):
        raise ExpressionError(f"'{operator}' cannot be used on two arrays")
    if isinstance(left, list):
        return [_two(work, line, right) for line in left for right in _lines(right)]
    if isinstance(right, list):
        return [_two(work, left, line) for line in right]
    return _two(work, left, right)


def _two(work: Callable[[float, float], float], left: Line, right: Line) -> Line:
    both = {at: _safe(work, x, right.points[at]) for at, x in left.points.items() if at in right.points}
    return Line(_kept(both), max(left.period, right.period), left.label)


# ---------------------------------------------------------------------- functions
def _over(work: Callable[[list[float]], float]) -> Callable[[Value], Value]:
    """Over the datapoints of a series, or across the series of an array at each time."""

    def of(value: Value) -> Value:
        if isinstance(value, float):
            return value
        if isinstance(value, Line):
            return float(work(list(value.points.values()))) if value.points else math.nan
        times = sorted({at for line in value for at in line.points})
        points = {at: float(work([line.points[at] for line in value if at in line.points])) for at in times}
        return Line(points, max((line.period for line in value), default=60))

    return of


def _steps(work: Callable[[int, float, int, float], float]) -> Callable[[Value], Value]:
    """From each datapoint to the next."""

    def of(line: Line) -> Line:
        points = sorted(line.points.items())
        pairs = itertools.pairwise(points)
        return Line({at: work(t, x, at, y) for (t, x), (at, y) in pairs}, line.period, line.label)

    return lambda value: _each_line(value, of)


def _running(value: Value) -> Value:
    def of(line: Line) -> Line:
        total, points = 0.0, {}
        for at, x in sorted(line.points.items()):
            total += x
            points[at] = total
        return Line(points, line.period, line.label)

    return _each_line(value, of)


def _part_of_time(part: Callable[[datetime], int]) -> Callable[[Value], Value]:
    def of(line: Line) -> Line:
        points = {at: float(part(datetime.fromtimestamp(at, UTC))) for at in line.points}
        return Line(points, line.period, line.label)

    return lambda value: _each_line(value, of)


def _repeated(line: Line, times: Sequence[int]) -> Line:
    points, last = dict[int, float](), None
    for at in times:
        last = line.points.get(at, last)
        if last is not None:
            points[at] = last
    return Line(points, line.period, line.label)


def _linear(line: Line, times: Sequence[int]) -> Line:
    """Between two datapoints; none beyond the first and last."""
    known, points = sorted(line.points), dict(line.points)
    for before, after in itertools.pairwise(known):
        slope = (line.points[after] - line.points[before]) / (after - before)
        points |= {at: line.points[before] + slope * (at - before) for at in times if before < at < after}
    return Line(dict(sorted(points.items())), line.period, line.label)


def _slice(value: Value, start: Value, end: Value = math.inf) -> Value:
    first, last = _scalar(start, "SLICE"), _scalar(end, "SLICE")
    lines = _lines(value)
    return lines[int(first) : None if math.isinf(last) else int(last)]


def _deviation(values: list[float]) -> float:
    return statistics.pstdev(values)


_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Value]]] = {
    "ABS": (1, 1, lambda v: _each(v, abs)), "CEIL": (1, 1, lambda v: _each(v, lambda x: float(math.ceil(x)))),
    "FLOOR": (1, 1, lambda v: _each(v, lambda x: float(math.floor(x)))),
    "LOG": (1, 1, lambda v: _each(v, math.log)), "LOG10": (1, 1, lambda v: _each(v, math.log10)),
    "AVG": (1, 1, _over(statistics.fmean)), "MAX": (1, 1, _over(max)), "MIN": (1, 1, _over(min)),
    "SUM": (1, 1, _over(math.fsum)), "STDDEV": (1, 1, _over(_deviation)),
    "DATAPOINT_COUNT": (1, 1, lambda v: float(len(_only(v, "DATAPOINT_COUNT")[0].points))),
    "METRIC_COUNT": (1, 1, lambda v: float(len(_lines(v)))), "PERIOD": (1, 1, lambda v: float(_lines(v)[0].period)),
    "FIRST": (1, 1, lambda v: _one_of(v, 0)), "LAST": (1, 1, lambda v: _one_of(v, -1)),
    "DIFF": (1, 1, _steps(lambda _t, x, _at, y: y - x)), "DIFF_TIME": (1, 1, _steps(lambda t, _x, at, _y: float(at - t))),
    "RATE": (1, 1, _steps(lambda t, x, at, y: (y - x) / (at - t))), "RUNNING_SUM": (1, 1, _running),
    "REMOVE_EMPTY": (1, 1, lambda v: [line for line in _lines(v) if line.points]), "SLICE": (2, 3, _slice),
    "MINUTE": (1, 1, _part_of_time(lambda d: d.minute)), "HOUR": (1, 1, _part_of_time(lambda d: d.hour)),
    "DAY": (1, 1, _part_of_time(lambda d: d.isoweekday())), "DATE": (1, 1, _part_of_time(lambda d: d.day)),
    "MONTH": (1, 1, _part_of_time(lambda d: d.month)), "YEAR": (1, 1, _part_of_time(lambda d: d.year)),
    "EPOCH": (1, 1, _part_of_time(lambda d: int(d.timestamp()))),
}  # fmt: skip


def _one_of(value: Value, place: int) -> Value:
    lines = _lines(value)
    if not lines:
        raise ExpressionError("There are no time series")
    return lines[place]
