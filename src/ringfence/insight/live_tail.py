"""What a Live Tail session shows of what was put: which events, and how many of them (CloudWatch Logs API Reference: StartLiveTail,
LiveTailSessionUpdate)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ringfence.insight.patterns import Pattern
from ringfence.model.nouns.log import LogStream

UPDATE_EVENTS, UPDATE_BYTES = 500, 2 << 20
_EVENT_BYTES = 26  # that an event counts besides its message


@dataclass(frozen=True, slots=True)
class Batch:
    """What one PutLogEvents put: events `(time, message)`, and when."""

    stream: int
    events: Sequence[tuple[int, str]]
    ingested: int

    @property
    def bytes(self) -> int:
        return sum(len(message) for _, message in self.events) + _EVENT_BYTES * len(self.events)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a session shows: events of these groups (ARNs), of streams with one of these names or prefixes, that fit the pattern."""

    groups: tuple[str, ...]
    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    pattern: Pattern | None = None

    def has(self, stream: LogStream) -> bool:
        if stream.group not in self.groups:
            return False
        if self.names:
            return stream.name in self.names
        return not self.prefixes or stream.name.startswith(self.prefixes)

    def of(self, batch: Batch) -> list[tuple[int, str]]:
        if self.pattern is None:
            return list(batch.events)
        among = self.pattern.sieve.among
        events = batch.events
        if among is not None:
            events = [events[place] for place in among([message for _, message in events])]
        matches = self.pattern.matches
        return [event for event in events if matches(event[1])]


@dataclass(frozen=True, slots=True)
class Shown:
    """One event of an update."""

    stream: LogStream
    at: int
    message: str
    ingested: int

    def members(self) -> Mapping[str, object]:
        return {
            "logStreamName": self.stream.name, "logGroupIdentifier": self.stream.group, "message": self.message,
            "timestamp": self.at, "ingestionTime": self.ingested,
        }  # fmt: skip


Found = tuple[LogStream, Batch, tuple[int, str]]  # an event that a session wants


def sampled(found: Sequence[Found]) -> list[Shown]:
    """As many as an update takes, evenly from all of them, in their order."""
    count = len(found)
    chosen = found if count <= UPDATE_EVENTS else [found[n * count // UPDATE_EVENTS] for n in range(UPDATE_EVENTS)]
    kept = [Shown(stream, at, message, batch.ingested) for stream, batch, (at, message) in chosen]
    size = sum(len(each.message) for each in kept)
    while size > UPDATE_BYTES and len(kept) > 1:  # every second one goes
        kept = kept[::2]
        size = sum(len(each.message) for each in kept)
    return kept
