"""`make reach-differential`: at least 1,000,000 cases of the reachability engine; prints what it saw."""

from __future__ import annotations

import sys
import time

from tests.differential.reach_compare import run


def main() -> int:
    """Exit 1 on any difference."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    started, cases, delivered, unknown, first = time.monotonic(), 0, 0, 0, seed
    while cases < wanted:
        tally = run(range(seed, seed + 30), 60)
        seed += 30
        cases, delivered, unknown = cases + tally.cases, delivered + tally.delivered, unknown + tally.unknown
        if tally.differences:
            print("\n".join(tally.differences[:20]))
            return 1
    seconds = time.monotonic() - started
    print(
        f"{cases} cases in {seed - first} random VPCs, {delivered} delivered, {unknown} unknown, 0 differences, {seconds:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
