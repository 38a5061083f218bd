"""MON-23: work of the verifier in a process of its own: its answer, its failures, and what it must not hold open."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.dataplane.verify.apart import Apart, WorkFailed


def _answers(read: Callable[[], None]) -> Any:
    read()
    return {"words": "x" * 200_000}  # more than a pipe holds


def test_it_answers() -> None:
    with Apart(_answers, 20) as child:
        child.until_read()
        assert child.answer() == {"words": "x" * 200_000}


def test_what_has_been_read_is_told_before_the_work_is_done() -> None:
    inner, outer = os.pipe()

    def work(read: Callable[[], None]) -> Any:
        read()
        return os.read(inner, 1).decode()

    with Apart(work, 20, keep=[inner]) as child:
        child.until_read()
        os.write(outer, b"7")
        assert child.answer() == "7"
    os.close(inner)
    os.close(outer)


def _raises(_: Callable[[], None]) -> Any:
    raise ValueError("nothing there")


def _ends(_: Callable[[], None]) -> Any:
    os._exit(3)


def _ends_later(read: Callable[[], None]) -> Any:
    read()
    os._exit(3)


def _never(_: Callable[[], None]) -> Any:
    time.sleep(60)


@pytest.mark.parametrize(
    ("work", "limit", "said"),
    [
        (_raises, 20, "nothing there"),
        (_ends, 20, "ended"),
        (_ends_later, 20, "Expecting value"),
        (_never, 0.2, "too long"),
    ],
)
def test_there_is_no_answer(work: Callable[[Callable[[], None]], Any], limit: float, said: str) -> None:
    started = time.monotonic()
    with pytest.raises(WorkFailed, match=said), Apart(work, limit) as child:
        child.answer()
    assert time.monotonic() - started < 15  # and no process is waited for that sleeps


def test_it_holds_open_only_what_it_is_to_keep() -> None:
    kept, other = os.open("/dev/null", os.O_RDONLY), os.open("/dev/null", os.O_RDONLY)

    def work(_: Callable[[], None]) -> Any:
        return [int(name) for name in os.listdir("/proc/self/fd")]

    with Apart(work, 20, keep=[kept]) as child:
        held = child.answer()
    os.close(kept)
    os.close(other)
    assert kept in held
    assert other not in held
