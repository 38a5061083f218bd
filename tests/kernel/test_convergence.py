"""Any path of changes and restarts ends in the same kernel state; a restart touches only what is wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.dataplane.nftables.apply import Filter
from ringfence.dataplane.nftables.assembly import VpcTables
from ringfence.policy.ir import Fragment, Key, key_of
from tests.dataplane.nftables.test_assembly import STEPS, state_after
from tests.dataplane.nftables.test_goldens import _normal
from tests.kernel.testbed import Namespace
from tests.kernel.worlds import allow, group, pair

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def pads() -> Iterator[tuple[Namespace, Namespace]]:
    made = (Namespace(), Namespace())
    yield made
    for each in made:
        each.close()


def listing(place: Namespace) -> list[str]:
    return _normal(place.command("nft", "list", "ruleset"))


def fresh(place: Namespace, fragments: Sequence[Fragment]) -> Filter:
    made = Filter(place.fd, VpcTables)
    made.converge(fragments)
    return made


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(0, 2**16))
def test_any_path_ends_in_the_same_state(
    pads: tuple[Namespace, Namespace], steps: list[Fragment | Key], seed: int
) -> None:
    """Steps one by one, or squashed, with restarts in between; against a namespace that never saw anything else."""
    chance = random.Random(seed)
    walked, direct = pads
    direct.command("nft", "flush", "ruleset")
    filter_ = fresh(walked, [])
    done: list[Fragment | Key] = []
    while len(done) < len(steps):
        more = steps[len(done) : len(done) + chance.randint(1, 4)]
        done += more
        if chance.random() < 0.2:
            filter_.close()
            filter_ = fresh(walked, list(state_after(done).values()))
        else:
            filter_.sync(list(state_after(done).values()))
    filter_.close()
    fresh(direct, list(state_after(steps).values())).close()
    assert listing(walked) == listing(direct)


def test_damage_is_repaired(pads: tuple[Namespace, Namespace]) -> None:
    """Whatever somebody did to the tables meanwhile: the next start makes them right, base chains untouched."""
    place, direct = pads
    fragments = pair([allow("tcp", "80", "10.0.0.0/8"), allow("tcp", "81", "sg-a")])
    fresh(place, fragments).close()
    direct.command("nft", "flush", "ruleset")
    fresh(direct, fragments).close()
    handles = _handles(place)
    for damage in (
        "delete element inet ringfence in.sg-b.ports4.0 { 10.0.0.0/8 . tcp . 80 }",
        "add element inet ringfence in.sg-b.ports4.0 { 0.0.0.0/0 . udp . 1 }",
        "add element inet ringfence members4.sg-a { 192.0.2.1 }",
        "flush chain inet ringfence in.sg-b",
        "insert rule inet ringfence forward accept",
        "add chain inet ringfence stranger",
        "add set inet ringfence stranger { type ipv4_addr; }",
        "flush set inet ringfence links",
        "flush chain arp ringfence input",
        "delete table arp ringfence",
    ):
        place.command("nft", damage)
        assert listing(place) != listing(direct), damage
        fresh(place, fragments).close()
        assert listing(place) == listing(direct), damage
        if "delete table" not in damage:
            assert _handles(place) == handles, damage


def _handles(place: Namespace) -> list[str]:
    """Base chains with their handles: a chain that was made anew has another."""
    lines = place.command("nft", "-a", "list", "table", "inet", "ringfence").splitlines()
    return [lines[n] for n in range(len(lines) - 1) if "type filter hook" in lines[n + 1]]


def test_updates_never_touch_base_chains(pads: tuple[Namespace, Namespace]) -> None:
    place, _ = pads
    filter_ = fresh(place, pair())
    handles = _handles(place)
    assert len(handles) == 5
    for rules in ([allow("tcp", "80")], [allow("udp", "1-9", "sg-a")], []):
        filter_.sync(pair(rules))
        assert _handles(place) == handles
    filter_.sync([])
    filter_.close()
    assert _handles(place) == handles


def test_a_refused_update_starts_over(pads: tuple[Namespace, Namespace]) -> None:
    """Somebody emptied a set behind our back, so deleting its element fails: the filter reads back and repairs."""
    place, direct = pads
    before, after = pair([allow("tcp", "80", "10.0.0.0/8")]), pair([allow("tcp", "81", "10.0.0.0/8")])
    filter_ = fresh(place, before)
    place.command("nft", "flush", "set", "inet", "ringfence", "in.sg-b.ports4.0")
    filter_.sync(after)
    filter_.close()
    direct.command("nft", "flush", "ruleset")
    fresh(direct, after).close()
    assert listing(place) == listing(direct)


def test_a_table_of_another_make_is_replaced(pads: tuple[Namespace, Namespace]) -> None:
    """An older version's base chains or set types do not fit: the table is exchanged in one transaction."""
    place, direct = pads
    place.command("nft", "flush", "ruleset")
    place.command(
        "nft", "add table inet ringfence; add chain inet ringfence old { type filter hook forward priority 5; policy accept; };"
        " add set inet ringfence own4 { type ipv4_addr; }"
    )  # fmt: skip
    fresh(place, pair()).close()
    direct.command("nft", "flush", "ruleset")
    fresh(direct, pair()).close()
    assert listing(place) == listing(direct)


def test_other_tables_are_left_alone(pads: tuple[Namespace, Namespace]) -> None:
    place, _ = pads
    place.command("nft", "add table inet theirs; add chain inet theirs c; add set inet theirs s { type ipv4_addr; }")
    fresh(place, pair()).close()
    assert "table inet theirs" in place.command("nft", "list", "tables")
    assert "set s" in place.command("nft", "list", "table", "inet", "theirs")
    place.command("nft", "delete", "table", "inet", "theirs")


def test_large_changes_are_cut(pads: tuple[Namespace, Namespace]) -> None:
    """A send buffer too small for one transaction: the same state, in several."""
    place, direct = pads
    big = pair([], *(group(f"sg-{n:04}", [allow("tcp", str(p), "10.0.0.0/8") for p in range(40)]) for n in range(60)))
    for each in pads:
        each.command("nft", "flush", "ruleset")
    fresh(direct, big).close()
    small = Filter(place.fd, VpcTables)
    small._open.tables.largest = 8000
    small.converge(pair())
    small.sync(big)
    assert listing(place) == listing(direct)
    small.sync(pair())
    small.converge(big)
    small.close()
    assert listing(place) == listing(direct)
    assert key_of(big[0])
