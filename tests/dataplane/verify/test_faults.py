"""CFG-05, CFG-07: what the proof says of worlds with one thing wrong; and faults seeded into compiler and verifier are noticed."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from tests.dataplane.verify.battery import WORLDS, WRONG, Wrong, differs, said
from tests.dataplane.verify.faults import COMPILER, GATEWAYS, JOINED, SERVICES, VERIFIER, Fault, survives


@pytest.mark.parametrize("world", WORLDS)
def test_a_healthy_world_is_proven(world: str) -> None:
    assert said(None, world) == set()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_one_thing_wrong(wrong: Wrong) -> None:
    """The proof says what it means for packets; the comparison sees it whatever it means."""
    told = said(wrong)
    assert wrong.proof in told if wrong.proof else not told
    assert differs(wrong)


def _of_the_compiler() -> bool:
    from tests.dataplane.verify import battery

    return any(battery.said(None, world) for world in battery.WORLDS)


def _problems(name: str) -> Callable[[], bool]:
    """Does the battery of that name, read anew, notice anything?"""
    return lambda: any(True for _ in importlib.import_module(f"tests.dataplane.verify.{name}").problems())


BATTERIES = (
    ("compiler", COMPILER, _of_the_compiler),
    ("verifier", VERIFIER, _problems("battery")),
    ("gateways", GATEWAYS, _problems("gateways")),
    ("gateway endpoints", SERVICES, _problems("services")),
    ("links to others", JOINED, _problems("joined")),
)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("fault", "noticed"),
    [pytest.param(fault, noticed, id=f"{name}: {fault.id}") for name, faults, noticed in BATTERIES for fault in faults],
)
def test_a_fault_is_noticed(fault: Fault, noticed: Callable[[], bool]) -> None:
    assert not survives(fault, noticed)
