"""`ringfence probe`: real packets from SOURCE to DESTINATION, and what came of them."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import control, show_json
from ringfence.cli.targets import add_packet, request_of, say_which_port


def add(commands: Any) -> None:
    parser = commands.add_parser("probe", help="real packets", description=__doc__)
    add_packet(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when packets and answers arrive, 1 otherwise, 2 for bad usage."""
    answer = control(args, request_of(args, "probe"), timeout=args.timeout * (args.count + 2) + 30)
    say_which_port(args)
    if args.json:
        show_json(answer)
    else:
        seen = f", seen from {answer['seen_source']}" if answer.get("seen_source") else ""
        print(f"{answer['outcome']}: {answer['received']} of {answer['sent']} answered{seen}")
    return 0 if answer["outcome"] == "ok" else 1
