"""`ringfence import` and `ringfence snapshot`: networks from files, and into one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.cli.common import CommandError, add_endpoint, show_json, write_text
from ringfence.cli.networks import add_from, add_import_options, imported, network_of

if TYPE_CHECKING:
    from ringfence.insight.imports.load import Network
    from ringfence.insight.imports.notes import Notes
    from ringfence.model.kinds import Kind


#: the word on the command line, and what a network's sources are called
FORMS = {
    "aws-describe": "recorded output",
    "terraform-plan": "Terraform plan",
    "terraform-state": "Terraform state",
    "snapshot": "snapshot",
}


def add(commands: Any) -> None:
    read = commands.add_parser(
        "import",
        help="read a network from recorded `aws ec2 describe-*` output, Terraform, or a snapshot",
        description="Read a network and say what was understood, left aside and not known. Exit 0; with --strict 1 unless all was.",
    )
    read.add_argument(
        "form", nargs="?", choices=FORMS, metavar="FORM", help=f"what it must be: {', '.join(FORMS)} (default: any)"
    )
    read.add_argument("path", type=Path, metavar="DIR|FILE")
    read.add_argument("--output", "-o", type=Path, metavar="FILE", help="write it as a snapshot")
    read.add_argument("--strict", action="store_true", help="exit 1 when anything was not understood or is not known")
    read.add_argument("--json", action="store_true", help="print JSON")
    add_import_options(read)
    read.set_defaults(run=run_import)
    write = commands.add_parser("snapshot", help="the network as a file", description="Write a network as a snapshot.")
    write.add_argument("--output", "-o", type=Path, metavar="FILE", help="instead of the standard output")
    add_from(write)
    add_endpoint(write, as_json=False)
    write.set_defaults(run=run_snapshot)


def run_import(args: argparse.Namespace) -> int:
    """Exit 0, or 1 with --strict; 2 for what cannot be imported or has another form than said."""
    from ringfence.insight.imports import snapshot

    network = imported(args, args.path)
    if args.form is not None:
        _must_be(args.form, network.notes.sources)
    if args.output is not None:
        write_text(args.output, snapshot.text(network.world))
    if args.json:
        show_json({**network.notes.view(), "gaps": _gaps(network), "whole": network.notes.whole})
    else:
        print("\n".join(_lines(network)))
    return 1 if args.strict and not network.notes.whole else 0


def _must_be(form: str, sources: list[str]) -> None:
    """CommandError, status 2, when something was read in another form."""
    for source in sources:
        if not source.startswith(f"{FORMS[form]} "):
            raise CommandError(f"not {form}, but {source}", 2)


def run_snapshot(args: argparse.Namespace) -> int:
    """Exit 0; 2 for what cannot be imported or written."""
    from ringfence.insight.imports import snapshot

    write_text(args.output, snapshot.text(network_of(args).world))
    return 0


def _gaps(network: Network) -> list[dict[str, str]]:
    from ringfence.model.kinds import GAP

    return [{"vpc": gap.vpc_id, "element": gap.element, "why": gap.why} for gap in network.world.all(GAP)]


def _lines(network: Network) -> list[str]:
    from ringfence.model.kinds import NETWORK_INTERFACE, SECURITY_GROUP, SUBNET, VPC

    world, notes = network.world, network.notes
    kinds: tuple[tuple[Kind[Any], str], ...] = (
        (VPC, "VPCs"), (SUBNET, "subnets"), (NETWORK_INTERFACE, "interfaces"), (SECURITY_GROUP, "security groups"),
    )  # fmt: skip
    counts = ", ".join(f"{len(world.all(kind))} {name}" for kind, name in kinds)
    return [f"{len(notes.sources)} sources: {counts}", *_report(notes), _verdict(network)]


def _report(notes: Notes) -> list[str]:
    lists: tuple[tuple[str, list[str]], ...] = (
        ("not known, so that answers are unknown", [f"{p.element}: {p.why}" for p in notes.problems]),
        ("left out", [f"{p.element}: {p.why}" for p in notes.left_out]),
        ("not modelled", [f"{element}: {what}" for element, what in sorted(notes.not_modelled.items())]),
        ("unknown fields", _counted(notes.unknown_fields)),
        ("unknown resources", _counted(notes.unknown_resources)),
        ("made up, no answer depends on it", _counted(notes.made_up)),
        ("taken for granted", [f"{element}: {what}" for element, what in sorted(notes.assumed.items())]),
    )
    out = []
    for title, items in lists:
        if items:
            out += [f"{title}:", *(f"  {item}" for item in items)]
    return out


def _counted(counts: dict[str, int]) -> list[str]:
    return [f"{name} ({count})" for name, count in sorted(counts.items())]


def _verdict(network: Network) -> str:
    from ringfence.model.kinds import GAP, VPC

    vpcs = {gap.vpc_id for gap in network.world.all(GAP)} & {vpc.id for vpc in network.world.all(VPC)}
    if network.notes.whole:
        return "everything was understood"
    if vpcs:
        return f"answers about {', '.join(sorted(vpcs))} are unknown"
    return "answers are exact, but for what passes by elements that are not modelled: those are unknown"
