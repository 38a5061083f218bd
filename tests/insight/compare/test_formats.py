"""What CI reads: JSON, Markdown, JUnit, SARIF; exit status by thresholds."""

from __future__ import annotations

import json
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any

import pytest

from ringfence.cli.main import main
from ringfence.insight.compare.changes import Entry, Kind
from ringfence.insight.compare.formats import FORMATS, Comparison
from ringfence.insight.imports import snapshot
from tests.builders import ANY, ingress
from tests.insight.compare.test_changes import web

HOSTILE = Entry(
    kind=Kind.OPENED, vpc_id="vpc-1", internet=False, source=('<a>&"|`',), destination=("b\nc",), what="tcp 22",
    then="<b>", now="|",
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A network, and the same with ssh open to the world."""
    out = []
    for name, world in (("before", web()), ("after", web(ingress(ANY, "tcp", 22)))):
        path = tmp_path / f"{name}.json"
        path.write_text(snapshot.text(world))
        out.append(str(path))
    return out[0], out[1]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_well_formed(format: str) -> None:
    shown = FORMATS[format](Comparison("a.json", "b.json", [HOSTILE], frozenset({0})))
    if format in ("json", "sarif"):
        assert json.loads(shown)
    if format == "junit":
        assert xml.fromstring(shown).find(".//failure") is not None
    if format == "markdown":
        row = [line for line in shown.splitlines() if line.startswith("| **opened")]
        assert len(row) == 1
        assert "<a>" not in row[0]


@pytest.mark.parametrize("format", FORMATS)
def test_no_difference(format: str) -> None:
    shown = FORMATS[format](Comparison("a", "b", []))
    if format == "junit":
        assert xml.fromstring(shown).find("testsuite").get("failures") == "0"  # type: ignore[union-attr]
    if format == "sarif":
        assert json.loads(shown)["runs"][0]["results"] == []
    if format in ("text", "markdown"):
        assert "no difference" in shown


def test_sarif_has_what_code_scanning_needs(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """SARIF 2.1.0: rules, levels, a place and a fingerprint for each result."""
    assert main(["diff", *files, "--format", "sarif", "--fail-on", "exposed"]) == 1
    log: dict[str, Any] = json.loads(capsys.readouterr().out)
    run = log["runs"][0]
    assert (log["version"], run["tool"]["driver"]["name"]) == ("2.1.0", "ringfence diff")
    known = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert known[result["ruleIndex"]] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == files[1]
        assert result["partialFingerprints"]["change/v1"]
    assert [result["level"] for result in run["results"]] == ["error", "warning"], "exposed, and opened inside"


THRESHOLDS = [
    ((), 0, 0), (("opened",), 1, 0), (("exposed",), 1, 0), (("closed",), 0, 1), (("unknown",), 0, 0), (("any",), 1, 1),
    (("closed", "opened"), 1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("names", "there", "back"), THRESHOLDS)
def test_thresholds(names: tuple[str, ...], there: int, back: int, files: tuple[str, str]) -> None:
    options = [part for name in names for part in ("--fail-on", name)]
    assert main(["diff", files[0], files[1], *options]) == there
    assert main(["diff", files[1], files[0], *options]) == back
    assert main(["diff", files[0], files[0], *options]) == 0


def test_unknown_fails_what_forbids_opening(tmp_path: Path, files: tuple[str, str]) -> None:
    from tests.cli.test_importing import written
    from tests.insight.imports.recording import site

    documents = site()
    whole = written(tmp_path / "whole", documents)
    del documents["acls"]
    partial = written(tmp_path / "partial", documents)
    assert main(["diff", str(whole), str(partial), "--fail-on", "opened"]) == 1
    assert main(["diff", str(whole), str(partial), "--fail-on", "opened", "--allow-unknown"]) == 0


def test_into_a_file_and_bad_usage(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.xml"
    assert main(["diff", *files, "--format", "junit", "-o", str(report)]) == 0
    assert xml.fromstring(report.read_text()).tag == "testsuites"
    assert main(["diff", files[0], str(tmp_path / "none")]) == 2
    assert "there is no" in capsys.readouterr().err
    assert main(["diff", *files, "-o", str(tmp_path / "no/where")]) == 2


def test_for_people(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["diff", *files, "--fail-on", "exposed"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("! opened: 0.0.0.0/0 -> ")
    assert lines[-1] == "2 opened"
