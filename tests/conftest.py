"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# what one example takes depends on what else the machine does; the timeout of the test remains
settings.register_profile("ringfence", deadline=None)
settings.load_profile("ringfence")
