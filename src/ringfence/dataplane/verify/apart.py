"""Work of the verifier in a process of its own: the agent goes on applying changes meanwhile, and no such work can harm it.

The process is a fork, for what the agent may no longer do is start programs of its owner's: it has given up its user. So it also has
all that the agent knows as of one instant. It touches nothing but its memory, its own netlink sockets and one pipe; it ends with the
thread that waits for it.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from ringfence.dataplane import linux

DEPTH = 10_000  # a chain may call a chain, and a set of packets has a level for each field
_READ = b"."

#: does the work, and calls what it is given once it needs nothing of the kernel any more; gives what JSON can tell
Work = Callable[[Callable[[], None]], Any]


class WorkFailed(Exception):
    """There is no answer."""


class Apart:
    """One such process, from the fork to the end of the `with` block. OSError when there can be none.

    `keep`: the descriptors that it needs; all others are closed in it, or what the agent closes would live on.
    """

    def __init__(self, work: Work, limit: float, keep: Collection[int] = ()) -> None:
        self._deadline, self._read = time.monotonic() + limit, False
        self._reader, writer = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            _child(work, writer, keep)
        os.close(writer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._reader)
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)

    def until_read(self) -> None:
        """Wait until the work needs nothing of the kernel any more. WorkFailed."""
        if not self._read and self._some(1) != _READ:
            raise WorkFailed("the process ended")
        self._read = True

    def answer(self) -> Any:
        """What the work gave. WorkFailed."""
        self.until_read()
        parts: list[bytes] = []
        while part := self._some(1 << 16):
            parts.append(part)
        try:
            said = json.loads(b"".join(parts))
        except ValueError as problem:
            raise WorkFailed(str(problem)) from None
        if "error" in said:
            raise WorkFailed(said["error"])
        return said["answer"]

    def _some(self, size: int) -> bytes:
        ready, _, _ = select.select([self._reader], [], [], max(0.0, self._deadline - time.monotonic()))
        if not ready:
            raise WorkFailed("it takes too long")
        return os.read(self._reader, size)


def _child(work: Work, writer: int, keep: Collection[int]) -> None:
    """Never returns."""
    told = False

    def tell_read() -> None:
        nonlocal told
        if not told:
            os.write(writer, _READ)
            os.nice(10)  # only now: changes may be waiting until it has read
        told = True

    try:
        linux.die_with_parent()
        gc.freeze()  # what was there before is no garbage of this process
        _close_all_but({writer, *keep})
        sys.setrecursionlimit(DEPTH)
        said: dict[str, Any] = {"answer": work(tell_read)}
    except BaseException as problem:  # noqa: BLE001  whatever it is, the parent is to know
        said = {"error": repr(problem)}
    with suppress(OSError):  # the parent has given up
        tell_read()
        data = json.dumps(said).encode()
        while data:
            data = data[os.write(writer, data) :]
    os._exit(0)


def _close_all_but(keep: Collection[int]) -> None:
    first = 3
    for each in sorted(keep):
        os.closerange(first, each)
        first = each + 1
    os.closerange(first, 65536)
