"""The server's side of TLS: version 1.2 or newer, forward-secret suites only (DATA-01, DATA-02), and certificates that are
exchanged while it runs.

A certificate is read once, from one state of its two files, and tried on a context of its own before the serving one gets it:
a bad pair leaves the old one in place. Connections that stand keep what they were made with.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
import threading
from pathlib import Path

from cryptography import x509

log = logging.getLogger("ringfence.api.tls")
#: TLS 1.2's suites with an ephemeral key exchange and an AEAD cipher; all suites of 1.3 are such
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
#: of these what FIPS approves; of the suites of TLS 1.3, which cannot be chosen here, connections check what they got
APPROVED_CIPHERS, APPROVED_CURVE = "ECDHE+AESGCM", "prime256v1"
WATCH_SECONDS = 1.0
_State = tuple[tuple[int, int, int] | None, ...]


class CertificateProblem(Exception):
    """Why a chain and its key cannot be used."""


class Certificate:
    """A chain and key in two files, and the context that serves them."""

    def __init__(self, chain: Path, key: Path, *, approved: bool = False) -> None:
        """`approved`: only with algorithms that FIPS approves. CertificateProblem when they cannot be used."""
        self.files = (chain, key)
        self._seen = self._state()
        self.context = _context(approved=approved)
        self._load()

    def refresh(self) -> bool:
        """Serve what the files hold now, if they changed and are good. Was anything new served?"""
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state  # a bad pair is reported once
        try:
            self._load()
        except CertificateProblem as problem:
            log.error("the new TLS certificate cannot be used, the old one stays: %s", problem)
            return False
        log.info("new TLS certificate: %s", self.about)
        return True

    def _load(self) -> None:
        chain, key = (_read(path) for path in self.files)
        try:
            leaf = x509.load_pem_x509_certificate(chain)
        except ValueError:
            raise CertificateProblem(f"{self.files[0]} holds no certificate") from None
        with tempfile.TemporaryDirectory(prefix="ringfence-tls-") as private:  # mode 0700
            copies = Path(private, "chain"), Path(private, "key")
            for path, text in zip(copies, (chain, key), strict=True):
                path.write_bytes(text)
            try:
                _context().load_cert_chain(*copies, password=_no_password)
                self.context.load_cert_chain(*copies, password=_no_password)
            except (ssl.SSLError, OSError, ValueError) as problem:
                raise CertificateProblem(f"{self.files[0]} and {self.files[1]} do not fit: {problem}") from None
        self.about = f"serial {leaf.serial_number:x}, valid until {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"

    def _state(self) -> _State:
        return tuple(_stamp(path) for path in self.files)


def is_approved(suite: str) -> bool:
    """Does FIPS approve of a suite that was agreed on?"""
    return "AES" in suite and "GCM" in suite


def _context(*, approved: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(APPROVED_CIPHERS if approved else CIPHERS)
    if approved:
        context.set_ecdh_curve(APPROVED_CURVE)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise CertificateProblem(f"{path}: {problem.strerror}") from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


class Watch:
    """Looks at the files of a certificate, on a thread of its own, until it is closed."""

    def __init__(self, certificate: Certificate, seconds: float = WATCH_SECONDS) -> None:
        self._certificate, self._seconds, self._stop = certificate, seconds, threading.Event()
        self._thread = threading.Thread(target=self._look, name="tls", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(self._seconds):
            self._certificate.refresh()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
