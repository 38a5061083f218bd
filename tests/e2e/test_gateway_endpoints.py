"""Gateway endpoints with real requests from inside guests (VPE-01 … VPE-10; POL-23 … POL-26, POL-29): private instances reach
Amazon S3 and nothing else, are known by endpoint and VPC, and are bound by endpoint and bucket policies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.lab import COMMAND, Lab, permission, with_endpoint
from tests.e2e.test_api_from_instances import inside
from tests.e2e.test_instance_roles import TRUST, children, client, command_of

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300)]
S3 = "com.amazonaws.us-east-1.s3"
AT = "198.18.0.65"
ACCOUNT = "123456789012"
EVERYTHING = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
#: signs with the role's credentials and the standard library alone; (method, host, path, service) each on a new connection
REQUESTS = """
import datetime, hashlib, hmac, http.client, json, re, socket, ssl, sys, urllib.request
def metadata(path, **headers):
    request = urllib.request.Request("http://169.254.169.254/latest/" + path, headers=headers, method="PUT" if "api/" in path else "GET")
    return urllib.request.urlopen(request, timeout=5).read().decode()
token = metadata("api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
keys = json.loads(metadata("meta-data/iam/security-credentials/app", **{"X-aws-ec2-metadata-token": token}))
def signed(method, host, path, service, body):
    when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{when[:8]}/us-east-1/{service}/aws4_request"
    path, _, query = path.partition("?")
    held = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": held, "x-amz-date": when, "x-amz-security-token": keys["Token"]}
    names = ";".join(headers)
    text = "".join(f"{name}:{value}\\n" for name, value in headers.items())
    canonical = f"{method}\\n{path}\\n{query}\\n{text}\\n{names}\\n{headers['x-amz-content-sha256']}"
    wanted = f"AWS4-HMAC-SHA256\\n{when}\\n{scope}\\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, wanted.encode(), "sha256").hexdigest()
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={signature}"
    return headers
for method, host, path, service in json.loads(sys.argv[1]):
    try:
        raw = socket.create_connection((sys.argv[2] if len(sys.argv) > 2 else host, 443), 3)
        connection = http.client.HTTPConnection(host)
        connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        body = b"hello" if method == "PUT" else b""
        connection.request(method, path, body, signed(method, host, path, service, body))
        answer = connection.getresponse()
        said = answer.read().decode()
        code = re.search("<Code>(.*?)</Code>", said)
        text = re.search("<Message>(.*?)</Message>", said)
        print(json.dumps([code[1] if code else "ok" if answer.status < 300 else str(answer.status), text[1] if text else said]))
    except OSError as problem:
        print(json.dumps([type(problem).__name__, str(problem)]))
"""


def requests(lab: Lab, name: str, *wanted: tuple[str, str], at: str = "") -> list[list[str]]:
    """[code or "ok" or exception, text] of S3 requests by path."""
    listed = [(method, "s3.us-east-1.amazonaws.com", path, "s3") for method, path in wanted]
    out = inside(lab, name, REQUESTS, json.dumps(listed), *([at] if at else []))
    return [json.loads(line) for line in out.splitlines()]


def codes(lab: Lab, name: str, *wanted: tuple[str, str]) -> list[str]:
    return [code for code, _ in requests(lab, name, *wanted)]


def statement(action: str | list[str], *resources: str, **more: Any) -> dict[str, Any]:
    listed = [f"arn:aws:s3:::{one}" for one in resources]
    return {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": listed, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class Site:
    """`one` and `two` in private subnets of one VPC, each by an endpoint of its own; `far` in another; none has a way out."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.ec2, self.s3 = lab, lab.ec2, client(lab, "s3")
        iam = client(lab, "iam")
        iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
        iam.create_instance_profile(InstanceProfileName="app")
        iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
        grant = {"Effect": "Allow", "Action": ["s3:*", "ec2:*"], "Resource": "*"}
        iam.put_role_policy(RoleName="app", PolicyName="may", PolicyDocument=document(grant))
        self.vpc, _ = lab.vpc("10.20.0.0/16")
        self.far, _ = lab.vpc("10.21.0.0/16")
        self.endpoints, self.tables = dict[str, str](), dict[str, str]()
        for name, vpc, cidr in (
            ("one", self.vpc, "10.20.0.0/24"),
            ("two", self.vpc, "10.20.1.0/24"),
            ("far", self.far, "10.21.0.0/24"),
        ):
            self._place(name, vpc, cidr)
        lab.running("one", "two", "far")
        for name in ("one", "two", "far"):
            lab.ec2.associate_iam_instance_profile(InstanceId=lab.names[name], IamInstanceProfile={"Name": "app"})
        for bucket in ("mine", "other"):
            self.s3.create_bucket(Bucket=bucket)
            self.s3.put_object(Bucket=bucket, Key="k", Body=b"content")
        lab.wait()

    def _place(self, name: str, vpc: str, cidr: str) -> None:
        subnet = self.lab.subnet(vpc, cidr)
        table = self.ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        self.tables[name] = table
        self.endpoints[name] = self.endpoint(vpc, table)
        self.lab.instance(name, subnet, self.lab.group(vpc, name))

    def endpoint(self, vpc: str, *tables: str) -> str:
        made = self.ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=list(tables))
        return str(made["VpcEndpoint"]["VpcEndpointId"])

    def policy(self, name: str, *statements: dict[str, Any]) -> None:
        change = {"PolicyDocument": document(*statements)} if statements else {"ResetPolicy": True}
        self.ec2.modify_vpc_endpoint(VpcEndpointId=self.endpoints[name], **change)


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    return Site(lab)


@pytest.fixture(autouse=True)
def clean(site: Site) -> Iterator[None]:
    yield
    site.policy("one")
    site.s3.delete_bucket_policy(Bucket="mine")


GET, LIST = ("GET", "/mine/k"), ("GET", "/mine?list-type=2")


def test_a_private_instance_reaches_s3_and_nothing_else(site: Site) -> None:
    """VPE-01, VPE-04, VPE-06, VPE-09; no way round by another name in the request."""
    lab = site.lab
    assert codes(lab, "one", GET, ("PUT", "/mine/new"), LIST) == ["ok", "ok", "ok"]
    event = lab.json("audit", "--last", "1", "--event", "PutObject")[-1]
    assert event["vpcEndpointId"] == site.endpoints["one"]
    assert event["sourceIPAddress"] == lab.interface("one")["PrivateIpAddress"]
    ec2 = [("GET", "ec2.us-east-1.amazonaws.com", "/?Action=DescribeVpcs&Version=2016-11-15", "ec2")]
    (answer,) = inside(lab, "one", REQUESTS, json.dumps(ec2)).splitlines()
    assert json.loads(answer)[0] in ("TimeoutError", "OSError")
    (answer,) = inside(lab, "one", REQUESTS, json.dumps(ec2), AT).splitlines()
    assert b"This endpoint belongs to" in answer
    for arguments, outcome in (
        (["--port", "443"], "ok"), (["--port", "80"], "dropped"),
        (["--protocol", "udp", "--port", "443"], "dropped"), (["--protocol", "icmp"], "ok"),
    ):  # fmt: skip
        asked = [lab.names["one"], AT, *arguments, "--timeout", "1"]
        assert lab.json("trace", *asked[:-2])["outcome"] == outcome, arguments
        assert lab.json("probe", *asked)["outcome"] == outcome, arguments


def test_pol_23_one_bucket_by_the_endpoint(site: Site) -> None:
    site.policy("one", statement(["s3:GetObject", "s3:PutObject"], "mine", "mine/*"))
    asked = [GET, ("PUT", "/mine/new"), ("GET", "/other/k"), LIST]
    got = requests(site.lab, "one", *asked)
    assert [code for code, _ in got] == ["ok", "ok", "AccessDenied", "AccessDenied"]
    assert "because no VPC endpoint policy allows the s3:ListBucket action" in got[3][1]
    assert codes(site.lab, "two", *asked) == ["ok"] * 4


@pytest.mark.parametrize(("row", "key"), [("POL-24", "aws:sourceVpce"), ("POL-25", "aws:sourceVpc")])
def test_a_bucket_for_one_endpoint_or_vpc(site: Site, row: str, key: str) -> None:
    value = site.endpoints["one"] if row == "POL-24" else site.vpc
    refuse = statement("s3:GetObject", "mine/*", Effect="Deny", Condition={"StringNotEquals": {key: value}})
    site.s3.put_bucket_policy(Bucket="mine", Policy=document(refuse))
    assert codes(site.lab, "one", GET) == ["ok"]
    assert codes(site.lab, "two", GET) == ["ok" if row == "POL-25" else "AccessDenied"]
    assert codes(site.lab, "far", GET) == ["AccessDenied"]
    with pytest.raises(site.s3.exceptions.ClientError):
        site.s3.get_object(Bucket="mine", Key="k")


def test_pol_26_buckets_of_the_own_account_only(site: Site) -> None:
    for owner, expected in ((ACCOUNT, "ok"), ("999999999999", "AccessDenied")):
        mine = site.ec2.describe_vpcs(VpcIds=[site.vpc])["Vpcs"][0]["OwnerId"] if owner == ACCOUNT else owner
        guard = {"StringNotEquals": {"s3:ResourceAccount": mine}}
        site.policy("one", EVERYTHING, {**EVERYTHING, "Effect": "Deny", "Condition": guard})
        assert codes(site.lab, "one", GET) == [expected]


def test_pol_29_no_address_is_the_source(site: Site) -> None:
    own = f"{site.lab.interface('one')['PrivateIpAddress']}/32"
    for block in (own, "0.0.0.0/0"):
        refuse = statement("s3:GetObject", "mine/*", Effect="Deny", Condition={"NotIpAddress": {"aws:SourceIp": block}})
        site.s3.put_bucket_policy(Bucket="mine", Policy=document(refuse))
        assert codes(site.lab, "one", GET) == ["AccessDenied"]


def test_groups_name_the_list(site: Site) -> None:
    """The AWS-managed list as the peer of an egress rule."""
    group = site.lab.interface("two")["Groups"][0]["GroupId"]
    listed = site.ec2.describe_managed_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [S3]}])[
        "PrefixLists"
    ]
    every = site.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    site.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=every)
    site.lab.wait()
    assert codes(site.lab, "two", GET)[0] in ("TimeoutError", "OSError", "gaierror")
    only = [
        {
            "IpProtocol": "tcp",
            "FromPort": 443,
            "ToPort": 443,
            "PrefixListIds": [{"PrefixListId": listed[0]["PrefixListId"]}],
        }
    ]
    site.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=only)
    site.lab.wait()
    assert codes(site.lab, "two", GET) == ["ok"]
    site.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=only)
    site.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission("-1", -1, -1, "0.0.0.0/0")])
    site.lab.wait()


def test_vpe_01_it_comes_and_goes_with_the_association(site: Site) -> None:
    table = site.tables["two"]
    site.ec2.modify_vpc_endpoint(VpcEndpointId=site.endpoints["two"], RemoveRouteTableIds=[table])
    site.lab.wait()
    assert codes(site.lab, "two", GET)[0] in ("TimeoutError", "OSError")
    site.ec2.modify_vpc_endpoint(VpcEndpointId=site.endpoints["one"], AddRouteTableIds=[table])
    site.lab.wait()
    assert codes(site.lab, "two", GET) == ["ok"]
    assert site.lab.json("audit", "--last", "1", "--event", "GetObject")[-1]["vpcEndpointId"] == site.endpoints["one"]
    site.ec2.delete_vpc_endpoints(VpcEndpointIds=[site.endpoints["two"]])
    site.lab.wait()
    assert codes(site.lab, "two", GET) == ["ok"]


#: a conversation that stands: says after each line whether it still does
STANDING = """
import socket, ssl, sys
host = "s3.us-east-1.amazonaws.com"
tls = ssl.create_default_context().wrap_socket(socket.create_connection((host, 443), 5), server_hostname=host)
tls.settimeout(3)
for line in sys.stdin:
    try:
        tls.sendall(f"GET /mine/k HTTP/1.1\\r\\nhost: {host}\\r\\n\\r\\n".encode())
        print("ok" if tls.recv(65536) else "closed", flush=True)
    except OSError as problem:
        print(type(problem).__name__, flush=True)
"""


def test_vpe_03_and_05_between_the_gateway_and_the_endpoint(site: Site) -> None:
    """A conversation by the internet gateway breaks when the endpoint's route comes; a longer prefix takes its place again."""
    lab, table = site.lab, site.tables["far"]

    def way() -> tuple[str | None, str]:
        assert codes(lab, "far", GET) == ["ok"]
        event = lab.json("audit", "--last", "1", "--event", "GetObject")[-1]
        return event.get("vpcEndpointId"), event["sourceIPAddress"]

    gateway, _ = lab.internet(site.far)
    public = site.ec2.allocate_address()
    site.ec2.associate_address(AllocationId=public["AllocationId"], InstanceId=lab.names["far"])
    site.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    by_endpoint = (site.endpoints["far"], lab.interface("far")["PrivateIpAddress"])
    lab.wait()
    assert way() == by_endpoint
    site.ec2.modify_vpc_endpoint(VpcEndpointId=site.endpoints["far"], RemoveRouteTableIds=[table])
    lab.wait()
    assert way() == (None, public["PublicIp"])
    command = ["exec", lab.names["far"], "--", "python3", "-c", STANDING]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": lab.env}
    with subprocess.Popen([*COMMAND, *with_endpoint(command, lab.endpoint)], **pipes) as standing:
        assert standing.stdin is not None
        assert standing.stdout is not None
        said = []
        for change in ({}, {"AddRouteTableIds": [table]}):
            if change:
                site.ec2.modify_vpc_endpoint(VpcEndpointId=site.endpoints["far"], **change)
                lab.wait()
            print("go", file=standing.stdin, flush=True)
            said.append(standing.stdout.readline().strip())
        standing.stdin.close()
    assert said[0] == "ok"
    assert said[1] != "ok"
    assert way() == by_endpoint
    site.ec2.create_route(RouteTableId=table, DestinationCidrBlock="198.18.0.64/31", GatewayId=gateway)
    lab.wait()
    assert way() == (None, public["PublicIp"])
    site.ec2.delete_route(RouteTableId=table, DestinationCidrBlock="198.18.0.64/31")
    lab.wait()
    assert way() == by_endpoint


def test_it_survives_its_agent(site: Site) -> None:
    """Killed and started anew: the same endpoints, none by another's name."""
    server = site.lab.server.pid
    agent = next(pid for pid in children(server) if b"ringfence.dataplane.agent" in command_of(pid))
    os.kill(agent, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while agent in children(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    while True:  # its metadata service answers when the new one has taken over
        try:
            assert codes(site.lab, "one", GET) == ["ok"]
            break
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    assert site.lab.json("audit", "--last", "1", "--event", "GetObject")[-1]["vpcEndpointId"] == site.endpoints["one"]
    assert codes(site.lab, "far", GET) == ["ok"]
    assert site.lab.json("audit", "--last", "1", "--event", "GetObject")[-1]["vpcEndpointId"] == site.endpoints["far"]
    site.lab.nothing_drifted()
