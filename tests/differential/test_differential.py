"""The specification, the evaluator and the trace must say the same of every packet (a sample; `make differential` runs more)."""

from __future__ import annotations

import pytest

from ringfence.insight.reach.trace import trace_request
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.policy import evaluate
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.differential.compare import Listed, Neighbours, Peered, Run, Served, run


@pytest.mark.parametrize(
    ("scene", "count", "cases"),
    [(Run, 30, 1700), (Neighbours, 40, 2500), (Listed, 6, 300), (Peered, 12, 600), (Served, 6, 300)],
)
def test_specification_and_evaluator_agree(scene: type[Run], count: int, cases: int) -> None:
    tally = run(range(count), 60, scene=scene)
    assert tally.differences == []
    assert tally.cases > cases
    assert 0.1 < tally.delivered / tally.cases < 0.85, "the generator has lost its balance"


@pytest.mark.parametrize(("scene", "count"), [(Run, 14), (Peered, 3), (Served, 3), (Neighbours, 10)])
def test_conversations_and_trace_agree(scene: type[Run], count: int) -> None:
    """spec.converse == evaluate.converse == trace, on fresh tables, with the layer that drops."""
    traced = 0
    for seed in range(1000, 1000 + count):
        play = scene(seed)
        ir = play._compiled()
        for _ in range(40):
            source, packet = play.packet()
            said = spec.converse(play.rows, packet, source)
            verdict, _ = evaluate.converse(ir, packet, source)
            assert (verdict.dropped_at or "ok") == said, (seed, source, packet)
            if packet.protocol in (6, 17) and source != "internet" and _own(play, source, packet):
                request = {"source": source, "destination": str(packet.dst), "protocol": str(packet.protocol),
                           "port": packet.dport, "source_port": packet.sport, "ipv6": packet.family == 6}  # fmt: skip
                answer = trace_request(play.rows, request)
                assert answer.get("dropped_at", "ok") == said, (seed, source, packet)
                traced += 1
    assert traced > 10 * count


def _own(play: Run, source: str, packet: Packet) -> bool:
    """The trace sends from the first address of a family."""
    eni = play.rows.get(NETWORK_INTERFACE, source)
    return packet.src in (eni.addresses[0], *eni.ipv6[:1])
