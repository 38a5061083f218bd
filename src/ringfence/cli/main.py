"""The ringfence command. Each command group is a module with `add(subparsers)`; this file only lists them."""

# PYTHON_ARGCOMPLETE_OK
from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ringfence import __version__
from ringfence.cli import (
    account,
    audit,
    completion,
    difference,
    doctor,
    execute,
    flows,
    free_text,
    hygiene,
    importing,
    information,
    paths,
    picture,
    probe,
    providers,
    reach,
    trace,
    up,
    verify,
)
from ringfence.cli.common import CommandError

GROUPS = (
    up,
    information,
    account,
    audit,
    execute,
    importing,
    probe,
    trace,
    paths,
    reach,
    difference,
    hygiene,
    picture,
    flows,
    verify,
    providers,
    free_text,
    doctor,
    completion,
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="ringfence", description="Amazon VPC's security, self-hosted and provable.")
    top.add_argument("--version", action="version", version=f"ringfence {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    top = parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(top)
    given = list(sys.argv[1:] if argv is None else argv)
    cut = given.index("--") if "--" in given else len(given)
    args = top.parse_args(given[:cut])
    args.command_line = given[cut + 1 :]  # what stands after `--` is not ours to parse
    try:
        status: int = args.run(args)
    except CommandError as problem:
        print(f"ringfence {args.command}: {problem}", file=sys.stderr)
        return problem.status
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
