"""Findings of random scopes over a peering connection against the specification: what leaves by it, enters by it, passes it.

`python -m tests.insight.analyzer.peered_scopes FIRST LAST SCOPES`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from ringfence.policy.packet import Packet
from ringfence.policy.spec import verdict as spec
from tests.differential import generator
from tests.differential.compare import Peered
from tests.insight.analyzer.scopes import End, Given, Scoped, Tally, _holds, _matches, main

PCX = "AWS::EC2::VPCPeeringConnection"


def name_groups(call: Any, chance: random.Random, site: Any, pcx: str) -> None:
    """Now and then, groups of the near VPC let out only to whom they name."""
    far = call("DescribeSecurityGroups", Filters=[{"Name": "group-name", "Values": ["far"]}])["SecurityGroups"][0]
    for group in site.groups:
        if chance.random() < 0.5:
            continue
        (shown,) = call("DescribeSecurityGroups", GroupIds=[group])["SecurityGroups"]
        if shown["IpPermissionsEgress"]:
            call("RevokeSecurityGroupEgress", GroupId=group, IpPermissions=shown["IpPermissionsEgress"])
        pair = [{"GroupId": far["GroupId"], "VpcPeeringConnectionId": pcx}]
        rule = {"IpProtocol": chance.choice(("-1", "47")), "UserIdGroupPairs": pair}
        call("AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=[rule])


class Joined(Scoped):
    """Two random VPCs that are joined."""

    def __init__(self, seed: int, tally: Tally) -> None:
        self.run, self.tally = Peered(seed), tally
        (shown,) = self.run.api.call("DescribeVpcPeeringConnections")["VpcPeeringConnections"]
        self.pcx: str = shown["VpcPeeringConnectionId"]
        name_groups(self.run.api.call, self.run.chance, self.run.site, self.pcx)
        generator.refresh(self.run.api.call, self.run.site)

    # ------------------------------------------------------------------ random scopes
    def _statement(self) -> Given:
        out, kind = super()._statement(), self.run.chance.random()
        if kind < 0.3:
            out["ResourceStatement"] = {"ResourceTypes": [PCX]}
        elif kind < 0.5:
            out["ResourceStatement"] = {"Resources": [self.pcx]}
        return out

    def _entry(self) -> Given:
        out = super()._entry()
        if self.run.chance.random() < 0.2:
            out["ThroughResources"] = [{"ResourceStatement": {"Resources": [self.pcx]}}]
        return out

    def _packets(self, count: int) -> Iterator[tuple[str, Packet]]:
        """From the one VPC to the other; addresses of nobody among them."""
        owners = self._owners()
        other = [ip_address(text) for text in (*owners, "10.1.0.77", "10.1.200.1")]
        for source, packet in super()._packets(count):
            if source == "internet":
                continue
            here = owners[str(packet.src)]["VpcId"] if str(packet.src) in owners else ""
            aims = [a for a in other if a.version == packet.family and owners.get(str(a), {}).get("VpcId") != here]
            yield source, replace(packet, dst=self.run.chance.choice(aims))

    def _of(self, finding: Given) -> list[tuple[str, Packet]]:
        owners = {address: eni["NetworkInterfaceId"] for address, eni in self._owners().items()}
        return [(owners.get(str(p.src), s) if s == self.pcx else s, p) for s, p in super()._of(finding)]

    # ------------------------------------------------------------------ the plain reading
    def _owners(self) -> dict[str, Given]:
        out = {}
        for eni in self.run.site.interfaces:
            shown = [a["PrivateIpAddress"] for a in eni["PrivateIpAddresses"]]
            out |= dict.fromkeys([*shown, *(a["Ipv6Address"] for a in eni["Ipv6Addresses"])], eni)
        return out

    def _crossed(self, source: str, packet: Packet) -> tuple[bool, Any]:
        """Does it leave by the connection, and the specification's answer."""
        taken: list[bool] = []
        whole = spec.across

        def across(world: Any, pcx: Any, vpc_id: str, seen: Packet) -> Any:
            far = pcx.far_side(vpc_id).vpc_id
            taken.append(spec.in_vpc(world, vpc_id, seen.src) and spec.in_vpc(world, far, seen.dst))
            return whole(world, pcx, vpc_id, seen)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spec, "across", across)
            said = spec.send(self.run.api.world, spec.Tables(), packet, source)
        return any(taken), said

    def _judge(self, scope: Given, found: list[Given], source: str, packet: Packet) -> None:
        owners = self._owners()
        sender, target = owners.get(str(packet.src)), owners.get(str(packet.dst))
        if sender is None or sender["NetworkInterfaceId"] != source:
            return  # paths are about interfaces' own addresses
        entries = (*scope["MatchPaths"], *scope.get("ExcludePaths", ()))
        appliances = any(eni["SourceDestCheck"] is False for eni in self.run.site.interfaces)
        if appliances and any("ThroughResources" in entry for entry in entries):
            return  # the specification does not tell them
        crossed, said = self._crossed(source, packet)
        peer, begin = End(self.pcx, PCX, {self.pcx}), self._end(sender)
        self._compare(scope, found, packet, begin, peer, crossed)
        if target is not None and target["VpcId"] != sender["VpcId"]:
            end = self._end(target)
            arrives = crossed and said.at == end.id
            self._compare(scope, found, packet, peer, end, arrives)
            self._compare(scope, found, packet, begin, end, arrives)

    def _compare(self, scope: Given, found: list[Given], packet: Packet, begin: End, end: End, arrives: bool) -> None:
        names = begin.names | end.names | {self.pcx}
        matched, excluded = (
            any(_matches(entry, begin, end, packet, packet, names) for entry in scope.get(which, ()))
            for which in ("MatchPaths", "ExcludePaths")
        )
        wanted = arrives and matched and not excluded
        told = any(_holds(finding, begin.id, end.id, packet) for finding in found)
        self.tally.cases += 1
        self.tally.inside += told
        if told is not wanted:
            self.tally.differences.append(
                f"{begin.id} to {end.id}: {packet}\n  findings {told}, specification {wanted}\n  {scope}"
            )


def run(seeds: range, scopes: int, packets: int = 40) -> Tally:
    """Play these seeds."""
    tally = Tally()
    for seed in seeds:
        joined = Joined(seed, tally)
        for _ in range(scopes):
            joined.check(packets)
    return tally


if __name__ == "__main__":
    main(run)
