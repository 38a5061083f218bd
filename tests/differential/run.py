"""`make differential`: at least 100,000 cases without packets; prints what it saw."""

from __future__ import annotations

import sys
import time

from tests.differential.compare import run


def main() -> int:
    """Exit 1 on any difference."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    started, cases, delivered, seed = time.monotonic(), 0, 0, 0
    while cases < wanted:
        tally = run(range(seed, seed + 50), 120)
        seed += 50
        cases, delivered = cases + tally.cases, delivered + tally.delivered
        if tally.differences:
            print("\n".join(tally.differences[:20]))
            return 1
    seconds = time.monotonic() - started
    print(f"{cases} cases in {seed} random VPCs, {delivered} delivered, 0 differences, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
