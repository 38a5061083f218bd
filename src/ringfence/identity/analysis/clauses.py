"""Statements as the analysis reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.identity.analysis import candidates
from ringfence.identity.analysis.candidates import Pattern, Step

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_HOLDER = 0xE000  # private characters stand for variables while a text is cut at its colons


@dataclass(frozen=True, slots=True)
class Test:
    """One operator on one key."""

    operator: str
    key: str  # lower case
    values: tuple[str, ...]

    @property
    def name(self) -> str:
        """`stringlike`, without set operator and `IfExists`."""
        return self.operator.lower().rpartition(":")[2].removesuffix("ifexists")

    @property
    def of_set(self) -> bool:
        return ":" in self.operator

    def plain(self) -> str:
        """The operator without its set operator."""
        return self.operator.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class Clause:
    """A statement; `resources` None where it has no such element."""

    index: int
    sid: str | None
    allows: bool
    actions: tuple[str, ...]
    not_action: bool
    resources: tuple[str, ...] | None
    not_resource: bool
    element: dict[str, Any]  # as written
    tests: tuple[Test, ...]
    variables: bool  # whether the policy's language has them


@dataclass(frozen=True, slots=True)
class Text:
    """A pattern, and whether it has a variable, which stands for any text here."""

    pattern: Pattern
    open: bool


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read(text: str) -> tuple[Clause, ...]:
    """The statements of a policy that is known to be one."""
    document = json.loads(text)
    variables = document.get("Version") == "2012-10-17"
    return tuple(_clause(i, s, variables) for i, s in enumerate(_list(document["Statement"])))


def _clause(index: int, statement: dict[str, Any], variables: bool) -> Clause:
    resources = statement.get("NotResource", statement.get("Resource"))
    return Clause(
        index,
        statement.get("Sid"),
        statement["Effect"] == "Allow",
        tuple(a.lower() for a in _list(statement.get("NotAction", statement.get("Action")))),
        "NotAction" in statement,
        None if resources is None else tuple(_list(resources)),
        "NotResource" in statement,
        statement,
        tuple(_tests(statement.get("Condition") or {})),
        variables,
    )


def _tests(condition: dict[str, dict[str, Any]]) -> Iterator[Test]:
    for operator, keys in condition.items():
        for key, values in keys.items():
            yield Test(operator, key.lower(), tuple(_text(v) for v in _list(values)))


# ------------------------------------------------------------------------------------------------------------- variables
def _held(text: str, variables: bool) -> tuple[str, list[str]]:
    """The text with a private character for each variable, and the variables."""
    if not variables:
        return text, []
    found: list[str] = []

    def hold(match: re.Match[str]) -> str:
        found.append(match[1])
        return chr(_HOLDER + len(found) - 1)

    return _VARIABLE.sub(hold, text), found


def _filled(pattern: Pattern, names: list[str], without: str = "") -> Text:
    """The variables put back: `${*}` and its like as characters, others as any text."""
    steps: list[Step] = []
    open_ = False
    for step in pattern:
        held = next((ord(c) - _HOLDER for c in step.chars if 0 <= ord(c) - _HOLDER < len(names)), None)
        if held is None or step.other:
            steps.append(step)
        elif names[held] in ("*", "?", "$"):
            steps.append(Step(frozenset(names[held])))
        else:
            open_ = True
            steps.append(Step(frozenset(without), other=True, many=True))
    return Text(tuple(steps), open_)


#: a `*` at the end of a field of Resource, which "can expand to match beyond the colon boundaries"; and a colon
_CROSS = Step(frozenset(), other=True, many=True)
_COLON = Step(frozenset(":"))
_WITHIN = Step(frozenset(":"), other=True, many=True)


def fields(resource: str, variables: bool) -> list[tuple[Text, ...]]:
    """The ways in which a resource's pattern can fall to the six fields of an ARN; each is a pattern for each field."""
    text, names = _held(resource, variables)
    steps: list[Step] = []
    for number, part in enumerate(text.split(":", 5)):
        field = candidates.wild(part, without="" if number == 5 else ":")
        if number < 5 and part.endswith("*"):
            field = (*field[:-1], _CROSS)
        steps += [_COLON, *field] if number else field
    return [tuple(_filled(one, names) for one in way) for way in _ways(tuple(steps), 5)]


def _ways(steps: Pattern, colons: int) -> list[tuple[Pattern, ...]]:
    """Each colon of the ARN is one of the pattern's, or lies in a run that crosses."""
    if not colons:
        return [(steps,)]
    found: list[tuple[Pattern, ...]] = []
    for at, step in enumerate(steps):
        before = tuple(_WITHIN if one is _CROSS else one for one in steps[:at])
        if step is _COLON:
            found += [(before, *rest) for rest in _ways(steps[at + 1 :], colons - 1)]
            break
        if step is _CROSS:
            found += [((*before, _WITHIN), *rest) for rest in _ways(steps[at:], colons - 1)]
    return [way for way in found if not any(way is not other and _within(way, other) for other in found)]


def _within(way: tuple[Pattern, ...], other: tuple[Pattern, ...]) -> bool:
    """Whether the other way certainly takes in all of this one."""
    return way != other and all(
        theirs in (ours, (_CROSS,), (_WITHIN,)) for ours, theirs in zip(way, other, strict=True)
    )


def value(test: Test, wanted: str, variables: bool) -> Text:
    """The pattern of one value of a String or ARN operator."""
    text, names = _held(wanted, variables)
    if test.name.startswith("arn"):
        return _filled(candidates.arn(text), names)
    if test.name.endswith("like"):
        return _filled(candidates.wild(text), names)
    return _filled(candidates.literal(text, any_case=test.name.endswith("ignorecase")), names)


#: what a witness has for a variable that the policies do not compare with anything
SAMPLE = "value"


def names(texts: Iterable[str]) -> set[str]:
    """The condition keys that variables in these texts stand for."""
    bodies = (body for text in texts for body in _VARIABLE.findall(text))
    return {body.partition(",")[0].strip().lower() for body in bodies} - {"*", "?", "$", ""}


def sample(resource: str) -> list[str] | None:
    """The fields of a resource whose variables have the value `SAMPLE`; None if it has no variables."""
    if not names([resource]):
        return None
    filled = _VARIABLE.sub(lambda found: found[1] if found[1] in ("*", "?", "$") else SAMPLE, resource)
    return filled.replace("*", "").replace("?", "x").split(":", 5)
