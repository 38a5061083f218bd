"""`ringfence flows`: what packets were seen, what has most of them, why they were refused; SQL over delivered files."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ringfence.cli.audit import positive
from ringfence.cli.common import CommandError, add_endpoint, control, running, show_json

#: option → metavar and help; each takes several values, separated by commas
_FILTERS = {
    "--interface": ("ENI", "at this interface"), "--instance": ("ID", "at this instance's interfaces"),
    "--vpc": ("ID", "in this VPC"), "--subnet": ("ID", "in this subnet"), "--account": ("ID", "of this account"),
    "--source": ("CIDR", "from an address of this block"), "--destination": ("CIDR", "to an address of this block"),
    "--address": ("CIDR", "from or to an address of this block"), "--port": ("N", "to this port"),
    "--source-port": ("N", "from this port"), "--protocol": ("tcp|udp|icmp|N", "of this protocol"),
    "--action": ("ACCEPT|REJECT", "accepted or refused"), "--direction": ("ingress|egress", "as the interface sees it"),
    "--layer": ("NAME", "refused here: sg-ingress, sg-egress, nacl-in, nacl-out …"),
    "--component": ("ID", "refused by this group or network ACL"), "--rule": ("N", "refused by this entry"),
}  # fmt: skip
_PROTOCOLS = {"icmp": "1", "tcp": "6", "udp": "17", "icmpv6": "58"}
_NAMES = {int(number): name for name, number in _PROTOCOLS.items()}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FOLLOW_SECONDS = 2.0


def add(commands: Any) -> None:
    p = commands.add_parser(
        "flows", help="what packets were seen, and why they were refused",
        description="Flows of the interfaces that a flow log covers, as the data plane counted them.",
    )  # fmt: skip
    add_endpoint(p)
    for option, (metavar, text) in _FILTERS.items():
        p.add_argument(option, metavar=metavar, help=text)
    p.add_argument("--since", type=moment, metavar="TIME", help="15m, 2h, 1d ago, or 2026-01-31T23:59:59Z")
    p.add_argument("--until", type=moment, metavar="TIME")
    p.add_argument("--last", type=positive, default=50, metavar="N", help="the newest N that fit (50)")
    p.add_argument("--follow", action="store_true", help="and what comes from now on, until interrupted")
    p.add_argument("--top", metavar="KEYS", help="what has most bytes, e.g. source,destination or component,rule")
    p.add_argument("--packets", action="store_true", help="with --top: most packets")
    p.set_defaults(run=run_flows)
    inner = p.add_subparsers(dest="flows_command", metavar="sql|suggest")
    suggest = inner.add_parser(
        "suggest", help="rules never needed, and the narrowest that would have done",
        description="Security group rules against what was recorded; nothing is changed.",
    )  # fmt: skip
    add_endpoint(suggest)
    suggest.add_argument(
        "--group", action="append", default=[], metavar="SG", help="only this group (default: all in use)"
    )
    suggest.add_argument("--since", type=moment, metavar="TIME", help="only what was recorded from then on")
    suggest.set_defaults(run=run_suggest)
    sql = inner.add_parser(
        "sql", help="SQL over delivered files (needs the extra `sql`)", description="The table is `flows`."
    )
    add_endpoint(sql)
    sql.add_argument("text", nargs="?", metavar="SQL")
    sql.add_argument("--query", metavar="NAME", help="one of the guide's predefined queries (--list)")
    sql.add_argument("--list", action="store_true", help="their names")
    sql.add_argument("--address", dest="of_address", metavar="A", help="what two of them ask about")
    sql.add_argument("--since", type=moment, metavar="TIME")
    sql.add_argument("--until", type=moment, metavar="TIME")
    sql.add_argument(
        "--files", type=Path, action="append", metavar="DIR", help="default: the buckets of the installation"
    )
    sql.add_argument("--csv", action="store_true")
    sql.set_defaults(run=run_sql)


def moment(text: str) -> float:
    """Seconds since 1970 of `15m` (ago) or a time in UTC. ArgumentTypeError."""
    if text[:-1].isdigit() and text[-1] in _UNITS:
        return time.time() - int(text[:-1]) * _UNITS[text[-1]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: 15m, 2h, or 2026-01-31T23:59:59Z") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _wanted(args: argparse.Namespace) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for option in _FILTERS:
        name = option.removeprefix("--")
        given = getattr(args, name.replace("-", "_"))
        if given:
            wanted[name] = (
                ",".join(_PROTOCOLS.get(one, one) for one in given.split(",")) if name == "protocol" else given
            )
    return wanted | {name: repr(value) for name in ("since", "until") if (value := getattr(args, name)) is not None}


# ---------------------------------------------------------------------- flows
def run_flows(args: argparse.Namespace) -> int:
    """One line for each flow, oldest first."""
    wanted = _wanted(args)
    if args.top:
        return _top(args, wanted)
    reply = control(args, {"do": "flows", "wanted": wanted, "limit": args.last})
    _hint(reply)
    if args.json and not args.follow:
        show_json(reply["flows"])
        return 0
    _show(args, reply["flows"])
    after = reply["last"] or 0
    while args.follow:
        time.sleep(_FOLLOW_SECONDS)
        reply = control(args, {"do": "flows", "wanted": wanted, "limit": 10_000, "after": after, "oldest": True})
        _show(args, reply["flows"])
        after = reply["last"]
    return 0


def _hint(reply: dict[str, Any]) -> None:
    if not reply["counting"]:
        text = (
            "nothing was counted yet: flows are those of interfaces that a flow log covers (aws ec2 create-flow-logs)"
        )
        print(f"ringfence flows: {text}", file=sys.stderr)
    elif not reply.get("flows", reply.get("top")):
        print("ringfence flows: none that fits so far; what passes is counted up to each full minute", file=sys.stderr)


def _show(args: argparse.Namespace, flows: list[dict[str, Any]]) -> None:
    for flow in flows:
        print(json.dumps(flow) if args.json else _line(flow), flush=args.follow)


def _line(flow: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(flow["end"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    source, destination = (_end(flow, side) for side in ("src", "dst"))
    protocol = _NAMES.get(flow["protocol"], f"proto {flow['protocol']}")
    text = (
        f"{at}  {flow['interface-id']:22} {flow['flow-direction']:8} {source:>24} → {destination:24} "
        f"{protocol:9} {flow['packets']:>6} packets {flow['bytes']:>9} bytes  {flow['action']}"
    )
    why = flow.get("ringfence-reason")
    if why is None:
        return text
    rule = f" rule {why['rule']}" if why["rule"] else ""
    return f"{text} at {why['layer']}" + (f" by {why['component']}{rule}" if why["component"] else "")


def _end(flow: dict[str, Any], side: str) -> str:
    """An address and its port; without one where the protocol has none."""
    address, port = flow[f"{side}addr"], flow[f"{side}port"]
    if flow["protocol"] not in (6, 17):
        return str(address)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _top(args: argparse.Namespace, wanted: dict[str, str]) -> int:
    keys = [key.strip() for key in args.top.split(",") if key.strip()]
    request = {"do": "flows", "wanted": wanted, "limit": args.last, "top": keys, "packets": args.packets}
    reply = control(args, request)
    _hint(reply)
    if args.json:
        show_json(reply["top"])
        return 0
    _table([*keys, "flows", "packets", "bytes"], [tuple(row.values()) for row in reply["top"]])
    return 0


def _table(names: list[str], rows: list[tuple[Any, ...]]) -> None:
    shown = [names, *([("-" if cell is None else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[n]) for row in shown) for n in range(len(names))]
    for row in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


# ---------------------------------------------------------------------- rules
def run_suggest(args: argparse.Namespace) -> int:
    """One line for each rule, with what would do instead; then the proof. Exit 1 when the proof fails."""
    wanted = {"since": repr(args.since)} if args.since is not None else {}
    reply = control(args, {"do": "flows-suggest", "wanted": wanted, "groups": args.group}, timeout=600)
    proof = reply["proof"]
    if args.json:
        show_json(reply)
        return 0 if proof["sound"] else 1
    for use in reply["rules"]:
        print(f"{use['group']}  {_rule(use['rule'])}  {use['verdict']} ({use['conversations']} conversations)")
        for rule in use["instead"] or []:
            print(f"    instead: {_rule(rule)}")
        if use["uncovered"] and not use["conversations"]:
            print(f"    not covered by a flow log: {', '.join(use['uncovered'][:5])}")
    print(_proof(reply["observed"], proof))
    return 0 if proof["sound"] else 1


def _rule(rule: dict[str, Any]) -> str:
    ports = "" if rule["from_port"] == -1 else f" {rule['from_port']}-{rule['to_port']}"
    return f"{rule['id']} {rule['direction']} {rule['protocol']}{ports} {rule['peer']}"


def _proof(observed: dict[str, Any], proof: dict[str, Any]) -> str:
    text = (
        f"of {observed['flows']} records: {proof['replayed']} conversations replayed against the rules suggested, "
        f"{len(proof['refused'])} refused; reachability: {len(proof['opened'])} opened, {proof['closed']} closed, "
        f"{len(proof['unknown'])} unknown"
    )
    if proof["unexplained"]:
        text += f"; {proof['unexplained']} no rule of now admits"
    return text + (
        "" if proof["sound"] else " - NOT proven: " + "; ".join(proof["opened"] + proof["unknown"] + proof["refused"])
    )


# ---------------------------------------------------------------------- SQL
def run_sql(args: argparse.Namespace) -> int:
    """Rows of an own or a predefined query."""
    from ringfence import flow_sql
    from ringfence.insight.flowlogs.queries import BY_NAME, QUERIES
    from ringfence.sealed_files import CannotOpen, SealedFiles

    if args.list:
        _table(["query", "what"], [(query.name, query.description) for query in QUERIES])
        return 0
    if bool(args.text) == bool(args.query):
        raise CommandError("either SQL or --query NAME must be given", 2)
    if args.query and args.query not in BY_NAME:
        raise CommandError(f"there is no predefined query {args.query!r}: --list has their names", 2)
    bounds = [None if value is None else int(value) for value in (args.since, args.until)]
    sealed = SealedFiles(lambda: running(args.endpoint))
    try:
        sql = args.text or BY_NAME[args.query].text(flow_sql.VIEW, flow_sql.between(*bounds), args.of_address or "")
        places = args.files or [Path(running(args.endpoint).run).parent / "buckets"]
        db = flow_sql.connect(places, sealed.plain)
        names, rows = flow_sql.run(db, sql)
    except ImportError:
        raise CommandError("needs DuckDB: pip install 'ringfence[sql]'") from None
    except ValueError as problem:
        raise CommandError(f"{problem}: give it with --address", 2) from None
    except (flow_sql.NoFiles, CannotOpen) as problem:
        raise CommandError(str(problem)) from None
    except Exception as problem:
        if type(problem).__module__.partition(".")[0] not in ("duckdb", "_duckdb"):
            raise
        raise CommandError(str(problem), 2) from None
    finally:
        sealed.close()
    return _rows(args, names, rows)


def _rows(args: argparse.Namespace, names: list[str], rows: list[tuple[Any, ...]]) -> int:
    if args.json:
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, default=str))
    elif args.csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows(rows)
    elif names:
        _table(names, rows)
    return 0
