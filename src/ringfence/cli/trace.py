"""`ringfence trace`: the analysis, without packets: hop by hop, why not, and what would let the packet through."""

from __future__ import annotations

import argparse
from typing import Any

from ringfence.cli.common import control, show_json
from ringfence.cli.networks import add_from, answered
from ringfence.cli.targets import add_packet, request_of, say_which_port

#: exit status when something that is not known decides
UNKNOWN = 3


def add(commands: Any) -> None:
    parser = commands.add_parser("trace", help="which rule decides, by analysis", description=__doc__)
    add_packet(parser)
    add_from(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when the packet and its answer arrive, 1 otherwise, 2 for bad usage, 3 when it is not known."""
    answer = _answer(args)
    if args.json:
        show_json(answer)
    else:
        print("\n".join(lines(answer)))
    return {"ok": 0, "unknown": UNKNOWN}.get(answer["outcome"], 1)


def _answer(args: argparse.Namespace) -> dict[str, Any]:
    request = request_of(args, "trace")
    if args.network is None:
        answer: dict[str, Any] = control(args, request)
        say_which_port(args)
        return answer
    from ringfence.insight.reach.trace import trace_request

    answer = answered(args, request, trace_request)
    say_which_port(args)
    return answer


# ---------------------------------------------------------------------- for people
def lines(answer: dict[str, Any]) -> list[str]:
    """The packet, a table of hops, the verdict with its reason, and what to do."""
    packet = answer["packet"]
    out = [f"{packet['source']} -> {packet['destination']}  {_service(packet)}"]
    out += hop_table(answer["hops"])
    if answer["outcome"] == "unknown":
        unknown = answer["unknown"]
        return [*out, f"unknown: {unknown['component']}: {unknown['why']}"]
    out.append(answer["outcome"] + (f" at {answer['dropped_at']}" if "dropped_at" in answer else ""))
    if "reason" in answer:
        out += [f"why: {answer['reason']}", *_fixes(answer["fix"])]
    for other in answer.get("also_blocking", []):
        out += [f"also, at {other['layer']}: {other['reason']}", *_fixes(other["fix"])]
    return out


def hop_table(hops: list[dict[str, Any]]) -> list[str]:
    """Hops, one a line, under a heading."""
    return _table([_row(number, hop) for number, hop in enumerate(hops, 1)])


def _fixes(commands: list[str]) -> list[str]:
    return [f"  {'fix' if n == 0 else ' or'}: {command}" for n, command in enumerate(commands)]


def _service(packet: dict[str, Any]) -> str:
    if "port" in packet:
        return f"{packet['protocol']} port {packet['port']} from port {packet['source_port']}"
    if "icmp_type" in packet:
        return f"{packet['protocol']} type {packet['icmp_type']} code {packet['icmp_code']}"
    return f"protocol {packet['protocol']}"


def _row(number: int, hop: dict[str, Any]) -> tuple[str, ...]:
    passed = "pass" if hop["allowed"] else "DROP"
    layer = hop["layer"].replace("no-route", "route") if hop["allowed"] else hop["layer"]  # there is one
    return str(number), passed, layer, hop.get("interface") or "", hop["component"], _rule(hop)


def _rule(hop: dict[str, Any]) -> str:
    rule = hop.get("rule") or {}
    if "peer" in rule:
        ports = "" if rule["from_port"] < 0 else f" {rule['from_port']}-{rule['to_port']}"
        entry = f" ({rule['entry']})" if "entry" in rule else ""
        way = "to" if rule["direction"] == "egress" else "from"
        return f"{rule['id']}: {rule['protocol']}{ports} {way} {rule['peer']}{entry}"
    if "number" in rule:
        ports = f" {rule['from_port']}-{rule['to_port']}" if "from_port" in rule else ""
        what = (
            f" {'all' if rule['protocol'] == '-1' else 'protocol ' + rule['protocol']}{ports} {rule['cidr']}"
            if "cidr" in rule
            else ""
        )
        return f"entry {rule['number']}: {rule['action']}{what}"
    if "destination" in rule:
        target = f" -> {rule['target']}" if "target" in rule else ""
        listed = f" of {rule['prefix_list']}" if "prefix_list" in rule else ""
        return f"{rule['destination'] or 'no route'}{listed}{target}"
    if rule.get("reason"):
        return str(rule["reason"])
    return str(rule.get("id") or "")


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    head = ("#", "", "layer", "interface", "element", "rule")
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
