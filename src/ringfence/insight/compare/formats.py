"""A comparison as text, JSON, Markdown, JUnit (JUnit XML as CI servers read it) and SARIF (OASIS SARIF 2.1.0)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ringfence import __version__
from ringfence.insight.compare.changes import Entry, Kind
from ringfence.insight.reach.words import packet_line

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The entries between two networks of these names; `failing`: those that a threshold does not allow."""

    before: str
    after: str
    entries: Sequence[Entry]
    failing: frozenset[int] = frozenset()

    def summary(self) -> str:
        """`2 opened, 1 closed`, or that nothing changed."""
        counts = Counter(entry.kind for entry in self.entries)
        return ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind]) or "no difference"


def text(of: Comparison) -> str:
    """For a terminal."""
    out = []
    for number, entry in enumerate(of.entries):
        mark = "!" if number in of.failing else " "
        out.append(f"{mark} {entry.title()}")
        if entry.example is not None and entry.sender is not None:
            out += [
                f"    e.g. {packet_line(entry.sender, entry.example)}",
                f"    before: {entry.then}",
                f"    after:  {entry.now}",
            ]
    return "\n".join([*out, of.summary()]) + "\n"


def as_json(of: Comparison) -> str:
    """For programs."""
    entries = [{**entry.view(), "failing": number in of.failing} for number, entry in enumerate(of.entries)]
    counts = Counter(entry.kind.value for entry in of.entries)
    body = {"before": of.before, "after": of.after, "counts": dict(counts), "changes": entries}
    return json.dumps(body, indent=2) + "\n"


def markdown(of: Comparison) -> str:
    """For a pull request."""
    out = [f"### Reachability: {of.summary()}", "", f"`{of.before}` → `{of.after}`", ""]
    if of.entries:
        out += ["| | from | to | what | example | before | after |", "|---|---|---|---|---|---|---|"]
    for number, entry in enumerate(of.entries):
        mark = {Kind.OPENED: "opened", Kind.CLOSED: "closed", Kind.UNKNOWN: "unknown"}[entry.kind]
        example = "" if entry.example is None or entry.sender is None else packet_line(entry.sender, entry.example)
        cells = (
            f"**{mark}**" if number in of.failing else mark, ", ".join(entry.source), ", ".join(entry.destination),
            entry.what, example, entry.then, entry.now,
        )  # fmt: skip
        out.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(out) + "\n"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def junit(of: Comparison) -> str:
    """A test case for each change; a failure for each that fails."""
    cases = []
    for number, entry in enumerate(of.entries):
        body = ""
        if number in of.failing:
            detail = f"before: {entry.then}\nafter: {entry.now}"
            body = f"<failure message={quoteattr(entry.title())}>{escape(detail)}</failure>"
        name = quoteattr(entry.title())
        cases.append(f'    <testcase classname="reachability.{entry.kind}" name={name}>{body}</testcase>')
    if not cases:
        cases.append('    <testcase classname="reachability" name="no difference"></testcase>')
    head = f'<testsuite name="ringfence diff" tests="{len(cases)}" failures="{len(of.failing)}" errors="0">'
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", f"  {head}", *cases, "  </testsuite>"]
    return "\n".join([*lines, "</testsuites>"]) + "\n"


_RULES = {
    Kind.OPENED: ("reachability-opened", "Packets arrive that did not before"),
    Kind.CLOSED: ("reachability-closed", "Packets no longer arrive"),
    Kind.UNKNOWN: ("reachability-unknown", "What packets do cannot be told"),
}


def sarif(of: Comparison) -> str:
    """For code scanning: a result for each change, at the network that is new."""
    rules = [
        {"id": id, "shortDescription": {"text": description}, "defaultConfiguration": {"level": "warning"}}
        for id, description in _RULES.values()
    ]
    driver = {"name": "ringfence diff", "version": __version__, "rules": rules}
    results = [_result(of, number, entry) for number, entry in enumerate(of.entries)]
    body = {"$schema": SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(body, indent=2) + "\n"


def _result(of: Comparison, number: int, entry: Entry) -> dict[str, Any]:
    id = _RULES[entry.kind][0]
    example = "" if entry.example is None or entry.sender is None else packet_line(entry.sender, entry.example)
    said = "\n".join(
        line
        for line in (
            entry.title(), example and f"Example: {example}", entry.then and f"Before: {entry.then}",
            entry.now and f"After: {entry.now}",
        )
        if line
    )  # fmt: skip
    where = [{"name": name, "kind": "resource"} for name in (*entry.source, *entry.destination)]
    print_ = hashlib.sha256(f"{entry.kind}/{entry.source}/{entry.destination}/{entry.what}".encode()).hexdigest()
    return {
        "ruleId": id,
        "ruleIndex": list(_RULES).index(entry.kind),
        "level": "error" if number in of.failing else "warning" if entry.kind is not Kind.CLOSED else "note",
        "message": {"text": said},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": of.after}, "region": {"startLine": 1}},
            "logicalLocations": where,
        }],
        "partialFingerprints": {"change/v1": print_},
    }  # fmt: skip


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "text": text, "json": as_json, "markdown": markdown, "junit": junit, "sarif": sarif,
}  # fmt: skip
