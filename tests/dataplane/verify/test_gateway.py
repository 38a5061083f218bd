"""CFG-05, CFG-07: the gateway's and the internet's namespaces are proven for all packets (IGW-03 to IGW-11)."""

from __future__ import annotations

import pytest

from tests.dataplane.verify.gateways import PLACES, WRONG, Wrong, differs, said


@pytest.mark.parametrize("name", PLACES)
def test_a_healthy_place_is_proven(name: str) -> None:
    assert said(None, name) == set()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_one_thing_wrong(wrong: Wrong) -> None:
    """The proof says what it means for packets; the comparison sees it whatever it means."""
    told = said(wrong)
    assert wrong.proof in told if wrong.proof else not told
    assert differs(wrong)
