"""Findings of random scopes in random VPCs against the specification (MON-19).

A packet is in some finding exactly when the specification delivers it and the scope's statements, read here once more and
plainly, match it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.differential import directed, generator
from tests.differential.compare import Run

Given = dict[str, Any]
AIMS = (directed.strict, directed.referring, None)
IGW, ENI = "AWS::EC2::InternetGateway", "AWS::EC2::NetworkInterface"
NAMES = {6: "tcp", 17: "udp", 47: "47", 50: "50"}
BLOCKS = (
    "10.0.0.0/24",
    "10.0.1.0/24",
    "203.0.113.0/24",
    "203.0.113.9",
    "0.0.0.0/0",
    "198.51.100.0/24",
    "::/0",
    "2001:db8::/32",
)
PORTS = ("22", "80", "443", "1024-65535", "0-1023", "80-443")


@dataclass
class Tally:
    cases: int = 0
    inside: int = 0
    findings: int = 0
    unknown: int = 0
    differences: list[str] = field(default_factory=list)


@dataclass
class End:
    """What the plain reading of statements needs of an end."""

    id: str
    type: str
    names: set[str]


class Scoped:
    """One random VPC."""

    def __init__(self, seed: int, tally: Tally) -> None:
        self.run, self.tally = Run(seed), tally
        aim: Any = AIMS[seed % 3]
        if aim is not None:
            aim(self.run.api.call, self.run.chance, self.run.site)
        generator.refresh(self.run.api.call, self.run.site)  # groups may have changed

    # ------------------------------------------------------------------ random scopes
    def _header(self) -> Given:
        chance, out = self.run.chance, {}
        for name, values in (
            ("SourceAddresses", BLOCKS), ("DestinationAddresses", BLOCKS), ("SourcePorts", PORTS), ("DestinationPorts", PORTS),
        ):  # fmt: skip
            if chance.random() < 0.3:
                out[name] = chance.sample(values, chance.choice((1, 2)))
        if chance.random() < 0.4 or not out:
            out["Protocols"] = chance.sample(("tcp", "udp"), chance.choice((1, 2)))
        return out

    def _statement(self) -> Given:
        chance, site, out = self.run.chance, self.run.site, {}
        kind = chance.random()
        everything = [*site.instances, *site.subnets, *site.groups, site.gateway, site.vpc]
        everything += [eni["NetworkInterfaceId"] for eni in site.interfaces]
        if kind < 0.35:
            out["ResourceStatement"] = {"ResourceTypes": [chance.choice((IGW, ENI))]}
        elif kind < 0.75:
            out["ResourceStatement"] = {"Resources": chance.sample(everything, 2)}
        if chance.random() < 0.4 or not out:
            out["PacketHeaderStatement"] = self._header()
        return out

    def _entry(self) -> Given:
        chance, site, out = self.run.chance, self.run.site, {}
        for side in ("Source", "Destination"):
            if chance.random() < 0.6:
                out[side] = self._statement()
        if chance.random() < 0.15 or not out:
            inside = [*site.groups, *(eni["NetworkInterfaceId"] for eni in site.interfaces)]
            out["ThroughResources"] = [{"ResourceStatement": {"Resources": [chance.choice(inside)]}}]
        return out

    def scope(self) -> Given:
        chance = self.run.chance
        out = {"MatchPaths": [self._entry() for _ in range(chance.choice((1, 1, 2)))]}
        if chance.random() < 0.6:
            out["ExcludePaths"] = [self._entry() for _ in range(chance.choice((1, 2)))]
        return out

    # ------------------------------------------------------------------ findings
    def findings(self, scope: Given) -> tuple[Given, list[Given]]:
        call, before = self.run.api.call, self.run.api.world
        made = call("CreateNetworkInsightsAccessScope", ClientToken="c", **scope)["NetworkInsightsAccessScope"]
        done = call(
            "StartNetworkInsightsAccessScopeAnalysis", ClientToken="c",
            NetworkInsightsAccessScopeId=made["NetworkInsightsAccessScopeId"],
        )["NetworkInsightsAccessScopeAnalysis"]  # fmt: skip
        id = done["NetworkInsightsAccessScopeAnalysisId"]
        found = call("GetNetworkInsightsAccessScopeAnalysisFindings", NetworkInsightsAccessScopeAnalysisId=id)
        self.run.api.world = before
        return done, found["AnalysisFindings"]

    def check(self, packets: int) -> None:
        scope = self.scope()
        done, found = self.findings(scope)
        if "WarningMessage" in done:
            self.tally.unknown += 1
            return
        self.tally.findings += len(found)
        assert (done["FindingsFound"] == "true") == bool(found)
        cases = list(self._packets(packets))
        for finding in found[:30]:
            cases += self._of(finding)
        for source, packet in cases:
            self._judge(scope, found, source, packet)

    def _packets(self, count: int) -> Iterator[tuple[str, Packet]]:
        for _ in range(count):
            source, packet = generator.packet(self.run.chance, self.run.site)
            if packet.protocol in NAMES:
                yield source, packet

    def _of(self, finding: Given) -> list[tuple[str, Packet]]:
        """Corners of a finding, inside and just outside."""
        first = finding["FindingComponents"][0]
        outside = first["Component"]["Id"].startswith("igw-")
        header, chance = first["InboundHeader" if outside else "OutboundHeader"], self.run.chance
        text = header["Protocol"].split(",")[0].split("-")[0]
        if text in ("1", "58"):
            return []
        out = []
        for _ in range(4):
            src, dst = (
                chance.choice(
                    [a for block in (blocks[0], blocks[-1]) for a in (ip_network(block)[0], ip_network(block)[-1])]
                )
                for blocks in (header["SourceAddresses"], header["DestinationAddresses"])
            )
            sport, dport = (
                chance.choice(
                    [p for r in header.get(name) or [{"From": 0, "To": 0}] for p in (r["From"], r["To"], r["To"] + 1)]
                )
                for name in ("SourcePortRanges", "DestinationPortRanges")
            )
            ported = text in ("6", "17")
            packet = Packet(
                src=src, dst=dst, protocol=int(text), sport=min(sport, 65535) if ported else 0,
                dport=min(dport, 65535) if ported else 0,
            )  # fmt: skip
            out.append(("internet" if outside else first["Component"]["Id"], packet))
        return out

    def _judge(self, scope: Given, found: list[Given], source: str, packet: Packet) -> None:
        said = spec.send(self.run.api.world, spec.Tables(), packet, source)
        ends = self._ends(source, packet, said)
        if ends is None:
            return
        begin, end, arrived, names = ends
        delivered = said.at is not None
        wanted = delivered and any(_matches(e, begin, end, packet, arrived, names) for e in scope["MatchPaths"])
        wanted = wanted and not any(
            _matches(e, begin, end, packet, arrived, names) for e in scope.get("ExcludePaths", ())
        )
        told = any(_holds(finding, begin.id, end.id, packet) for finding in found)
        self.tally.cases += 1
        self.tally.inside += told
        if told is not wanted:
            self.tally.differences.append(
                f"{begin.id} to {end.id}: {packet}\n  findings {told}, specification {wanted} ({said})\n  {scope}"
            )

    def _ends(self, source: str, packet: Packet, said: Any) -> tuple[End, End, Packet, set[str]] | None:
        """Both ends, the packet at the end, and the names of what it passes; None for what this does not judge: appliances
        (the specification does not tell them), hosts with themselves, and other VPCs' ways."""
        site = self.run.site
        by_address = {}
        for eni in site.interfaces:
            for a in eni["PrivateIpAddresses"]:
                by_address[a["PrivateIpAddress"]] = eni
                if "Association" in a:
                    by_address[a["Association"]["PublicIp"]] = eni
            for a in eni["Ipv6Addresses"]:
                by_address[a["Ipv6Address"]] = eni
        sender = next((eni for eni in site.interfaces if eni["NetworkInterfaceId"] == source), None)
        target = by_address.get(str(packet.dst))
        if any(eni["SourceDestCheck"] is False for eni in site.interfaces):
            return None
        if sender is target or (sender is not None and str(packet.src) not in by_address):
            return None
        public = {
            a["Association"]["PublicIp"]
            for eni in site.interfaces
            for a in eni["PrivateIpAddresses"]
            if "Association" in a
        }
        if sender is None and (target is None or (packet.dst.version == 4 and str(packet.dst) not in public)):
            return None
        if sender is not None and str(packet.dst) in public:
            return None  # out by the gateway and in again: two paths
        if target is None and str(packet.dst).startswith(("10.", "169.254.", "fd00:ec2", "fd52")):
            return None
        begin, end = self._end(sender), self._end(target)
        arrived = said.packet if said.at is not None else packet
        names = begin.names | end.names
        return begin, end, arrived, names

    def _end(self, eni: Given | None) -> End:
        if eni is None:
            return End(self.run.site.gateway, IGW, {self.run.site.gateway})
        names = {eni["NetworkInterfaceId"], eni["SubnetId"], eni["VpcId"], *(g["GroupId"] for g in eni["Groups"])}
        names.add(eni.get("Attachment", {}).get("InstanceId", ""))
        return End(eni["NetworkInterfaceId"], ENI, names)


# ---------------------------------------------------------------------- the plain reading
def _matches(entry: Given, begin: End, end: End, sent: Packet, arrived: Packet, names: set[str]) -> bool:
    for side, at, packet in (("Source", begin, sent), ("Destination", end, arrived)):
        statement = entry.get(side)
        if statement is None:
            continue
        resource, header = statement.get("ResourceStatement"), statement.get("PacketHeaderStatement")
        if resource is not None:
            types, named = resource.get("ResourceTypes"), resource.get("Resources")
            if types is not None and at.type not in types:
                return False
            if named is not None and not at.names & set(named):
                return False
        if header is not None and not _header_holds(header, packet):
            return False
    return all(names & set(each["ResourceStatement"]["Resources"]) for each in entry.get("ThroughResources", ()))


def _header_holds(header: Given, packet: Packet) -> bool:
    for name, address in (("SourceAddresses", packet.src), ("DestinationAddresses", packet.dst)):
        if name in header and not any(_in(address, block) for block in header[name]):
            return False
    for name, port in (("SourcePorts", packet.sport), ("DestinationPorts", packet.dport)):
        if name in header:
            spans = [(text.split("-") * 2)[:2] if "-" not in text else text.split("-") for text in header[name]]
            if packet.protocol not in (6, 17) or not any(int(a) <= port <= int(b) for a, b in spans):
                return False
    return "Protocols" not in header or NAMES.get(packet.protocol) in header["Protocols"]


def _in(address: Any, block: str) -> bool:
    network = ip_network(block)
    return bool(network.version == address.version and address in network)


def _holds(finding: Given, begin: str, end: str, packet: Packet) -> bool:
    """Is a packet in a finding?"""
    components = finding["FindingComponents"]
    first, last = components[0], components[-1]
    if (first["Component"]["Id"], last["Component"]["Id"]) != (begin, end):
        return False
    header = first["InboundHeader" if begin.startswith("igw-") else "OutboundHeader"]
    spans = [part.split("-") for part in header["Protocol"].split(",")]
    if not any(int(span[0]) <= packet.protocol <= int(span[-1]) for span in spans):
        return False
    for name, address in (("SourceAddresses", packet.src), ("DestinationAddresses", packet.dst)):
        if not any(_in(address, block) for block in header[name]):
            return False
    for name, port in (("SourcePortRanges", packet.sport), ("DestinationPortRanges", packet.dport)):
        if packet.protocol in (6, 17) and not any(r["From"] <= port <= r["To"] for r in header[name]):
            return False
    return True


def run(seeds: range, scopes: int, packets: int = 60) -> Tally:
    """Play these seeds."""
    tally = Tally()
    for seed in seeds:
        scoped = Scoped(seed, tally)
        for _ in range(scopes):
            scoped.check(packets)
            if random.Random(seed).random() < 0.3:
                generator.change(scoped.run.api.call, scoped.run.chance, scoped.run.site)
                generator.refresh(scoped.run.api.call, scoped.run.site)
    return tally


def main(play: Callable[[range, int], Tally]) -> None:
    """FIRST LAST SCOPES from the command line: plays them and says what came of it."""
    first, last, scopes = (int(text) for text in sys.argv[1:4])
    done = play(range(first, last), scopes)
    print(f"{done.cases} packets, {done.inside} in findings, {done.findings} findings, {done.unknown} scopes unknown, "
          f"{len(done.differences)} differences")  # fmt: skip
    print("\n".join(done.differences[:3])[:3000])
    sys.exit(bool(done.differences))


if __name__ == "__main__":
    main(run)
