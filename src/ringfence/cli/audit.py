"""`ringfence audit`: who called what, and is the record of it whole?"""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import add_endpoint, control, show_json

#: option -> (what the console calls it, metavar, help)
_WANTED = {
    "--event": ("event", "NAME", "calls of this name, e.g. AuthorizeSecurityGroupIngress"),
    "--user": ("user", "NAME", "calls of this user, role session or access key"),
    "--resource": ("resource", "ID", "calls that name this resource in their parameters or reply"),
    "--service": ("service", "NAME", "calls of this service: ec2, iam, sts, …"),
    "--since": ("since", "TIME", "calls from this time on: 2026-01-31, or 2026-01-31T23:59:59Z"),
}


def add(commands: Any) -> None:
    audit = commands.add_parser("audit", help="who called what, and is the record of it whole?")
    add_endpoint(audit)
    audit.add_argument("--last", type=positive, default=50, metavar="N", help="the newest N calls that fit (50)")
    for option, (name, metavar, text) in _WANTED.items():
        audit.add_argument(option, dest=f"wanted_{name}", metavar=metavar, help=text)
    audit.add_argument("--refused", action="store_true", help="only calls that were refused")
    audit.add_argument(
        "--verify", action="store_true", help="follow the seals of all records; fails when one does not fit"
    )
    audit.add_argument(
        "--seal",
        type=_seal,
        metavar="HEX",
        help="with --verify: a seal printed earlier that must still be in the trail",
    )
    audit.set_defaults(run=run_audit)


def positive(text: str) -> int:
    """A whole number above 0. ArgumentTypeError otherwise."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def _seal(text: str) -> str:
    try:
        if len(bytes.fromhex(text)) == 32:
            return text.lower()
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a seal of 64 hexadecimal digits")


def run_audit(args: argparse.Namespace) -> int:
    """One line per call, oldest first; or the verdict on the whole trail."""
    if args.verify:
        return _verify(args)
    wanted = {name: getattr(args, f"wanted_{name}") for name, _, _ in _WANTED.values()}
    wanted["refused"] = "yes" if args.refused else None
    records = control(args, {"do": "audit", "last": args.last, "wanted": wanted})["records"]
    if args.json:
        show_json(records)
        return 0
    for record in records:
        who = record["userIdentity"].get("arn") or record["userIdentity"].get("accessKeyId") or "-"
        print(f"{record['eventTime']}  {record['eventSource'].split('.')[0]}:{record['eventName'] or '-'}  {who}  "
              f"{record['sourceIPAddress']}  {record.get('errorCode', 'ok')}")  # fmt: skip
    return 0


def _verify(args: argparse.Namespace) -> int:
    found = control(args, {"do": "audit-verify", "seal": args.seal}, timeout=600)
    lost = args.seal is not None and found["seal_found"] is None
    if args.json:
        show_json(found)
        return 1 if found["broken"] or lost else 0
    if found["unsealed"]:
        print(f"{found['unsealed']} records are older than sealing: nothing can be said about them")
    if found["broken"]:
        print(
            f"BROKEN at record {found['broken']['record']}: {found['broken']['why']}; {found['records']} before it are whole"
        )
    else:
        print(f"{found['records']} records, whole; newest seal {found['seal']}")
    if lost:
        print("the seal given is not in the trail: records were cut off, or it is another installation's")
    return 1 if found["broken"] or lost else 0
