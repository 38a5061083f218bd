"""`ringfence doctor`: what this machine can do, and how to mend what is missing."""

from __future__ import annotations

import argparse
import ctypes.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.cli.common import show_json

#: what `ringfence.dataplane.selftest` found: step -> "" or why it failed; a step that is not there was not tried
Trial = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement of the data plane. `problem` gives "" when it is met, else what is wrong."""

    name: str
    problem: Callable[[Trial], str]
    remedy: str


def _program(name: str) -> Callable[[Trial], str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return lambda _: "" if shutil.which(name, path=path) else "not found"


def _tried(step: str) -> Callable[[Trial], str]:
    return lambda trial: trial.get(step, "not tried")


CHECKS = (
    Check("Linux", lambda _: "" if sys.platform == "linux" else sys.platform, "packets are enforced on Linux only"),
    Check("ip", _program("ip"), "apt-get install iproute2"),
    Check("nft", _program("nft"), "apt-get install nftables"),
    Check("libnftables", lambda _: "" if ctypes.util.find_library("nftables") else "not found",
          "apt-get install libnftables1"),
    Check("bubblewrap", _program("bwrap"), "apt-get install bubblewrap"),
    Check("python3 for guests", lambda _: "" if Path("/usr/bin/python3").exists() else "no /usr/bin/python3",
          "apt-get install python3"),
    Check("user and network namespaces", _tried("namespaces"),
          "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 "
          "kernel.apparmor_restrict_unprivileged_userns=0 (those that exist); in a container: --privileged"),
    Check("virtual links and policy routing", _tried("links"), "a kernel with veth and IP_MULTIPLE_TABLES; modprobe veth"),
    Check("nftables rules in the kernel", _tried("rules"),
          "Linux 5.15 or newer; modprobe nf_tables nf_conntrack nft_fib_inet nft_ct"),
    Check("guests in a sandbox", _tried("guests"), "see the lines above; in a container: an unmasked /proc"),
)  # fmt: skip


def add(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="what this machine can do", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def trial() -> Trial:
    """Try the kernel's part for real, in throw-away namespaces."""
    command = [sys.executable, "-m", "ringfence.dataplane.selftest"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        found: Trial = json.loads(done.stdout)
    except (ValueError, subprocess.TimeoutExpired) as problem:
        return {"namespaces": f"the trial ended early: {problem}"}
    return found


def run(args: argparse.Namespace) -> int:
    """Exit 0 when everything is there."""
    return report(trial(), as_json=args.json)


def report(found: Trial, *, as_json: bool) -> int:
    """Print one line for each check; exit status 0 when all are met."""
    results = [(check, check.problem(found)) for check in CHECKS]
    if as_json:
        show_json([{"check": c.name, "ok": not wrong, "problem": wrong or None, "remedy": c.remedy if wrong else None}
                   for c, wrong in results])  # fmt: skip
    else:
        for check, wrong in results:
            print(f"MISS  {check.name}: {wrong}  ->  {check.remedy}" if wrong else f"ok    {check.name}")
        print(
            "note: guests keep to 1 GiB of memory by resource limits and a watch in the keeper, not by a control group"
        )
        print("note: flow logs (and so exact packet counts) are not there yet")
    return 0 if not any(wrong for _, wrong in results) else 1
