"""Tries, in throw-away namespaces, everything the data plane needs of the kernel; one JSON object on stdout.

Run as a process of its own: it gives up root, enters a new user namespace and ends. `{name: "" or why it failed}`.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Callable

from ringfence.dataplane import linux

_RULES = """
add table inet selftest
add set inet selftest many { type ipv4_addr . inet_proto . inet_service; flags interval; }
add element inet selftest many { 10.0.0.0/8 . tcp . 80-90 }
add ct timeout inet selftest short { protocol tcp; l3proto ip; policy = { established : 100 }; }
add chain inet selftest early { type filter hook prerouting priority -450; policy accept; }
add chain inet selftest zone { type filter hook prerouting priority -300; policy accept; }
add rule inet selftest zone ct zone set 7
add chain inet selftest pass { type filter hook forward priority 0; policy drop; }
add rule inet selftest pass ct mark . ct direction { 1 . original, 2 . reply } accept
add rule inet selftest pass ip saddr . ip protocol . th dport @many ct mark set 1 accept
add rule inet selftest zone fib daddr . mark oifname vmap { "lo" : accept }
add table ip selfnat
add chain ip selfnat pre { type filter hook prerouting priority -300; policy accept; }
add rule ip selfnat pre ip daddr set ip daddr map { 203.0.113.1 : 10.0.0.1 }
"""


def _namespaces() -> None:
    linux.drop_root()
    linux.new_user_namespace(linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", "/run", "tmpfs", data="mode=755")


def _links() -> None:
    _run("ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0")
    _run("ip", "rule", "add", "fwmark", "1/0xffff", "lookup", "1001")


def _rules() -> None:
    library = ctypes.CDLL("libnftables.so.1")
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    library.nft_ctx_buffer_error(context)
    if library.nft_run_cmd_from_buffer(context, _RULES.encode()):
        raise OSError((library.nft_ctx_get_error_buffer(context) or b"").decode().strip().partition("\n")[0])


def _guests() -> None:
    links = [part for name in ("bin", "lib", "lib64") if os.path.islink(f"/{name}")
             for part in ("--symlink", os.readlink(f"/{name}"), f"/{name}")]  # fmt: skip
    _run("bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-user", "--ro-bind", "/usr", "/usr", *links, "--proc", "/proc",
         "--dev", "/dev", "--tmpfs", "/tmp", "/usr/bin/python3", "-c", "pass")  # fmt: skip


def _run(*command: str) -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, env={**os.environ, "PATH": path}
        )
    except FileNotFoundError:
        raise OSError(f"the program {command[0]} is missing") from None
    if done.returncode:
        raise OSError(done.stderr.strip().partition("\n")[0] or f"{command[0]} ended with status {done.returncode}")


STEPS: dict[str, Callable[[], None]] = {"namespaces": _namespaces, "links": _links, "rules": _rules, "guests": _guests}


def main() -> int:
    """Every step in turn; without namespaces nothing else is tried."""
    out: dict[str, str] = {}
    for name, step in STEPS.items():
        try:
            step()
            out[name] = ""
        except (OSError, subprocess.TimeoutExpired) as problem:
            out[name] = str(problem)
            if name == "namespaces":
                break
    print(json.dumps(out))
    return 0


if __name__ == "__main__":
    main()
