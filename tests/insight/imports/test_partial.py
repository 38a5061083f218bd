"""A part of a recording: what it answers is what the whole recording answers, or unknown; never the contrary."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.insight.imports.notes import ImportProblem
from ringfence.insight.reach.engine import Engine, Unknown
from ringfence.model.kinds import ELASTIC_IP, NETWORK_INTERFACE
from ringfence.model.nouns.network_interface import NetworkInterface
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import INTERNET
from ringfence.policy.packet import Packet
from tests.builders import packet
from tests.insight.imports.recording import Documents, imported
from tests.insight.imports.rich import S3_AT, S3_LIST, rich
from tests.insight.imports.test_damage import places

#: what nothing else in a recording tells of, so that nobody sees it missing (docs/import.md): the shape of the place that is taken away
UNSEEN = frozenset((
    "RouteTables[]",  # of a subnet: the main one is not missed, it is another
    "RouteTables[].Associations[]", "RouteTables[].Routes[]", "NetworkAcls[].Entries[]", "PrefixLists[].Cidrs[]", "Entries[]",
))  # fmt: skip
PORTS, OUTSIDE = (22, 23, 80, 443, 2222, 3306, 5432, 8080), ("203.0.113.9", "198.51.100.7")
Question = tuple[str, str, Packet]  # source, interface asked for, packet


def whole() -> Documents:
    """The recordings of three accounts and Regions."""
    return {name: each for name, each in rich().documents.items() if "plan" not in name and name != "state"}


WHOLE = whole()


def shape(path: tuple[Any, ...]) -> str:
    """`RouteTables[].Routes[]`: a place in a document, whichever elements are meant."""
    return ".".join("[]" if isinstance(key, int) else key for key in path[1:]).replace(".[]", "[]")


PLACES = [path for path in places(WHOLE) if shape(path) not in UNSEEN]


def questions(world: World) -> list[Question]:
    """Between interfaces, of one VPC and of two; from outside and to it; to Amazon S3."""
    enis = world.all(NETWORK_INTERFACE)
    public = [(row.network_interface_id, str(row.public_ip)) for row in world.all(ELASTIC_IP)]
    found = [
        (one.id, two.id, src, dst) for one in enis for two in enis for src, dst in pairs(one, two) if one is not two
    ]
    found += [(INTERNET, str(id), OUTSIDE[0], address) for id, address in public]
    found += [(one.id, one.id, str(one.addresses[0]), to) for one in enis for to in (*OUTSIDE, S3_AT, "10.9.9.9")]
    found += [(INTERNET, one.id, "2001:db8:ffff::9", str(one.ipv6[0])) for one in enis if one.ipv6]
    return [(source, target, packet(src, dst, "tcp", port)) for source, target, src, dst in found for port in PORTS]


def pairs(one: NetworkInterface, two: NetworkInterface) -> Iterator[tuple[str, str]]:
    yield str(one.addresses[0]), str(two.addresses[0])
    if one.ipv6 and two.ipv6:
        yield str(one.ipv6[0]), str(two.ipv6[0])


def answers(world: World, asked: list[Question]) -> list[bool | Unknown | None]:
    """None where an interface that is asked about, or one of its address, is not in the import."""
    engine = Engine(compile_world(world))
    there = {eni.id for eni in world.all(NETWORK_INTERFACE)} | {INTERNET}
    known = KNOWN.all(NETWORK_INTERFACE)
    gone = {address for eni in known if eni.id not in there for address in (*eni.addresses, *eni.ipv6)}
    return [
        engine.ask(source, p) if {source, target} <= there and p.dst not in gone else None
        for source, target, p in asked
    ]


KNOWN = imported(WHOLE).world
ASKED = questions(KNOWN)
RIGHT = answers(KNOWN, ASKED)


def without(path: tuple[Any, ...]) -> Documents:
    documents = copy.deepcopy(WHOLE)
    *above, last = path
    holder: Any = documents
    for key in above:
        holder = holder[key]
    del holder[last]
    return documents


def contrary(path: tuple[Any, ...]) -> list[str]:
    """Answers of the recording without that place that are neither right nor unknown."""
    try:
        world = imported(without(path)).world
    except ImportProblem:
        return []
    said = zip(ASKED, RIGHT, answers(world, ASKED), strict=True)
    return [
        f"{question}: {right}, without {path}: {now}"
        for question, right, now in said
        if isinstance(now, bool) and now is not right and not isinstance(right, Unknown)
    ]


def test_the_questions_are_answered() -> None:
    """Both ways, and some of them by endpoint, peering, list and reference; what goes by the NAT gateway is unknown."""
    assert imported(WHOLE).notes.problems == []
    counts = {
        kind: sum(isinstance(a, Unknown) if kind is Unknown else a is kind for a in RIGHT)
        for kind in (True, False, Unknown)
    }
    assert min(counts.values()) > 20, counts
    assert S3_LIST in json.dumps(WHOLE)


#: lists that decide where packets go and what lets them through
DECIDING = ("RouteTables", "NetworkAcls", "SecurityGroups", "InternetGateways", "VpcEndpoints", "VpcPeeringConnections")


def test_each_kind_of_part_of_what_decides() -> None:
    """The first of its shape, in every account and Region together."""
    shapes = {shape(path): path for path in reversed(PLACES) if path[1:] and str(path[1]) in DECIDING}
    assert len(shapes) > 90
    assert [found for path in shapes.values() for found in contrary(path)[:1]] == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES))
def test_a_part_never_says_the_contrary(path: tuple[Any, ...]) -> None:
    assert not contrary(path)
