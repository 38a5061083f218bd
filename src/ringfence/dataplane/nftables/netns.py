"""Doing something inside another network namespace: in a thread of its own, so that no other code ever sees it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def inside(namespace: int, action: Callable[[], T]) -> T:
    """The result of `action`, run in the network namespace of that file descriptor.

    A socket opened there stays there. Raises OSError when the namespace cannot be entered, and whatever `action` raises.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            if _LIBC.setns(namespace, CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), "setns")
            result.set_result(action())
        except BaseException as error:  # noqa: BLE001 - handed over to the caller, whatever it is
            result.set_exception(error)

    thread = Thread(target=run, name="netns", daemon=True)
    thread.start()
    thread.join()
    return result.result()
