"""Warns in the log of free texts that look sensitive, soon after they were written and off the way of the calls (DATA-06)."""

from __future__ import annotations

import logging
from collections import deque

from ringfence.insight.hygiene.free_text import Finding, in_row
from ringfence.model.world import Change, Put, World

log = logging.getLogger("ringfence.free_text")
KEPT = 10_000  # rows that wait, and findings told; of older rows only `ringfence free-text` tells


class FreeTextWarner:
    """Subscribed to the store; `tell` is called every now and then."""

    def __init__(self) -> None:
        self._waiting: deque[Put] = deque(maxlen=KEPT)
        self._told: set[Finding] = set()

    def note(self, _before: World, _after: World, change: Change) -> None:
        """Costs the writer nothing but this."""
        self._waiting.extend(step for step in change.steps if isinstance(step, Put))

    def tell(self) -> None:
        """One warning for each finding, once; what stands there is not repeated."""
        while self._waiting:
            step = self._waiting.popleft()
            for finding in in_row(step.kind, step.row):
                if finding not in self._told:
                    if len(self._told) >= KEPT:
                        self._told.clear()
                    self._told.add(finding)
                    log.warning("%s: %s looks like a %s", finding.resource, finding.member, finding.sort)
