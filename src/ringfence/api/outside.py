"""What operations may ask that is not in the World: the audit trail, and how deliveries went.

Operations stay functions of their arguments; these are among the arguments (`Call.outside`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How far deliveries of one trail or flow log are. Times in seconds since 1970, UTC; errors are AWS's codes or sentences."""

    at: float | None = None
    error: str | None = None
    attempted: float | None = None
    digest_at: float | None = None
    digest_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLogging:
    """What counts packets here, and where records can go. `sinks`: the destination types that are served."""

    sinks: frozenset[str]
    parquet: bool = False  # can Parquet files be written?


@dataclass(frozen=True, slots=True)
class ConsoleOutput:
    """The end of what an instance wrote on its console. `at`: of the last of it, in seconds since 1970, UTC."""

    text: bytes
    at: float


class Outside(Protocol):
    def events(self, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
        """Audit records whose bytes hold every needle, with their numbers, the newest first."""
        ...

    def delivery(self, trail_arn: str) -> Delivery:
        """How deliveries of a trail went; an empty one when there was none yet."""
        ...

    def flow_logging(self) -> FlowLogging | None:
        """None: nothing counts packets here, so that no flow log can be kept."""
        ...

    def flow_delivery(self, flow_log_id: str) -> Delivery:
        """How deliveries of a flow log went; `error` is a DeliverLogsErrorMessage."""
        ...

    def console(self, instance_id: str) -> ConsoleOutput | None:
        """None: it never wrote any, or nothing runs instances here."""
        ...


class Nothing:
    """For tests and installations without a store: no records, no deliveries."""

    def events(self, needles: list[bytes]) -> Iterator[tuple[int, bytes]]:
        return iter(())

    def delivery(self, trail_arn: str) -> Delivery:
        return Delivery()

    def flow_logging(self) -> FlowLogging | None:
        return None

    def flow_delivery(self, flow_log_id: str) -> Delivery:
        return Delivery()

    def console(self, instance_id: str) -> ConsoleOutput | None:
        return None
