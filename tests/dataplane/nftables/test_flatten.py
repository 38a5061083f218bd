"""Flattened ACLs decide exactly like trying the entries in order (ACL-29, ACL-30, ACL-33..35)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.dataplane.nftables.flatten import PORTED, TYPED, Flat, Piece, flatten
from ringfence.policy.ir import AclEntry
from tests.kernel.worlds import entry

BLOCKS = [
    "0.0.0.0/0",
    "10.0.0.0/28",
    "10.0.0.0/29",
    "10.0.0.4/30",
    "10.0.0.5/32",
    "10.0.0.8/29",
    "::/0",
    "2001:db8::/125",
]
KINDS = st.one_of(
    st.tuples(st.sampled_from(["tcp", "udp"]), st.sampled_from(["", "0-65535", "3", "2-6", "5-9"]), st.none()),
    st.tuples(st.sampled_from(["icmp", "icmpv6"]), st.just(""), st.sampled_from([None, (3, None), (3, 4), (8, 0)])),
    st.tuples(st.sampled_from(["all", 50, 0, 255, 41]), st.just(""), st.none()),
)
ENTRIES = st.lists(st.tuples(KINDS, st.sampled_from(BLOCKS), st.booleans()), max_size=14).map(
    lambda rows: [
        entry(n, "allow" if yes else "deny", kind[0], kind[1], block, kind[2])
        for n, (kind, block, yes) in enumerate(rows, 1)
    ]
)
PROTOCOLS = st.sampled_from([0, 1, 6, 17, 41, 50, 58, 99, 255])
VALUES = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 3 << 8, 3 << 8 | 4, 8 << 8, 65535])


def in_order(entries: list[AclEntry], address: IPv4Address | IPv6Address, protocol: int, value: int) -> bool:
    """First match, written as plainly as possible; `value`: destination port, or type << 8 | code."""
    for each in entries:
        match = each.match
        if match.remote is None or address.version != match.remote.version or address not in match.remote:
            continue
        if match.protocol not in (None, protocol):
            continue
        if match.ports is not None and protocol in PORTED and value not in match.ports:
            continue
        if match.icmp_type is not None and match.icmp_type != value >> 8:
            continue
        if match.icmp_code is not None and match.icmp_code != value & 255:
            continue
        return each.allow
    return False


def look_up(flat: Flat, address: IPv4Address | IPv6Address, protocol: int, value: int) -> bool:
    pieces = flat.ported if protocol in PORTED else flat.typed if protocol in TYPED else flat.other
    found = [p for p in pieces if _holds(p, address, protocol, value)]
    assert len(found) <= 1
    return bool(found) and found[0].allow


def _holds(piece: Piece, address: IPv4Address | IPv6Address, protocol: int, value: int) -> bool:
    inside = piece.protocols[0] <= protocol <= piece.protocols[1] and piece.values[0] <= value <= piece.values[1]
    return int(piece.first) <= int(address) <= int(piece.last) and inside


@given(ENTRIES, st.integers(0, 17), PROTOCOLS, VALUES)
def test_ipv4_equals_first_match(entries: list[AclEntry], host: int, protocol: int, value: int) -> None:
    address = IPv4Address(0x0A000000 + host)
    assert look_up(flatten(entries, 4), address, protocol, value) == in_order(entries, address, protocol, value)


@given(ENTRIES, st.integers(0, 9), PROTOCOLS, VALUES)
def test_ipv6_equals_first_match(entries: list[AclEntry], host: int, protocol: int, value: int) -> None:
    address = IPv6Address("2001:db8::") + host
    assert look_up(flatten(entries, 6), address, protocol, value) == in_order(entries, address, protocol, value)


@given(ENTRIES)
def test_pieces_are_disjoint(entries: list[AclEntry]) -> None:
    """The kernel refuses overlapping elements."""
    for family in (4, 6):
        flat = flatten(entries, family)
        for pieces in (flat.ported, flat.typed, flat.other):
            for one, other in combinations(pieces, 2):
                assert (
                    int(one.last) < int(other.first)
                    or int(other.last) < int(one.first)
                    or one.protocols[1] < other.protocols[0]
                    or other.protocols[1] < one.protocols[0]
                    or one.values[1] < other.values[0]
                    or other.values[1] < one.values[0]
                ), (one, other)


def test_forty_entries_stay_small() -> None:
    """The quota's maximum (ACL-18) gives hundreds of pieces, not a combinatorial explosion."""
    entries = [
        entry(n, "deny" if n % 2 else "allow", "tcp", f"{n * 7}-{n * 7 + 20}", f"10.{n}.0.0/16") for n in range(1, 40)
    ]
    entries.append(entry(40, "allow", "all", "", "0.0.0.0/0"))
    flat = flatten(entries, 4)
    assert sum(map(len, (flat.ported, flat.typed, flat.other))) < 1500
    assert ip_network("10.1.0.0/16").network_address in {piece.first for piece in flat.ported}
