"""Network interfaces: cost of creating one, in the data plane and in the API, beside one `ip` process per command.

    python -m bench.eni_creation [INTERFACES] [--json]

- data plane: INTERFACES unattached interfaces made by CreateNetworkInterface on a running installation, until the last is
  in force: namespace, link, addresses, routes, permanent neighbours and rules. Milliseconds on the clock for each.
- baseline: the same namespaces, links, addresses, routes and neighbours (but no rules), each command an `ip` process.
- API: CPU milliseconds of the server process for one CreateNetworkInterface, without a data plane; signed, durable, audited.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.lab import Lab
from tests.kernel.worlds import eni, subnet

from ringfence.control import ask
from ringfence.dataplane import topology
from ringfence.policy.ir import Interface

TARGET_MS, BASELINE_INTERFACES = 40.0, 40
ROUTER = "router"


@contextmanager
def installation(*options: str) -> Iterator[tuple[Lab, Path]]:
    """A server of its own, and its control socket."""
    with tempfile.TemporaryDirectory() as home:
        lab = Lab(Path(home), *options)
        try:
            pointer = json.loads(Path(home, "instances", f"{lab.port}.json").read_text())
            yield lab, Path(pointer["run"], "api.sock")
        finally:
            lab.close()


def made(lab: Lab, count: int) -> None:
    """`count` interfaces in one subnet of a new VPC."""
    vpc, _ = lab.vpc("10.0.0.0/16")
    place = lab.subnet(vpc, "10.0.0.0/18")
    for _ in range(count):
        lab.ec2.create_network_interface(SubnetId=place)


def in_the_data_plane(count: int) -> float:
    """Milliseconds for each, from the first call to the last in force."""
    with installation() as (lab, control):
        made(lab, 1)  # the VPC's own namespace and the loop
        ask(control, {"do": "wait", "timeout": 60}, timeout=90)
        start = time.monotonic()
        made(lab, count)
        ask(control, {"do": "wait", "timeout": 300}, timeout=320)
        return (time.monotonic() - start) * 1000 / count


def in_the_api(count: int) -> float:
    """CPU milliseconds of the server for each call."""
    with installation("--dataplane", "none") as (lab, _):
        vpc, _ = lab.vpc("10.0.0.0/16")
        place = lab.subnet(vpc, "10.0.0.0/18")
        lab.ec2.create_network_interface(SubnetId=place)
        before = _cpu(lab.server.pid)
        for _ in range(count):
            lab.ec2.create_network_interface(SubnetId=place)
        return (_cpu(lab.server.pid) - before) * 1000 / count


def _cpu(pid: int) -> float:
    """Seconds of CPU of all threads of a process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---------------------------------------------------------------------- one process per command
def baseline() -> None:
    """Inside namespaces of its own: prints the milliseconds for each interface."""
    topology.NETNS.mkdir(exist_ok=True)
    _run("netns", "add", ROUTER)
    start = time.monotonic()
    for number in range(1, BASELINE_INTERFACES + 1):
        _one(eni(f"eni-{number}", number, number // 250 + 1, number % 250 + 1, ["sg-a"]))
    print((time.monotonic() - start) * 1000 / BASELINE_INTERFACES)


def _one(interface: Interface) -> None:
    place = interface.eni_id
    _run("netns", "add", place)
    for name, value in topology.GUEST_SYSCTLS.items():
        subprocess.run(["ip", "netns", "exec", place, "sysctl", "-qw", f"{name.replace('/', '.')}={value}"], check=True)
    of = subnet(interface.subnet_id, int(interface.subnet_id.removeprefix("subnet-")))
    router, itself = topology.plug(interface, of, place, "eth0")
    router += [f"route replace {address} dev e{interface.number}" for address in interface.ipv4]
    for namespace, lines in ((ROUTER, router), (place, itself)):
        for line in lines:
            _run("-n", namespace, *shlex.split(line))


def _run(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def beside() -> float:
    """The baseline in namespaces that vanish with it."""
    inner = f"mount -t tmpfs none /run && exec {shlex.quote(sys.executable)} -m bench.eni_creation --baseline"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", inner],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout)


def main() -> int:
    """Prints a table, or one JSON line."""
    if "--baseline" in sys.argv:
        baseline()
        return 0
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    count = int(words[0]) if words else 300
    plane, processes, call = in_the_data_plane(count), beside(), in_the_api(min(count, 500))
    out: dict[str, Any] = {
        "interfaces": count, "data_plane_ms": round(plane, 1), "one_process_per_command_ms": round(processes, 1),
        "ratio": round(plane / processes, 2), "target_ms": TARGET_MS, "met": plane <= TARGET_MS,
        "api_cpu_ms": round(call, 2),
    }  # fmt: skip
    if "--json" in sys.argv:
        print(json.dumps(out))
    else:
        for name, value in out.items():
            print(f"{name:28} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
