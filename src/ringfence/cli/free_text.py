"""`ringfence free-text`: which names, tags and descriptions look like personal data or keys (DATA-06)."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import add_endpoint, control, show_json


def add(commands: Any) -> None:
    parser = commands.add_parser("free-text", help="names, tags and descriptions that look like personal data or keys")
    add_endpoint(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """One line for each finding, which names the place and not the text. Exit 1 when there is any."""
    found = control(args, {"do": "free-text"})["findings"]
    if args.json:
        show_json(found)
    else:
        for finding in found:
            print(f"{finding['resource']}  {finding['member']}: looks like a {finding['sort']}")
        if not found:
            print("nothing found")
    return 1 if found else 0
