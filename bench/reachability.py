"""The reachability engine on large configurations: build, points, sets, all pairs, exposure, one changed rule.

Run: PYTHONPATH=src:. python -m bench.reachability [INTERFACES ...] [--pinned] [--json]. VPCs of 1,000 interfaces, 24 subnets and four
ACLs each; groups of 45 rules each way (or egress to everyone); half of the sources are groups. `--pinned`: 12 % of the
rules with a block name a single host instead of 4 %.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from ringfence.insight.reach.classes import classes
from ringfence.insight.reach.diff import diff
from ringfence.insight.reach.engine import Engine
from ringfence.insight.reach.exposure import exposure
from ringfence.insight.reach.matrix import all_pairs
from ringfence.model.net import Network, PortRange
from ringfence.policy import evaluate
from ringfence.policy.ir import (
    Acl,
    AclEntry,
    Allow,
    Edge,
    Fragment,
    Group,
    GroupMembers,
    Interface,
    Ir,
    Match,
    Opening,
    Route,
    RouteTable,
    Subnet,
    Timeouts,
    Via,
    Vpc,
    key_of,
)
from ringfence.policy.packet import Packet

ANY = IPv4Network("0.0.0.0/0")
PER_VPC, SUBNETS, RULES = 1000, 24, 45
PUBLIC = [IPv4Network(n) for n in ("203.0.113.0/24", "198.51.100.0/24", "8.8.8.8/32", "52.94.0.0/16", "3.5.140.0/22")]
PREMISES = [IPv4Network(n) for n in ("172.16.0.0/12", "192.168.0.0/16", "172.20.5.0/24")]
TIMEOUTS = Timeouts(tcp_established=432000, udp_stream=180, udp=30)
TARGETS = {"build_s": 2.0, "rss_mib": 150, "point_us": 50.0, "all_pairs_s": 6.0, "one_rule_diff_ms": 50.0}


class Maker:
    """Random configurations, the same for the same seed. The numbers of groups and interfaces are the caller's."""

    def __init__(self, interfaces: int, groups: int, pinned: float, seed: int = 1) -> None:
        self.chance = random.Random(seed)
        self.pinned = pinned
        self.vpcs = max(1, interfaces // PER_VPC)
        self.each = groups // self.vpcs
        self.ports = [22, 53, 80, 123, 443, 3306, 5432, 8080, 9092, *self.chance.sample(range(1024, 32000), 130)]
        self.spans = [
            (0, 65535),
            (1024, 65535),
            (32768, 60999),
            *((a, a + 99) for a in self.chance.sample(range(1024, 60000), 40)),
        ]
        self.fragments: list[Fragment] = []
        self.rules = 0
        self._blocks: dict[str, IPv4Network] = {}
        for number in range(self.vpcs):
            self._vpc(number, interfaces // self.vpcs)

    def ir(self) -> Ir:
        return Ir(1, {key_of(fragment): fragment for fragment in self.fragments})

    def _vpc(self, v: int, interfaces: int) -> None:
        vpc, block = f"vpc-{v}", IPv4Network(f"10.{v}.0.0/16")
        subnets = list(block.subnets(new_prefix=22))[:SUBNETS]
        hosts = [str(net.network_address + 10 + n) for n in range(60) for net in subnets]
        self.fragments.append(Vpc(vpc_id=vpc, region="us-east-1", ipv4=(block,), ipv6=(), dns_support=True,
                                  dns_hostnames=False, domain="ec2.internal"))  # fmt: skip
        routes = (Route(destination=block, via=Via.LOCAL), Route(destination=ANY, via=Via.GATEWAY, target=f"igw-{v}"))
        for n, kind in enumerate((routes, routes[:1])):
            self.fragments.append(RouteTable(table_id=f"rtb-{v}-{n}", vpc_id=vpc, number=n + 1, routes=kind))
        self._acls(v, block)
        for n, net in enumerate(subnets):
            acl = 0 if self.chance.random() < 0.5 else self.chance.randrange(1, 4)
            self.fragments.append(Subnet(subnet_id=f"subnet-{v}-{n}", vpc_id=vpc, ipv4=net, ipv6=(),
                                         acl_id=f"acl-{v}-{acl}", table_id=f"rtb-{v}-{n % 2}"))  # fmt: skip
        for g in range(self.each):
            self._group(v, g, block, subnets, hosts)
        self._interfaces(v, vpc, subnets, interfaces)

    def _acls(self, v: int, block: IPv4Network) -> None:
        wide = AclEntry(number=1000, match=Match(family=4, remote=ANY), allow=True)
        self.fragments.append(Acl(acl_id=f"acl-{v}-0", vpc_id=f"vpc-{v}", ingress=(wide,), egress=(wide,)))
        for n in range(1, 4):
            ways = []
            for _ in range(2):
                entries = [
                    self._entry(100 + k, self.chance.choice([block, *PREMISES, *PUBLIC, ANY]),
                                PortRange(p, p), self.chance.random() > 0.25)
                    for k in range(18) for p in [self.chance.choice(self.ports)]
                ]  # fmt: skip
                if self.chance.random() < 0.85:
                    entries.append(self._entry(900, ANY, PortRange(1024, 65535), True))
                entries.append(AclEntry(number=920, match=Match(family=4, remote=block), allow=True))
                ways.append(tuple(entries))
            self.fragments.append(Acl(acl_id=f"acl-{v}-{n}", vpc_id=f"vpc-{v}", ingress=ways[0], egress=ways[1]))

    def _entry(self, number: int, block: Network, ports: PortRange, allow: bool) -> AclEntry:
        protocol = self.chance.choice((6, 6, 17))
        return AclEntry(number=number, match=Match(family=4, remote=block, protocol=protocol, ports=ports), allow=allow)

    def _group(self, v: int, g: int, block: IPv4Network, subnets: list[IPv4Network], hosts: list[str]) -> None:
        wide = self.chance.random() < 0.5
        ingress = tuple(self.rule(f"sgr-{v}-{g}-i{n}", v, block, subnets, hosts) for n in range(RULES))
        egress = tuple(self.rule(f"sgr-{v}-{g}-o{n}", v, block, subnets, hosts) for n in range(RULES))
        if wide:  # as many rules, so that the total is what it says
            egress = (Allow(rule_id=f"sgr-{v}-{g}-o", match=Match(family=4, remote=ANY), wide=True), *egress[1:])
        opens = Opening(pairs=frozenset({(4, 6), (4, 17)})) if wide else Opening()
        self.rules += len(ingress) + len(egress)
        self.fragments.append(
            Group(group_id=f"sg-{v}-{g}", vpc_id=f"vpc-{v}", ingress=ingress, egress=egress, opens_egress=opens)
        )

    def rule(self, id: str, v: int, block: IPv4Network, subnets: list[IPv4Network], hosts: list[str]) -> Allow:
        """TCP, UDP, ICMP or all; from a group, a subnet, the VPC, premises, the internet, or one host."""
        kind, where = self.chance.random(), self.chance.random()
        protocol, ports, icmp = (6 if kind < 0.68 else 17 if kind < 0.85 else 1 if kind < 0.92 else None), None, None
        if protocol in (6, 17):
            one = self.chance.choice(self.ports)
            ports = PortRange(one, one) if self.chance.random() < 0.65 else PortRange(*self.chance.choice(self.spans))
        elif protocol == 1:
            icmp = self.chance.choice(((8, 0), (None, None), (3, 4), (0, 0), (11, None)))
        match = Match(
            protocol=protocol, ports=ports, icmp_type=icmp[0] if icmp else None, icmp_code=icmp[1] if icmp else None
        )
        if protocol is None or where < 0.5:
            return Allow(rule_id=id, match=replace(match, group=f"sg-{v}-{self.chance.randrange(self.each)}"))
        remote = self._remote(where, block, subnets, hosts)
        return Allow(rule_id=id, match=replace(match, family=4, remote=remote), wide=remote == ANY)

    def _remote(self, where: float, block: IPv4Network, subnets: list[IPv4Network], hosts: list[str]) -> IPv4Network:
        if where > 1 - self.pinned:
            text = self.chance.choice(hosts) + "/32"
            return self._blocks.setdefault(text, IPv4Network(text))
        if where < 0.515:
            return ANY
        return self.chance.choice(PUBLIC) if where < 0.62 else self.chance.choice(PREMISES) if where < 0.72 else (
            block if where < 0.74 else self.chance.choice(subnets)
        )  # fmt: skip

    def _interfaces(self, v: int, vpc: str, subnets: list[IPv4Network], count: int) -> None:
        apps = [(tuple(sorted(f"sg-{v}-{g}" for g in self.chance.sample(range(self.each), self.chance.choice((1, 1, 2, 2, 3, 4, 5))))),
                 self.chance.sample(range(SUBNETS), 3)) for _ in range(self.each * 3 // 2)]  # fmt: skip
        used, nat, members = [10] * SUBNETS, [], {f"sg-{v}-{g}": [] for g in range(self.each)}
        for n in range(count):
            groups, places = apps[int(len(apps) * self.chance.random() ** 1.5)]
            at = self.chance.choice(places)
            address = subnets[at].network_address + used[at]
            used[at] += 1
            self.fragments.append(Interface(
                eni_id=f"eni-{v}-{n}", vpc_id=vpc, subnet_id=f"subnet-{v}-{at}", number=n + 1, mac="", ipv4=(address,), ipv6=(),
                groups=groups, source_dest_check=True, timeouts=TIMEOUTS,
            ))  # fmt: skip
            for group in groups:
                members[group].append(address)
            if at % 2 == 0 and self.chance.random() < 0.5:
                nat.append((IPv4Address("198.18.0.0") + v * PER_VPC + n, address))
        self.fragments += [
            GroupMembers(group_id=g, vpc_id=vpc, ipv4=tuple(sorted(m)), ipv6=()) for g, m in members.items()
        ]
        self.fragments.append(Edge(gateway_id=f"igw-{v}", vpc_id=vpc, nat=tuple(sorted(nat)), ipv6=()))


def rss() -> float:
    """Resident MiB now."""
    with open("/proc/self/statm", encoding="ascii") as held:
        return int(held.read().split()[1]) * resource.getpagesize() / 2**20


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds, result): the machine may be busy."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def questions(ir: Ir, count: int, seed: int = 7) -> list[tuple[str, Packet]]:
    """Random TCP packets between interfaces of one VPC."""
    chance = random.Random(seed)
    by_vpc: dict[str, list[Interface]] = {}
    for fragment in ir.fragments.values():
        if isinstance(fragment, Interface):
            by_vpc.setdefault(fragment.vpc_id, []).append(fragment)
    out = []
    for _ in range(count):
        a, c = chance.sample(by_vpc[chance.choice(list(by_vpc))], 2)
        out.append(
            (
                a.eni_id,
                Packet(src=a.ipv4[0], dst=c.ipv4[0], protocol=6, sport=40000, dport=chance.choice((22, 80, 443, 5432))),
            )
        )
    return out


def pairs_of(engine: Engine) -> tuple[int, int]:
    """(non-empty class pairs, pairs of addresses, an interface's own included) of the whole matrix."""
    cells = total = 0
    for cell in all_pairs(engine):
        cells += 1
        total += len(cell.source.members) * len(cell.destination.members)
    return cells, total


def one_rule(maker: Maker, engine: Engine, turns: int) -> dict[str, float]:
    """One more ingress rule in one group: update and exact difference, in ms of CPU."""
    chance = random.Random(3)
    groups = [fragment for fragment in engine.ir.fragments.values() if isinstance(fragment, Group)]
    known, fresh, shifts = [], [], 0
    for turn in range(turns):
        group = chance.choice(groups)
        port = chance.choice(maker.ports) if turn % 2 else 60000 + turn  # every other one cuts a new atom
        rule = Allow(
            rule_id="sgr-new",
            match=Match(family=4, remote=IPv4Network("10.0.0.0/8"), protocol=6, ports=PortRange(port, port)),
        )
        changed = replace(group, ingress=(*group.ingress, rule))
        ir = Ir(2, {**engine.ir.fragments, key_of(group): changed})

        def step(ir: Ir = ir) -> int:
            return sum(1 for _ in diff(engine, engine.update(ir)))

        seconds, found = timed(step)
        (known if turn % 2 else fresh).append(seconds * 1000)
        shifts += found
    return {"known_port": round(statistics.median(known), 1), "new_port": round(statistics.median(fresh), 1),
            "worst": round(max(known + fresh), 1), "class_pairs_changed": shifts}  # fmt: skip


def measure(interfaces: int, groups: int, pinned: float) -> dict[str, Any]:
    base = rss()
    maker = Maker(interfaces, groups, pinned)
    ir = maker.ir()
    gc.collect()
    with_ir = rss()
    build, engine = timed(lambda: _built(ir))
    asked = questions(ir, 3000)
    cold, first = timed(lambda: [engine.ask(*question) for question in asked])
    warm, _ = timed(lambda: [engine.ask(*question) for question in asked])
    pairs, (cells, reachable) = timed(lambda: pairs_of(engine))
    after_pairs = rss()  # before what only the comparison needs
    sets = len({hash((cell.wanted, cell.sources)) for cell in all_pairs(engine)})
    index = evaluate.Index(ir)
    evaluate.trace(index, *asked[0])
    one_by_one, truth = timed(lambda: [evaluate.trace(index, *question).allowed for question in asked[:300]])
    assert truth == first[:300], "the engine and the evaluator disagree"
    exposed, doors = timed(lambda: sum(1 for _ in exposure(engine)))
    changes = one_rule(maker, engine, 20)
    return {
        "interfaces": interfaces, "groups": maker.each * maker.vpcs, "rules": maker.rules, "vpcs": maker.vpcs,
        "service_atoms": len(engine.services.starts), "address_atoms": len(engine.prefixes[4].codes),
        "classes": sum(map(len, classes(engine).values())), "build_s": round(build, 2),
        "rss_mib": round(after_pairs, 0), "rss_of_python_and_ir_mib": round(with_ir, 0), "rss_of_python_mib": round(base, 0),
        "point_us": round(cold / len(asked) * 1e6, 1), "point_again_us": round(warm / len(asked) * 1e6, 2),
        "evaluator_point_us": round(one_by_one / 300 * 1e6, 0),
        "all_pairs_s": round(pairs, 2), "class_pairs": cells, "address_pairs_that_talk": reachable, "different_sets": sets,
        "exposure_s": round(exposed, 2), "exposed": doors, "one_rule_diff_ms": changes,
    }  # fmt: skip


def _built(ir: Ir) -> Engine:
    """An engine with every table made: nothing left for the first question."""
    engine = Engine(ir)
    for key, fragment in ir.fragments.items():
        if isinstance(fragment, Interface):
            engine.group_set(fragment.vpc_id, fragment.groups)
            engine.atom(4, int(fragment.ipv4[0]))
        elif isinstance(fragment, Acl):
            engine.acl(key[1])
    return engine


def main() -> int:
    sizes = [int(arg) for arg in sys.argv[1:] if arg.isdigit()] or [10_000]
    for size in sizes:
        out = measure(size, {1000: 200, 5000: 500}.get(size, size // 10), 0.12 if "--pinned" in sys.argv else 0.04)
        if "--json" in sys.argv:
            print(json.dumps(out))
        else:
            for name, value in out.items():
                print(f"{name:26} {value}" + (f"  (target {TARGETS[name]})" if name in TARGETS else ""))
            print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
