"""What becomes of sets of packets at a gate: verdicts, effects, and which packets there can be."""

from __future__ import annotations

from dataclasses import dataclass

from ringfence.dataplane.verify import packets as p

WORD = 0xFFFFFFFF
INVALID, ESTABLISHED, RELATED, NEW, UNTRACKED = 1, 2, 4, 8, 64
ACCEPT, DROP, RETURN, UNKNOWN = "accept", "drop", "return", "unknown"
LEADS = "leads to"  # a chain that never returns, whose name is the reason: looked at when everything else is settled


def states(*values: int) -> int:
    return p.union(p.box({p.STATE: (value, value)}) for value in values)


HAS_ENTRY = states(ESTABLISHED, RELATED, NEW)
_NOTHING = dict.fromkeys((p.DIRECTION, p.BEGUN, p.JUDGED, p.GENERATION), (0, 0))
#: packets that can be: with an entry, of which new ones go the first direction; or without, and then nothing of an entry
POSSIBLE = p.both(
    p.union((
        p.both(states(ESTABLISHED, RELATED), p.ALL),
        p.both(states(NEW), p.box({p.DIRECTION: (0, 0)})),
        p.both(states(INVALID, UNTRACKED), p.box(_NOTHING)),
    )),
    p.union((p.box({p.FAMILY: (2, 2), p.SOURCE: (0, WORD), p.DESTINATION: (0, WORD)}), p.box({p.FAMILY: (10, 10)}))),
)  # fmt: skip


# ---------------------------------------------------------------------- what becomes of a packet
@dataclass(frozen=True, slots=True)
class Exchange:
    """Bytes of the packet replaced by what a map gives for them. `where`: base, offset, size; `checksum`: its kind, its offset, and
    flags; `field`: which of the packet's fields the map was asked for, None for bytes that are none (a packet quoted in an error)."""

    where: tuple[int, int, int]
    checksum: tuple[int, int, int]
    by: str
    field: int | None


@dataclass(frozen=True, slots=True)
class Effects:
    """What happened to a packet and its connection. `mark`: bits kept and bits set; `connection`: bits of its mark kept and
    set; `zone`: where it is looked for from now on; `rewritten`: addresses exchanged."""

    mark: tuple[int, int] = (WORD, 0)
    connection: tuple[int, int] = (WORD, 0)
    zone: int | None = None
    untracked: bool = False
    rewritten: tuple[Exchange, ...] = ()

    def then(self, later: Effects) -> Effects:
        return Effects(
            after(self.mark, later.mark), after(self.connection, later.connection),
            self.zone if later.zone is None else later.zone, self.untracked or later.untracked,
            self.rewritten + later.rewritten,
        )  # fmt: skip


def after(first: tuple[int, int], later: tuple[int, int]) -> tuple[int, int]:
    return first[0] & later[0], first[1] & later[0] | later[1]


UNCHANGED = Effects()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, with what happened on the way. `why`: of UNKNOWN."""

    verdict: str
    effects: Effects
    why: str = ""


Outcomes = dict[Outcome, int]


@dataclass(frozen=True, slots=True)
class Gate:
    """Where a chain is run: links, the packet's mark, the zone its connection is in; and what has become of the connection's mark
    before (bits kept and bits set), whether the packet has been told another connection table, or none, and what of it was exchanged
    before."""

    iif: str = ""
    oif: str = ""
    mark: int = 0
    zone: int | None = None
    connection: tuple[int, int] = (WORD, 0)
    moved: bool = False
    exchanged: tuple[tuple[int, int, int], ...] = ()


def more(out: Outcomes, outcome: Outcome, packets: int) -> None:
    if packets != p.NONE:
        out[outcome] = p.either(out.get(outcome, p.NONE), packets)
