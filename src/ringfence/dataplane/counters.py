"""The agent's part in flow logs: closes epochs at each full minute, and hands over what closed ones counted (docs/adr/0010).

What is handed over stays in the kernel until the API process says that it has it. So an agent may die at any instant: the
next one hands the same epochs over again, under the same names, and who has them already takes none twice.

Rows travel in a memory file beside the message, one after the other in the order of the message's epochs:
number of the interface in the epoch's list, family, protocol, place, TCP flags, ports, addresses, packets, bytes, first ms.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ringfence.dataplane.nftables.apply import Filter, Sealed
from ringfence.dataplane.nftables.counting import Epoch
from ringfence.dataplane.nftables.counts import Counts
from ringfence.dataplane.nftables.fields import LINK

log = logging.getLogger("ringfence.counters")

ROW = struct.Struct("<IBBBBHH16s16sQQQ")
MINUTE = 60.0
_LOOK_SECONDS = 1.0  # how often it is asked whether the sets fill up
_FULL = 0.25  # then the epoch ends early, and the next has more room
_REST_MS = 1000  # a set is read so long after it was closed: the kernel may be rehashing it before

Name = tuple[str, int]  # VPC and begin of an epoch


class Counted(Protocol):
    """What the network offers here; see `Network`."""

    def whole(self) -> bool: ...

    def filters(self) -> dict[str, Filter]: ...

    def left_behind(self) -> dict[tuple[str, Epoch], tuple[Sealed, Counts]]: ...

    def forget_left(self, vpc_id: str, epoch: Epoch) -> None: ...

    def hold_to_packets(self) -> set[str]: ...


class Counters:
    """One for the agent. `lock` is held while rules change."""

    def __init__(self, network: Counted, lock: threading.Lock) -> None:
        self._network, self._lock, self._reading = network, lock, threading.Lock()
        self._pieces: dict[Name, set[str]] = {}  # interfaces whose guests handed over pieces of many packets
        self._read: dict[Name, Counts] = {}  # not confirmed yet: who asks again need not wait for the kernel again

    def start(self) -> None:
        threading.Thread(target=self._run, name="counters", daemon=True).start()

    def _run(self) -> None:
        """Close epochs as each minute of UTC begins, and early where there is little room left."""
        while True:
            now = time.time()
            due = (now // MINUTE + 1) * MINUTE
            time.sleep(min(_LOOK_SECONDS, due - now))
            try:
                self._look(due=time.time() >= due)
            except OSError as problem:  # as when the rules cannot be changed: they count on as they are
                log.warning("counters are not renewed now: %s", problem)
            except Exception:  # a bug, but minutes must go on ending
                log.exception("counters are not renewed now")

    def _look(self, *, due: bool) -> None:
        if due:
            self.seal()
            return
        for filter_ in self._network.filters().values():
            if filter_.fullness() > _FULL:
                with self._lock:
                    filter_.seal()

    def seal(self) -> None:
        """Close what is being counted in, everywhere. Raises OSError."""
        with self._lock:
            pieces = self._network.hold_to_packets()
            for vpc_id, filter_ in self._network.filters().items():
                epoch = filter_.counting
                filter_.seal()
                if epoch is not None and pieces:
                    self._pieces[vpc_id, epoch.begin] = pieces

    # ------------------------------------------------------------------ handing over
    def answer(self, confirmed: Iterable[Name], *, now: bool = False) -> tuple[dict[str, Any], int]:
        """Closed epochs as a message and the descriptor of a memory file of rows, which the caller closes. `now`: close the
        open ones first. What is confirmed is forgotten before. Raises OSError."""
        with self._reading:
            if not self._network.whole():
                raise OSError("the rules of all VPCs are not in place yet")
            self._forget(set(confirmed))
            if now:
                self.seal()
                time.sleep(_REST_MS / 1000)
            file = os.memfd_create("flows")
            try:
                epochs, begins = [], [_now()]
                for (vpc_id, epoch), (sealed, counts) in self._network.left_behind().items():
                    epochs.append(self._write(file, vpc_id, epoch, sealed, counts))
                for vpc_id, filter_ in self._network.filters().items():
                    done, begin = self._of(vpc_id, filter_, file)
                    epochs += done
                    begins.append(begin)
                counting = [vpc_id for vpc_id, each in self._network.filters().items() if each.counting is not None]
            except BaseException:
                os.close(file)
                raise
            return {"until": min(begins), "epochs": epochs, "counting": counting}, file

    def _forget(self, confirmed: set[Name]) -> None:
        for vpc_id, filter_ in self._network.filters().items():
            for epoch in filter_.sealed():
                if (vpc_id, epoch.begin) in confirmed:
                    filter_.forget_counts(epoch)
        for vpc_id, epoch in list(self._network.left_behind()):
            if (vpc_id, epoch.begin) in confirmed:
                self._network.forget_left(vpc_id, epoch)
        self._pieces = {name: enis for name, enis in self._pieces.items() if name not in confirmed}
        self._read = {name: counts for name, counts in self._read.items() if name not in confirmed}

    def _of(self, vpc_id: str, filter_: Filter, file: int) -> tuple[list[dict[str, Any]], int]:
        """The closed epochs of a VPC, and up to when it is counted in them (ms)."""
        done: list[dict[str, Any]] = []
        for epoch, sealed in filter_.sealed().items():
            if sealed.end > _now() - _REST_MS:
                return done, epoch.begin
            name = vpc_id, epoch.begin
            if name not in self._read:
                self._read[name] = filter_.counted(epoch)
            done.append(self._write(file, vpc_id, epoch, sealed, self._read[name]))
        current = filter_.counting
        return done, current.begin if current else _now()

    def _write(self, file: int, vpc_id: str, epoch: Epoch, sealed: Sealed, counts: Counts) -> dict[str, Any]:
        enis = list(counts.links.values())
        with os.fdopen(os.dup(file), "ab") as out:
            out.writelines(_rows(counts, {link: number for number, link in enumerate(counts.links)}))
        return {
            "vpc": vpc_id, "begin": epoch.begin, "previous": epoch.previous, "end": sealed.end, "last": sealed.last,
            "interfaces": enis, "rows": len(counts.flows),
            "lost": {counts.links.get(link, ""): packets for link, packets in counts.lost.items()},
            "unasked": [counts.links[link] for link in counts.unasked if link in counts.links],
            "pieces": sorted(self._pieces.get((vpc_id, epoch.begin), set()) & set(enis)),
        }  # fmt: skip


def _rows(counts: Counts, numbers: dict[str, int]) -> Iterator[bytes]:
    names = {LINK.pack(link): number for link, number in numbers.items()}
    for (link, source, target, *ports, protocol, place), (packets, octets, flags, first) in counts.flows.items():
        family = 4 if len(source) == 4 else 6
        yield ROW.pack(names[link], family, protocol, place, flags, *ports, source, target, packets, octets, first)


def _now() -> int:
    return round(time.time() * 1000)
