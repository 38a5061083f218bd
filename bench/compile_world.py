"""World → IR: from scratch, and again after one change, with 1,000 interfaces in 100 groups of 50 rules.

Run: PYTHONPATH=src:. python bench/compile_world.py [--json]. Times are milliseconds, median and worst of the repeats.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests import builders as b

from ringfence.model.kinds import NETWORK_INTERFACE, SECURITY_GROUP
from ringfence.model.world import World
from ringfence.policy.compile import Compiler, diff

INTERFACES, GROUPS, RULES, REPEATS = 1000, 100, 50, 30
TARGET_MS = 3.0


def large() -> World:
    """One VPC, four subnets, every interface on a running instance and in two groups, every tenth with an Elastic IP."""
    groups = [
        b.group(
            f"g{g}",
            *(b.ingress(f"10.{g}.{r}.0/24", "tcp", 1000 + r) for r in range(RULES - 2)),
            b.ingress(f"g{(g + 1) % GROUPS}", "tcp", 443),
            b.egress(b.ANY),
        )
        for g in range(GROUPS)
    ]
    hosts = [
        b.host(
            f"h{n}", f"10.0.{64 * (n % 4) + n // 4 // 200}.{10 + n // 4 % 200}", subnet=f"s{n % 4}",
            groups=[f"g{n % GROUPS}", f"g{(n + 7) % GROUPS}"],
        )
        for n in range(INTERFACES)
    ]  # fmt: skip
    subnets = [b.subnet(f"s{n}", f"10.0.{64 * n}.0/18") for n in range(4)]
    addresses = [
        b.elastic_ip(f"198.18.{n // 200}.{1 + n % 200}", f"h{n}", str(hosts[n][0].addresses[0]))
        for n in range(0, INTERFACES, 10)
    ]
    routes = b.table("public", *b.to_gateway(), subnets=["s0", "s1"])
    return b.world(b.vpc(), b.gateway(), routes, subnets, groups, hosts, addresses)


def one_rule(world: World, turn: int) -> World:
    """One more rule in one group."""
    group = world.get(SECURITY_GROUP, b.ident("sg", f"g{turn % GROUPS}"))
    rule = b.ingress(f"192.168.{turn}.0/24", "tcp", 22)
    return b.changed(world, replace(group, rules=(*group.rules, rule)))


def one_membership(world: World, turn: int) -> World:
    """One interface changes its groups."""
    eni = world.get(NETWORK_INTERFACE, b.ident("eni", f"h{turn}"))
    return b.changed(world, replace(eni, groups=(b.ident("sg", f"g{(turn + 50) % GROUPS}"),)))


def measure(world: World, step: Callable[[World, int], World]) -> dict[str, Any]:
    """Times of compile + diff after each of a sequence of changes."""
    compiler = Compiler()
    ir = compiler.compile(world)
    times, puts = [], 0
    for turn in range(REPEATS):
        world = step(world, turn)
        start = time.perf_counter()
        after = compiler.compile(world)
        delta = diff(ir, after)
        times.append((time.perf_counter() - start) * 1000)
        ir, puts = after, max(puts, len(delta.put))
    return {"median_ms": round(statistics.median(times), 3), "worst_ms": round(max(times), 3), "fragments": puts}


def main() -> int:
    world = large()
    start = time.perf_counter()
    ir = Compiler().compile(world)
    scratch = (time.perf_counter() - start) * 1000
    out = {
        "interfaces": INTERFACES, "groups": GROUPS, "rules": GROUPS * RULES, "all_fragments": len(ir.fragments),
        "from_scratch_ms": round(scratch, 1), "one_rule": measure(world, one_rule),
        "one_membership": measure(world, one_membership), "target_ms": TARGET_MS,
    }  # fmt: skip
    if "--json" in sys.argv:
        print(json.dumps(out))
    else:
        for name, value in out.items():
            print(f"{name:16} {value}")
    return 0 if out["one_rule"]["median_ms"] <= TARGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
