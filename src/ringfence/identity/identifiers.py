"""IAM's unique ids, access key ids and secrets (IAM User Guide: "IAM identifiers", "Understanding unique ID prefixes")."""

from __future__ import annotations

import base64

from ringfence.model.ids import IdSource

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ACCOUNT_BITS, _KEY_BITS = 40, 80


def _base32(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def unique_id(ids: IdSource, prefix: str) -> str:
    """A unique id: `AIDA`, `AGPA`, `AROA`, `ANPA`, `AIPA` … and 17 base32 characters."""
    return prefix + _base32(ids.number(85), 17)


def access_key_id(ids: IdSource, account_id: str, prefix: str = "AKIA") -> str:
    """`AKIA` (long-term) or `ASIA` (temporary) and 16 base32 characters.

    AWS: bits 1 to 40 of the 80 that follow the prefix are the account's number, so that a key tells whose it is.
    """
    account = int(account_id) & (1 << _ACCOUNT_BITS) - 1
    random = ids.number(_KEY_BITS - _ACCOUNT_BITS)  # its highest bit comes before the account, the rest after it
    low = _KEY_BITS - _ACCOUNT_BITS - 1
    return prefix + _base32((random >> low) << (_KEY_BITS - 1) | account << low | random & (1 << low) - 1, 16)


def account_of(key_id: str) -> str | None:
    """The account that an id of `access_key_id` names; None for an id of another form."""
    tail = key_id[4:]
    if len(tail) != 16 or not set(tail) <= set(_ALPHABET):
        return None
    number = int.from_bytes(base64.b32decode(tail), "big")
    account = number >> (_KEY_BITS - _ACCOUNT_BITS - 1) & (1 << _ACCOUNT_BITS) - 1
    return f"{account:012d}" if account < 10**12 else None


def secret_key(ids: IdSource) -> str:
    """A secret access key: 240 random bits as 40 characters."""
    return base64.b64encode(ids.number(240).to_bytes(30, "big")).decode()
