"""A bound on the memory of each guest, kept by the keeper (docs/adr/0005).

Unprivileged, there is no control group to ask. So: no process may hold more private memory than the bound (a resource
limit, exact), the file systems of a guest have sizes, and this watch adds up what all processes and files of a guest take
and ends the largest process, or the guest, when that is over the bound. Between two looks a guest can overshoot; guests
are also the first that the kernel ends when the host itself runs short (`confinement.die_first`).
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ringfence.dataplane.sandbox import MEMORY

log = logging.getLogger("ringfence.memory")
LOOK_SECONDS = 5.0
#: the host's free memory has fallen by so much since the last look: look now
_FALLEN = MEMORY // 8
_DEPTH_OF_SANDBOX = 2  # pid namespaces that a guest's sandbox is in: the keeper's and its own, in which the guest's is


@dataclass(slots=True)
class Usage:
    """What one guest takes, in bytes: each of its processes by pid, and its files in memory."""

    processes: dict[int, int] = field(default_factory=dict)
    files: int = 0

    @property
    def total(self) -> int:
        return self.files + sum(self.processes.values())


def excess(usage: Usage, first: int, bound: int = MEMORY) -> list[int]:
    """Which processes to end so that a guest keeps to its bound: the largest ones; `first`, its root, if nothing else helps."""
    over, out = usage.total - bound, []
    for pid, size in sorted(usage.processes.items(), key=lambda item: -item[1]):
        if over <= 0:
            break
        over -= size
        out.append(pid)
    return out if over <= 0 else [first]


class Watch:
    """Looks when the host's free memory has fallen, and every few seconds. `tick` is cheap."""

    def __init__(self, kill: Callable[[int, int], None] = os.kill) -> None:
        self._kill = kill
        self._looked, self._free = 0.0, 0

    def tick(self, guests: Mapping[str, int]) -> None:
        """`guests`: name -> pid of the sandbox."""
        if not guests:
            return
        now, free = time.monotonic(), available()
        if now - self._looked < LOOK_SECONDS and self._free - free < _FALLEN:
            self._free = max(self._free, free)
            return
        for name, usage in usages(guests).items():
            if usage.total <= MEMORY:
                continue
            usage.processes = {pid: proportional(pid) for pid in usage.processes}
            for pid in excess(usage, guests[name]):
                log.warning("%s takes %d MiB: process %d is ended", name, usage.total >> 20, pid)
                try:
                    self._kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    log.debug("%d has ended already", pid)
        self._looked, self._free = time.monotonic(), available()


def available() -> int:
    """What the host can still give, in bytes."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def usages(guests: Mapping[str, int]) -> dict[str, Usage]:
    """What each guest takes now. A guest's processes are those of its user namespace that see themselves in its pid namespace."""
    of = {space: name for name, pid in guests.items() if (space := _user_namespace(pid))}
    out: dict[str, Usage] = {name: Usage() for name in of.values()}
    memfds: set[int] = set()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        found = of.get(_user_namespace(pid))
        size = _resident(pid) if found is not None else None
        if found is None or size is None:
            continue
        usage = out[found]
        if pid not in guests.values():
            usage.processes[pid] = size
        for inode, taken in _memory_files(pid):
            usage.files += 0 if inode in memfds else taken
            memfds.add(inode)
    for usage in out.values():
        inner = next(iter(usage.processes), None)
        if inner is not None:
            usage.files += _in_file_systems(inner)
    return out


def _user_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/user")
    except OSError:  # gone, or not ours to ask
        return ""


def _resident(pid: int) -> int | None:
    """Anonymous and shared memory of a process inside a guest; None for one that only belongs to it from outside."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if len(values.get("NSpid", "").split()) <= _DEPTH_OF_SANDBOX:
        return None
    return sum(int(values[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem") if name in values)


def proportional(pid: int) -> int:
    """The same, but what several processes share (since a fork, for one) divided among them. Costs more to ask."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    values = {name: rest.split()[0] for name, _, rest in (line.partition(":") for line in text.splitlines()[1:])}
    return sum(int(values.get(name, "0")) << 10 for name in ("Pss_Anon", "Pss_Shmem"))


def _memory_files(pid: int) -> Iterable[tuple[int, int]]:
    """(inode, bytes) of open files that are memory without a name (memfd_create(2)), mapped or not."""
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                if os.readlink(entry.path).startswith("/memfd:"):
                    about = os.stat(entry.path)
                    yield about.st_ino, about.st_blocks * 512
    except OSError:
        return


def _in_file_systems(pid: int) -> int:
    """Bytes in the file systems in memory that a guest has to itself. It can mount no others."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
            words = line.split()
            kind = words[words.index("-") + 1]
            if kind == "tmpfs" and words[3] in ("/", "/newroot"):  # a whole one, not a file of the keeper's
                about = os.statvfs(f"/proc/{pid}/root{words[4]}")
                total += (about.f_blocks - about.f_bfree) * about.f_frsize
    except OSError as problem:
        log.debug("process %d has ended: %s", pid, problem)
    return total
