"""What counting for flow logs costs a packet: the same filter, topology and load with and without it, in one run.

    python -m bench.flow_counts [ROUNDS]          as root, or under `unshare -Urnm`; needs a C compiler (cc)

- `counted`: a flow log of the default format covers both interfaces; `counted, flags`: one that wants tcp-flags;
- `…, programs`: with the programs at the links that tell the segments of pieces (docs/adr/0016), which every packet meets;
- `beside`: neither interface is covered, but another one of the same VPC is;
- round trip, connection, denied datagram: see packet_path.py. Ratios are medians over interleaved rounds, to `no flow log`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.kernel.testbed import Testbed
from tests.kernel.worlds import A, B, C, eni

from bench.packet_path import TESTS, Load, Path2, filtered
from ringfence.dataplane import bpf, classifiers, segments
from ringfence.dataplane.plan import LOOP_IN
from ringfence.policy.ir import Counting, Fragment, Interface

BASELINE, GROUPS, RULES = "no flow log", 5, 60


def covering(fragments: list[Fragment], counting: Counting, *whom: str) -> list[Fragment]:
    """The fragments as they are when a flow log covers these interfaces."""
    return [replace(f, counted=counting) if isinstance(f, Interface) and f.eni_id in whom else f for f in fragments]


def configurations() -> dict[str, Callable[[], list[Fragment]]]:
    third = eni(C, 3, 1, 30, ["sg-a"])
    return {
        BASELINE: lambda: filtered(GROUPS, RULES),
        "counted": lambda: covering(filtered(GROUPS, RULES), Counting(flags=False), A, B),
        "counted, flags": lambda: covering(filtered(GROUPS, RULES), Counting(flags=True), A, B),
        "counted, programs": lambda: covering(filtered(GROUPS, RULES), Counting(flags=False), A, B),
        "beside": lambda: covering([*filtered(GROUPS, RULES), third], Counting(flags=False), C),
    }


def loaded() -> int | None:
    """The program at the links; None where it cannot be loaded."""
    try:
        return bpf.load_classifier(segments.program(), segments.NAME)
    except OSError as problem:
        print(f"no program at the links: {problem}", file=sys.stderr)
        return None


@contextmanager
def path(fragments: list[Fragment], program: int | None) -> Iterator[tuple[Path2, Testbed]]:
    with Testbed(fragments) as bed:
        bed.unwatch()
        if program is not None:
            with classifiers.links(bed.vpc.fd) as links:
                for name in ("e1", "e2", LOOP_IN):
                    links.attach(name, program, segments.NAME)
        yield Path2(bed.guests[A], bed.guests[B]), bed


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        program = Path(folder, "packet_path")
        subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("packet_path.c")], check=True)
        load = Load(program, max(os.sched_getaffinity(0)))
        program = loaded()
        ways = {
            name: stack.enter_context(path(make(), program if name.endswith("programs") else None))
            for name, make in configurations().items()
            if program is not None or not name.endswith("programs")
        }
        costs: dict[tuple[str, str], list[float]] = {(test, name): [] for test in TESTS for name in ways}
        for _ in range(rounds):
            for test, (mode, port) in TESTS.items():
                for name, (way, bed) in ways.items():
                    costs[test, name].append(load.cost(way, mode, port))
                    bed.filter.seal()  # as each minute: what was counted is put aside
                    for epoch in bed.filter.sealed():
                        bed.filter.forget_counts(epoch)
    print(f"{'test':16} {'configuration':16} {'CPU µs':>8} {'ratio':>6} {'±':>5}")
    for (test, name), values in costs.items():
        ratios = [value / base for value, base in zip(values, costs[test, BASELINE], strict=True)]
        spread = (max(ratios) - min(ratios)) / 2
        print(f"{test:16} {name:16} {statistics.median(values):8.2f} {statistics.median(ratios):6.3f} {spread:5.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
