"""`ringfence up` over TLS: a certificate of its own authority, and what `ringfence env` says of it (DATA-01)."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from ringfence.cli.main import parser
from ringfence.cli.up import settings_of
from tests.cli.serving import COMMAND, Host, client, free_port


def _up(host: Host, listen: str, *options: str) -> subprocess.Popen[str]:
    ready = host.home / "ready"
    process = subprocess.Popen(
        [*COMMAND, "up", "--listen", listen, "--dataplane", "none", "--ready-file", str(ready), *options],
        env=host.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])
def test_an_authority_of_its_own(host: Host, listen: str) -> None:
    port = free_port()
    process = _up(host, f"{listen}:{port}", "--ephemeral", "--tls-name", "vpc.example")
    try:
        env = host.json("env")
        assert env["AWS_ENDPOINT_URL"] == f"https://127.0.0.1:{port}"
        sts = client(
            "sts", env["AWS_ENDPOINT_URL"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], verify=env["AWS_CA_BUNDLE"],
        )  # fmt: skip
        assert sts.get_caller_identity()["Account"]
        context = ssl.create_default_context(cafile=env["AWS_CA_BUNDLE"])
        with socket.create_connection(("127.0.0.1", port)) as plain:
            assert context.wrap_socket(plain, server_hostname="vpc.example").version() == "TLSv1.3"
    finally:
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=20)[0]
    assert "TLS: a certificate of its own authority" in output
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--tls-name", "a b"), "--tls-name takes a DNS name"),
        (("--tls-name", "https://user:word@vpc.example"), "--tls-name takes a DNS name"),  # DATA-07
        (("--tls-cert", "x", "--tls-key", "x", "--tls-name", "vpc.example"), "not with --tls-cert"),
        (("--tls-cert", "none", "--tls-key", "none"), "cannot use the TLS certificate"),
    ],
)
def test_what_makes_no_sense(host: Host, options: tuple[str, ...], says: str) -> None:
    done = host.run("up", "--listen", f"127.0.0.1:{free_port()}", "--dataplane", "none", "--ephemeral", *options)
    assert done.returncode == 2
    assert says in done.stderr


def test_the_authority_survives(host: Host, tmp_path: Path) -> None:
    held = set()
    for _ in range(2):
        process = _up(host, f"127.0.0.1:{free_port()}", "--data", str(tmp_path / "d"), "--tls-name", "localhost")
        try:
            held.add(Path(host.json("env")["AWS_CA_BUNDLE"]).read_text())
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
    assert len(held) == 1


@pytest.mark.parametrize(
    ("listen", "secured"),
    [("127.0.0.1", False), ("localhost", False), ("[::1]", False), ("0.0.0.0", True), ("[::]", True), ("192.0.2.7", True),
     ("vpc.example", True)],
)  # fmt: skip
def test_plain_http_is_for_loopback_only(listen: str, secured: bool) -> None:
    """DATA-01: anywhere else there is TLS, with a certificate of its own when none is given."""
    settings = settings_of(parser().parse_args(["up", "--ephemeral", "--listen", f"{listen}:4566"]))
    assert settings.endpoint.startswith("https:" if secured else "http:")
    assert bool(settings.tls_names) is secured


def test_fips_is_said_and_done(host: Host) -> None:
    """DATA-08: the start says what is restricted, and that no module is claimed to be validated where none is."""
    port = free_port()
    process = _up(host, f"127.0.0.1:{port}", "--ephemeral", "--tls-name", "localhost", "--fips")
    try:
        env = host.json("env")
        context = ssl.create_default_context(cafile=env["AWS_CA_BUNDLE"])
        raw = socket.create_connection(("127.0.0.1", port), 10)
        with context.wrap_socket(raw, server_hostname="localhost") as secured:
            cipher = secured.cipher()
            assert cipher is not None
            assert "AES" in cipher[0]
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+CHACHA20")
        with socket.create_connection(("127.0.0.1", port), 10) as raw, pytest.raises(ssl.SSLError):
            context.wrap_socket(raw, server_hostname="localhost")
    finally:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[0]
    assert "approved algorithms only (--fips)" in said
    assert ("NO validated module" in said) or ("in their FIPS mode" in said)
