"""A guest is root of its own interface. Whatever it does to it, the others' packets and changes go on."""

from __future__ import annotations

import time

import pytest

from tests.e2e.lab import Lab, Row, permission

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

ATTACKS = {
    "deletes its interface": "ip link del eth0",
    "renames its interface": "ip link set eth0 down && ip link set eth0 name mine",
    "hides its interface": "unshare -n sleep 30 & sleep 0.5; ip link set eth0 netns $!",
}


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Lab:
    """`evil` in one VPC, `good` and `peer` in another with the same blocks."""
    for names in (("evil",), ("good", "peer")):
        vpc, _ = lab.vpc("10.9.0.0/16")
        subnet = lab.subnet(vpc, "10.9.0.0/24")
        group = lab.group(vpc, names[0], [permission("udp", 7000, None, "10.9.0.0/24")])
        lab.names |= {f"{names[0]} subnet": subnet, f"{names[0]} group": group}
        for name in names:
            lab.instance(name, subnet, group)
        lab.running(*names)
    lab.wait()
    return lab


def neighbour_lives_on(lab: Lab, name: str) -> None:
    """Everything is applied, and a new instance of the other VPC runs and is reached."""
    lab.wait()
    lab.instance(name, lab.names["good subnet"], lab.names["good group"])
    lab.running(name)
    lab.check([Row("neighbour", "good", name, "ok", 7000, "udp"), Row("neighbour", name, "good", "sg-ingress", 7001)])


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_guest_without_its_interface_stops_nobody(pair: Lab, attack: str) -> None:
    """The next change of the interface gives the guest a new link; other VPCs do not notice."""
    done = pair.run("exec", pair.names["evil"], "--", "sh", "-c", ATTACKS[attack])
    assert done.returncode == 0, done.stderr
    eni = pair.interface("evil")["NetworkInterfaceId"]
    pair.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)
    neighbour_lives_on(pair, f"late {attack}")
    has = pair.run("exec", pair.names["evil"], "--", "ip", "-br", "-4", "addr", "show", "eth0").stdout
    assert has.count("10.9.0.") == len(pair.interface("evil")["PrivateIpAddresses"]), has


def test_a_guest_that_occupies_a_name_stops_nobody(pair: Lab) -> None:
    """It keeps its own `eth1`, and the attached interface stays unplugged: closed, not open."""
    evil = pair.names["evil"]
    assert (
        pair.run("exec", evil, "--", "ip", "link", "add", "eth1", "type", "veth", "peer", "name", "y1").returncode == 0
    )
    made = pair.ec2.create_network_interface(SubnetId=pair.names["evil subnet"], Groups=[pair.names["evil group"]])
    eni = made["NetworkInterface"]["NetworkInterfaceId"]
    pair.ec2.attach_network_interface(NetworkInterfaceId=eni, InstanceId=evil, DeviceIndex=1)
    neighbour_lives_on(pair, "late occupied")
    assert "10.9.0." not in pair.run("exec", evil, "--", "ip", "-br", "-4", "addr", "show", "eth1").stdout


STATUS = "import re; t = open('/proc/2/status').read(); print(re.search(r'CapEff:\\s*(\\w+)', t)[1])"
ALLOWED = {
    0,
    1,
    3,
    5,
    6,
    7,
    10,
    12,
    13,
}  # CHOWN DAC_OVERRIDE FOWNER KILL SETGID SETUID NET_BIND_SERVICE NET_ADMIN NET_RAW


def test_a_guest_has_few_capabilities_and_processes(pair: Lab) -> None:
    """What an instance runs by itself (init, user data) cannot mount, and cannot take all of the host's processes."""
    good = pair.names["good"]
    held = int(pair.run("exec", good, "--", "python3", "-c", STATUS).stdout, 16)
    assert {bit for bit in range(64) if held >> bit & 1} == ALLOWED
    limits = pair.run("exec", good, "--", "grep", "Max processes", "/proc/2/limits").stdout.split()
    assert limits[2:4] == ["1024", "1024"]


FORKS = b"""#!/usr/bin/env python3
import os, subprocess, time
out = [subprocess.run(["mount", "-o", "remount,bind,rw", "/usr"], capture_output=True).returncode != 0]
pids = []
try:
    while len(pids) < 3000:
        pid = os.fork()
        if pid == 0: time.sleep(60); os._exit(0)
        pids.append(pid)
except BlockingIOError: pass
for pid in pids: os.kill(pid, 9)
for pid in pids: os.waitpid(pid, 0)
open("/tmp/out", "w").write(f"{out[0]} {len(pids)}")
"""


def test_user_data_cannot_remount_or_fork_without_end(pair: Lab) -> None:
    image = pair.ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    started = pair.ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=pair.names["good subnet"],
        UserData=FORKS.decode(),
    )  # fmt: skip
    pair.names["forks"] = started["Instances"][0]["InstanceId"]
    pair.running("forks")
    said, deadline = "", time.monotonic() + 30
    while not said and time.monotonic() < deadline:
        said = pair.run("exec", pair.names["forks"], "--", "cat", "/tmp/out").stdout
        time.sleep(0.2)
    refused, count = said.split()
    assert refused == "True"
    assert 900 < int(count) <= 1024
