"""One server with a data plane for the end-to-end tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.lab import Lab


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("ringfence"))
    try:
        yield made
        if not request.node.name.endswith("test_verify.py"):  # there somebody tampers
            made.nothing_drifted()
    finally:
        made.close()
