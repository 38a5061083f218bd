"""What `--fips` means, and what it does not (DATA-08; FIPS 140-3, SP 800-131A, SP 800-52 rev. 2, SP 800-132).

The installation then uses approved algorithms only. Whether the code that computes them is a validated module is the
platform's affair, and said as it is found: two libraries compute here, the OpenSSL of Python and that of `cryptography`.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.backends.openssl.backend import backend

_KERNEL = Path("/proc/sys/crypto/fips_enabled")


@dataclass(frozen=True, slots=True)
class Modes:
    """What runs in FIPS mode here."""

    python: bool
    library: bool
    kernel: bool


def modes() -> Modes:
    """As the platform shows it."""
    return Modes(python_in_fips_mode(), library_in_fips_mode(), kernel_in_fips_mode())


def statement(found: Modes) -> list[str]:
    """Lines for the operator."""
    used = "TLS with AES-GCM over P-256, SHA-2, AES-256-GCM, PBKDF2; HMAC-SHA-1 for TOTP alone"
    lines = [f"approved algorithms only (--fips): {used}"]
    if found.python and found.library:
        modules = f"{ssl.OPENSSL_VERSION}; {_library()}"
        text = f"computed by the platform's modules in their FIPS mode ({modules}): see their certificates"
        return [*lines, f"{text}; no other validation is claimed"]
    libraries = (("Python's OpenSSL", found.python), (_library(), found.library))
    whose = " and ".join(name for name, mode in libraries if not mode)
    kernel = "on" if found.kernel else "off"
    return [*lines, f"NO validated module: not in FIPS mode are {whose} (the kernel's mode is {kernel})"]


def python_in_fips_mode() -> bool:
    """A module in FIPS mode refuses MD5 for security."""
    try:
        hashlib.new("md5", b"")  # noqa: S324  the question is whether it is refused
    except ValueError:
        return True
    return False


def library_in_fips_mode() -> bool:
    """Does `cryptography` compute in a module in FIPS mode?"""
    return bool(getattr(backend, "_fips_enabled", False))


def kernel_in_fips_mode() -> bool:
    try:
        return _KERNEL.read_text().strip() == "1"
    except OSError:
        return False


def _library() -> str:
    return f"that of cryptography, {backend.openssl_version_text()}"
