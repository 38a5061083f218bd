"""A certificate authority of the installation's own, for those who have none: made on first start, in `tls/` of the data
directory, and a server certificate of it for the names that clients use.

`ca.pem` is what clients trust (`ringfence env` prints AWS_CA_BUNDLE); its key never leaves the directory. The server's
certificate is made anew at a start or in passing when its names are others or its end is near.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ringfence.settings import SettingsError, write_private

_CA_DAYS, _SERVER_DAYS, _RENEW_DAYS = 3650, 90, 30
_DNS_NAME = re.compile(
    r"(?=.{1,253}$)(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_Names = tuple[x509.GeneralName, ...]


@dataclass(frozen=True, slots=True)
class Authority:
    """The files of the installation's authority and of the certificate it serves with."""

    directory: Path
    names: tuple[str, ...]

    @property
    def ca(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def served(self) -> tuple[Path, Path]:
        """Chain and key: one file, so that they change together."""
        return self.directory / "server.pem", self.directory / "server.pem"

    def ensure(self) -> None:
        """Make what is missing, for other names, or soon over. SettingsError when the files cannot be used."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        try:
            ca, key = self._authority()
            if not self._fits(ca):
                self._issue(ca, key)
        except (ValueError, TypeError, OSError) as problem:
            raise SettingsError(
                f"{self.directory} cannot be used ({problem}): restore it, or remove it to get a new authority"
            ) from None

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        secret = self.directory / "ca.key"
        if self.ca.exists() and secret.exists():
            key = serialization.load_pem_private_key(secret.read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError("ca.key is not one of ours")
            return x509.load_pem_x509_certificate(self.ca.read_bytes()), key
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"Ringfence authority of {socket.gethostname()[:32]}")
        made = (
            _builder(name, name, key, _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_private(secret, _pem(key))
        write_private(self.ca, made.public_bytes(serialization.Encoding.PEM).decode())
        return made, key

    def _fits(self, ca: x509.Certificate) -> bool:
        """Is there a server certificate of this authority, for these names, that lasts a while?"""
        chain = self.served[0]
        if not chain.exists():
            return False
        held = x509.load_pem_x509_certificate(chain.read_bytes())
        names = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        left = held.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        same = set(names) == set(general_names(self.names)) and held.issuer == ca.subject
        return same and left > datetime.timedelta(days=_RENEW_DAYS) and _signed(held, ca)

    def _issue(self, ca: x509.Certificate, authority: ec.EllipticCurvePrivateKey) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(_name("ringfence"), ca.subject, key, _SERVER_DAYS)
            .add_extension(x509.SubjectAlternativeName(general_names(self.names)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_identifier(authority), critical=False)
            .sign(authority, hashes.SHA256())
        )
        write_private(self.served[0], _pem(key) + made.public_bytes(serialization.Encoding.PEM).decode())


def names_of(host: str, given: Iterable[str]) -> tuple[str, ...]:
    """What a server on `host` is called: the address (every address's usual names when it listens on all), and `given`."""
    local = ("localhost", "127.0.0.1", "::1")
    address = _address(host)
    everywhere = (*local, socket.gethostname()) if address is not None and address.is_unspecified else (host, *local)
    return tuple(dict.fromkeys((*everywhere, *given)))


def general_names(names: Iterable[str]) -> _Names:
    """Names as certificates have them. ValueError for what is neither an address nor a DNS name."""
    found: list[x509.GeneralName] = []
    for name in names:
        address = _address(name)
        if address is None and not _DNS_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is neither")
        found.append(x509.DNSName(name) if address is None else x509.IPAddress(address))
    return tuple(found)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )  # fmt: skip


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign, key_cert_sign=sign, crl_sign=sign, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _identifier(authority: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())


def _signed(held: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        held.verify_directly_issued_by(ca)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    raw = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    return raw.decode()
