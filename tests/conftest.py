"""Settings of all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# what one example takes depends on what else the machine does; the timeout of the test remains
settings.register_profile("ringfence", deadline=None)
settings.load_profile("ringfence")

#: files that take long, few tests though they have; what begins last ends last, so these begin first
_FIRST = (
    "tests/differential/test_kernel", "tests/kernel/test_verify", "tests/e2e", "tests/kernel", "tests/differential", "tests/cli",
    "tests/insight/analyzer", "tests/insight/reach",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders files only; within a file tests keep their order."""

    def place(item: pytest.Item) -> int:
        return next((n for n, start in enumerate(_FIRST) if item.nodeid.startswith(start)), len(_FIRST))

    items.sort(key=place)
