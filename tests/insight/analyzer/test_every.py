"""All paths (MON-16): for each pair of addresses the sets of packets are disjoint, together what the engine allows, and each packet's
elements and rules are those that its path shows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from ringfence.insight.analyzer import every as module
from ringfence.insight.analyzer.beyond import aimed, converse, follow
from ringfence.insight.analyzer.candidates import Candidate, Candidates
from ringfence.insight.analyzer.every import every, partition
from ringfence.insight.analyzer.question import End, Question
from ringfence.insight.analyzer.report import PathReporter
from ringfence.insight.analyzer.ways import signature
from ringfence.insight.reach.engine import Answer, Engine
from ringfence.insight.reach.space import Space, packet_at
from ringfence.policy.evaluate import Exchange
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.builders import ANY, changed, egress, group, host, ident, ingress
from tests.insight.analyzer.agreement import Tally
from tests.insight.analyzer.ends import Ended
from tests.insight.analyzer.test_explanations import IGW, PCX, VPCE, Analyser, e, i, site


def _pairs(seed: int) -> Iterator[tuple[Ended, Engine, Candidate, Answer]]:
    """Pairs of addresses of a random network, of interfaces and of all that is beyond, that may say something."""
    ended = Ended(seed, Tally())
    api, chance, held = ended.run.api, ended.chance, ended.run.site
    enis = [End(eni["NetworkInterfaceId"], (eni["NetworkInterfaceId"],)) for eni in held.interfaces]
    beyond = [End(ended.pcx, peering=ended.pcx), End(held.gateway, gateway=held.gateway)]
    sources, yielded = [*enis, *beyond], 0
    pairs = [
        (one, other) for one in sources for other in (*sources, End(ended.vpce, endpoint=ended.vpce)) if one != other
    ]
    for source, destination in chance.sample(pairs, len(pairs)):
        question = Question(source, destination, -1)
        engine = aimed(api.engines.of(api.world), question)
        candidates = [*Candidates(engine, question)]
        for candidate in chance.sample(candidates, min(3, len(candidates))):
            answer = converse(engine, candidate.source, candidate.src, candidate.dst, candidate.by)
            if answer.space and answer.arrives == candidate.end and yielded < 30:
                yielded += 1
                yield ended, engine, candidate, answer


def _corners(
    chance: random.Random, candidate: Candidate, found: list[tuple[Packet, Exchange, Space]]
) -> Iterator[tuple[Packet, Exchange]]:
    """Packets at the ends of the sets' ranges, each with what becomes of its path's."""
    for _, done, space in found:
        ranges = [*space.ranges()]
        for (first, last), sources in chance.sample(ranges, min(5, len(ranges))):
            source = chance.choice(chance.choice(sources)) if sources else None
            yield packet_at(candidate.src, candidate.dst, chance.choice((first, last)), source), done


def _checked(seed: int) -> tuple[int, int]:
    """(pairs, paths of those that have several)."""
    pairs = several = 0
    for ended, engine, candidate, answer in _pairs(seed):
        left, found = answer.space, list(partition(engine, candidate, answer))
        for _, _, space in found:
            assert space.minus(left) == Space(engine.services), "two paths take the same packets"
            left = left.minus(space)
        assert left == Space(engine.services), "packets that no path takes"
        assert len({signature(done) for _, done, _ in found}) == len(found)
        for packet, done in _corners(ended.chance, candidate, found):
            assert signature(follow(engine, candidate.source, packet, candidate.by)) == signature(done)
            if candidate.by is None:
                assert (
                    spec.converse(ended.run.api.world, packet, candidate.source) == "ok" or candidate.end == "service"
                )
        pairs, several = pairs + 1, several + (len(found) if len(found) > 1 else 0)
    return pairs, several


def test_paths_are_a_partition_of_what_is_allowed() -> None:
    tallies = [_checked(seed) for seed in range(5)]
    assert sum(pairs for pairs, _ in tallies) > 60
    assert sum(several for _, several in tallies) > 60


@pytest.mark.parametrize("fault", ["coarse", "twice"])
def test_seeded_faults_are_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that are not told apart; pieces that overlap."""
    if fault == "coarse":
        monkeypatch.setattr(module, "cuts", lambda *_: set())
    else:
        whole = module._products
        monkeypatch.setattr(module, "_space", lambda engine, _: next(iter(_spaces)))
        _spaces: list[Space] = []

        def products(space: Space, asked: int, bounds: list[int]) -> Any:
            _spaces[:] = [space]
            return whole(space, asked, bounds)

        monkeypatch.setattr(module, "_products", products)
    with pytest.raises(AssertionError):
        sum(_checked(seed)[0] for seed in range(40))  # ends at the first that is noticed


def test_of_icmp_what_is_answered_is_told_from_what_is_not() -> None:
    """CT-08: the answer to a query comes back by state; other types open no conversation, so that rules are asked both ways."""
    ping = group("ping", ingress(ANY, "icmp"), egress(ANY, "icmp"))
    world = changed(site(), ping, host("p1", "10.0.0.31", groups=["ping"]), host("p2", "10.0.0.32", groups=["ping"]))
    reply = PathReporter().answer(world, {"source": i("p1"), "destination": i("p2"), "protocol": "icmp"})
    told = {path["hops"][-1]["rule"]["id"]: path["allowed"] for path in reply["paths"]}
    assert len(told) == len(reply["paths"]) == 2
    queries = [row["icmp"] for row in told["tracked"]]
    assert queries[0] == "type 8 code 0 - type 8 code 255"
    assert not [row for row in told[next(id for id in told if id != "tracked")] if row["icmp"] in queries]


# ---------------------------------------------------------------------- what is shown
def test_of_a_question_all_its_paths() -> None:
    """One for each rule that lets in; outside addresses that nothing tells apart are one path."""
    world, reporter = site(), PathReporter()

    def asked(source: str, destination: str, **given: Any) -> list[tuple[str, str, str]]:
        reply = reporter.answer(world, {"source": source, "destination": destination, **given})
        return [(path["source"], path["destination"], path["summary"]) for path in reply["paths"]]

    assert asked(i("open"), i("private")) == [(e("open"), e("private"), "tcp 80"), (e("open"), e("private"), "tcp 443")]
    assert asked(i("open"), i("private"), protocol="tcp", port=443) == [(e("open"), e("private"), "tcp 443")]
    assert asked(i("open"), i("private"), protocol="udp") == []
    inward = [("internet", e("open"), "tcp 80"), ("internet", e("open"), "tcp 443")]
    assert (
        asked(IGW, i("open"))[:2]
        == asked("internet:8.8.8.8", i("open"))
        == asked("internet:8.8.8.8", "198.18.0.1")
        == inward
    )
    assert asked(i("near"), PCX) == [(e("near"), PCX, "everything")]
    assert asked(PCX, i("near")) == [(PCX, e("near"), "tcp 80"), (PCX, e("near"), "tcp 443")]
    assert asked(i("near"), VPCE) == [(e("near"), VPCE, "tcp 443; ping")]
    assert asked(VPCE, i("near")) == []
    (path,) = reporter.answer(world, {"source": i("part"), "destination": i("plain"), "protocol": "tcp", "port": 80})[
        "paths"
    ]
    assert path["through"] == [e("box")]


@pytest.mark.parametrize(
    ("given", "text"),
    [({"source": i("none")}, "NO_SOURCE_OR_DESTINATION"), ({"source": ident("vpc", "main")}, "does not begin or end"),
     ({"source": "10.0.0.1"}, "is not i-"), ({"destination": "10.0.0.256"}, "10.0.0.256"), ({"port": 80}, "needs a protocol"),
     ({"port": 80, "protocol": "icmp"}, "has no port"), ({"protocol": "tpc"}, "tpc"), ({"source": "internet:x"}, "x"),
     ({"source": "internet:8.8.8.8", "destination": "10.0.0.11"}, "no internet gateway leads there")],
)  # fmt: skip
def test_what_makes_no_sense_is_said(given: dict[str, Any], text: str) -> None:
    reply = PathReporter().answer(site(), {"source": i("open"), "destination": i("private"), **given})
    assert reply["status"] == 2
    assert text in reply["error"]


def test_what_is_not_known_is_said() -> None:
    """To its own public address: which packet is the answer depends on both ports."""
    reply = PathReporter().answer(site(), {"source": i("open"), "destination": "10.0.0.10"})
    assert reply["unknown"]["component"] == e("open")


def test_every_is_what_partition_tells_of_each_pair() -> None:
    """Nothing is lost where addresses are put together."""
    engine = Analyser().engines.of(site())
    question = Question(End(IGW, gateway=IGW), End(i("open"), (e("open"),)), -1)
    told = every(engine, question).paths
    for path in told:
        blocks = sorted(path.sources, key=int_of)
        assert all(one[-1] < other[0] for one, other in pairwise(blocks))
    assert len({(path.destinations, signature(path.done)) for path in told}) == len(told)


def int_of(block: Any) -> int:
    return int(block.network_address)
