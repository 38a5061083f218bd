"""`ringfence trace`: the analysis, without packets."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import control, show_json
from ringfence.cli.targets import add_packet, request_of


def add(commands: Any) -> None:
    parser = commands.add_parser("trace", help="which rule decides, by analysis", description=__doc__)
    add_packet(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the packet and its answer arrive, 1 otherwise, 2 for bad usage."""
    answer = control(args, request_of(args, "trace"))
    if args.json:
        show_json(answer)
    else:
        for hop in answer["hops"]:
            rule = hop.get("rule") or {}
            label = rule.get("id") or rule.get("number") or rule.get("destination") or ""
            print(f"{'pass' if hop['allowed'] else 'DROP'}  {hop['layer']:16} {hop['component']} {label}")
        print(answer["outcome"] + (f" at {answer['dropped_at']}" if "dropped_at" in answer else ""))
    return 0 if answer["outcome"] == "ok" else 1
