"""The agent's watch over its own work: look, say, repair. A quick look every few seconds, everything every ten minutes.

Quick: have the tables seen another transaction than the filter's own (the kernel counts them), and are routes, policy rules,
neighbours and links as they should be? Only if the count does not fit, or every ten minutes, the tables are read and compared.
Rarer still, and when asked, what was read is proven equal to the model (`prover`). Both in a process of its own (`apart`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ringfence.dataplane import linux
from ringfence.dataplane.network import Network
from ringfence.dataplane.nftables.netlink import Netlink
from ringfence.dataplane.topology import TopologyError
from ringfence.dataplane.verify import aside, prover, repair, snapshot
from ringfence.dataplane.verify.apart import Apart, WorkFailed
from ringfence.dataplane.verify.compare import compare
from ringfence.dataplane.verify.compare import paths as compare_paths
from ringfence.dataplane.verify.findings import Drift, Finding, finding_of
from ringfence.dataplane.verify.snapshot import Snapshot
from ringfence.dataplane.verify.wanted import Location

log = logging.getLogger("ringfence.verify")
QUICK_SECONDS, FULL_SECONDS, PROOF_SECONDS, AGAIN_SECONDS = 5.0, 600.0, 900.0, 60.0
PATIENCE = 12  # looks that changes may disturb: a minute of them
_ATTEMPTS = (False, True)  # write the tables from nothing?
_PROBLEMS = (OSError, TopologyError)

Changes = tuple[int, int, object]
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

        A place that was changed while it was read is read again while changes wait; `patient`: only after they came between
        `PATIENCE` times.
        """
        report = Report()
        with self._one:
            with self._lock:
                places = self._locations()
            report.places = len(places)
            unread = {each.name for each in places if everything or self._seen[each.name].generation < 0}
            odd = [each.name for each in places if each.name not in unread and not self._stands(each)]
            told = self._look_aside(unread, held=False)
            waited = {
                name for name, whole in told.items()
                if whole is None and not (patient and self._seen[name].disturbed <= PATIENCE)
            }  # fmt: skip
            if waited:
                told |= self._look_aside(waited, held=True)
            odd += [name for name, whole in told.items() if whole is False or (whole is None and name in waited)]
            for name in odd:
                self._look_closely(name, report, everything=everything, mend=mend)
        return report

    def _stands(self, location: Location) -> bool:
        """Is all as it was seen last, as far as a quick look tells? Changes do not wait: one that comes in between may look odd."""
        seen = self._seen[location.name]
        try:
            ours = location.filter.transactions - seen.transactions
            if snapshot.generation_of(seen.netlink) != seen.generation + ours:
                return False
            return not compare_paths(location.place, snapshot.paths(location.namespace))
        except OSError:
            return False

    def _look_aside(self, names: Collection[str], *, held: bool) -> dict[str, bool | None]:
        """Does each of these places hold what it should? None: a change came in between. `held`: changes wait until the kernel has
        been read."""
        if not names:
            return {}
        with ExitStack() as stack:
            try:
                with self._lock:
                    places = [each for each in self._locations() if each.name in names]
                    before = {each.name: self._changes(each) for each in places}
                    spaces = [each.namespace for each in places]
                    child = stack.enter_context(Apart(partial(aside.look, places), aside.LIMIT_SECONDS, spaces))
                    if held:
                        child.until_read()
                child.until_read()
                stayed = {each.name for each in places if held or self._changes(each) == before[each.name]}
                told = child.answer()
            except (OSError, WorkFailed) as problem:
                log.error("no process looks at what is installed: %s", problem)
                return dict.fromkeys(names, False)
        return {name: self._told(name, told.get(name), was, stayed=name in stayed) for name, was in before.items()}

    def _changes(self, location: Location) -> Changes:
        """What is another after a change: how often anybody, and we, have changed the tables; what is wanted altogether."""
        netlink = self._seen[location.name].netlink
        return snapshot.generation_of(netlink), location.filter.transactions, self._network.ir

    def _told(self, name: str, told: int | None, was: Changes, *, stayed: bool) -> bool | None:
        """What was told of a place, if it was still to be as when it was asked when it was read; else None."""
        seen, (generation, ours, _) = self._seen[name], was
        if told == generation:
            seen.generation, seen.transactions, seen.disturbed = generation, ours, 0
            return True
        if told == aside.DIFFERS and stayed:
            seen.disturbed = 0
            return False
        seen.generation, seen.disturbed = -1, seen.disturbed + 1
        return None

    def _look_closely(self, name: str, report: Report, *, everything: bool, mend: bool) -> None:
        """While changes wait."""
        with self._lock:
            location = next((each for each in self._locations() if each.name == name), None)
            if location is None:  # gone meanwhile
                return
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
            repair.shut(netlink, location.place)
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
        with ExitStack() as stack:
            try:
                with self._one, self._lock:
                    places = [each for each in self._locations() if each.place.component not in report.closed]
                    work = partial(prover.read_and_run, places)
                    child = stack.enter_context(Apart(work, prover.LIMIT_SECONDS, [each.namespace for each in places]))
                    child.until_read()
                answer = child.answer()
            except (OSError, WorkFailed) as problem:
                report.problems.append(f"the proof did not end: {problem}")
                return
        proven, findings = int(answer["gates"]), [finding_of(each) for each in answer["findings"]]
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
                    repair.shut(seen.netlink, location.place)
                    report.closed.append(component)
                    log.critical("%s is closed: its rules admit what the model does not", component)
                elif seen.disproved and component not in report.closed:
                    repair.open_again(seen.netlink)
                    log.warning("%s was closed, and its rules admit what the model does: open again", component)
                seen.disproved = component in wrong
