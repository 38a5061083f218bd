"""Resource ids: a prefix and 17 hexadecimal digits, as AWS makes them; and where new ones come from."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from typing import Protocol


class IdSource(Protocol):
    """Where new identifiers come from; tests pass a seeded one so that runs repeat."""

    def new(self, prefix: str) -> str:
        """A fresh id such as `vpc-0a1b...`: `prefix` (with its dash) + 17 hex digits."""
        ...

    def uuid(self) -> str:
        """A fresh UUID (request ids, reservation tokens)."""
        ...

    def number(self, bits: int) -> int:
        """A fresh random number of that many bits (MAC addresses, IPv6 blocks, public addresses)."""
        ...


class RandomIds:
    """Ids from the operating system's random source."""

    def new(self, prefix: str) -> str:
        return prefix + "0" + secrets.token_hex(8)

    def uuid(self) -> str:
        # version 4 (RFC 9562); uuid.uuid4() takes three times as long, and every call needs two
        digits = f"{secrets.randbits(128) & _FREE | _VERSION_4:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def number(self, bits: int) -> int:
        return secrets.randbits(bits)


_FREE = ~(0xF << 76 | 0x3 << 62)
_VERSION_4 = 0x4 << 76 | 0x2 << 62


class SeededIds:
    """A repeatable sequence of ids, for tests."""

    def __init__(self, seed: int = 0) -> None:
        self._seed, self._count = seed, 0

    def _next(self) -> bytes:
        self._count += 1
        return hashlib.sha256(f"{self._seed}/{self._count}".encode()).digest()

    def new(self, prefix: str) -> str:
        return prefix + "0" + self._next().hex()[:16]

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=self._next()[:16], version=4))

    def number(self, bits: int) -> int:
        return int.from_bytes(self._next(), "big") % (1 << bits)


def well_formed(prefix: str, value: str) -> bool:
    """Is `value` the prefix followed by 8 or 17 hexadecimal digits?"""
    return re.fullmatch(re.escape(prefix) + r"[0-9a-f]{8}([0-9a-f]{9})?", value) is not None
