"""Live Tail: what sessions cost the thread that serves them, and putting while nobody looks. CPU, in this process.

python -m bench.live_tail [--sessions 10] [--events 10000]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from ringfence.api.live_tails import LiveTails
from ringfence.api.wire import model
from ringfence.api.wire.event_stream import Messages
from ringfence.insight.live_tail import Wanted
from ringfence.insight.patterns import compile_pattern
from ringfence.model.clock import SystemClock
from ringfence.model.kinds import LOG_STREAM
from ringfence.model.nouns.log import LogStream
from ringfence.model.world import World, put

LINE = "2 123456789010 eni-1235b8ca 10.0.2.15 172.31.16.21 20641 {port} 6 20 4249 1418530010 1418530070 {action} OK"
PATTERNS = {"no pattern": "", "a term": "REJECT", "columns": "[v, a, e, s, d, sp, dp=22, ...]"}
GROUP, NUMBER, BATCH = "arn:aws:logs:us-east-1:123456789012:log-group:flows", 1, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--events", type=int, default=10_000)
    args = parser.parse_args()
    row = LogStream(id="s", owner_id="1", region="r", group=GROUP, name="eni", created=0, number=NUMBER)
    world = World().apply(put(LOG_STREAM, row))
    lines = [
        (n, LINE.format(port=n % 1000, action="ACCEPT" if n % 10 else "REJECT")) for n in range(args.events)
    ]  # fmt: skip
    tails = LiveTails(lambda: world, SystemClock(), timer=lambda: 0.0)  # its own thread never ticks
    begun = time.process_time()
    for _ in range(100_000):
        tails.note(NUMBER, lines, 1)
    print(f"a put while nobody looks: {(time.process_time() - begun) * 10:.2f} µs more")
    for name, text in PATTERNS.items():
        print(f"{name}: {_cost(tails, text, args.sessions, lines) * 1e3:.1f} ms a session and second")
    tails.close()


def _cost(tails: LiveTails, text: str, count: int, lines: list[tuple[int, str]]) -> float:
    wanted = Wanted(groups=(GROUP,), pattern=compile_pattern(text) if text else None)
    messages: Any = Messages(model.operation("logs", "StartLiveTail"))
    sessions = [tails.start((str(n), "r"), wanted, messages, lambda *_: None, (), 1) for n in range(count)]
    best = float("inf")
    for _ in range(5):
        for at in range(0, len(lines), BATCH):
            tails.note(NUMBER, lines[at : at + BATCH], 1)
        begun = time.process_time()
        tails.tick()
        best = min(best, (time.process_time() - begun) / count)
    for session in sessions:
        session.close()
    return best


if __name__ == "__main__":
    main()
