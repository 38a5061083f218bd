"""Many messages at once: which of them may match, told by one expression over all of them (RE2, linear time).

Asking a pattern about a message costs microseconds, whatever the answer; an expression over a thousand messages in one text
costs little more than one of them. What is said here is a superset: who asks, asks the pattern about what is left.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import re2

#: messages → the places of those that may match, in order
Among = Callable[[Sequence[str]], list[int]]
_MEMORY = 8 << 20
#: what is more than one field between its marks, or separated by something else than blanks: the pattern itself is asked
_STRANGE = r'["\[]|[^\x20-\x7e\t\n]'
_FIELD, _BETWEEN = r"[^\s]+", r"[ \t]+"
#: a number that is not digits alone, or might be one
_OTHER_NUMBER = r"[+\-][0-9.][0-9.eE+\-]*|[0-9]*\.[0-9.eE+\-]*|[0-9]+[eE][0-9+\-]+"


def _compiled(expression: str) -> object | None:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return re2.compile(expression.encode(), options)  # type: ignore[no-any-return]
    except re2.error:  # too large: nothing is known beforehand
        return None


def _among(expression: str, *, whole: bool) -> Among | None:
    """`whole`: lines are messages, so that one of several lines may always match."""
    compiled = _compiled(expression)
    if compiled is None:
        return None
    search = compiled.search  # type: ignore[attr-defined]

    def among(messages: Sequence[str]) -> list[int]:
        text = "\n".join(messages)
        if whole and text.count("\n") >= len(messages):
            return list(range(len(messages)))
        data = text.encode()
        sizes = map(len, messages) if len(data) == len(text) else (len(message.encode()) for message in messages)
        starts = list(accumulate((size + 1 for size in sizes), initial=0))
        found: list[int] = []
        at = 0
        while at <= len(data) and (hit := search(data, at)) is not None:  # the last message may be empty
            first, last = (bisect_right(starts, place) - 1 for place in (hit.start(), max(hit.start(), hit.end() - 1)))
            found += range(first, min(last, len(messages) - 1) + 1)
            at = starts[last + 1]
        return found

    return among


def expression(source: str) -> Among | None:
    """Messages that an expression (of those that filter patterns take) matches. None: it cannot be told beforehand."""
    if "\\" in source and any(mark in source for mark in (r"\A", r"\z", r"\C", r"\Q")):
        return None
    return _among(rf"(?m)(?:{source})|[^\x00-\x7f]", whole=False)


def columns(left: Sequence[str], right: Sequence[str], shapes: Mapping[str, str], *, open_end: bool) -> Among | None:
    """Messages whose fields have these shapes, by the names of the columns: those from the first, and those to the last."""
    if not shapes:
        return None
    before = [shapes.get(name, _FIELD) for name in left]
    after = [shapes.get(name, _FIELD) for name in right]
    begin = _BETWEEN.join(f"(?:{each})" for each in before)
    end = _BETWEEN.join(f"(?:{each})" for each in after)
    middle = (r"(?:[ \t].*)?[ \t]" if begin else r"(?:.*[ \t])?") if open_end and end else ""
    tail = r"[ \t]*$" if end or not open_end else r"(?:[ \t]|$)"
    return _among(rf"(?m)^[ \t]*{begin}{middle}{end}{tail}|{_STRANGE}", whole=True)


# ---------------------------------------------------------------------- shapes of numbers
def shape_of(operator: str, bound: float) -> str | None:
    """What every text looks like that is a number in that relation to `bound`. None: nothing is known."""
    if operator == "!=" or bound < 0 or bound >= 1e15:
        return None
    whole = int(bound)
    if operator in (">", ">="):
        least = whole + (operator == ">" or whole != bound)
        return f"{_at_least(str(least))}|{_OTHER_NUMBER}"
    if operator in ("<", "<="):
        return f"{_at_most(str(whole))}|{_OTHER_NUMBER}"
    return f"0*{whole}|{_OTHER_NUMBER}" if whole == bound else _OTHER_NUMBER


def _at_least(digits: str) -> str:
    """Digits that are a number so large, or have more zeros before it."""
    rest = len(digits)
    greater = (
        f"{digits[:n]}[{int(digit) + 1}-9][0-9]{{{rest - n - 1}}}" for n, digit in enumerate(digits) if digit != "9"
    )
    return "|".join((f"[0-9]{{{rest + 1},}}", digits, *greater))


def _at_most(digits: str) -> str:
    """Digits that are a number so small, or begin with a zero."""
    rest = len(digits)
    less = (
        f"{digits[:n]}[0-{int(digit) - 1}][0-9]{{{rest - n - 1}}}" for n, digit in enumerate(digits) if digit != "0"
    )
    fewer = (f"[0-9]{{1,{rest - 1}}}",) if rest > 1 else ()
    return "|".join(("0[0-9]*", digits, *fewer, *less))
