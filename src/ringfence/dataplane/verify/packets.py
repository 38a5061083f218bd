"""Sets of packets, exactly: interval decision diagrams. Equal sets are the same number.

A node asks for one field and has an edge for each maximal interval of its values; fields are asked in the order of `FIELDS`.
Nodes are unique (hash-consed), so a set has one form whatever it was made of: comparing is comparing numbers, and what
was worked out once is remembered. 0 is no packet, 1 every packet.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise

Interval = tuple[int, int]
Box = Mapping[int, Interval]  # field → first and last value; fields that are not named may be anything

#: (name, largest value), in the order they are asked. First what tells interfaces apart, so that what is the same for interfaces
#: with the same groups is shared below; then the connection's fields, then what rules ask. `word` and `port` are the first and second
#: 16 bits behind the IP header.
FIELDS = (
    ("family", 255), ("destination", (1 << 128) - 1),
    ("state", 127), ("direction", 1), ("begun", 3), ("judged", 15), ("generation", (1 << 26) - 1),
    ("source", (1 << 128) - 1), ("mac", (1 << 48) - 1), ("protocol", 255), ("port", 65535), ("word", 65535), ("hops", 255),
)  # fmt: skip
(
    FAMILY, DESTINATION, STATE, DIRECTION, BEGUN, JUDGED, GENERATION, SOURCE, MAC, PROTOCOL, PORT, WORD, HOPS,
) = range(len(FIELDS))  # fmt: skip
LARGEST = tuple(largest for _, largest in FIELDS)
NONE, ALL = 0, 1
REMEMBERED = 1_000_000
_END = len(FIELDS)

Edges = tuple[tuple[int, ...], tuple[int, ...]]  # last values of the intervals, and where they lead

_field: list[int] = [_END, _END]
_edges: list[Edges] = [((), ()), ((), ())]
_unique: dict[tuple[int, Edges], int] = {}
_and: dict[tuple[int, int], int] = {}
_or: dict[tuple[int, int], int] = {}
_not: dict[int, int] = {0: 1, 1: 0}


def _node(field: int, lasts: Sequence[int], leads: Sequence[int]) -> int:
    """The node with these edges; neighbours that lead to the same place are one."""
    kept_lasts: list[int] = []
    kept_leads: list[int] = []
    for last, lead in zip(lasts, leads, strict=True):
        if kept_leads and kept_leads[-1] == lead:
            kept_lasts[-1] = last
        else:
            kept_lasts.append(last)
            kept_leads.append(lead)
    if len(kept_leads) == 1:
        return kept_leads[0]
    edges = (tuple(kept_lasts), tuple(kept_leads))
    found = _unique.get((field, edges))
    if found is None:
        found = _unique[field, edges] = len(_field)
        _field.append(field)
        _edges.append(edges)
    return found


def both(a: int, b: int) -> int:
    """Packets in both sets."""
    if a == b or b == ALL:
        return a
    if a == ALL:
        return b
    if a == NONE or b == NONE:
        return NONE
    key = (a, b) if a < b else (b, a)
    found = _and.get(key)
    if found is None:
        found = _and[key] = _merged(a, b, both)
    return found


def _merged(a: int, b: int, merge: Callable[[int, int], int]) -> int:
    """Interval by interval of the first field that either asks for."""
    if _field[a] > _field[b]:
        a, b = b, a
    field = _field[a]
    lasts, leads = _edges[a]
    if _field[b] != field:
        return _node(field, lasts, [merge(lead, b) for lead in leads])
    other_lasts, other_leads = _edges[b]
    out_lasts: list[int] = []
    out_leads: list[int] = []
    i = j = 0
    end = len(lasts)
    while i < end:
        mine, other = lasts[i], other_lasts[j]
        out_leads.append(merge(leads[i], other_leads[j]))
        if mine <= other:
            out_lasts.append(mine)
            i += 1
            j += mine == other
        else:
            out_lasts.append(other)
            j += 1
    return _node(field, out_lasts, out_leads)


def without(a: int, b: int) -> int:
    """Packets in the first set and not in the second."""
    return NONE if a == b else both(a, outside(b))


def outside(a: int) -> int:
    """All other packets."""
    found = _not.get(a)
    if found is None:
        lasts, leads = _edges[a]
        found = _node(_field[a], lasts, [outside(lead) for lead in leads])
        _not[a], _not[found] = found, a
    return found


def either(*sets: int) -> int:
    """Packets in any of the sets."""
    out = NONE
    for each in sets:
        out = _either(out, each)
    return out


def _either(a: int, b: int) -> int:
    if a == b or b == NONE:
        return a
    if a == NONE:
        return b
    if a == ALL or b == ALL:
        return ALL
    key = (a, b) if a < b else (b, a)
    found = _or.get(key)
    if found is None:
        found = _or[key] = _merged(a, b, _either)
    return found


def union(sets: Iterable[int]) -> int:
    """`either` of many, the small ones with the small ones."""
    queue = list(dict.fromkeys(sets))
    while len(queue) > 1:
        queue = [either(*queue[n : n + 2]) for n in range(0, len(queue), 2)]
    return queue[0] if queue else NONE


def forget() -> None:
    """What was worked out is worked out again when it is asked again: for the sake of memory. Sets stay."""
    if len(_and) + len(_or) > REMEMBERED:
        _and.clear()
        _or.clear()


def box(conditions: Box) -> int:
    """Packets whose fields lie in the given intervals."""
    out = ALL
    for field in sorted(conditions, reverse=True):
        out = _between(field, *conditions[field], out)
    return out


def _between(field: int, first: int, last: int, then: int) -> int:
    lasts: list[int] = []
    leads: list[int] = []
    if first > 0:
        lasts, leads = [first - 1], [NONE]
    lasts, leads = [*lasts, last], [*leads, then]
    if last < LARGEST[field]:
        lasts, leads = [*lasts, LARGEST[field]], [*leads, NONE]
    return _node(field, lasts, leads)


def boxes(many: Sequence[Box]) -> int:
    """The union of many boxes: one sweep along each field, over the boxes that are open at each place."""
    return _sweep(0, [tuple(each.get(field, (0, LARGEST[field])) for field in range(_END)) for each in many], {})


def _sweep(field: int, many: list[tuple[Interval, ...]], memo: dict[tuple[int, tuple[int, ...]], int]) -> int:
    if not many:
        return NONE
    while field < _END and all(each[field] == (0, LARGEST[field]) for each in many):
        field += 1
    if field == _END:
        return ALL
    key = (field, tuple(map(id, many)))
    if (found := memo.get(key)) is not None:
        return found
    starts: dict[int, list[int]] = {}
    ends: dict[int, list[int]] = {}
    for number, each in enumerate(many):
        starts.setdefault(each[field][0], []).append(number)
        ends.setdefault(each[field][1] + 1, []).append(number)
    cuts = sorted({0, *starts, *ends, LARGEST[field] + 1})
    active: dict[int, None] = {}
    lasts: list[int] = []
    leads: list[int] = []
    for at, after in pairwise(cuts):
        for number in ends.get(at, ()):
            active.pop(number, None)
        active.update(dict.fromkeys(starts.get(at, ())))
        lasts.append(after - 1)
        leads.append(_sweep(field + 1, [many[n] for n in sorted(active)], memo))
    made = memo[key] = _node(field, lasts, leads)
    return made


def has(a: int, packet: Mapping[int, int]) -> bool:
    """Is the packet with these values (others: 0) in the set?"""
    while a > ALL:
        lasts, leads = _edges[a]
        a = leads[bisect_left(lasts, packet.get(_field[a], 0))]
    return a == ALL


def example(a: int) -> dict[int, int] | None:
    """One packet of the set: field → value; fields that do not matter are left out. None when there is none."""
    if a == NONE:
        return None
    out: dict[int, int] = {}
    while a != ALL:
        lasts, leads = _edges[a]
        at = next(n for n, lead in enumerate(leads) if lead != NONE)
        out[_field[a]] = lasts[at - 1] + 1 if at else 0
        a = leads[at]
    return out


def shown(a: int) -> str:
    """An example in words."""
    packet = example(a)
    if packet is None:
        return "no packet"
    six = packet.get(FAMILY) == 10
    words = []
    for field, value in sorted(packet.items()):
        name = FIELDS[field][0]
        if field in (SOURCE, DESTINATION):
            text = str(IPv6Address(value)) if six or value >> 32 else str(IPv4Address(value))
        elif field == MAC:
            text = value.to_bytes(6, "big").hex(":")
        elif field == FAMILY:
            text = {2: "ipv4", 10: "ipv6"}.get(value, str(value))
        else:
            text = str(value)
        words.append(f"{name} {text}")
    return ", ".join(words) or "any packet"


# ---------------------------------------------------------------------- words of networks
FAMILIES = {4: 2, 6: 10}


def family(version: int) -> Interval:
    return (FAMILIES[version], FAMILIES[version])


def block(network: IPv4Network | IPv6Network) -> Interval:
    return int(network.network_address), int(network.broadcast_address)


def address(value: IPv4Address | IPv6Address) -> Interval:
    return int(value), int(value)
