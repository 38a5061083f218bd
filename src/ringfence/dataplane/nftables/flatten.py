"""A network ACL's ordered entries as disjoint pieces with one verdict each, for a single lookup (ACL-29, ACL-30).

Blocks are nested or disjoint, so the address space of one family falls into *regions*: each block minus the blocks inside
it. In a region the same entries apply to every address, and first match becomes a sweep over protocols and values.
What no piece covers is denied. Three kinds of pieces, told apart by what has to be looked up:

* ported: TCP and UDP by destination port;  * typed: ICMP and ICMPv6 by type and code (as type << 8 | code);
* other:  every other protocol, by number alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from ringfence.dataplane.nftables.boxes import FULL, Range
from ringfence.model.net import ANY_IPV4, ANY_IPV6, Address, Network
from ringfence.policy.ir import AclEntry

PORTED, TYPED = (6, 17), (1, 58)
_GAPS: tuple[Range, ...] = ((0, 0), (2, 5), (7, 16), (18, 57), (59, 255))


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Addresses, protocols and values (both inclusive) that share one verdict."""

    first: Address
    last: Address
    protocols: Range
    values: Range
    allow: bool


@dataclass(frozen=True, slots=True)
class Flat:
    """One family's pieces."""

    ported: tuple[Piece, ...]
    typed: tuple[Piece, ...]
    other: tuple[Piece, ...]


def values_of(entry: AclEntry) -> Range:
    """The 16-bit range an entry asks for: ports, or ICMP type and code; everything when it names none."""
    match = entry.match
    if match.icmp_type is not None:
        low = match.icmp_type << 8
        return (low, low | 255) if match.icmp_code is None else (low | match.icmp_code,) * 2
    return FULL if match.ports is None else (match.ports.first, match.ports.last)


def flatten(entries: Sequence[AclEntry], family: int) -> Flat:
    """The entries of one family, in order, as disjoint pieces."""
    relevant = [entry for entry in entries if _block(entry, family) is not None]
    ported: list[Piece] = []
    typed: list[Piece] = []
    other: list[Piece] = []
    for spans, applying in _regions(relevant, family):
        for protocols in ((p, p) for p in (*PORTED, *TYPED)):
            chosen = [e for e in applying if e.match.protocol in (None, protocols[0])]
            for values, allow in _first_match([(values_of(e), e.allow) for e in chosen]):
                into = ported if protocols[0] in PORTED else typed
                into += [Piece(low, high, protocols, values, allow) for low, high in spans]
        for protocols, allow in _by_protocol(applying):
            other += [Piece(low, high, protocols, FULL, allow) for low, high in spans]
    return Flat(tuple(ported), tuple(typed), tuple(other))


def _block(entry: AclEntry, family: int) -> Network | None:
    """The entry's block in that family; None when it has nothing to say about the family (ACL-33)."""
    match = entry.match
    if match.family not in (None, family):
        return None
    if match.remote is None:
        return ANY_IPV4 if family == 4 else ANY_IPV6
    return match.remote if match.remote.version == family else None


Span = tuple[Address, Address]


def _regions(entries: Sequence[AclEntry], family: int) -> list[tuple[list[Span], list[AclEntry]]]:
    """Every block without the blocks inside it, as address ranges, with the entries that cover it, in order."""
    blocks = {block for entry in entries if (block := _block(entry, family)) is not None}
    result = []
    for block in sorted(blocks, key=lambda b: (b.prefixlen, int(b.network_address))):
        inner = [b for b in blocks if b.prefixlen > block.prefixlen and _covers(block, b)]
        covering = [e for e in entries if (b := _block(e, family)) is not None and _covers(b, block)]
        spans = _without(block, inner)
        if spans:
            result.append((spans, covering))
    return result


def _covers(outer: Network, inner: Network) -> bool:
    return outer.prefixlen <= inner.prefixlen and int(inner.network_address) >> (
        outer.max_prefixlen - outer.prefixlen
    ) == int(outer.network_address) >> (outer.max_prefixlen - outer.prefixlen)


def _without(block: Network, inner: list[Network]) -> list[Span]:
    make = IPv4Address if block.version == 4 else IPv6Address
    spans: list[Span] = []
    at, end = int(block.network_address), int(block.broadcast_address)
    for hole in sorted(inner, key=lambda b: int(b.network_address)):
        if int(hole.network_address) > at:
            spans.append((make(at), make(int(hole.network_address) - 1)))
        at = max(at, int(hole.broadcast_address) + 1)
    if at <= end:
        spans.append((make(at), make(end)))
    return spans


def _first_match(rules: list[tuple[Range, bool]]) -> list[tuple[Range, bool]]:
    """Ordered ranges as disjoint sorted ones in which the first covering rule decides; neighbours joined."""
    cuts = sorted({edge for (low, high), _ in rules for edge in (low, high + 1)})
    result: list[tuple[Range, bool]] = []
    for low, after in pairwise(cuts):
        allow = next((allow for (first, last), allow in rules if first <= low <= last), None)
        if allow is None:
            continue
        if result and result[-1][1] == allow and result[-1][0][1] + 1 == low:
            result[-1] = ((result[-1][0][0], after - 1), allow)
        else:
            result.append(((low, after - 1), allow))
    return result


def _by_protocol(entries: Sequence[AclEntry]) -> list[tuple[Range, bool]]:
    """First match over the protocols that have neither ports nor types."""
    rules = []
    for entry in entries:
        number = entry.match.protocol
        if number is None:
            rules += [(gap, entry.allow) for gap in _GAPS]
        elif number not in (*PORTED, *TYPED):
            rules.append(((number, number), entry.allow))
    return _first_match(rules)
