"""A guest is root of its own interface. Whatever it does to it, the others' packets and changes go on."""

from __future__ import annotations

import json
import time

import pytest

from ringfence.dataplane.memory import available
from tests.e2e.lab import Lab, Row, permission
from tests.e2e.test_robustness import child
from tests.sampling import part

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]

ATTACKS = {
    "deletes its interface": "ip link del eth0",
    "renames its interface": "ip link set eth0 down && ip link set eth0 name mine",
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


#: CHOWN DAC_OVERRIDE FOWNER KILL SETGID SETUID NET_BIND_SERVICE NET_ADMIN NET_RAW
ALLOWED = {0, 1, 3, 5, 6, 7, 10, 12, 13}
FACTS = """
import json, re, resource
def of(pid):
    text = open(f"/proc/{pid}/status").read()
    return {name: re.search(name + r":\\s*(\\w+)", text)[1] for name in ("CapPrm", "CapEff", "NoNewPrivs", "Uid", "Gid")}
limits = [line.split() for line in open("/proc/2/limits")]
mine = [line.split() for line in open("/proc/self/limits")]
import os
spaces = [{name: os.stat(f"/proc/{pid}/ns/{name}").st_ino for name in ("user", "pid", "ipc", "uts", "net", "mnt")} for pid in (2, "self")]
print(json.dumps({"init": of(2), "self": of("self"), "limits": limits == mine, "spaces": spaces[0] == spaces[1],
                  "bounding": re.search(r"CapBnd:\\s*(\\w+)", open("/proc/self/status").read())[1],
                  "processes": resource.getrlimit(resource.RLIMIT_NPROC), "data": resource.getrlimit(resource.RLIMIT_DATA)}))
"""


def bits(text: str) -> set[int]:
    return {bit for bit in range(64) if int(text, 16) >> bit & 1}


def test_exec_gives_no_more_than_the_guest_has(pair: Lab) -> None:
    """A command brought in holds what the guest's first process holds: namespaces, capabilities, limits, user."""
    done = pair.run("exec", pair.names["good"], "--", "python3", "-c", FACTS)
    found = json.loads(done.stdout)
    assert found["init"] == found["self"], found
    assert bits(found["self"]["CapEff"]) == bits(found["bounding"]) == ALLOWED
    assert found["self"]["NoNewPrivs"] == "1"
    assert (found["limits"], found["spaces"]) == (True, True), found
    assert found["processes"] == [1024, 1024]
    assert found["data"] == [1 << 30, 1 << 30]


@pytest.mark.parametrize(
    "command", ["unshare -Ur true", "unshare -n true", "unshare -m true", "mount -t tmpfs none /tmp",
                "mount -o remount,bind,rw /usr", "umount /etc/passwd", "chroot / true", "hostname other",
                "nsenter --net=/proc/1/ns/net true", "echo 9 > /proc/sys/user/max_user_namespaces", "mknod /tmp/d b 254 0"]
)  # fmt: skip
def test_exec_cannot_change_what_holds_the_guest(pair: Lab, command: str) -> None:
    assert pair.run("exec", pair.names["good"], "--", "sh", "-c", command).returncode != 0


def test_exec_reports_how_a_command_ends(pair: Lab) -> None:
    for script, status in (("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143), ("true", 0)):
        assert pair.run("exec", pair.names["good"], "--", "sh", "-c", script).returncode == status
    missing = pair.run("exec", pair.names["good"], "--", "no-such-program")
    assert (missing.returncode, "no-such-program" in missing.stderr) == (125, True)


EXEC_FORKS = """
import os, time
pids = []
try:
    while len(pids) < 3000:
        pid = os.fork()
        if pid == 0: time.sleep(60); os._exit(0)
        pids.append(pid)
except BlockingIOError: pass
for pid in pids: os.kill(pid, 9)
print(len(pids))
"""


def test_exec_counts_among_the_guests_processes(pair: Lab) -> None:
    count = int(pair.run("exec", pair.names["good"], "--", "python3", "-c", EXEC_FORKS).stdout)
    assert 900 < count < 1024


HOGS = {
    "one process": "bytearray(1500 << 20)",
    "many processes": """
import os, time
pids = [os.fork() for _ in range(3)]
held = bytearray(250 << 20)
time.sleep(15)
""",
    "files": """
import time
for path in ("/tmp/h", "/root/h", "/run/h", "/var/h", "/dev/shm/h", "/h"):
    with open(path, "wb") as file:
        try:
            for _ in range(240): file.write(bytes(1 << 20))
        except OSError: pass
time.sleep(15)
""",
    "files without a name": """
import os, time
held = [os.memfd_create("h") for _ in range(6)]
for number in held:
    for _ in range(240): os.write(number, bytes(1 << 20))
time.sleep(15)
""",
}


@pytest.mark.parametrize("hog", part(HOGS))
def test_a_memory_hog_is_stopped_and_the_others_live_on(pair: Lab, hog: str) -> None:
    """It ends before it has had its way; its neighbours, the agent and the host do not notice."""
    life = "[ -e /tmp/life ] || cat /proc/sys/kernel/random/uuid > /tmp/life; cat /tmp/life"
    neighbour = pair.run("exec", pair.names["good"], "--", "sh", "-c", life).stdout
    agent = child(pair, "ringfence.dataplane.agent")
    free = available()
    started = time.monotonic()
    done = pair.run("exec", pair.names["evil"], "--", "python3", "-c", HOGS[hog])
    assert done.returncode != 0 or hog == "many processes", done
    assert time.monotonic() - started < 15 or hog == "many processes"
    deadline = time.monotonic() + 20
    while available() < free - (300 << 20) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert available() > free - (300 << 20)
    assert pair.run("exec", pair.names["good"], "--", "sh", "-c", life).stdout == neighbour
    assert child(pair, "ringfence.dataplane.agent") == agent
    deadline = time.monotonic() + 20  # a guest that was ended is started anew
    while pair.run("exec", pair.names["evil"], "--", "true").returncode and time.monotonic() < deadline:
        time.sleep(0.2)
    neighbour_lives_on(pair, f"after {hog}")


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
