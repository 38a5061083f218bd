"""`ringfence up` end to end without packets: boto3 in front, SQLite behind (docs/adr/0001, RES-08)."""

from __future__ import annotations

import os
import re
import signal
import stat
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ringfence.cli.main import main
from tests.cli.serving import Host, client, client_of, free_port

GIVEN = ("--root-access-key", "FOOBARKEY", "--root-secret-key", "FOOBARSECRET", "--account-id", "123456789012")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--listen nowhere", "--listen takes HOST:PORT"),
        ("--listen 127.0.0.1:0", "--listen takes HOST:PORT"),
        ("--listen 127.0.0.1:70000", "--listen takes HOST:PORT"),
        ("--dataplane ovn", "not supported yet"),
        ("--region mars-1", "unknown Region"),
        ("--root-access-key A", "belong together"),
        ("--root-secret-key A", "belong together"),
        ("--tls-cert x.pem", "belong together"),
        ("--quota vpcs", "NAME=N"),
        ("--quota vpcs=many", "NAME=N"),
        ("--quota wormholes=3", "unknown quota"),
        ("--quota rules-per-network-acl=41", "must be 0..40"),
        ("--quota rules-per-security-group=1000", "SG-59"),
        ("--account-id 12", "12 digits"),
        ("--tls-cert nowhere.pem --tls-key nowhere.pem", "TLS certificate"),
    ],
)
def test_settings_that_make_no_sense_exit_2(
    options: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RINGFENCE_HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    given = options if "--listen" in options else f"{options} --listen 127.0.0.1:{free_port()}"
    none = "" if "--dataplane" in options else " --dataplane none"
    assert main(f"up --data {tmp_path / 'data'} {given}{none}".split()) == 2
    out, err = capsys.readouterr()
    assert (out, says in err) == ("", True), err
    assert err.startswith("ringfence up: ")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "argv", ["up --data a --ephemeral", "up --quotas none", "fly", "", "audit --last 0", "audit --last x"]
)
def test_bad_usage_exits_2(argv: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv.split())
    assert ended.value.code == 2


def test_an_ephemeral_server_serves_and_leaves_nothing(host: Host) -> None:
    server = host.up("--ephemeral", *GIVEN)
    sts = client("sts", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
    assert sts.get_caller_identity()["Account"] == "123456789012"
    assert "FOOBARSECRET" not in server.output  # a given secret is not repeated
    assert re.search(r"^NOT enforced: packets", server.output, re.MULTILINE)
    assert re.search(r"^enforced: Signature Version 4", server.output, re.MULTILINE)
    assert [stat.S_IMODE(path.stat().st_mode) for path in host.scratch.iterdir()] == [0o700]
    note = host.home / "state" / "instances" / f"{server.port}.json"
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert server.stop(signal.SIGTERM) == 0
    left = [path.name for path in host.home.iterdir() if path.name.startswith("ready")]
    assert (list(host.scratch.iterdir()), note.exists(), left) == ([], False, [])
    assert "Traceback" not in server.output


def test_an_interrupt_is_a_clean_end_too(host: Host) -> None:
    server = host.up("--ephemeral")
    assert re.search(r"^root key AKIA\w{16}  secret \S{40}", server.output, re.MULTILINE)
    assert server.stop(signal.SIGINT) == 0
    assert list(host.scratch.iterdir()) == []
    assert "Traceback" not in server.output


def test_state_and_key_survive_a_restart(host: Host) -> None:
    data = host.home / "data"
    first = host.up("--data", str(data))
    ec2 = client_of(host, "ec2", first.endpoint)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    token = {"ClientToken": "again", "CidrBlock": "10.0.0.0/24"}
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
    table = ec2.create_route_table(VpcId=vpc, ClientToken=token["ClientToken"])["RouteTable"]["RouteTableId"]
    key, generation = host.json("env"), host.json("status")["generation"]
    assert first.stop() == 0
    assert stat.S_IMODE((data / "root.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert stat.S_IMODE((data / "ringfence.db").stat().st_mode) == 0o600

    second = host.up("--data", str(data), port=first.port)
    assert host.json("env") == key
    assert key["AWS_SECRET_ACCESS_KEY"] in first.output
    assert key["AWS_SECRET_ACCESS_KEY"] not in second.output  # shown once
    assert host.json("status")["generation"] == generation
    ec2 = client_of(host, "ec2", second.endpoint)
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"] == vpc
    again = ec2.create_route_table(VpcId=vpc, ClientToken=token["ClientToken"])["RouteTable"]["RouteTableId"]
    assert again == table  # INF-14, across a restart
    events = [record["eventName"] for record in host.json("audit", "--last", "100")]
    assert [name for name in events if name.startswith("Create")] == [
        "CreateVpc", "CreateSecurityGroup", "CreateRouteTable", "CreateRouteTable",
    ]  # fmt: skip


def test_res_08_kill_9_of_the_server_loses_nothing_acknowledged(host: Host) -> None:
    data = str(host.home / "data")
    made: list[str] = []
    for _ in range(3):
        server = host.up("--data", data, *GIVEN, "--quotas", "lab")
        ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
        made += [ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(5)]
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    server = host.up("--data", data, *GIVEN)
    ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
    found = [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
    assert found == made
    assert host.json("status")["endpoint"] == server.endpoint  # not one of the notes that were left behind


def test_a_disk_that_is_full_fails_calls_in_aws_s_way_and_loses_nothing(host: Host) -> None:
    """RES-08: files of the server cannot grow past 300 KiB; what was acknowledged is there after a restart."""
    data = str(host.home / "data")
    small = ("sh", "-c", 'ulimit -f 600; exec "$@"', "sh")  # blocks of 512 bytes
    server = host.up("--data", data, *GIVEN, before=small)
    ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made, failure = [], None
    for number in range(400):
        try:
            made.append(ec2.create_security_group(GroupName=f"g{number}", Description="x" * 200, VpcId=vpc)["GroupId"])
        except ClientError as problem:
            failure = problem.response
            break
    assert failure is not None
    assert (failure["Error"]["Code"], failure["ResponseMetadata"]["HTTPStatusCode"]) == ("InternalError", 500)
    assert refused_soon(ec2) == "InternalError"  # a read is refused too: it could not be audited
    assert "nothing was changed" in server.output
    assert "Traceback" not in server.output
    server.stop()
    server = host.up("--data", data, *GIVEN)
    ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    assert [group["GroupId"] for group in groups if group["GroupName"] != "default"] == made


def refused_soon(ec2: Any) -> str | None:
    """The code of the first refused read, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            ec2.describe_vpcs()
        except ClientError as problem:
            return str(problem.response["Error"]["Code"])
    return None


def test_a_killed_ephemeral_server_is_swept_by_the_next(host: Host) -> None:
    killed = host.up("--ephemeral")
    living = host.up("--ephemeral")
    killed.stop(signal.SIGKILL)
    for left in host.scratch.iterdir():
        os.utime(left, (0, 0))
    before = {path.name for path in host.scratch.iterdir()}
    third = host.up("--ephemeral")
    after = {path.name for path in host.scratch.iterdir()}
    assert (len(before), len(after), len(before & after)) == (2, 2, 1)
    for server in (living, third):
        assert server.stop() == 0
    assert list(host.scratch.iterdir()) == []


def test_one_process_for_a_data_directory_and_for_a_port(host: Host) -> None:
    """The second one is told why, and the first one is not disturbed: neither its key nor its note."""
    data = host.home / "data"
    first = host.up("--data", str(data))
    key = (data / "root.json").read_text()
    same_data = host.run(
        "up", "--data", str(data), "--dataplane", "none", "--listen", f"127.0.0.1:{free_port()}", *GIVEN[:4]
    )
    assert same_data.returncode == 2
    assert f"in use by process {first.process.pid}" in same_data.stderr
    same_port = host.run("up", "--ephemeral", "--dataplane", "none", "--listen", f"127.0.0.1:{first.port}")
    assert same_port.returncode == 2
    assert "Address already in use" in same_port.stderr
    assert "choose another --listen" in same_port.stderr
    assert (data / "root.json").read_text() == key
    assert host.json("status")["endpoint"] == first.endpoint
    assert list(host.scratch.iterdir()) == []


def test_a_directory_belongs_to_one_account(host: Host) -> None:
    data = str(host.home / "data")
    host.up("--data", data, *GIVEN).stop()
    refused = host.run("up", "--data", data, "--account-id", "111111111111", "--dataplane", "none", "--listen",
                       f"127.0.0.1:{free_port()}")  # fmt: skip
    assert refused.returncode == 2
    assert "belongs to account 123456789012" in refused.stderr


@pytest.mark.parametrize(("options", "code"), [(("--quotas", "aws"), "VpcLimitExceeded"), ((), None),
                                               (("--quota", "L-F678F1CE=6"), "VpcLimitExceeded")])  # fmt: skip
def test_quotas(host: Host, options: tuple[str, ...], code: str | None) -> None:
    """Section 15: AWS's numbers, or more of what is counted per Region; lab is the default of --ephemeral."""
    server = host.up("--ephemeral", *GIVEN, *options)
    ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
    got = None
    try:
        for _ in range(6):  # and the default VPC
            ec2.create_vpc(CidrBlock="10.0.0.0/16")
    except ClientError as problem:
        got = problem.response["Error"]["Code"]
    assert got == code


def test_instances_settle_without_a_data_plane(host: Host) -> None:
    server = host.up("--ephemeral", *GIVEN)
    ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    run = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]
    id = run["InstanceId"]

    def state() -> str:
        found = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    seen = [run["State"]["Name"], state()]
    for call in (ec2.stop_instances, ec2.start_instances, ec2.terminate_instances):
        call(InstanceIds=[id])
        seen.append(state())
    assert seen == ["pending", "running", "stopped", "running", "terminated"]
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    calls = [record["eventName"] for record in host.json("audit")]
    assert calls.count("RunInstances") == 1  # settling is no call of anybody
    status = host.json("status")
    assert status["applied_generation"] == status["generation"]
    assert status["vpcs"][0]["instances"] == 0
    assert host.run("wait", "--timeout", "5").returncode == 0


def test_only_an_ephemeral_server_can_be_reset(host: Host) -> None:
    ephemeral, lasting = host.up("--ephemeral", *GIVEN), host.up("--data", str(host.home / "data"), *GIVEN)
    for server, status in ((ephemeral, 200), (lasting, 404)):
        ec2 = client("ec2", server.endpoint, "FOOBARKEY", "FOOBARSECRET")
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        request = urllib.request.Request(f"{server.endpoint}/_ringfence/reset", method="POST")
        try:
            got = urllib.request.urlopen(request, timeout=10).status
        except urllib.error.HTTPError as refused:
            got = refused.code
        assert got == status
        there = [found["VpcId"] for found in ec2.describe_vpcs()["Vpcs"]]
        assert (vpc in there) == (status == 404)
        assert len(there) == (1 if status == 200 else 2)  # the default VPC is there, made anew


def certificate(directory: Path) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1: the paths of certificate and key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = directory / "cert.pem", directory / "key.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return str(paths[0]), str(paths[1])


def test_tls(host: Host) -> None:
    """Given a certificate, HTTPS only."""
    cert, key = certificate(host.home)
    server = host.up("--ephemeral", *GIVEN, "--tls-cert", cert, "--tls-key", key)
    endpoint = server.endpoint.replace("http:", "https:")
    sts = client("sts", endpoint, "FOOBARKEY", "FOOBARSECRET", verify=cert)
    assert sts.get_caller_identity()["Account"] == "123456789012"
    assert host.json("env")["AWS_ENDPOINT_URL"] == endpoint
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(server.endpoint, timeout=10)
