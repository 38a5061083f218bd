"""One-time codes of virtual MFA devices (RFC 6238: HMAC-SHA1, 30-second steps, 6 digits; IAM-10).

Pure: the caller keeps `last_step`, so that a code works once (RFC 6238, section 5.2).
"""

from __future__ import annotations

import hmac

STEP_SECONDS = 30
DIGITS = 6
DRIFT = 1  # steps that a device's clock may be early or late


def code_at(seed: bytes, step: int) -> str:
    """The code of one time step (RFC 4226, section 5.3)."""
    digest = hmac.digest(seed, step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def matching_step(seed: bytes, code: str, now: float, last_step: int) -> int | None:
    """The time step whose code this is; None when it is none of now, or no later than the last one used."""
    present, found = int(now) // STEP_SECONDS, None
    for step in range(present - DRIFT, present + DRIFT + 1):
        if hmac.compare_digest(code_at(seed, step), code) and step > last_step:
            found = step
    return found
