"""Which network a command is about: the running installation's, or one from files (`--from`)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringfence.cli.common import CommandError, control

if TYPE_CHECKING:  # they take a tenth of a second: not for commands that ask the running installation
    from ringfence.insight.imports.draft import Options
    from ringfence.insight.imports.load import Network
    from ringfence.model.world import World


def add_import_options(parser: argparse.ArgumentParser) -> None:
    """What an import may be told."""
    parser.add_argument("--account-id", metavar="N", help="the account of records that do not name theirs")
    parser.add_argument("--region", help="the Region of records that do not tell theirs")
    parser.add_argument(
        "--assume-defaults",
        action="store_true",
        help="default network ACLs, groups and main route tables that a Terraform state does not manage are as AWS made them",
    )

    parser.add_argument(
        "--assume-locals",
        action="store_true",
        help="a local value of a Terraform plan that names a VPC names the only one of its module",
    )


def add_from(parser: argparse.ArgumentParser) -> None:
    """`--from`, with what an import may be told."""
    parser.add_argument(
        "--from",
        dest="network",
        type=Path,
        metavar="PATH",
        help="of a network in files instead of the running one: recorded output, Terraform plan or state, snapshot",
    )
    add_import_options(parser)


def options_of(args: argparse.Namespace) -> Options:
    """The options. CommandError for what makes no sense."""
    from ringfence.insight.imports.draft import Options, is_region

    if args.account_id and not (args.account_id.isascii() and args.account_id.isdigit() and len(args.account_id) == 12):
        raise CommandError("--account-id takes 12 digits", 2)
    if args.region and not is_region(args.region):
        raise CommandError(f"unknown Region {args.region!r}", 2)
    return Options(args.account_id, args.region, args.assume_defaults, args.assume_locals)


def imported(args: argparse.Namespace, path: Path) -> Network:
    """The network of a path. CommandError, status 2, when there is none."""
    from ringfence.insight.imports.load import load
    from ringfence.insight.imports.notes import ImportProblem

    try:
        return load(path, options_of(args))
    except ImportProblem as problem:
        raise CommandError(str(problem), 2) from None


def of_installation(args: argparse.Namespace) -> Network:
    """The network of the running installation."""
    from ringfence.insight.imports.load import from_documents

    return from_documents([("the running installation", control(args, {"do": "snapshot"}, timeout=300))])


def network_of(args: argparse.Namespace) -> Network:
    """The network a command is about."""
    return imported(args, args.network) if args.network is not None else of_installation(args)


def answered(
    args: argparse.Namespace, request: dict[str, Any], answer: Callable[[World, dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """What is asked between two ends of a network in files, whose own names for them count. CommandError for what cannot be told."""
    network = imported(args, args.network)
    names = network.notes.names
    told = answer(
        network.world, request | {end: names.get(request[end], request[end]) for end in ("source", "destination")}
    )
    if "error" in told:
        raise CommandError(str(told["error"]), int(told.get("status", 1)))
    return told
