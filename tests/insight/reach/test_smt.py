"""An SMT solver agrees with the engine about every packet between two addresses, and is not easily satisfied."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ringfence.insight.reach.engine import Engine
from ringfence.model.world import World
from ringfence.policy.ir import Ir
from tests.differential import directed, smt
from tests.differential.compare import Run
from tests.insight.reach.faults import FAULTS
from tests.sampling import part

#: faults that are about neither appliances, nor changes, nor addresses that nobody has: what the formulas speak of
WITHIN_REACH = (
    "acl-order-reversed", "acl-inside-a-subnet", "acl-denies-ignored", "acl-implicit-deny-missing", "acl-outbound-skipped",
    "acl-inbound-skipped", "acl-not-asked-about-answers", "acl-asked-for-the-wrong-remote", "senders-gate-skipped",
    "receivers-gate-skipped", "references-ignored", "only-the-first-group-counts", "rules-of-one-family-hold-for-the-other",
    "narrow-blocks-hide-wide-ones", "answers-asked-the-rules", "answers-of-every-kind-held",
    "answers-judged-by-the-questions-port", "ranges-end-one-early", "ranges-begin-one-late", "udp-is-tcp",
    "icmp-codes-ignored", "all-protocols-are-tcp-udp-icmp", "shortest-prefix-wins", "every-route-is-local",
    "addresses-not-exchanged-on-the-way-in", "source-ports-ignored",
)  # fmt: skip


@pytest.fixture(scope="module")
def worlds() -> list[tuple[World, Ir]]:
    """Six random VPCs, every other one with ACLs whose entries contradict each other."""
    out = []
    for seed in range(6):
        run = Run(seed)
        if seed % 2:
            directed.strict(run.api.call, run.chance, run.site)
        out.append((run.api.world, run._compiled()))
    return out


def _findings(worlds: list[tuple[World, Ir]]) -> Iterator[str | None]:
    for world, ir in worlds:
        engine = Engine(ir)
        for check in (smt.check_pairs, smt.check_inbound):
            yield from (packet for _, packet in check(world, engine))


def test_sets_are_proven(worlds: list[tuple[World, Ir]]) -> None:
    """MON-18, for all packets: 70 of the sets are not empty."""
    found = list(_findings(worlds))
    assert len(found) > 150
    assert set(found) == {None}


@pytest.mark.parametrize("name", part(WITHIN_REACH))
def test_a_fault_of_the_engine_is_disproven(
    name: str, worlds: list[tuple[World, Ir]], monkeypatch: pytest.MonkeyPatch
) -> None:
    FAULTS[name](monkeypatch)
    assert any(packet is not None for packet in _findings(worlds))
