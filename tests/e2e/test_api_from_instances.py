"""IAM-11, IAM-13, IAM-29: an instance calls the AWS APIs by their own names, over its VPC's routes and rules, with the
credentials of its role, and is known there by its public address (docs/adr/0009). The client is botocore as it comes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tarfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.lab import CLIENT, COMMAND, Lab, permission, with_endpoint
from tests.e2e.test_instance_roles import TRUST, children, client, command_of

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
MODULES = ("botocore", "jmespath", "dateutil", "six", "urllib3")
DATA = ("botocore/data/ec2/", "botocore/data/sts/", "botocore/data/s3/")
#: nothing but service and Region is told to the client: no endpoint, no key, no authority of certificates
CALLS = """
import json, sys
sys.path.insert(0, "/tmp/lib")
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
session = botocore.session.get_session()
config = Config(connect_timeout=2, retries={"total_max_attempts": 1}, use_dualstack_endpoint="dual" in sys.argv)
for service, operation, parameters in json.loads(sys.argv[1]):
    try:
        made = session.create_client(service, region_name="us-east-1", config=config)
        answer = getattr(made, operation)(**parameters)
        answer.pop("ResponseMetadata")
        if "Body" in answer:
            answer["Body"] = answer["Body"].read().decode()
        print(json.dumps({"ok": answer}, default=str))
    except ClientError as refused:
        print(json.dumps({"error": refused.response["Error"]["Code"]}))
    except BotoCoreError as problem:
        print(json.dumps({"error": type(problem).__name__}))
"""
UNPACK = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|').extractall('/tmp/lib')"
WHO = ("sts", "get_caller_identity", {})


def packed() -> bytes:
    """botocore and what it needs, with the models of the services that are called."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in MODULES:
            found = find_spec(name)
            assert found is not None
            assert found.origin is not None
            top = Path(found.origin) if Path(found.origin).name != "__init__.py" else Path(found.origin).parent
            archive.add(top, top.name, filter=_wanted)
    return out.getvalue()


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    below = entry.name.removeprefix("botocore/data/")
    of_a_service = below != entry.name and "/" in below
    if entry.name.endswith("__pycache__") or (of_a_service and not entry.name.startswith(DATA)):
        return None
    return entry


def inside(lab: Lab, name: str, script: str, *args: str, data: bytes = b"") -> bytes:
    """The output of a Python program in an instance or outside host."""
    command = ["exec", lab.names.get(name, name), "--", "python3", "-c", script, *args]
    done = subprocess.run(
        [*COMMAND, *with_endpoint(command, lab.endpoint)], env=lab.env, input=data, capture_output=True, timeout=90, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def calls(lab: Lab, name: str, *wanted: tuple[str, str, dict[str, Any]], how: str = "") -> list[dict[str, Any]]:
    """What an instance is answered: {"ok": reply} or {"error": code or exception}."""
    return [json.loads(line) for line in inside(lab, name, CALLS, json.dumps(wanted), how).splitlines()]


def allow(lab: Lab, *actions: str, **condition: Any) -> None:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"} | (
        {"Condition": condition} if condition else {}
    )
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    client(lab, "iam").put_role_policy(RoleName="app", PolicyName="may", PolicyDocument=document)


@pytest.fixture(scope="module")
def site(lab: Lab) -> Lab:
    """Instances with the role `app`: one with a way to the internet, one whose group lets nothing out, one without a route."""
    iam = client(lab, "iam")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="app")
    iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
    vpc, _ = lab.vpc("10.8.0.0/16")
    public, private = lab.subnet(vpc, "10.8.0.0/24"), lab.subnet(vpc, "10.8.1.0/24")
    lab.internet(vpc, public)
    group = lab.group(vpc, "open")
    lab.instance("public", public, group, public=True)
    lab.instance("closed", public, lab.group(vpc, "closed", egress=False), public=True)
    lab.instance("private", private, group)
    lab.running("public", "closed", "private")
    for name in ("public", "closed", "private"):
        lab.ec2.associate_iam_instance_profile(InstanceId=lab.names[name], IamInstanceProfile={"Name": "app"})
    lab.wait()
    library = packed()
    for name in ("public", "closed", "private"):
        inside(lab, name, UNPACK, data=library)
    return lab


def address_of(lab: Lab, name: str) -> str:
    return str(lab.interface(name)["Association"]["PublicIp"])


def test_iam_11_an_instance_calls_the_apis_with_its_role(site: Lab) -> None:
    allow(site, "ec2:DescribeVpcs")
    who, allowed, refused = calls(site, "public", WHO, ("ec2", "describe_vpcs", {}),
                                  ("ec2", "create_vpc", {"CidrBlock": "10.9.0.0/16"}))  # fmt: skip
    instance = site.names["public"]
    assert who["ok"]["Arn"].endswith(f":assumed-role/app/{instance}")
    assert len(allowed["ok"]["Vpcs"]) >= 1
    assert refused == {"error": "UnauthorizedOperation"}
    records = [
        event for event in site.json("audit", "--last", "20") if event["sourceIPAddress"] == address_of(site, "public")
    ]
    seen = {event["eventName"]: event for event in records}
    assert set(seen) == {"GetCallerIdentity", "DescribeVpcs", "CreateVpc"}
    for event in records:
        assert event["userIdentity"]["type"] == "AssumedRole"
        assert event["userIdentity"]["arn"] == who["ok"]["Arn"]
        assert event["userIdentity"]["sessionContext"]["ec2RoleDelivery"] == "2.0"
        assert "Botocore" in event["userAgent"]
    assert seen["CreateVpc"]["errorCode"] == "Client.UnauthorizedOperation"
    assert "errorCode" not in seen["DescribeVpcs"]


def test_iam_29_the_source_address_is_the_public_one_and_transport_is_secure(site: Lab) -> None:
    ask = ("ec2", "describe_vpcs", {})
    for block, expected in ((f"{address_of(site, 'public')}/32", "ok"), ("10.8.0.0/16", "error")):
        allow(site, "ec2:DescribeVpcs", IpAddress={"aws:SourceIp": block}, Bool={"aws:SecureTransport": "true"})
        assert expected in calls(site, "public", ask)[0], block


def test_s3_by_the_name_of_the_bucket(site: Lab) -> None:
    allow(site, "s3:*")
    client(site, "s3").create_bucket(Bucket="from-inside")
    put, got = calls(site, "public", ("s3", "put_object", {"Bucket": "from-inside", "Key": "a", "Body": "hello"}),
                     ("s3", "get_object", {"Bucket": "from-inside", "Key": "a"}))  # fmt: skip
    assert "ok" in put
    assert got["ok"]["Body"] == "hello"


def test_the_rules_of_the_vpc_hold_on_the_way_to_the_apis(site: Lab) -> None:
    """No route, or no egress rule: as on AWS the name is known and the connection comes to nothing."""
    for name in ("private", "closed"):
        assert calls(site, name, WHO) == [{"error": "ConnectTimeoutError"}], name
    group = site.interface("closed")["Groups"][0]["GroupId"]
    site.ec2.authorize_security_group_egress(
        GroupId=group, IpPermissions=[permission("tcp", 443, 443, "198.18.0.1/32")]
    )
    site.wait()
    assert "ok" in calls(site, "closed", WHO)[0]
    site.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[permission("tcp", 443, 443, "198.18.0.1/32")])


def test_over_ipv6_by_the_dual_stack_names(site: Lab) -> None:
    """An instance without a public IPv4 address, by its own IPv6 address, which nobody translates (IGW-07)."""
    vpc, prefix = site.vpc("10.9.0.0/16", ipv6=True)
    subnet = site.subnet(vpc, "10.9.0.0/24", prefix, 1)
    site.internet(vpc, subnet, ipv6=True)
    group = site.group(vpc, "six", egress=False)
    site.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission("tcp", 443, 443, "::/0")])
    site.instance("six", subnet, group, ipv6=True)
    site.running("six")
    site.ec2.associate_iam_instance_profile(InstanceId=site.names["six"], IamInstanceProfile={"Name": "app"})
    site.wait()
    inside(site, "six", UNPACK, data=packed())
    assert calls(site, "six", WHO) == [{"error": "ConnectTimeoutError"}]
    who = calls(site, "six", WHO, how="dual")[0]
    assert who["ok"]["Arn"].endswith(f":assumed-role/app/{site.names['six']}")
    event = site.json("audit", "--last", "1", "--event", "GetCallerIdentity")[-1]
    assert event["sourceIPAddress"] == site.interface("six")["Ipv6Addresses"][0]["Ipv6Address"]


LOOK = """
import json, socket, ssl, sys, urllib.error, urllib.request
found = {}
for port in (22, 80, 4566, 8080):
    s = socket.socket(); s.settimeout(2)
    found[port] = s.connect_ex(("198.18.0.1", port))
    s.close()
def ask(path, method="GET"):
    wanted = urllib.request.Request("https://sts.amazonaws.com" + path, method=method)
    try:
        return urllib.request.urlopen(wanted, timeout=5).status
    except urllib.error.HTTPError as refused:
        return refused.code
    except (urllib.error.URLError, OSError) as problem:
        return repr(problem)
if len(sys.argv) > 1:
    real = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **more: real("198.18.0.1", *rest, **more)
found["unsigned"], found["reset"] = ask("/?Action=GetCallerIdentity&Version=2011-06-15"), ask("/_ringfence/reset", "POST")
plain = socket.create_connection(("198.18.0.1", 443), 5)
plain.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
try:
    found["plain"] = plain.recv(100).decode("latin-1").startswith("HTTP")
except OSError:
    found["plain"] = False
print(json.dumps(found))
"""


@pytest.mark.parametrize("place", ["public", CLIENT])
def test_iam_13_only_tls_only_one_port_and_nothing_without_a_signature(site: Lab, place: str) -> None:
    """Python's own TLS trusts the certificate, so the system's does. ECONNREFUSED (111): nothing else listens there."""
    found = json.loads(inside(site, place, LOOK, *(["by-address"] if place == CLIENT else [])))
    assert found == {"22": 111, "80": 111, "4566": 111, "8080": 111, "unsigned": 403, "reset": 404, "plain": False}
    assert site.ec2.describe_instances(InstanceIds=[site.names["public"]])["Reservations"]  # nothing was reset


def test_no_host_and_no_elastic_ip_takes_the_address(site: Lab) -> None:
    done = site.run("exec", "internet:198.18.0.1", "--", "true")
    assert done.returncode != 0
    assert "AWS APIs" in done.stderr
    with pytest.raises(site.ec2.exceptions.ClientError, match=r"InvalidAddress.NotFound"):
        site.ec2.allocate_address(Address="198.18.0.1")


def test_iam_07_what_is_taken_away_ends_at_once(site: Lab) -> None:
    ask = ("ec2", "describe_vpcs", {})
    allow(site, "ec2:DescribeVpcs")
    assert "ok" in calls(site, "public", ask)[0]
    client(site, "iam").delete_role_policy(RoleName="app", PolicyName="may")
    assert calls(site, "public", ask) == [{"error": "UnauthorizedOperation"}]
    held = site.ec2.describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [site.names["public"]]}]
    )["IamInstanceProfileAssociations"][0]
    site.ec2.disassociate_iam_instance_profile(AssociationId=held["AssociationId"])
    assert calls(site, "public", ask) == [{"error": "NoCredentialsError"}]
    site.ec2.associate_iam_instance_profile(InstanceId=site.names["public"], IamInstanceProfile={"Name": "app"})
    assert "ok" in calls(site, "public", WHO)[0]


def test_the_apis_are_there_again_after_the_agent_died(site: Lab) -> None:
    agents = [pid for pid in children(site.server.pid) if b"ringfence.dataplane.agent" in command_of(pid)]
    os.kill(agents[0], signal.SIGKILL)
    deadline = time.monotonic() + 30
    while site.run("exec", site.names["public"], "--", "true").returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "ok" in calls(site, "public", WHO)[0]
