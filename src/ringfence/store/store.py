"""What the rest of the product asks of a store, and the part every store shares.

A write is decided under one lock: `decide(world)` gives a `Commit`; rows, journal entry, audit record and remembered reply
are one durable transaction; only then does `world` move on and the caller get its answer. A fault raised by `decide`
changes nothing.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ringfence.model.world import NOTHING, Change, World
from ringfence.store import chain

Subscriber = Callable[[World, World, Change], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a write decided. `audit`: its audit record; `remember`: (token, reply) (INF-14).

    `account_id` and `request_id` name the call in the journal; empty = the installation itself.
    """

    change: Change = NOTHING
    audit: bytes | None = None
    remember: tuple[str, bytes] | None = None
    result: Any = None
    account_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One stored audit record."""

    number: int
    record: bytes


class Store(ABC):
    """The World, and the only way to change it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._subscribers: list[Subscriber] = []

    @property
    def world(self) -> World:
        """The newest committed World; reading needs no lock."""
        return self._world

    def write(self, decide: Callable[[World], Commit]) -> Any:
        """Decide and commit; the Commit's `result`. What `decide` raises passes through and changes nothing.

        ApiError (InternalError) when the commit cannot be made durable; the World stays as it was.
        """
        with self._lock:
            before = self._world
            commit = decide(before)
            if commit.change or commit.remember or commit.audit:
                after = before.apply(commit.change) if commit.change else before
                self._persist(after, commit)
                self._world = after
                if commit.change:
                    for subscriber in self._subscribers:
                        subscriber(before, after, commit.change)
            return commit.result

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber(before, after, change)` after each commit, in order. It must be quick and not write."""
        self._subscribers.append(subscriber)

    def reset(self) -> None:
        """Forget everything but the audit trail; subscribers see an empty World."""
        with self._lock:
            before = self._world
            after = World(generation=before.generation + 1)
            self._clear(after)
            self._world = after
            for subscriber in self._subscribers:
                subscriber(before, after, NOTHING)

    @abstractmethod
    def _persist(self, world: World, commit: Commit) -> None:
        """Make a commit durable; raising leaves the World as it was."""

    @abstractmethod
    def _clear(self, world: World) -> None:
        """Forget all rows, the journal and remembered replies."""

    @abstractmethod
    def remembered(self, key: str) -> bytes | None:
        """The reply remembered for a token, if any."""

    @abstractmethod
    def audit(self, record: bytes) -> None:
        """Keep the audit record of a call that changed nothing; durable within 100 ms. Never waits for the disk.

        ApiError (InternalError) while records cannot be written.
        """

    @abstractmethod
    def audit_records(
        self, *, after: int = 0, before: int | None = None, limit: int = 1000, newest: bool = False
    ) -> list[AuditRow]:
        """Audit records in order, numbered past `after` and below `before`; the first of them, or the newest ones.

        OSError when one of them is damaged.
        """

    @abstractmethod
    def verify_audit(self, sought: bytes = b"") -> chain.Verified:
        """Does every audit record fit its seal (`chain.py`)? `sought`: a seal to look for."""

    @abstractmethod
    def close(self) -> None:
        """Flush and release everything."""


@dataclass
class _Trail:
    records: list[bytes] = field(default_factory=list)


class MemoryStore(Store):
    """A store that forgets when the process ends: for tests."""

    def __init__(self, world: World | None = None) -> None:
        super().__init__(world or World())
        self._trail, self._replies = _Trail(), dict[str, bytes]()

    def _persist(self, world: World, commit: Commit) -> None:
        if commit.audit is not None:
            self._trail.records.append(commit.audit)
        if commit.remember is not None:
            key, reply = commit.remember
            self._replies[key] = reply

    def _clear(self, world: World) -> None:
        self._replies.clear()

    def remembered(self, key: str) -> bytes | None:
        return self._replies.get(key)

    def audit(self, record: bytes) -> None:
        self._trail.records.append(record)

    def audit_records(
        self, *, after: int = 0, before: int | None = None, limit: int = 1000, newest: bool = False
    ) -> list[AuditRow]:
        rows = [AuditRow(number, record) for number, record in enumerate(self._trail.records, 1)]
        rows = [row for row in rows if row.number > after and (before is None or row.number < before)]
        return rows[-limit:] if newest else rows[:limit]

    def verify_audit(self, sought: bytes = b"") -> chain.Verified:
        return chain.Verified(0, len(self._trail.records), chain.GENESIS)

    def close(self) -> None:
        return None
