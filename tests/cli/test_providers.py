"""`ringfence oidc-keys`: a token of the provider becomes a role session, with no key fetched from anywhere (IAM-12)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.cli.serving import Host, client_of
from tests.identity.providers import CLIENT, ISSUER, jwks, token


def test_the_keys_of_a_provider(host: Host, tmp_path: Path) -> None:
    server = host.up("--ephemeral")
    iam = client_of(host, "iam", server.endpoint)
    arn = iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=[CLIENT])["OpenIDConnectProviderArn"]
    trust = {"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"Federated": arn}, "Action": "sts:AssumeRoleWithWebIdentity"}}  # fmt: skip
    role = iam.create_role(RoleName="ci", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    sts = boto3.client("sts", region_name="us-east-1", endpoint_url=server.endpoint,
                       config=Config(signature_version=UNSIGNED))  # fmt: skip
    wanted = {"RoleArn": role, "RoleSessionName": "ci", "WebIdentityToken": token(now=datetime.now(UTC))}
    with pytest.raises(ClientError, match="IDPCommunicationError"):
        sts.assume_role_with_web_identity(**wanted)
    file = tmp_path / "jwks.json"
    file.write_text("{}")
    assert host.run("oidc-keys", arn, str(file)).returncode == 2
    assert host.run("oidc-keys", arn, str(tmp_path / "none")).returncode == 2
    file.write_text(jwks(0))
    assert host.run("oidc-keys", arn + "x", str(file)).returncode == 2
    done = host.run("oidc-keys", arn, str(file))
    assert done.stdout == f"{arn}: 2 keys\n", done.stderr
    assert sts.assume_role_with_web_identity(**wanted)["Provider"] == arn
