"""`--fips`: only approved algorithms are used, and no validation is claimed that the platform does not have (DATA-08)."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence import fips
from ringfence.certificates import Authority
from ringfence.identity import passwords
from ringfence.model.ids import SeededIds
from ringfence.model.kinds import USER
from tests.api.front import Front
from tests.api.live import Live, live

OPENSSL = shutil.which("openssl")
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@pytest.fixture(params=[True, False])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    front = Front()
    front.pipeline.approved_only = request.param
    own = Authority(tmp_path / "tls", ("localhost",))
    own.ensure()
    with live(front, tls=own.served) as running:
        yield running


@pytest.mark.skipif(OPENSSL is None, reason="the client that can be told what to offer")
@pytest.mark.parametrize(
    ("offers", "approved"),
    [
        (["-ciphersuites", "TLS_AES_256_GCM_SHA384", "-groups", "P-256"], True),
        (["-ciphersuites", "TLS_AES_128_GCM_SHA256", "-groups", "X25519:P-256"], True),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], True),
        (["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], False),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], False),
        (["-groups", "X25519"], False),
    ],
)
def test_what_is_not_approved_gets_no_answer(server: Live, offers: list[str], approved: bool) -> None:
    """Without the option all of them are answered."""
    command = [
        str(OPENSSL),
        "s_client",
        "-connect",
        f"127.0.0.1:{server.port}",
        "-quiet",
        "-servername",
        "localhost",
        *offers,
    ]
    done = subprocess.run(command, input=REQUEST, capture_output=True, timeout=20, check=False)
    answered = b"HTTP/1.1 403" in done.stdout
    assert answered is (approved or not server.front.pipeline.approved_only), done.stderr


@pytest.mark.parametrize("approved", [True, False])
def test_passwords(approved: bool) -> None:
    """PBKDF2 where FIPS must approve; a password that scrypt has hashed is not tried then."""
    front = Front()
    front.pipeline.approved_only = approved
    iam = front.client("iam")
    iam.create_user(UserName="ann")
    iam.create_login_profile(UserName="ann", Password="Correct-Horse-1")
    stored = next(row.password_hash for row in front.store.world.all(USER)) or ""
    assert stored.startswith("pbkdf2-sha256$600000$" if approved else "scrypt$")
    assert passwords.matches("Correct-Horse-1", stored)
    assert not passwords.matches("Correct-Horse-2", stored)
    assert passwords.matches("Correct-Horse-1", stored, approved=True) is approved


def test_a_hash_of_neither_kind_is_a_fault() -> None:
    with pytest.raises(ValueError, match="unknown"):
        passwords.matches("x", "md5$aa$bb")
    assert passwords.hashed("x", SeededIds(), approved=True) != passwords.hashed("x", SeededIds())


@pytest.mark.parametrize(("python", "library"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_validated_module_is_named_only_where_both_libraries_have_one(python: bool, library: bool) -> None:
    told = fips.statement(fips.Modes(python, library, kernel=True))[1]
    assert told.startswith("NO validated module") is not (python and library)
    assert ("not in FIPS mode are Python's OpenSSL" in told) is not python
    assert (re.search(r"not in FIPS mode are .*cryptography", told) is not None) is not library


def test_the_platform_is_asked() -> None:
    """By doing what a module in FIPS mode refuses."""
    found = fips.modes()
    try:
        hashlib.md5(b"")
    except ValueError:
        assert found.python
    else:
        assert not found.python
        assert fips.statement(found)[1].startswith("NO validated module")
