"""`ringfence doctor`: what this machine can do, and how to mend what is missing."""

from __future__ import annotations

import argparse
import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.cli.common import show_json


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement of the data plane."""

    name: str
    passes: Callable[[], bool]
    remedy: str


def _user_namespaces() -> bool:
    if os.geteuid() == 0:
        return Path("/proc/self/ns/user").exists()
    done = subprocess.run([sys.executable, "-c", _UNSHARE], capture_output=True, check=False, timeout=20)
    return done.returncode == 0


_UNSHARE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000 | 0x40000000))"


def _has(program: str) -> bool:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


CHECKS = (
    Check("Linux", lambda: sys.platform == "linux", "packets are enforced on Linux only; the API works anywhere"),
    Check("user and network namespaces", _user_namespaces,
          "allow them: sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0"),
    Check("libnftables", lambda: ctypes.util.find_library("nftables") is not None, "apt-get install libnftables1"),
    Check("bubblewrap", lambda: _has("bwrap"), "apt-get install bubblewrap"),
    Check("ip", lambda: _has("ip"), "apt-get install iproute2"),
    Check("python3 for guests", lambda: Path("/usr/bin/python3").exists(), "apt-get install python3"),
    Check("nf_conntrack", lambda: Path("/proc/sys/net/netfilter").exists(), "modprobe nf_conntrack nf_tables"),
)  # fmt: skip


def add(commands: Any) -> None:
    parser = commands.add_parser("doctor", help="what this machine can do", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when everything is there."""
    results = [(check, check.passes()) for check in CHECKS]
    if args.json:
        show_json([{"check": c.name, "ok": ok, "remedy": None if ok else c.remedy} for c, ok in results])
    else:
        for check, ok in results:
            print(f"{'ok  ' if ok else 'MISS'}  {check.name}" + ("" if ok else f"  ->  {check.remedy}"))
        print("note: flow logs (and so exact packet counts) are not there yet")
    return 0 if all(ok for _, ok in results) else 1
