from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.serving import Host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A machine whose servers end with the test."""
    made = Host(tmp_path)
    try:
        yield made
    finally:
        made.close()
