"""`ringfence diff running --call`: what a call would change, without making it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.serving import Host, client_of

EVERYWHERE = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def _site(ec2: Any) -> tuple[str, str]:
    """An interface with a public address behind a group that lets nothing in."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    eni = ec2.create_network_interface(SubnetId=subnet, Groups=[group])["NetworkInterface"]["NetworkInterfaceId"]
    ec2.associate_address(AllocationId=ec2.allocate_address(Domain="vpc")["AllocationId"], NetworkInterfaceId=eni)
    return group, eni


def test_what_a_call_would_change(host: Host, tmp_path: Path) -> None:
    server = host.up("--ephemeral")
    ec2 = client_of(host, "ec2", server.endpoint)
    group, eni = _site(ec2)
    call = ["diff", "running", "--call", "AuthorizeSecurityGroupIngress"]
    parameters = json.dumps({"GroupId": group, "IpPermissions": EVERYWHERE, "DryRun": True})
    done = host.run(*call, "--parameters", parameters, "--fail-on", "exposed", "--format", "json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert told["after"] == "running after AuthorizeSecurityGroupIngress"
    (change,) = [c for c in told["changes"] if c["internet"]]
    assert (change["change"], change["what"]) == ("opened", "tcp 22")
    assert eni in json.dumps(change["to"])
    found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert found["IpPermissions"] == []  # nothing was done
    (tmp_path / "call.json").write_text(parameters)
    again = host.run(*call, "--parameters", f"@{tmp_path / 'call.json'}", "--format", "json")
    assert (again.returncode, json.loads(again.stdout)["counts"]) == (0, told["counts"])
    nothing = host.run("diff", "running", "--call", "CreateVpc", "--parameters", '{"CidrBlock": "10.1.0.0/16"}')
    assert (nothing.returncode, nothing.stdout) == (0, "no difference\n")


def test_calls_that_cannot_be_rehearsed(host: Host, tmp_path: Path) -> None:
    """Status 2, with what the call would have ended in."""
    host.up("--ephemeral")
    for action, parameters, words in (
        ("AuthorizeSecurityGroupIngress", {"GroupId": "sg-0123456789abcdef0", "IpPermissions": EVERYWHERE}, "InvalidGroup.NotFound"),
        ("DescribeVpcs", {}, "UnsupportedOperation"), ("Frobnicate", {}, "InvalidAction"),
        ("CreateVpc", {"Nonsense": 1}, "InvalidParameterValue"), ("CreateVpc", [], "InvalidParameterValue"),
        ("CreateVpc", {"CidrBlock": 7}, "InvalidParameterValue"),
    ):  # fmt: skip
        done = host.run("diff", "running", "--call", action, "--parameters", json.dumps(parameters))
        assert done.returncode == 2, done.stdout
        assert words in done.stderr
    for usage in (["running"], ["running", "running", "--call", "CreateVpc"], ["x.json", "--call", "CreateVpc"],
                  ["running", "--call", "CreateVpc", "--parameters", "{"]):  # fmt: skip
        assert host.run("diff", *usage).returncode == 2
