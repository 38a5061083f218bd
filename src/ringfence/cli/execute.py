"""`ringfence exec`: a command inside an instance, an interface's namespace or an outside host."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ringfence.cli.common import CommandError, add_endpoint, control
from ringfence.insight.reach.trace import TargetError


def add(commands: Any) -> None:
    parser = commands.add_parser("exec", help="run a command inside a target", description=__doc__)
    add_endpoint(parser, as_json=False)
    parser.add_argument("target", metavar="TARGET", help="i-…, eni-… or internet:ADDRESS")
    parser.add_argument("words", nargs="*", metavar="-- CMD …", help="the command and its arguments")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The command's exit status; 2 for bad usage."""
    from ringfence.dataplane.link import execute

    argv = [*args.words, *args.command_line]
    if not argv:
        raise CommandError("which command? ringfence exec TARGET -- CMD …", 2)
    where = control(args, {"do": "locate", "target": args.target})
    try:
        return execute(Path(where["run"]) / "agent.sock", where["place"], argv, (sys.stdin, sys.stdout, sys.stderr))
    except FileNotFoundError:
        raise CommandError("the agent does not run: see `ringfence status`") from None
    except (OSError, TargetError) as problem:
        raise CommandError(str(problem)) from None
