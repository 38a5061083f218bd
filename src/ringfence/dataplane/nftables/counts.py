"""Reading closed epochs: what the kernel's sets counted, as rows. Sources: linux/netfilter/nf_tables.h.

A set is read after its chains point elsewhere and every packet that was under way has passed, so it stands still. The kernel
may still be rehashing it for a moment; then a reading may miss elements or show some twice. So each reading is compared
with the number of elements that the set says it has (newer kernels), and made again if it differs.
"""

from __future__ import annotations

import errno
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.dataplane import segments
from ringfence.dataplane.nftables import netlink as nl
from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.counting import ASIDE, FLAGS, FLOWS, LINKS, Aside, Epoch
from ringfence.dataplane.nftables.fields import MARK
from ringfence.dataplane.nftables.netlink import Netlink, NetlinkError
from ringfence.dataplane.nftables.objects import FAMILY_NUMBERS, INET, KEEP_SECONDS, NAME
from ringfence.dataplane.nftables.readback import held
from ringfence.dataplane.nftables.wire import Message, attributes, first
from ringfence.dataplane.plan import TABLE_BITS, link

KEEP_MS = KEEP_SECONDS * 1000
_TRIES, _PAUSE_SECONDS = 20, 0.25
#: group of the link, protocol, TCP flags, place, two ports, what a piece tells, source, destination
_KEYS = {"4": "4sBBBxHH4s4s4s", "6": "4sBBBxHH4s16s16s", ASIDE: "4s4s"}
_WHOLE_PACKET = b"\0" * 4

Entry = tuple[Any, ...]  # fields of the key …, bytes, packets, milliseconds left


@dataclass(slots=True)
class Counts:
    """What one epoch counted. `flows`: (group of the link, source, destination, ports, protocol, place) → [packets, bytes, TCP
    flags, first ms]; `lost`: packets that found no room, by link (empty: of whichever interface); `unasked`: packets that no
    flow log asks for, by link; `links`: link → ENI."""

    flows: dict[tuple[bytes, bytes, bytes, int, int, int, int], list[int]]
    lost: dict[str, int]
    unasked: dict[str, int]
    links: dict[str, str]


def read(netlink: Netlink, epoch: Epoch, end: int) -> Counts:
    """Everything that an epoch which ended at `end` counted. OSError when that cannot be read whole."""
    counts = Counts({}, {}, {}, {})
    for kind in FLOWS:
        elements, at = _whole(netlink, epoch.name(kind), _KEYS[kind[-1]])
        _add(counts, elements, at, (epoch.begin, end))
    for kind in FLAGS:
        elements, _ = _whole(netlink, epoch.name(kind), _KEYS[kind[-1]])
        _note(counts, elements)
    aside, _ = _whole(netlink, epoch.name(ASIDE), _KEYS[ASIDE])
    for why, found in ((Aside.LOST, counts.lost), (Aside.UNASKED, counts.unasked)):
        for group, word, _, packets, _ in aside:
            if packets and word == MARK.pack(why):
                found[name_of(group)] = found.get(name_of(group), 0) + packets
    counts.links = {
        key.rstrip(b"\0").decode(): comment.decode()
        for key, _, _, comment in held(netlink, INET, epoch.name(LINKS)).values()
    }
    return counts


def name_of(group: bytes) -> str:
    """The interface's link with that group, as it is in an element; empty for what is no interface's."""
    (number,) = struct.unpack("=I", group)
    return link(number) if number <= TABLE_BITS else ""


def _add(counts: Counts, elements: list[Entry], at: int, span: tuple[int, int]) -> None:
    """TCP flags may be part of the kernel's key; here they are or'ed. So is what pieces tell: they become packets."""
    flows, (begin, end) = counts.flows, span
    born = at - KEEP_MS
    for group, protocol, flags, place, sport, dport, piece, source, target, octets, packets, left in elements:
        if piece != _WHOLE_PACKET:
            cut = _cut(piece, packets, octets)
            if cut is None:
                name = name_of(group)
                counts.lost[name] = counts.lost.get(name, 0) + packets
                continue
            packets, octets = cut
        since = min(max(born + left, begin), end)
        if protocol == 0:
            protocol, sport = sport >> 8, 0
        key = (group, source, target, sport, dport, protocol, place)
        held = flows.get(key)
        if held is None:
            flows[key] = [packets, octets, _told(flags), since]
        else:
            held[0] += packets
            held[1] += octets
            held[2] |= _told(flags)
            held[3] = min(held[3], since)


def _cut(piece: bytes, pieces: int, octets: int) -> tuple[int, int] | None:
    """What pieces that tell the same are as packets: how many, and their bytes; None when they do not tell."""
    told = segments.told(struct.unpack("=I", piece)[0])
    if told is None:
        return None
    many, header = told
    return pieces * many, octets + pieces * (many - 1) * header


def _note(counts: Counts, elements: list[Entry]) -> None:
    """Flags that were noted apart. A flow that found no room itself is counted as lost."""
    for group, protocol, flags, place, sport, dport, _, source, target in elements:
        held = counts.flows.get((group, source, target, sport, dport, protocol, place))
        if held is not None:
            held[2] |= _told(flags)


def _told(flags: int) -> int:
    """FIN, SYN and RST, and ACK where it came with SYN (FL-30); and `UNSEEN`."""
    return flags & 0x87 | (flags & 0x10 if flags & 0x02 else 0)


def _whole(netlink: Netlink, name: str, key: str) -> tuple[list[Entry], int]:
    """The elements of a set, and the time when they were listed (ms)."""
    for _ in range(_TRIES):
        at = round(time.time() * 1000)
        raw = [first(reply.body, 3) or b"" for reply in netlink.dump(_get(nl.GETSETELEM, name))]
        elements = [element for part in raw for element in _elements(part, key)]
        count = number_of_elements(netlink, name)
        if count is None or count == len(elements):
            return elements, at
        time.sleep(_PAUSE_SECONDS)
    raise NetlinkError(0, f"set {name} does not stand still")


def number_of_elements(netlink: Netlink, name: str) -> int | None:
    """How many elements a set has; None where the kernel does not say (before Linux 6.16). NetlinkError: no such set."""
    (reply,) = netlink.ask(_get(nl.GETSET, name))
    count = first(reply.body, 20)
    return struct.unpack(">I", count)[0] if count else None


def there(netlink: Netlink, names: Iterable[str]) -> list[str]:
    """Which of these sets there are."""
    found = []
    for name in names:
        try:
            netlink.ask(_get(nl.GETSET, name))
        except NetlinkError as problem:
            if problem.errno != errno.ENOENT:
                raise
        else:
            found.append(name)
    return found


def _get(kind: int, name: str) -> Message:
    return Message(nl.SUBSYSTEM << 8 | kind, 0, FAMILY_NUMBERS[INET], wire.text(1, NAME) + wire.text(2, name))


# ---------------------------------------------------------------------- elements
def _elements(part: bytes, key: str) -> Iterator[Entry]:
    """The elements of one message: all of one shape, as a rule, so that they are read in one go."""
    size = (struct.unpack_from("=H", part)[0] + 3) & ~3 if part else 4
    if len(part) % size == 0 and len({each for (each,) in struct.iter_unpack(f"=H{size - 2}x", part)}) == 1:
        yield from struct.iter_unpack(_format(part[4:size], key), part)
        return
    for _, payload in attributes(part):
        yield struct.unpack(_format(payload, key).replace(">4x", ">", 1), payload)


def _format(payload: bytes, key: str) -> str:
    """Where things are in an element of this shape, as the format of the whole list entry. All numbers are big endian."""
    places: list[tuple[int, str]] = []
    for kind, start, _ in _attributes_at(payload, 0, len(payload)):
        if kind == 1:
            places.append((start + 4, key))  # in a nested attribute
        elif kind == 5:
            places.append((start, "Q"))
        elif kind == 7:
            places += _counter_places(payload, start)
    places.sort()
    text, at = ">4x", 0
    for start, what in places:
        text += f"{start - at}x{what}"
        at = start + struct.calcsize(">" + what)
    return text + f"{len(payload) - at}x"


def _counter_places(payload: bytes, start: int) -> Iterator[tuple[int, str]]:
    (size,) = struct.unpack_from("=H", payload, start - 4)
    for kind, inside, end in _attributes_at(payload, start, start - 4 + size):
        if kind == 2:
            for number, place, _ in _attributes_at(payload, inside, end):
                if number in (1, 2):
                    yield place, "Q"


def _attributes_at(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, where the payload begins, where it ends)."""
    while start + 4 <= end:
        size, kind = struct.unpack_from("=HH", data, start)
        if size < 4:
            return
        yield kind & wire.TYPE_MASK, start + 4, start + size
        start += (size + 3) & ~3
