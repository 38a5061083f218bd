"""How many bytes of request bodies all connections hold together: a bound that does not grow with their number.

The first `FREE` bytes of a body cost nothing, so that ordinary calls are always heard. What is over is taken from a budget
as it arrives, and given back when the request has been answered or its connection has gone. Only for one thread.
"""

from __future__ import annotations

FREE = 64 << 10
STRANGERS = 128 << 20  # bodies of those nobody vouches for: at most 1 MiB each
VOUCHED = 256 << 20  # larger bodies, by keys that there are


class Budget:
    """So many bytes at most."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0

    def fits(self, size: int) -> bool:
        """Would a body of this size be taken now?"""
        return self.held + max(0, size - FREE) <= self.limit


class Share:
    """What one body holds of a budget."""

    __slots__ = ("_budget", "_held")

    def __init__(self, budget: Budget) -> None:
        self._budget, self._held = budget, 0

    def grow(self, size: int) -> bool:
        """Hold what a body of this size costs. False, and nothing is taken, when the budget has not so much left."""
        more = size - FREE - self._held
        if more <= 0:
            return True
        if self._budget.held + more > self._budget.limit:
            return False
        self._budget.held += more
        self._held += more
        return True

    def end(self) -> None:
        """Give all back; any number of times."""
        self._budget.held -= self._held
        self._held = 0
