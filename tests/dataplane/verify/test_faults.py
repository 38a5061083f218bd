"""CFG-05, CFG-07: what the proof says of worlds with one thing wrong; and faults seeded into compiler and verifier are noticed."""

from __future__ import annotations

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


def _of_the_verifier() -> bool:
    from tests.dataplane.verify import battery

    return any(True for _ in battery.problems())


def _of_gateways() -> bool:
    from tests.dataplane.verify import gateways

    return any(True for _ in gateways.problems())


def _of_services() -> bool:
    from tests.dataplane.verify import services

    return any(True for _ in services.problems())


def _of_what_is_joined() -> bool:
    from tests.dataplane.verify import joined

    return any(True for _ in joined.problems())


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", SERVICES, ids=lambda fault: fault.id)
def test_the_battery_notices_a_fault_of_the_proof_of_gateway_endpoints(fault: Fault) -> None:
    assert not survives(fault, _of_services)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", JOINED, ids=lambda fault: fault.id)
def test_the_battery_notices_a_fault_of_the_proof_of_links_to_others(fault: Fault) -> None:
    assert not survives(fault, _of_what_is_joined)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", GATEWAYS, ids=lambda fault: fault.id)
def test_the_battery_notices_a_fault_of_the_proof_of_gateways(fault: Fault) -> None:
    assert not survives(fault, _of_gateways)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", COMPILER, ids=lambda fault: fault.id)
def test_the_proof_notices_a_fault_of_the_compiler(fault: Fault) -> None:
    assert not survives(fault, _of_the_compiler)


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", VERIFIER, ids=lambda fault: fault.id)
def test_the_battery_notices_a_fault_of_the_verifier(fault: Fault) -> None:
    assert not survives(fault, _of_the_verifier)
