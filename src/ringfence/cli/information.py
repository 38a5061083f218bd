"""`ringfence env`, `status`, `metrics`, `wait`: what is running."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from ringfence.cli.common import add_endpoint, control, running, show_json


def add(commands: Any) -> None:
    env = commands.add_parser("env", help="shell exports for AWS clients", description='eval "$(ringfence env)"')
    add_endpoint(env)
    env.set_defaults(run=run_env)
    status = commands.add_parser("status", help="what is served, and how far the packets are")
    add_endpoint(status)
    status.set_defaults(run=run_status)
    metrics = commands.add_parser("metrics", help="what the installation measures of itself, as Prometheus reads it")
    add_endpoint(metrics, as_json=False)
    metrics.set_defaults(run=run_metrics)
    wait = commands.add_parser("wait", help="until the newest rules are in force")
    add_endpoint(wait)
    wait.add_argument("--timeout", type=float, default=30, metavar="SECONDS")
    wait.set_defaults(run=run_wait)


def run_env(args: argparse.Namespace) -> int:
    """Exports, or JSON."""
    note = running(args.endpoint)
    values = {
        "AWS_ENDPOINT_URL": note.endpoint,
        "AWS_ACCESS_KEY_ID": note.access_key,
        "AWS_SECRET_ACCESS_KEY": note.secret_key,
        "AWS_DEFAULT_REGION": note.region,
        "AWS_REGION": note.region,
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # Live Tail: there is one name here, that of the endpoint
    }
    if note.ca:
        values["AWS_CA_BUNDLE"] = note.ca
    if args.json:
        show_json(values)
        return 0
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    print("unset AWS_SESSION_TOKEN AWS_PROFILE")
    return 0


def run_status(args: argparse.Namespace) -> int:
    """One line for the installation, one per VPC."""
    status = control(args, {"do": "status"})
    if args.json:
        show_json(status)
        return 0
    print(f"{status['endpoint']}  data plane {status['dataplane']}  generation {status['applied_generation']} of "
          f"{status['generation']} applied")  # fmt: skip
    if status.get("problem"):
        print(f"problem: {status['problem']}")
    drift = status.get("drift") or {}
    if drift.get("found") or drift.get("closed"):
        closed = f"; closed: {', '.join(drift['closed'])}" if drift["closed"] else ""
        print(f"drift: {drift['found']} found, {drift['repaired']} repaired, {drift['left']} left{closed}")
    counting = status.get("flow_count")
    if counting:
        why = f" ({counting['why']})" if "why" in counting else ""
        print(f"flow logs count segments as links {'tell' if counting['segments'] == 'told' else 'cut'} them{why}")
    for vpc in status["vpcs"]:
        print(f"{vpc['vpc_id']}  {vpc['region']:14} {vpc['cidr']:18} {vpc['subnets']:4} subnets {vpc['interfaces']:5} "
              f"interfaces {vpc['instances']:5} running")  # fmt: skip
    return 0


def run_metrics(args: argparse.Namespace) -> int:
    """The text of `/_ringfence/metrics`."""
    print(control(args, {"do": "metrics"})["text"], end="")
    return 0


def run_wait(args: argparse.Namespace) -> int:
    """Quiet; fails when the time is up."""
    reply = control(args, {"do": "wait", "timeout": args.timeout}, timeout=args.timeout + 10)
    if args.json:
        show_json(reply)
    return 0
