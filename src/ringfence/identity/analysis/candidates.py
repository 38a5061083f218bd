"""Values of one coordinate: at least one for every way in which the given tests can come out."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

STATES = 20_000  #: of a product of patterns
SETS = 5_000  #: of values of a multi-valued key


class TooComplex(Exception):
    """The question is beyond the bounds: whoever asks must assume the worst."""


@dataclass(frozen=True, slots=True)
class Step:
    """One element of a pattern: one character, or any run of them (`many`), of `chars`, or not of them (`other`)."""

    chars: frozenset[str]
    other: bool = False
    many: bool = False

    def takes(self, char: str) -> bool:
        return (char in self.chars) is not self.other


Pattern = tuple[Step, ...]


def literal(text: str, *, any_case: bool = False) -> Pattern:
    """Exactly this text."""
    return tuple(Step(frozenset({c.lower(), c.upper()} if any_case else {c})) for c in text)


def wild(text: str, *, without: str = "") -> Pattern:
    """A text with `*` and `?`, which do not stand for the characters of `without`."""
    barred = frozenset(without)
    kinds = {"*": Step(barred, other=True, many=True), "?": Step(barred, other=True)}
    return tuple(kinds.get(c) or Step(frozenset(c)) for c in text)


def arn(text: str) -> Pattern:
    """An ARN pattern: a wildcard stays within its field, of which there are six."""
    fields = text.split(":", 5)
    if len(fields) != 6:
        return (Step(frozenset()),)  # nothing is like it
    steps: list[Step] = []
    for field in fields[:5]:
        steps += [*wild(field, without=":"), Step(frozenset(":"))]
    return (*steps, *wild(fields[5]))


# ------------------------------------------------------------------------------------------------------------------ text
_Positions = tuple[frozenset[int], ...]


def _closed(pattern: Pattern, positions: Iterable[int]) -> frozenset[int]:
    """Runs may be empty."""
    found = set(positions)
    for at in sorted(found):
        while at < len(pattern) and pattern[at].many:
            at += 1
            found.add(at)
    return frozenset(found)


def _next(pattern: Pattern, positions: frozenset[int], char: str) -> frozenset[int]:
    taken = (at for at in positions if at < len(pattern) and pattern[at].takes(char))
    return _closed(pattern, [at if pattern[at].many else at + 1 for at in taken])


def accepts(pattern: Pattern, text: str) -> bool:
    """Whether the text is of the pattern."""
    at = _closed(pattern, [0])
    for char in text:
        at = _next(pattern, at, char)
    return len(pattern) in at


def texts(patterns: Sequence[Pattern], *, without: str = "") -> list[str]:
    """A text, without these characters, for each set of patterns that can be matched together and without the others.

    Walks the product of the patterns' automata breadth first, so the texts are short. TooComplex beyond `STATES`.
    """
    named = sorted({c for p in patterns for step in p for c in step.chars} - set(without))
    others = itertools.chain("xyz0", map(chr, range(0x100, 0x110000)))
    alphabet = [next(c for c in others if c not in named), *named]
    start: _Positions = tuple(_closed(p, [0]) for p in patterns)
    seen, queue = {start: ""}, [start]
    found: dict[tuple[bool, ...], str] = {}
    for state in queue:
        signature = tuple(len(p) in at for p, at in zip(patterns, state, strict=True))
        found.setdefault(signature, seen[state])
        for char in alphabet:
            after = tuple(_next(p, at, char) for p, at in zip(patterns, state, strict=True))
            if after not in seen:
                if len(seen) >= STATES:
                    raise TooComplex("too many patterns for one part of the request")
                seen[after] = seen[state] + char
                queue.append(after)
    return list(found.values())


# --------------------------------------------------------------------------------------------------------------- ordered
def points(bounds: Iterable[Fraction], step: Fraction) -> list[Fraction]:
    """Each bound, a value between any two neighbours, one below and one above all."""
    edges = sorted(set(bounds)) or [Fraction(0)]
    between = [(low + high) / 2 for low, high in itertools.pairwise(edges)]
    return [edges[0] - step, *edges, *between, edges[-1] + step]


def number(value: Fraction) -> str:
    """Decimal notation; TooComplex if it has none that is short."""
    places = next((n for n in range(30) if (value * 10**n).denominator == 1), None)
    if places is None:
        raise TooComplex("a number without a short decimal notation")
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    whole, part = (digits[:-places], "." + digits[-places:]) if places else (digits, "")
    return ("-" if value < 0 else "") + whole + part


def moment(value: Fraction) -> str:
    """A point in time as ISO 8601, to the microsecond."""
    try:
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(value * 1_000_000))
    except OverflowError:
        raise TooComplex("a time out of reach") from None
    return when.isoformat().replace("+00:00", "Z")


def addresses(blocks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> list[str]:
    """The first address of each stretch between the edges of the blocks."""
    edges: dict[int, set[int]] = {4: {0}, 6: {0}}
    for block in blocks:
        edges[block.version] |= {int(block.network_address), int(block.broadcast_address) + 1}
    v4 = [str(ipaddress.IPv4Address(n)) for n in sorted(edges[4]) if n < 2**32]
    return v4 + [str(ipaddress.IPv6Address(n)) for n in sorted(edges[6]) if n < 2**128]


# ------------------------------------------------------------------------------------------------------------------ sets
def sets(values: Sequence[str], tests: Sequence[Callable[[str], bool]]) -> list[tuple[str, ...]]:
    """Sets of values for every way in which "all" and "any" of the tests can come out together.

    To show that some value passes a test, or fails it, takes one value each: more are never needed.
    """
    different: dict[tuple[bool, ...], str] = {}
    for value in values:
        different.setdefault(tuple(test(value) for test in tests), value)
    most = min(len(different), 2 * len(tests))
    found: list[tuple[str, ...]] = []
    for size in range(most + 1):
        for chosen in itertools.combinations(different.values(), size):
            found.append(chosen)
            if len(found) > SETS:
                raise TooComplex("too many tests of one multi-valued key")
    return found
