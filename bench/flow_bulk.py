"""What links that cut to packets cost a bulk stream: `python -m bench.flow_bulk [ROUNDS]`, as root or under `unshare -Urnm`.

256 MiB over one TCP connection between two interfaces (MTU 9001), without a flow log, and with one and its links cut to packets
(docs/adr/0010); CPU seconds of client, server and kernel for a GiB, the median of interleaved rounds and of their ratios.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time
from contextlib import ExitStack
from threading import Thread

from tests.kernel.testbed import GUEST_LINK, Testbed
from tests.kernel.worlds import B4, A, B, allow, pair

from bench.flow_counts import covering
from ringfence.dataplane import offloads
from ringfence.dataplane.plan import LOOP_OUT
from ringfence.policy.ir import Counting

PORT, MIB = 7000, 256


def bed(*, counted: bool) -> Testbed:
    fragments = pair([allow("tcp", str(PORT), "10.0.0.0/8")])
    made = Testbed(covering(fragments, Counting(flags=False), A, B) if counted else fragments)
    made.unwatch()
    for place, link in ((made.vpc, LOOP_OUT), (made.guests[A], GUEST_LINK), (made.guests[B], GUEST_LINK)):
        offloads.cut_to_packets(place.fd, link, cut=counted)
    return made


def stream(where: Testbed) -> float:
    """CPU seconds for a GiB."""
    listener = where.guests[B].run(lambda: socket.create_server((B4, PORT)))
    client = where.guests[A].run(lambda: socket.create_connection((B4, PORT), timeout=20))
    server, _ = listener.accept()
    data, begin = bytes(1 << 20), time.process_time()
    sender = Thread(target=lambda: [client.sendall(data) for _ in range(MIB)])
    sender.start()
    left = MIB << 20
    while left:
        left -= len(server.recv(1 << 20))
    sender.join()
    spent = time.process_time() - begin
    for each in (client, server, listener):
        each.close()
    return spent * 1024 / MIB


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with ExitStack() as stack:
        plain, cut = (stack.enter_context(bed(counted=counted)) for counted in (False, True))
        costs = [(stream(plain), stream(cut)) for _ in range(rounds)]
    ratio = statistics.median(b / a for a, b in costs)
    before, after = (statistics.median(each) for each in zip(*costs, strict=True))
    print(f"CPU seconds a GiB: no flow log {before:.2f}, counted and cut {after:.2f}; ratio {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
