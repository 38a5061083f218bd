"""MON-23: every change waits for a quick look at one place, so a look must cost what there is, and not its square."""

from __future__ import annotations

import time
from ipaddress import ip_network

import pytest

from ringfence.dataplane.verify import wanted
from ringfence.dataplane.verify.compare import paths
from ringfence.dataplane.verify.rtnetlink import Paths, Route


def _links(many: int) -> Paths:
    """As the kernel has them: each link has a link-local address, and routes that follow from it."""
    found = Paths(links={f"e{n}": True for n in range(many)})
    found.addresses = {(f"e{n}", f"fe80::{n:x}/64") for n in range(many)}
    for name, address in found.addresses:
        host = address.replace("/64", "/128")
        found.routes += [
            Route(6, wanted.TABLES[table], kind, ip_network(block), 256, None, name, own=True)
            for table, kind, block in (
                ("main", "unicast", "fe80::/64"), ("local", "multicast", "ff00::/8"), ("local", "local", host),
                ("local", "anycast", "fe80::/128"),
            )
        ]  # fmt: skip
    return found


def _cpu(many: int) -> float:
    found = _links(many)
    place = wanted.Place("vpc-1", (), rules=frozenset(), links=frozenset(found.links))
    least = float("inf")
    for _ in range(3):
        started = time.process_time()
        assert paths(place, found) == []
        least = min(least, time.process_time() - started)
    return least


@pytest.mark.timeout(60)
def test_comparing_paths_costs_what_there_is() -> None:
    assert _cpu(1600) < 12 * _cpu(400)  # 4 times the links; its square would be 16


@pytest.mark.parametrize(
    ("block", "table", "kind", "link", "own"),
    [
        ("10.0.0.5/32", "main", "unicast", "e1", True),  # a link's own address, alone
        ("10.0.0.0/24", "main", "unicast", "e1", True),
        ("10.0.0.0/25", "main", "unicast", "e1", False),
        ("10.0.0.5/32", "main", "unicast", "e2", False),  # another link's
        ("10.0.0.5/32", "local", "local", "e1", True),
        ("10.0.0.6/32", "local", "local", "e1", False),
        ("10.0.0.255/32", "local", "broadcast", "e1", True),
        ("10.0.1.255/32", "local", "broadcast", "e1", False),
        ("10.0.0.5/32", "default", "unicast", "e1", False),
    ],
)
def test_routes_that_follow_from_addresses(block: str, table: str, kind: str, link: str, own: bool) -> None:
    """Whatever a route says of itself: it is nobody's own unless an address of its link asks for it."""
    network = ip_network(block)
    route = Route(4, wanted.TABLES[table], kind, network, 0, None, link, own=True)
    found = Paths([route], addresses={("e1", "10.0.0.5/24")}, links={"e1": True, "e2": True})
    place = wanted.Place(
        "vpc-1", (), rules=frozenset(), links=frozenset(found.links), addresses=frozenset(found.addresses)
    )
    assert [each.what for each in paths(place, found)] == ([] if own else ["route"])
