"""The keeper: whatever a guest's processes are doing, they end with the guest, and the guest with its keeper."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.dataplane import linux

pytestmark = [pytest.mark.netns, pytest.mark.timeout(60)]
#: like bubblewrap's child in its first milliseconds: nothing has asked the kernel yet to end it with its parent
GUEST = ["/bin/sh", "-c", "setsid sleep 4242 & exec sleep 4242"]


class Keeper:
    """One keeper process, and what it is asked."""

    def __init__(self, home: Path, mode: str = "ephemeral") -> None:
        home.mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(home / "s"))
            os.chmod(home / "s", 0o666)
            listener.listen(8)
            reader, writer = os.pipe()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ringfence.dataplane.keeper", str(listener.fileno()), str(writer), mode],
                pass_fds=(listener.fileno(), writer),
            )  # fmt: skip
        os.close(writer)
        assert os.read(reader, 99) == b"ready"
        os.close(reader)
        self._link = socket.socket(socket.AF_UNIX)
        self._link.connect(str(home / "s"))

    def ask(self, **message: Any) -> tuple[dict[str, Any], list[int]]:
        linux.send(self._link, message)
        got = linux.receive(self._link)
        assert got is not None
        return got

    def start(self, name: str, *, go: bool = True) -> int:
        """A guest's first process."""
        about, (netns, door) = self.ask(do="start", name=name, boots=1, log="/dev/null", argv=GUEST)
        os.close(netns)
        if go:
            os.write(door, b"g")
            deadline = time.monotonic() + 10
            while len(of_guest(about["pid"])) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
        os.close(door) if go else None
        return int(about["pid"])

    def close(self) -> None:
        self._link.close()
        self.process.kill()
        self.process.wait()


def of_guest(pid: int) -> list[int]:
    """The process and its children that have become what they are to be."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for each in (pid, *map(int, children)) if b"4242" in Path(f"/proc/{each}/cmdline").read_bytes()]


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.fixture
def home() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="rf-"))
    made.chmod(0o755)
    yield made / "k"
    shutil.rmtree(made)


@pytest.fixture
def keeper(home: Path) -> Iterator[Keeper]:
    made = Keeper(home)
    yield made
    made.close()


def test_every_process_of_every_guest_ends_with_the_keeper(keeper: Keeper) -> None:
    """Also a guest that waits to be let go, and a process that has asked for nothing of the kind (RES-05)."""
    guests = [keeper.start("a"), keeper.start("b")]
    pids = [pid for guest in guests for pid in of_guest(guest)]
    assert len(pids) == 4
    pids.append(keeper.start("waits", go=False))
    keeper.process.send_signal(signal.SIGKILL)
    keeper.process.wait()
    assert gone(pids)


def test_a_guest_that_is_stopped_has_ended_when_the_answer_comes(keeper: Keeper) -> None:
    first, other = keeper.start("a"), keeper.start("b")
    pids = of_guest(first)
    assert len(pids) == 2
    keeper.ask(do="stop", name="a")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(of_guest(other)) == 2


def test_a_keeper_ends_with_the_directory_it_could_be_found_in(home: Path) -> None:
    keeper = Keeper(home, "persistent")
    pids = of_guest(keeper.start("a"))
    time.sleep(0.3)
    assert keeper.process.poll() is None
    shutil.rmtree(home)
    assert keeper.process.wait(5) == 0
    assert gone(pids)
    keeper.close()
