"""`ringfence oidc-keys`: the keys that tokens of an OpenID Connect provider are checked with; nothing is fetched (IAM-12)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ringfence.cli.common import CommandError, add_endpoint, control, show_json


def add(commands: Any) -> None:
    keys = commands.add_parser("oidc-keys", help="give an OpenID Connect provider its keys")
    add_endpoint(keys)
    keys.add_argument("provider", metavar="ARN", help="the provider, as CreateOpenIDConnectProvider named it")
    keys.add_argument("file", type=Path, help="its JSON Web Key Set, as the provider publishes it (jwks_uri)")
    keys.set_defaults(run=run_keys)


def run_keys(args: argparse.Namespace) -> int:
    """Replace the provider's key set."""
    try:
        text = args.file.read_text()
    except (OSError, ValueError) as problem:
        raise CommandError(f"cannot read {args.file}: {problem}", 2) from None
    reply = control(args, {"do": "oidc-keys", "provider": args.provider, "keys": text})
    if args.json:
        show_json(reply)
    else:
        print(f"{args.provider}: {reply['keys']} keys")
    return 0
