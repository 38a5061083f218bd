"""What registers hold while a rule is run on a set of packets, and the packets for which that has a value."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.outcomes import WORD
from ringfence.dataplane.verify.program import Bitwise, LookUp
from ringfence.dataplane.verify.snapshot import Elements


@dataclass(frozen=True, slots=True)
class Known:
    """Bytes."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A field of the packet, of so many bytes in network order, of which `mask` was kept."""

    field: int
    size: int
    mask: int


@dataclass(frozen=True, slots=True)
class Marked:
    """The packet's mark, or (`connection`) the connection's, & keep ^ flip."""

    connection: bool
    keep: int = WORD
    flip: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """`ct state` & mask."""

    mask: int


@dataclass(frozen=True, slots=True)
class WayOut:
    """The link that the destination is routed to."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """The link that the source is routed to, if it is the one the packet came by; else 0. `led`: packets for which it is."""

    led: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a map of addresses gives for bytes of the packet (`where`), which are a field of it, or (None) none that is known."""

    by: str
    where: tuple[int, int, int]
    field: int | None


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that is counted or noted. What asks about it may go either way."""

    size: int
    where: tuple[int, int, int] | None = None


Held = Known | Header | Marked | State | WayOut | WayBack | Mapped | Opaque
Registers = Mapping[int, Held]


class Unclear(Exception):
    """What this rule does to the packets at hand cannot be told; the message says why."""


def change(held: Held | None, *, connection: bool) -> tuple[int, int]:
    """What storing a register in a mark keeps and sets."""
    if isinstance(held, Known):
        return 0, int(struct.unpack("=I", held.value[:4])[0])
    if isinstance(held, Marked) and held.connection == connection and not held.flip & held.keep:
        return held.keep, held.flip
    raise Unclear("it stores in a mark what is not the mark")


def bitwise(do: Bitwise, held: Held | None) -> Held:
    if isinstance(held, Header):
        mask, flip = int.from_bytes(do.mask, "big"), int.from_bytes(do.flip, "big")
        return (
            Header(held.field, held.size, held.mask & mask)
            if not flip and len(do.mask) == held.size
            else Opaque(len(do.mask))
        )
    if len(do.mask) != 4 or held is None or isinstance(held, Opaque | WayOut | WayBack | Mapped | Known):
        return Opaque(len(do.mask))
    mask, flip = (int(struct.unpack("=I", each)[0]) for each in (do.mask, do.flip))
    if isinstance(held, State):
        return State(held.mask & mask) if not flip else Opaque(4)
    return Marked(held.connection, held.keep & mask, held.flip & mask ^ flip)


def masked(held: Header, value: int) -> int:
    """Packets whose field, with only the bits of the mask kept, has a value: for prefixes."""
    full = (1 << held.size * 8) - 1
    rest = full & ~held.mask
    if rest & (rest + 1):
        raise Unclear("it compares bits in the middle of a field")
    return p.NONE if value & rest else p.box({held.field: (value, value | rest)})


def interval(held: Held | None, low: int, high: int, size: int) -> int:
    if not isinstance(held, Header) or held.size != size or held.mask != (1 << size * 8) - 1:
        raise Unclear("it compares the size of what is no number")
    return p.box({held.field: (low, high)})


GENERATION_SHIFT, JUDGED_SHIFT = 6, 2
_SLICES = ((p.BEGUN, 0, 3), (p.JUDGED, JUDGED_SHIFT, 15), (p.GENERATION, GENERATION_SHIFT, (1 << 26) - 1))


def connection_mark(mask: int, value: int, change: tuple[int, int]) -> int:
    """Connections whose mark, after a change of it, with only these bits kept, has a value."""
    kept, put = change
    if (kept, put) != (WORD, 0):
        if mask & kept:
            raise Unclear("it looks at a connection mark that it has written in part")
        return p.ALL if put & mask == value else p.NONE
    out = p.ALL
    for number, shift, full in _SLICES:
        some, wanted = mask >> shift & full, value >> shift & full
        if some == full:
            out = p.both(out, p.box({number: (wanted, wanted)}))
        elif some and full > 15:
            raise Unclear("it looks at some bits of a generation")
        elif some:
            fits = [n for n in range(full + 1) if n & some == wanted]
            out = p.both(out, p.union(p.box({number: (n, n)}) for n in fits))
    return out


def size_of(held: Held) -> int:
    if isinstance(held, Known):
        return len(held.value)
    return held.size if isinstance(held, Header | Opaque) else 16 if isinstance(held, WayOut) else 4


def key_parts(do: LookUp, elements: Elements, held_in: Registers) -> tuple[Held, ...]:
    """What fills the key, register by register."""
    parts: list[Held] = []
    register, left = do.register, (elements.key_size + 3) // 4
    while left > 0:
        held = held_in.get(register)
        if held is None:
            raise Unclear(f"it looks up in {do.name} what it has not loaded")
        words = (size_of(held) + 3) // 4
        parts.append(held)
        register, left = register + words, left - words
    if left:
        raise Unclear(f"its key for {do.name} has another size")
    return tuple(parts)


def places_of(parts: tuple[Held, ...]) -> list[tuple[int, int]]:
    """(start, size) of each part in a key."""
    out, at = [], 0
    for part in parts:
        size = size_of(part)
        out.append((at, size))
        at += (size + 3) // 4 * 4
    return out
