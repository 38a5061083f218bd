"""Passwords of login profiles: scrypt (RFC 7914) with a salt each, or PBKDF2 where FIPS must approve (SP 800-132); and the
account's password policy.

IAM User Guide: "Set an account password policy for IAM users".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ringfence.model.ids import IdSource

#: RFC 7914's parameters for interactive logins: 16 MiB and some 50 ms of one core
_N, _R, _P, _LENGTH, _SALT = 1 << 14, 8, 1, 32, 16
_ROUNDS = 600_000  # of PBKDF2-HMAC-SHA-256: some 0.2 s
SYMBOLS = "!@#$%^&*()_+-=[]{}|'"
_CLASSES = {
    "RequireSymbols": (f"[{re.escape(SYMBOLS)}]", "symbols"),
    "RequireNumbers": ("[0-9]", "numbers"),
    "RequireUppercaseCharacters": ("[A-Z]", "uppercase characters"),
    "RequireLowercaseCharacters": ("[a-z]", "lowercase characters"),
}
#: AWS: an account without a policy of its own
DEFAULT_LENGTH, DEFAULT_CLASSES = 8, 3


def _scrypt(salt: bytes) -> Scrypt:
    return Scrypt(salt=salt, length=_LENGTH, n=_N, r=_R, p=_P)


def _pbkdf2(salt: bytes, rounds: int) -> PBKDF2HMAC:
    return PBKDF2HMAC(algorithm=hashes.SHA256(), length=_LENGTH, salt=salt, iterations=rounds)


def hashed(password: str, ids: IdSource, *, approved: bool = False) -> str:
    """What may be stored of a password; `approved`: by FIPS."""
    salt = ids.number(_SALT * 8).to_bytes(_SALT, "big")
    if approved:
        digest = _pbkdf2(salt, _ROUNDS).derive(password.encode())
        return f"pbkdf2-sha256${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
    digest = _scrypt(salt).derive(password.encode())
    return f"scrypt${_N}${_R}${_P}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def matches(password: str, stored: str, *, approved: bool = False) -> bool:
    """Is it the password of a stored hash? `approved`: never by scrypt. ValueError for what `hashed` did not make."""
    name, *costs, salt, digest = stored.split("$")
    if name == "scrypt" and approved:
        return False  # such a password must be set anew
    kdf: Scrypt | PBKDF2HMAC
    if name == "scrypt":
        n, r, p = map(int, costs)
        kdf = Scrypt(salt=base64.b64decode(salt), length=_LENGTH, n=n, r=r, p=p)
    elif name == "pbkdf2-sha256":
        kdf = _pbkdf2(base64.b64decode(salt), int(costs[0]))
    else:
        raise ValueError("an unknown password hash")
    try:
        kdf.verify(password.encode(), base64.b64decode(digest))
    except InvalidKey:
        return False
    return True


def violation(password: str, policy: Mapping[str, str], account_id: str) -> str | None:
    """How a password breaks the policy (members of the API's PasswordPolicy as texts), or None."""
    if not policy:
        present = sum(re.search(pattern, password) is not None for pattern, _ in _CLASSES.values())
        if len(password) < DEFAULT_LENGTH or present < DEFAULT_CLASSES or password == account_id:
            return (
                f"Password should have a minimum length of {DEFAULT_LENGTH} and at least {DEFAULT_CLASSES} of uppercase, "
                "lowercase, numbers and symbols"
            )
        return None
    least = int(policy.get("MinimumPasswordLength", "6"))
    if len(password) < least:
        return f"Password should have a minimum length of {least}"
    for member, (pattern, what) in _CLASSES.items():
        if policy.get(member) == "true" and not re.search(pattern, password):
            return f"Password should have at least one of {what}"
    return None
