"""What operations may ask that is not in the World: the audit trail, and how deliveries went.

Operations stay functions of their arguments; these are among the arguments (`Call.outside`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How far deliveries of one trail are. Times in seconds since 1970, UTC; errors are AWS's codes or sentences."""

    at: float | None = None
    error: str | None = None
    attempted: float | None = None
    digest_at: float | None = None
    digest_error: str | None = None


class Outside(Protocol):
    def events(self, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """Audit records whose bytes hold every needle, with their numbers, the newest first."""
        ...

    def delivery(self, trail_arn: str) -> Delivery:
        """How deliveries of a trail went; an empty one when there was none yet."""
        ...


class Nothing:
    """For tests and installations without a store: no records, no deliveries."""

    def events(self, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def delivery(self, trail_arn: str) -> Delivery:
        return Delivery()
