"""The connection table: emptying the zone of an ENI, and the settings a VPC's namespace needs.

Every ENI has a zone of its own, numbered like the ENI. A number that is given to another ENI must never bring old
entries along, so a zone is emptied when its ENI goes and when an ENI comes. Sources: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ringfence.dataplane import linux
from ringfence.dataplane.nftables import wire
from ringfence.dataplane.nftables.netlink import Netlink, NetlinkError
from ringfence.dataplane.nftables.wire import Message, Reply

SUBSYSTEM = 1
NEW, GET, DELETE = 0, 1, 2
STATS_OF_CPU, STATS = 4, 5
ENTRIES, LIMIT, DROP = 1, 2, 8  # attributes of STATS, and of STATS_OF_CPU
TUPLE_ORIGINAL, MARK, ENTRY_ID, ZONE, MARK_MASK = 1, 8, 12, 18, 21
FAMILIES = (2, 10)
FEW = 4

SETTINGS = {
    # a packet outside the TCP window is judged by the rules like any other; the guest's own stack refuses it
    "net/netfilter/nf_conntrack_tcp_be_liberal": "1",
    # protocols without ports: same-protocol packets of the peer for 600 s (CT-09)
    "net/netfilter/nf_conntrack_generic_timeout": "600",
}


def tune() -> None:
    """Apply SETTINGS to the current thread's network namespace."""
    for name, value in SETTINGS.items():
        Path("/proc/sys", name).write_text(value)


@dataclass(frozen=True, slots=True)
class Room:
    """The connection table of a namespace. `limit`: entries it takes at most; `refused`: packets that found no room (CT-17)."""

    entries: int
    limit: int
    refused: int


def room(netns: int) -> Room:
    """CT-18, of a network namespace (a descriptor). OSError."""
    with linux.inside(netns):
        netlink = Netlink()
    try:
        (held,) = netlink.ask(Message(SUBSYSTEM << 8 | STATS, 0, 0, b""))
        refused = sum(_number(reply, DROP) for reply in netlink.dump(Message(SUBSYSTEM << 8 | STATS_OF_CPU, 0, 0, b"")))
    finally:
        netlink.close()
    return Room(_number(held, ENTRIES), _number(held, LIMIT), refused)


def _number(reply: Reply, kind: int) -> int:
    payload = wire.first(reply.body, kind)
    return int(struct.unpack(">I", payload)[0]) if payload else 0


def empty(netlink: Netlink, zones: frozenset[int]) -> int:
    """Delete every entry of these zones; how many there were.

    The kernel is asked for one zone when there are few; whether it listens (Linux 6.8 does) or lists everything, only
    entries of these zones are deleted.
    """
    if not zones:
        return 0
    if len(zones) > FEW:
        return _delete(netlink, _entries(netlink, b""), zones.__contains__)
    return sum(_delete(netlink, _entries(netlink, wire.be16(ZONE, zone)), zone.__eq__) for zone in zones)


def sweep(netlink: Netlink, keep: frozenset[int]) -> int:
    """Delete the entries of every zone that is not to be kept; zone 0 belongs to no ENI and is left alone."""
    return _delete(netlink, _entries(netlink, b""), lambda zone: zone != 0 and zone not in keep)


def highest(netlink: Netlink, bits: int) -> int:
    """The largest value that these bits of a mark have in any entry."""
    return max((mark_of(reply) & bits for _, reply in _entries(netlink, b"")), default=0)


def unmark(netlink: Netlink, bits: int) -> int:
    """Clear these bits of the marks of all entries; how many had some. Entries that come meanwhile are not seen."""
    marked = [(family, reply.body, zone_of(reply)) for family, reply in _entries(netlink, b"") if mark_of(reply) & bits]
    for family, body, zone in marked:
        original = wire.first(body, TUPLE_ORIGINAL)
        if original is None:
            continue
        parts = wire.nest(TUPLE_ORIGINAL, original) + wire.be16(ZONE, zone) + wire.be32(MARK, 0)
        try:
            netlink.request(Message(SUBSYSTEM << 8 | NEW, 0, family, parts + wire.be32(MARK_MASK, bits)))
        except NetlinkError as error:
            if error.errno != errno.ENOENT:  # it ended by itself meanwhile
                raise
    return len(marked)


def mark_of(reply: Reply) -> int:
    payload = wire.first(reply.body, MARK)
    return int(struct.unpack(">I", payload)[0]) if payload else 0


def zone_of(reply: Reply) -> int:
    payload = wire.first(reply.body, ZONE)
    return int(struct.unpack(">H", payload)[0]) if payload else 0


def _entries(netlink: Netlink, condition: bytes) -> Iterator[tuple[int, Reply]]:
    for family in FAMILIES:
        for reply in netlink.dump(Message(SUBSYSTEM << 8 | GET, 0, family, condition)):
            yield family, reply


def _delete(netlink: Netlink, entries: Iterator[tuple[int, Reply]], chosen: Callable[[int], bool]) -> int:
    """Collect first: the kernel must not be asked to delete in the middle of a listing on the same socket."""
    doomed = [(family, reply.body, zone) for family, reply in entries if chosen(zone := zone_of(reply))]
    for family, body, zone in doomed:
        original, identity = wire.first(body, TUPLE_ORIGINAL), wire.first(body, ENTRY_ID)
        if original is None or identity is None:
            continue
        parts = wire.nest(TUPLE_ORIGINAL, original) + wire.be16(ZONE, zone) + wire.attr(ENTRY_ID, identity)
        try:
            netlink.request(Message(SUBSYSTEM << 8 | DELETE, 0, family, parts))
        except NetlinkError as error:
            if error.errno != errno.ENOENT:  # it ended by itself meanwhile
                raise
    return len(doomed)
