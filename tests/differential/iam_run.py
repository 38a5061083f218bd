"""`make iam-differential`: at least 100,000 questions to specification and evaluator; prints what it saw."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

from tests.differential.iam_compare import run
from tests.differential.iam_generator import case


def main() -> int:
    """Exit 1 on any difference, showing the first few."""
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    started = time.monotonic()
    tally = run(range(first, first + wanted))
    for seed, theme, said, found in tally.differences[:10]:
        asked = case(seed)
        print(f"case {seed} ({theme}): specification {said}, evaluator {found}")
        print(json.dumps([asdict(asked.question), asdict(asked.policies)], default=str))
    effects = ", ".join(f"{count} {effect}" for effect, count in sorted(tally.effects.items()))
    seconds = time.monotonic() - started
    print(f"{sum(tally.effects.values())} questions ({effects}): {len(tally.differences)} differences, {seconds:.0f} s")
    return bool(tally.differences)


if __name__ == "__main__":
    sys.exit(main())
