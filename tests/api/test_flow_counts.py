"""From the agent's epochs to observations: each epoch once, holes declared (docs/adr/0010)."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Any

import pytest

from ringfence.dataplane.counters import ROW
from ringfence.dataplane.nftables.counting import UNSEEN, Place
from ringfence.flow_counts import PlaneCounts
from ringfence.insight.flowlogs.records import Direction, Observation
from tests.insight.flowlogs.lab import START, Lab

MINUTE = 60_000
T0 = round(START * 1000)


class Agent:
    """Hands over what it is told to, as often as it is asked, until that is confirmed."""

    def __init__(self) -> None:
        self.epochs: dict[tuple[str, int], tuple[dict[str, Any], bytes]] = {}
        self.counting: list[str] = []
        self.until = T0
        self.down = 0
        self.short = False

    def epoch(
        self, vpc: str, begin: int, previous: int, end: int, *rows: bytes, last: bool = False, **more: Any
    ) -> None:
        about = {
            "vpc": vpc, "begin": begin, "previous": previous, "end": end, "last": last, "interfaces": ["eni-x"],
            "rows": len(rows), "lost": {}, "pieces": [], "unasked": [], **more,
        }  # fmt: skip
        self.epochs[vpc, begin] = about, b"".join(rows)
        self.until = end

    def ask(self, confirmed: list[tuple[str, int]], _now: bool) -> tuple[dict[str, Any], int]:
        if self.down:
            self.down -= 1
            raise OSError("the agent did not answer")
        for name in confirmed:
            self.epochs.pop(name, None)
        file = os.memfd_create("flows")
        os.write(file, b"".join(rows for _, rows in self.epochs.values())[ROW.size if self.short else 0 :])
        return {"until": self.until, "epochs": [e for e, _ in self.epochs.values()], "counting": self.counting}, file


def row(place: Place = Place.LEFT, packets: int = 1, first: int = T0 + 1000, flags: int = 0) -> bytes:
    ends = (ip_address(a).packed.ljust(16, b"\0") for a in ("10.0.1.10", "10.0.2.10"))
    return ROW.pack(0, 4, 6, place, flags, 40000, 80, *ends, packets, 60 * packets, first)


@pytest.fixture
def lab() -> Lab:
    made = Lab("10.0.0.0/16", "10.0.1.0/24")
    made.log()
    return made


def counts(lab: Lab, agent: Agent, since: float = START - 60) -> PlaneCounts:
    agent.counting = [lab.vpc]
    return PlaneCounts(agent.ask, lambda: lab.world, since, pause=0.0)


def test_each_epoch_is_taken_once_also_when_another_agent_hands_it_over_again(lab: Lab) -> None:
    """RES-14"""
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE, row(packets=3))
    first = dict(agent.epochs)
    assert [o.packets for o in source.take().observations] == [3]
    agent.epochs = first | agent.epochs  # it died before it forgot it
    agent.epoch(lab.vpc, T0 + MINUTE, T0, T0 + 2 * MINUTE, row(packets=4, first=T0 + MINUTE + 5))
    taken = source.take()
    assert [o.packets for o in taken.observations] == [4]
    assert not taken.gaps
    assert source.take().observations == ()


def test_what_ended_before_the_start_is_not_taken(lab: Lab) -> None:
    """The deliverer declares it lost; the process before this one may have delivered it."""
    agent = Agent()
    source = counts(lab, agent, since=START + 30)
    agent.epoch(lab.vpc, T0, 0, T0 + 20_000, row(packets=3))
    agent.epoch(lab.vpc, T0 + 20_000, T0, T0 + MINUTE, row(packets=5))
    assert [o.packets for o in source.take().observations] == [5]


def test_a_missing_epoch_is_a_gap(lab: Lab) -> None:
    eni, agent = lab.interface("10.0.1.10"), Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE)
    source.take()
    agent.epoch(lab.vpc, T0 + 3 * MINUTE, T0 + 2 * MINUTE, T0 + 4 * MINUTE)
    assert [(g.interface_id, g.first, g.last) for g in source.take().gaps] == [(eni, START + 60, START + 180)]


@pytest.mark.parametrize("last", [True, False])
def test_counters_that_are_gone_are_a_gap_those_that_were_ended_are_not(lab: Lab, last: bool) -> None:
    eni, agent = lab.interface("10.0.1.10"), Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE, last=last)
    source.take()
    agent.counting, agent.until = [], T0 + 2 * MINUTE
    gaps = [(g.interface_id, g.first, g.last) for g in source.take().gaps]
    assert gaps == ([] if last else [(eni, START + 60, START + 120)])


def test_counting_that_begins_again_is_no_hole(lab: Lab) -> None:
    lab.interface("10.0.1.10")
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE, row(packets=1), last=True)
    agent.epoch(lab.vpc, T0 + 2 * MINUTE, 0, T0 + 3 * MINUTE, row(packets=2))
    taken = source.take()
    assert ([o.packets for o in taken.observations], taken.gaps) == ([1, 2], ())


def test_overflow_pieces_and_epochs_that_nobody_closed_are_gaps(lab: Lab) -> None:
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE, lost={"eni-x": 7})
    agent.epoch(lab.vpc, T0 + MINUTE, T0, T0 + 2 * MINUTE, lost={"": 1})
    agent.epoch(lab.vpc, T0 + 2 * MINUTE, T0 + MINUTE, T0 + 3 * MINUTE, pieces=["eni-x"])
    agent.epoch(lab.vpc, T0 + 3 * MINUTE, T0 + 2 * MINUTE, T0 + 5 * MINUTE + 1)
    assert [(round(g.first - START, 3), round(g.last - START, 3), g.packets) for g in source.take().gaps] == [
        (0, 59.999, 7), (60, 119.999, None), (120, 179.999, None), (180, 300.001, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "direction", "layer"),
    [
        (Place.LEFT, Direction.EGRESS, None), (Place.ARRIVED, Direction.INGRESS, None), (Place.SG_OUT, Direction.EGRESS, "sg-egress"),
        (Place.ACL_OUT, Direction.EGRESS, "nacl-out"), (Place.ACL_IN, Direction.INGRESS, "nacl-in"),
        (Place.SG_IN, Direction.INGRESS, "sg-ingress"), (Place.DESTINATION, Direction.INGRESS, "dest-check"),
    ],
)  # fmt: skip
def test_what_a_row_says(lab: Lab, place: Place, direction: Direction, layer: str | None) -> None:
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE + 20, row(place, 2, flags=3))
    (seen,) = source.take().observations
    assert (seen.direction, seen.accepted, seen.reject.layer if seen.reject else None) == (
        direction,
        layer is None,
        layer,
    )
    assert (seen.packets, seen.octets, seen.tcp_flags, seen.ports) == (2, 120, 3, (40000, 80))
    assert (seen.first, seen.last) == (START + 1, START + 59.999)  # in the minute of its begin, though closed after it


def test_icmp_has_a_type_and_no_ports(lab: Lab) -> None:
    """FL-23"""
    agent = Agent()
    source = counts(lab, agent)
    ends = (ip_address(a).packed.ljust(16, b"\0") for a in ("10.0.1.10", "10.0.2.10"))
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE, ROW.pack(0, 4, 1, Place.LEFT, 0, 0x0304, 0, *ends, 1, 84, T0 + 5))
    (seen,) = source.take().observations
    assert (seen.icmp, seen.ports, seen.source_port) == ((3, 4), (0, 0), 0)


def test_flags_that_nobody_looked_at_are_unknown_not_none(lab: Lab) -> None:
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE, row(flags=UNSEEN))
    assert source.take().observations[0].tcp_flags is None


def test_a_flow_that_began_after_the_minute_ended_is_the_next_minutes(lab: Lab) -> None:
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE + 20, row(first=T0 + MINUTE + 10))
    (seen,) = source.take().observations
    assert (seen.first, seen.last) == (START + 60.01, START + 60.02)


def test_an_agent_that_is_away_is_asked_again_and_one_that_lies_is_not_believed(lab: Lab) -> None:
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE, row(packets=3))
    agent.down = 3
    assert [o.packets for o in source.take().observations] == [3]
    agent.down = 9
    with pytest.raises(OSError, match="did not answer"):
        source.take()
    agent.down, agent.short = 0, True
    agent.epoch(lab.vpc, T0 + MINUTE, T0, T0 + 2 * MINUTE, row(packets=4))
    with pytest.raises(OSError, match="another number of rows"):
        source.take()
    agent.short = False
    assert [o.packets for o in source.take().observations] == [4]


def test_observations_lie_in_one_minute(lab: Lab) -> None:
    """INVARIANT of `Observation`, whatever the epoch."""
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0 + 500, 0, T0 + 7 * MINUTE, *(row(first=T0 + 500 + n * 13_000) for n in range(32)))
    for seen in source.take().observations:
        assert isinstance(seen, Observation)
        assert seen.first <= seen.last
        assert seen.first // 60 == seen.last // 60


def test_that_others_passed_is_told_with_the_minute_it_was_in(lab: Lab) -> None:
    """FL-28: of packets that no flow log asks for only that there were some."""
    agent = Agent()
    source = counts(lab, agent)
    agent.epoch(lab.vpc, T0, 0, T0 + MINUTE + 20, unasked=["eni-x"])
    assert source.take().unasked == (("eni-x", START + 59.999),)
