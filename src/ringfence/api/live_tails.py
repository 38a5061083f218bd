"""Live Tail's sessions: what was put is shown about a second later, to whom it concerns (CloudWatch Logs User Guide: "Troubleshoot
with CloudWatch Logs Live Tail"; API Reference: StartLiveTail).

One thread serves all sessions, and only while there are any. The event store tells of every batch as it is acknowledged; each
second the batches of that second are asked what each session wants of them. A session is a `Flow`: its connection takes updates when
its client does.

INVARIANT: memory is bounded, whatever is put and however slow a client is: batches of a second to `FRESH_BYTES`, an update to
`UPDATE_EVENTS` and `UPDATE_BYTES`, updates that nobody takes to `HELD_UPDATES` and `HELD_BYTES`. What does not fit is left out, and
the next update says `sampled`.
INVARIANT: whoever may not see it any more is shown nothing: before each update it is asked whether the caller still may, with the key
or session that he signed with, and before one with events whether the keys of their groups still open.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from ringfence.insight.live_tail import Batch, Found, Shown, Wanted, sampled
from ringfence.model.clock import Clock
from ringfence.model.errors import ApiError, fault
from ringfence.model.kinds import LOG_GROUP, LOG_STREAM
from ringfence.model.nouns.log import LogGroup, LogStream
from ringfence.model.world import World

log = logging.getLogger("ringfence.logs")
SECONDS = 1.0  # between two updates
SESSION_SECONDS = 3 * 3600.0
HELD_UPDATES, HELD_BYTES = 10, 8 << 20
FRESH_BYTES = 32 << 20
#: of all accounts and Regions: a connection each, of the server's 1,000
MAX_SESSIONS = 200

#: may the caller see what is put into that group now? ApiError
Permit = Callable[[World, LogGroup, datetime], None]


class Messages(Protocol):
    """What a session says, as bytes."""

    def event(self, name: str, members: Mapping[str, Any]) -> bytes: ...
    def exception(self, name: str, text: str) -> bytes: ...


@dataclass(eq=False)
class Session:
    """One client's session, as the connection sees it (`Flow`)."""

    owner: tuple[str, str]  # account and Region
    wanted: Wanted
    messages: Messages
    permit: Permit
    ends_at: float
    _left: Callable[[Session], None]
    _held: deque[bytes] = field(default_factory=deque)
    _first: list[bytes] = field(default_factory=list)  # what comes before all updates, and is never left out
    _last: bytes | None = None
    _dropped: bool = False
    _over: bool = False
    _still: Callable[[], None] = lambda: None
    _wake: Callable[[], None] = lambda: None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # ------------------------------------------------------------------ the connection's side
    def begin(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def take(self) -> bytes | None:
        with self._lock:
            if self._first:
                return self._first.pop(0)
            if self._held:
                return self._held.popleft()
            last, self._last = self._last, None
            return last if last is not None else None if self._over else b""

    def stop(self) -> None:
        self.fail("The service is being stopped. Start another session.")

    def close(self) -> None:
        self._left(self)

    def watch(self, still: Callable[[], None]) -> None:
        """`still`: asked before what is shown; ApiError when the caller may not see it any more."""
        self._still = still

    # ------------------------------------------------------------------ the thread's side
    def update(
        self, world: World, batches: Sequence[tuple[LogStream, Batch]], now: datetime, *, lost: bool, over: bool
    ) -> None:
        """What a second brought. `over`: it was the last one. Never raises."""
        if self._over:
            return
        try:
            found = self._found(world, batches, now)
        except ApiError as refused:
            self.fail(refused.message)
            return
        except Exception:
            log.exception("a Live Tail session ends")
            self.fail("An internal error occurred.")
            return
        kept = sampled(found)
        self._hold(kept, sampled=lost or len(kept) < len(found))
        if over:
            self._end(
                self.messages.exception("SessionTimeoutException", "Your session has expired: it was open for 3 hours.")
            )

    def _found(self, world: World, batches: Sequence[tuple[LogStream, Batch]], now: datetime) -> list[Found]:
        """ApiError when it must not be shown."""
        self._still()
        found = [
            (stream, batch, event)
            for stream, batch in batches
            if self.wanted.has(stream)
            for event in self.wanted.of(batch)
        ]
        for arn in {stream.group for stream, _, _ in found}:
            group = world.find(LOG_GROUP, arn)
            if group is not None:
                self.permit(world, group, now)
        return found

    def _hold(self, events: Sequence[Shown], *, sampled: bool) -> None:
        with self._lock:
            update = self.messages.event("sessionUpdate", {
                "sessionMetadata": {"sampled": sampled or self._dropped},
                "sessionResults": [each.members() for each in events],
            })  # fmt: skip
            self._dropped = False
            self._held.append(update)
            while len(self._held) > HELD_UPDATES or (len(self._held) > 1 and sum(map(len, self._held)) > HELD_BYTES):
                self._held.popleft()
                self._dropped = True
        self._wake()

    def fail(self, text: str) -> None:
        self._end(self.messages.exception("SessionStreamingException", text))

    def _end(self, last: bytes) -> None:
        with self._lock:
            if self._over:
                return
            self._over, self._last = True, last
        self._wake()


class LiveTails:
    """All sessions of the installation, and the thread that serves them. `world`: the World of now."""

    def __init__(
        self, world: Callable[[], World], clock: Clock, *, timer: Callable[[], float] = time.monotonic,
        seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self._world, self._clock, self._timer, self._seconds = world, clock, timer, seconds
        self._sessions: list[Session] = []
        self._fresh: list[Batch] = []
        self._bytes, self._lost, self._closed = 0, False, False
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------ sessions
    def start(
        self, owner: tuple[str, str], wanted: Wanted, messages: Messages, permit: Permit, first: Sequence[bytes], limit: int
    ) -> Session:  # fmt: skip
        """A session, which whoever has it must close. `first`: what it begins with. ApiError LimitExceededException."""
        session = Session(
            owner, wanted, messages, permit, self._timer() + SESSION_SECONDS, self._leave, _first=list(first)
        )
        with self._lock:
            mine = sum(each.owner == owner for each in self._sessions)
            if mine >= limit or len(self._sessions) >= MAX_SESSIONS:
                raise fault("LimitExceededException")
            if self._closed:
                raise fault("ServiceUnavailableException", message="The service is being stopped.")
            self._sessions.append(session)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="live-tail", daemon=True)
                self._thread.start()
        return session

    @property
    def count(self) -> int:
        return len(self._sessions)

    def _leave(self, session: Session) -> None:
        with self._lock:
            if session in self._sessions:
                self._sessions.remove(session)
            if not self._sessions:
                self._changed.set()

    # ------------------------------------------------------------------ batches
    def note(self, stream: int, events: Sequence[tuple[int, str]], ingested: int) -> None:
        """A batch is on disk. Called by whoever puts: it must cost nothing while nobody looks."""
        if not self._sessions:
            return
        batch = Batch(stream, events, ingested)
        size = batch.bytes
        with self._lock:
            if self._bytes + size > FRESH_BYTES:
                self._lost = True
            elif self._sessions:
                self._fresh.append(batch)
                self._bytes += size

    def _run(self) -> None:
        """Every second, until there is no session."""
        due = self._timer() + self._seconds
        while True:
            self._changed.wait(max(due - self._timer(), 0.0))
            self._changed.clear()
            with self._lock:
                if not self._sessions or self._closed:
                    self._thread = None
                    self._fresh.clear()
                    self._bytes = 0
                    return
            if self._timer() >= due:
                self.tick()
                due = max(due + self._seconds, self._timer())

    def tick(self) -> None:
        """What came since the last time, to all sessions."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
            lost, self._lost, self._bytes = self._lost, False, 0
            sessions = list(self._sessions)
        world, now, time = self._world(), self._clock.now(), self._timer()
        batches = [(stream, batch) for batch in fresh for stream in world.by(LOG_STREAM, "number", str(batch.stream))]
        for session in sessions:
            session.update(world, batches, now, lost=lost, over=time >= session.ends_at)

    def close(self) -> None:
        """Every session ends, and the thread."""
        with self._lock:
            self._closed, sessions, thread = True, list(self._sessions), self._thread
        for session in sessions:
            session.stop()
        self._changed.set()
        if thread is not None:
            thread.join()
