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

from bench.flow_counts import covering, loaded
from ringfence.dataplane import classifiers, offloads, segments
from ringfence.dataplane.plan import LOOP_IN, LOOP_OUT
from ringfence.policy.ir import Counting

PORT, MIB = 7000, 256
PLAIN, CUT, TOLD = "no flow log", "counted, links cut", "counted, programs at links"


def bed(how: str, program: int | None) -> Testbed:
    fragments = pair([allow("tcp", str(PORT), "10.0.0.0/8")])
    made = Testbed(fragments if how == PLAIN else covering(fragments, Counting(flags=False), A, B))
    made.unwatch()
    sending = [(made.vpc, LOOP_OUT), (made.guests[A], GUEST_LINK), (made.guests[B], GUEST_LINK)]
    for place, link in sending if how == CUT else ():
        offloads.cut_to_packets(place.fd, link)
    if how == TOLD:
        assert program is not None
        with classifiers.links(made.vpc.fd) as links:
            for name in ("e1", "e2", LOOP_IN):
                links.attach(name, program, segments.NAME)
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
    program = loaded()
    with ExitStack() as stack:
        beds = {
            how: stack.enter_context(bed(how, program))
            for how in (PLAIN, CUT, TOLD)
            if how != TOLD or program is not None
        }
        costs = [{how: stream(where) for how, where in beds.items()} for _ in range(rounds)]
    for how in beds:
        ratio = statistics.median(each[how] / each[PLAIN] for each in costs)
        print(f"{how:28} {statistics.median(each[how] for each in costs):.2f} CPU seconds a GiB, ratio {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
