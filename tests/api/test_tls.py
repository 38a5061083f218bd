"""TLS as a client meets it: versions and suites (DATA-01, DATA-02), and certificates exchanged under a running server."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from ringfence.api.tls import Certificate, CertificateProblem, Watch
from ringfence.certificates import Authority, names_of
from ringfence.settings import SettingsError
from tests.api.front import ACCOUNT, KEY, SECRET
from tests.api.live import Live, answer, live
from tests.api.test_server import ask_identity

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def authority(directory: Path, *names: str) -> Authority:
    made = Authority(directory, names or ("127.0.0.1", "localhost"))
    made.ensure()
    return made


@pytest.fixture
def own(tmp_path: Path) -> Authority:
    return authority(tmp_path / "tls")


@pytest.fixture
def server(own: Authority) -> Iterator[Live]:
    with live(tls=own.served) as running:
        yield running


def trusting(ca: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def serial(running: Live, context: ssl.SSLContext) -> str:
    with running.connection() as connection, context.wrap_socket(connection, server_hostname="localhost") as secured:
        found = secured.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


# ---------------------------------------------------------------------- what a handshake may be
@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "AES256-SHA", "AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"])
def test_suites_without_forward_secrecy_or_authenticated_encryption_fail(
    server: Live, own: Authority, suite: str
) -> None:
    """DATA-02."""
    context = trusting(own.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    with server.connection() as connection, pytest.raises((ssl.SSLError, ConnectionResetError)):
        context.wrap_socket(connection, server_hostname="localhost")


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
def test_forward_secret_suites_work(server: Live, own: Authority, suite: str) -> None:
    context = trusting(own.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suite)
    with server.connection() as connection, context.wrap_socket(connection, server_hostname="localhost") as secured:
        assert secured.cipher() == (suite, "TLSv1.2", secured.cipher()[2])  # type: ignore[index]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_handshakes_fail(server: Live, own: Authority, version: ssl.TLSVersion) -> None:
    """DATA-01."""
    context = trusting(own.ca)
    context.minimum_version = context.maximum_version = version
    with server.connection() as connection, pytest.raises((ssl.SSLError, ConnectionResetError)):
        context.wrap_socket(connection, server_hostname="localhost")


def test_a_client_that_does_not_know_the_authority_refuses(server: Live) -> None:
    with server.connection() as connection, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(connection, server_hostname="localhost")


def test_boto3_trusts_the_bundle_and_policies_see_tls(server: Live, own: Authority) -> None:
    """aws:SecureTransport is true on TLS and false on plain HTTP."""
    sts = boto3.client(
        "sts", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        verify=str(own.ca), config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    assert sts.get_caller_identity()["Account"] == ACCOUNT
    iam = server.front.client("iam")
    iam.create_user(UserName="careful")
    only = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*","Condition":' \
        '{"Bool":{"aws:SecureTransport":"true"}}}}'  # fmt: skip
    iam.put_user_policy(UserName="careful", PolicyName="p", PolicyDocument=only)
    key = iam.create_access_key(UserName="careful")["AccessKey"]
    ec2 = boto3.client(
        "ec2", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"], verify=str(own.ca), config=Config(retries={"max_attempts": 0}),
    )  # fmt: skip
    assert ec2.describe_vpcs()["Vpcs"]
    plain = server.front.client("ec2", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        plain.describe_vpcs()


# ---------------------------------------------------------------------- exchanged while it runs
def test_a_new_certificate_is_served_and_no_connection_is_dropped(server: Live, own: Authority) -> None:
    context = trusting(own.ca)
    with server.connection() as connection, context.wrap_socket(connection, server_hostname="localhost") as standing:
        standing.sendall(ask_identity())
        assert answer(standing)[0] == 200
        before = serial(server, context)
        authority(own.directory, "127.0.0.1", "localhost", "vpc.example")
        assert server.certificate is not None
        assert server.certificate.refresh()
        assert serial(server, context) != before
        standing.sendall(ask_identity())
        assert answer(standing)[0] == 200


def test_a_watched_certificate_is_exchanged_by_itself(server: Live, own: Authority) -> None:
    assert server.certificate is not None
    watch = Watch(server.certificate, 0.02)
    try:
        context = trusting(own.ca)
        before, deadline = serial(server, context), time.monotonic() + 10
        authority(own.directory, "127.0.0.1", "localhost", "vpc.example")
        while serial(server, context) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert serial(server, context) != before
    finally:
        watch.close()


@pytest.mark.parametrize("damage", ["empty", "text", "gone", "other key", "half"])
def test_a_bad_file_keeps_the_old_certificate_and_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = authority(tmp_path / "a"), authority(tmp_path / "b")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(first.served[0].read_bytes())
    key.write_bytes(first.served[0].read_bytes())
    with live(tls=(chain, key)) as running:
        context = trusting(first.ca)
        before = serial(running, context)
        if damage == "gone":
            chain.unlink()
        else:
            good = chain.read_bytes()
            key.write_bytes(second.served[0].read_bytes() if damage == "other key" else key.read_bytes())
            chain.write_bytes(
                {"empty": b"", "text": b"hello", "other key": good + b"\n", "half": good[: len(good) // 3]}[damage]
            )
        assert running.certificate is not None
        with caplog.at_level(logging.ERROR):
            assert not running.certificate.refresh()
            assert not running.certificate.refresh()
        assert len([record for record in caplog.records if "the old one stays" in record.message]) == 1
        assert serial(running, context) == before
        chain.write_bytes(second.served[0].read_bytes())
        key.write_bytes(second.served[0].read_bytes())
        assert running.certificate.refresh()
        assert serial(running, trusting(second.ca)) != before


def test_a_pair_that_does_not_fit_is_no_certificate(tmp_path: Path) -> None:
    first, second = authority(tmp_path / "a"), authority(tmp_path / "b")
    with pytest.raises(CertificateProblem, match="do not fit"):
        Certificate(first.ca, second.served[1])
    with pytest.raises(CertificateProblem, match="No such file"):
        Certificate(tmp_path / "none", tmp_path / "none")


# ---------------------------------------------------------------------- the authority
def test_the_authority_stays_and_the_certificate_follows_the_names(own: Authority) -> None:
    ca, served = own.ca.read_bytes(), own.served[0].read_bytes()
    own.ensure()
    assert (own.ca.read_bytes(), own.served[0].read_bytes()) == (ca, served)
    other = authority(own.directory, "vpc.example")
    assert other.ca.read_bytes() == ca
    assert other.served[0].read_bytes() != served
    assert {path.stat().st_mode & 0o777 for path in own.directory.iterdir()} == {0o600}
    (own.directory / "ca.pem").write_text("damage")
    with pytest.raises(SettingsError, match="cannot be used"):
        own.ensure()


@pytest.mark.parametrize(
    ("host", "given", "expected"),
    [
        ("192.0.2.1", (), ("192.0.2.1", "localhost", "127.0.0.1", "::1")),
        ("0.0.0.0", ("vpc.example",), ("localhost", "127.0.0.1", "::1", socket.gethostname(), "vpc.example")),
        ("::", (), ("localhost", "127.0.0.1", "::1", socket.gethostname())),
    ],
)
def test_names_of_a_listener(host: str, given: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert names_of(host, given) == tuple(dict.fromkeys(expected))
