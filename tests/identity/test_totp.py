"""RFC 6238, appendix B (its codes' last six digits), and that a code works once (section 5.2)."""

from __future__ import annotations

import pytest

from ringfence.identity.totp import STEP_SECONDS, code_at, matching_step

SEED = b"12345678901234567890"


@pytest.mark.parametrize(
    ("moment", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037"),
     (20000000000, "353130")],
)  # fmt: skip
def test_the_codes_of_the_rfc(moment: int, code: str) -> None:
    assert code_at(SEED, moment // STEP_SECONDS) == code
    assert matching_step(SEED, code, moment, 0) == moment // STEP_SECONDS


def test_a_code_works_once_and_within_one_step_of_its_time() -> None:
    now, step = 1_800_000_000, 1_800_000_000 // STEP_SECONDS
    code = code_at(SEED, step)
    assert matching_step(SEED, code, now, step) is None
    assert matching_step(SEED, code, now + STEP_SECONDS, step - 1) == step
    assert matching_step(SEED, code, now + 2 * STEP_SECONDS, step - 1) is None
    assert matching_step(SEED, code, now - 2 * STEP_SECONDS, step - 1) is None
    assert matching_step(SEED, "", now, 0) is None
