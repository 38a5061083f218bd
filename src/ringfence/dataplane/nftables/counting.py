"""Counting for flow logs: which rules count which packets, in which sets. Pure. Why it is so: docs/adr/0010.

An *epoch* is a set of counters and the time they count in. Its sets carry its name, `counts.BEGIN.PREVIOUS.KIND`: when it began
and when the epoch before it did, in milliseconds since 1970 (0: there was none), so that whoever finds them knows what they
hold and whether one is missing. Epochs are closed by pointing the chains here at the sets of the next one (`Filter.seal`);
their sets stay until they were read and are not needed any more.

An element is one flow at one interface: the group of the interface's link; a word: the protocol, TCP flags, the `Place`, zero; then
four bytes of ports (for ICMP type and code; where the word's protocol is 0: the protocol, which then has no ports); what a piece
of many segments tells (segments.py; 0 for any other packet); and the addresses. Whose the links were while the epoch lasted, its
set `links` says; a link never passes on within an epoch (`Filter.update`). Packets that find no room are counted by interface in
`aside`, and where even that fails, under a name that is no interface's, whose element is there from the start: nothing is ever
missing without a trace. In `aside` are as well, by interface alone, packets of the kind that no flow log of the interface asks for.

TCP flags of packets that passed are noted apart, in sets without counters (a counter is most of what an element costs): one element
for each combination of SYN, FIN and RST that a flow had. Refused packets, rarely more than one SYN, have them in the flow's key.
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
    IIFGROUP,
    IPV4,
    IPV6,
    LINK,
    MARK,
    META_L4PROTO,
    META_MARK,
    META_NFPROTO,
    META_PRIORITY,
    NETWORK,
    NFPROTO_OF,
    OIFGROUP,
    TRANSPORT,
    Field,
    compare,
    expression,
)
from ringfence.dataplane.nftables.objects import INET, Chain, Element, Set
from ringfence.dataplane.nftables.pieces import Named, Piece
from ringfence.dataplane.nftables.terms import ACCEPT, DROP, Bits, Rule, Verdict, bitwise, goto
from ringfence.dataplane.plan import COUNTS_PASSED, COUNTS_REFUSED, LOOP_IN, TABLE_BITS

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
PASSED = frozenset({Place.LEFT, Place.ARRIVED})

_PORTED = {6: 4, 17: 4, 132: 4, 136: 4, 33: 4}  # protocol → bytes of its header that tell flows apart
_BY_FAMILY = {4: (*_PORTED, 1), 6: (*_PORTED, 58)}
UNSEEN = 0x80  # in place of TCP flags: nobody looked at them
_FLAGS = bytes((0, 0x17, 0, 0))  # FIN, SYN, RST, ACK: what FL-30 needs
_TELLING = bytes((0, 0x07, 0, 0))  # FIN, SYN, RST: without one of these, ACK says nothing
_HEAD = IPV6  # link, word, ports, piece: nft(8) cannot list keys of more than five parts, and it can list sixteen bytes as this
_NOBODY = LOOP_IN  # a link that is no interface's
_NAME = re.compile(r"counts\.(\d+)\.(\d+)\.(\w+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the flow logs of a VPC ask for. `flags`: TCP flags, of anything; `part`: some interface's logs want only packets that
    passed, or only those that were refused."""

    flags: bool
    part: bool


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
FLAGS = ("flags4", "flags6")
ASIDE, LINKS = "aside", "links"
MOST = 1 << 21
KINDS = (*FLOWS, *FLAGS, ASIDE, LINKS)


class Aside(enum.IntEnum):
    """Why a packet is counted by interface alone. Numbers are in the kernel's sets."""

    LOST = 0  # there was no room
    UNASKED = 1  # no flow log of the interface asks for packets with this verdict


def set_of(epoch: Epoch, kind: str, room: Room) -> Set:
    if kind == LINKS:
        return Set(epoch.name(kind), (IFNAME,))
    if kind == ASIDE:
        return Set(epoch.name(kind), (LINK, MARK), room=TABLE_BITS)
    address = IPV4 if kind.endswith("4") else IPV6
    key = (_HEAD, address, address)
    if kind in FLAGS:
        return Set(epoch.name(kind), key, room=room.passed // 2, counters=False)
    return Set(epoch.name(kind), key, room=room.passed if kind.startswith("passed") else room.refused)


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


class Flags(enum.Enum):
    """Which TCP packets a rule counts, and where their flags go."""

    UNSEEN = "any"  # all of them; nobody asks for flags
    IN_KEY = "any, by flags"  # all of them; flags are part of the flow's key
    NONE = "no SYN, FIN, RST"  # those without a flag that tells something
    APART = "SYN, FIN, RST"  # the others; flags are noted in a set of their own


@dataclass(frozen=True, slots=True)
class CountFlow:
    """Count the packet in its flow's element, made when it is missing. The rule ends where there is no room, and where the
    packet is another protocol's. `protocol` None: any, without ports. `notes`: the set for flags that are noted apart."""

    link: Field
    family: int
    protocol: int | None
    place: Place
    into: str
    flags: Flags
    notes: str = ""

    @property
    def text(self) -> str:
        what = "any" if self.protocol is None else self.protocol
        flags = f" ({self.flags.value})" if self.protocol == 6 else ""
        return f"# netlink only: count {self.link.text} ipv{self.family} {what}{flags} as {self.place.name} in @{self.into}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        is_family = META_NFPROTO.load(R) + compare(R, bytes((NFPROTO_OF[self.family],)))
        is_protocol = b"" if self.protocol is None else META_L4PROTO.load(R) + compare(R, bytes((self.protocol,)))
        if self.flags is Flags.NONE:
            is_protocol += _payload(R, TRANSPORT, 12, 4) + bitwise(R, _TELLING, bytes(4)) + compare(R, bytes(4))
        offset, size = (12, 8) if self.family == 4 else (8, 32)
        ends = [self._ports(R + 2), META_PRIORITY.load(R + 3), _payload(R + 4, NETWORK, offset, size)]
        if self.flags is Flags.APART:
            apart = [*self._flags(R + 1), *ends, _add(self.notes)]
            return [is_family, is_protocol, self.link.load(R), *apart, *self._word(R + 1), _add(self.into)]
        return [is_family, is_protocol, self.link.load(R), *self._word(R + 1), *ends, _add(self.into)]

    def _ports(self, register: int) -> bytes:
        if self.protocol is None:
            return META_L4PROTO.load(register)
        return _payload(register, TRANSPORT, 0, _PORTED.get(self.protocol, 2))

    def _word(self, register: int) -> list[bytes]:
        if self.flags is Flags.IN_KEY:
            return self._flags(register)
        unseen = UNSEEN if self.protocol == 6 and self.flags is Flags.UNSEEN else 0
        return [_constant(register, _word(self.place, self.protocol or 0, unseen))]

    def _flags(self, register: int) -> list[bytes]:
        return [_payload(register, TRANSPORT, 12, 4), bitwise(register, _FLAGS, _word(self.place, 6))]


@dataclass(frozen=True, slots=True)
class HasFlags:
    """A TCP packet long enough to have flags."""

    @property
    def text(self) -> str:
        return "# netlink only: tcp that has flags"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        return [META_L4PROTO.load(R), compare(R, b"\x06"), _payload(R, TRANSPORT, 12, 4)]


@dataclass(frozen=True, slots=True)
class CountAside:
    """Count a packet for its interface alone, or (`link` None) for nobody in particular."""

    link: Field | None
    why: Aside
    into: str

    @property
    def text(self) -> str:
        who = self.link.text if self.link else "nobody"
        return f"# netlink only: count {who} as {self.why.name} in @{self.into}"

    @property
    def guard(self) -> tuple[bytes, ...]:
        return ()

    def wire(self) -> list[bytes]:
        link = self.link.load(R) if self.link else _constant(R, LINK.pack(_NOBODY))
        return [link, _constant(R + 1, MARK.pack(self.why)), _add(self.into)]


# ---------------------------------------------------------------------- chains
def counting_piece(epoch: Epoch, room: Room, asked: Asked) -> Piece:
    """What a VPC with a counted interface has instead of the plain ends of base.py."""
    sets = {kind: set_of(epoch, kind, room) for kind in KINDS}
    aside = sets[ASIDE].name
    ends = {"left": Place.LEFT, "arrived": Place.ARRIVED} | {f"refuse-{layer}": each for layer, each in REFUSED.items()}
    chains: list[Chain] = []
    for name, place in ends.items():
        chains += _counts(name, place, sets, asked)
    if asked.part:
        for side, link in (("out", IIFGROUP), ("in", OIFGROUP)):
            for kind, other, end in (("passed", COUNTS_REFUSED, ACCEPT), ("refused", COUNTS_PASSED, DROP)):
                aside_first = (CountAside(link, Aside.UNASKED, aside), end)
                chains.append(Chain(f"unasked-{kind}-{side}", ((_no(other), end), aside_first, *_nobody(aside, end))))
    named: tuple[Named, ...] = (*sets.values(), *chains)
    objects = tuple((INET, each) for each in named)
    return Piece(objects, ((INET, aside, Element((_NOBODY, Aside.LOST))),))


def link_piece(epoch: Epoch, link: str, eni_id: str) -> Piece:
    """Whose link it is, for whoever reads the epoch's counts."""
    return Piece((), ((INET, epoch.name(LINKS), Element((link,), comment=eni_id)),))


def _no(counts: int) -> Bits:
    return Bits(META_MARK, counts, some=False)


def _nobody(aside: str, end: Verdict) -> tuple[Rule, ...]:
    return ((CountAside(None, Aside.LOST, aside), end), (end,))


def _counts(name: str, place: Place, sets: dict[str, Set], asked: Asked) -> tuple[Chain, Chain]:
    """The chain that ends a packet's way and counts it, and the one for what finds no room."""
    kind, end = ("passed", ACCEPT) if place in PASSED else ("refused", DROP)
    side, link = ("out", IIFGROUP) if place in LEAVING else ("in", OIFGROUP)
    bit = COUNTS_PASSED if place in PASSED else COUNTS_REFUSED
    others = goto(f"unasked-{kind}-{side}") if asked.part else end
    lost = f"lost-{place.name.lower()}"
    rules = _rules(link, place, sets, asked.flags, end, lost)
    aside = sets[ASIDE].name
    chain = Chain(name, ((_no(bit), others), *rules, (goto(lost),)))
    return chain, Chain(lost, ((CountAside(link, Aside.LOST, aside), end), *_nobody(aside, end)))


def _rules(link: Field, place: Place, sets: dict[str, Set], flags: bool, end: Verdict, lost: str) -> Iterator[Rule]:
    kind = "passed" if place in PASSED else "refused"
    tcp = (Flags.UNSEEN,) if not flags else (Flags.NONE, Flags.APART) if place in PASSED else (Flags.IN_KEY,)

    def count(family: int, protocol: int | None, how: Flags = Flags.UNSEEN) -> Rule:
        into, notes = sets[f"{kind}{family}"].name, sets[f"flags{family}"].name if how is Flags.APART else ""
        return CountFlow(link, family, protocol, place, into, how, notes), end

    order = sorted(
        ((family, p) for family in (4, 6) for p in _BY_FAMILY[family]), key=lambda each: each[1] not in (6, 17)
    )
    for family, protocol in order:
        yield from (count(family, protocol, how) for how in (tcp if protocol == 6 else (Flags.UNSEEN,)))
    if Flags.APART in tcp:  # one that found no room must not be counted as a packet without ports
        yield (HasFlags(), goto(lost))
    yield from (count(family, None) for family in (4, 6))
