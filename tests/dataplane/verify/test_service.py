"""CFG-05, CFG-07: what stands beside a VPC is proven for all packets: gateway endpoints (VPE-04, VPE-06) and peers (PCX-05 to PCX-09)."""

from __future__ import annotations

import pytest

from tests.dataplane.verify import battery, gateways, joined, services


def test_a_healthy_endpoint_is_proven() -> None:
    assert gateways.said(None, services.ID) == set()


@pytest.mark.parametrize("wrong", services.WRONG, ids=lambda wrong: wrong.name)
def test_one_thing_wrong_with_an_endpoint(wrong: gateways.Wrong) -> None:
    """The proof says what it means for packets; the comparison sees it too."""
    assert wrong.proof in gateways.said(wrong)
    assert gateways.differs(wrong)


def test_a_healthy_vpc_with_neighbours_is_proven() -> None:
    assert battery.said(None, "joined") == set()


@pytest.mark.parametrize("wrong", joined.WRONG, ids=lambda wrong: wrong.name)
def test_one_thing_wrong_at_the_links_to_others(wrong: battery.Wrong) -> None:
    assert wrong.proof in battery.said(wrong)
    assert battery.differs(wrong)
