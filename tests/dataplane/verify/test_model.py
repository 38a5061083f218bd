"""What the verifier takes for the model is the model: its sets against the evaluator's verdict, packet by packet."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address

import pytest

from ringfence.dataplane.verify import packets as p
from ringfence.dataplane.verify.model import NOT_ROUTED, Model
from ringfence.policy.evaluate import Index, judge
from ringfence.policy.flows import Flows
from ringfence.policy.ir import Interface, Ir, key_of
from ringfence.policy.packet import Packet
from tests.dataplane.verify.battery import WORLDS

PORTS = (0, 22, 23, 25, 53, 79, 80, 85, 90, 95, 96, 443, 999, 1000, 1500, 2000, 2001, 65535)
TYPES = ((8, 0), (8, 1), (0, 0), (3, 4), (128, 0), (135, 0))


def addresses(enis: list[Interface]) -> list[IPv4Address | IPv6Address]:
    own: list[IPv4Address | IPv6Address] = [each for eni in enis for each in (*eni.ipv4, *eni.ipv6)]
    others = ("10.0.3.10", "10.0.2.99", "10.0.1.77", "192.168.7.7", "203.0.113.9", "10.200.0.1")
    return [*own, *map(IPv4Address, others), IPv6Address("2001:db8:1:2::77"), IPv6Address("2001:db8:ffff::9")]


def draw(chance: random.Random, enis: list[Interface]) -> tuple[Interface, Packet]:
    eni = chance.choice(enis)
    dst = chance.choice(addresses(enis))
    own = eni.ipv4[0] if dst.version == 4 else eni.ipv6[0]
    src = own if eni.source_dest_check or chance.random() < 0.7 else chance.choice(
        [each for each in addresses(enis) if each.version == dst.version]
    )  # fmt: skip
    protocol = chance.choice((6, 6, 17, 17, 1 if dst.version == 4 else 58, 47))
    kind, code = chance.choice(TYPES)
    ported = protocol in (6, 17)
    return eni, Packet(
        src=src, dst=dst, protocol=protocol, sport=chance.choice(PORTS) if ported else 0, dport=chance.choice(PORTS) if ported else 0,
        icmp_type=kind if protocol in (1, 58) else 0, icmp_code=code if protocol in (1, 58) else 0,
    )  # fmt: skip


def arrives(model: Model, eni: Interface, packet: Packet, by_id: dict[str, Interface]) -> str | None:
    """Where a first packet of a flow arrives, by the gates: an interface, "gateway", or None."""
    at = {
        p.FAMILY: 2 if packet.family == 4 else 10, p.SOURCE: int(packet.src), p.DESTINATION: int(packet.dst), p.STATE: 8,
        p.PROTOCOL: packet.protocol, p.PORT: packet.dport, p.WORD: packet.sport or packet.icmp_type << 8 | packet.icmp_code,
    }  # fmt: skip
    direct = p.has(model.from_itself(eni), at)
    if not direct and eni.source_dest_check:
        return None
    subnet = model.subnets[eni.subnet_id]
    inside = p.has(model.inside(subnet), at)
    if not p.has(model.groups(eni, egress=True, direct=direct).allowed, at):
        return None
    if not inside and not p.has(model.acl(subnet.acl_id, egress=True), at):
        return None
    road = model.road(None if inside else subnet.table_id)
    (place,) = (name for name, some in road.items() if p.has(some, at))
    target = by_id.get(place)
    if target is None:
        return place if place == "gateway" else None
    if not inside and not p.has(model.acl(model.subnets[target.subnet_id].acl_id, egress=False), at):
        return None
    if not p.has(model.groups(target, egress=False, direct=direct).allowed, at):
        return None
    checked = not target.source_dest_check or p.has(model.own(target, p.DESTINATION), at)
    return target.eni_id if checked else None


@pytest.mark.parametrize("world", WORLDS)
def test_the_gates_are_the_evaluators(world: str) -> None:
    """First packets between interfaces and to the outside: who gets them is what the evaluator says."""
    fragments = WORLDS[world]()
    enis = [each for each in fragments if isinstance(each, Interface)]
    by_id = {eni.eni_id: eni for eni in enis}
    model = Model(fragments, by_id)
    index = Index(Ir(1, {key_of(each): each for each in fragments}))
    chance, delivered = random.Random(world), 0
    for _ in range(4000):
        eni, packet = draw(chance, enis)
        if p.has(NOT_ROUTED, {p.FAMILY: 2 if packet.family == 4 else 10, p.DESTINATION: int(packet.dst)}):
            continue
        said = judge(index, Flows(), packet, eni.eni_id, forward=False)
        layers = [hop.layer.value for hop in said.hops]
        wanted = said.at if said.at in by_id else "gateway" if "gateway" in layers else None
        assert arrives(model, eni, packet, by_id) == wanted, (eni.eni_id, packet, said.hops)
        delivered += wanted is not None
    assert delivered > 200
