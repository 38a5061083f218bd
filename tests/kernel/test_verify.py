"""CFG-05, CFG-07, MON-23: whatever one thing somebody changes by hand is found by a quick look, named, and repaired."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import Any

import pytest

from tests.kernel.tampering import TAMPERS, Tamper, apart

pytestmark = [pytest.mark.netns, pytest.mark.timeout(900)]


@cache
def _played() -> dict[str, Any] | Exception:
    try:
        return apart()
    except (RuntimeError, subprocess.TimeoutExpired) as problem:  # once, not once for each test
        return problem


def played() -> dict[str, Any]:
    found = _played()
    if isinstance(found, Exception):
        raise found
    return found


def test_a_healthy_data_plane_shows_nothing() -> None:
    healthy = played()["healthy"]
    assert healthy["found"]["places"] == 5  # two VPCs, a gateway, a gateway endpoint, the internet
    assert healthy["found"]["findings"] == []
    assert healthy["proof"] == []


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.name)
def test_each_change_is_found_named_and_repaired(tamper: Tamper) -> None:
    """Named by whose it is, what it is and how it differs; the proof says what it means for packets; what may have opened
    something is closed meanwhile; and in the end the kernel holds what it held before."""
    seen = played()[tamper.name]
    named = {(each["component"], each["what"], each["drift"]) for each in seen["found"]}
    assert (tamper.component, tamper.what, tamper.drift) in named
    said = {each["drift"] for each in seen["proof"]}
    assert tamper.proof in said if tamper.proof else not said
    assert seen["closed meanwhile"] != tamper.shut
    assert (seen["repaired"], seen["problems"], seen["closed"]) == (True, [], [])
    assert (seen["again"], seen["proof again"], seen["changed"]) == ([], [], [])


def test_looks_beside_changes() -> None:
    """Rules that Ringfence changes while they are read are no drift; a foreign rule among them is found all the same."""
    seen = played()["beside"]
    assert seen["changes"] > 10
    assert seen["healthy"] == [[]] * 5
    named = {(each["component"], each["what"], each["drift"]) for each in seen["found"]}
    assert (named, seen["repaired"], seen["after"]) == ({("v1", "rule", "extra")}, True, [])
    assert seen["endpoints"] == [True]  # told when they are others, not with every change


def test_a_closed_endpoint_is_not_heard() -> None:
    """Nothing is forwarded there: closed is what hears nothing."""
    assert played()["closed endpoint"] == [True, False, True]
