"""Reachability Analyzer, Network Access Analyzer and guard rails among N interfaces, in CPU time.

Run: PYTHONPATH=src:. python -m bench.analyzer [N]. One VPC, 20 subnets, 50 groups of 30 rules, every fifth host with a public address.
Paths out of and into a peering connection: two VPCs of N interfaces, 20 groups each, every one naming one of the other VPC.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tests.builders import (
    ACCOUNT,
    ANY,
    OPEN,
    REGION,
    egress,
    eni,
    gateway,
    group,
    host,
    ident,
    ingress,
    peer_group,
    peering,
    route,
    subnet,
    table,
    to_gateway,
    vpc,
    world,
)

from ringfence.api import guards
from ringfence.api.ops.context import Call
from ringfence.identity.principal import Principal
from ringfence.insight.analyzer.analyse import Limits, analyse
from ringfence.insight.analyzer.engines import Engines
from ringfence.insight.analyzer.findings import findings
from ringfence.insight.analyzer.scope import Scope
from ringfence.insight.analyzer.statements import content_of
from ringfence.model.errors import ApiError
from ringfence.model.ids import SeededIds
from ringfence.model.kinds import ACCESS_SCOPE, SECURITY_GROUP
from ringfence.model.net import PortRange
from ringfence.model.nouns.network_insights import GUARD_TAG, AccessScope, NetworkInsightsPath, PathFilter
from ringfence.model.world import World, put

GROUPS, SUBNETS = 50, 20
IGW = {"ResourceStatement": {"ResourceTypes": ["AWS::EC2::InternetGateway"]}}
SSH = {"PacketHeaderStatement": {"Protocols": ["tcp"], "DestinationPorts": ["22"]}}
NETS = [{"ResourceStatement": {"Resources": [ident("subnet", f"s{n}")]}} for n in range(3)]
SCOPES: dict[str, dict[str, Any]] = {
    "from the internet": {"MatchPaths": [{"Source": IGW}]},
    "to the internet": {"MatchPaths": [{"Destination": IGW}]},
    "subnet to subnet": {"MatchPaths": [{"Source": NETS[1], "Destination": NETS[2]}]},
    "SSH from the internet": {"MatchPaths": [{"Source": {**IGW, **SSH}}]},
    "SSH to anything": {"MatchPaths": [{"Destination": SSH}]},
}


def site(count: int) -> World:
    each = count // SUBNETS
    nets = [f"s{n}" for n in range(SUBNETS)]
    rows: list[Any] = [vpc(), gateway(), table("t", *to_gateway(), subnets=nets)]
    rows += [subnet(net, f"10.0.{4 * n}.0/22") for n, net in enumerate(nets)]
    rows += [
        group(f"g{k}", *(ingress(f"10.{k % 4}.0.0/16", "tcp", 1000 + k * 10 + j) for j in range(29)), ingress(ANY, "tcp", 443), *OPEN)
        for k in range(GROUPS)
    ]  # fmt: skip
    for n in range(count):
        at, net = n % each + 10, n // each
        public = f"198.18.{n // 200}.{n % 200 + 1}" if n % 5 == 0 else None
        address = f"10.0.{4 * net + at // 256}.{at % 256}"
        rows.append(host(f"h{n}", address, subnet=f"s{net}", groups=[f"g{n % 49}"], public=public, number=n + 1))
    return world(*rows)


def joined(count: int) -> World:
    """Two VPCs whose groups name each other's; every other group lets out to whom it names only."""
    rows: list[Any] = [peering("p", "a", "b")]
    for near, far, net, other in (("a", "b", 0, 1), ("b", "a", 1, 0)):
        rows += [vpc(near, f"10.{net}.0.0/16"), subnet(near, f"10.{net}.0.0/16", vpc=near)]
        rows.append(table(near, route(f"10.{other}.0.0/16", ident("pcx", "p")), vpc=near))
        for k in range(20):
            named = peer_group(f"{far}{k}", vpc=far, over="p")
            rules = (ingress(f"10.{k}.{j}.0/24", "tcp", 1000 + k * 10 + j) for j in range(20))
            out = [egress(named)] if k % 2 else OPEN
            rows.append(group(f"{near}{k}", *rules, ingress(named, "tcp", (1, 65535)), *out, vpc=near))
        rows += [
            eni(f"{near}{n}", f"10.{net}.{n // 250}.{n % 250 + 4}", subnet=near, vpc=near, groups=[f"{near}{n % 20}"])
            for n in range(count)
        ]
    return world(*rows)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    done = work()
    return time.process_time() - started, done


def main(count: int) -> dict[str, Any]:
    made, engines = site(count), Engines()
    out: dict[str, Any] = {"interfaces": count, "engine_s": round(timed(lambda: engines.of(made))[0], 3)}
    ends = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{ident('i', name)}" for name in ("h1", f"h{count - 1}")]
    for name, port in (("found", 443), ("blocked", 22)):
        path = NetworkInsightsPath(
            id="nip-1", owner_id=ACCOUNT, region=REGION, created=0, source="", destination="", source_arn=ends[0],
            destination_arn=ends[1], protocol=6, at_source=PathFilter(destination_ports=PortRange(port, port)),
        )  # fmt: skip
        limits = Limits(frozenset({ACCOUNT}))
        took, _ = timed(lambda path=path, limits=limits: analyse(made, engines.of(made), path, limits))  # type: ignore[misc]
        out[f"path {name} ms"] = round(took * 1000, 1)
    for name, took in over_peering(count).items():
        out[f"path {name} ms"] = took
    for name, given in SCOPES.items():
        scope = Scope(made, engines.of(made), content_of(given), ACCOUNT, REGION)
        took, (found, more) = timed(lambda scope=scope: findings(scope))  # type: ignore[misc]
        out[f"findings {name}"] = f"{took:.2f} s, {len(found)}{' and more' if more else ''}"
        out[f"guard {name} ms"] = guarded(made, engines, given)
    return out


def over_peering(count: int) -> dict[str, float]:
    """Paths that begin or end at a connection, found and blocked."""
    made, engines, out = joined(count), Engines(), dict[str, float]()
    engines.of(made)
    pcx = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc-peering-connection/{ident('pcx', 'p')}"
    mine = f"arn:aws:ec2:{REGION}:{ACCOUNT}:network-interface/{ident('eni', 'a1')}"
    for name, ends, port in (
        ("to the connection", (mine, pcx), 80), ("from the connection", (pcx, mine), 80), ("from it, blocked", (pcx, mine), 0),
    ):  # fmt: skip
        path = NetworkInsightsPath(
            id="nip-1", owner_id=ACCOUNT, region=REGION, created=0, source="", destination="", source_arn=ends[0],
            destination_arn=ends[1], protocol=6, at_source=PathFilter(destination_ports=PortRange(port, port)),
        )  # fmt: skip
        took, done = timed(lambda path=path: analyse(made, engines.of(made), path, Limits(frozenset({ACCOUNT}))))  # type: ignore[misc]
        assert done.found is (port != 0)
        out[name] = round(took * 1000, 1)
    return out


def guarded(made: World, engines: Engines, given: dict[str, Any]) -> float:
    """One rule more in a group of 20 interfaces, judged by a preventive scope."""
    scope = AccessScope(
        id="nis-1", owner_id=ACCOUNT, region=REGION, created=0, content=json.dumps(given), tags=((GUARD_TAG, "x"),)
    )
    held = made.apply(put(ACCESS_SCOPE, scope))
    row = held.get(SECURITY_GROUP, ident("sg", "g3"))
    change = put(SECURITY_GROUP, replace(row, rules=(*row.rules, ingress("10.0.0.0/16", "tcp", 8443))))
    who = Principal(account_id=ACCOUNT, arn="", user_id="", access_key_id="")
    call = Call(
        service="ec2", action="AuthorizeSecurityGroupIngress", region=REGION, principal=who, request_id="", now=datetime.now(UTC),
        ids=SeededIds(),
    )  # fmt: skip
    engines.of(held)

    def judge() -> None:
        try:
            guards.check(call, held, change, engines)
        except ApiError:
            return

    return round(timed(judge)[0] * 1000, 1)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000), indent=2))
