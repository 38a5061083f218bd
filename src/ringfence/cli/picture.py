"""`ringfence map`: a picture of the network, as SVG or as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ringfence.cli.common import CommandError, add_endpoint, write_text
from ringfence.cli.networks import add_from, network_of


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "map",
        help="a picture: where things are, and who may say what to whom",
        description="Draw VPCs, zones, subnets and tiers of interfaces, with what the analysis lets them say.",
    )
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="FILE.svg or FILE.html (default: SVG to the standard output)"
    )
    parser.add_argument("--format", choices=("svg", "html"), help="instead of what FILE ends with")
    parser.add_argument("--vpc", help="of one VPC only")
    add_endpoint(parser, as_json=False)
    add_from(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0; 2 for bad usage."""
    from ringfence.insight.pictures.graph import graph
    from ringfence.insight.pictures.html import html
    from ringfence.insight.pictures.svg import svg
    from ringfence.model.kinds import VPC

    ending = args.output.suffix.removeprefix(".") if args.output is not None else "svg"
    kind = args.format or ending
    if kind not in ("svg", "html"):
        raise CommandError(f"--output ends with .svg or .html, not .{ending}; or give --format", 2)
    world = network_of(args).world
    if args.vpc is not None and world.find(VPC, args.vpc) is None:
        raise CommandError(f"there is no VPC {args.vpc}", 2)
    found = graph(world, args.vpc)
    name = args.network.name if args.network is not None else "the running installation"
    write_text(args.output, svg(found) if kind == "svg" else html(found, f"Network of {name}"))
    return 0
