"""What a table's chains do with every packet: rules run on sets of packets instead of one packet.

A chain run gives *outcomes*: for each verdict, with what the packet and its connection have become on the way (`Effects`), the
exact set of packets that get it. Links, packet mark and zone are known numbers (a gate is run for each); headers and the
connection's state are the packet's, and stay sets. Chains that read little are run once for all who run them: what a
run has read is remembered with its result.

An instruction that is not known, or a known one used in a way that is not, ends in the outcome "unknown", which nobody takes for
anything else. A rule that enters elements into a set may end there (the set may be full), or go on: both are followed.
Sources: net/netfilter/nf_tables_core.c, nft_*.c: a load that is not there breaks the rule.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ringfence.dataplane.plan import link_group
from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.outcomes import (
    ACCEPT,
    DROP,
    HAS_ENTRY,
    LEADS,
    POSSIBLE,
    RETURN,
    UNCHANGED,
    UNKNOWN,
    WORD,
    Effects,
    Exchange,
    Gate,
    Outcome,
    Outcomes,
    after,
    more,
    states,
)
from ringfence.dataplane.verify.program import (
    VERDICT_REGISTER,
    Bitwise,
    Compare,
    Counts,
    Decide,
    InRange,
    Load,
    LookUp,
    Notes,
    Program,
    Put,
    Strange,
    Untracked,
    Uses,
    Write,
    decision,
)
from ringfence.dataplane.verify.registers import (
    Header,
    Held,
    Known,
    Mapped,
    Marked,
    Opaque,
    State,
    Unclear,
    WayBack,
    WayOut,
    bitwise,
    change,
    connection_mark,
    interval,
    key_parts,
    masked,
    places_of,
)
from ringfence.dataplane.verify.snapshot import Elements, Entry, TableContent


@dataclass(frozen=True, slots=True)
class _Groups:
    """The packets that a set's elements fit, by the elements' value, and together."""

    by_value: Mapping[bytes, int]
    everything: int


@dataclass(slots=True)
class _At:
    """One strand of a rule: packets, registers, what has happened."""

    packets: int
    registers: dict[int, Held]
    effects: Effects


#: what a run asked of its gate → the answers → what came of it
Question = tuple[str, int]
Memory = dict[tuple[Question, ...], dict[tuple[object, ...], Outcomes]]


@dataclass(slots=True)
class _Run:
    """A chain's run: where, and what it has read of that (name, mask) → value."""

    gate: Gate
    read: dict[Question, object] = field(default_factory=dict)

    def ask(self, name: str, mask: int = 0) -> object:
        value = getattr(self.gate, name)
        if mask:
            value &= mask
        self.read[name, mask] = value
        return value


Routes = Callable[[int], Mapping[str, int]]  # packet mark → link → packets routed to it

_NETWORK_FIELDS = {
    (2, 12, 4): p.SOURCE, (2, 16, 4): p.DESTINATION, (10, 8, 16): p.SOURCE, (10, 24, 16): p.DESTINATION,
    (10, 7, 1): p.HOPS,
}  # fmt: skip
_ARP, _INET = 3, 1


class Machine:
    """Runs the chains of one table. `routes`: where packets of a mark are led, by link; `groups`: those of links; `back`: the packets
    whose source is routed to a link."""

    def __init__(
        self,
        content: TableContent,
        table_family: int = _INET,
        routes: Routes = lambda _: {},
        groups: Mapping[str, int] | None = None,
        back: Callable[[str], int] = lambda _: p.NONE,
    ) -> None:
        self._chains, self._sets, self._family, self._routes = content.chains, content.sets, table_family, routes
        self._groups_of_links, self._back = dict(groups or {}), back
        self._memory: dict[str, Memory] = {}
        self._final: dict[str, bool] = {}
        self._by_known: dict[tuple[str, tuple[int, ...]], dict[tuple[bytes, ...], list[Entry]]] = {}
        self._matches: dict[tuple[str, tuple[Held, ...]], _Groups] = {}
        self._ranged = {name: any(entry.end for entry in held.entries) for name, held in content.sets.items()}

    # ------------------------------------------------------------------ chains
    def base(self, name: str, gate: Gate, packets: int = POSSIBLE) -> Outcomes:
        """What becomes of packets that the kernel hands to a base chain: its policy decides what is left."""
        chain = self._chains.get(name)
        if chain is None or chain.hook is None:
            return {Outcome(UNKNOWN, UNCHANGED, f"there is no base chain {name}"): packets}
        out: Outcomes = {}
        for outcome, some in self._whole(name, gate).items():
            verdict = (ACCEPT if chain.hook.accepts else DROP) if outcome.verdict == RETURN else outcome.verdict
            more(out, replace(outcome, verdict=verdict), p.both(some, packets))
        return out

    def _whole(self, name: str, gate: Gate) -> Outcomes:
        """What a chain does with all packets that can be, and where it leads to in the end."""
        out: Outcomes = {}
        left: Outcomes = self._chain(name, _Run(gate))
        while left:
            following: Outcomes = {}
            for outcome, some in left.items():
                if outcome.verdict != LEADS:
                    more(out, outcome, some)
                    continue
                for last, part in self._chain(outcome.why, _Run(_after_all(gate, outcome.effects))).items():
                    more(
                        following,
                        Outcome(last.verdict, outcome.effects.then(last.effects), last.why),
                        p.both(part, some),
                    )
            left = following
        return out

    def _never_returns(self, name: str) -> bool:
        """Does every way through the chain end in a verdict? Then whoever leads there need not wait for what becomes of it, and is
        the same for all who run it. (Told by the form of its rules alone.)"""
        found = self._final.get(name)
        if found is None:
            self._final[name] = False  # while it is asked: chains do not go round
            found = self._final[name] = self._is_final(name)
        return found

    def _is_final(self, name: str) -> bool:
        chain = self._chains.get(name)
        if chain is None or not chain.programs or len(chain.programs[-1]) != 1:
            return False
        decisions = [each for rule in chain.programs for each in rule if isinstance(each, Decide)]
        maps = any(
            isinstance(each, LookUp) and each.into == VERDICT_REGISTER for rule in chain.programs for each in rule
        )
        last = chain.programs[-1][0]
        return (
            not maps
            and isinstance(last, Decide)
            and all(
                each.code in (ACCEPT, DROP) or (each.code == "goto" and self._never_returns(each.chain))
                for each in decisions
            )
        )

    def _chain(self, name: str, caller: _Run) -> Outcomes:
        memory = self._memory.setdefault(name, {})
        for asked, by_answer in memory.items():
            answers = tuple(_value(caller.gate, *question) for question in asked)
            if (known := by_answer.get(answers)) is not None:
                caller.read |= dict(zip(asked, answers, strict=True))
                return known
        run = _Run(caller.gate)
        made = self._run(name, run)
        memory.setdefault(tuple(run.read), {})[tuple(run.read.values())] = made
        caller.read |= run.read
        return made

    def _run(self, name: str, run: _Run) -> Outcomes:
        chain = self._chains.get(name)
        if chain is None:
            return {Outcome(UNKNOWN, UNCHANGED, f"there is no chain {name}"): POSSIBLE}
        out: Outcomes = {}
        pending: dict[Effects, int] = {UNCHANGED: POSSIBLE}
        for number, rule in enumerate(chain.programs, 1):
            going: dict[Effects, int] = {}
            for effects, some in pending.items():
                for outcome, part in self._rule(rule, some, effects, run, f"{name}, rule {number}").items():
                    if outcome.verdict == "next":
                        going[outcome.effects] = p.either(going.get(outcome.effects, p.NONE), part)
                    else:
                        more(out, outcome, part)
            pending = {effects: some for effects, some in going.items() if some != p.NONE}
            if not pending:
                break
        for effects, some in pending.items():
            more(out, Outcome(RETURN, effects), some)
        return out

    # ------------------------------------------------------------------ rules
    def _rule(self, rule: Program, packets: int, effects: Effects, run: _Run, where: str) -> Outcomes:
        """Verdict "next": the packets go on to the next rule."""
        out: Outcomes = {}
        strands = [_At(packets, {}, effects)]
        for instruction in rule:
            following: list[_At] = []
            for strand in strands:
                try:
                    following += self._step(instruction, strand, run, out)
                except Unclear as problem:
                    more(out, Outcome(UNKNOWN, strand.effects, f"{where}: {problem}"), strand.packets)
            strands = [strand for strand in following if strand.packets != p.NONE]
        for strand in strands:
            more(out, Outcome("next", strand.effects), strand.packets)
        return out

    def _step(self, do: object, at: _At, run: _Run, out: Outcomes) -> Iterator[_At]:
        if isinstance(do, Load):
            held, there = self._load(do, at, run)
            if isinstance(held, Opaque):  # such bytes may not be there
                more(out, Outcome("next", at.effects), at.packets)
            yield self._go_on(at, there, out, {do.into: held})
        elif isinstance(do, Compare | InRange) and isinstance(at.registers.get(do.register), Opaque):
            more(out, Outcome("next", at.effects), at.packets)  # either may be
            yield at
        elif isinstance(do, Compare | InRange):
            yield self._go_on(at, self._holds(do, at, run), out)
        elif isinstance(do, Bitwise):
            yield _At(at.packets, {**at.registers, do.into: bitwise(do, at.registers.get(do.register))}, at.effects)
        elif isinstance(do, Put):
            yield _At(at.packets, {**at.registers, do.into: Known(do.value)}, at.effects)
        elif isinstance(do, LookUp):
            yield from self._look_up(do, at, run, out)
        elif isinstance(do, Decide):
            self._decide(do, at, run, out)
        elif isinstance(do, Write):
            yield self._write(do, at, run, out)
        elif isinstance(do, Untracked):
            yield _At(at.packets, at.registers, at.effects.then(Effects(untracked=True)))
        elif isinstance(do, Notes):
            if do.name not in self._sets or not self._sets[do.name].dynamic:
                raise Unclear(f"it changes the set {do.name}")
            more(out, Outcome("next", at.effects), at.packets)  # the set may be full
            yield at
        elif isinstance(do, Counts) or (isinstance(do, Uses) and do.kind == 7):
            yield at
        else:
            raise Unclear(f"an expression that is not known: {do.name if isinstance(do, Strange) else do}")

    @staticmethod
    def _go_on(at: _At, holds: int, out: Outcomes, registers: Mapping[int, Held] | None = None) -> _At:
        """The packets for which something holds go on; for the others the rule ends."""
        more(out, Outcome("next", at.effects), p.without(at.packets, holds))
        return _At(p.both(at.packets, holds), {**at.registers, **(registers or {})}, at.effects)

    def _decide(self, do: Decide, at: _At, run: _Run, out: Outcomes) -> None:
        if do.code in (ACCEPT, DROP, RETURN):
            more(out, Outcome(do.code, at.effects), at.packets)
        elif do.code == "goto" and self._never_returns(do.chain):
            more(out, Outcome(LEADS, at.effects, do.chain), at.packets)
        elif do.code in ("jump", "goto"):
            inner = _Run(_after_all(run.gate, at.effects))
            for outcome, some in self._chain(do.chain, inner).items():
                verdict = "next" if outcome.verdict == RETURN and do.code == "jump" else outcome.verdict
                merged = Outcome(verdict, at.effects.then(outcome.effects), outcome.why)
                more(out, merged, p.both(some, at.packets))
            self._inherit(run, inner, at.effects)
        else:
            raise Unclear(f"the verdict {do.code}")

    @staticmethod
    def _inherit(run: _Run, inner: _Run, effects: Effects) -> None:
        """What the called chain has read of the mark, this one has, as far as it had not written it itself."""
        for name, mask in inner.read:
            if name == "connection" and not effects.connection[0]:
                continue
            if name != "mark":
                run.ask(name, mask)
            elif (mask or WORD) & effects.mark[0]:
                run.ask("mark", (mask or WORD) & effects.mark[0])

    # ------------------------------------------------------------------ loads
    def _load(self, do: Load, at: _At, run: _Run) -> tuple[Held, int]:
        """What the register holds, and the packets for which the load succeeds."""
        kind, *numbers = do.what
        if kind == "meta":
            return self._meta(int(numbers[0]), run), p.ALL
        if kind == "ct":
            return self._ct(int(numbers[0]), run, at.effects)
        if kind == "payload":
            base, offset, size = (int(each) for each in numbers)
            if any(_overlap((base, offset, size), each) for each in self._exchanged(at, run)):
                raise Unclear("it looks at an address that was exchanged")
            return self._payload(base, offset, size, at.packets), p.ALL
        if kind == "fib" and not self._exchanged(at, run):
            if tuple(numbers) == (2, 0x2 | 0x4):
                return WayOut(), p.ALL
            if tuple(numbers) == (1, 0x1 | 0x8):
                return WayBack(self._back(str(run.ask("iif")))), p.ALL
        raise Unclear(f"it looks at {do.what}")

    @staticmethod
    def _exchanged(at: _At, run: _Run) -> tuple[tuple[int, int, int], ...]:
        """The bytes of the packet that are others now than those it came with."""
        before = run.ask("exchanged")
        assert isinstance(before, tuple)
        return (*before, *(each.where for each in at.effects.rewritten))

    def _meta(self, key: int, run: _Run) -> Held:
        if key in (6, 7):
            return Known(str(run.ask("iif" if key == 6 else "oif")).encode().ljust(16, b"\0"))
        if key in (21, 22):
            name = str(run.ask("iif" if key == 21 else "oif"))
            return Known(struct.pack("=I", self._groups_of_links.get(name, link_group(name))))
        if key == 2:
            return Opaque(4)  # its priority, which nothing decides by
        if key == 3:
            return Marked(connection=False)
        if key == 8:
            return Known(struct.pack("=H", 1))  # every link here is an ethernet link
        if key == 15 and self._family != _ARP:
            return Header(p.FAMILY, 1, 0xFF)
        if key == 16 and self._family != _ARP:
            return Header(p.PROTOCOL, 1, 0xFF)
        raise Unclear(f"it looks at meta key {key}")

    @staticmethod
    def _ct(key: int, run: _Run, effects: Effects) -> tuple[Held, int]:
        if effects.zone is not None or effects.untracked or run.ask("moved"):
            raise Unclear("it looks at the connection after it was told which")
        if key == 0:
            return State(0x7F), p.ALL
        if key == 1:
            return Header(p.DIRECTION, 1, 0xFF), HAS_ENTRY
        if key == 3:
            return Marked(connection=True), HAS_ENTRY
        if key == 17:
            zone = run.ask("zone")
            return Known(struct.pack("=H", zone if isinstance(zone, int) else 0)), HAS_ENTRY
        raise Unclear(f"it looks at ct key {key}")

    def _payload(self, base: int, offset: int, size: int, packets: int) -> Held:
        if self._family == _ARP:
            found = {(1, 8, 6): p.MAC, (1, 14, 4): p.SOURCE}.get((base, offset, size))
            if found is None:
                raise Unclear(f"it looks at byte {offset} of an ARP packet")
            return Header(found, size, (1 << size * 8) - 1)
        if base == 0 and (offset, size) == (6, 6):
            return Header(p.MAC, 6, (1 << 48) - 1)
        if base == 2:
            found = {(0, 2): p.WORD, (2, 2): p.PORT}.get((offset, size))
            return Opaque(size, (base, offset, size)) if found is None else Header(found, 2, 0xFFFF)
        for number in (2, 10):
            if p.without(packets, p.box({p.FAMILY: (number, number)})) == p.NONE and base == 1:
                found = _NETWORK_FIELDS.get((number, offset, size))
                return Opaque(size) if found is None else Header(found, size, (1 << size * 8) - 1)
        return Opaque(size)

    # ------------------------------------------------------------------ questions
    def _holds(self, do: Compare | InRange, at: _At, run: _Run) -> int:
        held = at.registers.get(do.register)
        if isinstance(do, InRange):
            inside = interval(held, int.from_bytes(do.first, "big"), int.from_bytes(do.last, "big"), len(do.first))
            return p.outside(inside) if do.absent else inside
        if do.operator not in (0, 1):
            if not isinstance(held, Header):
                raise Unclear("it compares the size of what is no number")
            value, top = int.from_bytes(do.value, "big"), p.LARGEST[held.field]
            low, high = {2: (0, value - 1), 3: (0, value), 4: (value + 1, top), 5: (value, top)}[do.operator]
            return interval(held, low, high, len(do.value)) if low <= high else p.NONE
        equal = self._equals(held, do.value, run, at.effects)
        return p.outside(equal) if do.operator == 1 else equal

    def _equals(self, held: Held | None, value: bytes, run: _Run, effects: Effects) -> int:
        if isinstance(held, Known):
            return p.ALL if held.value[: len(value)] == value else p.NONE
        if isinstance(held, Header):
            if len(value) != held.size:
                raise Unclear("it compares part of a field")
            return masked(held, int.from_bytes(value, "big"))
        number = int(struct.unpack("=I", value)[0]) if len(value) == 4 else -1
        if isinstance(held, WayBack) and number == 0:
            return p.outside(held.led)
        if isinstance(held, State):
            wanted = [bit for bit in (1, 2, 4, 8, 64) if bit & held.mask == number]
            return states(*wanted)
        if isinstance(held, Marked) and number >= 0:
            number ^= held.flip
            if number & ~held.keep & WORD:
                return p.NONE
            if held.connection:
                before = (0, 0) if not effects.connection[0] else run.ask("connection")
                return connection_mark(held.keep, number, after(before, effects.connection))  # type: ignore[arg-type]
            return p.ALL if _mark(run, effects, held.keep) == number else p.NONE
        raise Unclear("it compares what it has not loaded")

    # ------------------------------------------------------------------ sets
    def _look_up(self, do: LookUp, at: _At, run: _Run, out: Outcomes) -> Iterator[_At]:
        elements = self._sets.get(do.name)
        if elements is None or elements.dynamic:
            raise Unclear(f"the set {do.name} is not there, or packets fill it")
        if do.into not in (None, VERDICT_REGISTER) and not do.absent and elements.value_size == 4:
            exchange = self._exchange(do, elements, at)
            if exchange is not None:
                yield self._go_on(at, exchange[1], out, {do.into: exchange[0]})
                return
        groups = self._groups(do, elements, at, run)
        inside = groups.everything
        goes_on = p.both(at.packets, p.outside(inside) if do.absent else inside)
        more(out, Outcome("next", at.effects), p.without(at.packets, goes_on))
        if do.into is None:
            yield _At(goes_on, at.registers, at.effects)
            return
        for value, some in groups.by_value.items() if not do.absent else ():
            part = p.both(some, at.packets)
            if part == p.NONE:
                continue
            if do.into == VERDICT_REGISTER:
                self._decide(decision(value), _At(part, at.registers, at.effects), run, out)
            else:
                held = Known(value[4 : int(struct.unpack_from("=H", value)[0])])
                yield _At(part, {**at.registers, do.into: held}, at.effects)

    def _exchange(self, do: LookUp, elements: Elements, at: _At) -> tuple[Mapped, int] | None:
        """What a map of addresses gives, and for which packets it may give something; None if it is no such map."""
        parts = key_parts(do, elements, at.registers)
        if len(parts) != 1:
            return None
        (part,) = parts
        if isinstance(part, Opaque) and part.where is not None:  # it may be in the map, or not
            return Mapped(do.name, part.where, None), p.ALL
        if not isinstance(part, Header) or part.field not in (p.SOURCE, p.DESTINATION) or part.size != 4:
            return None
        where = (1, 12 if part.field == p.SOURCE else 16, 4)
        inside = p.boxes([conditions for _, conditions in self._matching(do.name, elements, parts)])
        return Mapped(do.name, where, part.field), inside

    def _groups(self, do: LookUp, elements: Elements, at: _At, run: _Run) -> _Groups:
        """What the set's elements stand for, with this key."""
        parts = key_parts(do, elements, at.registers)
        if any(isinstance(part, WayOut) for part in parts):
            return self._routed(elements, parts, run, at.effects)
        plain = tuple(self._settled(part, run, at.effects) for part in parts)
        found = self._matches.get((do.name, plain))
        if found is None:
            by_value: dict[bytes, list[p.Box]] = {}
            for entry, conditions in self._matching(do.name, elements, plain):
                by_value.setdefault(entry.value, []).append(conditions)
            sets = {value: p.boxes(many) for value, many in by_value.items()}
            every = [each for many in by_value.values() for each in many]
            found = self._matches[do.name, plain] = _Groups(sets, p.boxes(every))
        return found

    @staticmethod
    def _settled(part: Held, run: _Run, effects: Effects) -> Held:
        if isinstance(part, Marked) and not part.connection:
            return Known(struct.pack("=I", _mark(run, effects, part.keep) ^ part.flip))
        if isinstance(part, Known | Header):
            return part
        raise Unclear("it looks up what it has not loaded")

    def _matching(self, name: str, elements: Elements, parts: tuple[Held, ...]) -> Iterator[tuple[Entry, p.Box]]:
        places = places_of(parts)
        for entry in self._candidates(name, elements, parts, places):
            if entry.strange:
                raise Unclear(f"the set {name} has an element that is not plain")
            conditions: dict[int, p.Interval] = {}
            for part, (start, size) in zip(parts, places, strict=True):
                low = entry.key[start : start + size]
                high = entry.end[start : start + size] if entry.end else low
                if isinstance(part, Known):
                    if not low <= part.value[:size] <= high:
                        break
                elif isinstance(part, Header):
                    if part.mask != (1 << part.size * 8) - 1 or part.field in conditions:
                        raise Unclear("it looks up a part of a field")
                    conditions[part.field] = (int.from_bytes(low, "big"), int.from_bytes(high, "big"))
            else:
                yield entry, conditions

    def _candidates(
        self, name: str, elements: Elements, parts: tuple[Held, ...], places: list[tuple[int, int]]
    ) -> list[Entry]:
        """Elements whose known parts fit, for sets without ranges; all of them else."""
        known = tuple(n for n, part in enumerate(parts) if isinstance(part, Known))
        if not known or self._ranged[name]:
            return elements.entries
        index = self._by_known.get((name, known))
        if index is None:
            index = self._by_known[name, known] = {}
            for entry in elements.entries:
                key = tuple(entry.key[places[n][0] : sum(places[n])] for n in known)
                index.setdefault(key, []).append(entry)
        asked = tuple(part.value[: places[n][1]] for n in known if isinstance(part := parts[n], Known))
        return index.get(asked, [])

    def _routed(self, elements: Elements, parts: tuple[Held, ...], run: _Run, effects: Effects) -> _Groups:
        if len(parts) != 1:
            raise Unclear("it looks up a route together with something else")
        ways = self._routes(_mark(run, effects, WORD))
        by_value: dict[bytes, int] = {}
        for each in elements.entries:
            some = ways.get(each.key.rstrip(b"\0").decode(), p.NONE)
            by_value[each.value] = p.either(by_value.get(each.value, p.NONE), some)
        return _Groups(by_value, p.union(by_value.values()))

    # ------------------------------------------------------------------ writes
    def _write(self, do: Write, at: _At, run: _Run, out: Outcomes) -> _At:
        held = at.registers.get(do.register)
        if do.what == ("meta", 3):
            return _At(at.packets, at.registers, at.effects.then(Effects(mark=change(held, connection=False))))
        if do.what == ("ct", 3):
            at = self._go_on(at, HAS_ENTRY, out)
            return _At(at.packets, at.registers, at.effects.then(Effects(connection=change(held, connection=True))))
        if do.what == ("ct", 17) and isinstance(held, Known):
            zone = int(struct.unpack("=H", held.value[:2])[0])
            return _At(at.packets, at.registers, at.effects.then(Effects(zone=zone)))
        if do.what[0] == "payload" and isinstance(held, Mapped):
            base, offset, size, *checksum = (int(each) for each in do.what[1:])
            if (base, offset, size) != held.where:
                raise Unclear("it stores what a map gives for other bytes")
            kind, place, flags = checksum
            made = Exchange(held.where, (kind, place, flags), held.by, held.field)
            return _At(at.packets, at.registers, at.effects.then(Effects(rewritten=(made,))))
        raise Unclear(f"it writes {do.what}")


# ---------------------------------------------------------------------- parts
def _overlap(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """(base, offset, size) of bytes, twice."""
    return one[0] == other[0] and one[1] < other[1] + other[2] and other[1] < one[1] + one[2]


def _value(gate: Gate, name: str, mask: int) -> object:
    value = getattr(gate, name)
    return value & mask if mask else value


def _after_all(gate: Gate, effects: Effects) -> Gate:
    """The gate as a chain meets it that is called after all this."""
    return replace(
        gate, mark=gate.mark & effects.mark[0] | effects.mark[1], connection=after(gate.connection, effects.connection),
        moved=gate.moved or effects.zone is not None or effects.untracked,
        exchanged=(*gate.exchanged, *(each.where for each in effects.rewritten)),
    )  # fmt: skip


def _current(run: _Run, effects: Effects) -> int:
    """The packet's mark now."""
    return run.gate.mark & effects.mark[0] | effects.mark[1]


def _mark(run: _Run, effects: Effects, mask: int) -> int:
    """Some bits of it; what of them was there before is remembered as read."""
    before = mask & effects.mark[0]
    if before:
        run.ask("mark", before)
    return _current(run, effects) & mask
