"""Flow logs of real packets: the guide's examples (FL-70 … FL-87) as lines, sums against sockets, agents that are killed.

Elements that do not exist here (NAT gateway FL-81, transit gateway FL-83, Block Public Access FL-86) are
fixtures of the record builder: `tests/insight/flowlogs/test_examples.py`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.lab import COMMAND, Lab, with_endpoint

pytestmark = [pytest.mark.netns, pytest.mark.slow, pytest.mark.timeout(400)]

TRUST = {"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}, "Action": "sts:AssumeRole"}
MAY: dict[str, Any] = {
    "Effect": "Allow", "Resource": "*",
    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogGroups", "logs:DescribeLogStreams"],
}  # fmt: skip
FIELDS = (
    "interface-id", "srcaddr", "dstaddr", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end", "action",
    "log-status", "tcp-flags", "pkt-srcaddr", "pkt-dstaddr", "flow-direction", "traffic-path", "instance-id", "type", "pkt-src-aws-service",
    "pkt-dst-aws-service",
)  # fmt: skip
Line = dict[str, str]

#: sends crafted packets: argv = source, destination, source port, destination port, how many, how many bytes in all
CRAFTED = """
import socket, struct, sys
a, b, sport, dport, count, total = *sys.argv[1:3], *map(int, sys.argv[3:])
six = ":" in a
family = socket.AF_INET6 if six else socket.AF_INET
raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.bind((a, 0))
pseudo = socket.inet_pton(family, a) + socket.inet_pton(family, b)
for n in range(count):
    size = (total // count + (total % count if n == 0 else 0)) - (40 if six else 20)
    body = struct.pack(">HHIIBBHHH", sport, dport, 1 + (0 if n == 0 else 1000 * n), 0, 80, 2 if n == 0 else 16, 65535, 0, 0)
    body += bytes(size - 20)
    data = pseudo + (struct.pack(">II", len(body), 6) if six else struct.pack(">BBH", 0, 6, len(body))) + body
    data += b"\\0" * (len(data) % 2)
    s = sum(struct.unpack(f">{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    raw.sendto(body[:16] + struct.pack(">H", ~s & 0xFFFF) + body[18:], (b, 0))
"""
#: accepts on a port for ever
SERVER = """
import socket, sys, threading
l = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
held = []
def keep(c):
    while c.recv(100): pass
    c.close()
while True:
    c, _ = l.accept()
    held.append(c)
    threading.Thread(target=keep, args=(c,), daemon=True).start()
"""
#: connects from the given ports, closes the last of them at the next line of input
CLIENT = """
import socket, sys
held = [socket.create_connection((sys.argv[1], int(sys.argv[2])), source_address=("", int(p))) for p in sys.argv[3:]]
print("open", flush=True)
sys.stdin.readline()
held.pop().close()
print("closed", flush=True)
sys.stdin.readline()
"""


#: a connection with S3, whose address its name tells
VISIT = """
import socket
c = socket.create_connection(("s3.us-east-1.amazonaws.com", 443), 5)
print(*c.getsockname(), c.getpeername()[0])
c.close()
"""


class FlowLab(Lab):
    """A VPC like the guide's, with flow logs of all its interfaces."""

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="FOOBARKEY",
            aws_secret_access_key="FOOBARSECRET",
        )  # fmt: skip

    def role(self) -> str:
        iam = self.client("iam")
        document = json.dumps({"Version": "2012-10-17", "Statement": [TRUST]})
        role = iam.create_role(RoleName="flows", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        may = json.dumps({"Version": "2012-10-17", "Statement": [MAY]})
        iam.put_role_policy(RoleName="flows", PolicyName="put", PolicyDocument=may)
        self.names["role"] = str(role)
        return str(role)

    def user(self, name: str, *actions: str) -> Any:
        """A user who may do these, as a client of EC2."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return boto3.client(
            "ec2", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"], config=Config(retries={"max_attempts": 0}),
        )  # fmt: skip

    def placed(self, name: str, subnet: str, address: str, *groups: str, **more: Any) -> str:
        """An instance at an address."""
        image = self.ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
        interface = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": list(groups), "PrivateIpAddress": address, **more}
        made = self.ec2.run_instances(
            ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, NetworkInterfaces=[interface]
        )["Instances"][0]
        self.names[name] = made["InstanceId"]
        return str(made["NetworkInterfaces"][0]["NetworkInterfaceId"])

    def guest(self, name: str, script: str, *args: object) -> str:
        return self.run("exec", self.names[name], "--", "python3", "-c", script, *map(str, args), check=True).stdout

    def start(self, name: str, script: str, *args: object) -> subprocess.Popen[str]:
        command = ["exec", self.names[name], "--", "python3", "-c", script, *map(str, args)]
        process = subprocess.Popen(
            [*COMMAND, *with_endpoint(command, self.endpoint)], env=self.env, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().strip() in ("ready", "open")
        return process

    def lines(self, group: str) -> list[Line]:
        """What is in a log group, by field."""
        logs = self.client("logs")
        names = [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]]
        if group not in names:
            return []
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        texts = [event["message"].split() for page in pages for event in page["events"]]
        return [dict(zip(FIELDS, text, strict=True)) for text in texts]

    def sums(self, group: str, **wanted: str) -> dict[tuple[str, ...], tuple[int, int, int]]:
        """By interface, action and direction: packets, bytes and flags of all lines that fit, over all windows."""
        out: dict[tuple[str, ...], tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
        for line in self.lines(group):
            if line["log-status"] != "OK" or any(
                line[name.replace("_", "-")] != value for name, value in wanted.items()
            ):
                continue
            key = line["interface-id"], line["action"], line["flow-direction"]
            held, flags = out[key], int(line["tcp-flags"].replace("-", "0"))
            out[key] = held[0] + int(line["packets"]), held[1] + int(line["bytes"]), held[2] | flags
        return dict(out)

    def ping_from(self, outside: str, *more: str) -> Any:
        """Four pings of 56 bytes."""
        words = ("--protocol", "icmp", "--count", "4", "--size", "56", *more)
        return self.json("probe", f"internet:{outside}", self.names["pinged"], *words)

    def sums_of_pings(self, outside: str) -> dict[tuple[str, ...], tuple[int, int]]:
        both = {**self.sums("all", srcaddr=outside), **self.sums("all", dstaddr=outside)}
        return {key: counts[:2] for key, counts in both.items()}


def next_minute(second: float = 0.0) -> None:
    """Until that second of a minute."""
    time.sleep((second - time.time()) % 60)


def until(holds: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowLab]:
    made = FlowLab(tmp_path_factory.mktemp("ringfence"), "--flow-log-interval", "1")
    try:
        build(made)
        yield made
    finally:
        made.close()


def build(lab: FlowLab) -> None:
    vpc, prefix = lab.vpc("172.31.0.0/16", ipv6=True)
    lab.names["vpc"] = vpc
    near, far = lab.subnet(vpc, "172.31.16.0/20", prefix, 1), lab.subnet(vpc, "172.31.0.0/20", prefix, 2)
    lab.internet(vpc, near, far, ipv6=True)
    everyone = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    servers = lab.group(
        vpc, "servers",
        [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, **everyone} for port in (22, 5001)]
        + [{"IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": everyone["IpRanges"]}],
    )  # fmt: skip
    closed = lab.group(vpc, "closed")
    lab.names["client-eni"] = lab.placed("client", near, "172.31.16.139", closed, Ipv6AddressCount=1)
    lab.names["server-eni"] = lab.placed("server", near, "172.31.16.21", servers, Ipv6AddressCount=1)
    lab.names["other-eni"] = lab.placed("other", far, "172.31.9.12", servers)
    lab.names["pinged-eni"] = lab.placed("pinged", far, "172.31.9.69", servers, AssociatePublicIpAddress=True)
    lab.names["quiet-eni"] = lab.placed("quiet", far, "172.31.9.70", closed)
    lab.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=lab.names["server-eni"], PrivateIpAddresses=["172.31.16.200"]
    )  # fmt: skip
    lab.running("client", "server", "other", "pinged", "quiet")
    role, text = lab.role(), " ".join(f"${{{name}}}" for name in FIELDS)
    for group, kind in (("all", "ALL"), ("rejected", "REJECT")):
        made = lab.ec2.create_flow_logs(
            ResourceIds=[vpc], ResourceType="VPC", TrafficType=kind, LogGroupName=group, LogFormat=text,
            DeliverLogsPermissionArn=role, MaxAggregationInterval=60,
        )  # fmt: skip
        assert made["Unsuccessful"] == []
    lab.client("s3").create_bucket(Bucket="flow-files")
    lab.ec2.create_flow_logs(
        ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL", LogDestinationType="s3",
        LogDestination="arn:aws:s3:::flow-files", MaxAggregationInterval=60,
    )  # fmt: skip
    lab.ec2.create_flow_logs(
        ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL", LogGroupName="default",
        DeliverLogsPermissionArn=role, MaxAggregationInterval=60,
    )  # fmt: skip
    lab.wait()


def test_the_guides_examples(lab: FlowLab) -> None:
    client, server, other, pinged = (lab.names[f"{name}-eni"] for name in ("client", "server", "other", "pinged"))
    six = {
        name: lab.interface(name)["Ipv6Addresses"][0]["Ipv6Address"] for name in ("client", "server")
    }  # fmt: skip
    next_minute(1)
    lab.guest("client", CRAFTED, "172.31.16.139", "172.31.16.21", 20641, 22, 20, 4249)
    lab.guest("client", CRAFTED, "172.31.16.139", "172.31.9.12", 49761, 3389, 20, 4249)
    lab.guest("client", CRAFTED, six["client"], six["server"], 34892, 22, 54, 8855)
    lab.guest("client", CRAFTED, "172.31.16.139", "172.31.16.200", 20642, 22, 3, 200)
    lab.ping_from("203.0.113.12")
    own, visitor, s3 = lab.guest("pinged", VISIT).split()
    serving = lab.start("server", SERVER, 5001)
    talking = lab.start("client", CLIENT, "172.31.16.21", 5001, 43416, 43418)
    short = lab.start("client", CLIENT, "172.31.16.21", 5001, 43638)
    assert short.stdin is not None
    assert talking.stdin is not None
    short.stdin.write("\n\n")
    short.stdin.close()
    short.wait(20)
    first = time.time() // 60
    next_minute(1)
    talking.stdin.write("\n")
    talking.stdin.flush()
    assert talking.stdout is not None
    assert talking.stdout.readline().strip() == "closed"
    second = time.time() // 60
    next_minute(2)
    until(lambda: any(float(line["start"]) // 60 == second and line["dstport"] == "5001" for line in lab.lines("all")))
    for process in (talking, serving):
        process.terminate()
        process.wait(10)
    # FL-70 and FL-71
    assert lab.sums("all", srcport="20641") == {
        (client, "ACCEPT", "egress"): (20, 4249, 2), (server, "ACCEPT", "ingress"): (20, 4249, 2),
    }  # fmt: skip
    assert lab.sums("all", srcport="49761") == {
        (client, "ACCEPT", "egress"): (20, 4249, 2), (other, "REJECT", "ingress"): (20, 4249, 2),
    }  # fmt: skip
    # FL-77
    assert lab.sums("all", srcport="34892") == {
        (client, "ACCEPT", "egress"): (54, 8855, 2), (server, "ACCEPT", "ingress"): (54, 8855, 2),
    }  # fmt: skip
    seen = next(line for line in lab.lines("all") if line["srcport"] == "34892")
    assert (seen["srcaddr"], seen["dstaddr"], seen["type"]) == (six["client"], six["server"], "IPv6")
    # FL-85: the interface's own side is its primary address, the packet's the one it was sent to
    at_server = [x for x in lab.lines("all") if x["srcport"] == "20642" and x["interface-id"] == server]
    assert {(x["dstaddr"], x["pkt-dstaddr"]) for x in at_server} == {("172.31.16.21", "172.31.16.200")}
    at_client = [x for x in lab.lines("all") if x["srcport"] == "20642" and x["interface-id"] == client]
    assert {(x["dstaddr"], x["pkt-dstaddr"]) for x in at_client} == {("172.31.16.200", "172.31.16.200")}
    # FL-75: what answers is admitted by state
    ping = [x for x in lab.lines("all") if x["protocol"] == "1"]
    assert {(x["interface-id"], x["srcaddr"], x["dstaddr"], x["srcport"], x["dstport"], x["packets"], x["bytes"], x["action"]) for x in ping} == {  # noqa: E501
        (pinged, "203.0.113.12", "172.31.9.69", "0", "0", "4", "336", "ACCEPT"),
        (pinged, "172.31.9.69", "203.0.113.12", "0", "0", "4", "336", "ACCEPT"),
    }  # fmt: skip
    # FL-82 and FL-84: at an instance's interface the packet's addresses are its own; out to the internet is path 8
    assert all((x["srcaddr"], x["dstaddr"]) == (x["pkt-srcaddr"], x["pkt-dstaddr"]) for x in ping)
    assert {(x["flow-direction"], x["traffic-path"]) for x in ping} == {("ingress", "-"), ("egress", "8")}
    # FL-84: S3 through the internet gateway
    visit = [x for x in lab.lines("all") if x["interface-id"] == pinged and visitor in (x["srcport"], x["dstport"])]
    assert {
        (x["srcaddr"], x["dstaddr"], x["flow-direction"], x["pkt-src-aws-service"], x["pkt-dst-aws-service"],
         x["traffic-path"], x["tcp-flags"])
        for x in visit
    } == {(own, s3, "egress", "-", "S3", "8", "3"), (s3, own, "ingress", "S3", "-", "-", "19")}  # fmt: skip
    # FL-78, FL-79, FL-80
    flags = {
        (x["srcport"], x["dstport"], float(x["start"]) // 60): x["tcp-flags"]
        for x in lab.lines("all") if x["interface-id"] == server and "5001" in (x["srcport"], x["dstport"])
    }  # fmt: skip
    assert flags["43416", "5001", first] == flags["43418", "5001", first] == "2"
    assert flags["5001", "43416", first] == flags["5001", "43418", first] == "18"
    assert (flags["43418", "5001", second], flags["5001", "43418", second]) == ("1", "1")
    assert (flags["43638", "5001", first], flags["5001", "43638", first]) == ("3", "19")
    # FL-87, FL-72
    assert {x["action"] for x in lab.lines("rejected") if x["log-status"] == "OK"} == {"REJECT"}
    quiet = [x for x in lab.lines("all") if x["interface-id"] == lab.names["quiet-eni"]]
    assert quiet
    assert {x["log-status"] for x in quiet} == {"NODATA"}
    assert not [x for x in lab.lines("all") if x["log-status"] == "SKIPDATA"]


def test_acl_refusals_of_answers(lab: FlowLab) -> None:
    """FL-74: the group lets the answer out by state, the network ACL does not. FL-76: the group lets nothing in."""
    subnet = lab.interface("pinged")["SubnetId"]
    acl = lab.ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["NetworkAcls"][
        0
    ]
    own = lab.ec2.create_network_acl(VpcId=lab.names["vpc"])["NetworkAcl"]["NetworkAclId"]
    lab.ec2.create_network_acl_entry(
        NetworkAclId=own, RuleNumber=100, Protocol="-1", RuleAction="allow", Egress=False, CidrBlock="0.0.0.0/0"
    )
    association = next(a for a in acl["Associations"] if a["SubnetId"] == subnet)
    lab.ec2.replace_network_acl_association(
        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=own
    )  # fmt: skip
    lab.wait()
    lab.ping_from("203.0.113.13", "--timeout", "1")
    lab.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=lab.names["pinged-eni"], Groups=[lab.interface("quiet")["Groups"][0]["GroupId"]]
    )
    lab.wait()
    lab.ping_from("203.0.113.14", "--timeout", "1")
    next_minute(2)
    until(lambda: any("203.0.113.14" in line.values() for line in lab.lines("all")))
    pinged = lab.names["pinged-eni"]
    assert lab.sums_of_pings("203.0.113.13") == {
        (pinged, "ACCEPT", "ingress"): (4, 336), (pinged, "REJECT", "egress"): (4, 336),
    }  # fmt: skip
    assert lab.sums_of_pings("203.0.113.14") == {(pinged, "REJECT", "ingress"): (4, 336)}
    flows = lab.json("flows", "--action", "REJECT", "--interface", pinged)
    reasons = {(f["flow-direction"], f["ringfence-reason"]["layer"], f["ringfence-reason"]["component"]) for f in flows}
    assert ("egress", "nacl-out", own) in reasons
    assert any(layer == "sg-ingress" for _, layer, _ in reasons)


#: lets the link hand over large pieces of UDP (ETHTOOL_SFEATURES), and says whether it does (ETHTOOL_GFEATURES): they tell
#: nobody of how many segments they are, whoever started the installation
LARGE = """
import ctypes, fcntl, socket, struct
def ask(request):
    value = ctypes.create_string_buffer(request, len(request))
    wanted = struct.pack("16sP16x", b"eth0", ctypes.addressof(value))
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8946, wanted)
    return value.raw
count = struct.unpack_from("=I", ask(struct.pack("=IIQI", 0x37, 0, 1 << 4, 0)), 16)[0]
names = ask(struct.pack("=III", 0x1B, 4, count) + bytes(32 * count))[12:]
number = next(n for n in range(count) if names[32 * n :].startswith(b"tx-udp-segmentation\\0"))
words = (count + 31) // 32
blocks = [[0, 0] for _ in range(words)]
blocks[number // 32] = [CHANGE << number % 32] * 2
ask(struct.pack("=II", 0x3B, words) + b"".join(struct.pack("=II", *each) for each in blocks))
there = ask(struct.pack("=II", 0x3A, words) + bytes(16 * words))
print(struct.unpack_from("=I", there, 8 + 16 * (number // 32) + 8)[0] >> number % 32 & 1)
"""


def test_a_guest_that_hands_over_pieces_of_many_packets_is_not_believed(lab: FlowLab) -> None:
    """FL-73: it is root of its link. The count of that minute is not the wire's, so it is SKIPDATA; and it is put back."""
    client = lab.names["client-eni"]
    next_minute(10)
    assert lab.guest("client", LARGE.replace("CHANGE", "1")).strip() == "1"
    minute = time.time() // 60

    def skipped() -> set[tuple[str, float]]:
        lines = (line for line in lab.lines("all") if line["log-status"] == "SKIPDATA")
        return {(line["interface-id"], float(line["start"]) // 60) for line in lines}

    next_minute(2)
    until(lambda: (client, minute) in skipped())
    assert {eni for eni, when in skipped() if when == minute} == {client}
    assert lab.guest("client", LARGE.replace("CHANGE", "0")).strip() == "0"  # only look


def test_the_last_interface_of_a_vpc_is_recorded_to_its_last_packet(lab: FlowLab) -> None:
    """It goes with its instance, and with it the VPC's namespace and counters, before anybody has read them."""
    vpc, _ = lab.vpc("10.9.0.0/16")
    subnet = lab.subnet(vpc, "10.9.1.0/24")
    eni = lab.placed("brief", subnet, "10.9.1.10", lab.group(vpc, "brief"))
    text = " ".join(f"${{{name}}}" for name in FIELDS)
    lab.ec2.create_flow_logs(
        ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL", LogGroupName="brief", LogFormat=text,
        DeliverLogsPermissionArn=lab.names["role"], MaxAggregationInterval=60,
    )  # fmt: skip
    lab.running("brief")
    lab.wait()
    next_minute(5)
    script = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7778))
for n in range(50):
    s.sendto(bytes(72), ("203.0.113.50", 9))
"""
    lab.guest("brief", script)
    lab.ec2.terminate_instances(InstanceIds=[lab.names["brief"]])
    lab.ec2.get_waiter("instance_terminated").wait(
        InstanceIds=[lab.names["brief"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    lab.wait()
    assert not lab.ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["NetworkInterfaces"]
    next_minute(2)
    until(lambda: lab.sums("brief", srcport="7778") == {(eni, "ACCEPT", "egress"): (50, 5000, 0)})


def test_pol_12_and_14_who_may_make_flow_logs(lab: FlowLab) -> None:
    """POL-12: into an own bucket, describe, delete; no role passed, so no log group, and nothing else. POL-14: without
    logs:CreateLogDelivery not even a bucket."""
    flows = ["ec2:CreateFlowLogs", "ec2:DescribeFlowLogs", "ec2:DeleteFlowLogs"]
    user, other = (
        lab.user(name, *actions)
        for name, actions in (
            ("pol-12", [*flows, "logs:CreateLogDelivery", "logs:DeleteLogDelivery"]),
            ("pol-14", flows),
        )
    )
    what = {"ResourceIds": [lab.names["quiet-eni"]], "ResourceType": "NetworkInterface", "TrafficType": "ALL"}
    bucket = {**what, "LogDestinationType": "s3", "LogDestination": "arn:aws:s3:::flow-files/pol"}
    group = {**what, "LogGroupName": "pol", "DeliverLogsPermissionArn": lab.names["role"]}
    made = user.create_flow_logs(**bucket)
    assert made["Unsuccessful"] == []
    (id,) = made["FlowLogIds"]
    assert [log["FlowLogStatus"] for log in user.describe_flow_logs(FlowLogIds=[id])["FlowLogs"]] == ["ACTIVE"]
    refused = (
        lambda: user.create_flow_logs(**group),
        lambda: user.create_tags(Resources=[id], Tags=[{"Key": "a", "Value": "b"}]),
        lambda: other.create_flow_logs(**bucket),
    )
    for call in refused:
        with pytest.raises(ClientError) as problem:
            call()
        assert problem.value.response["Error"]["Code"] == "UnauthorizedOperation"
    assert user.delete_flow_logs(FlowLogIds=[id])["Unsuccessful"] == []


def test_pol_15_a_role_that_loses_a_permission_fails_and_says_so(lab: FlowLab) -> None:
    """Delivery works; without logs:PutLogEvents it is FAILED, Access error (FL-57); given back, what waited is delivered."""
    iam = lab.client("iam")

    def status() -> set[tuple[str, str | None]]:
        logs = [f for f in lab.ec2.describe_flow_logs()["FlowLogs"] if f.get("LogGroupName") == "default"]
        return {(log["DeliverLogsStatus"], log.get("DeliverLogsErrorMessage")) for log in logs}

    until(lambda: status() == {("SUCCESS", None)})
    may = {**MAY, "Action": [action for action in MAY["Action"] if action != "logs:PutLogEvents"]}
    _put(iam, may)
    next_minute(2)  # now there is something to deliver
    until(lambda: status() == {("FAILED", "Access error")})
    minute = time.time() // 60 - 1
    assert all(float(line["start"]) // 60 < minute for line in lab.lines("all"))
    _put(iam, MAY)
    until(lambda: status() == {("SUCCESS", None)})
    assert any(float(line["start"]) // 60 == minute for line in lab.lines("all"))


def _put(iam: Any, may: dict[str, Any]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_role_policy(RoleName="flows", PolicyName="put", PolicyDocument=document)


#: sends datagrams for some seconds, apart from whoever started it; how many stands in a file
SENDER = """
import os, socket, sys, time
if os.fork():
    os._exit(0)
os.setsid()
for n in range(3):
    os.close(n)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7777))
end, n = time.time() + float(sys.argv[1]), 0
while time.time() < end:
    s.sendto(bytes(72), ("172.31.16.21", 9))
    n += 1
    time.sleep(0.002)
open("/tmp/sent", "w").write(str(n))
"""


def test_an_agent_that_is_killed_costs_no_packet_and_counts_none_twice(lab: FlowLab) -> None:
    """Datagrams of a known number, agents killed under way: the lines add up to what was sent and what was refused."""
    client, server = lab.names["client-eni"], lab.names["server-eni"]
    next_minute(25)
    lab.guest("client", SENDER, 55)
    for _ in range(3):
        time.sleep(15)
        os.kill(_agent(lab), signal.SIGKILL)
    time.sleep(15)
    lab.wait()
    sent = int(lab.guest("client", "print(open('/tmp/sent').read())"))
    next_minute(2)
    until(lambda: lab.sums("all", srcport="7777").get((client, "ACCEPT", "egress"), (0,))[0] >= sent)
    assert sent > 1_000
    assert lab.sums("all", srcport="7777") == {
        (client, "ACCEPT", "egress"): (sent, 100 * sent, 0), (server, "REJECT", "ingress"): (sent, 100 * sent, 0),
    }  # fmt: skip
    verified = lab.run("verify", timeout=120)
    assert verified.returncode == 0, verified.stdout


class Kept(FlowLab):
    """A server that keeps its state, and can be killed and started again."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.close()
        self.home, self.log = home, (home / "kept.log").open("w+")
        self.again()

    def again(self) -> None:
        ready = self.home / "ready"
        ready.unlink(missing_ok=True)
        self.server = subprocess.Popen(
            [*COMMAND, "up", "--data", str(self.home / "d"), "--listen", f"127.0.0.1:{self.port}", "--ready-file", str(ready),
             "--root-access-key", "FOOBARKEY", "--root-secret-key", "FOOBARSECRET", "--flow-log-interval", "1"],
            env=self.env, stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        until(ready.exists, 60)


def test_a_server_that_is_killed_loses_no_count_and_says_what_it_may_have_lost() -> None:
    """FL-28: SKIPDATA from the last delivery to the new start; what the kernel counted meanwhile is there, once."""
    with tempfile.TemporaryDirectory(prefix="rf-") as home:  # short: a unix socket's path has at most 107 bytes
        lab = Kept(Path(home))
        try:
            _sent_around_a_kill(lab)
        finally:
            lab.close()


def _sent_around_a_kill(lab: Kept) -> None:
    vpc, _ = lab.vpc("10.8.0.0/16")
    eni = lab.placed("killed", lab.subnet(vpc, "10.8.1.0/24"), "10.8.1.10", lab.group(vpc, "killed"))
    lab.running("killed")
    lab.ec2.create_flow_logs(
        ResourceIds=[vpc], ResourceType="VPC", TrafficType="ALL", LogGroupName="killed", MaxAggregationInterval=60,
        LogFormat=" ".join(f"${{{name}}}" for name in FIELDS), DeliverLogsPermissionArn=lab.role(),
    )  # fmt: skip
    lab.wait()
    script = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7779))
for n in range(int(sys.argv[1])):
    s.sendto(bytes(72), ("203.0.113.50", 9))
"""
    lab.guest("killed", script, 100)
    killed = time.time()
    lab.server.kill()
    lab.server.wait()
    lab.again()
    lab.wait()
    lab.guest("killed", script, 50)
    next_minute(2)
    until(lambda: lab.sums("killed", srcport="7779") == {(eni, "ACCEPT", "egress"): (150, 15000, 0)})
    skipped = [line for line in lab.lines("killed") if line["log-status"] == "SKIPDATA"]
    assert any(float(line["start"]) <= killed <= float(line["end"]) + 1 for line in skipped)


def _agent(lab: FlowLab) -> int:
    """The agent's process: a child of the server."""
    children = Path(f"/proc/{lab.server.pid}/task/{lab.server.pid}/children").read_text().split()
    tasks = Path(f"/proc/{lab.server.pid}/task").iterdir()
    children += [child for task in tasks for child in (task / "children").read_text().split()]
    for child in children:
        if b"ringfence.dataplane.agent" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("no agent")
