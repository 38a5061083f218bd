"""`make differential`: at least 100,000 cases without packets, half of them in neighbouring VPCs; prints what it saw."""

from __future__ import annotations

import sys
import time

from tests.differential.compare import Neighbours, Run, run


def main() -> int:
    """Exit 1 on any difference."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    started, cases, delivered, seed = time.monotonic(), 0, 0, 0
    while cases < wanted:
        for scene in (Run, Neighbours):
            tally = run(range(seed, seed + 25), 120, scene=scene)
            cases, delivered = cases + tally.cases, delivered + tally.delivered
            if tally.differences:
                print("\n".join(tally.differences[:20]))
                return 1
        seed += 25
    seconds = time.monotonic() - started
    print(
        f"{cases} cases in {seed} random VPCs and {seed} scenes of neighbours, {delivered} delivered, 0 differences, {seconds:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
