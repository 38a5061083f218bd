"""IAM-11 on real packets: a guest fetches its role's credentials from the metadata service, and they sign requests."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.e2e.lab import Lab

pytestmark = [pytest.mark.netns, pytest.mark.timeout(240)]
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})  # fmt: skip
GET = """
import sys, urllib.request, urllib.error
def ask(method, path, **headers):
    wanted = urllib.request.Request("http://169.254.169.254/latest/" + path, method=method, headers=headers)
    return urllib.request.urlopen(wanted, timeout=10).read().decode()
token = ask("PUT", "api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
for path in sys.argv[1:]:
    try:
        print(ask("GET", path, **{"X-aws-ec2-metadata-token": token}).replace("\\n", " "))
    except urllib.error.HTTPError as problem:
        print(problem.code)
"""


def client(lab: Lab, service: str, **key: str) -> Any:
    keys = key or {"aws_access_key_id": "FOOBARKEY", "aws_secret_access_key": "FOOBARSECRET"}
    return boto3.client(
        service, endpoint_url=lab.endpoint, region_name="us-east-1", config=Config(retries={"max_attempts": 0}), **keys
    )


def metadata(lab: Lab, name: str, *paths: str) -> list[str]:
    done = lab.run("exec", lab.names[name], "--", "python3", "-c", GET, *(f"meta-data/{path}" for path in paths))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_iam_11_a_guest_gets_the_credentials_of_its_role_and_of_no_other(lab: Lab) -> None:
    iam = client(lab, "iam")
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="web")
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="app")
    vpc, _ = lab.vpc("10.7.0.0/16")
    subnet, group = lab.subnet(vpc, "10.7.0.0/24"), lab.group(vpc, "roles")
    with_role = lab.instance("with-role", subnet, group)
    lab.instance("without", subnet, group)
    lab.running("with-role", "without")
    lab.wait()
    assert metadata(lab, "without", "iam/info", "iam/security-credentials/") == ["404", "404"]
    made = lab.ec2.associate_iam_instance_profile(InstanceId=with_role, IamInstanceProfile={"Name": "web"})
    info, listing, text = metadata(
        lab, "with-role", "iam/info", "iam/security-credentials/", "iam/security-credentials/app"
    )
    assert json.loads(info)["Code"] == "Success"
    assert listing == "app"
    shown = json.loads(text)
    assert shown["Code"] == "Success"
    keys = {"aws_access_key_id": shown["AccessKeyId"], "aws_secret_access_key": shown["SecretAccessKey"],
            "aws_session_token": shown["Token"]}  # fmt: skip
    who = client(lab, "sts", **keys).get_caller_identity()
    assert who["Arn"].endswith(f":assumed-role/app/{with_role}")
    assert metadata(lab, "without", "iam/security-credentials/app") == ["404"]
    # the role is taken away: no more credentials; those given out are good until the role goes
    lab.ec2.disassociate_iam_instance_profile(AssociationId=made["IamInstanceProfileAssociation"]["AssociationId"])
    assert metadata(lab, "with-role", "iam/info", "iam/security-credentials/app") == ["404", "404"]
    assert client(lab, "sts", **keys).get_caller_identity()["Arn"] == who["Arn"]
    iam.remove_role_from_instance_profile(InstanceProfileName="web", RoleName="app")
    iam.delete_role(RoleName="app")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client(lab, "sts", **keys).get_caller_identity()


def test_credentials_come_back_after_the_agent_died(lab: Lab) -> None:
    iam = client(lab, "iam")
    iam.create_role(RoleName="again", AssumeRolePolicyDocument=TRUST)
    iam.create_instance_profile(InstanceProfileName="again")
    iam.add_role_to_instance_profile(InstanceProfileName="again", RoleName="again")
    lab.ec2.associate_iam_instance_profile(InstanceId=lab.names["without"], IamInstanceProfile={"Name": "again"})
    path = "iam/security-credentials/again"
    assert json.loads(metadata(lab, "without", path)[0])["Code"] == "Success"
    agents = [p for p in children(lab.server.pid) if b"ringfence.dataplane.agent" in command_of(p)]
    assert agents
    os.kill(agents[0], signal.SIGKILL)

    def back() -> bool:
        done = lab.run("exec", lab.names["without"], "--", "python3", "-c", GET, f"meta-data/{path}")
        return done.returncode == 0 and done.stdout.startswith("{")

    eventually(back)


def children(pid: int) -> list[int]:
    out = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                    out.append(int(entry.name))
            except (OSError, ValueError):
                continue
    return out


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
