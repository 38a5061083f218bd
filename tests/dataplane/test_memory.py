"""The bound on a guest's memory: who is ended, and when the watch looks."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

import pytest

from ringfence.dataplane import memory
from ringfence.dataplane.memory import Usage, Watch, excess


@pytest.mark.parametrize(
    ("processes", "files", "ended"),
    [
        ({2: 10, 3: 20}, 0, []),
        ({2: 10, 3: 90}, 0, []),
        ({2: 10, 3: 95}, 0, [3]),
        ({2: 10, 3: 60, 4: 50}, 0, [3]),
        ({2: 10, 3: 60, 4: 95, 5: 99}, 0, [5, 4]),
        ({2: 10}, 105, [1]),  # files stay when processes go: the guest itself
        ({2: 10, 3: 80}, 101, [1]),
        ({2: 10, 3: 80}, 50, [3]),
        ({}, 101, [1]),
    ],
)
def test_the_largest_go_first_and_the_guest_if_that_is_not_enough(
    processes: dict[int, int], files: int, ended: list[int]
) -> None:
    assert excess(Usage(processes, files), 1, 100) == ended


def test_a_look_only_when_the_host_has_less_or_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, killed, free, now = [], [], [10 << 30], [1000.0]

    def usages(guests: Mapping[str, int]) -> dict[str, Usage]:
        looks.append(now[0])
        return {"i-1": Usage({8: 2 << 30, 9: 5}, 0)}

    monkeypatch.setattr(memory, "available", lambda: free[0])
    monkeypatch.setattr(memory, "usages", usages)
    monkeypatch.setattr(memory, "proportional", {8: 2 << 30, 9: 5}.__getitem__)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = Watch(lambda pid, number: killed.append((pid, number)))
    watch.tick({})
    assert looks == []
    watch.tick({"i-1": 7})
    assert killed == [(8, signal.SIGKILL)]
    now[0] += 0.1
    watch.tick({"i-1": 7})
    assert len(looks) == 1
    free[0] -= 64 << 20
    watch.tick({"i-1": 7})
    assert len(looks) == 1
    free[0] -= 64 << 20
    watch.tick({"i-1": 7})
    assert len(looks) == 2
    now[0] += memory.LOOK_SECONDS
    watch.tick({"i-1": 7})
    assert len(looks) == 3


def test_processes_of_no_guest_are_not_counted() -> None:
    """This very process is in the user namespace of the one named as a guest, but in no pid namespace of a guest."""
    assert memory.usages({"i-1": os.getpid()})["i-1"].processes == {}
