"""What the agent hands over: closed epochs, the same ones again until they are confirmed (docs/adr/0010)."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from ringfence.dataplane.counters import ROW, Counters
from ringfence.dataplane.nftables import fields
from ringfence.dataplane.nftables.apply import Sealed
from ringfence.dataplane.nftables.counting import Epoch, Place, Room
from ringfence.dataplane.nftables.counts import Counts

LINK = fields.LINK.pack("e1")
A, B = bytes((10, 0, 1, 10)), bytes((10, 0, 2, 10))


def counted(packets: int) -> Counts:
    flows = {(LINK, A, B, 40000, 80, 6, Place.LEFT): [packets, 60 * packets, 2, 1_000]}
    return Counts(flows, lost={"": 3}, unasked={"e1": 2}, links={"e1": "eni-a"})


@dataclass
class FakeFilter:
    """Closed epochs and what is in them. `reads`: how often the kernel was asked."""

    counting: Epoch | None
    closed: dict[Epoch, tuple[Sealed, Counts]] = field(default_factory=dict)
    reads: int = 0

    def sealed(self) -> dict[Epoch, Sealed]:
        return {epoch: sealed for epoch, (sealed, _) in self.closed.items()}

    def counted(self, epoch: Epoch) -> Counts:
        self.reads += 1
        return self.closed[epoch][1]

    def forget_counts(self, epoch: Epoch) -> None:
        del self.closed[epoch]

    def seal(self) -> None:
        return None

    def fullness(self) -> float:
        return 0.0


@dataclass
class FakeNetwork:
    of: dict[str, FakeFilter]
    left: dict[tuple[str, Epoch], tuple[Sealed, Counts]] = field(default_factory=dict)
    ready: bool = True

    def whole(self) -> bool:
        return self.ready

    def filters(self) -> Any:
        return self.of

    def left_behind(self) -> dict[tuple[str, Epoch], tuple[Sealed, Counts]]:
        return dict(self.left)

    def forget_left(self, vpc_id: str, epoch: Epoch) -> None:
        del self.left[vpc_id, epoch]

    def hold_to_packets(self) -> set[str]:
        return set()


def handed(counters: Counters, *confirmed: tuple[str, int]) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
    message, file = counters.answer(confirmed)
    with os.fdopen(file, "rb") as stream:
        stream.seek(0)
        return message, list(ROW.iter_unpack(stream.read()))


@pytest.fixture
def now() -> int:
    return round(time.time() * 1000)


def test_the_same_until_it_is_confirmed_and_the_kernel_is_asked_once(now: int) -> None:
    first, second = Epoch(now - 60_000, 0), Epoch(now - 30_000, now - 60_000)
    filter_ = FakeFilter(Epoch(now - 10_000, second.begin), {
        first: (Sealed(second.begin), counted(1)), second: (Sealed(now - 10_000), counted(2)),
    })  # fmt: skip
    counters = Counters(FakeNetwork({"vpc-1": filter_}), threading.Lock())
    message, rows = handed(counters)
    assert message == handed(counters)[0]
    assert filter_.reads == 2
    assert message["until"] == now - 10_000
    assert message["counting"] == ["vpc-1"]
    assert [(e["begin"], e["previous"], e["end"], e["lost"]) for e in message["epochs"]] == [
        (first.begin, 0, first.begin + 30_000, {"": 3}), (second.begin, first.begin, now - 10_000, {"": 3}),
    ]  # fmt: skip
    head = (0, 4, 6, Place.LEFT, 2, 40000, 80, A.ljust(16, b"\0"), B.ljust(16, b"\0"))
    assert rows == [(*head, 1, 60, 1_000), (*head, 2, 120, 1_000)]
    message, rows = handed(counters, ("vpc-1", first.begin))
    assert [e["begin"] for e in message["epochs"]] == [second.begin]
    assert list(filter_.closed) == [second]


def test_what_was_closed_just_now_rests_and_is_not_told_as_read(now: int) -> None:
    young = Epoch(now - 30_000, 0)
    filter_ = FakeFilter(Epoch(now - 100, young.begin), {young: (Sealed(now - 100), counted(1))})
    message, rows = handed(Counters(FakeNetwork({"vpc-1": filter_}), threading.Lock()))
    assert (message["until"], message["epochs"], rows) == (young.begin, [], [])


def test_what_a_vpc_left_behind_comes_before_what_its_successor_counts(now: int) -> None:
    old, new = Epoch(now - 60_000, 0), Epoch(now - 20_000, 0)
    filter_ = FakeFilter(Epoch(now - 5_000, new.begin), {new: (Sealed(now - 5_000), counted(2))})
    network = FakeNetwork({"vpc-1": filter_}, {("vpc-1", old): (Sealed(now - 40_000, last=True), counted(1))})
    counters = Counters(network, threading.Lock())
    message, rows = handed(counters)
    assert [(e["begin"], e["last"]) for e in message["epochs"]] == [(old.begin, True), (new.begin, False)]
    assert [row[-3] for row in rows] == [1, 2]
    handed(counters, ("vpc-1", old.begin))
    assert network.left == {}


def test_an_agent_that_has_not_taken_over_yet_says_nothing() -> None:
    """Else every VPC would seem to count no more."""
    with pytest.raises(OSError, match="not in place"):
        Counters(FakeNetwork({}, ready=False), threading.Lock()).answer(())


@pytest.mark.parametrize(
    ("room", "fullness", "after"),
    [
        (Room(), 0.2, Room()),
        (Room(), 0.3, Room(passed=1 << 19, refused=1 << 18)),
        (Room(passed=1 << 19, refused=1 << 18), 0.2, Room(passed=1 << 19, refused=1 << 18)),
        (Room(passed=1 << 19, refused=1 << 18), 0.001, Room()),
        (Room(), 0.0, Room()),
        (Room(passed=1 << 21, refused=1 << 21), 1.0, Room(passed=1 << 21, refused=1 << 21)),
        (Room(passed=64, refused=16), 0.0, Room(passed=64, refused=16)),
    ],
)
def test_the_next_epoch_has_the_room_that_this_one_needed(room: Room, fullness: float, after: Room) -> None:
    assert room.after(fullness) == after
