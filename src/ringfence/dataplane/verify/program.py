"""Rules as the kernel lists them → instructions, in one normal form for what was asked for and for what is there.

It knows the expressions that Ringfence emits. Any other becomes `Strange`, which the interpreter answers with "unknown".
Attributes that the kernel adds by itself (flags of zero, the operation of a bitwise) are made explicit or left out, and
registers are counted in words of four bytes. Source: linux/netfilter/nf_tables.h; net/netfilter/nft_*.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from ringfence.dataplane.nftables import wire

VERDICT_REGISTER = -1
VERDICTS = {-5: "return", -4: "goto", -3: "jump", -1: "continue", 0: "drop", 1: "accept"}


@dataclass(frozen=True, slots=True)
class Load:
    """A register becomes a field. `what`: (kind, numbers…), such as ("payload", base, offset, size) or ("meta", key)."""

    what: tuple[str | int, ...]
    into: int


@dataclass(frozen=True, slots=True)
class Compare:
    """Go on if the register relates to the value. `operator`: NFT_CMP_*, 0 equal, 1 differs."""

    register: int
    operator: int
    value: bytes


@dataclass(frozen=True, slots=True)
class InRange:
    """Go on if first <= register <= last; or (`absent`) if not."""

    register: int
    absent: bool
    first: bytes
    last: bytes


@dataclass(frozen=True, slots=True)
class Bitwise:
    """into = register & mask ^ flip."""

    register: int
    into: int
    mask: bytes
    flip: bytes


@dataclass(frozen=True, slots=True)
class LookUp:
    """Go on if the key is in the set (`absent`: is not). `into`: where a map's value goes; None for a plain set."""

    name: str
    register: int
    into: int | None
    absent: bool


@dataclass(frozen=True, slots=True)
class Put:
    """A register becomes a constant."""

    into: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Decide:
    """The rule ends with a verdict."""

    code: str
    chain: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """Something of the packet or its connection becomes what the register holds. `what` as for `Load`."""

    what: tuple[str | int, ...]
    register: int


@dataclass(frozen=True, slots=True)
class Untracked:
    """Conntrack leaves the packet alone."""


@dataclass(frozen=True, slots=True)
class Uses:
    """A named object is applied to the packet: kind (7: idle times of its connection) and name."""

    kind: int
    name: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts, and decides nothing; what it counted is not part of it."""


@dataclass(frozen=True, slots=True)
class Notes:
    """Enters an element, with counters, into a set that packets fill; the rule ends when the set is full."""

    name: str
    operation: int
    register: int


@dataclass(frozen=True, slots=True)
class Strange:
    """An expression, or a form of one, that is not known."""

    name: str
    body: bytes


Instruction = (
    Load | Compare | InRange | Bitwise | LookUp | Put | Decide | Write | Untracked | Uses | Counts | Notes | Strange
)  # fmt: skip
Program = tuple[Instruction, ...]
Parts = dict[int, bytes]


class _Unfamiliar(Exception):
    """A form that this module does not know."""


def program(expressions: bytes) -> Program:
    """The instructions of a rule, from its list of expressions."""
    return tuple(_instruction(payload) for _, payload in wire.attributes(expressions))


def _instruction(payload: bytes) -> Instruction:
    parts = dict(wire.attributes(payload))
    name, body = wire.string(parts.get(1, b"")), parts.get(2, b"")
    decode = _DECODERS.get(name)
    try:
        if decode is None:
            raise _Unfamiliar
        return decode(dict(wire.attributes(body)))
    except (_Unfamiliar, KeyError, struct.error):
        return Strange(name, body)


def _number(parts: Parts, kind: int, default: int | None = None) -> int:
    if kind not in parts and default is not None:
        return default
    return int(struct.unpack(">i", parts[kind])[0])


def _register(parts: Parts, kind: int) -> int:
    """In words from the first; the kernel tells registers that begin a group of four by the group's number."""
    number = _number(parts, kind)
    if number == 0:
        return VERDICT_REGISTER
    return (number - 1) * 4 if number < 8 else number - 8


def _value(parts: Parts, kind: int) -> bytes:
    value = wire.first(parts[kind], 1)
    if value is None:
        raise _Unfamiliar
    return value


def _only(parts: Parts, *known: int) -> None:
    """No attribute but these: one that is not known may change the meaning."""
    if not parts.keys() <= set(known):
        raise _Unfamiliar


def _meta(parts: Parts) -> Instruction:
    _only(parts, 1, 2, 3)
    what = ("meta", _number(parts, 2))
    return Write(what, _register(parts, 3)) if 3 in parts else Load(what, _register(parts, 1))


def _ct(parts: Parts) -> Instruction:
    _only(parts, 1, 2, 4)
    what = ("ct", _number(parts, 2))
    return Write(what, _register(parts, 4)) if 4 in parts else Load(what, _register(parts, 1))


def _payload(parts: Parts) -> Instruction:
    where: tuple[str | int, ...] = ("payload", *(_number(parts, kind) for kind in (2, 3, 4)))
    if 5 in parts:
        _only(parts, 2, 3, 4, 5, 6, 7, 8)
        return Write((*where, *(_number(parts, kind, 0) for kind in (6, 7, 8))), _register(parts, 5))
    _only(parts, 1, 2, 3, 4)
    return Load(where, _register(parts, 1))


def _fib(parts: Parts) -> Instruction:
    _only(parts, 1, 2, 3)
    return Load(("fib", _number(parts, 2), _number(parts, 3)), _register(parts, 1))


def _cmp(parts: Parts) -> Instruction:
    _only(parts, 1, 2, 3)
    return Compare(_register(parts, 1), _number(parts, 2), _value(parts, 3))


def _range(parts: Parts) -> Instruction:
    _only(parts, 1, 2, 3, 4)
    return InRange(_register(parts, 1), _number(parts, 2) == 1, _value(parts, 3), _value(parts, 4))


def _bitwise(parts: Parts) -> Instruction:
    _only(parts, 1, 2, 3, 4, 5, 6)
    if _number(parts, 6, 0) != 0:  # shifts and the like
        raise _Unfamiliar
    return Bitwise(_register(parts, 1), _register(parts, 2), _value(parts, 4), _value(parts, 5))


def _lookup(parts: Parts) -> Instruction:
    _only(parts, 1, 2, 3, 4, 5)
    into = _register(parts, 3) if 3 in parts else None
    flags = _number(parts, 5, 0)
    if flags not in (0, 1):
        raise _Unfamiliar
    return LookUp(wire.string(parts[1]), _register(parts, 2), into, flags == 1)


def _immediate(parts: Parts) -> Instruction:
    _only(parts, 1, 2)
    into = _register(parts, 1)
    if into != VERDICT_REGISTER:
        return Put(into, _value(parts, 2))
    return decision(parts[2])


def decision(data: bytes) -> Decide:
    """A verdict as attributes of a data value."""
    verdict = dict(wire.attributes(wire.first(data, 2) or b""))
    chain = verdict.get(2)
    return Decide(VERDICTS[_number(verdict, 1)], wire.string(chain) if chain else "")


def _objref(parts: Parts) -> Instruction:
    _only(parts, 1, 2)
    return Uses(_number(parts, 1), wire.string(parts[2]))


def _dynset(parts: Parts) -> Instruction:
    """Set, operation and key; no value (a map's), no time of its own, no other expressions, no inversion."""
    for kind in (5, 7, 10):
        if kind in parts:
            raise _Unfamiliar
    if parts.get(6, b"").strip(b"\0"):  # where the set has a time, the kernel tells none of the rule's own as 0
        raise _Unfamiliar
    if _number(parts, 9, 0) not in (0, 2):  # inverted; 2: with the set's own expressions
        raise _Unfamiliar
    return Notes(wire.string(parts[1]), _number(parts, 3), _register(parts, 4))


_DECODERS: dict[str, Callable[[Parts], Instruction]] = {
    "meta": _meta,
    "ct": _ct,
    "payload": _payload,
    "fib": _fib,
    "cmp": _cmp,
    "range": _range,
    "bitwise": _bitwise,
    "lookup": _lookup,
    "immediate": _immediate,
    "objref": _objref,
    "dynset": _dynset,
    "notrack": lambda _: Untracked(),
    "counter": lambda _: Counts(),
}
