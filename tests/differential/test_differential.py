"""The specification, the evaluator and the trace must say the same of every packet (a sample; `make differential` runs more)."""

from __future__ import annotations

from ringfence.insight.reach.trace import trace_request
from ringfence.policy import evaluate
from ringfence.policy.spec import verdict as spec
from tests.differential import generator
from tests.differential.compare import Neighbours, Run, run


def test_specification_and_evaluator_agree() -> None:
    for scene in (Run, Neighbours):
        tally = run(range(30), 60, scene=scene)
        assert tally.differences == []
        assert tally.cases > 1700
        assert 0.1 < tally.delivered / tally.cases < 0.85, "the generator has lost its balance"


def test_conversations_and_trace_agree() -> None:
    """spec.converse == evaluate.converse == trace, on fresh tables, with the layer that drops."""
    cases = 0
    for seed in range(1000, 1020):
        play = Run(seed)
        ir = play._compiled()
        for _ in range(40):
            source, packet = generator.packet(play.chance, play.site)
            said = spec.converse(play.api.world, packet, source)
            verdict, _ = evaluate.converse(ir, packet, source)
            assert (verdict.dropped_at or "ok") == said, (seed, source, packet)
            if packet.protocol in (6, 17) and source != "internet" and packet.src in _own(play, source):
                request = {"source": source, "destination": str(packet.dst), "protocol": str(packet.protocol),
                           "port": packet.dport, "source_port": packet.sport, "ipv6": packet.family == 6}  # fmt: skip
                traced = trace_request(play.api.world, request)
                assert traced.get("dropped_at", "ok") == said, (seed, source, packet)
            cases += 1
    assert cases == 800


def _own(play: Run, source: str) -> list[object]:
    eni = next(e for e in play.site.interfaces if e["NetworkInterfaceId"] == source)
    address = eni["Ipv6Addresses"][0]["Ipv6Address"]
    return [a for a in play.site.addresses if str(a) in (eni["PrivateIpAddress"], address)]
