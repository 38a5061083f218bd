"""`ringfence reach` and `ringfence exposure`: all packets at once, without packets."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import add_endpoint, control, show_json


def add(commands: Any) -> None:
    reach = commands.add_parser("reach", help="who may say what to whom, by security groups", description=__doc__)
    exposure = commands.add_parser("exposure", help="what the internet may say to interfaces", description=__doc__)
    for parser in (reach, exposure):
        add_endpoint(parser)
        parser.add_argument("--vpc", help="of one VPC only")
    exposure.add_argument("--within", metavar="CIDR", help="only this block of the internet")
    exposure.add_argument("--outbound", action="store_true", help="what interfaces may say to the internet instead")
    reach.set_defaults(run=run_reach)
    exposure.set_defaults(run=run_exposure)


def run_reach(args: argparse.Namespace) -> int:
    """Exit 0."""
    answer = control(args, {"do": "reach", "vpc": args.vpc})
    if args.json:
        show_json(answer)
        return 0
    for row in answer["rows"]:
        print(f"{','.join(row['from_groups'])} -> {','.join(row['to_groups'])}  IPv{row['family']}  {_text(row)}")
    return 0


def run_exposure(args: argparse.Namespace) -> int:
    """Exit 0; 2 for a bad block."""
    request = {"do": "exposure", "vpc": args.vpc, "within": args.within, "outbound": args.outbound}
    answer = control(args, request)
    if args.json:
        show_json(answer)
        return 0
    arrow = "<-" if answer["direction"] == "inbound" else "->"
    for row in answer["rows"]:
        print(f"{row['interface']} {row['public']} {arrow} {' '.join(row['outside'])}  {_text(row)}")
    return 0


def _text(row: dict[str, Any]) -> str:
    if "unknown" in row:
        return f"unknown: {row['unknown']['component']} ({row['unknown']['why']})"
    return "; ".join(
        f"{part['protocol']} {part.get('ports') or part.get('icmp') or ''}".strip() for part in row["allowed"]
    )
