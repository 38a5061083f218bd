"""No secret ever stands in the audit trail, in the log, in an error text or, unsealed, in the data directory (DATA-03, DATA-04).

A run that handles every kind of secret, does it wrong as well, and then looks for each of them everywhere.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.cli.serving import Host, client

ROOT = (
    "--account-id",
    "123456789012",
    "--root-access-key",
    "AKIDGIVENFROMOUTSIDE",
    "--root-secret-key",
    "Root+Secret/0123456789abcdef",
)
TRUST = json.dumps({"Version": "2012-10-17", "Statement": {
    "Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}})  # fmt: skip
ALL = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})


class Run:
    """Calls, the secrets that they handled, and what they were told."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.secrets: dict[str, str] = {"root": ROOT[-1]}
        self.told: list[str] = []

    def client(self, service: str, key: str = ROOT[3], secret: str = ROOT[-1], **how: Any) -> Any:
        return client(service, self.endpoint, key, secret, **how)

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        """What goes wrong is told; botocore's own refusals never reach the server."""
        try:
            yield
        except (ClientError, BotoCoreError) as problem:
            self.told.append(str(problem) + json.dumps(getattr(problem, "response", {}), default=str))
        else:
            raise AssertionError("it succeeded")


def _users(run: Run) -> None:
    iam = run.client("iam")
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="all", PolicyDocument=ALL)
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    run.secrets["access key"] = key["SecretAccessKey"]
    for name, password in (("password", "Str0ng-Password-One!"), ("next password", "Str0ng-Password-Two!")):
        run.secrets[name] = password
    iam.create_login_profile(UserName="ann", Password=run.secrets["password"])
    with run.refused():
        iam.create_login_profile(UserName="ann", Password=run.secrets["next password"])
    iam.update_account_password_policy(MinimumPasswordLength=100)
    with run.refused():
        iam.update_login_profile(UserName="ann", Password=run.secrets["next password"])
    ann = run.client("iam", key["AccessKeyId"], key["SecretAccessKey"])
    with run.refused():
        ann.change_password(OldPassword=run.secrets["next password"], NewPassword=run.secrets["password"])
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    run.secrets["mfa seed"] = device["Base32StringSeed"].decode()
    run.secrets["mfa code"] = "271828"
    with run.refused():
        iam.enable_mfa_device(
            UserName="ann",
            SerialNumber=device["SerialNumber"],
            AuthenticationCode1="271828",
            AuthenticationCode2="271828",
        )
    with run.refused():  # a wrong signature: the secret given is one too
        run.secrets["wrong"] = "Wrong+Secret/0123456789abcdefghijkl"
        run.client("iam", key["AccessKeyId"], run.secrets["wrong"]).list_users()


def _sessions(run: Run) -> None:
    iam = run.client("iam")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    run.secrets["second key"] = key["SecretAccessKey"]
    role = iam.create_role(RoleName="app", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    sts = run.client("sts", key["AccessKeyId"], key["SecretAccessKey"])
    given = sts.assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    run.secrets["session secret"], run.secrets["session token"] = given["SecretAccessKey"], given["SessionToken"]
    session = {"token": given["SessionToken"]}
    with run.refused():  # the role may do nothing
        client("ec2", run.endpoint, given["AccessKeyId"], given["SecretAccessKey"], **session).describe_vpcs()
    run.secrets["forged token"] = given["SessionToken"][:-8] + "AAAAAAAA"
    forged = {"token": run.secrets["forged token"]}
    with run.refused():
        client("ec2", run.endpoint, given["AccessKeyId"], given["SecretAccessKey"], **forged).describe_vpcs()
    run.secrets["web token"] = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL3gifQ.c2VjcmV0LXNpZ25hdHVyZQ"
    with run.refused():
        sts.assume_role_with_web_identity(
            RoleArn=role, RoleSessionName="session", WebIdentityToken=run.secrets["web token"]
        )
    run.secrets["assertion"] = base64.b64encode(b"<samlp:Response>secret-assertion</samlp:Response>").decode()
    with run.refused():
        sts.assume_role_with_saml(
            RoleArn=role,
            PrincipalArn="arn:aws:iam::123456789012:saml-provider/p",
            SAMLAssertion=run.secrets["assertion"],
        )


def _machines(run: Run) -> None:
    ec2 = run.client("ec2")
    material = ec2.create_key_pair(KeyName="door")["KeyMaterial"]
    run.secrets["key material"] = material.strip().splitlines()[5]
    run.secrets["user data"] = "export DATABASE_PASSWORD=correct-horse-battery-staple"
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, UserData=run.secrets["user data"])
    with run.refused():
        ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, UserData=run.secrets["user data"])


def _keys(run: Run) -> None:
    """What KMS keys encrypt, and the data keys it makes."""
    kms = run.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    run.secrets["plaintext"] = "the plaintext of a KMS key, 0123456789"
    plain = {"KeyId": key, "Plaintext": run.secrets["plaintext"].encode()}
    sealed = kms.encrypt(**plain, EncryptionContext={"App": "one"})["CiphertextBlob"]
    kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"App": "one"})
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    run.secrets["data key"] = base64.b64encode(made["Plaintext"]).decode()
    run.secrets["random"] = base64.b64encode(kms.generate_random(NumberOfBytes=32)["Plaintext"]).decode()
    with run.refused():
        kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"App": "two"})
    kms.disable_key(KeyId=key)
    with run.refused():
        kms.encrypt(**plain)
    with run.refused():
        run.client("kms", secret=run.secrets["wrong"]).encrypt(**plain)


def _accounts(run: Run, host: Host) -> None:
    run.secrets["account"] = host.json("account", "create")["secret_key"]


def forms(secret: str) -> set[bytes]:
    """A secret as it may stand somewhere: as it is, in base64, URL-encoded, in JSON."""
    return {
        form.encode()
        for form in (
            secret,
            base64.b64encode(secret.encode()).decode(),
            quote(secret, safe=""),
            json.dumps(secret)[1:-1],
        )
    }


@pytest.mark.timeout(240)
def test_no_secret_stands_anywhere(host: Host, tmp_path: Path) -> None:
    data = tmp_path / "d"
    server = host.up("--data", str(data), *ROOT)
    run = Run(server.endpoint)
    _users(run)
    _sessions(run)
    _machines(run)
    _keys(run)
    _accounts(run, host)
    trail = host.run("audit", "--last", "1000", "--json").stdout
    events = [record["eventName"] for record in json.loads(trail)]
    for name in ("CreateAccessKey", "CreateLoginProfile", "ChangePassword", "AssumeRole", "CreateKeyPair", "RunInstances",
                 "EnableMFADevice", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "CreateAccount",
                 "Encrypt", "Decrypt", "GenerateDataKey", "GenerateRandom"):  # fmt: skip
        assert name in events, name
    server.stop()
    places: dict[str, bytes] = {
        "the audit trail": trail.encode(),
        "the log": server.output.encode(),
        "errors": "".join(run.told).encode(),
    }
    kept = {data / "root.json", data / "sealing.json"}  # the key that was given, and the keys of the seals
    places |= {str(path): path.read_bytes() for path in data.rglob("*") if path.is_file() and path not in kept}
    assert len(run.secrets) >= 14
    # what a user's data is, its instance reads from the database; a public reply shows it to whoever may ask
    allowed = {("user data", str(data / name)) for name in ("ringfence.db", "ringfence.db-wal")}
    found = [
        (name, place)
        for name, secret in run.secrets.items()
        for place, text in places.items()
        if any(form in text for form in forms(secret)) and (name, place) not in allowed
    ]
    assert found == []


@pytest.mark.parametrize(
    "url", ["https://user:word@idp.example", "https://:word@idp.example", "https://word@idp.example"]
)
def test_urls_with_credentials_are_refused(host: Host, url: str) -> None:
    """DATA-07, where the configuration takes URLs and addresses."""
    server = host.up("--ephemeral", *ROOT)
    iam = Run(server.endpoint).client("iam")
    with pytest.raises(ClientError, match="ValidationError"):
        iam.create_open_id_connect_provider(Url=url, ClientIDList=["app"])
    for option in ("--listen", "--tls-name"):
        done = host.run("up", "--ephemeral", "--dataplane", "none", option, url)
        assert done.returncode == 2
        assert option in done.stderr
    done = host.run("status", "--endpoint", url)
    assert (done.returncode, "word" in done.stderr) == (2, False)
