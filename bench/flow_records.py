"""How many flow log records a second go from the agent's rows to lines: `python -m bench.flow_records [RECORDS]`.

Rows as the agent hands them over → observations → windows of one flow log → records → lines of the default format.
CPU time of this process, in records a second of one core; the median of five rounds.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from typing import Any

from tests.insight.flowlogs.lab import START, Lab

from ringfence.dataplane.counters import ROW
from ringfence.dataplane.nftables.counting import Place
from ringfence.flow_counts import PlaneCounts
from ringfence.insight.flowlogs.lines import line
from ringfence.model.kinds import FLOW_LOG

ROUNDS, MS = 5, 1000


def rows(count: int) -> bytes:
    """So many flows of one interface."""
    own = bytes((10, 0, 1, 9)).ljust(16, b"\0")
    peers = (bytes((10, 0, 2, 1 + n % 200)).ljust(16, b"\0") for n in range(count))
    at = round(START * MS) + 1
    return b"".join(
        ROW.pack(0, 4, 6, Place.ARRIVED, 2, 1024 + n % 60000, n // 60000, peer, own, 3, 180, at)
        for n, peer in enumerate(peers)
    )


def once(data: bytes) -> tuple[float, int]:
    lab = Lab("10.0.0.0/16", "10.0.1.0/24")
    eni = lab.interface("10.0.1.9")
    log = lab.log()
    begin = round(START * MS)

    def ask(_confirmed: list[tuple[str, int]], _now: bool) -> tuple[dict[str, Any], int]:
        file = os.memfd_create("flows")
        os.write(file, data)
        epoch = {
            "vpc": lab.vpc, "begin": begin, "previous": 0, "end": begin + 60_000, "last": False, "interfaces": [eni],
            "rows": len(data) // ROW.size, "lost": {}, "pieces": [],
        }  # fmt: skip
        return {"until": begin + 60_000, "epochs": [epoch], "counting": [lab.vpc]}, file

    source, fields = PlaneCounts(ask, lambda: lab.world, START - 1), lab.world.find(FLOW_LOG, log).fields
    start = time.process_time()
    made = lab.recorder.take(lab.world, source.take())[log]
    written = [line(record, fields) for record in made]
    return time.process_time() - start, len(written)


def main() -> int:
    data = rows(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
    rates = []
    for _ in range(ROUNDS):
        seconds, count = once(data)
        rates.append(count / seconds)
    print(f"{len(data) // ROW.size} records: {statistics.median(rates):,.0f} a second of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
