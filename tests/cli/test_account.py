"""`ringfence account` against a running installation: several accounts, each with a root key made and shown once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.cli.serving import Host, client, client_of


def test_accounts_of_an_installation(host: Host, tmp_path: Path) -> None:
    data = tmp_path / "d"
    server = host.up("--data", str(data))
    own = host.json("account", "list")
    assert [one["status"] for one in own] == ["ACTIVE"]
    made = host.json("account", "create", "--name", "dev", "--email", "dev@example.com")
    sts = client("sts", server.endpoint, made["access_key"], made["secret_key"])
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{made['account_id']}:root"
    ec2 = client("ec2", server.endpoint, made["access_key"], made["secret_key"])
    vpc = ec2.describe_vpcs()["Vpcs"][0]  # its own default VPC
    assert vpc["OwnerId"] == made["account_id"]
    listed = host.json("account", "list")
    assert [(one["account_id"], one["root_keys"]) for one in listed[1:]] == [(made["account_id"], [made["access_key"]])]
    second = host.json("account", "key", made["account_id"])
    third = host.run("account", "key", made["account_id"])
    assert third.returncode == 2
    assert "has 2 root keys" in third.stderr
    records = host.json("audit", "--event", "CreateRootAccessKey")
    assert [one["responseElements"]["accessKeyId"] for one in records] == [second["access_key"]]
    server.stop()
    # made once, shown once: sealed at rest, and it still signs after a restart (DATA-04)
    secrets = (made["secret_key"].encode(), second["secret_key"].encode())
    for path in data.rglob("*"):
        if path.is_file():
            assert not any(secret in path.read_bytes() for secret in secrets), path
    server = host.up("--data", str(data))
    sts = client("sts", server.endpoint, second["access_key"], second["secret_key"])
    assert sts.get_caller_identity()["Account"] == made["account_id"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("create", "--email", "nobody"), "not an e-mail address"),
        (("create", "--id", "12"), "12 digits"),
        (("create", "--id", "123456789012"), "already"),
        (("key", "210987654321"), "there is no account"),
    ],
)
def test_what_is_refused(host: Host, options: tuple[str, ...], says: str) -> None:
    host.up("--ephemeral", "--account-id", "123456789012")
    done = host.run("account", *options)
    assert done.returncode == 2
    assert says in done.stderr


def test_sessions_of_a_role_are_revoked_by_the_operator(host: Host) -> None:
    server = host.up("--ephemeral", "--account-id", "123456789012")
    iam = client_of(host, "iam", server.endpoint)
    arn = "arn:aws:iam::123456789012:role/app"
    trust = json.dumps({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}})  # fmt: skip
    may = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}})
    iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust)
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="p", PolicyDocument=may)
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = client("sts", server.endpoint, key["AccessKeyId"], key["SecretAccessKey"])

    def session() -> Any:
        made = ann.assume_role(RoleArn=arn, RoleSessionName="one")["Credentials"]
        return client("sts", server.endpoint, made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])

    old = session()
    assert old.get_caller_identity()
    assert host.run("account", "revoke", arn + "x").returncode == 2
    done = host.run("account", "revoke", arn)
    assert done.stdout == f"{arn}: its sessions are revoked\n", done.stderr
    with pytest.raises(ClientError, match="ExpiredToken"):
        old.get_caller_identity()
    time.sleep(1)  # sessions are dated in whole seconds
    assert session().get_caller_identity()
    (event,) = host.json("audit", "--event", "RevokeRoleSessions")
    assert (event["requestParameters"], event["recipientAccountId"]) == ({"roleArn": arn}, "123456789012")


def test_the_organization_of_an_installation(host: Host) -> None:
    server = host.up("--ephemeral")
    env = host.json("env")
    org = client("organizations", server.endpoint, env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
    org.create_organization()
    made = org.create_account(Email="dev@example.com", AccountName="dev")["CreateAccountStatus"]["AccountId"]
    key = host.json("account", "key", made)
    org.attach_policy(PolicyId=_deny(org), TargetId=made)
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        client("ec2", server.endpoint, key["access_key"], key["secret_key"]).create_vpc(CidrBlock="10.0.0.0/16")


def _deny(org: object) -> str:
    text = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"ec2:CreateVpc","Resource":"*"}}'
    made = org.create_policy(Content=text, Description="", Name="no VPC", Type="SERVICE_CONTROL_POLICY")  # type: ignore[attr-defined]
    return str(made["Policy"]["PolicySummary"]["Id"])
