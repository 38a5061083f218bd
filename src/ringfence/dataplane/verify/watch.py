"""The agent's watch over its own work: look, say, repair. A quick look every few seconds, everything every ten minutes.

Quick: have the tables seen another transaction than the filter's own (the kernel counts them), and are routes, policy rules,
neighbours and links as they should be? Only if the count does not fit, or every ten minutes, the tables are read and compared.
Rarer still, and when asked, what was read is proven equal to the model, by a process of its own (`prover`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ringfence.dataplane import linux
from ringfence.dataplane.network import Network
from ringfence.dataplane.nftables.netlink import Netlink
from ringfence.dataplane.topology import TopologyError
from ringfence.dataplane.verify import repair, snapshot
from ringfence.dataplane.verify.compare import compare
from ringfence.dataplane.verify.compare import paths as compare_paths
from ringfence.dataplane.verify.findings import Drift, Finding
from ringfence.dataplane.verify.prover import ProofFailed, run_apart
from ringfence.dataplane.verify.snapshot import Snapshot
from ringfence.dataplane.verify.wanted import Location

log = logging.getLogger("ringfence.verify")
QUICK_SECONDS, FULL_SECONDS, PROOF_SECONDS, AGAIN_SECONDS = 5.0, 600.0, 900.0, 60.0
PATIENCE = 12  # looks that changes may disturb: a minute of them
_ATTEMPTS = (False, True)  # write the tables from nothing?
_PROBLEMS = (OSError, TopologyError)

Say = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class Seen:
    """What is known of one namespace: its tables at a generation, when so many transactions had been the filter's own."""

    netlink: Netlink
    namespace: int
    generation: int = -1
    transactions: int = 0
    disproved: bool = False  # the proof found packets that pass and should not: closed until another proof does not
    disturbed: int = 0  # so many looks in a row, up to the last, were: its generation is not known meanwhile


@dataclass(slots=True)
class Report:
    """What one look found. `repaired`: nothing of it is left; `closed`: places that forward nothing until it is;
    `closed_meanwhile`: that forwarded nothing while they were repaired."""

    findings: list[Finding] = field(default_factory=list)
    left: list[Finding] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    closed_meanwhile: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    places: int = 0
    proven: int | None = None  # gates that were proven, if any were asked for

    @property
    def repaired(self) -> bool:
        return not self.left and not self.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "places": self.places, "findings": [each.as_json() for each in self.findings], "repaired": self.repaired,
            "left": [each.as_json() for each in self.left], "closed": self.closed,
            "closed_meanwhile": self.closed_meanwhile, "problems": self.problems,
            "proven": self.proven,
        }  # fmt: skip


class Verifier:
    """Looks at every namespace of a network. `lock`: held while rules are being applied; `say`: to the API process."""

    def __init__(self, network: Network, lock: threading.Lock, say: Say) -> None:
        self._network, self._lock, self._say = network, lock, say
        self._seen: dict[str, Seen] = {}
        self._one = threading.RLock()  # a look at a time: the watch's own, or one that was asked for

    def start(self) -> None:
        threading.Thread(target=self._forever, name="verify", daemon=True).start()

    def _forever(self) -> None:
        full = proof = time.monotonic()
        again = False
        while True:
            time.sleep(QUICK_SECONDS)
            now = time.monotonic()
            due = now - full >= FULL_SECONDS
            try:
                if due:
                    full = now
                report = self.look(everything=due, patient=True)
                self._tell(report)
                if now - proof >= (AGAIN_SECONDS if again else PROOF_SECONDS):
                    proof = time.monotonic()
                    report = self.verify(prove=True)
                    again = bool(report.closed)
                    self._tell(report)
            except Exception:
                log.exception("the check of the installed rules failed")

    def _tell(self, report: Report) -> None:
        if report.findings or report.problems or report.proven is not None:
            self._say({"event": "verified", "report": report.as_json()})

    # ------------------------------------------------------------------ looking
    def look(self, *, everything: bool = True, mend: bool = True, patient: bool = False) -> Report:
        """Compare every place with what it should hold; repair what differs.

        A place that was changed while it was read is read again with the lock, which holds up changes for as long as that
        takes; `patient`: only after it came between `PATIENCE` times.
        """
        report = Report()
        with self._one:
            for location in self._look_quickly(report, everything=everything, mend=mend):
                seen = self._seen.get(location.name)
                if seen is None:  # its namespace went while another was read
                    continue
                whole = self._is_whole(location)
                if whole is None:
                    seen.disturbed, seen.generation = seen.disturbed + 1, -1
                else:
                    seen.disturbed = 0
                if whole is False or (whole is None and not (patient and seen.disturbed <= PATIENCE)):
                    with self._lock:
                        now = next((each for each in self._locations() if each.name == location.name), None)
                        if now is not None:  # else gone meanwhile
                            self._look_closely(now, report, everything=everything, mend=mend)
        return report

    def _look_quickly(self, report: Report, *, everything: bool, mend: bool) -> list[Location]:
        """Looks that cost so little that changes can wait; the places that are left, because they must be read whole."""
        left = []
        with self._lock:
            for location in self._locations():
                report.places += 1
                if everything or self._seen[location.name].generation < 0:
                    left.append(location)
                else:
                    self._look_closely(location, report, everything=False, mend=mend)
        return left

    def _is_whole(self, location: Location) -> bool | None:
        """Does a place hold what it should, told without holding up changes? None: one came in between."""
        seen, ours = self._seen[location.name], location.filter.transactions
        try:
            found = self.read(location)
            differs = bool(compare(location.whole(), found)) or repair.is_shut(found)
            if snapshot.generation_of(seen.netlink) != found.generation or location.filter.transactions != ours:
                return None
        except RuntimeError:  # what it should hold was being changed while it was compared
            return None
        except _PROBLEMS:  # told with the lock
            return False
        if not differs:
            seen.generation, seen.transactions = found.generation, ours
        return not differs

    def _look_closely(self, location: Location, report: Report, *, everything: bool, mend: bool) -> None:
        """With the lock."""
        try:
            self._look_at(location, report, everything=everything, mend=mend)
        except _PROBLEMS as problem:
            report.problems.append(f"{location.place.component}: {problem}")
            log.error("%s cannot be verified: %s", location.place.component, problem)

    def _locations(self) -> list[Location]:
        found = list(self._network.locations())
        for name in self._seen.keys() - {each.name for each in found}:
            self._seen.pop(name).netlink.close()
        for each in found:
            held = self._seen.get(each.name)
            if held is None or held.namespace != each.namespace:
                with linux.inside(each.namespace):
                    self._seen[each.name] = Seen(Netlink(), each.namespace)
        return found

    def _look_at(self, location: Location, report: Report, *, everything: bool, mend: bool) -> None:
        found = self._differences(location, everything=everything)
        if not found:
            return
        # once more: a change may have been under way that was not ours to hold up
        again = frozenset(self._differences(location, everything=True))
        found = [each for each in found if each in again]
        if not found:
            return
        report.findings += found
        for each in found:
            log.warning("drift: %s", each)
        if not mend:
            report.left += found
            return
        left = self._repair(location, found, report)
        report.left += left

    def _differences(self, location: Location, *, everything: bool) -> list[Finding]:
        """What differs; with `everything` off, tables are read only if others than their filter have changed them."""
        seen = self._seen[location.name]
        generation = snapshot.generation_of(seen.netlink)
        ours = location.filter.transactions - seen.transactions
        if not everything and seen.generation >= 0 and generation == seen.generation + ours:
            return compare_paths(location.place, snapshot.paths(location.namespace))
        found = self.read(location)
        differences = compare(location.whole(), found)
        if not differences and (seen.disproved or not repair.is_shut(found)):
            seen.generation, seen.transactions = found.generation, location.filter.transactions
        elif not differences:
            repair.open_again(seen.netlink)
            log.warning("%s was closed, and is as it should be: open again", location.place.component)
        else:
            seen.generation = -1
        return differences

    def read(self, location: Location) -> Snapshot:
        """Everything that a place holds now."""
        return snapshot.read(self._seen[location.name].netlink, location.namespace, tuple(location.place.settings))

    # ------------------------------------------------------------------ repairing
    def _repair(self, location: Location, found: list[Finding], report: Report) -> list[Finding]:
        """What is left after every attempt. Closed first, unless all of it can only have closed something."""
        netlink, component = self._seen[location.name].netlink, location.place.component
        left = found
        if any(not each.shut for each in found):
            repair.shut(netlink)
            report.closed_meanwhile.append(component)
            log.warning("%s is closed while it is repaired", component)
        for replace in _ATTEMPTS:
            try:
                is_now = self.read(location)
                repair.tables(location, netlink, is_now, replace=replace)
                repair.paths(location, is_now.paths)
                if any(each.what in ("link", "route", "neighbour") for each in left):
                    self._network.lay_again(component)
            except _PROBLEMS as problem:
                log.error("%s cannot be repaired: %s", component, problem)
                report.problems.append(f"{component}: {problem}")
                continue
            location = next((each for each in self._network.locations() if each.name == location.name), location)
            try:  # what leads through a link that was laid again
                repair.paths(location, snapshot.paths(location.namespace))
            except _PROBLEMS as problem:
                report.problems.append(f"{component}: {problem}")
            left = compare(location.whole(), self.read(location))
            if not left:
                report.problems = [each for each in report.problems if not each.startswith(f"{component}: ")]
                break
        if all(each.shut for each in left):
            if repair.is_shut(self.read(location)) and not self._seen[location.name].disproved:
                repair.open_again(netlink)
        else:
            report.closed.append(component)
            log.error("%s stays closed: %s", component, "; ".join(map(str, left)))
        return left

    # ------------------------------------------------------------------ proving
    def verify(self, *, prove: bool = True, mend: bool = True) -> Report:
        """A full look, then, if asked, the proof of what the kernel holds."""
        report = self.look(everything=True, mend=mend)
        if prove:
            self._prove(report)
        return report

    def _prove(self, report: Report) -> None:
        with self._one, self._lock:
            jobs = [
                (each.place.component, each.fragments, each.plugged, self.read(each))
                for each in self._locations()
                if each.place.component not in report.closed
            ]
        try:
            proven, findings = run_apart(jobs)
        except (OSError, ProofFailed) as problem:
            report.problems.append(f"the proof did not end: {problem}")
            return
        report.proven = proven
        report.findings += findings
        report.left += findings
        for each in findings:
            log.error("proof: %s", each)
        self._close_open_ones(findings, report)

    def _close_open_ones(self, findings: Iterable[Finding], report: Report) -> None:
        """What the model does not admit must not pass, and writing the same rules again would not help: closed until a proof
        finds nothing more. What cannot be told is reported, and goes on as it is."""
        wrong = {each.place for each in findings if each.drift is Drift.ADMITS}
        with self._one, self._lock:
            for location in self._locations():
                seen, component = self._seen[location.name], location.place.component
                if component in wrong:
                    repair.shut(seen.netlink)
                    report.closed.append(component)
                    log.critical("%s is closed: its rules admit what the model does not", component)
                elif seen.disproved and component not in report.closed:
                    repair.open_again(seen.netlink)
                    log.warning("%s was closed, and its rules admit what the model does: open again", component)
                seen.disproved = component in wrong
