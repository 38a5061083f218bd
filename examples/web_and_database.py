"""The Amazon VPC User Guide's "web and database servers" VPC, built and probed on a running Ringfence.

Two Availability Zones; public subnets with web servers behind an internet gateway, private subnets with databases;
default network ACLs; one security group per tier. Every row below is analysed (`ringfence trace`) and then tried with
real packets (`ringfence probe`); both must give what the guide says. Needs AWS_ENDPOINT_URL and credentials, for
instance from `eval "$(ringfence env)"`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

CLIENT, HOME = "internet:203.0.113.9", "internet:198.51.100.7"
CLIENT_V6 = "internet:2001:db8:ffff::9"
HOME_NET = "198.51.100.0/24"
SCRIPTS = str(Path(sys.executable).parent / "ringfence")
RINGFENCE = SCRIPTS if os.path.exists(SCRIPTS) else "ringfence"


def ringfence(*args: str) -> dict[str, Any]:
    """A ringfence command's JSON answer."""
    done = subprocess.run([RINGFENCE, *args, "--json"], capture_output=True, text=True, timeout=60, check=False)
    if not done.stdout.strip():
        raise SystemExit(f"ringfence {' '.join(args)}: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@dataclass
class Lab:
    """What was built, by the names the rows use."""

    ec2: Any
    instances: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    subnets: dict[str, str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    vpc: str = ""


@dataclass(frozen=True)
class Row:
    """One connection: `expected` is `ok` or where it must be dropped."""

    id: str
    source: str
    destination: str
    expected: str
    port: int = 0
    protocol: str = "tcp"
    ipv6: bool = False


ROWS = (
    Row("B1", CLIENT, "web1", "ok", 80),
    Row("B1", CLIENT, "web1", "ok", 443),
    Row("B1", CLIENT_V6, "web2", "ok", 80, ipv6=True),
    Row("B2", HOME, "web1", "ok", 22),
    Row("B2", CLIENT, "web1", "sg-ingress", 22),
    Row("B2", CLIENT, "web1", "sg-ingress", 443, "udp"),
    Row("B3", "web1", "db1", "ok", 3306),
    Row("B3", "web1", "db2", "ok", 1433),
    Row("B4", "web1", "db1", "sg-egress", 5432),
    Row("B5", "web1", "web2", "sg-egress", 80),
    Row("B6", "web1", CLIENT, "sg-egress", 443),
    Row("B7", "db1", "web1", "ok", 80),
    Row("B7", "db2", "web1", "ok", 443),
    Row("B8", "db1", "web1", "sg-egress", 22),
    Row("B8", "db1", "db2", "sg-egress", 3306),
    Row("B9", "db1", CLIENT, "no-route", 443),
    Row("B12", "other", "db1", "sg-ingress", 3306),
    Row("B12", "other", "web2", "ok", 80),
)


# ---------------------------------------------------------------------- building
def permission(protocol: str, port: int, *, cidrs: tuple[str, ...] = (), group: str | None = None) -> dict[str, Any]:
    """One IpPermission."""
    out: dict[str, Any] = {"IpProtocol": protocol, "FromPort": port, "ToPort": port}
    if cidrs:
        out["IpRanges"] = [{"CidrIp": c} for c in cidrs if ":" not in c]
        out["Ipv6Ranges"] = [{"CidrIpv6": c} for c in cidrs if ":" in c]
    if group:
        out["UserIdGroupPairs"] = [{"GroupId": group}]
    return out


def build(ec2: Any) -> Lab:
    """The VPC, its subnets, routes, groups and instances."""
    lab = Lab(ec2)
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    lab.vpc = vpc["VpcId"]
    block = ec2.describe_vpcs(VpcIds=[lab.vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    zones = [z["ZoneName"] for z in ec2.describe_availability_zones()["AvailabilityZones"]][:2]
    for number, name in enumerate(("public1", "public2", "private1", "private2")):
        lab.subnets[name] = ec2.create_subnet(
            VpcId=lab.vpc,
            CidrBlock=f"10.20.{number}.0/24",
            Ipv6CidrBlock=block.replace("00::/56", f"0{number}::/64"),
            AvailabilityZone=zones[number % 2],
        )["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=lab.vpc)
    table = ec2.create_route_table(VpcId=lab.vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="::/0", GatewayId=gateway)
    for name in ("public1", "public2"):
        ec2.associate_route_table(RouteTableId=table, SubnetId=lab.subnets[name])
    build_groups(lab)
    build_instances(lab)
    return lab


def build_groups(lab: Lab) -> None:
    """The guide's WebServerSG and DBServerSG, and an open group for an unrelated host."""
    for name in ("web", "db", "other"):
        lab.groups[name] = lab.ec2.create_security_group(GroupName=name, Description=f"{name} servers", VpcId=lab.vpc)[
            "GroupId"
        ]
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    for name in ("web", "db"):
        lab.ec2.revoke_security_group_egress(GroupId=lab.groups[name], IpPermissions=[everything])
    anywhere = ("0.0.0.0/0", "::/0")
    web, db = lab.groups["web"], lab.groups["db"]
    ingress, egress = lab.ec2.authorize_security_group_ingress, lab.ec2.authorize_security_group_egress
    ingress(
        GroupId=web,
        IpPermissions=[
            permission("tcp", 80, cidrs=anywhere),
            permission("tcp", 443, cidrs=anywhere),
            permission("tcp", 22, cidrs=(HOME_NET,)),
            permission("tcp", 3389, cidrs=(HOME_NET,)),
        ],
    )
    egress(GroupId=web, IpPermissions=[permission("tcp", 1433, group=db), permission("tcp", 3306, group=db)])
    ingress(GroupId=db, IpPermissions=[permission("tcp", 1433, group=web), permission("tcp", 3306, group=web)])
    egress(
        GroupId=db,
        IpPermissions=[permission("tcp", 80, cidrs=anywhere[:1]), permission("tcp", 443, cidrs=anywhere[:1])],
    )


def launch(lab: Lab, name: str, subnet: str, group: str, *, public: bool) -> None:
    """One instance; public ones get a public IPv4 address."""
    image = lab.ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
    interface = {
        "DeviceIndex": 0,
        "SubnetId": lab.subnets[subnet],
        "Groups": [lab.groups[group]],
        "AssociatePublicIpAddress": public,
        "Ipv6AddressCount": 1,
    }
    lab.instances[name] = lab.ec2.run_instances(
        ImageId=image,
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[interface],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
    )["Instances"][0]["InstanceId"]


def build_instances(lab: Lab) -> None:
    """Web servers in both public subnets, databases in both private ones, and an unrelated host."""
    launch(lab, "web1", "public1", "web", public=True)
    launch(lab, "web2", "public2", "web", public=True)
    launch(lab, "db1", "private1", "db", public=False)
    launch(lab, "db2", "private2", "db", public=False)
    launch(lab, "other", "private1", "other", public=False)
    lab.ec2.get_waiter("instance_running").wait(
        InstanceIds=list(lab.instances.values()), WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )


# ---------------------------------------------------------------------- probing
def arguments(lab: Lab, row: Row) -> list[str]:
    """The command line of one row, the same for trace and probe."""
    out = [lab.instances.get(row.source, row.source), lab.instances.get(row.destination, row.destination)]
    out += ["--protocol", row.protocol, "--port", str(row.port)]
    return [*out, "--ipv6"] if row.ipv6 else out


def show(lab: Lab, row: Row) -> bool:
    """Analyse and probe one row, print it, and say whether all three agree."""
    traced = ringfence("trace", *arguments(lab, row))
    probed = ringfence("probe", *arguments(lab, row), "--timeout", "1")
    analysed = traced["outcome"] if traced["outcome"] == "ok" else traced["dropped_at"]
    good = analysed == row.expected and (probed["outcome"] == "ok") == (row.expected == "ok")
    decided = f"{traced.get('component') or ''} {rule_text(traced.get('rule'))}".strip()
    what = f"{row.source} -> {row.destination} {row.protocol} {row.port}" + (" IPv6" if row.ipv6 else "")
    mark = "" if good else "   <-- DIFFERS"
    print(f"{row.id:4} {what:52} {row.expected:11} {analysed:11} {probed['outcome']:9} {decided}{mark}", flush=True)
    return good


def rule_text(rule: Any) -> str:
    """The rule that decided: its id, number or destination, or why there is none."""
    if not isinstance(rule, dict):
        return str(rule or "")
    return str(next((rule[name] for name in ("id", "number", "destination", "reason") if rule.get(name)), ""))


def later_steps(lab: Lab) -> list[bool]:
    """B11, B13 and B14: what changes when addresses and groups do."""
    results = []
    address = lab.ec2.allocate_address(Domain="vpc")
    lab.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=lab.instances["db1"])
    wait()
    lab.instances["db1 by its Elastic IP"] = address["PublicIp"]
    results.append(show(lab, Row("B11", CLIENT, "db1 by its Elastic IP", "sg-ingress", 3306)))
    launch(lab, "web3", "public1", "web", public=False)
    lab.ec2.get_waiter("instance_running").wait(
        InstanceIds=[lab.instances["web3"]], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    wait()
    results.append(show(lab, Row("B13", "web3", "db1", "ok", 3306)))
    results.append(open_session_survives(lab))
    return results


SESSION = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], 3306), 3)
s.settimeout(3)
for line in sys.stdin:
    s.sendall(b"x"); print(s.recv(1).decode(), flush=True)
"""
ECHO = """
import socket
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind(("", 3306)); l.listen()
print("ready", flush=True)
c, _ = l.accept()
while d := c.recv(100):
    c.sendall(d)
"""


def open_session_survives(lab: Lab) -> bool:
    """B14: the web group leaves an interface with an open database session: it lives, new ones are refused."""
    db = lab.ec2.describe_instances(InstanceIds=[lab.instances["db2"]])["Reservations"][0]["Instances"][0]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([RINGFENCE, "exec", db["InstanceId"], "--", "python3", "-c", ECHO], **pipes)
    client = None
    try:
        assert server.stdout.readline().strip() == "ready"
        command = ["python3", "-c", SESSION, db["PrivateIpAddress"]]
        client = subprocess.Popen([RINGFENCE, "exec", lab.instances["web2"], "--", *command], **pipes)
        before = exchange(client)
        lab.ec2.modify_instance_attribute(InstanceId=lab.instances["web2"], Groups=[lab.groups["other"]])
        wait()
        after = exchange(client)
        print(f"B14  open session web2 -> db2 tcp 3306, web group removed: {before} then {after}")
        fresh = show(lab, Row("B14", "web2", "db2", "sg-ingress", 1433))
        return before == after == "alive" and fresh
    finally:
        for process in (client, server):
            if process is not None:
                process.terminate()
                process.wait(timeout=10)


def exchange(client: Any) -> str:
    """One byte there and back over the open session."""
    client.stdin.write("go\n")
    client.stdin.flush()
    return "alive" if client.stdout.readline().strip() == "x" else "dead"


def wait() -> None:
    """Until the newest rules are in force."""
    subprocess.run([RINGFENCE, "wait"], check=True, timeout=60)


def main() -> int:
    """Build, probe every row, and say whether the three columns agree."""
    started = time.monotonic()
    print("Building the web + database VPC: 2 Availability Zones, 4 subnets, 3 groups, 5 instances ...", flush=True)
    lab = build(boto3.client("ec2"))
    wait()
    print(f"built in {time.monotonic() - started:.1f} s; every row is analysed, then tried with real packets\n")
    print(f"{'row':4} {'connection':52} {'expected':11} {'analysed':11} {'observed':9} decided by")
    results = [show(lab, row) for row in ROWS] + later_steps(lab)
    print(f"\n{sum(results)} of {len(results)} rows as the guide says, in {time.monotonic() - started:.1f} s")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
