"""What must survive: open connections a dying agent, rules their own replacement, the host its guests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import COMMAND, Lab, Row, permission, with_endpoint

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Lab:
    """Two instances of one subnet: `b` admits 22, and UDP 7000, from the subnet."""
    vpc, _ = lab.vpc("10.9.0.0/16")
    subnet = lab.subnet(vpc, "10.9.0.0/24")
    lab.names["group"] = lab.group(
        vpc, "b", [permission("tcp", 22, None, "10.9.0.0/24"), permission("udp", 7000, None, "10.9.0.0/24")]
    )
    lab.instance("a", subnet, lab.group(vpc, "a"))
    lab.instance("b", subnet, lab.names["group"])
    lab.running("a", "b")
    lab.wait()
    lab.names["address"] = lab.interface("b")["PrivateIpAddress"]
    return lab


def python(lab: Lab, target: str, script: str, *args: str) -> subprocess.CompletedProcess[str]:
    return lab.run("exec", lab.names.get(target, target), "--", "python3", "-c", script, *args)


def child(lab: Lab, module: str) -> int:
    """The pid of a process of this installation by its module."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if module.encode() in line and parent == lab.server.pid:
            return int(pid)
    raise AssertionError(f"no {module} runs")


def test_ct_20_agent_killed_and_restarted(pair: Lab) -> None:
    """CT-20: kill -9 of the agent cuts nothing and opens nothing; a new one converges and goes on."""
    with pair.session("a", "b", pair.names["address"], 22, detached=True) as ssh:
        assert ssh.alive()
        for _ in range(3):
            old = child(pair, "ringfence.dataplane.agent")
            os.kill(old, signal.SIGKILL)
            assert ssh.alive()
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and (_agent(pair) in (None, old)):
                time.sleep(0.05)
            pair.ec2.create_tags(Resources=[pair.names["group"]], Tags=[{"Key": "n", "Value": str(old)}])
            pair.wait()
            assert ssh.alive()
    pair.check([Row("CT-20", "a", "b", "sg-ingress", 23), Row("CT-20", "a", "b", "ok", 7000, "udp")])


def _agent(lab: Lab) -> int | None:
    try:
        return child(lab, "ringfence.dataplane.agent")
    except AssertionError:
        return None


RECEIVE = """
import select, socket, time
socks = []
for port in (7000, 7001):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", port)); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    socks.append(s)
print("ready", flush=True)
counts, last = [0, 0], time.monotonic()
while time.monotonic() - last < 3 or not counts[0]:
    ready, _, _ = select.select(socks, [], [], 0.5)
    for s in ready:
        s.recv(100); counts[socks.index(s)] += 1; last = time.monotonic()
print(counts[0], counts[1], flush=True)
"""
SEND = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
until, sent = time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < until:
    for port in (7000, 7001): s.sendto(b"x", (sys.argv[1], port))
    sent += 1
    time.sleep(0.002)
print(sent, flush=True)
"""


def test_200_replacements_under_traffic(pair: Lab) -> None:
    """200 rule changes while packets flow: no denied packet delivered, no allowed one lost."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True, "env": pair.env}

    def start(target: str, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *with_endpoint(["exec", pair.names[target], "--", *argv], pair.endpoint)], **pipes
        )

    receiver = start("b", "python3", "-c", RECEIVE)
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline().strip() == "ready"
        sender = start("a", "python3", "-c", SEND, pair.names["address"], "8")
        changes, until = 0, time.monotonic() + 6.5
        while time.monotonic() < until or changes < 200:
            rule = [permission("tcp", 8000 + changes % 50, None, "10.9.0.0/24")]
            if changes % 100 < 50:
                pair.ec2.authorize_security_group_ingress(GroupId=pair.names["group"], IpPermissions=rule)
            else:
                pair.ec2.revoke_security_group_ingress(GroupId=pair.names["group"], IpPermissions=rule)
            changes += 1
            time.sleep(0.01)
        assert sender.stdout is not None
        sent = int(sender.communicate(timeout=60)[0])
        allowed, denied = map(int, receiver.communicate(timeout=60)[0].split())
    finally:
        receiver.kill()
        receiver.wait()
    assert changes >= 200
    assert denied == 0
    assert allowed == sent > 1000


SPOOF = """
import socket, struct, sys
def checksum(b):
    t = sum(struct.unpack(f">{len(b)//2}H", b))
    while t >> 16: t = (t & 0xffff) + (t >> 16)
    return ~t & 0xffff
def frame(smac, src, dst, gw):
    udp = struct.pack(">HHHH", 5, 7000, 9, 0) + b"s"
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(src), socket.inet_aton(dst))
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return gw + smac + b"\\x08\\x00" + head + udp
own, dst = sys.argv[1:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
mac = s.getsockname()[4]
p = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); p.sendto(b"x", (dst, 7000))
import time; time.sleep(0.3)
gw = next(bytes.fromhex(l.split()[3].replace(":", "")) for l in open("/proc/net/arp").read().splitlines()[1:] if l.split()[0] == dst)
for smac, src in ((mac, "10.9.0.200"), (mac, "203.0.113.9"), (b"\\x02\\0\\0\\0\\0\\1", own), (mac, own)):
    for _ in range(3): s.send(frame(smac, src, dst, gw))
print("sent")
"""
COUNT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 7000)); s.settimeout(4)
print("ready", flush=True)
seen = []
try:
    while True: seen.append(s.recvfrom(100)[1][0])
except TimeoutError: pass
print(seen, flush=True)
"""


def test_l6_net_22_spoofed_packets_go_nowhere(pair: Lab) -> None:
    """L6: a guest is root of its interface; frames with another source address or MAC are dropped all the same."""
    own = pair.interface("a")["PrivateIpAddress"]
    command = ["exec", pair.names["b"], "--", "python3", "-c", COUNT]
    counter = subprocess.Popen(
        [*COMMAND, *with_endpoint(command, pair.endpoint)], env=pair.env, stdout=subprocess.PIPE, text=True
    )
    assert counter.stdout is not None
    assert counter.stdout.readline().strip() == "ready"
    done = python(pair, "a", SPOOF, own, pair.names["address"])
    assert done.stdout.strip() == "sent", done.stderr
    seen = counter.communicate(timeout=30)[0].strip()
    assert seen == str([own] * 4)  # the honest datagram and the three honest frames


ESCAPES = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
out = {}
def attempt(name, act):
    try: out[name] = repr(act())
    except OSError as e: out[name] = "refused"
attempt("write /proc/sys", lambda: open("/proc/sys/kernel/core_pattern", "w").write("x"))
attempt("write /usr", lambda: open("/usr/bin/x", "w"))
attempt("host files", lambda: os.listdir("/home") + os.listdir("/etc/shadow"))
attempt("other processes", lambda: [p for p in os.listdir("/proc") if p.isdigit() and int(p) > 5000])
attempt("setns to pid 1's namespaces", lambda: libc.setns(os.open("/proc/1/ns/net", os.O_RDONLY), 0))
attempt("signal outside", lambda: os.kill(99999999, 9))
attempt("load a module", lambda: libc.init_module(b"x", 1, b"") and (_ for _ in ()).throw(OSError()))
attempt("port 80", lambda: socket.create_server(("", 80)).getsockname()[1])
import json; print(json.dumps(out))
"""


def test_guests_have_no_power_over_the_host(pair: Lab) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    done = python(pair, "a", ESCAPES)
    found = json.loads(done.stdout)
    assert found["port 80"] == "80"  # below 1024 is the guest's own
    for name in ("write /proc/sys", "write /usr", "host files", "signal outside", "load a module"):
        assert found[name] == "refused", (name, found[name])
    assert found["other processes"] == "[]"
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


IMDS = """
import urllib.error, urllib.request as u
base = "http://169.254.169.254/latest/"
def get(path, token=None, method="GET", **headers):
    if token: headers["X-aws-ec2-metadata-token"] = token
    try: return u.urlopen(u.Request(base + path, method=method, headers=headers), timeout=3).read().decode()
    except urllib.error.HTTPError as e: return e.code
print(get("meta-data/instance-id"))
print(get("api/token", method="PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "0"}))
token = get("api/token", method="PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
print(get("meta-data/instance-id", token)); print(get("meta-data/local-ipv4", token)); print(get("nothing", token))
print(get("meta-data/instance-id", "forged"))
import socket
print(socket.gethostbyname("ip-10-9-0-5.ec2.internal"))
try: print(socket.gethostbyname("nobody.ec2.internal"))
except socket.gaierror: print("unknown")
"""


def test_uf_01_03_resolver_and_metadata_with_everything_closed(pair: Lab) -> None:
    """UF-01, UF-03: with no group rule and a deny-all network ACL the resolver and the metadata service answer."""
    vpc, _ = pair.vpc("10.9.0.0/16")
    subnet = pair.subnet(vpc, "10.9.0.0/24")
    acl = pair.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    found = pair.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])[
        "NetworkAcls"
    ][0]
    association = found["Associations"][0]["NetworkAclAssociationId"]
    pair.ec2.replace_network_acl_association(AssociationId=association, NetworkAclId=acl)
    closed = pair.group(vpc, "closed", egress=False)
    pair.instance("closed1", subnet, closed)
    pair.instance("closed2", subnet, closed)
    pair.running("closed1", "closed2")
    pair.wait()
    lines = python(pair, "closed1", IMDS).stdout.split("\n")[:-1]
    address = pair.interface("closed1")["PrivateIpAddress"]
    assert lines == ["401", "400", pair.names["closed1"], address, "404", "401", "10.9.0.5", "unknown"]
    # NET-03: the other VPC has the same blocks, and its own instances
    pair.check([Row("NET-03", "closed1", "closed2", "sg-egress", 22)])


LISTEN = """
import socket
for kind, port in ((socket.SOCK_STREAM, 1), (socket.SOCK_STREAM, 80), (socket.SOCK_DGRAM, 1023)):
    with socket.socket(socket.AF_INET, kind) as s: s.bind(("", port))
print("ok")
"""
PING = """
import socket, struct, sys
def checksum(d):
    t = sum(struct.unpack(f">{len(d) // 2}H", d)); t = (t >> 16) + (t & 0xffff); return ~(t + (t >> 16)) & 0xffff
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); s.settimeout(2)
body = struct.pack(">HH", 7, 1) + b"ping"
s.sendto(struct.pack(">BBH", 8, 0, checksum(bytes((8, 0, 0, 0)) + body)) + body, (sys.argv[1], 0))
try:
    while (d := s.recv(200))[20] != 0: pass
    print("answered", d[28:])
except TimeoutError: print("silence")
"""
NAMES = """
import socket, sys
for name in sys.argv[1:]:
    try: print(socket.gethostbyaddr(name)[0] if name[0].isdigit() else socket.gethostbyname(name))
    except OSError: print("unknown")
"""


@pytest.fixture(scope="module")
def named(pair: Lab) -> Lab:
    """`web` in a VPC with an internet gateway and DNS hostnames; it admits pings of its subnet, `quiet` admits nothing."""
    vpc, _ = pair.vpc("10.9.0.0/16")
    subnet = pair.subnet(vpc, "10.9.0.0/24")
    pair.internet(vpc, subnet)
    pair.ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    pair.instance("web", subnet, pair.group(vpc, "pinged", [permission("icmp", 8, -1, "10.9.0.0/24")]))
    pair.instance("quiet", subnet, pair.group(vpc, "quiet"))
    pair.running("web", "quiet")
    address = pair.ec2.allocate_address(Domain="vpc")
    pair.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=pair.names["web"])
    pair.names["elastic"] = address["PublicIp"]
    pair.wait()
    return pair


def test_guests_listen_below_1024(named: Lab) -> None:
    assert python(named, "web", LISTEN).stdout == "ok\n"


def test_guests_ping_what_admits_them(named: Lab) -> None:
    to = {name: named.interface(name)["PrivateIpAddress"] for name in ("web", "quiet")}
    assert python(named, "quiet", PING, to["web"]).stdout == "answered b'ping'\n"
    assert python(named, "web", PING, to["quiet"]).stdout == "silence\n"


def test_dns_02_names_inside_the_vpc(named: Lab) -> None:
    """An interface's name, an instance's, and a public name, which is the private address here; and back again."""
    web = named.interface("web")["PrivateIpAddress"]
    dashed = "ip-" + web.replace(".", "-") + ".ec2.internal"
    public = "ec2-" + named.names["elastic"].replace(".", "-") + ".compute-1.amazonaws.com"
    instance = named.names["web"] + ".ec2.internal"
    asked = (dashed, instance, public, dashed.upper(), web, "ip-10-9-0-99.ec2.internal", "example.com")
    assert python(named, "quiet", NAMES, *asked).stdout.split() == [web, web, web, web, dashed, "unknown", "unknown"]
    found = named.ec2.describe_instances(InstanceIds=[named.names["web"]])["Reservations"][0]["Instances"][0]
    assert (found["PrivateDnsName"], found["PublicDnsName"]) == (dashed, public)


DHCP = """
import fcntl, json, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(3)
mac = fcntl.ioctl(s.fileno(), 0x8927, struct.pack("256s", b"eth0"))[18:24]
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.bind(("", 68))
head = struct.pack(">BBBBIHH16s16s192s", 1, 1, 6, 0, 7, 0, 0, b"", mac, b"") + bytes.fromhex("63825363")
s.sendto(head + bytes((53, 1, 1, 255)), ("255.255.255.255", 67))
reply, at, options = s.recv(1500), 240, {}
while reply[at] != 255:
    options[reply[at]] = reply[at + 2:at + 2 + reply[at + 1]].hex()
    at += 2 + reply[at + 1]
print(json.dumps({"address": socket.inet_ntoa(reply[16:20]), "options": options}))
"""


def test_uf_02_dhcp_options_of_the_vpc(pair: Lab) -> None:
    """UF-02, DNS-04, DNS-05, DNS-07: what a client in a guest is told, before and after the VPC gets another options set."""

    def told() -> dict[str, str]:
        pair.wait()
        done = python(pair, "a", DHCP)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["address"] == pair.interface("a")["PrivateIpAddress"]
        options: dict[str, str] = found["options"]
        return options

    first = told()
    assert (first["1"], first["3"], first["6"], first["51"]) == ("ffffff00", "0a090001", "0a090002", "00000e10")
    assert bytes.fromhex(first["15"]) == b"ec2.internal"
    assert "42" not in first
    given = {
        "domain-name": ["example.org"],
        "domain-name-servers": ["10.9.0.77", "AmazonProvidedDNS"],
        "ntp-servers": ["169.254.169.123"],
    }
    options = pair.ec2.create_dhcp_options(DhcpConfigurations=[{"Key": k, "Values": v} for k, v in given.items()])
    vpc = pair.ec2.describe_instances(InstanceIds=[pair.names["a"]])["Reservations"][0]["Instances"][0]["VpcId"]
    pair.ec2.associate_dhcp_options(DhcpOptionsId=options["DhcpOptions"]["DhcpOptionsId"], VpcId=vpc)
    second = told()
    assert (second["6"], second["42"]) == ("0a09004d0a090002", "a9fea97b")
    assert bytes.fromhex(second["15"]) == b"example.org"
    pair.ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=vpc)
    assert not {"6", "15", "42"} & told().keys()


DHCP6 = """
import json, socket, struct
index = socket.if_nametoindex("eth0")
def options(data):
    found, at = {}, 0
    while at < len(data):
        code, length = struct.unpack_from(">HH", data, at)
        found[code] = data[at + 4:at + 4 + length]
        at += 4 + length
    return found
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as s:
    s.settimeout(5)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    s.sendto(struct.pack(">BBHI", 133, 0, 0, 0), ("ff02::2", 0, 0, index))
    while (got := s.recvfrom(2048))[0][0] != 134: pass
    said, router = got[0], got[1][0].partition("%")[0]
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
    s.settimeout(5)
    s.bind(("::", 546))
    solicit = struct.pack(">HH", 1, 10) + bytes(range(10)) + struct.pack(">HHIII", 3, 12, 5, 0, 0)
    s.sendto(b"\\1abc" + solicit, ("ff02::1:2", 547, 0, index))
    offer = options(s.recv(2048)[4:])
print(json.dumps({"router": router, "flags": said[5],
                  "address": socket.inet_ntop(socket.AF_INET6, options(offer[3][12:])[5][:16]),
                  "resolver": socket.inet_ntop(socket.AF_INET6, offer[23])}))
"""


def test_uf_02_a_guest_asks_for_its_ipv6_address_with_everything_closed(pair: Lab) -> None:
    """UF-02, NET-12: router advertisement with the managed flag, DHCPv6 with the interface's address; no rule lets anything pass."""
    vpc, prefix = pair.vpc("10.9.0.0/16", ipv6=True)
    subnet = pair.subnet(vpc, "10.9.0.0/24", prefix)
    pair.instance("six", subnet, pair.group(vpc, "closed6", egress=False), ipv6=True)
    pair.running("six")
    pair.wait()
    done = python(pair, "six", DHCP6)
    assert done.returncode == 0, done.stderr
    address = pair.interface("six")["Ipv6Addresses"][0]["Ipv6Address"]
    assert json.loads(done.stdout) == {
        "router": "fe80::1",
        "flags": 0xC0,
        "address": address,
        "resolver": "fd00:ec2::253",
    }


def test_user_data_and_stop_start(pair: Lab) -> None:
    """User data runs at launch and writes on the console; a stopped instance is gone from the network, a started one is back."""
    id = pair.names["a"]
    pair.ec2.stop_instances(InstanceIds=[id])
    pair.ec2.get_waiter("instance_stopped").wait(InstanceIds=[id], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    assert pair.run("exec", id, "--", "true").returncode != 0
    pair.ec2.modify_instance_attribute(
        InstanceId=id, UserData={"Value": b"#!/bin/sh\necho made by user data | tee /tmp/made\n"}
    )
    pair.ec2.start_instances(InstanceIds=[id])
    pair.running("a")
    pair.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        made = pair.run("exec", id, "--", "cat", "/tmp/made").stdout
        if made:
            break
        time.sleep(0.1)
    assert made == "made by user data\n"
    console = pair.ec2.get_console_output(InstanceId=id)
    assert console["Output"].endswith("made by user data\n")
    assert abs(time.time() - console["Timestamp"].timestamp()) < 60
    pair.check([Row("start", "a", "b", "ok", 7000, "udp"), Row("start", "a", "b", "sg-ingress", 23)])


def test_the_end_leaves_nothing(tmp_path: Path) -> None:
    """kill -9 of an ephemeral server ends agent, keeper and guests by themselves."""
    lab = Lab(tmp_path)
    vpc, _ = lab.vpc("10.9.0.0/16")
    lab.instance("x", lab.subnet(vpc, "10.9.0.0/24"), lab.group(vpc, "g"))
    lab.running("x")
    pids = [child(lab, f"ringfence.dataplane.{name}") for name in ("keeper", "agent")]
    pids.append(int(next(p for p in os.listdir("/proc") if p.isdigit() and _is_bwrap_of(p, pids[0]))))
    lab.server.kill()
    lab.server.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.05)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    lab.log.close()


def _is_bwrap_of(pid: str, keeper: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1]) == keeper
    except OSError:
        return False
