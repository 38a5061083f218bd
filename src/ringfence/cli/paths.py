"""`ringfence paths`: every path between two ends, there and back, each with exactly the packets that take it."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import add_endpoint, control, show_json
from ringfence.cli.networks import add_from, answered
from ringfence.cli.trace import UNKNOWN, hop_table

_ENDS = "i-…, eni-…, igw-…, pcx-…, vpce-… or internet:ADDRESS"


def add(commands: Any) -> None:
    parser = commands.add_parser("paths", help="all paths between two ends, with their packets", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help=_ENDS)
    parser.add_argument("destination", metavar="DESTINATION", help=f"{_ENDS}, or an address")
    parser.add_argument("--protocol", help="tcp, udp, icmp, icmpv6 or a number; without it, every packet")
    parser.add_argument("--port", type=int, help="destination port")
    add_endpoint(parser)
    add_from(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when there is a path, 1 when there is none, 2 for bad usage, 3 when it is not known."""
    answer = _answer(args)
    if args.json:
        show_json(answer)
    else:
        print("\n".join(_lines(answer)))
    if answer["paths"]:
        return 0
    return UNKNOWN if "unknown" in answer else 1


def _answer(args: argparse.Namespace) -> dict[str, Any]:
    """Of the running installation, or of files."""
    names = ("source", "destination", "protocol", "port")
    request = {"do": "paths", **{name: getattr(args, name) for name in names if getattr(args, name) is not None}}
    if args.network is None:
        return control(args, request)
    from ringfence.insight.analyzer.report import PathReporter

    return answered(args, request, PathReporter().answer)


def _lines(answer: dict[str, Any]) -> list[str]:
    out: list[str] = []
    for number, path in enumerate(answer["paths"], 1):
        ends = (f"{path[end]} ({_addresses(path[end + '_addresses'])})" for end in ("source", "destination"))
        out += [f"{number}. {' -> '.join(ends)}: {path['summary']}", *hop_table(path["hops"]), ""]
    if "unknown" in answer:
        out.append(f"unknown whether there are more: {answer['unknown']['component']}: {answer['unknown']['why']}")
    elif not out:
        out.append("no path")
    return out


def _addresses(blocks: list[str]) -> str:
    shown = [block.removesuffix("/32").removesuffix("/128") for block in blocks]
    return ", ".join(shown) if len(shown) <= 4 else f"{', '.join(shown[:3])} and {len(shown) - 3} more blocks"
