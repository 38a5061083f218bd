from __future__ import annotations

import pytest

from tests.api.ops.iam.lab import Lab


@pytest.fixture
def lab() -> Lab:
    return Lab()
