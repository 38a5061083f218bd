"""`ringfence up`: serve."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import math
import re
from pathlib import Path
from typing import Any

from ringfence.certificates import general_names, names_of
from ringfence.cli.common import CommandError
from ringfence.model.regions import REGIONS
from ringfence.notes import default_home
from ringfence.settings import Settings, SettingsError

#: how many times AWS's request rates an ephemeral installation allows: test suites do not wait, runaway loops end
RAISED = 1000.0


def add(commands: Any) -> None:
    p = commands.add_parser("up", help="serve a VPC", description="Serve the AWS APIs and enforce what they say.")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--data", type=Path, metavar="DIR", help="keep state here (default: ~/.local/share/ringfence)")
    where.add_argument("--ephemeral", action="store_true", help="forget everything at the end")
    p.add_argument("--listen", default="127.0.0.1:4566", metavar="HOST:PORT")
    p.add_argument("--dataplane", choices=("auto", "nftables", "ovn", "none"), default="auto")
    p.add_argument("--account-id", metavar="N")
    p.add_argument("--region", default="us-east-1", help="the Region that `ringfence env` names")
    p.add_argument("--root-access-key", metavar="ID")
    p.add_argument("--root-secret-key", metavar="S")
    p.add_argument("--ready-file", type=Path, metavar="F", help="written once requests are answered")
    p.add_argument("--tls-cert", type=Path, metavar="PEM")
    p.add_argument("--tls-key", type=Path, metavar="PEM")
    p.add_argument(
        "--tls-name",
        action="append",
        default=[],
        metavar="NAME",
        help="serve TLS with a certificate of an own authority, for this name too (`ringfence env` has the CA)",
    )
    p.add_argument("--quota", action="append", default=[], metavar="NAME=N", help="change a quota, by name or code")
    p.add_argument("--quotas", choices=("aws", "lab"), help="lab raises counts per Region (default with --ephemeral)")
    p.add_argument(
        "--rate-limits",
        type=_rates,
        metavar="aws|off|FACTOR",
        help=f"request rates of each account: AWS's, none, or that many times AWS's (default: aws; {RAISED:g} with --ephemeral)",
    )
    p.add_argument("--images", action="append", default=[], type=Path, metavar="DIR",
                   help="RegisterImage may name what is in this directory (default: DATA/images)")  # fmt: skip
    p.add_argument(
        "--trail-interval", type=_seconds, default=300.0, metavar="SECONDS", help="how often trails are delivered (300)"
    )
    p.add_argument(
        "--flow-log-interval",
        type=_seconds,
        default=300.0,
        metavar="SECONDS",
        help="how often flow logs are delivered (300)",
    )
    p.add_argument(
        "--flow-count", choices=("auto", "cut"), default="auto",
        help="where flow logs count, TCP's larger pieces are left whole if this process may load a program that tells their "
        "segments (auto), or always cut to packets (cut)",
    )  # fmt: skip
    p.add_argument(
        "--encrypt-buckets",
        action="store_true",
        help="seal objects of every bucket, as Amazon S3 does (default: plain files where neither request nor bucket asks)",
    )
    p.add_argument(
        "--fips",
        action="store_true",
        help="use algorithms that FIPS approves only; says whether a validated module computes them",
    )
    p.add_argument("--firehose", action="append", default=[], metavar="NAME=URL",
                   help="a delivery stream for flow logs of the root account: an HTTPS endpoint for Firehose's requests")  # fmt: skip
    p.add_argument("--firehose-key-file", action="append", default=[], metavar="NAME=F", help="its access key")
    p.add_argument("--metrics-token-file", type=Path, metavar="F",
                   help="/_ringfence/metrics asks for the token in this file (default: it answers this machine alone)")  # fmt: skip
    p.add_argument(
        "--import", dest="imported", type=Path, metavar="PATH",
        help="start with a network from files (see `ringfence import`); the installation must be new",
    )  # fmt: skip
    p.add_argument("--assume-defaults", action="store_true", help="with --import: as for `ringfence import`")
    p.set_defaults(run=run)


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 3600")
    return float(text)


def _rates(text: str) -> float:
    """What multiplies AWS's request rates; infinity for none. ArgumentTypeError otherwise."""
    named = {"aws": 1.0, "off": math.inf}
    try:
        factor = named[text] if text in named else float(text)
    except ValueError:
        factor = math.nan
    if not factor > 0 or (math.isinf(factor) and text != "off"):
        raise argparse.ArgumentTypeError(f"aws, off or a number above 0, not {text!r}")
    return factor


def _listen(text: str) -> tuple[str, int]:
    if "@" in text or "/" in text:  # DATA-07: not echoed either
        raise CommandError("--listen takes HOST:PORT, neither a URL nor credentials", 2)
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise CommandError(f"--listen takes HOST:PORT, not {text!r}", 2)
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _image_directories(given: list[Path]) -> tuple[Path, ...]:
    for path in given:
        if not path.is_dir():
            raise CommandError(f"--images takes a directory, and {path} is none", 2)
    return tuple(path.resolve() for path in given)


def _tls_names(args: argparse.Namespace, host: str) -> tuple[str, ...]:
    """The names of a certificate of our own: wanted anywhere but on loopback, where plain HTTP is good enough (DATA-01)."""
    if args.tls_cert or (_is_loopback(host) and not args.tls_name):
        return ()
    try:
        names = names_of(host, args.tls_name)
        general_names(names)
    except ValueError as problem:
        raise CommandError(f"--tls-name takes a DNS name or an address: {problem}", 2) from None
    return names


def _factor(args: argparse.Namespace) -> float | None:
    given: float | None = args.rate_limits
    if given is None:
        return RAISED if args.ephemeral else 1.0
    return None if math.isinf(given) else given


def _quotas(given: list[str]) -> dict[str, int]:
    out = {}
    for item in given:
        name, _, value = item.partition("=")
        if not (value.isascii() and value.isdigit()):
            raise CommandError(f"--quota takes NAME=N, not {item!r}", 2)
        out[name] = int(value)
    return out


_STREAM = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _streams(given: list[str], keys: list[str]) -> tuple[tuple[str, str, Path | None], ...]:
    """CommandError (status 2). An address is not echoed: it may hold a secret."""
    addresses = {name: url for name, _, url in (item.partition("=") for item in given)}
    files = {name: Path(file) for name, _, file in (item.partition("=") for item in keys)}
    if any(not _STREAM.fullmatch(name) for name in addresses) or len(addresses) != len(given):
        raise CommandError("--firehose takes NAME=URL, each name once", 2)
    if unknown := sorted(set(files) - set(addresses)):
        raise CommandError(
            f"--firehose-key-file takes NAME=F of a --firehose, and there is none called {unknown[0]!r}", 2
        )
    return tuple((name, url, files.get(name)) for name, url in addresses.items())


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted. Exit 2 for settings that make no sense."""
    settings = settings_of(args)
    from ringfence.app import serve  # takes half a second: not for the other commands, nor for bad usage
    from ringfence.store.sqlite import StoreError

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return serve(settings)
    except (SettingsError, StoreError) as problem:
        raise CommandError(str(problem), 2) from None


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that the options mean. CommandError (status 2) for what makes no sense."""
    host, port = _listen(args.listen)
    _refuse(args, host)
    data = None if args.ephemeral else (args.data or Path.home() / ".local" / "share" / "ringfence")
    return Settings(
        data=data.absolute() if data else None, host=host, port=port, dataplane=args.dataplane,
        account_id=args.account_id, region=args.region, access_key=args.root_access_key,
        secret_key=args.root_secret_key, ready_file=args.ready_file,
        tls=(args.tls_cert, args.tls_key) if args.tls_cert else None, tls_names=_tls_names(args, host), quotas=_quotas(args.quota),
        lab=(args.quotas or ("lab" if args.ephemeral else "aws")) == "lab", home=default_home(),
        images=_image_directories(args.images), rate_factor=_factor(args),
        trail_seconds=args.trail_interval, flow_seconds=args.flow_log_interval,
        flow_count=args.flow_count, metrics_token=args.metrics_token_file,
        streams=_streams(args.firehose, args.firehose_key_file),
        fips=args.fips,
        encrypt_buckets=args.encrypt_buckets,
        imported=args.imported, assume_defaults=args.assume_defaults,
    )  # fmt: skip


def _refuse(args: argparse.Namespace, host: str) -> None:
    """CommandError for options that contradict each other or ask for what is not there."""
    refusals = (
        (bool(args.tls_cert) != bool(args.tls_key), "--tls-cert and --tls-key belong together"),
        (
            bool(args.tls_cert and args.tls_name),
            "--tls-name is for a certificate that ringfence makes: not with --tls-cert",
        ),
        (args.dataplane == "ovn", "the OVN data plane is not supported yet: use nftables, or none"),
        (args.region not in REGIONS, f"unknown Region {args.region!r}"),
        (
            bool(args.root_access_key) != bool(args.root_secret_key),
            "--root-access-key and --root-secret-key belong together",
        ),
    )
    for wrong, message in refusals:
        if wrong:
            raise CommandError(message, 2)
