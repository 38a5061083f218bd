"""`ringfence hygiene`: rules that do nothing, do what others do already, or let in the world without saying so."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import add_endpoint, show_json
from ringfence.cli.networks import add_from, network_of
from ringfence.cli.reach import packet_text


def add(commands: Any) -> None:
    parser = commands.add_parser(
        "hygiene",
        help="rules that do nothing, or what others do already",
        description=__doc__ + " What may be removed is proved to change nothing, for all packets.",
    )
    add_endpoint(parser)
    add_from(parser)
    parser.add_argument(
        "--effects", action="store_true", help="also rules whose removal changes no conversation as the network is now"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 when anything is found")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0, or 1 with --strict when anything is found; 2 for bad usage."""
    from ringfence.insight.hygiene.report import Report, examine

    report: Report = examine(network_of(args).world, effects=args.effects)
    if args.json:
        show_json(report.view())
    else:
        for finding in report.findings:
            print(f"{finding.problem}: {finding.component} {finding.element}: {finding.why}")
            if finding.example is not None:
                print(f"    e.g. {packet_text(finding.view()['example'])}")
            print(f"    fix: {finding.fix}")
        print(_verdict(report.findings, len(report.removable), proved=not report.proof))
    return 1 if args.strict and report.findings else 0


def _verdict(findings: Any, removable: int, *, proved: bool) -> str:
    if not findings:
        return "nothing found"
    proof = "proved to change no conversation" if proved else "NOT equivalent: report this as a defect"
    return f"{len(findings)} found; removing the {removable} that are needless, all at once, is {proof}"
