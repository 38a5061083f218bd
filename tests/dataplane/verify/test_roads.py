"""Routes as sets of packets, against the longest prefix of single addresses (RT-05)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.roads import ITSELF, NOWHERE, UNCLEAR, Roads, partition
from ringfence.dataplane.verify.rtnetlink import Paths, PolicyRule, Route

KINDS = ("unicast", "unicast", "blackhole", "throw")
BLOCKS = st.builds(
    lambda length, bits: IPv4Network((bits << 32 - length & 0xFFFFFFFF if length else 0, length)),
    st.integers(0, 4), st.integers(0, 15),
)  # fmt: skip
ROUTES = st.lists(
    st.builds(
        lambda block, kind, metric, link: Route(4, 1, kind, block, metric, None, link if kind == "unicast" else ""),
        BLOCKS, st.sampled_from(KINDS), st.integers(0, 2), st.sampled_from(("e1", "e2")),
    ),
    max_size=8, unique_by=lambda route: (route.destination, route.metric),
)  # fmt: skip


def led(routes: list[Route], address: int) -> str | None:
    fitting = [route for route in routes if IPv4Address(address) in route.destination]
    best = max(fitting, key=lambda route: (route.destination.prefixlen, -route.metric), default=None)
    if best is None or best.kind == "throw":
        return None
    return best.link if best.kind == "unicast" else NOWHERE


@given(ROUTES, ROUTES, st.integers(0, 15), st.sampled_from((0, 1, 2)))
def test_two_tables_by_mark(marked: list[Route], main: list[Route], top: int, mark: int) -> None:
    """Marked packets ask their table, then, where it throws them back or knows nothing, the main one."""
    paths = Paths([Route(4, 7, r.kind, r.destination, r.metric, None, r.link) for r in marked] + main)
    paths.rules = [PolicyRule(4, 10, 1, 0xFF, 7), PolicyRule(4, 20, 0, 0, 1)]
    address = top << 28
    wanted = led(marked, address) if mark == 1 else None
    if wanted is None:
        wanted = led(main, address)
    packet = {p.FAMILY: 2, p.DESTINATION: address}
    places = [place for place, some in Roads(paths)(mark).items() if p.has(some, packet)]
    assert places == [wanted or NOWHERE]


@given(ROUTES)
def test_a_partition_leaves_nothing_out(routes: list[Route]) -> None:
    spans = partition(4, routes)
    assert spans[0][0] == 0
    assert spans[-1][1] == 0xFFFFFFFF
    assert all(a[1] + 1 == b[0] for a, b in pairwise(spans))


def test_what_is_not_known_is_not_guessed() -> None:
    block = IPv4Network("10.0.0.0/8")
    strange = Route(4, 1, "unicast", block, 0, None, "e1", strange=True)
    odd, local = Route(4, 1, "nat", block, 0, None, ""), Route(4, 1, "local", block, 0, None, "lo")
    everything = PolicyRule(4, 20, 0, 0, 1)
    packet = {p.FAMILY: 2, p.DESTINATION: int(IPv4Address("10.1.1.1"))}
    for route, place in ((strange, UNCLEAR), (odd, UNCLEAR), (local, ITSELF)):
        ways = Roads(Paths([route], [everything]))(0)
        assert [name for name, some in ways.items() if p.has(some, packet)] == [place]
    by_source = PolicyRule(4, 5, 0, 0, 1, strange=True)
    ways = Roads(Paths([local], [by_source, everything]))(0)
    assert [name for name, some in ways.items() if p.has(some, packet)] == [UNCLEAR]
