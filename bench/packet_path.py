"""What a packet costs: the data plane's two passes beside the same links routed without any filter, in one run.

    python -m bench.packet_path [ROUNDS] [--json]          as root, or under `unshare -Urn`; needs a C compiler (cc)

Two interfaces in two subnets; the source's groups let everything out, the destination's rules admit the port of the test
by the last of their rules, and both subnets have a network ACL of 40 entries: every flow is tracked on both sides.

- round trip: 64 bytes there and back on an open TCP connection;
- connection: connect, a byte there, a byte back, reset;
- datagram: 18 bytes to a port that no rule admits; without a filter it arrives.

Costs are CPU microseconds of client, server and kernel together (packet_path.c), the median of interleaved rounds, so that
other load on the machine falls on every configuration alike; a ratio is the median of the ratios of each round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.testbed import GUEST_LINK, Namespace, Testbed
from tests.kernel.worlds import B4, A, B, acl, allow, eni, entry, group, pair, subnet

from ringfence.dataplane import topology
from ringfence.policy.ir import Allow, Fragment, Interface, Subnet

SECONDS, PORT, CLOSED = 0.4, 7000, 9
BASELINE = "no filter"
#: name → (groups of the destination, rules of each)
FILTERS = {"60 rules": (1, 60), "5 groups × 60": (5, 60), "1,000 rules": (1, 1000), "10,000 rules": (5, 2000)}
#: test → (mode of the load, port, target: ratio to the baseline, or microseconds)
TESTS = {"round trip": ("rr", PORT), "connection": ("crr", PORT), "denied datagram": ("udp", CLOSED)}
RATIO_TARGETS, DENIED_TARGET = {"round trip": 1.4, "connection": 1.6}, 10.0


@dataclass(frozen=True)
class Path2:
    """Two namespaces with a way between them."""

    client: Namespace
    server: Namespace


def rules(number: int, count: int, *, last: bool) -> Iterator[Allow]:
    """Rules of one group: blocks of many sizes and single ports; the last of all admits the test."""
    for n in range(count - last):
        yield allow(
            "tcp",
            str(1024 + n % 5000),
            f"172.{16 + number}.{n % 256}.0/{22 + n % 8}" if n % 3 else f"10.{n % 250 + 1}.0.0/16",
        )
    if last:
        yield allow("tcp", str(PORT), "10.0.1.0/24")


def entries() -> list:  # type: ignore[type-arg]
    """Forty entries: denials of single blocks and ports, then everything."""
    denials = [entry(n, "deny", "tcp", str(20000 + n), f"192.0.2.{n}/32") for n in range(1, 40)]
    return [*denials, entry(32000, "allow")]


def filtered(groups: int, count: int) -> list[Fragment]:
    """The fragments of one configuration."""
    names = [f"sg-b{n}" for n in range(groups)]
    made = [group(name, list(rules(n, count, last=n == groups - 1))) for n, name in enumerate(names)]
    long = acl("acl-open", entries(), entries())
    return pair((), long, *made, subnet("subnet-1", 1), subnet("subnet-2", 2), eni(B, 2, 2, 10, names))


@contextmanager
def plain() -> Iterator[Path2]:
    """The same links and routes, and nothing else: one pass, no tables, no connection tracking."""
    parts = pair()
    router = Namespace()
    guests = []
    topology.write_sysctls(router.fd, topology.ROUTER_SYSCTLS)
    subnets = {part.subnet_id: part for part in parts if isinstance(part, Subnet)}
    router.ip("link set lo up", "addr replace 10.0.1.1/32 dev lo", "addr replace 10.0.2.1/32 dev lo")
    for interface in (part for part in parts if isinstance(part, Interface)):
        guest = Namespace()
        inside, itself = topology.plug(interface, subnets[interface.subnet_id], guest.path, GUEST_LINK)
        router.ip(*inside, f"route replace {interface.ipv4[0]}/32 dev e{interface.number}")
        guest.ip(*itself)
        guests.append(guest)
    try:
        yield Path2(*guests)
    finally:
        for namespace in (*guests, router):
            namespace.close()


@contextmanager
def guarded(groups: int, count: int) -> Iterator[Path2]:
    with Testbed(filtered(groups, count)) as bed:
        bed.unwatch()
        yield Path2(bed.guests[A], bed.guests[B])


@dataclass(frozen=True)
class Load:
    """The compiled load generator."""

    program: Path
    cpu: int

    def cost(self, path: Path2, mode: str, port: int) -> float:
        """CPU microseconds of one operation."""
        done = subprocess.run(
            [self.program, mode, path.client.path, path.server.path, B4, str(port), str(SECONDS), str(self.cpu)],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        count, micros, _ = done.stdout.split()
        return float(micros) / int(count)


Costs = dict[tuple[str, str], list[float]]  # (test, configuration) → one cost per round


def measure(load: Load, paths: dict[str, Path2], rounds: int) -> Costs:
    costs: Costs = {(test, name): [] for test in TESTS for name in paths}
    for _ in range(rounds):
        for test, (mode, port) in TESTS.items():
            for name, path in paths.items():
                costs[test, name].append(load.cost(path, mode, port))
    return costs


def report(costs: Costs) -> Iterator[dict[str, object]]:
    """One row per test and configuration."""
    for (test, name), values in costs.items():
        ratios = [value / base for value, base in zip(values, costs[test, BASELINE], strict=True)]
        ratio, micros = statistics.median(ratios), statistics.median(values)
        target = RATIO_TARGETS.get(test)
        met = ratio <= target if target is not None else micros <= DENIED_TARGET
        yield {
            "test": test, "rules": name, "cpu_us": round(micros, 2), "ratio": round(ratio, 2),
            "spread": round((max(ratios) - min(ratios)) / 2, 2), "met": None if name == BASELINE else met,
        }  # fmt: skip


def show(rows: Iterable[dict[str, object]]) -> None:
    print(f"{'test':16} {'rules':14} {'CPU µs':>8} {'ratio':>6} {'±':>5}  target")
    for row in rows:
        met = {None: "", True: "met", False: "MISSED"}[row["met"]]  # type: ignore[index]
        print(f"{row['test']:16} {row['rules']:14} {row['cpu_us']:8} {row['ratio']:6} {row['spread']:5}  {met}")


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    rounds = int(words[0]) if words else 7
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        program = Path(folder, "packet_path")
        subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_suffix(".c")], check=True)
        paths = {BASELINE: stack.enter_context(plain())}
        paths |= {name: stack.enter_context(guarded(*size)) for name, size in FILTERS.items()}
        load = Load(program, max(os.sched_getaffinity(0)))
        rows = list(report(measure(load, paths, rounds)))
    if "--json" in sys.argv:
        print(json.dumps(rows))
    else:
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
