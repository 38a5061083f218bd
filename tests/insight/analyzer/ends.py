"""Analyses of paths that begin or end at a peering connection or a gateway endpoint, against the specification (MON-14, PCX-05, VPE-04).

    python -m tests.insight.analyzer.ends FIRST LAST ROUNDS

Leaving by a connection, a packet arrives when the specification hands it over to the connection, and its answer, handed in there,
comes home. Entering by one, it is a real packet of an interface of the far VPC whose answer goes back the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ringfence.insight.analyzer.beyond import By, converse
from ringfence.model.aws_prefix_lists import find_list
from ringfence.model.kinds import PREFIX_LIST, VPC_ENDPOINT
from ringfence.model.net import Address, protocol_name
from ringfence.model.world import World, put
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.differential import generator
from tests.differential.compare import Peered
from tests.differential.reach_compare import corners
from tests.insight.analyzer.agreement import Analysed, Given, Tally, _corners, main
from tests.insight.analyzer.peered_scopes import name_groups

_NOBODY = ("10.1.0.77", "10.1.200.1", "10.9.0.1")


class _HandedOver(Exception):
    """The packet leaves by the connection."""


def leaves(world: World, packet: Packet, source: str, near: str, far: str) -> bool:
    """Is it handed over to the connection between two VPCs, and comes an answer home that is handed in there?"""
    whole, tables = spec.across, spec.Tables()

    def across(_: Any, pcx: Any, vpc_id: str, seen: Packet) -> Any:
        if spec.in_vpc(world, vpc_id, seen.src) and spec.in_vpc(world, far, seen.dst):
            raise _HandedOver
        return whole(world, pcx, vpc_id, seen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec, "across", across)
        try:
            spec.send(world, tables, packet, source)
            return False
        except _HandedOver:
            pass
    try:
        target = spec.local(world, near, packet.src)
        spec.deliver(world, tables, target, packet.reply(), origin=far, inside=False)
    except spec.Dropped:
        return False
    return target.id == source


def enters(world: World, packet: Packet, source: str) -> bool:
    """Does it arrive, over a connection, and its answer go back over one?"""
    whole, taken = spec.across, list[Packet]()

    def across(rows: Any, pcx: Any, vpc_id: str, seen: Packet) -> Any:
        taken.append(seen)
        return whole(rows, pcx, vpc_id, seen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec, "across", across)
        said = spec.converse(world, packet, source)
    return said == "ok" and {seen.src for seen in taken} >= {packet.src, packet.dst}


def is_served(world: World, packet: Packet, source: str, endpoint: str) -> bool:
    """Does it reach the service by this endpoint, and come its answer back? The specification takes AWS's own list as a row."""
    held = find_list(world, world.get(VPC_ENDPOINT, endpoint).prefix_list_id)
    assert held is not None
    world = world.apply(put(PREFIX_LIST, held))
    there = spec.send(world, spec.Tables(), packet, source)
    return there.through == endpoint and spec.converse(world, packet, source) == "ok"


class Ended(Analysed):
    """Two random VPCs that are joined, one with a gateway endpoint."""

    def __init__(self, seed: int, tally: Tally) -> None:
        self.run, self.tally = Peered(seed), tally
        call, site = self.run.api.call, self.run.site
        (shown,) = call("DescribeVpcPeeringConnections")["VpcPeeringConnections"]
        self.pcx: str = shown["VpcPeeringConnectionId"]
        name_groups(call, self.chance, site, self.pcx)
        tables = [table for table in site.tables if self.chance.random() < 0.8]
        made = call("CreateVpcEndpoint", VpcId=site.vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=tables)
        self.vpce: str = made["VpcEndpoint"]["VpcEndpointId"]
        generator.refresh(call, site)

    # ------------------------------------------------------------------ who has what
    def _held(self, *, far: bool) -> list[tuple[str, Address]]:
        """(interface, address) of one of the two VPCs."""
        site = self.run.site
        return [
            (eni["NetworkInterfaceId"], ip_address(text))
            for eni in site.interfaces if (eni["VpcId"] in site.peers) is far
            for text in (
                *(a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]), *(a["Ipv6Address"] for a in eni["Ipv6Addresses"])
            )
        ]  # fmt: skip

    def _packet(
        self, src: Address, choices: Iterable[Address], protocols: tuple[int, ...] = (6, 6, 17, 1, 47)
    ) -> Packet:
        protocol = self.chance.choice(protocols)
        if protocol == 1 and src.version == 6:
            protocol = 58
        dst = self.chance.choice([address for address in choices if address.version == src.version])
        made = Packet(src=src, dst=dst, protocol=protocol)
        if protocol in (6, 17):
            return replace(
                made, sport=self.chance.choice((40000, 1024, 443)), dport=self.chance.choice(generator.PORTS)
            )
        return replace(made, icmp_type={1: 8, 58: 128}.get(protocol, 0))

    # ------------------------------------------------------------------ one packet
    def asked(self, source: str, packet: Packet, truth: bool, destination: str | None = None) -> None:
        """A question with one packet in it."""
        at_source: Given = {"SourceAddress": str(packet.src), "DestinationAddress": str(packet.dst)}
        if packet.protocol in (6, 17):
            for name, port in (("SourcePortRange", packet.sport), ("DestinationPortRange", packet.dport)):
                at_source[name] = {"FromPort": port, "ToPort": port}
        end = {"Destination": destination} if destination is not None else {}
        done = self.analyse(Source=source, Protocol=protocol_name(packet.protocol), FilterAtSource=at_source, **end)
        self.tally.cases += 1
        if done["Status"] == "failed":
            self.tally.unknown += 1
            return
        self.tally.found += truth
        if done["NetworkPathFound"] is not truth or (not truth and not done.get("Explanations")):
            self.tally.differences.append(
                f"{source} to {destination}: {packet}: specification {truth}, analysis {done}"
            )

    def _around(self, source: str, packet: Packet, by: By | None) -> list[Packet]:
        """The packet, and others at the edges of what is let through between its addresses."""
        engine = self.run.api.engines.of(self.run.api.world)
        answer = converse(engine, source, packet.src, packet.dst, by)
        found = [p for p in corners(answer, self.chance) if p.protocol not in (1, 58)]
        return [packet, *found[:3]]

    def out(self) -> None:
        """From an interface to the connection."""
        near, (far,) = self.run.site.vpc, self.run.site.peers
        source, src = self.chance.choice(self._held(far=False))
        there = [a for _, a in self._held(far=True)]
        beyond = [*there, *(ip_address(text) for text in _NOBODY), *(a + 77 for a in there if a.version == 6)]
        for packet in self._around(source, self._packet(src, beyond), By(self.pcx, near, into=False)):
            self.asked(source, packet, leaves(self.run.api.world, packet, source, near, far), self.pcx)

    def into(self) -> None:
        """From the connection to an interface, or an address."""
        source, src = self.chance.choice(self._held(far=True))
        owners = {address: eni for eni, address in self._held(far=False)}
        for packet in self._around(source, self._packet(src, owners), By(self.pcx, self.run.site.vpc, into=True)):
            end = owners[packet.dst] if self.chance.random() < 0.7 else None
            self.asked(self.pcx, packet, enters(self.run.api.world, packet, source), end)

    def served(self) -> None:
        """From an interface to the service behind the endpoint."""
        source, src = self.chance.choice(
            [held for held in self._held(far=self.chance.random() < 0.1) if held[1].version == 4]
        )
        packet = self._packet(src, [ip_address("198.18.0.65"), ip_address("198.18.0.66")], (6, 6, 6, 1, 17))
        for each in (packet, replace(packet, dport=443) if packet.protocol == 6 else packet):
            self.asked(source, each, is_served(self.run.api.world, each, source, self.vpce), self.vpce)

    # ------------------------------------------------------------------ wide questions
    def wide(self) -> None:
        """All packets of a protocol; a header that is shown must hold, and nothing arrives where no path is found."""
        near, (far,), world = self.run.site.vpc, self.run.site.peers, self.run.api.world
        mine, theirs = self._held(far=False), self._held(far=True)
        owners = {address: eni for eni, address in (*mine, *theirs)}
        end, _ = self.chance.choice(mine)
        beyond = [a for _, a in theirs] + [ip_address(text) for text in _NOBODY]
        service = [ip_address("198.18.0.64"), ip_address("198.18.0.67")]
        kinds: list[tuple[str, str, list[Address], list[Address], Callable[[Packet], bool]]] = [
            (end, self.pcx, [a for e, a in mine if e == end], beyond, lambda p: leaves(world, p, end, near, far)),
            (self.pcx, end, [a for _, a in theirs], [a for e, a in mine if e == end],
             lambda p: p.src in owners and enters(world, p, owners[p.src])),
            (end, self.vpce, [a for e, a in mine if e == end and a.version == 4], service,
             lambda p: is_served(world, p, end, self.vpce)),
        ]  # fmt: skip
        source, destination, senders, targets, truth = self.chance.choice(kinds)
        protocol = self.chance.choice((6, 6, 17, 47))
        done = self.analyse(Source=source, Destination=destination, Protocol=protocol_name(protocol))
        self.tally.cases += 1
        if done["Status"] == "failed":
            self.tally.unknown += 1
            return
        if done["NetworkPathFound"]:
            self.tally.found += 1
            first = done["ForwardPathComponents"][0]
            packets = list(_corners(first.get("OutboundHeader") or first["InboundHeader"], self.chance))
            self.tally.headers += len(packets)
        else:
            packets = [self._packet(self.chance.choice(senders), targets, (protocol,)) for _ in range(8)]
        wrong = [p for p in packets if truth(p) is not done["NetworkPathFound"]]
        self.tally.differences += [f"{source} to {destination}: {p}: {done}" for p in wrong]

    def play(self, rounds: int) -> None:
        """Packets and wide questions in turn, with a change now and then."""
        for _ in range(rounds):
            self.out()
            self.into()
            self.served()
            self.wide()
            if self.chance.random() < 0.2:
                generator.change(self.run.api.call, self.chance, self.run.site)


def run(seeds: range, rounds: int) -> Tally:
    """Play these seeds."""
    tally = Tally()
    for seed in seeds:
        Ended(seed, tally).play(rounds)
    return tally


if __name__ == "__main__":
    main(run)
