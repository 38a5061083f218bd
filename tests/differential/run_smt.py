"""`make reach-smt`: an SMT solver proves sets of the reachability engine, for all packets; prints how many."""

from __future__ import annotations

import sys
import time

from ringfence.insight.reach.engine import Engine
from tests.differential import directed, smt
from tests.differential.compare import Neighbours, Run

CHECKS = {"pairs": smt.check_pairs, "services": smt.check_services, "inbound": smt.check_inbound}


def main() -> int:
    """Exit 1 on any difference. Arguments: VPCs, first seed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    started, proven = time.monotonic(), dict.fromkeys(CHECKS, 0)
    for seed in range(first, first + count):
        run = Neighbours(seed) if seed % 3 == 2 else Run(seed)
        if seed % 3 == 1:
            directed.strict(run.api.call, run.chance, run.site)
        for _ in range(3):
            run.change()
        engine = Engine(run._compiled())
        for kind, check in CHECKS.items():
            for what, packet in check(run.rows, engine):
                if packet is not None:
                    print(f"seed {seed}, {what}: {packet}")
                    return 1
                proven[kind] += 1
    seconds = time.monotonic() - started
    print(f"proven for all packets: {proven['pairs']} pairs of addresses, {proven['services']} ways to a service behind an "
          f"endpoint, {proven['inbound']} public addresses from all of the internet, {count} random VPCs, {seconds:.0f} s")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
