"""`ringfence reach` and `ringfence exposure`: all packets at once, without packets."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import CommandError, add_endpoint, control, show_json
from ringfence.cli.networks import add_from, imported


def add(commands: Any) -> None:
    reach = commands.add_parser("reach", help="who may say what to whom, by security groups", description=__doc__)
    exposure = commands.add_parser("exposure", help="what the internet may say to interfaces", description=__doc__)
    for parser in (reach, exposure):
        add_endpoint(parser)
        add_from(parser)
        parser.add_argument("--vpc", help="of one VPC only")
    exposure.add_argument("--within", metavar="CIDR", help="only this block of the internet")
    exposure.add_argument("--outbound", action="store_true", help="what interfaces may say to the internet instead")
    reach.set_defaults(run=run_reach)
    exposure.set_defaults(run=run_exposure)


def run_reach(args: argparse.Namespace) -> int:
    """Exit 0."""
    answer = _answer(args, {"do": "reach", "vpc": args.vpc})
    if args.json:
        show_json(answer)
        return 0
    for row in answer["rows"]:
        print(f"{_groups(row['from_groups'])} -> {_groups(row['to_groups'])}  IPv{row['family']}  {_text(row)}")
    return 0


def run_exposure(args: argparse.Namespace) -> int:
    """Exit 0; 2 for a bad block."""
    request = {"do": "exposure", "vpc": args.vpc, "within": args.within, "outbound": args.outbound}
    answer = _answer(args, request)
    if args.json:
        show_json(answer)
        return 0
    arrow = "<-" if answer["direction"] == "inbound" else "->"
    for row in answer["rows"]:
        print(f"{row['interface']} {row['public']} {arrow} {' '.join(row['outside'])}  {_text(row)}")
    return 0


def _answer(args: argparse.Namespace, request: dict[str, Any]) -> dict[str, Any]:
    """Of the running installation, or of files."""
    if args.network is None:
        return control(args, request)
    from ringfence.insight.reach.report import Reporter

    world, reporter = imported(args, args.network).world, Reporter()
    ask = reporter.reach if request["do"] == "reach" else reporter.exposure
    answer = ask(world, request)
    if "error" in answer:
        raise CommandError(str(answer["error"]), int(answer.get("status", 1)))
    return answer


def _groups(ids: list[str]) -> str:
    return ",".join(ids) or "(no group)"


def _text(row: dict[str, Any]) -> str:
    if "unknown" in row:
        return f"unknown: {row['unknown']['component']} ({row['unknown']['why']})"
    return str(row["summary"])


def packet_text(packet: dict[str, Any]) -> str:
    """A packet as `describe_packet` gives it."""
    if "port" in packet:
        end = f"port {packet['port']} from port {packet['source_port']}"
    else:
        end = f"type {packet['icmp_type']} code {packet['icmp_code']}" if "icmp_type" in packet else ""
    return f"{packet['source']} -> {packet['destination']} {packet['protocol']} {end}".rstrip()
