"""All pairs, differences, scopes and analyses across peer VPCs: what the evaluator says of each packet (PCX-05..PCX-09, SG-52)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ringfence.insight.flowlogs.facts import INTER_REGION, INTRA_REGION, facts_of, way
from ringfence.insight.flowlogs.records import Direction, Observation
from ringfence.insight.reach.diff import diff
from ringfence.insight.reach.engine import Engine, number_to_address
from ringfence.insight.reach.peers import across
from ringfence.insight.reach.probe import probe_request
from ringfence.insight.reach.report import Reporter
from ringfence.model.kinds import NETWORK_INTERFACE
from ringfence.model.nouns.peering import PeeringStatus
from ringfence.model.world import World
from ringfence.policy.compile import compile_world
from ringfence.policy.evaluate import exchange
from tests.builders import changed, ident, packet, peering
from tests.kernel.test_peering import MADE

PORTS = (80, 81, 82, 83)


def pairs(engine: Engine) -> dict[tuple[str, str, int, str], bool]:
    """(sender, source, port, destination) → allowed, of every pair of addresses of peer VPCs that any cell tells of."""
    out = {}
    for cell in across(engine):
        space = cell.conversations(engine.services)
        for eni, src in cell.source.members:
            for _, dst in cell.destination.members:
                a, b = (number_to_address(cell.source.family, each) for each in (src, dst))
                for port in PORTS:
                    out[eni, str(a), port, str(b)] = packet(str(a), str(b), "udp", port) in space
    return out


def test_every_pair_is_what_the_evaluator_says() -> None:
    ir = compile_world(MADE)
    engine = Engine(ir)
    told = pairs(engine)
    asked = 0
    for eni in engine.places.ports.values():
        for other in engine.places.ports.values():
            if eni.vpc_id == other.vpc_id:
                continue
            for family in (4, 6):
                for src in eni.addresses[family]:
                    for dst in other.addresses[family]:
                        a, b = (str(number_to_address(family, each)) for each in (src, dst))
                        for port in PORTS:
                            done = exchange(ir, packet(a, b, "udp", port), eni.eni_id)
                            allowed = done.verdict.allowed and done.there.at == other.eni_id
                            if allowed:
                                asked += 1
                                assert told[eni.eni_id, a, port, b], (a, b, port)
                            elif done.there.at in (None, other.eni_id):
                                assert not told.get((eni.eni_id, a, port, b), False), (a, b, port)
    assert asked > 20


def ended(name: str, *sides: str) -> World:
    return changed(MADE, peering(name, *sides, PeeringStatus.DELETED))


def test_the_end_of_a_connection_closes_what_it_opened() -> None:
    before, after = Engine(compile_world(MADE)), Engine(compile_world(ended("ab", "a", "b")))
    shifts = list(diff(before, after))
    assert shifts
    assert all(shift.closed and not shift.opened and shift.unknown is None for shift in shifts)
    ends = {frozenset((shift.source.vpc_id, shift.destination.vpc_id)) for shift in shifts}
    assert ends == {frozenset((ident("vpc", "a"), ident("vpc", "b")))}
    assert [s for s in diff(after, before) if s.closed] == []
    witness = shifts[0].witness(opened=False)
    assert witness is not None
    assert exchange(before.ir, witness[1], witness[0]).verdict.allowed
    assert not exchange(after.ir, witness[1], witness[0]).verdict.allowed


def test_an_updated_engine_says_what_a_new_one_does() -> None:
    after = compile_world(ended("ab", "a", "b"))
    assert pairs(Engine(compile_world(MADE)).update(after)) == pairs(Engine(after))


def test_the_matrix_names_both_vpcs() -> None:
    rows = Reporter().reach(MADE, {"vpc": ident("vpc", "c")})["rows"]
    assert {(row["vpc"], row.get("to_vpc")) for row in rows} >= {(ident("vpc", "a"), ident("vpc", "c"))}


@pytest.mark.parametrize(("to", "expected"), [("10.1.0.10", INTRA_REGION), ("10.2.0.10", INTER_REGION)])
def test_fl_37_traffic_path(to: str, expected: int) -> None:
    facts = facts_of(MADE, ident("eni", "a"))
    assert facts is not None
    seen = Observation(
        interface_id=ident("eni", "a"), direction=Direction.EGRESS, accepted=True, source=ip_address("10.0.0.10"),
        destination=ip_address(to), protocol=17, packets=1, octets=30, first=0.0, last=0.0,
    )  # fmt: skip
    assert way(MADE, facts, seen) == (expected, None)


def test_a_probe_listens_where_its_packet_arrives() -> None:
    """Two peers may have the same address: the routes of the sender's subnet tell which is meant (PCX-05)."""
    ir = compile_world(MADE)
    seen = set()
    for eni in MADE.all(NETWORK_INTERFACE):
        for other in MADE.all(NETWORK_INTERFACE):
            if eni.vpc_id == other.vpc_id or not (eni.addresses and other.addresses):
                continue
            a, b = str(eni.addresses[0]), str(other.addresses[0])
            arrived = exchange(ir, packet(a, b, "udp", 80), eni.id).there.at
            if any(arrived == each.id and each.vpc_id != eni.vpc_id for each in MADE.all(NETWORK_INTERFACE)):
                asked = probe_request(MADE, {"source": eni.id, "destination": b, "protocol": "udp", "port": 80})
                assert asked["to"] == {"kind": "interface", "id": arrived}
                seen.add((eni.id, arrived))
    assert len(seen) > 3
