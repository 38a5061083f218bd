"""The arguments that trace and probe share: SOURCE, DESTINATION and the packet."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ringfence.cli.common import add_endpoint

_PORTED = ("tcp", "udp", "6", "17")


def add_packet(parser: argparse.ArgumentParser) -> None:
    """SOURCE DESTINATION and the packet's fields."""
    parser.add_argument("source", metavar="SOURCE", help="i-…, eni-… or internet:ADDRESS")
    parser.add_argument("destination", metavar="DESTINATION", help="an address, i-…, eni-… or internet:ADDRESS")
    parser.add_argument("--protocol", default="tcp", help="tcp, udp, icmp, icmpv6 or a number (default tcp)")
    parser.add_argument("--port", type=int, help="destination port")
    parser.add_argument("--source-port", type=int)
    parser.add_argument("--icmp-type", type=int)
    parser.add_argument("--icmp-code", type=int)
    parser.add_argument("--ipv6", action="store_true", help="use the IPv6 addresses of SOURCE and DESTINATION")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="packets or connections (probe)")
    parser.add_argument("--size", type=int, default=32, metavar="B", help="payload bytes (probe)")
    parser.add_argument("--timeout", type=float, default=2, metavar="S", help="how long to wait for answers (probe)")
    add_endpoint(parser)


def request_of(args: argparse.Namespace, do: str) -> dict[str, Any]:
    """The arguments as a control request."""
    names = ("source", "destination", "protocol", "port", "source_port", "icmp_type", "icmp_code", "ipv6", "count", "size",
             "timeout")  # fmt: skip
    return {"do": do, **{name: getattr(args, name) for name in names if getattr(args, name) is not None}}


def say_which_port(args: argparse.Namespace) -> None:
    """Whoever names no port asks about port 0, and seldom means it."""
    if args.port is None and args.protocol.lower() in _PORTED:
        print(f"note: no --port was given, so this is about {args.protocol} port 0", file=sys.stderr)
