"""`ringfence account`: the accounts of an installation."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import add_endpoint, control, show_json


def add(commands: Any) -> None:
    account = commands.add_parser("account", help="the accounts of an installation")
    actions = account.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="a new account and its root key, shown once")
    create.add_argument("--name", metavar="N")
    create.add_argument("--email", metavar="E")
    create.add_argument("--id", metavar="DIGITS", help="its 12 digits (default: drawn)")
    add_endpoint(create)
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="every account, with its organization and root keys")
    add_endpoint(listing)
    listing.set_defaults(run=run_list)
    key = actions.add_parser("key", help="a root key of an account that has none or one, shown once")
    key.add_argument("id", metavar="ACCOUNT")
    add_endpoint(key)
    key.set_defaults(run=run_key)
    revoke = actions.add_parser("revoke", help="end every session of a role that was made until now")
    revoke.add_argument("role", metavar="ROLE_ARN")
    add_endpoint(revoke)
    revoke.set_defaults(run=run_revoke)


def run_create(args: argparse.Namespace) -> int:
    """The number, the key and its secret, which is kept nowhere else."""
    wanted = {"name": args.name, "email": args.email, "id": args.id}
    return _show(args, control(args, {"do": "account-create", **wanted}))


def run_key(args: argparse.Namespace) -> int:
    """Likewise, for an account that exists."""
    return _show(args, control(args, {"do": "account-key", "id": args.id}))


def run_revoke(args: argparse.Namespace) -> int:
    """Temporary credentials of the role are refused from now on; new ones can be got."""
    done = control(args, {"do": "account-revoke", "role": args.role})
    if args.json:
        show_json(done)
    else:
        print(f"{done['role']}: its sessions are revoked")
    return 0


def _show(args: argparse.Namespace, made: dict[str, Any]) -> int:
    if args.json:
        show_json(made)
        return 0
    print(f"account {made['account_id']}  {made['name']}  {made['email']}")
    print(f"root key {made['access_key']}  secret {made['secret_key']}  (shown once; kept sealed)")
    return 0


def run_list(args: argparse.Namespace) -> int:
    """One line for each account."""
    found = control(args, {"do": "account-list"})["accounts"]
    if args.json:
        show_json(found)
        return 0
    for one in found:
        keys = ", ".join(one["root_keys"]) or "-"
        print(
            f"{one['account_id']}  {one['status']:9}  {one['organization'] or '-':12}  {one['name']}  {one['email']}  {keys}"
        )
    return 0
