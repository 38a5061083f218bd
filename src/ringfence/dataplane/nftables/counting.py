"""Counting for flow logs: which rules count which packets, in which sets. Pure. Why it is so: docs/adr/0010.

An *epoch* is a set of counters and the time they count in. Its sets carry its name, `counts.BEGIN.PREVIOUS.KIND`: when it began
and when the epoch before it did, in milliseconds since 1970 (0: there was none), so that whoever finds them knows what they
hold and whether one is missing. Epochs are closed by pointing the chains here at the sets of the next one (`Filter.seal`);
their sets stay until they were read and are not needed any more.

An element is one flow at one interface: the interface's link; a word: the protocol, TCP flags, the `Place`, zero; then four bytes
of ports (for ICMP type and code; where the word's protocol is 0: the protocol, which then has no ports), and the addresses. Whose the
links were while the epoch lasted, its set `links` says; a link never passes on within an epoch (`Filter.update`). Packets that find
no room are counted by interface in `lost`, and where even that fails, under no name, whose element is there from the
start: nothing is ever missing without a trace.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.fields import (
    FIRST_REGISTER,
    IFNAME,
    IIFNAME,
    IPV4,
    IPV6,
    MARK,
    META_L4PROTO,
    META_MARK,
    META_NFPROTO,
    NETWORK,
    NFPROTO_OF,
    OIFNAME,
    TRANSPORT,
    Field,
    compare,
    expression,
)
from ringfence.dataplane.nftables.objects import INET, Chain, Element, Set
from ringfence.dataplane.nftables.pieces import Named, Piece
from ringfence.dataplane.nftables.terms import ACCEPT, DROP, Bits, Is, Rule, Verdict, bitwise, goto
from ringfence.dataplane.plan import COUNTED, LOOP_OUT, TABLE_BITS

R = FIRST_REGISTER


class Place(enum.IntEnum):
    """Where a packet was when it was counted: the way it went and what became of it. Numbers are in the kernel's sets."""

    LEFT = 1  # passed everything of the interface that sent it
    ARRIVED = 2  # passed everything of the interface it came to
    SG_OUT = 3
    ACL_OUT = 4
    ACL_IN = 5
    SG_IN = 6
    DESTINATION = 7


#: refusals of an interface's own layers: chain → place. Source checks and the router's refusals are no flow of an interface
REFUSED = {
    "sg-out": Place.SG_OUT, "acl-out": Place.ACL_OUT, "acl-in": Place.ACL_IN, "sg-in": Place.SG_IN,
    "destination": Place.DESTINATION,
}  # fmt: skip
LEAVING = frozenset({Place.LEFT, Place.SG_OUT, Place.ACL_OUT})


_PORTED = {6: 4, 17: 4, 132: 4, 136: 4, 33: 4}  # protocol → bytes of its header that tell flows apart
_BY_FAMILY = {4: (*_PORTED, 1), 6: (*_PORTED, 58)}
UNSEEN = 0x80  # in place of TCP flags: nobody looked at them
_FLAGS = bytes((0, 0x17, 0, 0))  # FIN, SYN, RST, ACK: what FL-30 needs
_NAME = re.compile(r"counts\.(\d+)\.(\d+)\.(\w+)")


@dataclass(frozen=True, slots=True, order=True)
class Epoch:
    """When counting into these sets began, and when the epoch before did; milliseconds since 1970, 0: none before."""

    begin: int
    previous: int

    def name(self, kind: str) -> str:
        return f"counts.{self.begin}.{self.previous}.{kind}"


def epoch_of(set_name: str) -> Epoch | None:
    """The epoch a set belongs to; None for other sets."""
    found = _NAME.fullmatch(set_name)
    return Epoch(int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True, slots=True)
class Room:
    """How many elements the sets of one epoch take. The kernel reserves eight to sixteen bytes for each at once."""

    passed: int = 1 << 17
    refused: int = 1 << 16

    def after(self, fullness: float) -> Room:
        """For the next epoch: more where this one filled up, less again where it stayed nearly empty."""
        least, times = Room(), 4 if fullness > 0.25 else 1
        if fullness < 1 / 64:
            return Room(
                max(self.passed // 4, min(self.passed, least.passed)),
                max(self.refused // 4, min(self.refused, least.refused)),
            )
        return Room(
            min(self.passed * times, max(self.passed, MOST)), min(self.refused * times, max(self.refused, MOST))
        )


FLOWS = ("passed4", "passed6", "refused4", "refused6")
LOST, LINKS = "lost", "links"
MOST = 1 << 21
KINDS = (*FLOWS, LOST, LINKS)


def set_of(epoch: Epoch, kind: str, room: Room) -> Set:
    if kind == LINKS:
        return Set(epoch.name(kind), (IFNAME,))
    if kind == LOST:
        return Set(epoch.name(kind), (IFNAME,), room=TABLE_BITS)
    address = IPV4 if kind.endswith("4") else IPV6
    size = room.passed if kind.startswith("passed") else room.refused
    return Set(epoch.name(kind), (IFNAME, MARK, MARK, address, address), room=size)


# ---------------------------------------------------------------------- terms
def _word(place: int, protocol: int, flags: int = 0) -> bytes:
    return bytes((protocol, flags, place, 0))


def _payload(register: int, base: int, offset: int, size: int) -> bytes:
    parts = (wire.be32(1, register), wire.be32(2, base), wire.be32(3, offset), wire.be32(4, size))
    return expression("payload", *parts)


def _constant(register: int, value: bytes) -> bytes:
    return expression("immediate", wire.be32(1, register), wire.nest(2, wire.attr(1, value)))


def _add(set_name: str) -> bytes:
    return expression("dynset", wire.text(1, set_name), wire.be32(4, R), wire.be32(3, 0))


@dataclass(frozen=True, slots=True)
class CountFlow:
    """Count the packet in its flow's element, made when it is missing. The rule ends where there is no room, and where the
    packet is another protocol's. `protocol` None: any, without ports."""

    link: Field
    family: int
    protocol: int | None
    place: Place
    into: str
    flags: bool

    @property
    def text(self) -> str:
        what = "any" if self.protocol is None else self.protocol
        return f"# netlink only: count {self.link.text} ipv{self.family} {what} as {self.place.name} in @{self.into}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        is_family = META_NFPROTO.load(R) + compare(R, bytes((NFPROTO_OF[self.family],)))
        is_protocol = b"" if self.protocol is None else META_L4PROTO.load(R) + compare(R, bytes((self.protocol,)))
        offset, size = (12, 8) if self.family == 4 else (8, 32)
        return [
            is_family, is_protocol, self.link.load(R), *self._word(R + 4), self._ports(R + 5),
            _payload(R + 6, NETWORK, offset, size), _add(self.into),
        ]  # fmt: skip

    def _ports(self, register: int) -> bytes:
        if self.protocol is None:
            return META_L4PROTO.load(register)
        return _payload(register, TRANSPORT, 0, _PORTED.get(self.protocol, 2))

    def _word(self, register: int) -> list[bytes]:
        if self.protocol == 6 and self.flags:
            return [_payload(register, TRANSPORT, 12, 4), bitwise(register, _FLAGS, _word(self.place, 6))]
        unseen = UNSEEN if self.protocol == 6 else 0
        return [_constant(register, _word(self.place, self.protocol or 0, unseen))]


@dataclass(frozen=True, slots=True)
class CountLost:
    """Count a packet that found no room: for its interface, or (`link` None) for nobody in particular."""

    link: Field | None
    into: str

    @property
    def text(self) -> str:
        return f"# netlink only: count {self.link.text if self.link else 'nobody'} in @{self.into}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        return [self.link.load(R) if self.link else _constant(R, bytes(16)), _add(self.into)]


# ---------------------------------------------------------------------- chains
def counting_piece(epoch: Epoch, room: Room, flags: bool) -> Piece:
    """What a VPC with a counted interface has instead of the plain ends of base.py. `flags`: tell TCP flags apart."""
    sets = {kind: set_of(epoch, kind, room) for kind in KINDS}
    chains = [
        Chain("done", ((_of_others, ACCEPT), (Is(OIFNAME, LOOP_OUT), goto("count-left")), (goto("count-arrived"),))),
        _count("count-left", Place.LEFT, sets, flags, ACCEPT),
        _count("count-arrived", Place.ARRIVED, sets, flags, ACCEPT),
    ]
    for layer, place in REFUSED.items():
        chains.append(Chain(f"refuse-{layer}", ((_of_others, DROP), (goto(f"count-{layer}"),))))
        chains.append(_count(f"count-{layer}", place, sets, flags, DROP))
    named: tuple[Named, ...] = (*sets.values(), *chains)
    objects = tuple((INET, each) for each in named)
    return Piece(objects, ((INET, sets[LOST].name, Element(("",))),))


def link_piece(epoch: Epoch, link: str, eni_id: str) -> Piece:
    """Whose link it is, for whoever reads the epoch's counts."""
    return Piece((), ((INET, epoch.name(LINKS), Element((link,), comment=eni_id)),))


_of_others = Bits(META_MARK, COUNTED, some=False)


def _count(name: str, place: Place, sets: dict[str, Set], flags: bool, end: Verdict) -> Chain:
    link = IIFNAME if place in LEAVING else OIFNAME
    return Chain(name, tuple(_rules(link, place, sets, flags, end)))


def _rules(link: Field, place: Place, sets: dict[str, Set], flags: bool, end: Verdict) -> Iterator[Rule]:
    kind = "passed" if place in (Place.LEFT, Place.ARRIVED) else "refused"
    order = sorted(
        ((family, p) for family in (4, 6) for p in _BY_FAMILY[family]), key=lambda each: each[1] not in (6, 17)
    )
    for family, protocol in [*order, (4, None), (6, None)]:
        yield (CountFlow(link, family, protocol, place, sets[f"{kind}{family}"].name, flags), end)
    yield (CountLost(link, sets[LOST].name), end)
    yield (CountLost(None, sets[LOST].name), end)
    yield (end,)
