"""The statements a rule is made of. Each knows its nft spelling (`text`) and its netlink expressions (`wire`).

A rule is a tuple of terms, evaluated from left to right; a term that does not hold ends the rule.
Sources: nft(8); linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.fields import (
    FIRST_REGISTER,
    IP_SADDR,
    META_MARK,
    Field,
    Value,
    compare,
    expression,
    guards,
    load_all,
)

R = FIRST_REGISTER
_CODES = {"drop": 0, "accept": 1, "jump": -3, "goto": -4, "return": -5}


class Term(Protocol):
    """One statement of a rule."""

    @property
    def text(self) -> str: ...

    @property
    def guard(self) -> tuple[bytes, ...]: ...

    def wire(self) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """accept, drop, return, jump CHAIN or goto CHAIN: a term, and the data of a verdict map."""

    code: str
    chain: str = ""

    @property
    def text(self) -> str:
        return f"{self.code} {self.chain}".rstrip()

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def data(self) -> bytes:
        """The verdict as attributes of a data value."""
        chain = (wire.text(2, self.chain),) if self.chain else ()
        return wire.nest(2, wire.be32(1, _CODES[self.code]), *chain)

    def wire(self) -> list[bytes]:
        return [expression("immediate", wire.be32(1, 0), wire.nest(2, self.data()))]


ACCEPT, DROP, RETURN = Verdict("accept"), Verdict("drop"), Verdict("return")


def goto(chain: str) -> Verdict:
    return Verdict("goto", chain)


def jump(chain: str) -> Verdict:
    return Verdict("jump", chain)


@dataclass(frozen=True, slots=True)
class Is:
    """The field equals the value, or differs from it."""

    field: Field
    value: Value
    differs: bool = False

    @property
    def text(self) -> str:
        return f"{self.field.text} {'!= ' if self.differs else ''}{self.field.type.show(self.value)}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return self.field.guard

    def wire(self) -> list[bytes]:
        return [self.field.load(R), compare(R, self.field.type.pack(self.value), differs=self.differs)]


@dataclass(frozen=True, slots=True)
class Between:
    """first <= field <= last, for fields in network byte order."""

    field: Field
    first: Value
    last: Value

    @property
    def text(self) -> str:
        show = self.field.type.show
        return f"{self.field.text} {show(self.first)}-{show(self.last)}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return self.field.guard

    def wire(self) -> list[bytes]:
        pack = self.field.type.pack
        low, high = (wire.nest(n, wire.attr(1, pack(v))) for n, v in ((3, self.first), (4, self.last)))
        return [self.field.load(R), expression("range", wire.be32(1, R), wire.be32(2, 0), low, high)]


def bitwise(register: int, mask: bytes, flip: bytes, into: int | None = None) -> bytes:
    """`into` (else register) = register & mask ^ flip."""
    values = (wire.nest(4, wire.attr(1, mask)), wire.nest(5, wire.attr(1, flip)))
    target = register if into is None else into
    return expression("bitwise", wire.be32(1, register), wire.be32(2, target), wire.be32(3, len(mask)), *values)


@dataclass(frozen=True, slots=True)
class Within:
    """The address field lies in the block (the whole address space is not a condition: leave the term out)."""

    field: Field
    block: IPv4Network | IPv6Network

    @property
    def text(self) -> str:
        single = self.block.prefixlen == self.block.max_prefixlen
        return f"{self.field.text} {self.block.network_address if single else self.block}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return self.field.guard

    def wire(self) -> list[bytes]:
        mask = self.block.netmask.packed
        masked = () if self.block.prefixlen == self.block.max_prefixlen else (bitwise(R, mask, b"\0" * len(mask)),)
        return [self.field.load(R), *masked, compare(R, self.block.network_address.packed)]


@dataclass(frozen=True, slots=True)
class Bits:
    """Some (`some` True) or none of the bits of `mask` are set in a 32-bit field."""

    field: Field
    mask: int
    some: bool

    @property
    def text(self) -> str:
        return f"{self.field.text} & 0x{self.mask:08x} {'!=' if self.some else '=='} 0x00000000"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return self.field.guard

    def wire(self) -> list[bytes]:
        mask = struct.pack("=I", self.mask)
        return [self.field.load(R), bitwise(R, mask, b"\0" * 4), compare(R, b"\0" * 4, differs=self.some)]


@dataclass(frozen=True, slots=True)
class Masked:
    """The bits of `mask` of a 32-bit field have, or have not, a value."""

    field: Field
    mask: int
    value: int
    differs: bool = False

    @property
    def text(self) -> str:
        return f"{self.field.text} & 0x{self.mask:08x} {'!=' if self.differs else '=='} 0x{self.value:08x}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return self.field.guard

    def wire(self) -> list[bytes]:
        mask, value = struct.pack("=I", self.mask), struct.pack("=I", self.value)
        return [self.field.load(R), bitwise(R, mask, b"\0" * 4), compare(R, value, differs=self.differs)]


@dataclass(frozen=True, slots=True)
class HasState:
    """`ct state` is one of new, related; or is not."""

    state: str
    some: bool = True

    @property
    def text(self) -> str:
        return f"ct state {'' if self.some else '! '}{self.state}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        mask = struct.pack("=I", {"related": 4, "new": 8}[self.state])
        load = expression("ct", wire.be32(2, 0), wire.be32(1, R))
        return [load, bitwise(R, mask, b"\0" * 4), compare(R, b"\0" * 4, differs=self.some)]


def _look_up(fields: tuple[Field, ...], name: str, *destination: bytes) -> list[bytes]:
    return [*load_all(fields), expression("lookup", wire.text(1, name), wire.be32(2, R), *destination)]


def _spelled(fields: tuple[Field, ...]) -> str:
    return " . ".join(field.text for field in fields)


@dataclass(frozen=True, slots=True)
class Member:
    """The concatenated fields are an element of the set, or (`absent`) are there but not an element."""

    fields: tuple[Field, ...]
    name: str
    absent: bool = False

    @property
    def text(self) -> str:
        return f"{_spelled(self.fields)} {'!= ' if self.absent else ''}@{self.name}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return guards(self.fields)

    def wire(self) -> list[bytes]:
        return _look_up(self.fields, self.name, *((wire.be32(5, 1),) if self.absent else ()))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The verdict that the map gives for the fields, if any."""

    fields: tuple[Field, ...]
    name: str

    @property
    def text(self) -> str:
        return f"{_spelled(self.fields)} vmap @{self.name}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return guards(self.fields)

    def wire(self) -> list[bytes]:
        return _look_up(self.fields, self.name, wire.be32(3, 0))


@dataclass(frozen=True, slots=True)
class SetMark:
    """`meta mark` becomes what the map gives for the fields; the rule ends when it gives nothing."""

    fields: tuple[Field, ...]
    name: str

    @property
    def text(self) -> str:
        return f"{META_MARK.text} set {_spelled(self.fields)} map @{self.name}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return guards(self.fields)

    def wire(self) -> list[bytes]:
        store = expression("meta", wire.be32(2, 3), wire.be32(3, R))
        return [*_look_up(self.fields, self.name, wire.be32(3, R)), store]


@dataclass(frozen=True, slots=True)
class ChangeMark:
    """Keep some bits of `meta mark`, set others."""

    keep: int
    add: int = 0

    @property
    def text(self) -> str:
        added = f" | 0x{self.add:08x}" if self.add else ""
        return f"meta mark set meta mark & 0x{self.keep:08x}{added}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        change = bitwise(R, struct.pack("=I", self.keep & ~self.add), struct.pack("=I", self.add))
        return [META_MARK.load(R), change, expression("meta", wire.be32(2, 3), wire.be32(3, R))]


@dataclass(frozen=True, slots=True)
class PutMark:
    """Set `meta mark`."""

    value: int

    @property
    def text(self) -> str:
        return f"meta mark set 0x{self.value:08x}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        value = wire.nest(2, wire.attr(1, struct.pack("=I", self.value)))
        return [expression("immediate", wire.be32(1, R), value), expression("meta", wire.be32(2, 3), wire.be32(3, R))]


@dataclass(frozen=True, slots=True)
class AddFlag:
    """Set bits of the connection's mark if the bits of `mask` have a value.

    One look at the mark serves the question and the change: what another CPU writes in between may be lost, but a flag is
    never added to a mark that was not asked about.
    """

    mask: int
    value: int
    flag: int

    @property
    def text(self) -> str:
        return f"ct mark & 0x{self.mask:08x} == 0x{self.value:08x} ct mark set ct mark | 0x{self.flag:08x}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        mask, keep, flag = (struct.pack("=I", each) for each in (self.mask, 0xFFFFFFFF ^ self.flag, self.flag))
        return [
            expression("ct", wire.be32(2, 3), wire.be32(1, R)),
            bitwise(R, mask, b"\0" * 4, into=R + 1),
            compare(R + 1, struct.pack("=I", self.value)),
            bitwise(R, keep, flag),
            expression("ct", wire.be32(2, 3), wire.be32(4, R)),
        ]


@dataclass(frozen=True, slots=True)
class SetConnectionMark:
    """Set the connection's mark."""

    value: int

    @property
    def text(self) -> str:
        return f"ct mark set 0x{self.value:08x}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        value = wire.nest(2, wire.attr(1, struct.pack("=I", self.value)))
        store = expression("ct", wire.be32(2, 3), wire.be32(4, R))
        return [expression("immediate", wire.be32(1, R), value), store]


@dataclass(frozen=True, slots=True)
class SetZone:
    """The connection table this packet belongs to; before conntrack sees it."""

    zone: int

    @property
    def text(self) -> str:
        return f"ct zone set {self.zone}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        value = wire.nest(2, wire.attr(1, struct.pack("=H", self.zone)))
        return [
            expression("immediate", wire.be32(1, R), value),
            expression("ct", wire.be32(2, 17), wire.be32(4, R)),
        ]


@dataclass(frozen=True, slots=True)
class Untrack:
    """Conntrack leaves the packet alone."""

    @property
    def text(self) -> str:
        return "notrack"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        return [wire.nest(1, wire.text(1, "notrack"))]


@dataclass(frozen=True, slots=True)
class UseTimeout:
    """A connection that is not yet confirmed gets the idle times of a timeout object of its protocol."""

    name: str

    @property
    def text(self) -> str:
        return f'ct timeout set "{self.name}"'

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        return [expression("objref", wire.be32(1, 7), wire.text(2, self.name))]


@dataclass(frozen=True, slots=True)
class Named:
    """The interface name begins with a prefix."""

    field: Field
    prefix: str

    @property
    def text(self) -> str:
        return f'{self.field.text} "{self.prefix}*"'

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        return [self.field.load(R), compare(R, self.prefix.encode())]


@dataclass(frozen=True, slots=True)
class NoWayBack:
    """The source address is not routed to the link the packet came from."""

    @property
    def text(self) -> str:
        return "fib saddr . iif oif 0"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        load = expression("fib", wire.be32(1, R), wire.be32(2, 1), wire.be32(3, 0x1 | 0x8))
        return [load, compare(R, b"\0" * 4)]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replace an IPv4 address by what the map gives for it, repairing checksums; the rule ends when it gives nothing.

    `base` and `offset` of the address: (1, 12) and (1, 16) are the packet's own source and destination, whose change
    also corrects the checksum of TCP and UDP; (2, 20) and (2, 24) are those of the packet quoted in an ICMP error,
    whose header checksum lies at 18. Changing both that address and that checksum leaves the sum over the
    error's body, and so the ICMP checksum, as it was.
    """

    base: int
    offset: int
    name: str

    @property
    def quoted(self) -> bool:
        return self.base == 2

    @property
    def text(self) -> str:
        if self.quoted:
            return f"@th,{self.offset * 8},32 set @th,{self.offset * 8},32 map @{self.name}"
        field = {12: "ip saddr", 16: "ip daddr"}[self.offset]
        return f"{field} set {field} map @{self.name}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return () if self.quoted else IP_SADDR.guard

    def wire(self) -> list[bytes]:
        where = (wire.be32(2, self.base), wire.be32(3, self.offset), wire.be32(4, 4))
        checksum = (wire.be32(6, 1), wire.be32(7, 18 if self.quoted else 10), wire.be32(8, 0 if self.quoted else 1))
        return [
            expression("payload", wire.be32(1, R), *where),
            expression("lookup", wire.text(1, self.name), wire.be32(2, R), wire.be32(3, R)),
            expression("payload", wire.be32(5, R), *where, *checksum),
        ]


Rule = tuple[Term, ...]


def rule_text(rule: Rule) -> str:
    return " ".join(term.text for term in rule)


def rule_wire(rule: Rule) -> bytes:
    """The expressions of a rule; each guard once, before the first term that needs it."""
    done: set[bytes] = set()
    parts: list[bytes] = []
    for term in rule:
        for guard in term.guard:
            if guard not in done:
                done.add(guard)
                parts.append(guard)
        parts += term.wire()
    return b"".join(parts)
