"""The coordinates of the requests that given policies tell apart, and their statements as regions."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import partial
from typing import Any

from ringfence.identity.analysis import candidates, clauses, people
from ringfence.identity.analysis.candidates import Pattern, accepts
from ringfence.identity.analysis.clauses import Clause, Test
from ringfence.identity.analysis.engine import Catalogue, Engine
from ringfence.identity.analysis.search import Box, Region
from ringfence.identity.principal import Principal

NAMED = 1  # bit of the coordinate "named": a resource with an ARN; an action that has none ("*")
FIELDS = tuple(f"field{i}" for i in range(6))
_FAMILIES = {"string": "text", "arn": "text", "numeric": "number", "date": "date", "bool": "bool", "binary": "bytes"}


def _family(name: str) -> str:
    if name.endswith("ipaddress"):
        return "address"
    return next(family for start, family in _FAMILIES.items() if name.startswith(start))


class Space:
    """Coordinates for several policies at once. `named`: they are resource policies, whose statements name principals.

    `access`: patterns of actions and resources that the caller will ask about besides. Raises TooComplex.
    """

    def __init__(
        self, policies: Sequence[Sequence[Clause]], engine: Engine, *, named: bool, access: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:  # fmt: skip
        self.compile, self.engine, self.named = engine.compile_test, engine, named
        every = [clause for policy in policies for clause in policy]
        self.values: dict[str, list[Any]] = {"named": ["named", "*"]}
        self.opaque: set[str] = set()
        self._keys(every)
        self._actions([a for c in every for a in c.actions] + [a.lower() for a in access[0]], engine.catalogue)
        self._fields([(r, c.variables) for c in every for r in c.resources or ()] + [(r, False) for r in access[1]])
        if named:
            arns = self.values.pop("key:aws:principalarn", [])
            self.values.pop("key:aws:principalaccount", None)
            self.values["who"] = people.candidates([c.element for c in every], [a for a in arns if isinstance(a, str)])

    # ------------------------------------------------------------------------------------------------------ candidates
    def _actions(self, patterns: Iterable[str], catalogue: Catalogue) -> None:
        wanted = list(dict.fromkeys(patterns))
        shapes = [candidates.wild(p) for p in wanted]
        services = {p.partition(":")[0] for p in wanted}
        known = {f"{s}:{a}".lower(): f"{s}:{a}" for s in services if s in catalogue for a in catalogue[s]}
        made = [t for t in candidates.texts([*shapes, candidates.wild("?*:?*")]) if ":" in t.strip(":")]
        # a literal that the catalogue lacks stays: the service may be newer than it
        strange = [t for t in made if t.partition(":")[0] not in catalogue or t in wanted]
        different: dict[tuple[bool, ...], str] = {}
        for action in [*known, *strange]:
            different.setdefault(tuple(accepts(s, action) for s in shapes), known.get(action, action))
        self.values["action"] = list(different.values())

    def _fields(self, resources: Iterable[tuple[str, bool]]) -> None:
        shapes: list[dict[Pattern, None]] = [{} for _ in FIELDS]
        samples: list[list[str]] = [[] for _ in FIELDS]
        for resource, variables in dict.fromkeys(resources):
            filled = clauses.sample(resource) if variables else None
            for i, text in enumerate(filled or ()):
                samples[i].append(text)
            for way in clauses.fields(resource, variables):
                for i, field in enumerate(way):
                    shapes[i][field.pattern] = None
        plain = ("arn", "aws", "service", "region", "account", "resource")
        for name, patterns, usual, some in zip(FIELDS, shapes, plain, samples, strict=True):
            different: dict[tuple[bool, ...], str] = {}
            barred = "" if name == FIELDS[-1] else ":"
            for text in [usual, *some, *candidates.texts(list(patterns), without=barred)]:
                different.setdefault(tuple(accepts(p, text) for p in patterns), text)
            self.values[name] = list(different.values())

    def _keys(self, every: Sequence[Clause]) -> None:
        tests: dict[str, list[tuple[Test, Clause]]] = {}
        for clause in every:
            for test in clause.tests:
                tests.setdefault(test.key, []).append((test, clause))
        for key, these in tests.items():
            self.values[f"key:{key}"] = self._of_key(key, these)

    def _of_key(self, key: str, tests: Sequence[tuple[Test, Clause]]) -> list[Any]:
        compared = [(t, c) for t, c in tests if t.name != "null"]
        family = _family(compared[0][0].name) if compared else "text"
        readable = []
        for test, clause in compared:
            if _family(test.name) != family or _open(test, clause):
                self._add_opaque(_opaque_name(test, clause))
            else:
                readable.append((test, clause))
        if key == "aws:principalarn" and self.named:
            values = candidates.texts([*_patterns(readable), *people.SHAPES])
        else:
            values = _VALUES[family](readable)
        if not any(t.of_set for t, _ in tests):
            return [None, *dict.fromkeys(values)]
        singles = [self.compile(t.plain(), key, t.values, c.variables, c.allows) for t, c in readable]
        checks = [lambda v, s=single: s({key: v}) for single in singles]
        return [None, *candidates.sets(list(dict.fromkeys(values)), checks)]

    def _add_opaque(self, name: str) -> None:
        self.values[name] = [True, False]
        self.opaque.add(name)

    # --------------------------------------------------------------------------------------------------------- regions
    def regions(self, clause: Clause) -> list[Region]:
        """The requests that a statement applies to."""
        box: dict[str, int] = {"action": self.action_mask(clause.actions, negated=clause.not_action)}
        if self.named:
            box["who"] = _mask(self.values["who"], lambda who: self.engine.named(clause.element, who))
        for test in clause.tests:
            name, mask = self._test(test, clause)
            box[name] = box.get(name, -1) & mask
        if not all(box.values()):
            return []
        if clause.resources is None:
            return [Region(box)]
        listed = [one for r in clause.resources for one in self.resource_boxes(r, clause.variables)]
        if clause.not_resource:
            return [Region(box, tuple(listed))]
        if {} in listed:
            return [Region(box)]
        return [Region({**box, **one}) for one in listed]

    def action_mask(self, patterns: Sequence[str], *, negated: bool = False) -> int:
        shapes = [candidates.wild(p.lower()) for p in patterns]
        return _mask(self.values["action"], lambda a: any(accepts(s, a.lower()) for s in shapes) is not negated)

    def resource_boxes(self, resource: str, variables: bool) -> list[dict[str, int]]:
        """The resources of a pattern."""
        if resource == "*":
            return [{}]
        boxes = (self._box(resource, way) for way in clauses.fields(resource, variables))
        return [box for box in boxes if box is not None]

    def _box(self, resource: str, way: Sequence[clauses.Text]) -> dict[str, int] | None:
        box = {"named": NAMED}
        for name, field in zip(FIELDS, way, strict=True):
            box[name] = _mask(self.values[name], partial(accepts, field.pattern))
            if not box[name]:
                return None
        if any(field.open for field in way):
            name = f"?resource {resource}"
            self._add_opaque(name)
            box[name] = 1
        return box

    def _test(self, test: Test, clause: Clause) -> tuple[str, int]:
        name = _opaque_name(test, clause)
        if name in self.opaque:
            return name, 1
        holds = self.compile(test.operator, test.key, test.values, clause.variables, clause.allows)
        if self.named and test.key in people.KEYS:
            return "who", _mask(self.values["who"], lambda who: holds(people.context(who)))
        name = f"key:{test.key}"
        return name, _mask(self.values[name], lambda v: holds({} if v is None else {test.key: v}))

    # --------------------------------------------------------------------------------------------------------- witness
    def choose(self, box: Box) -> dict[str, Any]:
        """One point of a box: the first candidate of each coordinate."""
        chosen = {}
        for name, values in self.values.items():
            mask = box.get(name, -1) & ((1 << len(values)) - 1)
            chosen[name] = values[(mask & -mask).bit_length() - 1]
        return chosen


def _mask(values: Sequence[Any], holds: Callable[[Any], bool]) -> int:
    return sum(1 << i for i, value in enumerate(values) if holds(value))


def principal_of(chosen: Mapping[str, Any]) -> Principal:
    """The principal of a point."""
    who = chosen.get("who", people.SOMEBODY)
    assert isinstance(who, Principal)
    return who


# ------------------------------------------------------------------------------------------- values of a condition key
def _open(test: Test, clause: Clause) -> bool:
    """Whether the test cannot be put as a set of values of its key."""
    family = _family(test.name)
    if family == "text":
        return any(clauses.value(test, v, clause.variables).open for v in test.values)
    return family in ("number", "date") and any(_bound(family, v) is None and _digits(v) for v in test.values)


def _digits(text: str) -> bool:
    return any(c.isdigit() for c in text)


def _opaque_name(test: Test, clause: Clause) -> str:
    """The same test in two policies is one coordinate."""
    effect = "" if clause.allows else " in a Deny"
    variables = "" if clause.variables else " without variables"
    return f"?{test.operator} {test.key} {sorted(set(test.values))}{variables}{effect}"


def _patterns(tests: Sequence[tuple[Test, Clause]]) -> list[Pattern]:
    return list(dict.fromkeys(clauses.value(t, v, c.variables).pattern for t, c in tests for v in t.values))


def _bound(family: str, text: str) -> Fraction | None:
    try:
        return Fraction(text) if family == "number" and "/" not in text else _moment(text)
    except (ValueError, ZeroDivisionError):
        return None


def _moment(text: str) -> Fraction:
    if text.lstrip("-").isdigit() and len(text.lstrip("-")) > 4:
        return Fraction(text)
    parts = text.split("-")
    full = text + "-01" * (3 - len(parts)) if len(parts) < 3 else text
    when = datetime.fromisoformat(full if "T" in full else full + "T00:00:00+00:00")
    return Fraction(when.timestamp()).limit_denominator(1_000_000)


def _ordered(family: str, show: Callable[[Fraction], str]) -> Callable[[Sequence[tuple[Test, Clause]]], list[str]]:
    def values(tests: Sequence[tuple[Test, Clause]]) -> list[str]:
        bounds = [b for t, _ in tests for v in t.values if (b := _bound(family, v)) is not None]
        return [*(show(p) for p in candidates.points(bounds, Fraction(1))), "other"]

    return values


def _addresses(tests: Sequence[tuple[Test, Clause]]) -> list[str]:
    blocks = []
    for text in (v for t, _ in tests for v in t.values):
        try:
            blocks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            continue  # no block: no address is in it
    return [*candidates.addresses(blocks), "other"]


def _bytes(tests: Sequence[tuple[Test, Clause]]) -> list[str]:
    given = list(dict.fromkeys(v for t, _ in tests for v in t.values))
    other = next(t for n in range(len(given) + 1) if (t := base64.b64encode(b"x" * (n + 1)).decode()) not in given)
    return [*given, other, "?"]


_VALUES: dict[str, Callable[[Sequence[tuple[Test, Clause]]], list[str]]] = {
    "text": lambda tests: candidates.texts(_patterns(tests)),
    "number": _ordered("number", candidates.number),
    "date": _ordered("date", candidates.moment),
    "bool": lambda _tests: ["true", "false", "other"],
    "bytes": _bytes,
    "address": _addresses,
}
