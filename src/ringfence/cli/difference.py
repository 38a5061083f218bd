"""`ringfence diff A B`: what became possible between two networks, what impossible; made for CI."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.cli.common import CommandError, control, write_text
from ringfence.cli.networks import add_import_options, imported, of_installation

if TYPE_CHECKING:
    from ringfence.insight.imports.load import Network

RUNNING = "running"
_FORMATS = ("text", "json", "markdown", "junit", "sarif")
#: what --fail-on may name. What is opened or exposed may hide in what is unknown, so that fails as well
THRESHOLDS = ("opened", "exposed", "closed", "unknown", "any")


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "diff",
        help="what became possible between two networks, what impossible",
        description="Compare two networks: exact sets of packets, an example of each, and the rules that decide. "
        f"A and B are files or directories (see `ringfence import`), {RUNNING}, or {RUNNING}@ENDPOINT. "
        "With --call, what a call of the EC2 API would change in the running installation; nothing is changed.",
    )
    parser.add_argument("before", metavar="A")
    parser.add_argument("after", metavar="B", nargs="?")
    parser.add_argument("--call", metavar="ACTION", help=f"instead of B: A, which is {RUNNING}, after this call")
    parser.add_argument(
        "--parameters",
        metavar="JSON",
        default="{}",
        help="of the call, as of --cli-input-json of the AWS CLI; @FILE reads one",
    )
    parser.add_argument("--as-account", metavar="N", help="the account that calls (default: the installation's own)")
    parser.add_argument("--format", choices=_FORMATS, default="text")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="instead of the standard output")
    parser.add_argument(
        "--fail-on",
        action="append",
        choices=THRESHOLDS,
        default=[],
        help="exit 1 for such a change; exposed: opened to the internet; opened and exposed fail on unknown, too. Repeatable",
    )
    parser.add_argument("--allow-unknown", action="store_true", help="opened and exposed do not fail on unknown")
    add_import_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0, 1 for a change that --fail-on names, 2 for bad usage."""
    from ringfence.insight.compare.changes import compare
    from ringfence.insight.compare.formats import FORMATS, Comparison

    if (args.call is None) is (args.after is None):
        raise CommandError("what to compare with: B, or --call", 2)
    before, after = _rehearsed(args) if args.call else (_operand(args, name) for name in (args.before, args.after))
    entries = compare(before.world, after.world)
    failing = frozenset(n for n, entry in enumerate(entries) if _fails(args, entry))
    shown = FORMATS[args.format](
        Comparison(args.before, args.after or f"{args.before} after {args.call}", entries, failing)
    )
    write_text(args.output, shown)
    return 1 if failing else 0


def _rehearsed(args: argparse.Namespace) -> tuple[Network, Network]:
    """The running network, and the same after a call that is not made."""
    if args.before != RUNNING and not args.before.startswith(RUNNING + "@"):
        raise CommandError(f"--call is about a running installation: A must be {RUNNING}", 2)
    args.endpoint = args.before.partition("@")[2] or None
    try:
        given = args.parameters
        parameters = json.loads(Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given)
    except (OSError, ValueError) as problem:
        raise CommandError(f"--parameters: {problem}", 2) from None
    request = {"do": "rehearse", "action": args.call, "parameters": parameters}
    request |= {name: value for name, value in (("account", args.as_account), ("region", args.region)) if value}
    reply = control(args, request, timeout=300)
    from ringfence.insight.imports.load import from_documents

    before, after = (from_documents([(name, reply[name])]) for name in ("before", "after"))
    return before, after


def _operand(args: argparse.Namespace, name: str) -> Network:
    if name == RUNNING or name.startswith(RUNNING + "@"):
        args.endpoint = name.partition("@")[2] or None
        return of_installation(args)
    return imported(args, Path(name))


def _fails(args: argparse.Namespace, entry: Any) -> bool:
    wanted = set(args.fail_on)
    if wanted & {"opened", "exposed"} and not args.allow_unknown:
        wanted.add("unknown")
    return "any" in wanted or entry.kind.value in wanted or ("exposed" in wanted and entry.exposes)
