"""Atoms: the smallest sets of packets that no rule tells apart, one bit each.

A *service* is what a rule can ask of a packet besides its remote address: a TCP or UDP destination port, an ICMP type and
code, or another protocol's number. All services stand on one line of 262,400 points; a rule covers intervals of it, and the
boundaries of all rules cut the line into atoms. A set of services is a Python int.

An *address atom* is the innermost block, of all blocks that rules and routes name, that holds an address. Blocks nest and never
overlap otherwise, so addresses with the same innermost block are the same to every rule. An atom is coded as a number:
a one, then the bits of the prefix; its ancestors are its right shifts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator

from ringfence.model.net import Network, Protocol
from ringfence.policy.ir import Match
from ringfence.policy.packet import ICMP_ANSWERS, Packet

_SPAN = 1 << 16
BASES: dict[int, int] = {Protocol.TCP: 0, Protocol.UDP: _SPAN, Protocol.ICMP: 2 * _SPAN, Protocol.ICMPV6: 3 * _SPAN}
OTHER = 4 * _SPAN
END = OTHER + 256
Interval = tuple[int, int]  # first and last point, inclusive
_FEW = 16  # split atoms: moving a set costs one step for each
#: services of the VPC's router, by protocol and port (UF-01..UF-07)
DNS, METADATA, TIME, DHCP = 53, 80, 123, 67

_PAIRED = {**ICMP_ANSWERS, **{answer: query for query, answer in ICMP_ANSWERS.items()}}
_ICMP = (BASES[Protocol.ICMP], BASES[Protocol.ICMPV6])


def point(packet: Packet) -> int:
    """Where a packet stands on the line of services."""
    base = BASES.get(packet.protocol)
    if base is None:
        return OTHER + packet.protocol
    if packet.protocol in (Protocol.TCP, Protocol.UDP):
        return base + packet.dport
    return base + (packet.icmp_type << 8 | packet.icmp_code)


def source_point(packet: Packet) -> int | None:
    """Where its answer will stand, if that is a question of ports; None for what has no ports."""
    return BASES[packet.protocol] + packet.sport if packet.protocol in (Protocol.TCP, Protocol.UDP) else None


def interval(match: Match) -> Interval:
    """The services a condition covers."""
    if match.protocol is None:
        return 0, END - 1
    base = BASES.get(match.protocol)
    if base is None:
        return OTHER + match.protocol, OTHER + match.protocol
    if match.protocol in (Protocol.TCP, Protocol.UDP):
        return (base, base + _SPAN - 1) if match.ports is None else (base + match.ports.first, base + match.ports.last)
    if match.icmp_type is None:
        return base, base + _SPAN - 1
    first = base + (match.icmp_type << 8)
    return (first, first + 255) if match.icmp_code is None else (first + match.icmp_code, first + match.icmp_code)


def _always() -> Iterator[int]:
    """Cuts that are there whatever the rules: protocols, ICMP queries and answers, the router's services."""
    yield from (0, *BASES.values(), OTHER)
    for base in _ICMP:
        for kind in _PAIRED:
            yield from (base + (kind << 8), base + (kind + 1 << 8))
    for protocol, port in ((6, DNS), (17, DNS), (6, METADATA), (17, TIME), (17, DHCP)):
        yield from (BASES[protocol] + port, BASES[protocol] + port + 1)
    for protocol in BASES:
        yield from (OTHER + protocol, OTHER + protocol + 1)


def _mirrored(cut: int) -> Iterator[int]:
    """A cut, and the same cut among the answers: an atom of queries is answered by one atom of answers."""
    yield cut
    for base in _ICMP:
        kind = _PAIRED.get((cut - base) >> 8) if base <= cut < base + _SPAN else None
        if kind is not None:
            yield base + (kind << 8) + (cut & 255)


class Services:
    """The atoms of the line for a given set of cuts; never changes. Two sets compare when their Services are the same."""

    def __init__(self, cuts: Iterable[int] = ()) -> None:
        wanted = {each for cut in cuts for each in _mirrored(cut)}
        self.starts = sorted(cut for cut in {*_always(), *wanted} if 0 <= cut < END)
        self._known = frozenset(self.starts)
        self._masks: dict[Interval, int] = {}
        self._before: dict[int, int] = {}
        every = (1 << len(self.starts)) - 1
        self.tcp = self.mask(0, _SPAN - 1)
        self.udp = self.mask(_SPAN, 2 * _SPAN - 1)
        self.ported = self.tcp | self.udp
        dead = [self.mask(OTHER + protocol, OTHER + protocol) for protocol in BASES]
        self.full = every & ~(dead[0] | dead[1] | dead[2] | dead[3])
        self._answered = self._pairs()
        self.queries = sum(1 << query for query, _ in self._answered)
        #: what opens a flow (ICMP answers and errors do not), and what does not
        self.silent = self.full & self.mask(2 * _SPAN, OTHER - 1) & ~self.queries
        self.opening = self.full & ~self.silent

    def _pairs(self) -> list[tuple[int, int]]:
        """(bit of a query, bit of its answer)."""
        out = []
        for base in _ICMP:
            for query, answer in ICMP_ANSWERS.items():
                first, last = (bisect_left(self.starts, base + (kind << 8)) for kind in (query, query + 1))
                away = bisect_left(self.starts, base + (answer << 8)) - first
                out += [(bit, bit + away) for bit in range(first, last)]
        return out

    def with_cuts(self, cuts: set[int]) -> Services:
        """These atoms, or finer ones that respect more cuts."""
        return self if cuts <= self._known else Services(cuts | self._known)

    def finer(self, coarser: Services) -> Callable[[int], int] | None:
        """What turns a set of coarser atoms into the same set of these. None when so many are split that it does not pay."""
        split = [n for n, start in enumerate(self.starts) if start not in coarser._known]
        if len(split) > _FEW or len(self.starts) != len(coarser.starts) + len(split):
            return None
        below = [(n, (1 << n) - 1) for n in split]

        known: dict[int, int] = {}  # rules have few different services

        def move(mask: int) -> int:
            found = known.get(mask)
            if found is None:
                found = mask
                for n, low in below:  # atom n-1 becomes atoms n-1 and n
                    found = found & low | found >> n - 1 << n
                known[mask] = found
            return found

        return move

    def bit(self, at: int) -> int:
        """The atom of a point."""
        return bisect_right(self.starts, at) - 1

    def mask(self, first: int, last: int) -> int:
        """The atoms of an interval whose boundaries are cuts."""
        found = self._masks.get((first, last))
        if found is None:
            low, high = bisect_left(self.starts, first), bisect_left(self.starts, last + 1)
            found = self._masks[first, last] = ((1 << high - low) - 1) << low
        return found

    def of(self, match: Match) -> int:
        """The services a condition covers."""
        return self.mask(*interval(match)) & self.full

    def asking(self, answers: int) -> int:
        """The services whose answers are in a set: for what has no ports, the answer's service follows from the packet's."""
        found = self._before.get(answers)
        if found is None:
            found = answers & ~self.queries
            for query, answer in self._answered:
                found |= (answers >> answer & 1) << query
            self._before[answers] = found
        return found

    def intervals(self, mask: int) -> list[Interval]:
        """A set as maximal intervals, in order, none across two protocols."""
        out: list[Interval] = []
        while mask:
            low = (mask & -mask).bit_length() - 1
            run = (~(mask >> low) & (mask >> low) + 1).bit_length() - 1
            mask &= ~(((1 << run) - 1) << low)
            last = self.starts[low + run] - 1 if low + run < len(self.starts) else END - 1
            out += _by_protocol(self.starts[low], last)
        return out


def _by_protocol(first: int, last: int) -> Iterator[Interval]:
    while first <= last:
        end = min(last, OTHER - 1, (first // _SPAN + 1) * _SPAN - 1) if first < OTHER else last
        yield first, end
        first = end + 1


# ---------------------------------------------------------------------- addresses
def code_of(block: Network) -> int:
    """A block as an atom's code."""
    return 1 << block.prefixlen | int(block.network_address) >> block.max_prefixlen - block.prefixlen


class Prefixes:
    """The address atoms of one family; never changes."""

    def __init__(self, width: int, codes: Iterable[int] = ()) -> None:
        self.width = width
        self.codes = frozenset({1, *codes})
        self._lengths = sorted({code.bit_length() - 1 for code in self.codes}, reverse=True)
        self._around: dict[int, int] = {}

    def around(self, code: int) -> int:
        """The next block around an atom that is one; 0 around the root."""
        found = self._around.get(code)
        if found is None:
            found = code >> 1
            while found and found not in self.codes:
                found >>= 1
            self._around[code] = found
        return found

    def with_codes(self, codes: set[int]) -> Prefixes:
        """These atoms, or finer ones that respect more blocks."""
        return self if codes <= self.codes else Prefixes(self.width, codes | self.codes)

    def of_number(self, address: int) -> int:
        """The innermost block that holds an address."""
        whole = 1 << self.width | address
        for length in self._lengths:
            code = whole >> self.width - length
            if code in self.codes:
                return code
        raise AssertionError("the root holds every address")

    def within(self, blocks: Iterable[int]) -> Iterator[tuple[int, int]]:
        """The atoms inside blocks, each with its first address; without those whose addresses others inside them take up."""
        held = tuple(blocks)
        for code in sorted(self.codes):
            size = code.bit_length()
            if any(size >= block.bit_length() and code >> size - block.bit_length() == block for block in held):
                address = self._first(code)
                if address is not None:
                    yield code, address

    def _first(self, code: int) -> int | None:
        away = self.width + 1 - code.bit_length()
        at, end = (code << away) - (1 << self.width), (code + 1 << away) - (1 << self.width)
        while at < end:
            inner = self.of_number(at)
            if inner == code:
                return at
            at = (inner + 1 << self.width + 1 - inner.bit_length()) - (1 << self.width)
        return None
