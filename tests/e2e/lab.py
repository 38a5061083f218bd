"""A running Ringfence with a real data plane, driven as a user would: boto3 and the ringfence command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

COMMAND = [sys.executable, "-m", "ringfence.cli.main"]
CLIENT, HOME, CLIENT_V6 = "internet:203.0.113.9", "internet:198.51.100.7", "internet:2001:db8:ffff::9"
HOME_V6 = "internet:2001:db8:aaaa::7"


@dataclass(frozen=True)
class Row:
    """One connection of an end-to-end table; `expected` is `ok` or where it is dropped."""

    id: str
    source: str
    destination: str
    expected: str
    port: int = 0
    protocol: str = "tcp"
    sport: int = 0
    ipv6: bool = False


class Lab:
    """One server on a free port; `close` ends it."""

    def __init__(self, home: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        source = Path(__file__).parents[2] / "src"
        self.env = {**os.environ, "RINGFENCE_HOME": str(home), "PYTHONPATH": str(source)}
        self.names: dict[str, str] = {}
        ready = home / "ready"
        self.log = (home / "up.log").open("w+")
        self.server = subprocess.Popen(
            [*COMMAND, "up", "--ephemeral", "--listen", f"127.0.0.1:{self.port}", "--ready-file", str(ready),
             "--root-access-key", "FOOBARKEY", "--root-secret-key", "FOOBARSECRET", *options],
            env=self.env, stdout=self.log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self.server.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError(f"ringfence did not start: {self.log.read()}")
            time.sleep(0.05)
        self.ec2: Any = boto3.client(
            "ec2", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="FOOBARKEY",
            aws_secret_access_key="FOOBARSECRET", config=Config(retries={"max_attempts": 0}),
        )  # fmt: skip

    def close(self) -> None:
        self.server.send_signal(signal.SIGTERM)
        try:
            self.server.wait(30)
        finally:
            if self.server.poll() is None:
                self.server.kill()
                self.server.wait()
            self.log.close()

    # ------------------------------------------------------------------ the ringfence command
    def run(self, *args: str, timeout: float = 60, check: bool = False) -> subprocess.CompletedProcess[str]:
        """A ringfence command against this server; the endpoint option goes before any `--`."""
        return subprocess.run(
            [*COMMAND, *with_endpoint(args, self.endpoint)], env=self.env, capture_output=True, text=True,
            timeout=timeout, check=check,
        )  # fmt: skip

    def json(self, *args: str) -> Any:
        done = self.run(*args, "--json")
        assert done.stdout.strip(), f"{args}: {done.stderr}"
        return json.loads(done.stdout)

    def wait(self) -> None:
        """Until the newest generation is in force."""
        self.run("wait", check=True)

    def nothing_drifted(self) -> None:
        """What is installed is what the model says, and nothing that could have let a packet through ever differed (CFG-07)."""
        report = self.json("verify")
        assert (report["findings"], report["problems"]) == ([], [])
        found = self.json("audit", "--event", "EnforcementDrift", "--last", "1000")
        events = found["records"] if isinstance(found, dict) else found
        differed = [each for event in events for each in event["serviceEventDetails"]["findings"]]
        assert [each for each in differed if not each["shut"]] == []

    def arguments(self, row: Row) -> list[str]:
        out = [self.names.get(row.source, row.source), self.names.get(row.destination, row.destination)]
        out += ["--protocol", row.protocol]
        if row.protocol in ("tcp", "udp"):
            out += ["--port", str(row.port)]
        if row.sport:
            out += ["--source-port", str(row.sport)]
        return [*out, "--ipv6"] if row.ipv6 else out

    def check(self, rows: Iterable[Row]) -> None:
        """Every row: the analysis says what is expected, and real packets agree with the analysis (MON-18)."""
        rows = tuple(rows)
        self.wait()
        with ThreadPoolExecutor(4) as pool:
            problems = [text for text in pool.map(self._row, rows) if text]
        assert not problems, "\n".join(problems)

    def _row(self, row: Row) -> str:
        traced = self.json("trace", *self.arguments(row))
        probed = self.json("probe", *self.arguments(row), "--timeout", "1")
        analysed = "ok" if traced["outcome"] == "ok" else traced["dropped_at"]
        found = self._reachability(row, traced)
        agree = analysed == row.expected and (probed["outcome"] == "ok") == (row.expected == "ok")
        if agree and found in (None, row.expected == "ok"):
            return ""
        rule = f"{traced.get('component')} {traced.get('rule')}"
        return f"{row}: analysed {analysed} ({rule}), Reachability Analyzer {found}, probed {probed}"

    def _reachability(self, row: Row, traced: Any) -> bool | None:
        """NetworkPathFound for the packet of a row (MON-18); None when it comes from outside and no gateway leads in."""
        packet, source = traced["packet"], self.names.get(row.source, row.source)
        if source.startswith("internet:"):
            source = self._gateway_to(packet["destination"])
            if source is None:
                return None
        at_source: dict[str, Any] = {"SourceAddress": packet["source"], "DestinationAddress": packet["destination"]}
        if "port" in packet:
            ports = {"SourcePortRange": packet["source_port"], "DestinationPortRange": packet["port"]}
            at_source |= {name: {"FromPort": port, "ToPort": port} for name, port in ports.items()}
        path = self.ec2.create_network_insights_path(
            Source=source, Protocol=packet["protocol"], FilterAtSource=at_source
        )  # fmt: skip
        done = self.ec2.start_network_insights_analysis(
            NetworkInsightsPathId=path["NetworkInsightsPath"]["NetworkInsightsPathId"]
        )["NetworkInsightsAnalysis"]
        assert done["Status"] == "succeeded", done
        assert done["NetworkPathFound"] or done["Explanations"]
        return bool(done["NetworkPathFound"])

    def _gateway_to(self, address: str) -> str | None:
        """The internet gateway of the VPC that has an address, public or private."""
        names = ("addresses.association.public-ip", "addresses.private-ip-address", "ipv6-addresses.ipv6-address")
        for name in names:
            found = self.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [address]}])[
                "NetworkInterfaces"
            ]
            for interface in found:
                attached = [{"Name": "attachment.vpc-id", "Values": [interface["VpcId"]]}]
                gateways = self.ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
                if gateways:
                    return str(gateways[0]["InternetGatewayId"])
        return None

    # ------------------------------------------------------------------ building
    def vpc(self, cidr: str = "10.0.0.0/16", *, ipv6: bool = False) -> tuple[str, str]:
        """A VPC; returns (id, IPv6 /56 prefix up to its last two digits)."""
        vpc = self.ec2.create_vpc(CidrBlock=cidr, AmazonProvidedIpv6CidrBlock=ipv6)["Vpc"]["VpcId"]
        if not ipv6:
            return vpc, ""
        found = self.ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
        return vpc, found.removesuffix("00::/56")

    def subnet(self, vpc: str, cidr: str, prefix: str = "", number: int = 0) -> str:
        extra = {"Ipv6CidrBlock": f"{prefix}{number:02x}::/64"} if prefix else {}
        return str(self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, **extra)["Subnet"]["SubnetId"])

    def internet(self, vpc: str, *subnets: str, ipv6: bool = False) -> tuple[str, str]:
        """An attached internet gateway and a route table to it for the subnets."""
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        if ipv6:
            self.ec2.create_route(RouteTableId=table, DestinationIpv6CidrBlock="::/0", GatewayId=gateway)
        for subnet in subnets:
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return gateway, table

    def group(self, vpc: str, name: str, ingress: Iterable[dict[str, Any]] = (), *, egress: bool = True) -> str:
        """A group with these ingress permissions; `egress=False` removes the open egress rules."""
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        permissions = list(ingress)
        if permissions:
            self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
        if not egress:
            found = self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
            self.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=found)
        return str(group)

    def instance(self, name: str, subnet: str, *groups: str, public: bool = False, ipv6: bool = False) -> str:
        interface: dict[str, Any] = {
            "DeviceIndex": 0, "SubnetId": subnet, "Groups": list(groups), "AssociatePublicIpAddress": public,
        }  # fmt: skip
        if ipv6:
            interface["Ipv6AddressCount"] = 1
        image = self.ec2.describe_images(Owners=["amazon", "self"])["Images"][0]["ImageId"]
        id = self.ec2.run_instances(
            ImageId=image, InstanceType="m5.4xlarge", MinCount=1, MaxCount=1, NetworkInterfaces=[interface]
        )["Instances"][0]["InstanceId"]
        self.names[name] = id
        return str(id)

    def running(self, *names: str) -> None:
        ids = [self.names[name] for name in names]
        self.ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    def interface(self, name: str) -> Any:
        found = self.ec2.describe_instances(InstanceIds=[self.names[name]])["Reservations"][0]["Instances"][0]
        return found["NetworkInterfaces"][0]

    # ------------------------------------------------------------------ open conversations
    @contextmanager
    def session(
        self, source: str, destination: str, address: str, port: int, *, detached: bool = False
    ) -> Iterator[Session]:
        """An open TCP conversation between two targets. `detached`: of instances, whose ends outlive the commands that began them,
        which end with the agent."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": self.env}

        def start(target: str, script: str, *args: str) -> subprocess.Popen[str]:
            script = DETACH + script if detached else script
            command = ["exec", self.names.get(target, target), "--", "python3", "-c", script, *args]
            return subprocess.Popen([*COMMAND, *with_endpoint(command, self.endpoint)], **pipes)

        server = start(destination, ECHO, str(port))
        client = None
        try:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == "ready"
            client = start(source, TALK, address, str(port))
            yield Session(client)
        finally:
            for process in (client, server):
                if process is not None:
                    assert process.stdin is not None
                    process.stdin.close()  # a detached end goes when nobody asks any more
                    process.terminate()
                    process.wait(10)


class Session:
    """Asks an open conversation whether it still carries data."""

    def __init__(self, client: subprocess.Popen[str]) -> None:
        self.client = client

    def alive(self) -> bool:
        assert self.client.stdin is not None
        assert self.client.stdout is not None
        self.client.stdin.write("go\n")
        self.client.stdin.flush()
        return self.client.stdout.readline().strip() == "ok"


DETACH = """
import os
if os.fork():
    os._exit(0)
os.setsid()
"""
ECHO = """
import socket, sys
l = socket.socket(); l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind(("", int(sys.argv[1]))); l.listen()
print("ready", flush=True)
c, _ = l.accept()
while d := c.recv(100):
    c.sendall(d)
"""
TALK = """
import socket, sys
s = socket.socket(); s.settimeout(2); s.connect((sys.argv[1], int(sys.argv[2])))
for n, line in enumerate(sys.stdin):
    try:
        mark = b"%08d" % n
        s.sendall(mark); got = b""
        while not got.endswith(mark):
            more = s.recv(100)
            if not more: raise OSError("closed")
            got += more
        print("ok", flush=True)
    except OSError as e:
        print("dead", flush=True)
"""


def with_endpoint(args: Iterable[str], endpoint: str) -> list[str]:
    args = list(args)
    cut = args.index("--") if "--" in args else len(args)
    return [*args[:cut], "--endpoint", endpoint, *args[cut:]]


def permission(protocol: str, first: int = -1, last: int | None = None, *peers: str) -> dict[str, Any]:
    """An IpPermission; peers are CIDRs or group ids. ICMP: `first` and `last` are type and code."""
    out: dict[str, Any] = {"IpProtocol": protocol}
    if protocol != "-1":
        out |= {"FromPort": first, "ToPort": first if last is None else last}
    out["IpRanges"] = [{"CidrIp": peer} for peer in peers if "." in peer]
    out["Ipv6Ranges"] = [{"CidrIpv6": peer} for peer in peers if ":" in peer]
    out["UserIdGroupPairs"] = [{"GroupId": peer} for peer in peers if peer.startswith("sg-")]
    return {name: value for name, value in out.items() if value != []}
