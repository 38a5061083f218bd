"""CFG-05, CFG-07, MON-23 as an operator meets them: the command, its exit status, status, the audit trail, the watch."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import CLIENT, Lab, permission

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def site(lab: Lab) -> Lab:
    """Two instances, one with a public address; one group lets port 80 in from everywhere."""
    vpc, _ = lab.vpc("10.7.0.0/16")
    subnet = lab.subnet(vpc, "10.7.0.0/24")
    lab.internet(vpc, subnet)
    group = lab.group(vpc, "web", [permission("tcp", 80, 80, "0.0.0.0/0")])
    lab.instance("web", subnet, group, public=True)
    lab.instance("other", subnet, group)
    lab.running("web", "other")
    lab.names |= {"vpc": vpc, "group": group}
    lab.wait()
    return lab


def inside(lab: Lab, vpc_id: str, *command: str) -> None:
    """A command in the VPC's namespace, as its owner could run one."""
    threads = Path(f"/proc/{lab.server.pid}/task").iterdir()
    children = [pid for thread in threads for pid in (thread / "children").read_text().split()]
    agent = next(pid for pid in children if b"dataplane.agent" in Path(f"/proc/{pid}/cmdline").read_bytes())
    enter = ["nsenter", f"--target={agent}", "--user", "--mount"]
    subprocess.run(
        [*enter, "ip", "netns", "exec", f"vpc-{vpc_id[-10:]}", *command], check=True, capture_output=True, timeout=30
    )


def drift(lab: Lab) -> Any:
    return lab.json("status")["drift"]


def test_what_is_installed_is_proven(site: Lab) -> None:
    done = site.run("verify", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["findings"], report["problems"]) == (0, [], [])
    assert report["places"] == 3
    assert report["proven"] > 30


def test_connection_tables_are_measured(site: Lab) -> None:
    """CT-18, as Prometheus reads it."""
    with site.session("other", "web", site.interface("web")["PrivateIpAddress"], 80) as held:
        assert held.alive()
        lines = dict(
            line.rsplit(" ", 1) for line in site.run("metrics", check=True).stdout.splitlines() if "conntrack" in line
        )
    of_vpc = f'{{vpc="{site.names["vpc"]}"}}'
    limit = int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text())
    entries, free = (int(lines[f"ringfence_conntrack_{name}{of_vpc}"]) for name in ("entries", "allowance_available"))
    assert entries >= 1
    assert entries + free == limit
    assert lines[f"ringfence_conntrack_allowance_exceeded_total{of_vpc}"] == "0"


def test_a_difference_is_named_and_repaired_by_the_command(site: Lab) -> None:
    """Exit status 1 though it is repaired; nothing is found the second time. Without repair it is only told."""
    group, before = site.names["group"], drift(site)
    range_ = "0.0.0.0/0 . tcp . 22"
    for _ in range(5):  # the watch may be first
        inside(site, site.names["vpc"], "nft", f"add element inet ringfence in.{group}.ports4.0 {{ {range_} }}")
        told = site.run("verify", "--no-repair", "--json")
        report = json.loads(told.stdout)
        if report["findings"]:
            break
    assert told.returncode == 1
    named = {(each["drift"], each["what"], each["component"]) for each in report["findings"]}
    assert ("extra", "element", group) in named
    shown = site.run("verify")
    assert shown.returncode in (0, 1)  # the watch may have been first
    again = site.run("verify", "--json")
    assert (again.returncode, json.loads(again.stdout)["findings"]) == (0, [])
    assert drift(site)["found"] > before["found"]
    assert drift(site)["closed"] == []


def test_the_watch_finds_it_by_itself(site: Lab) -> None:
    """Within seconds; packets are as before, the event is in the audit trail, and status counts it."""
    before = drift(site)["repaired"]
    probe = ["probe", CLIENT, site.names["web"], "--port", "22", "--timeout", "1"]
    assert site.json(*probe)["outcome"] == "dropped"
    inside(site, site.names["vpc"], "nft", "insert rule inet ringfence forward accept")
    deadline = time.monotonic() + 40
    while drift(site)["repaired"] == before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert site.json(*probe)["outcome"] == "dropped"
    found = site.json("audit", "--event", "EnforcementDrift")
    events = found["records"] if isinstance(found, dict) else found
    details = [event["serviceEventDetails"] for event in events]
    assert any(
        each["place"] == site.names["vpc"] and each["repaired"] and each["findings"][0]["name"] == "forward"
        for each in details
    )
    assert "drift: " in site.run("status").stdout
