"""`ringfence verify`: is what the kernel holds what the model says? Every difference named, and repaired."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import add_endpoint, control, show_json

SECONDS = 600.0


def add(commands: Any) -> None:
    parser = commands.add_parser("verify", help="is what is installed what the model says?", description=__doc__)
    add_endpoint(parser)
    parser.add_argument("--no-proof", action="store_true", help="compare only; do not prove it for all packets")
    parser.add_argument("--no-repair", action="store_true", help="leave what differs as it is")
    parser.add_argument("--timeout", type=float, default=SECONDS, metavar="SECONDS")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when nothing differs; 1 when something did, even if it is repaired, or cannot be told; 2 for bad usage."""
    request = {"do": "verify", "prove": not args.no_proof, "repair": not args.no_repair, "timeout": args.timeout}
    report = control(args, request, timeout=args.timeout + 10)
    if args.json:
        show_json(report)
    else:
        _print(report)
    return 0 if not report["findings"] and not report["problems"] else 1


def _print(report: dict[str, Any]) -> None:
    left = [tuple(each.items()) for each in report["left"]]
    for each in report["findings"]:
        state = "LEFT" if tuple(each.items()) in left else "repaired"
        print(f"{state:8}  {each['drift']:8} {each['what']:12} {each['component']:24} {each['place']}  "
              f"{each['name']}: {each['detail']}")  # fmt: skip
    for problem in report["problems"]:
        print(f"PROBLEM   {problem}")
    for place in report["closed"]:
        print(f"CLOSED    {place}: it forwards nothing until it is as it should be")
    proven = f", {report['proven']} gates proven for all packets" if report["proven"] is not None else ""
    print(f"{report['places']} namespaces compared{proven}; {len(report['findings'])} differences")
