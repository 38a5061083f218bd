"""The audit trail shows tampering: every record carries a seal over itself and everything before it (DATA-12).

seal(n) = HMAC-SHA256(key, seal(n-1) | number | record). The key is not in the database, so who can write the database
cannot write a seal. A record that is changed, removed from the middle, inserted or moved breaks the chain where it stood.
What a chain cannot show by itself is that its newest records were cut off: for that, compare with a seal kept elsewhere
(`ringfence audit --verify` prints the newest one, and takes an earlier one to look for).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

GENESIS = bytes(32)


def seal(key: bytes, before: bytes, number: int, record: bytes) -> bytes:
    """The seal of record `number`, given the seal of the one before it."""
    return hmac.digest(key, before + number.to_bytes(8, "big") + record, "sha256")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record as it is stored. `seal` None: written before records were sealed. `record` None: it does not open."""

    number: int
    record: bytes | None
    seal: bytes | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a chain shows. `broken`: the number of the first record that does not fit, and why; None = it is whole.

    `unsealed`: records older than sealing, about which nothing can be said. `found`: the number of the record with the seal
    that was looked for.
    """

    records: int
    unsealed: int
    head: bytes
    broken: tuple[int, str] | None = None
    found: int | None = None


def verify(key: bytes, rows: Iterable[Sealed], sought: bytes = b"") -> Verified:
    """Follow the chain from its beginning, in order of number."""
    before, count, unsealed, last, found = GENESIS, 0, 0, 0, None
    for row in rows:
        if row.seal is None:
            if count:
                return Verified(count, unsealed, before, (row.number, "it has no seal"), found)
            unsealed, last = unsealed + 1, row.number
            continue
        if row.number != last + 1:
            return Verified(count, unsealed, before, (row.number, f"record {last + 1} is missing before it"), found)
        if row.record is None:
            why = "it does not open: it was altered, or the key it was encrypted with is not here"
            return Verified(count, unsealed, before, (row.number, why), found)
        wanted = seal(key, before, row.number, row.record)
        if not hmac.compare_digest(wanted, row.seal):
            return Verified(
                count, unsealed, before, (row.number, "its seal does not fit it and what came before"), found
            )
        before, count, last = row.seal, count + 1, row.number
        if row.seal == sought:
            found = row.number
    return Verified(count, unsealed, before, None, found)
