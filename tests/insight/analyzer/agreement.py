"""Analyses of random VPCs against the specification (MON-14, MON-18).

A packet is asked about through the API as a path with filters for each of its fields: the analysis must find it exactly when
the specification says that it arrives and its answer comes back. A wider question's answer must hold for the corners of the
headers it shows; when it is "not found", no random packet of the question may arrive.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Any

from ringfence.model.net import protocol_name
from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.differential import directed, generator
from tests.differential.compare import Run
from tests.differential.reach_compare import corners

AIMS = (directed.strict, directed.referring, None)
Given = dict[str, Any]


@dataclass
class Tally:
    """What a run saw."""

    cases: int = 0
    found: int = 0
    unknown: int = 0
    headers: int = 0
    differences: list[str] = field(default_factory=list)


class Analysed:
    """One random VPC."""

    def __init__(self, seed: int, tally: Tally) -> None:
        self.run, self.tally = Run(seed), tally
        aim: Any = AIMS[seed % 3]
        if aim is not None:
            aim(self.run.api.call, self.run.chance, self.run.site)

    @property
    def chance(self) -> random.Random:
        return self.run.chance

    def analyse(self, **path: Any) -> Given:
        """The analysis of a new path; nothing is left of either."""
        call, before = self.run.api.call, self.run.api.world
        made = call("CreateNetworkInsightsPath", ClientToken="x", **path)["NetworkInsightsPath"]
        done: Given = call(
            "StartNetworkInsightsAnalysis", ClientToken="x", NetworkInsightsPathId=made["NetworkInsightsPathId"]
        )["NetworkInsightsAnalysis"]
        self.run.api.world = before
        return done

    # ------------------------------------------------------------------ one packet
    def point(self, source: str, packet: Packet) -> None:
        """A question with one packet in it."""
        at_source: Given = {"SourceAddress": str(packet.src), "DestinationAddress": str(packet.dst)}
        if packet.protocol in (6, 17):
            at_source |= {
                "SourcePortRange": {"FromPort": packet.sport, "ToPort": packet.sport},
                "DestinationPortRange": {"FromPort": packet.dport, "ToPort": packet.dport},
            }
        end = self.run.site.gateway if source == "internet" else source
        done = self.analyse(Source=end, Protocol=protocol_name(packet.protocol), FilterAtSource=at_source)
        self.tally.cases += 1
        if done["Status"] == "failed":
            assert "NetworkPathFound" not in done
            assert [e["ExplanationCode"] for e in done["Explanations"]] == ["UNSUPPORTED_COMPONENT"]
            self.tally.unknown += 1
            return
        truth = spec.converse(self.run.api.world, packet, source) == "ok"
        self.tally.found += truth
        if done["NetworkPathFound"] is not truth:
            self.tally.differences.append(f"{source} sends {packet}: specification {truth}, analysis {done}")
        if not done["NetworkPathFound"] and not done.get("Explanations"):
            self.tally.differences.append(f"{source} sends {packet}: not found, and nothing tells why")

    # ------------------------------------------------------------------ wide questions
    def wide(self) -> None:
        """All packets of a protocol between two places."""
        chance, site = self.chance, self.run.site
        ends = [*site.instances, *(eni["NetworkInterfaceId"] for eni in site.interfaces), site.gateway]
        source, destination = chance.choice(ends), chance.choice(ends)
        owners = {_instance(eni): eni["NetworkInterfaceId"] for eni in site.interfaces}
        if owners.get(source, source) == owners.get(destination, destination):
            return  # a host with itself: its packets do not leave it
        protocol = chance.choice((6, 6, 17, 47))
        port = chance.choice((None, None, None, *generator.PORTS)) if protocol in (6, 17) else None
        extra: Given = {} if port is None else {"DestinationPort": port}
        done = self.analyse(Source=source, Destination=destination, Protocol=protocol_name(protocol), **extra)
        self.tally.cases += 1
        if done["Status"] == "failed":
            self.tally.unknown += 1
        elif done["NetworkPathFound"]:
            self.tally.found += 1
            self._holds(source, done)
        else:
            self._nothing(source, destination, protocol, port)

    def _holds(self, source: str, done: Given) -> None:
        """Corners of the header that leaves the source arrive, each with its answer."""
        first = done["ForwardPathComponents"][0]
        sender = next(
            (c["Component"]["Id"] for c in done["ForwardPathComponents"] if c["Component"]["Id"].startswith("eni-")), ""
        )
        inbound = source == self.run.site.gateway
        for packet in _corners(first["InboundHeader" if inbound else "OutboundHeader"], self.chance):
            self.tally.headers += 1
            said = spec.converse(self.run.api.world, packet, "internet" if inbound else sender)
            if said != "ok":
                self.tally.differences.append(f"{source} may send {packet} says the analysis: specification {said}")

    def _nothing(self, source: str, destination: str, protocol: int, port: int | None) -> None:
        """No random packet of the question arrives at the destination."""
        chance, site = self.chance, self.run.site
        senders = [eni for eni in site.interfaces if source in (eni["NetworkInterfaceId"], _instance(eni))]
        targets = [eni for eni in site.interfaces if destination in (eni["NetworkInterfaceId"], _instance(eni))]
        for _ in range(12):
            packet = self._random(senders, targets, protocol, port)
            if packet is None:
                continue
            sender = chance.choice(senders)["NetworkInterfaceId"] if senders else "internet"
            if spec.converse(self.run.api.world, packet, sender) == "ok":
                self.tally.differences.append(
                    f"{source} to {destination}: {packet} arrives, the analysis found nothing"
                )

    def _random(self, senders: list[Given], targets: list[Given], protocol: int, port: int | None) -> Packet | None:
        chance = self.chance
        outside = [*generator.OUTSIDE4, *generator.OUTSIDE6, "8.8.8.8", "192.0.2.77"]
        from_, to = (_addresses(senders) if senders else outside), (_addresses(targets) if targets else outside)
        src = ip_address(chance.choice(from_))
        there = [ip_address(a) for a in to if ip_address(a).version == src.version]
        if not there or (not senders and src.version == 4 and not targets):
            return None
        ported = protocol in (6, 17)
        return Packet(
            src=src, dst=chance.choice(there), protocol=protocol,
            sport=chance.choice((40000, 1024, 443, 65535)) if ported else 0,
            dport=(chance.choice(generator.PORTS) if port is None else port) if ported else 0,
        )  # fmt: skip

    def play(self, rounds: int) -> None:
        """Packets and wide questions in turn, with a change now and then."""
        for _ in range(rounds):
            source, packet = generator.packet(self.chance, self.run.site, odd=True)
            if packet.protocol in (1, 58):  # an analysis asks for echo requests
                packet = replace(packet, icmp_type=8 if packet.protocol == 1 else 128, icmp_code=0)
            self.point(source, packet)
            answer = self.run.api.engines.of(self.run.api.world).conversations(source, packet.src, packet.dst)
            for corner in [*corners(answer, self.chance)][:3]:
                if corner.protocol not in (1, 58):
                    self.point(source, corner)
            self.wide()
            if self.chance.random() < 0.15:
                generator.change(self.run.api.call, self.chance, self.run.site)


def _instance(eni: Given) -> str:
    return str(eni.get("Attachment", {}).get("InstanceId"))


def _addresses(interfaces: list[Given]) -> list[str]:
    out = []
    for eni in interfaces:
        out += [a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]]
        out += [a["Ipv6Address"] for a in eni["Ipv6Addresses"]]
        out += [a["Association"]["PublicIp"] for a in eni["PrivateIpAddresses"] if "Association" in a]
    return out


def _corners(header: Given, chance: random.Random) -> Iterator[Packet]:
    """Packets at the ends of a header's ranges."""

    def ends(blocks: list[str]) -> list[Any]:
        nets = [ip_network(block) for block in blocks]
        chosen = [chance.choice(nets), nets[0], nets[-1]]
        return [address for net in chosen for address in (net[0], net[-1])]

    def ports(name: str) -> list[int]:
        found = header.get(name) or [{"From": 0, "To": 0}]
        return [found[0]["From"], found[-1]["To"]]

    for _ in range(6):
        yield Packet(
            src=chance.choice(ends(header["SourceAddresses"])), dst=chance.choice(ends(header["DestinationAddresses"])),
            protocol=int(header["Protocol"]), sport=chance.choice(ports("SourcePortRanges")),
            dport=chance.choice(ports("DestinationPortRanges")),
        )  # fmt: skip


def run(seeds: range, rounds: int) -> Tally:
    """Play these seeds."""
    tally = Tally()
    for seed in seeds:
        Analysed(seed, tally).play(rounds)
    return tally


def main(run: Callable[[range, int], Tally]) -> None:
    """FIRST LAST ROUNDS, by the command line."""
    first, last, rounds = (int(text) for text in sys.argv[1:4])
    done = run(range(first, last), rounds)
    print(f"{done.cases} analyses, {done.found} found, {done.unknown} unknown, {done.headers} packets of headers, "
          f"{len(done.differences)} differences")  # fmt: skip
    sys.exit(bool(done.differences))


if __name__ == "__main__":
    main(run)
